package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/strataos/strataos/protocol/jcs"
)

// node is a JSON value of the document, with the order that its members have there.
type node struct {
	root *node
	raw  []byte
	kind jcs.Kind
	keys []string
	of   map[string]*node // an object's members
	list []*node          // an array's
}

// parse reads a JSON value.
func parse(raw []byte, root *node) (*node, error) {
	n := &node{raw: raw, kind: jcs.KindOf(raw), root: root}
	if root == nil {
		n.root = n
	}
	if n.kind != jcs.Object && n.kind != jcs.Array {
		return n, nil
	}
	n.of = map[string]*node{}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	for dec.More() {
		var key string
		if n.kind == jcs.Object {
			name, err := dec.Token()
			if err != nil {
				return nil, err
			}
			key, _ = name.(string) // else it is no JSON
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		child, err := parse(value, n.root)
		if err != nil {
			return nil, err
		}
		if n.kind == jcs.Array {
			n.list = append(n.list, child)
			continue
		}
		n.keys = append(n.keys, key)
		n.of[key] = child
	}
	return n, nil
}

// at is the value at a path of keys, or an empty one.
func (n *node) at(path ...string) *node {
	for _, key := range path {
		next := n.of[key]
		if next == nil {
			return &node{root: n.root}
		}
		n = next
	}
	return n
}

// text is a text, or nothing.
func (n *node) text() string {
	if n.kind != jcs.String {
		return ""
	}
	s, _ := jcs.Unquote(n.raw) // the document is well formed
	return s
}

// there reports whether there is such a value.
func (n *node) there() bool { return n.raw != nil }

// follow returns what a reference stands for, with the last part of its name. What
// is no reference stands for itself.
func (n *node) follow() (*node, string, error) {
	ref := n.at("$ref").text()
	if ref == "" {
		return n, "", nil
	}
	path, ok := strings.CutPrefix(ref, "#/")
	parts := strings.Split(path, "/")
	to := n.root.at(parts...)
	if !ok || !to.there() {
		return nil, "", fmt.Errorf("openapi: %s is not in the document", ref)
	}
	return to, parts[len(parts)-1], nil
}
