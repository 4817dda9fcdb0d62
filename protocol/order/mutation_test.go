package order

import (
	"math/rand/v2"
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
