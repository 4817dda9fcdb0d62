package order

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// mutations change each number of the rules.
var mutations = []struct {
	name   string
	mutate func(*rules)
	// safe says that members still decide the same, if later or otherwise.
	safe bool
}{
	{"support q-1", func(r *rules) { r.support-- }, false},
	{"support q+1", func(r *rules) { r.support++ }, true},
	{"commit q-1", func(r *rules) { r.commit-- }, false},
	{"commit q+1", func(r *rules) { r.commit++ }, true},
	{"skip q-1", func(r *rules) { r.skip-- }, false},
	{"skip q+1", func(r *rules) { r.skip++ }, true},
	{"indirect f", func(r *rules) { r.indirect-- }, false},
	{"indirect f+2", func(r *rules) { r.indirect++ }, false},
	{"wave 1", func(r *rules) { r.wave-- }, false},
	{"wave 3", func(r *rules) { r.wave++ }, true},
}

// TestMutations demands that the random graphs show every mutation, with every
// number of members, or they would not show a mistake either.
func TestMutations(t *testing.T) {
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			found := map[int]int{} // by number of members, the seed that shows it
			for seed := range 1_000 {
				_, o := seeded(seed)
				if _, ok := found[o.n]; ok || o.n < 4 { // less members tolerate no fault
					continue
				}
				r := newReplica(o, keepEmitted)
				m.mutate(&r.order.rules)
				if r.follow() != nil {
					found[o.n] = seed
				}
			}
			t.Logf("seeds by members: %v", found)
			for _, n := range sizes {
				if _, ok := found[n]; !ok && n >= 4 {
					t.Errorf("the random graphs of %d members don't show it", n)
				}
			}
		})
	}
}

// TestNumbersAreTight looks for two members that decide differently, without
// asking the oracle. There are some with every number that is less strict than
// the rules', and none with those that are as strict or more so.
func TestNumbersAreTight(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	as := append(mutations[:len(mutations):len(mutations)], struct {
		name   string
		mutate func(*rules)
		safe   bool
	}{"none", func(*rules) {}, true})
	for _, m := range as {
		t.Run(m.name, func(t *testing.T) {
			for seed := range 5_000 {
				rng := rand.New(rand.NewPCG(uint64(seed), 2))
				o := newOracle(4, randomDAG(rng, 4))
				first := o.decideWith(m.mutate, nil)
				for range 3 {
					other := o.decideWith(m.mutate, rng)
					if isPrefix(first, other) || isPrefix(other, first) {
						continue
					}
					if m.safe {
						t.Errorf("seed %d: two members decide differently", seed)
					}
					return
				}
			}
			if !m.safe {
				t.Error("no two members decide differently")
			}
		})
	}
}

// decideWith has an Order with mutated rules take the graph in its own order,
// or in a random one.
func (o *oracle) decideWith(mutate func(*rules), rng *rand.Rand) []Decision {
	order := New(o.n, nil)
	mutate(&order.rules)
	var out []Decision
	take := func(id int) {
		if _, err := order.Insert(o.batches[id]); err != nil {
			panic(err)
		}
		decisions, err := order.decideAll()
		if err != nil {
			panic(err)
		}
		out = append(out, decisions...)
	}
	if rng == nil {
		for id := range o.batches {
			take(id)
		}
		return out
	}
	o.shuffled(rng, take)
	return out
}

// epochMutations begin epochs wrongly.
var epochMutations = []struct {
	name  string
	begin func(o *Order, c change) ([]Node, error)
	// splits says that two members decide differently.
	splits bool
}{
	// Rounds must not depend on what was known when the epoch began.
	{"rounds are kept", func(o *Order, c change) ([]Node, error) {
		kept := o.unemitted()
		if _, err := o.NextEpoch(c.ids(), c.logs); err != nil {
			return nil, err
		}
		o.rounds = nil
		var out []Node
		for _, n := range kept {
			n.Clock = append(n.Clock, make(Clock, c.logs-len(n.Clock))...)
			n.Rounds = append(slices.Clone(n.Rounds), make([]uint64, c.logs-len(n.Rounds))...)
			chain := &o.logs[n.Log]
			i, _ := chain.find(n.Size)
			var pred *Node
			if i > 0 {
				pred = chain.nodes[i-1]
			}
			chain.nodes[i] = n
			o.enter(pred, n)
			out = append(out, *n)
		}
		return out, nil
	}, true},
	{"the base is what is inserted", func(o *Order, c change) ([]Node, error) {
		return o.spoiled(c, func(e *epoch) {
			for i := range o.logs {
				e.base[i] = o.logs[i].size()
			}
		})
	}, true},
	{"what is emitted counts", func(o *Order, c change) ([]Node, error) {
		return o.spoiled(c, func(e *epoch) { clear(e.base) })
	}, false},
	{"an epoch later", func(o *Order, c change) ([]Node, error) {
		return o.spoiled(c, func(e *epoch) { e.first++ })
	}, false},
	{"the old members", func(o *Order, c change) ([]Node, error) {
		old := o.members
		return o.spoiled(c, func(e *epoch) { *e = newEpoch(old, e.base, e.first) })
	}, false},
	{"all are members", func(o *Order, c change) ([]Node, error) {
		return o.spoiled(c, func(e *epoch) {
			*e = newEpoch(change{members: upTo(c.logs)}.ids(), e.base, e.first)
		})
	}, false},
	{"the old quorum", func(o *Order, c change) ([]Node, error) {
		old := o.rules
		nodes, err := o.NextEpoch(c.ids(), c.logs)
		o.rules = old
		return nodes, err
	}, false},
}

// unemitted are the batches that are not, in order.
func (o *Order) unemitted() []*Node {
	var out []*Node
	for i := range o.logs {
		out = append(out, o.logs[i].nodes[o.logs[i].emitted:]...)
	}
	slices.SortFunc(out, func(a, b *Node) int { return inOrder(a.Batch, b.Batch) })
	return out
}

// spoiled begins an epoch that something is wrong with.
func (o *Order) spoiled(c change, spoil func(*epoch)) ([]Node, error) {
	if _, err := o.NextEpoch(c.ids(), c.logs); err != nil {
		return nil, err
	}
	e := o.epoch
	spoil(&e)
	return o.begin(e)
}

// TestEpochMutations demands that the random graphs show every wrong beginning
// of an epoch, and that two members decide differently by those that depend on
// what each has inserted by then.
func TestEpochMutations(t *testing.T) {
	for _, m := range epochMutations {
		t.Run(m.name, func(t *testing.T) {
			found, split := -1, -1
			for seed := 0; seed < 1_000 && (found < 0 || split < 0 && m.splits); seed++ {
				rng, s := tale(seed)
				r := s.replica(keepEmitted)
				r.begin = m.begin
				if r.follow() != nil && found < 0 {
					found = seed
				}
				if !m.splits {
					continue
				}
				first := s.decideWith(m.begin, nil)
				if other := s.decideWith(m.begin, rng); !isPrefix(first, other) && !isPrefix(other, first) {
					split = seed
				}
			}
			t.Logf("seed %d shows it to the oracle, seed %d to two members", found, split)
			if found < 0 || split < 0 && m.splits {
				t.Error("the random graphs don't show it")
			}
		})
	}
}

// decideWith has an Order that begins epochs wrongly take the graph in its own
// order, or in a random one. It stops where the Order fails.
func (s *story) decideWith(begin func(*Order, change) ([]Node, error), rng *rand.Rand) []Decision {
	r := s.replica(keepEmitted)
	r.begin, r.unchecked = begin, true
	var waiting []int
	var err error
	take := func(id int) {
		if err == nil {
			waiting, err = r.insertReady(append(waiting, id), func(id int) error {
				if err := r.insert(id); err != nil || rng != nil && rng.IntN(8) != 0 {
					return err
				}
				return r.decide()
			})
		}
	}
	if rng != nil {
		r.shuffled(rng, take)
		return r.decisions
	}
	for id := range r.batches {
		take(id)
	}
	return r.decisions
}
