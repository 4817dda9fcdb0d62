package main

import (
	"go/format"
	"testing"
)

// TestApply keeps the table true to the source: every bug has its place.
func TestApply(t *testing.T) {
	names := map[string]bool{}
	for _, m := range table {
		text, err := m.apply("../..")
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := format.Source(text); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		if names[m.name] || m.what == "" {
			t.Errorf("%s: not named once, or without a sentence", m.name)
		}
		names[m.name] = true
	}
}

// TestHunt has one bug caught, as `go run ./simulation/mutants` has them all.
func TestHunt(t *testing.T) {
	t.Chdir("../..")
	for _, m := range table {
		if m.name != "quorum-minus-one" {
			continue
		}
		c := hunt(t.TempDir(), m, 200, nil)
		if !c.found {
			t.Errorf("%s: %s", m.name, c)
		}
	}
}
