package order

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// seedsFor is how many random graphs a test looks at.
func seedsFor(full, short int) int {
	if testing.Short() {
		return short
	}
	return full
}

// sizes are the numbers of members of the random graphs, by seed.
var sizes = []int{4, 5, 6, 7, 10, 4, 5, 6, 7, 10, 4, 5, 6, 7, 10, 1, 2, 3}

// seeded returns the random graph of a seed, the oracle's opinion of it, and
// the source of chance for what is done with it.
func seeded(seed int) (*rand.Rand, *oracle) {
	rng := rand.New(rand.NewPCG(uint64(seed), 1))
	n := sizes[seed%len(sizes)]
	return rng, newOracle(n, randomDAG(rng, n))
}

// replica is a member's Order with what has come of it.
type replica struct {
	*oracle   // of the epoch that it is in
	story     *story
	epoch     int
	order     *Order
	past      *memory
	known     set
	views     []*view // by epoch
	inserted  []int
	decisions []Decision
	durable   State // what Forget was given last
	// again is how many batches were derived again, and moved those that have
	// come to another round.
	again, moved int
	// begin begins an epoch, NextEpoch's unless it is mutated.
	begin func(o *Order, c change) ([]Node, error)
	// unchecked says that the oracle is not asked.
	unchecked bool
}

func newReplica(o *oracle, keep int) *replica {
	return newStory(o, nil).replica(keep)
}

func (s *story) replica(keep int) *replica {
	r := &replica{oracle: s.epochs[0], story: s, past: newMemory(), begin: nextEpoch}
	r.order = New(r.n, r.past)
	r.order.keep = keep
	r.past.denied = func(p Parent) bool { return p.Size > r.durable.Emitted.At(p.Member) }
	return r
}

func (r *replica) insert(id int) error {
	b := r.batches[id]
	for _, x := range []int{id, (7*id + 3) % len(r.batches)} {
		if !r.fits(x) {
			continue
		}
		before := r.pasts[x].minus(&r.known)
		before = slices.DeleteFunc(before, func(y int) bool { return y == x })
		p, missing := r.order.Missing(r.batches[x])
		if _, size := r.order.Tip(p.Member); missing != (len(before) > 0) || missing && p.Size <= size {
			return fmt.Errorf("batch %d: %v is missing: %v", x, p, missing)
		}
	}
	node, err := r.order.Insert(b)
	if err != nil {
		return err
	}
	r.past.put(node)
	r.known.add(id)
	r.inserted = append(r.inserted, id)
	if r.unchecked {
		return nil
	}
	return r.checkNode(id, node)
}

// checkNode compares what follows from a batch's past with the oracle's opinion.
func (r *replica) checkNode(id int, node Node) error {
	if node.Round != uint64(r.rounds[id]) {
		return fmt.Errorf("round of batch %d is %d, want %d", id, node.Round, r.rounds[id])
	}
	for i, chain := range r.chains[:len(r.order.logs)] {
		want := uint64(0)
		for _, x := range chain {
			if r.pasts[id].has(x) {
				want = r.batches[x].Size
			}
		}
		if node.Clock[i] != want {
			return fmt.Errorf("clock of batch %d is %v, want %d for member %d", id, node.Clock, want, i)
		}
	}
	return nil
}

func (r *replica) decide() error {
	for {
		decisions, err := r.order.Decide()
		if err != nil || len(decisions) == 0 {
			return err
		}
		r.decisions = append(r.decisions, decisions...)
		if r.epochEnds(decisions[len(decisions)-1]) {
			if err := r.nextEpoch(); err != nil {
				return err
			}
		}
	}
}

// forget has the Order let go of what was emitted in a state.
func (r *replica) forget(s State) {
	r.durable = s
	r.order.Forget(s)
}

// check compares everything that is decided with the oracle's opinion.
func (r *replica) check() error {
	want := r.ledger()
	for i, w := range want {
		if i == len(r.decisions) {
			return fmt.Errorf("slot %d of round %d is not decided, want %v", w.member, w.round, w)
		}
		if !r.is(w, r.decisions[i]) {
			return fmt.Errorf("decision %+v, want %v", r.decisions[i], w)
		}
	}
	if len(r.decisions) > len(want) {
		return fmt.Errorf("decision %+v is too early", r.decisions[len(want)])
	}
	return nil
}

// resume replaces the Order by one that goes on from a state.
func (r *replica) resume(s State) error {
	keep, denied := r.order.keep, r.past.denied
	r.past.denied = nil
	o, err := Resume(s, r.past)
	if err != nil {
		return err
	}
	r.order, r.past.denied = o, denied
	o.keep = keep
	r.forget(s)
	return nil
}

// follow inserts the graph in its own order, comparing after every batch.
func (r *replica) follow() error {
	for id := range r.batches {
		if err := r.insert(id); err != nil {
			return err
		}
		if err := r.decide(); err != nil {
			return err
		}
		if err := r.check(); err != nil {
			return fmt.Errorf("after batch %d: %w", id, err)
		}
		r.forget(r.order.State())
	}
	return nil
}

// saved is from where a replica goes on after a crash.
type saved struct {
	state               State
	nodes               map[Parent]Node
	epoch               int
	inserted, decisions int
}

func (r *replica) save() saved {
	return saved{r.order.State(), maps.Clone(r.past.nodes), r.epoch, len(r.inserted), len(r.decisions)}
}

// crash goes back to what was saved, and inserts again what came later.
func (r *replica) crash(s saved) error {
	r.past.nodes, r.epoch, r.oracle = maps.Clone(s.nodes), s.epoch, r.story.epochs[s.epoch]
	if err := r.resume(s.state); err != nil {
		return err
	}
	again := slices.Clone(r.inserted[s.inserted:])
	r.inserted, r.decisions = r.inserted[:s.inserted], r.decisions[:s.decisions]
	r.known = set{}
	for _, id := range r.inserted {
		r.known.add(id)
	}
	for _, id := range again {
		if !r.fits(id) { // yet
			if err := r.decide(); err != nil {
				return err
			}
		}
		if err := r.insert(id); err != nil {
			return err
		}
	}
	return r.decide()
}

// wander inserts the graph in another order, deciding now and then, resuming
// and crashing. What it decides must always begin what another has decided.
func (r *replica) wander(rng *rand.Rand, others []Decision) (err error) {
	last, lazy := r.save(), []int{3, 3, 32}[rng.IntN(3)]
	step := func(id int) error {
		if err := r.insert(id); err != nil {
			return err
		}
		if err := r.stir(rng, &last, lazy); err != nil {
			return err
		}
		if !isPrefix(r.decisions, others) {
			return fmt.Errorf("decisions after %d batches do not begin the others'", len(r.inserted))
		}
		return nil
	}
	var waiting []int
	r.shuffled(rng, func(id int) {
		if err == nil {
			waiting, err = r.insertReady(append(waiting, id), step)
		}
	})
	if err == nil && len(waiting) > 0 {
		err = fmt.Errorf("batches %v are never inserted", waiting)
	}
	if err != nil {
		return err
	}
	if err := r.decide(); err != nil {
		return err
	}
	return r.check()
}

// shuffled takes all batches in a random order in which each comes after its
// past, the batches of one member late.
func (o *oracle) shuffled(rng *rand.Rand, take func(id int)) {
	logs := len(o.chains)
	next := make([]int, logs) // by member, how many batches are taken
	var taken set
	late := rng.IntN(logs)
	for done := 0; done < len(o.batches); {
		i := rng.IntN(logs)
		if next[i] == len(o.chains[i]) || i == late && rng.IntN(16) != 0 {
			continue
		}
		id := o.chains[i][next[i]]
		if len(o.pasts[id].minus(&taken)) > 1 {
			if late = i; rng.IntN(2) == 0 {
				late = rng.IntN(logs)
			}
			continue
		}
		taken.add(id)
		next[i]++
		done++
		take(id)
	}
}

// stir does what may happen between two insertions.
func (r *replica) stir(rng *rand.Rand, last *saved, lazy int) error {
	if rng.IntN(16) == 0 {
		if err := r.resume(r.order.State()); err != nil {
			return err
		}
	}
	if n := rng.IntN(lazy); n == 0 || lazy == 3 && n == 1 {
		if err := r.decide(); err != nil {
			return err
		}
		if err := r.check(); err != nil {
			return err
		}
	}
	switch rng.IntN(32) {
	case 0, 1:
		*last = r.save()
		r.forget(last.state)
	case 2:
		return r.crash(*last)
	}
	return nil
}

func isPrefix(a, b []Decision) bool {
	return len(a) <= len(b) && slices.EqualFunc(a, b[:len(a)], func(x, y Decision) bool {
		return x.Round == y.Round && x.Member == y.Member && x.Committed == y.Committed && x.EndsRound == y.EndsRound &&
			slices.EqualFunc(x.Batches, y.Batches, func(v, w Batch) bool { return v.Log == w.Log && v.Size == w.Size })
	})
}

// TestAgreesWithOracle has two members take random graphs in different orders.
// Both must decide what the oracle does, one of them after every batch, though
// the other resumes and crashes at random, and both forget all they can.
func TestAgreesWithOracle(t *testing.T) {
	var c coverage
	for seed := range seedsFor(10_000, 1_000) {
		rng, o := seeded(seed)
		a := newReplica(o, []int{0, 1, 4, keepEmitted}[rng.IntN(4)])
		if err := a.follow(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		b := newReplica(o, []int{0, 1, 4, keepEmitted}[rng.IntN(4)])
		if err := b.wander(rng, a.decisions); err != nil {
			t.Fatalf("seed %d, in another order: %v", seed, err)
		}
		if len(a.decisions) != len(b.decisions) {
			t.Fatalf("seed %d: one has decided %d slots, the other %d", seed, len(a.decisions), len(b.decisions))
		}
		if err := extendsCausality(o, b.decisions); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		c.note(a, b)
	}
	c.report(t)
}

// extendsCausality checks that every batch comes once, and after all of its past.
func extendsCausality(o *oracle, decisions []Decision) error {
	ends := map[Parent]int{}
	for id, b := range o.batches {
		ends[Parent{b.Log, b.Size}] = id
	}
	var emitted set
	for _, d := range decisions {
		if !d.Committed && len(d.Batches) > 0 {
			return fmt.Errorf("skipped slot %d of round %d emits batches", d.Member, d.Round)
		}
		for _, b := range d.Batches {
			id := ends[Parent{b.Log, b.Size}]
			if emitted.has(id) {
				return fmt.Errorf("batch %d is emitted twice", id)
			}
			emitted.add(id)
			if before := o.pasts[id].minus(&emitted); len(before) > 0 {
				return fmt.Errorf("batch %d is emitted before batch %d of its past", id, before[0])
			}
		}
	}
	return nil
}

// coverage counts what the random graphs have tried.
type coverage struct {
	hows                                 [hows]int
	jumps, cuts, lookups, empty, emitted int
}

func (c *coverage) note(a, b *replica) {
	c.lookups += a.past.reads
	for _, w := range a.ledger() {
		c.hows[w.how]++
		c.emitted += len(w.emitted)
		if w.how.committed() && len(w.emitted) == 0 {
			c.empty++
		}
	}
	for _, chain := range a.chains {
		round := 0
		for _, id := range chain {
			if a.rounds[id] > round+1 {
				c.jumps++
			}
			if round = a.rounds[id]; a.batches[id].Claim > uint64(round) {
				c.cuts++
			}
		}
	}
}

func (c *coverage) report(t *testing.T) {
	t.Logf("direct commits %d, direct skips %d, indirect commits %d, indirect skips %d",
		c.hows[directCommit], c.hows[directSkip], c.hows[indirectCommit], c.hows[indirectSkip])
	t.Logf("batches emitted %d, commits that emit nothing %d, jumps %d, claims cut %d, lookups of forgotten parents %d",
		c.emitted, c.empty, c.jumps, c.cuts, c.lookups)
	for _, count := range append([]int{c.jumps, c.cuts, c.lookups, c.empty}, c.hows[directCommit:]...) {
		if count < 50 {
			t.Error("the random graphs do not try everything")
			break
		}
	}
}
