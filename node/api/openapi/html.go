package openapi

import (
	"html"
	"html/template"
	"regexp"
	"strings"
)

// The few forms of Markdown that descriptions have. They are looked for in text
// that is escaped.
var (
	codeForm   = regexp.MustCompile("`([^`]+)`")
	strongForm = regexp.MustCompile(`\*\*([^*]+)\*\*`)
	emForm     = regexp.MustCompile(`(^|[ (])\*([^* ][^*]*)\*`)
	linkForm   = regexp.MustCompile(`\[([^\]]+)\]\((https://[^)\s]+)\)`)
)

// plain is a description within a line.
func plain(text string) template.HTML {
	// What is code is not looked at again.
	var b strings.Builder
	last := 0
	for _, at := range codeForm.FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(inline(text[last:at[0]]))
		b.WriteString("<code>" + html.EscapeString(text[at[2]:at[3]]) + "</code>")
		last = at[1]
	}
	b.WriteString(inline(text[last:]))
	return template.HTML(b.String())
}

func inline(text string) string {
	s := html.EscapeString(text)
	s = linkForm.ReplaceAllString(s, `<a href="$2" rel="noreferrer">$1</a>`)
	s = strongForm.ReplaceAllString(s, `<strong>$1</strong>`)
	return emForm.ReplaceAllString(s, `$1<em>$2</em>`)
}

// prose is a description of several paragraphs.
func prose(text string) template.HTML {
	var b strings.Builder
	for part := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		if part != "" {
			b.WriteString("<p>" + string(plain(part)) + "</p>\n")
		}
	}
	return template.HTML(b.String())
}

// typeOf says what values a schema has.
func typeOf(n *node) template.HTML {
	if _, name, err := n.follow(); err == nil && name != "" {
		return template.HTML(`<a href="#schema-` + html.EscapeString(name) + `">` + html.EscapeString(name) + `</a>`)
	}
	for _, key := range []string{"oneOf", "anyOf"} {
		var parts []string
		for _, part := range n.at(key).list {
			parts = append(parts, string(typeOf(part)))
		}
		if parts != nil {
			return template.HTML(strings.Join(parts, " or "))
		}
	}
	if c := n.at("const"); c.there() {
		return code1(string(c.raw))
	}
	if list := n.at("enum").list; list != nil {
		var parts []string
		for _, v := range list {
			parts = append(parts, string(code1(v.text())))
		}
		return template.HTML(strings.Join(parts, " | "))
	}
	name := n.at("type").text()
	for _, t := range n.at("type").list {
		if name == "" {
			name = t.text() // and null
		}
	}
	if name == "array" {
		return "list of " + typeOf(n.at("items"))
	}
	return template.HTML(html.EscapeString(name)) + bounds(n)
}

func code1(text string) template.HTML {
	return template.HTML("<code>" + html.EscapeString(text) + "</code>")
}

// bounds says what limits and what default a value has.
func bounds(n *node) template.HTML {
	var parts []string
	for _, b := range []struct{ key, says string }{
		{"minimum", "at least "}, {"maximum", "at most "}, {"minLength", "shortest "}, {"maxLength", "longest "}, {"default", "default "},
	} {
		if v := n.at(b.key); v.there() && !(b.key == "minimum" && string(v.raw) == "0") {
			parts = append(parts, b.says+string(v.raw))
		}
	}
	if parts == nil {
		return ""
	}
	return template.HTML(" (" + html.EscapeString(strings.Join(parts, ", ")) + ")")
}
