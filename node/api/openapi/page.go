package openapi

import (
	"fmt"
	"html/template"
	"strings"

	"github.com/strataos/strataos/protocol/jcs"
)

// page is what the layout shows of the document.
type page struct {
	Title, Summary, About string
	CSS                   template.CSS
	Server                string
	Groups                []group
	Errors                []errorRow
	Headers               []row
	Schemas               []schema
}

// group is the routes of a tag.
type group struct {
	ID, Name, About string
	Routes          []route
}

// route is an operation.
type route struct {
	ID, Method, Path, Summary, About string
	Scope                            string // empty where no token is needed
	Params                           []row
	Body                             *body
	Answers                          []answer
	Curl                             string
}

// row says something of a parameter, a header, or a member of an object.
type row struct {
	Name, In, About string
	Type            template.HTML
	Required        bool
}

// body is what a request or an answer has.
type body struct {
	Media   string
	Type    template.HTML
	Example string
}

// answer is what a status stands for.
type answer struct {
	Status, About string
	Codes         []code
	Headers       string
	Body          *body
}

// code is the code of an error, and the schema that it is in.
type code struct{ Name, Schema string }

// errorRow is an error: its code, what it says, and its details.
type errorRow struct {
	code
	About   string
	Details []row
}

// schema is a named form of something.
type schema struct {
	Name, About string
	Type        template.HTML
	Rows        []row
}

// methods are those that a path may have, in the order of the page.
var methods = []string{"get", "post", "put", "patch", "delete"}

// read reads the document for the page.
func read(text []byte) (*page, error) {
	doc, err := parse(text, nil)
	if err != nil {
		return nil, fmt.Errorf("openapi: %w", err)
	}
	info := doc.at("info")
	p := &page{Title: info.at("title").text(), Summary: info.at("summary").text(), About: info.at("description").text()}
	for _, s := range doc.at("servers").list {
		p.Server = s.at("url").text()
	}
	for _, tag := range doc.at("tags").list {
		g := group{Name: tag.at("name").text(), About: tag.at("description").text()}
		g.ID = "tag-" + strings.ReplaceAll(strings.ToLower(g.Name), " ", "-")
		if g.Routes, err = readRoutes(doc, g.Name, p.Server); err != nil {
			return nil, err
		}
		p.Groups = append(p.Groups, g)
	}
	for _, name := range doc.at("components", "headers").keys {
		h := doc.at("components", "headers", name)
		p.Headers = append(p.Headers, row{Name: headerName(doc, name), About: h.at("description").text(), Type: typeOf(h.at("schema"))})
	}
	schemas := doc.at("components", "schemas")
	for _, name := range schemas.keys {
		n := schemas.at(name)
		if c := n.at("properties", "error", "properties", "code", "const").text(); c != "" {
			e := errorRow{code: code{c, name}, About: n.at("description").text()}
			if e.Details, err = readRows(n.at("properties", "error", "properties", "details")); err != nil {
				return nil, err
			}
			p.Errors = append(p.Errors, e)
			continue
		}
		s := schema{Name: name, About: n.at("description").text(), Type: typeOf(n)}
		if s.Rows, err = readRows(n); err != nil {
			return nil, err
		}
		p.Schemas = append(p.Schemas, s)
	}
	return p, nil
}

// headerName is what a header of the components is called where it is used.
func headerName(doc *node, component string) string {
	for _, list := range []*node{doc.at("components", "responses"), doc.at("paths")} {
		if name := findHeader(list, component); name != "" {
			return name
		}
	}
	return component
}

// findHeader finds the name under which anything refers to a header.
func findHeader(n *node, component string) string {
	for _, key := range n.keys {
		if n.of[key].at("$ref").text() == "#/components/headers/"+component {
			return key
		}
		if name := findHeader(n.of[key], component); name != "" {
			return name
		}
	}
	return ""
}

func readRoutes(doc *node, tag, server string) ([]route, error) {
	var out []route
	paths := doc.at("paths")
	for _, path := range paths.keys {
		for _, method := range methods {
			op := paths.at(path, method)
			if tags := op.at("tags").list; len(tags) == 0 || tags[0].text() != tag {
				continue
			}
			r, err := readRoute(op, method, path, server)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			out = append(out, *r)
		}
	}
	return out, nil
}

func readRoute(op *node, method, path, server string) (*route, error) {
	r := &route{
		ID: op.at("operationId").text(), Method: strings.ToUpper(method), Path: path,
		Summary: op.at("summary").text(), About: op.at("description").text(),
	}
	for _, needs := range op.at("security").list {
		for _, scope := range needs.at("token").list {
			r.Scope = scope.text()
		}
	}
	c := curl{method: r.Method, url: server + path, scope: r.Scope}
	for _, p := range op.at("parameters").list {
		p, _, err := p.follow()
		if err != nil {
			return nil, err
		}
		r.Params = append(r.Params, row{
			Name: p.at("name").text(), In: p.at("in").text(), About: p.at("description").text(),
			Type: typeOf(p.at("schema")), Required: string(p.at("required").raw) == "true",
		})
		c.param(p)
	}
	if b := op.at("requestBody"); b.there() {
		r.Body = readBody(b)
		c.body = b.at("content", "application/json", "example")
	}
	r.Curl = c.text()
	answers := op.at("responses")
	for _, status := range answers.keys {
		a, err := readAnswer(status, answers.at(status))
		if err != nil {
			return nil, err
		}
		r.Answers = append(r.Answers, *a)
	}
	return r, nil
}

// readBody reads what a request or an answer has, of one media type.
func readBody(n *node) *body {
	content := n.at("content")
	for _, media := range content.keys {
		of := content.at(media)
		return &body{Media: media, Type: typeOf(of.at("schema")), Example: pretty(of.at("example"))}
	}
	return nil
}

func readAnswer(status string, n *node) (*answer, error) {
	n, _, err := n.follow()
	if err != nil {
		return nil, err
	}
	a := &answer{Status: status, About: n.at("description").text(), Headers: strings.Join(n.at("headers").keys, ", ")}
	of := n.at("content", "application/json", "schema")
	for _, s := range append(of.at("oneOf").list, of) {
		s, name, err := s.follow()
		if err != nil {
			return nil, err
		}
		if c := s.at("properties", "error", "properties", "code", "const").text(); c != "" {
			a.Codes = append(a.Codes, code{c, name})
		}
	}
	if a.Codes == nil {
		a.Body = readBody(n)
	}
	return a, nil
}

// readRows lists the members of an object, those of what it is composed of first.
func readRows(n *node) ([]row, error) {
	var rows []row
	for _, part := range n.at("allOf").list {
		part, _, err := part.follow()
		if err != nil {
			return nil, err
		}
		more, err := readRows(part)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	required := map[string]bool{}
	for _, name := range n.at("required").list {
		required[name.text()] = true
	}
	for i := range rows {
		rows[i].Required = rows[i].Required || required[rows[i].Name]
	}
	for _, name := range n.at("properties").keys {
		p := n.at("properties", name)
		about := p.at("description").text()
		if about == "" {
			to, _, err := p.follow()
			if err != nil {
				return nil, err
			}
			about = to.at("description").text()
		}
		rows = append(rows, row{Name: name, About: about, Type: typeOf(p), Required: required[name]})
	}
	return rows, nil
}

// pretty is a value of the document as it is shown.
func pretty(n *node) string {
	if !n.there() {
		return ""
	}
	var b strings.Builder
	n.write(&b, "")
	return b.String()
}

// write writes a value with a line for each member of an object, unless all of it
// is short.
func (n *node) write(b *strings.Builder, indent string) {
	short := n.compact()
	if n.kind != jcs.Object && n.kind != jcs.Array || len(indent)+len(short) < 100 {
		b.WriteString(short)
		return
	}
	deeper := indent + "  "
	opening, closing := "{\n", "}"
	if n.kind == jcs.Array {
		opening, closing = "[\n", "]"
	}
	b.WriteString(opening)
	for i, key := range n.keys {
		b.WriteString(deeper + `"` + key + `": `)
		n.of[key].write(b, deeper)
		b.WriteString(comma(i, len(n.keys)))
	}
	for i, item := range n.list {
		b.WriteString(deeper)
		item.write(b, deeper)
		b.WriteString(comma(i, len(n.list)))
	}
	b.WriteString(indent + closing)
}

func comma(i, n int) string {
	if i+1 < n {
		return ",\n"
	}
	return "\n"
}

// compact is a value on one line.
func (n *node) compact() string {
	var parts []string
	switch n.kind {
	case jcs.Object:
		for _, key := range n.keys {
			parts = append(parts, `"`+key+`":`+n.of[key].compact())
		}
		return "{" + strings.Join(parts, ",") + "}"
	case jcs.Array:
		for _, item := range n.list {
			parts = append(parts, item.compact())
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	return string(n.raw)
}
