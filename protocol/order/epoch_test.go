package order

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/strataos/strataos/protocol"
)

// change is how long an epoch lasts, and what the next one is.
type change struct {
	lasts   int // rounds
	members []int
	logs    int
}

func (c change) ids() []protocol.MemberID {
	var out []protocol.MemberID
	for _, i := range c.members {
		out = append(out, protocol.MemberID(i))
	}
	return out
}

func nextEpoch(o *Order, c change) ([]Node, error) { return o.NextEpoch(c.ids(), c.logs) }

// story is a graph with its epochs.
type story struct {
	changes []change
	epochs  []*oracle // those that anybody has come to
}

func newStory(founding *oracle, changes []change) *story {
	return &story{changes: changes, epochs: []*oracle{founding}}
}

// next is the epoch behind one. Whoever comes to it has emitted the same before.
func (s *story) next(k int, base set) (*oracle, error) {
	c := s.changes[k]
	if k+1 == len(s.epochs) {
		s.epochs = append(s.epochs, s.epochs[k].epoch(c.members, base, s.epochs[k].from+c.lasts))
	}
	if e := s.epochs[k+1]; e.base != base {
		return nil, fmt.Errorf("epoch %d begins with %v emitted for one, with %v for another", k+1, e.base, base)
	}
	return s.epochs[k+1], nil
}

// ledger is what the oracle decides who knows what the replica does.
func (r *replica) ledger() []ruling {
	var out []ruling
	base := set{}
	for k := 0; ; k++ {
		if k == len(r.views) {
			r.views = append(r.views, r.story.epochs[k].newView())
		}
		r.views[k].known = r.known
		rulings, over := r.views[k].ledger(), false
		for i, w := range rulings {
			rulings[i].epoch = k
			for _, id := range w.emitted {
				base.add(id)
			}
			if over = w.ends && r.story.over(k, w.round); over {
				rulings = rulings[:i+1]
				break
			}
		}
		out = append(out, rulings...)
		if !over {
			return out
		}
		if _, err := r.story.next(k, base); err != nil {
			panic(err)
		}
	}
}

// over reports whether an epoch ends with a round.
func (s *story) over(k, round int) bool {
	if k == len(s.changes) {
		return false
	}
	next := 0
	for _, c := range s.changes[:k+1] {
		next += c.lasts
	}
	return round == next-1
}

// epochEnds reports whether the epoch that the replica is in ends with a slot.
func (r *replica) epochEnds(d Decision) bool {
	return d.EndsRound && r.story.over(r.epoch, int(d.Round))
}

// nextEpoch begins the next epoch. What is known and not emitted must be
// derived anew, and nothing else.
func (r *replica) nextEpoch() error {
	if r.unchecked {
		_, err := r.begin(r.order, r.story.changes[r.epoch])
		r.epoch++
		return err
	}
	var base set
	for _, d := range r.decisions {
		for _, b := range d.Batches {
			base.add(r.ends[Parent{b.Log, b.Size}])
		}
	}
	next, err := r.story.next(r.epoch, base)
	if err != nil {
		return err
	}
	nodes, err := r.begin(r.order, r.story.changes[r.epoch])
	if err != nil {
		return err
	}
	r.oracle = next
	r.epoch++
	derived := base
	for _, n := range nodes {
		id := r.ends[Parent{n.Log, n.Size}]
		if before := r.pasts[id].minus(&derived); len(before) != 1 {
			return fmt.Errorf("batch %d is derived anew before its past, or again", id)
		}
		derived.add(id)
		r.again++
		if r.rounds[id] != r.story.epochs[r.epoch-1].rounds[id] {
			r.moved++
		}
		if err := r.checkNode(id, n); err != nil {
			return fmt.Errorf("in epoch %d: %w", r.epoch, err)
		}
		r.past.put(n)
	}
	if derived != r.known {
		return fmt.Errorf("%d batches are derived anew in epoch %d, and others are not emitted", len(nodes), r.epoch)
	}
	return nil
}

// fits reports whether the Order knows all logs that a batch is of or names.
func (r *replica) fits(id int) bool {
	logs := len(r.order.logs)
	return int(r.batches[id].Log) < logs && !slices.ContainsFunc(r.batches[id].Parents, func(p Parent) bool {
		return int(p.Member) >= logs
	})
}

// insertReady inserts those of some batches that can be, and returns the rest.
func (r *replica) insertReady(waiting []int, insert func(id int) error) ([]int, error) {
	for i := 0; i < len(waiting); {
		id := waiting[i]
		if len(r.pasts[id].minus(&r.known)) > 1 {
			i++
			continue
		}
		if !r.fits(id) {
			if err := r.decide(); err != nil {
				return nil, err
			}
			if !r.fits(id) {
				i++
				continue
			}
		}
		waiting, i = slices.Delete(waiting, i, i+1), 0
		if err := insert(id); err != nil {
			return nil, err
		}
	}
	return waiting, nil
}

// tale returns the random graph of a seed, with random epochs, and the source of
// chance for what is done with it. Members author from when they join on, in the
// eyes of one who knows everything.
func tale(seed int) (*rand.Rand, *story) {
	rng := rand.New(rand.NewPCG(uint64(seed), 3))
	n := sizes[seed%len(sizes)]
	logs, changes := n, randomChanges(rng, n)
	if len(changes) > 0 {
		logs = changes[len(changes)-1].logs
	}
	s := newSketch(rng, logs)
	s.there = n
	order, k, first := New(n, nil), 0, 0
	s.draw(min(240, 40+n*rng.IntN(30)), func(b Batch) {
		must(order.Insert(b))
		for {
			d := must(order.Decide())
			if len(d) == 0 {
				return
			}
			if k < len(changes) && d[len(d)-1].EndsRound && int(d[0].Round) == first+changes[k].lasts-1 {
				must(nextEpoch(order, changes[k]))
				s.there, first = changes[k].logs, first+changes[k].lasts
				s.leave(changes[k].members)
				k++
			}
		}
	})
	return rng, newStory(newGraph(logs, s.batches).epoch(upTo(n), set{}, 0), changes)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// leave has most of those that are no members author no more.
func (s *sketch) leave(members []int) {
	for i := range s.there {
		if !slices.Contains(members, i) && s.rng.IntN(4) != 0 {
			s.members[i].rate = 0
		}
	}
}

// randomChanges returns up to four changes of the members of a network: one
// joins, one leaves, one takes the place of another, or anything.
func randomChanges(rng *rand.Rand, n int) []change {
	var out []change
	members, logs := upTo(n), n
	for range 1 + rng.IntN(4) {
		members = slices.Clone(members)
		what := rng.IntN(8)
		if what != 0 && what < 6 && len(members) > 1 && (what%2 == 0 || what == 5) {
			at := rng.IntN(len(members))
			members = slices.Delete(members, at, at+1)
		}
		if what != 0 && what < 6 && what%2 == 1 {
			members = append(members, logs)
			logs++
		}
		if what == 0 {
			members, logs = nil, logs+rng.IntN(2)
			for i := range logs {
				if rng.IntN(3) != 0 {
					members = append(members, i)
				}
			}
			if len(members) == 0 {
				members = []int{rng.IntN(logs)}
			}
		}
		out = append(out, change{lasts: 1 + rng.IntN(4), members: members, logs: logs})
	}
	return out
}

// TestEpochs has two members take random graphs in different orders, and go
// from epoch to epoch when they come to it, knowing more or less. Both must
// decide what the oracle does, one of them after every batch, though the other
// resumes and crashes at random, and both forget all they can.
func TestEpochs(t *testing.T) {
	var c epochCoverage
	for seed := range seedsFor(4_000, 1_000) {
		rng, s := tale(seed)
		a := s.replica([]int{0, 1, 4, keepEmitted}[rng.IntN(4)])
		if err := a.follow(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		b := s.replica([]int{0, 1, 4, keepEmitted}[rng.IntN(4)])
		if err := b.wander(rng, a.decisions); err != nil {
			t.Fatalf("seed %d, in another order: %v", seed, err)
		}
		if len(a.decisions) != len(b.decisions) {
			t.Fatalf("seed %d: one has decided %d slots, the other %d", seed, len(a.decisions), len(b.decisions))
		}
		if err := extendsCausality(a.oracle, b.decisions); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		c.note(a)
	}
	c.report(t)
}

// epochCoverage counts what the random graphs have tried.
type epochCoverage struct {
	reached               [5]int // epochs, by number
	hows                  [hows]int
	lookups, tails, comes int
	again, moved          int
}

func (c *epochCoverage) note(r *replica) {
	c.lookups, c.again, c.moved = c.lookups+r.past.reads, c.again+r.again, c.moved+r.moved
	for k := range r.epoch + 1 {
		c.reached[k]++
	}
	for _, w := range r.ledger() {
		if w.epoch == 0 {
			continue
		}
		c.hows[w.how]++
		if w.how.committed() && w.member >= r.story.epochs[0].n {
			c.comes++
		}
		for _, id := range w.emitted {
			if !slices.Contains(r.story.epochs[w.epoch].members, int(r.batches[id].Log)) {
				c.tails++
			}
		}
	}
}

func (c *epochCoverage) report(t *testing.T) {
	t.Logf("epochs reached %v, direct commits %d, direct skips %d, indirect commits %d, indirect skips %d in later ones",
		c.reached, c.hows[directCommit], c.hows[directSkip], c.hows[indirectCommit], c.hows[indirectSkip])
	t.Logf("batches derived again %d, to another round %d; batches emitted of no members %d, slots of new members committed %d, lookups of forgotten parents %d",
		c.again, c.moved, c.tails, c.comes, c.lookups)
	for _, count := range append([]int{c.moved, c.tails, c.comes, c.lookups, c.reached[4]}, c.hows[directCommit:]...) {
		if count < 50 {
			t.Error("the random graphs do not try everything")
			break
		}
	}
}

// TestEpochDecisions shows what an epoch begins with, in graphs of few lines.
// "1: abcde" says that the epoch whose first round is 1 is that of the members
// abcde. Where it begins, the decisions name what was derived anew, and to which
// rounds. Of five members four are a quorum, and of three all.
func TestEpochDecisions(t *testing.T) {
	for _, c := range []struct{ name, epochs, dag, want string }{
		// e has nothing to show when its first slots come. It takes part from
		// round 3 on.
		{name: "one joins", epochs: "1: abcde", dag: `
			abcd1: r0
			abcd2: r1 <- abcd1
			abcd3: r2 <- abcd2
			e1: r3 <- abcd3
			abcd4: r3 <- abcd3
			abcd5: r4 <- abcd4 e1
			e2: r4 <- abcd4`,
			want: `
			0a: a1
			0b: b1
			0c: c1
			0d: d1
			1: abcde a2=1 b2=1 c2=1
			1e: skip
			1a: a2
			1b: b2
			1c: c2
			1d: d2
			2d: d3
			2e: skip
			2a: a3
			2b: b3
			2c: c3
			3c: c4
			3d: d4
			3e: e1
			3a: a4
			3b: b4`},
		// d2 and d3 come with the slot of b3, which has seen them; d has no slots.
		// Nobody has seen d4.
		{name: "one leaves, and its tail", epochs: "1: abc", dag: `
			abcd1: r0
			abc2: r1 <- abcd1
			d2: r1 <- abc1
			d3: r2 <- abc2
			abc3: r2 <- abc2 d3
			d4: r3 <- abc3
			abc4: r3 <- abc3`,
			want: `
			0a: a1
			0b: b1
			0c: c1
			0d: d1
			1: abc a2=1 b2=1 c2=1
			1c: c2
			1a: a2
			1b: b2
			2b: d2 d3 b3
			2c: c3
			2a: a3`},
		// Two of three are no quorum, with what d says neither.
		{name: "one that has left supports no round", epochs: "1: abc", dag: `
			abcd1: r0
			abc2: r1 <- abcd1
			d2: r1 <- ab2
			a3: r2=1 <- b2 d2
			a4: r2 <- c2`,
			want: `
			0a: a1
			0b: b1
			0c: c1
			0d: d1
			1: abc a2=1 b2=1 c2=1`},
		{name: "one takes the place of another", epochs: "1: abce", dag: `
			abcd1: r0
			abcd2: r1 <- abcd1
			e1: r1 <- abcd2
			abc3: r2 <- abcd2 e1
			e2: r2 <- abcd2`,
			want: `
			0a: a1
			0b: b1
			0c: c1
			0d: d1
			1: abce a2=1 b2=1 c2=1
			1e: a2 b2 c2 d2 e1
			1a:
			1b:
			1c:`},
		// Round 0 is decided when there are batches of round 3. With six members, of
		// whom five are a quorum, none of these supports a round.
		{name: "claims are cut anew", epochs: "1: abcdef", dag: `
			abcd1: r0
			ab2: r1 <- abcd1
			cd2: r1 <- bcd1
			abcd3: r2 <- abcd2
			abc4: r3 <- abcd3
			d4: r3=1 <- abc3
			e1: r2=1 <- abcd2
			f1: r3=2 <- abcd2 e1`,
			want: `
			0a: a1
			0b: b1
			0c: c1
			0d: d1
			1: abcdef a2=1 b2=1 c2=1 d2=1 a3=1 b3=1 c3=1 d3=1 a4=1 b4=1 c4=1`},
		// Of two members, both are a quorum, so that a3 has a reason to claim more
		// than was given to it.
		{name: "claims are cut less", epochs: "1: ab", dag: `
			abcd1: r0
			ab2: r1 <- abcd1
			a3: r5=1 <- b2
			c2: r1 <- abcd1
			b3: r2 <- a2
			ab4: r3 <- ab3`,
			want: `
			0a: a1
			0b: b1
			0c: c1
			0d: d1
			1: ab a2=1 b2=1 a3=2 c2=1
			1b: b2
			1a: a2
			2a: a3
			2b: b3`},
		{name: "claims of before", epochs: "3: abcd", dag: `
			abcd1: r0
			abcd2: r1 <- abcd1
			abcd3: r2 <- abcd2
			abc4: r3 <- abcd3
			d4: r0=3
			d5: r1=3 <- abc3
			a5: r4 <- bc4`,
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
			2b: b3
			3: abcd a4=3 b4=3 c4=3`},
		// a5 names a quorum of round 2, which the epoch has left behind.
		{name: "what is emitted is no reason", epochs: "3: abcd", dag: `
			abcd1: r0
			abcd2: r1 <- abcd1
			abcd3: r2 <- abcd2
			abc4: r3 <- abcd3
			a5: r4=3 <- bcd3`,
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
			2b: b3
			3: abcd a4=3 b4=3 c4=3`},
		{name: "down to one, and up to two", epochs: `
			1: a
			2: ab`, dag: `
			abcd1: r0
			abc2: r1 <- abcd1
			a3: r2
			a4: r3 <- bc2
			b3: r3 <- a3`,
			want: `
			0a: a1
			0b: b1
			0c: c1
			0d: d1
			1: a a2=1 b2=1 c2=1
			1a: a2
			2: ab b2=2 c2=2 a3=2
			2a: a3
			2b: b2`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := writeEpochs(t, New(4, newMemory()), parseDAG(t, c.dag), c.epochs)
			if want := trim(c.want); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

// writeEpochs inserts a drawn graph, deciding after every batch, and begins
// epochs where they are to begin. It writes decisions down as write does.
func writeEpochs(t *testing.T, o *Order, dag []drawn, epochs string) string {
	t.Helper()
	next := map[uint64]string{}
	for line := range strings.Lines(trim(epochs)) {
		first, members, _ := strings.Cut(strings.TrimSpace(line), ": ")
		next[number(first)] = members
	}
	var out strings.Builder
	for _, d := range dag {
		node, err := o.Insert(d.Batch)
		if err != nil {
			t.Fatal(err)
		}
		if node.Round != d.round {
			t.Errorf("%s%d has round %d, want %d", name(d.Log), d.Size, node.Round, d.round)
		}
		for {
			decisions, err := o.Decide()
			if err != nil {
				t.Fatal(err)
			}
			if len(decisions) == 0 {
				break
			}
			out.WriteString(write(decisions))
			last := decisions[len(decisions)-1]
			if members := next[last.Round+1]; last.EndsRound && members != "" {
				fmt.Fprintf(&out, "%d: %s%s\n", last.Round+1, members, begin(t, o, members))
			}
		}
	}
	return out.String()
}

// begin begins an epoch of members, and writes down what is derived anew.
func begin(t *testing.T, o *Order, members string) string {
	t.Helper()
	var ids []protocol.MemberID
	logs := len(o.logs)
	for _, c := range members {
		ids = append(ids, protocol.MemberID(c-'a'))
		logs = max(logs, int(c-'a')+1)
	}
	nodes, err := o.NextEpoch(ids, logs)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, n := range nodes {
		fmt.Fprintf(&out, " %s%d=%d", name(n.Log), n.Size, n.Round)
	}
	return out.String()
}

// TestNoEpoch demands that an epoch begin at the end of a round only, that it
// have members, and that no log be lost.
func TestNoEpoch(t *testing.T) {
	abc := []protocol.MemberID{0, 1, 2}
	for _, c := range []struct {
		name, dag, reason string
		members           []protocol.MemberID
		logs              int
	}{
		{"before all", "", "after 0 slots of round 0", abc, 4},
		{"within a round", "abcd1: r0\nab2: r1 <- abcd1\nc2: r1 <- ab1", "after 3 slots of round 0", abc, 4},
		{"less logs", "abcd1: r0\nabc2: r1 <- abcd1", "3 logs begins after one of 4", abc, 3},
		{"no members", "abcd1: r0\nabc2: r1 <- abcd1", "without members", nil, 4},
		{"out of order", "abcd1: r0\nabc2: r1 <- abcd1", "members [1 0]", []protocol.MemberID{1, 0}, 4},
		{"twice", "abcd1: r0\nabc2: r1 <- abcd1", "members [1 1]", []protocol.MemberID{1, 1}, 4},
		{"without a log", "abcd1: r0\nabc2: r1 <- abcd1", "members [0 5] of 5 logs", []protocol.MemberID{0, 5}, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := New(4, newMemory())
			insertAll(t, o, parseDAG(t, c.dag))
			before := fmt.Sprint(o.State())
			if _, err := o.NextEpoch(c.members, c.logs); err == nil || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("error %v, want one with %q", err, c.reason)
			}
			if after := fmt.Sprint(o.State()); after != before {
				t.Errorf("the state was %s and is %s", before, after)
			}
		})
	}
}

// TestReached demands that rounds of before an epoch mean nothing in it.
func TestReached(t *testing.T) {
	o := New(4, newMemory())
	if r := o.Reached(0); r != -1 {
		t.Errorf("a log without batches has reached round %d", r)
	}
	writeEpochs(t, o, parseDAG(t, "abcd1: r0\nabc2: r1 <- abcd1"), "1: abcde")
	for log, want := range map[protocol.MemberID][2]int64{0: {1, 2}, 3: {0, 1}, 4: {0, 0}, 5: {0, 0}} {
		round, size := o.Tip(log)
		if r := o.Reached(log); r != want[0] || int64(size) != want[1] || int64(round) != max(0, r) {
			t.Errorf("log %d has reached round %d, and its tip is of round %d at %d, want %v", log, r, round, size, want)
		}
	}
}

// TestEpochMemory has the members change for long. Memory must not grow, what is
// emitted must not be looked up to begin an epoch, and what is read to resume
// is bounded by what is not decided.
func TestEpochMemory(t *testing.T) {
	m := newMemory()
	m.denied = func(Parent) bool { return true }
	o := New(4, m)
	for k := range 100 {
		full(t, o, m, 5*k, 5*k+5)
		// One of the four sits out every other epoch.
		members := []protocol.MemberID{0, 1, 2, 3}
		if k%2 == 0 {
			members = slices.Delete(members, k/2%4, k/2%4+1)
		}
		nodes, err := o.NextEpoch(members, 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			m.put(n)
		}
		o.Forget(o.State())
		if nodes, rounds := held(o); nodes > 4*(2*keepEmitted+3) || rounds > 3 {
			t.Fatalf("%d batches and %d rounds are in memory", nodes, rounds)
		}
	}
	m.denied = nil
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
}
