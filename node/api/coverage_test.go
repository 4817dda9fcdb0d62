package api

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// coverage is what of the document has occurred: which answers and errors of which
// routes.
type coverage struct {
	c    *contractOf
	seen map[string]bool
}

func newCoverage(t testing.TB) *coverage { return &coverage{theContract(t), map[string]bool{}} }

// note notes an answer.
func (v *coverage) note(name string, a answer) {
	code := ""
	if a.status >= 400 {
		var e apiFailure
		_ = json.Unmarshal(a.body, &e) // of an answer that is no error there is no code
		code = e.Error.Code
	}
	v.seen[answerName(name, a.status, code)] = true
}

func answerName(name string, status int, code string) string {
	return strings.TrimSpace(name + " answers " + strconv.Itoa(status) + " " + code)
}

// schemaOf is the schema of what a request or an answer has, if that is JSON.
func (c *contractOf) schemaOf(of map[string]any) any {
	content, _ := of["content"].(map[string]any)
	media, _ := content["application/json"].(map[string]any)
	return media["schema"]
}

// missing lists what is in the document and has not occurred.
func (v *coverage) missing() []string {
	var out []string
	for path, item := range v.c.at("paths").(map[string]any) {
		for method, op := range item.(map[string]any) {
			for status, response := range op.(map[string]any)["responses"].(map[string]any) {
				n, _ := strconv.Atoi(status)
				for _, code := range v.c.codesOf(v.c.schemaOf(v.c.follow(response))) {
					if name := answerName(strings.ToUpper(method)+" "+path, n, code); !v.seen[name] {
						out = append(out, name)
					}
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// codesOf are the codes of errors that a schema stands for, or an empty one.
func (c *contractOf) codesOf(schema any) []string {
	m := c.follow(schema)
	var out []string
	alternatives, _ := m["oneOf"].([]any)
	for _, part := range alternatives {
		for _, code := range c.codesOf(part) {
			if code != "" {
				out = append(out, code)
			}
		}
	}
	if out != nil {
		return out
	}
	properties, _ := m["properties"].(map[string]any)
	e, _ := properties["error"].(map[string]any)
	properties, _ = e["properties"].(map[string]any)
	code, _ := properties["code"].(map[string]any)
	text, _ := code["const"].(string)
	return []string{text}
}
