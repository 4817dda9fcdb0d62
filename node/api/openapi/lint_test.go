package openapi

import (
	"strings"
	"testing"

	"github.com/strataos/strataos/protocol/jcs"
)

// TestLint holds the document to what a reader may expect of it: everything is named
// and described, whatever is defined is used, and objects are closed unless clients
// put into them what they like.
func TestLint(t *testing.T) {
	doc, err := parse(document, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := &linter{t: t, used: map[string]bool{}, names: map[string]bool{}}
	for _, path := range doc.at("paths").keys {
		for _, method := range doc.at("paths", path).keys {
			l.operation(method+" "+path, doc.at("paths", path, method))
		}
	}
	components := doc.at("components")
	for _, kind := range []string{"parameters", "headers", "responses", "schemas"} {
		for _, name := range components.at(kind).keys {
			l.described(kind+"/"+name, components.at(kind, name))
		}
	}
	for _, name := range components.at("schemas").keys {
		l.schema(name, components.at("schemas", name))
	}
	l.refs("", doc)
	// A path that does not take a method has no operation to answer with that.
	l.used["#/components/schemas/MethodNotAllowedError"] = true
	for _, kind := range []string{"parameters", "headers", "responses", "schemas"} {
		for _, name := range components.at(kind).keys {
			if !l.used["#/components/"+kind+"/"+name] {
				t.Errorf("%s %s is not used", kind, name)
			}
		}
	}
}

type linter struct {
	t           *testing.T
	used, names map[string]bool
}

func (l *linter) described(where string, n *node) {
	l.t.Helper()
	about := n.at("description").text()
	if n.at("$ref").there() && about == "" {
		return
	}
	if about == "" || !strings.HasSuffix(strings.TrimSpace(about), ".") {
		l.t.Errorf("%s: is described as %q, which is not a sentence", where, about)
	}
}

func (l *linter) operation(where string, op *node) {
	name := op.at("operationId").text()
	if name == "" || l.names[name] || op.at("summary").text() == "" || len(op.at("tags").list) != 1 || !op.at("security").there() {
		l.t.Errorf("%s: a name of its own, a summary, one tag and what it needs must be there", where)
	}
	l.names[name] = true
	l.described(where, op)
	for _, p := range op.at("parameters").list {
		l.described(where+" "+p.at("name").text(), p)
	}
	for _, status := range op.at("responses").keys {
		l.described(where+" "+status, op.at("responses", status))
	}
}

// schema looks at a schema and all that is in it.
func (l *linter) schema(where string, n *node) {
	for _, key := range []string{"allOf", "oneOf", "anyOf"} {
		for _, part := range n.at(key).list {
			l.schema(where, part)
		}
	}
	if n.at("items").there() {
		l.schema(where+"[]", n.at("items"))
	}
	for _, key := range n.at("properties").keys {
		p, at := n.at("properties", key), where+"."+key
		if key != "error" && key != "details" {
			l.described(at, p)
		}
		l.schema(at, p)
	}
	object := n.at("type").text() == "object" && n.kind == jcs.Object
	part := strings.HasSuffix(where, "Parts") || strings.HasPrefix(where, "Error") || strings.HasSuffix(where, "Error.error")
	if object && !part && !n.at("additionalProperties").there() && !n.at("unevaluatedProperties").there() {
		l.t.Errorf("%s does not say whether it may have other members", where)
	}
	for _, name := range n.at("required").list {
		if !part && n.at("properties").there() && !n.at("allOf").there() && !n.at("properties", name.text()).there() {
			l.t.Errorf("%s requires %s, which it does not have", where, name.text())
		}
	}
}

func (l *linter) refs(where string, n *node) {
	if ref := n.at("$ref").text(); ref != "" {
		l.used[ref] = true
		if _, _, err := n.follow(); err != nil {
			l.t.Errorf("%s: %v", where, err)
		}
	}
	for _, key := range n.keys {
		if string(n.of[key].raw) == "null" {
			l.t.Errorf("%s: %q is nothing; a text with a comma has to be quoted", where, key)
		}
		l.refs(where+"/"+key, n.of[key])
	}
	for _, item := range n.list {
		l.refs(where, item)
	}
}
