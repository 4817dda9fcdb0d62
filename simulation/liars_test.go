package simulation

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"
)

// lying runs liars that all do one thing.
func lying(t *testing.T, behaviour string, seed uint64) (*Result, string) {
	t.Helper()
	s := named(t, "byzantine", func(s *Scenario) {
		s.Liars.Behaviours = []string{behaviour}
		s.Load.Anchors, s.Duration = 0.7, Duration(4*time.Second)
	})
	var trace bytes.Buffer
	r, err := Run(context.Background(), s, seed, Options{Trace: &trace})
	if err != nil {
		t.Fatal(err)
	}
	mustBeGood(t, r)
	return r, trace.String()
}

// TestEveryLiar runs as many liars as are tolerated of every kind.
func TestEveryLiar(t *testing.T) {
	for i, name := range sortedKeys(behaviours) {
		if testing.Short() && i%4 != 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r, _ := lying(t, name, 7); r.Stats.Ordered == 0 {
				t.Error("nothing was ordered")
			}
		})
	}
}

// TestLiarsAreNoticed holds those who lie about the ledger, and those who author
// with hidden parents, to being heard at all.
func TestLiarsAreNoticed(t *testing.T) {
	if r, _ := lying(t, "ledger", 1); r.Stats.Alarms == 0 || r.Stats.Blames == 0 {
		t.Errorf("%d alarms, %d blames", r.Stats.Alarms, r.Stats.Blames)
	}
	r, trace := lying(t, "hide-parents", 1)
	for i, n := range r.Stats.Nodes {
		if n.Liar != "" && !strings.Contains(trace, "holds a certificate of node-"+string(rune('1'+i))+"'s log") {
			t.Errorf("nothing of node-%d's is certified", i+1)
		}
	}
}
