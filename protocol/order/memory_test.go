package order

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/strataos/strataos/protocol"
)

// held is how many batches and rounds an Order has in memory.
func held(o *Order) (nodes, rounds int) {
	for i := range o.logs {
		nodes += len(o.logs[i].nodes)
	}
	return nodes, len(o.rounds)
}

// TestForget demands that memory not grow with history once the host has let
// go of it, and that nothing go before.
func TestForget(t *testing.T) {
	m := newMemory()
	m.denied = func(Parent) bool { return true } // all parents are new here
	o := New(4, m)
	full(t, o, m, 0, 500)
	if nodes, rounds := held(o); nodes != 4*500 || rounds > 3 {
		t.Errorf("%d batches and %d rounds are in memory before anything is let go of", nodes, rounds)
	}
	old := o.State()
	full(t, o, m, 500, 600)
	o.Forget(old)
	for i := range o.logs {
		if first := o.logs[i].nodes[0].Size; first > old.Emitted[i] {
			t.Errorf("log %d begins at %d in memory, and is durable up to %d", i, first, old.Emitted[i])
		}
	}
	for r := 600; r < 2000; r += 10 {
		full(t, o, m, r, r+10)
		o.Forget(o.State())
		if nodes, rounds := held(o); nodes > 4*(2*keepEmitted+3) || rounds > 3 {
			t.Fatalf("%d batches and %d rounds are in memory", nodes, rounds)
		}
	}
	o.Forget(old) // which is long forgotten
	o.Forget(State{})
	full(t, o, m, 2000, 2010)
	if m.reads > 0 {
		t.Errorf("%d batches are looked up", m.reads)
	}
}

// TestSilentMemory has a member stop for long. Its newest batch stays, also for
// who names it again.
func TestSilentMemory(t *testing.T) {
	m := newMemory()
	m.denied = func(Parent) bool { return true }
	o := New(4, m)
	full(t, o, m, 0, 3)
	_, at := o.Tip(3)
	for r := 3; r < 500; r++ {
		for i := range 3 {
			b := Batch{Log: protocol.MemberID(i), Old: uint64(2 * r), Size: uint64(2*r + 2), Claim: uint64(r), Time: protocol.Micros(r + 1)}
			for j := range 3 {
				if j != i {
					b.Parents = append(b.Parents, Parent{protocol.MemberID(j), b.Old})
				}
			}
			b.Parents = append(b.Parents, Parent{3, at})
			node, err := o.Insert(b)
			if err != nil {
				t.Fatal(err)
			}
			m.put(node)
		}
		if _, err := o.decideAll(); err != nil {
			t.Fatal(err)
		}
		o.Forget(o.State())
	}
	if nodes, rounds := held(o); nodes > 4*(2*keepEmitted+3) || rounds > 3 {
		t.Errorf("%d batches and %d rounds are in memory", nodes, rounds)
	}
	// It comes back, and jumps.
	b := Batch{Log: 3, Old: at, Size: at + 1, Claim: 1 << 60, Time: 1000, Parents: []Parent{{0, 1000}, {1, 1000}, {2, 1000}}}
	if node, err := o.Insert(b); err != nil || node.Round != 500 {
		t.Errorf("it comes back to round %d: %v", node.Round, err)
	}
}

// TestResumeReads bounds what is read to resume by what is not decided.
func TestResumeReads(t *testing.T) {
	m := newMemory()
	o := New(4, m)
	full(t, o, m, 0, 1000)
	s := o.State()
	resumed, err := Resume(s, m)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(resumed.State()) != fmt.Sprint(s) {
		t.Errorf("resumed in %v, want %v", resumed.State(), s)
	}
	if m.reads > 4*3 {
		t.Errorf("%d batches are read to resume", m.reads)
	}
	if d, err := resumed.decideAll(); len(d) > 0 || err != nil {
		t.Errorf("decisions %v are made again: %v", d, err)
	}
}

// TestResumeDamaged resumes from what is no State, or whose Past is damaged.
func TestResumeDamaged(t *testing.T) {
	damage := func(p Parent, change func(*Node)) func(*State, *memory) {
		return func(s *State, m *memory) {
			n := m.nodes[p]
			n.Clock, n.Rounds = append(Clock(nil), n.Clock...), append([]uint64(nil), n.Rounds...)
			change(&n)
			m.nodes[p] = n
		}
	}
	tip := Parent{0, 20}
	for name, c := range map[string]struct {
		change func(*State, *memory)
		reason string
	}{
		"no members":             {func(s *State, m *memory) { s.Members = nil }, "state"},
		"members of no log":      {func(s *State, m *memory) { s.Members = []protocol.MemberID{0, 4} }, "members [0 4] of 4 logs"},
		"members twice":          {func(s *State, m *memory) { s.Members = []protocol.MemberID{0, 0} }, "members [0 0]"},
		"a round of before":      {func(s *State, m *memory) { s.First = 10 }, "begins with 10"},
		"a base to come":         {func(s *State, m *memory) { s.Base = s.Inserted }, "when the epoch began"},
		"a base of other logs":   {func(s *State, m *memory) { s.Base = s.Base[:3] }, "3, 4 and 4 logs"},
		"an empty state":         {func(s *State, m *memory) { *s = State{} }, "state"},
		"of other members":       {func(s *State, m *memory) { s.Emitted = s.Emitted[:3] }, "state"},
		"index n":                {func(s *State, m *memory) { s.Index = 4 }, "state"},
		"index -1":               {func(s *State, m *memory) { s.Index = -1 }, "state"},
		"emitted, not inserted":  {func(s *State, m *memory) { s.Emitted[1] = 22 }, "state"},
		"inserted, not stored":   {func(s *State, m *memory) { s.Inserted[1] = 22 }, "b22 is not stored"},
		"no end of a batch":      {func(s *State, m *memory) { s.Inserted[1]++ }, "b21 is not stored"},
		"no end of an emitted":   {func(s *State, m *memory) { s.Emitted[1]-- }, "no batch ends"},
		"a lost batch":           {func(s *State, m *memory) { delete(m.nodes, Parent{2, 18}) }, "c18 is not stored"},
		"another log":            {damage(tip, func(n *Node) { n.Log = 1 }), "damaged"},
		"another size":           {damage(tip, func(n *Node) { n.Size++ }), "damaged"},
		"no size":                {damage(tip, func(n *Node) { n.Old = 20 }), "damaged"},
		"no clock":               {damage(tip, func(n *Node) { n.Clock = nil }), "damaged"},
		"another clock":          {damage(tip, func(n *Node) { n.Clock[0] = 1 }), "damaged"},
		"no rounds":              {damage(tip, func(n *Node) { n.Rounds = nil }), "damaged"},
		"other rounds":           {damage(tip, func(n *Node) { n.Rounds[0] = 1 }), "damaged"},
		"an absurd round":        {damage(tip, func(n *Node) { n.Round, n.Rounds[0] = 1<<60, 1<<60 }), "damaged"},
		"a round that goes back": {damage(tip, func(n *Node) { n.Round, n.Rounds[0] = 7, 7 }), "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			o := New(4, m)
			full(t, o, m, 0, 10)
			s := o.State()
			c.change(&s, m)
			if _, err := Resume(s, m); err == nil || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("error %v, want one with %q", err, c.reason)
			}
		})
	}
}

// TestDamagedClock has stored batches that have seen what there is not. That is
// found when they are used, at the latest when they decide something.
func TestDamagedClock(t *testing.T) {
	m := newMemory()
	o := New(4, m)
	full(t, o, m, 0, 10)
	for i := range 4 {
		n := m.nodes[Parent{protocol.MemberID(i), 20}]
		n.Clock[1], n.Rounds[1] = 20, 9
		n.Clock[2] = max(n.Clock[2], 19)
		m.nodes[Parent{n.Log, n.Size}] = n
	}
	o, err := Resume(o.State(), m)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		b := Batch{Log: protocol.MemberID(i), Old: 20, Size: 22, Claim: 10, Time: 11}
		for j := range 4 {
			if j != i {
				b.Parents = append(b.Parents, Parent{protocol.MemberID(j), 20})
			}
		}
		if _, err := o.Insert(b); err != nil {
			t.Fatal(err)
		}
	}
	if d, err := o.decideAll(); err == nil {
		t.Errorf("decisions %v, want an error", d)
	}
}

// broken is a Past that fails.
type broken struct{ err error }

func (b broken) Node(protocol.MemberID, uint64) (Node, error) { return Node{}, b.err }

// TestPastFails demands that a failure come out as it is, and change nothing.
func TestPastFails(t *testing.T) {
	m := newMemory()
	o := New(4, m)
	full(t, o, m, 0, 100)
	o.Forget(o.State())
	lost := errors.New("the disk is gone")
	o.past = broken{lost}
	b := Batch{Log: 0, Old: 200, Size: 201, Time: 1000, Parents: []Parent{{1, 2}}}
	if _, err := o.Insert(b); !errors.Is(err, lost) {
		t.Errorf("error %v, want %v", err, lost)
	}
	damaged := newMemory()
	n := m.nodes[Parent{1, 2}]
	n.Clock = append(Clock(nil), n.Clock...)
	n.Clock[2] = 1 << 40
	damaged.put(n)
	o.past = damaged
	if _, err := o.Insert(b); err == nil {
		t.Error("a parent that has seen what is not inserted is taken")
	}
	o.past = m
	if _, err := o.Insert(b); err != nil {
		t.Error(err)
	}
}
