package openapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "make openapi.json from openapi.yaml")

// TestSource demands that openapi.json says what openapi.yaml does.
func TestSource(t *testing.T) {
	source, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(source, &doc); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := writeJSON(&b, doc.Content[0]); err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := json.Indent(&want, b.Bytes(), "", " "); err != nil {
		t.Fatal(err)
	}
	want.WriteByte('\n')
	if *update {
		if err := os.WriteFile("openapi.json", want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(want.Bytes(), Document()) {
		t.Error("openapi.json is not what openapi.yaml says; go test ./node/api/openapi -update makes it anew")
	}
}

// writeJSON writes a YAML value as JSON, with keys in their order. Keys that begin
// with a dot are left out.
func writeJSON(b *bytes.Buffer, n *yaml.Node) error {
	switch n.Kind {
	case yaml.AliasNode:
		return writeJSON(b, n.Alias)
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeJSON(b, item); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	case yaml.MappingNode:
		members, err := merged(n)
		if err != nil {
			return err
		}
		b.WriteByte('{')
		first := true
		for _, m := range members {
			if strings.HasPrefix(m.key, ".") {
				continue
			}
			if !first {
				b.WriteByte(',')
			}
			first = false
			text, _ := json.Marshal(m.key)
			b.Write(append(text, ':'))
			if err := writeJSON(b, m.value); err != nil {
				return err
			}
		}
		b.WriteByte('}')
		return nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return err
	}
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

type member struct {
	key   string
	value *yaml.Node
}

// merged lists a mapping's members, with what it takes over by << unless it has that
// itself. Statuses of answers are in order.
func merged(n *yaml.Node) ([]member, error) {
	var own, from []member
	statuses := true
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i].Value, n.Content[i+1]
		if key != "<<" {
			if slices.ContainsFunc(own, func(m member) bool { return m.key == key }) {
				return nil, fmt.Errorf("line %d: %q is there twice", n.Content[i].Line, key)
			}
			own = append(own, member{key, value})
			continue
		}
		more, err := merged(value.Alias)
		if err != nil {
			return nil, err
		}
		from = append(from, more...)
	}
	for _, m := range from {
		if !slices.ContainsFunc(own, func(o member) bool { return o.key == m.key }) {
			own = append(own, m)
		}
	}
	for _, m := range own {
		statuses = statuses && len(m.key) == 3 && m.key[0] >= '1' && m.key[0] <= '5'
	}
	if statuses {
		slices.SortFunc(own, func(a, b member) int { return strings.Compare(a.key, b.key) })
	}
	return own, nil
}
