package order

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/strataos/strataos/protocol"
)

// TestDecisions shows each rule in a graph of few lines. Of four members, three
// are a quorum and one may lie. Slots of round 0 come in the order abcd, of
// round 1 in dabc, of round 2 in cdab.
func TestDecisions(t *testing.T) {
	for _, c := range []struct {
		name, dag, want string
		n               int // 4 if 0
	}{
		{name: "all see all", dag: `
			abcd1: r0
			abcd2: r1 <- abcd1`,
			want: `
			0a: a1
			0b: b1
			0c: c1
			0d: d1`},
		{name: "a quorum commits", dag: `
			abcd1: r0
			abc2: r1 <- abcd1`,
			want: `
			0a: a1
			0b: b1
			0c: c1
			0d: d1`},
		{name: "less than a quorum does not", dag: `
			abcd1: r0
			ab2: r1 <- abcd1`},
		{name: "a silent member is skipped", dag: `
			abc1: r0
			abc2: r1 <- abc1
			abc3: r2 <- abc2`,
			want: `
			0a: a1
			0b: b1
			0c: c1
			0d: skip
			1d: skip
			1a: a2
			1b: b2
			1c: c2`},
		{name: "two silent members of four stop everything", dag: `
			ab1: r0
			ab2: r1=0 <- ab1
			ab3: r1=0 <- ab2`},
		// Two see a1 and two don't. That stops the walk, though b1, c1 and d1
		// are seen by all.
		{name: "an undecided slot", dag: `
			abcd1: r0
			ab2: r1 <- abcd1
			cd2: r1 <- bcd1
			abcd3: r2 <- abcd2`},
		// The anchor is c3, which has all of the second batches in its past:
		// two that see a1.
		{name: "an anchor commits", dag: `
			abcd1: r0
			ab2: r1 <- abcd1
			cd2: r1 <- bcd1
			abcd3: r2 <- abcd2
			abc4: r3 <- abcd3`,
			want: `
			0a: a1
			0b: b1
			0c: c1
			0d: d1
			1d: d2
			1a: a2
			1b: b2
			1c: c2
			2c: c3
			2d: d3
			2a: a3
			2b: b3`},
		// As before, but the anchor has not seen b2, so that only one that sees
		// a1 is in its past. a1 comes with a later slot, the one of a2.
		{name: "an anchor skips", dag: `
			abcd1: r0
			ab2: r1 <- abcd1
			cd2: r1 <- bcd1
			c3: r2 <- ad2
			abd3: r2 <- abcd2
			abc4: r3 <- abcd3`,
			want: `
			0a: skip
			0b: b1
			0c: c1
			0d: d1
			1d: d2
			1a: a1 a2
			1b: b2
			1c: c2
			2c: c3
			2d: d3
			2a: a3
			2b: b3`},
		// The first slot of round 2 is that of c, which is down by then. So the
		// anchor is the next one, d3.
		{name: "a skipped slot is no anchor", dag: `
			abcd1: r0
			ab2: r1 <- abcd1
			cd2: r1 <- bcd1
			abd3: r2 <- abcd2
			abd4: r3 <- abd3`,
			want: `
			0a: a1
			0b: b1
			0c: c1
			0d: d1
			1d: d2
			1a: a2
			1b: b2
			1c: c2
			2c: skip
			2d: d3
			2a: a3
			2b: b3`},
		// d is late, and then its first batch is the one of rounds 0 to 3. The
		// others go on without it in rounds 0 to 2, and it is back in round 3.
		{name: "a jump", dag: `
			abc1: r0
			abc2: r1 <- abc1
			abc3: r2 <- abc2
			d1: r*=3 <- abc3
			abc4: r3 <- abc3
			abc5: r4 <- abc4 d1`,
			want: `
			0a: a1
			0b: b1
			0c: c1
			0d: skip
			1d: skip
			1a: a2
			1b: b2
			1c: c2
			2c: c3
			2d: skip
			2a: a3
			2b: b3
			3b: b4
			3c: c4
			3d: d1
			3a: a4`},
		{name: "an over-claim is cut", dag: `
			abcd1: r7=0
			a2: r9=1 <- abcd1
			b2: r*=1 <- acd1
			c2: r1 <- abd1
			c3: r2=1
			a3: r2=1 <- c2
			a4: r2 <- b2`,
			want: `
			0a: a1
			0b: b1
			0c: c1
			0d: d1`},
		{name: "a member may claim less, and more without new parents", dag: `
			abcd1: r0
			d2: r0 <- abc1
			d3: r1
			d4: r0=1
			a2: r1=0 <- b1
			a3: r1 <- c1`},
		{name: "the author counts through its predecessor only", dag: `
			bc1: r0
			a1: r1=0 <- bc1
			a2: r1`},
		{name: "by time, then by member", dag: `
			d1: r0 t2
			d2: r0 t7
			b1: r0 t5
			c1: r0 t5
			a1: r0 t9 <- d2 c1 b1
			abc2: r1 t20 <- abc1 d2
			d3: r1 t20 <- abc1`,
			want: `
			0a: d1 b1 c1 d2 a1
			0b:
			0c:
			0d:`},
		{name: "a parent that is emitted", dag: `
			abcd1: r0
			abc2: r1 <- abcd1
			abc3: r2 <- abc2
			d2: r1 <- abc1
			d3: r2 <- ab2 c3
			abc4: r3 <- abc3 d2`,
			want: `
			0a: a1
			0b: b1
			0c: c1
			0d: d1
			1d: skip
			1a: a2
			1b: b2
			1c: c2
			2c: c3
			2d: skip
			2a: a3
			2b: b3`},
		{name: "one member", n: 1, dag: `
			a1: r0
			a2: r9=1
			a3: r1
			a4: r2`,
			want: `
			0a: a1
			1a: a2`},
		{name: "of three members, all are needed", n: 3, dag: `
			abc1: r0
			ab2: r1 <- abc1
			c2: r1 <- ab1`,
			want: `
			0a: a1
			0b: b1
			0c: c1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.n == 0 {
				c.n = 4
			}
			got := insertAll(t, New(c.n, newMemory()), parseDAG(t, c.dag))
			if got, want := write(got), trim(c.want); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

// full inserts rounds in which everybody sees everybody.
func full(t *testing.T, o *Order, m *memory, from, to int) {
	t.Helper()
	for r := from; r < to; r++ {
		for i := range o.logs {
			b := Batch{Log: protocol.MemberID(i), Old: uint64(2 * r), Size: uint64(2*r + 2), Claim: uint64(r), Time: protocol.Micros(r + 1)}
			for j := range o.logs {
				if j != i && r > 0 {
					b.Parents = append(b.Parents, Parent{protocol.MemberID(j), b.Old})
				}
			}
			node, err := o.Insert(b)
			if err != nil {
				t.Fatal(err)
			}
			m.put(node)
			if _, err := o.decideAll(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRefused inserts what is no batch of the graph, after a history part of
// which is forgotten. The Order must say why, and stay as it is.
func TestRefused(t *testing.T) {
	const end = 200 // of every log; batches end at even sizes
	good := Batch{Log: 1, Old: end, Size: end + 2, Claim: 100, Time: 1000, Parents: []Parent{{0, end}, {2, end}, {3, 2}}}
	m := newMemory()
	o := New(4, m)
	full(t, o, m, 0, end/2)
	o.Forget(o.State())
	if _, err := o.Insert(Batch{Log: 0, Old: end, Size: end + 2, Time: 500}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Batch)
		reason string
	}{
		"no member":              {func(b *Batch) { b.Log = 4 }, "only 4 logs"},
		"the ledger":             {func(b *Batch) { b.Log = protocol.Ledger }, "only 4 logs"},
		"again":                  {func(b *Batch) { b.Old, b.Size = end-2, end }, "200 leaves are inserted"},
		"a fork":                 {func(b *Batch) { b.Old = end - 2 }, "200 leaves are inserted"},
		"a gap":                  {func(b *Batch) { b.Old = end + 1 }, "only 200 leaves"},
		"empty":                  {func(b *Batch) { b.Size = b.Old }, "begins at 200"},
		"shrinking":              {func(b *Batch) { b.Size = 1 }, "begins at 200"},
		"an early time":          {func(b *Batch) { b.Time = 100 }, "than that of its predecessor"},
		"a time before all":      {func(b *Batch) { b.Time = math.MinInt64 }, "than that of its predecessor"},
		"a parent at its time":   {func(b *Batch) { b.Time, b.Parents[0].Size = 500, end+2 }, "than that of its parent of log 0"},
		"a parent to come":       {func(b *Batch) { b.Parents[0].Size = end + 4 }, "not inserted"},
		"a parent of 2^64-1":     {func(b *Batch) { b.Parents[0].Size = math.MaxUint64 }, "not inserted"},
		"a parent of 0":          {func(b *Batch) { b.Parents[0].Size = 0 }, "no batch of log 0 ends at 0"},
		"no end of a batch":      {func(b *Batch) { b.Parents[0].Size = end - 1 }, "no batch of log 0 ends at 199"},
		"no end of an old batch": {func(b *Batch) { b.Parents[2].Size = 3 }, "d3 is not stored"},
		"a parent of no member":  {func(b *Batch) { b.Parents[2].Member = 4 }, "not another member"},
		"its own parent":         {func(b *Batch) { b.Parents[2] = Parent{1, end} }, "not another member"},
	} {
		t.Run(name, func(t *testing.T) {
			b := good
			b.Parents = append([]Parent(nil), good.Parents...)
			c.change(&b)
			check(t, o, b, c.reason)
		})
	}
	if _, missing := o.Missing(good); missing {
		t.Error("something is missing")
	}
	good.Claim = math.MaxUint64
	node, err := o.Insert(good)
	if err != nil || node.Round != 100 {
		t.Errorf("the good batch comes to round %d: %v", node.Round, err)
	}
}

// check demands that a batch be refused for a reason.
func check(t *testing.T, o *Order, b Batch, reason string) {
	t.Helper()
	before := fmt.Sprint(o.State())
	_, err := o.Insert(b)
	if err == nil || !strings.Contains(err.Error(), reason) {
		t.Errorf("error %q, want one with %q", err, reason)
	}
	if after := fmt.Sprint(o.State()); after != before {
		t.Errorf("the state was %s and is %s", before, after)
	}
}

func TestMissing(t *testing.T) {
	o := New(4, newMemory())
	insertAll(t, o, parseDAG(t, "abc1: r0\n a2: r0"))
	for _, c := range []struct {
		batch string
		want  string
	}{
		{"d1: r0", ""},
		{"d1: r0 <- a2 b1", ""},
		{"d1: r0 <- a2 b1 c2", "c2"},
		{"d1: r0 <- a3 b2", "a3"},
		{"d2: r0 <- a3 b2", "d1"},
		{"a2: r0", ""},   // again
		{"y2: r0", "y1"}, // no member, or not yet
		{"a3: r0 <- y1", "y1"},
	} {
		p, missing := o.Missing(parseDAG(t, c.batch)[0].Batch)
		if got := name(p.Member) + fmt.Sprint(p.Size); missing != (c.want != "") || missing && got != c.want {
			t.Errorf("%s: %s is missing (%v), want %q", c.batch, got, missing, c.want)
		}
	}
}

func TestTip(t *testing.T) {
	o := New(4, newMemory())
	insertAll(t, o, parseDAG(t, "abc1: r0\n a2: r1 <- bc1"))
	for log, want := range map[protocol.MemberID][2]uint64{0: {1, 2}, 1: {0, 1}, 3: {}, 4: {}, protocol.Ledger: {}} {
		if round, size := o.Tip(log); [2]uint64{round, size} != want {
			t.Errorf("tip of log %d is of round %d at %d, want %v", log, round, size, want)
		}
	}
}

func TestClock(t *testing.T) {
	for _, c := range []struct {
		a, b   Clock
		covers bool
		merged Clock
	}{
		{nil, nil, true, nil},
		{Clock{1, 2}, nil, true, Clock{1, 2}},
		{nil, Clock{0, 0}, true, Clock{0, 0}},
		{nil, Clock{0, 1}, false, Clock{0, 1}},
		{Clock{3, 2}, Clock{3, 1}, true, Clock{3, 2}},
		{Clock{3, 2}, Clock{2, 3}, false, Clock{3, 3}},
		{Clock{3}, Clock{2, 3}, false, Clock{3, 3}},
		{Clock{2, 3}, Clock{3}, false, Clock{3, 3}},
	} {
		if got := c.a.Covers(c.b); got != c.covers {
			t.Errorf("%v covers %v: %v", c.a, c.b, got)
		}
		a := fmt.Sprint(c.a, c.b)
		if got := c.a.Merge(c.b); fmt.Sprint(got) != fmt.Sprint(c.merged) || fmt.Sprint(c.a, c.b) != a {
			t.Errorf("%v merged with %v is %v, want %v", c.a, c.b, got, c.merged)
		}
	}
	if c := (Clock{3}); c.At(0) != 3 || c.At(1) != 0 {
		t.Error("At is wrong")
	}
}
