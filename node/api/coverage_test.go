package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// coverage is what of the document has occurred: which answers and errors of which
// routes, which parameters, and which members of bodies.
type coverage struct {
	c    *contractOf
	seen map[string]bool
}

func newCoverage(t testing.TB) *coverage { return &coverage{theContract(t), map[string]bool{}} }

// note notes what a request and its answer have.
func (v *coverage) note(name string, r *http.Request, body string, a answer) {
	method, path, _ := strings.Cut(name, " ")
	op := v.c.at("paths", path, strings.ToLower(method)).(map[string]any)
	var sent, got any
	_ = json.Unmarshal([]byte(body), &sent)
	_ = json.Unmarshal(a.body, &got)
	code := ""
	if a.status >= 400 {
		if e, ok := got.(map[string]any); ok {
			e, _ = e["error"].(map[string]any)
			code, _ = e["code"].(string)
		}
	}
	v.seen[answerName(name, a.status, code)] = true
	status, _ := op["responses"].(map[string]any)[strconv.Itoa(a.status)]
	v.mark(v.c.schemaOf(v.c.follow(status)), got, "")
	if a.status >= 300 {
		return
	}
	v.mark(v.c.schemaOf(v.c.follow(op["requestBody"])), sent, "")
	for _, p := range op["parameters"].([]any) {
		p := v.c.follow(p)
		in, param := p["in"].(string), p["name"].(string)
		if in == "header" && r.Header.Get(param) != "" || in == "query" && r.URL.Query().Has(param) || in == "path" {
			v.seen[name+" takes "+param] = true
		}
	}
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

// walk calls fn for a schema's members, those of all that it may be composed of
// included, with names that say which they are. It goes into what takes accepts.
func (v *coverage) walk(schema any, where string, takes func(schema map[string]any) bool, fn func(name, key string, of any, where string)) {
	m, _ := schema.(map[string]any)
	if ref, ok := m["$ref"].(string); ok {
		where = ref[strings.LastIndexByte(ref, '/')+1:]
		m = v.c.follow(m)
	}
	for _, key := range []string{"allOf", "oneOf", "anyOf"} {
		parts, _ := m[key].([]any)
		for _, part := range parts {
			if key == "allOf" || takes(v.c.follow(part)) {
				v.walk(part, where, takes, fn)
			}
		}
	}
	properties, _ := m["properties"].(map[string]any)
	for key, of := range properties {
		fn(where+"."+key, key, of, where+"."+key)
	}
	if items, ok := m["items"]; ok {
		fn("", "[]", items, where)
	}
}

// mark notes the members that a value has.
func (v *coverage) mark(schema, value any, where string) {
	takes := func(s map[string]any) bool { return v.c.fits(s, value) }
	v.walk(schema, where, takes, func(name, key string, of any, where string) {
		if list, ok := value.([]any); ok && key == "[]" {
			for _, item := range list {
				v.mark(of, item, where)
			}
		}
		if m, ok := value.(map[string]any); ok {
			if x, there := m[key]; there {
				v.seen[name] = true
				v.mark(of, x, where)
			}
		}
	})
}

// fits reports whether a value is of a schema rather than of its alternatives: it has
// what must be there, and the words that are always the same.
func (c *contractOf) fits(schema map[string]any, value any) bool {
	if is, ok := schema["const"]; ok {
		return reflect.DeepEqual(is, value)
	}
	m, isObject := value.(map[string]any)
	if _, object := schema["properties"]; object != isObject {
		return false
	}
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := m[name.(string)]; !ok {
			return false
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, of := range properties {
		of := c.follow(of)
		x, there := m[name]
		if _, is := of["const"]; there && is && !c.fits(of, x) {
			return false
		}
		if _, nested := of["properties"]; there && nested && !c.fits(of, x) {
			return false
		}
	}
	closed := schema["additionalProperties"] == false
	for name := range m {
		if _, known := properties[name]; closed && !known {
			return false
		}
	}
	return true
}

// missing lists what is in the document and has not occurred.
func (v *coverage) missing() []string {
	var out []string
	need := func(name string) {
		if !v.seen[name] && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	walked := map[string]bool{}
	var members func(schema any, where string)
	members = func(schema any, where string) {
		everything := func(map[string]any) bool { return true }
		v.walk(schema, where, everything, func(name, _ string, of any, where string) {
			if name != "" {
				need(name)
			}
			if at := name + where; name == "" || !walked[at] {
				walked[at] = true
				members(of, where)
			}
		})
	}
	for path, item := range v.c.at("paths").(map[string]any) {
		for method, op := range item.(map[string]any) {
			name, op := strings.ToUpper(method)+" "+path, op.(map[string]any)
			members(v.c.schemaOf(v.c.follow(op["requestBody"])), "")
			for _, p := range op["parameters"].([]any) {
				need(name + " takes " + v.c.follow(p)["name"].(string))
			}
			for status, response := range op["responses"].(map[string]any) {
				n, _ := strconv.Atoi(status)
				schema := v.c.schemaOf(v.c.follow(response))
				members(schema, "")
				for _, code := range v.c.codesOf(schema) {
					need(answerName(name, n, code))
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
