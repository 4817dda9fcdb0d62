package order

import (
	"math"
	"math/rand/v2"

	"github.com/strataos/strataos/protocol"
)

// habits are how a member of a random graph behaves.
type habits struct {
	rate   int     // how often it authors, 0 for never
	hide   float64 // how likely it leaves a log out of its parents
	lag    float64 // how likely it names an old batch
	quiet  float64 // how likely it names no parents at all
	claims int     // 0: one more than before, 1: as much as it gets, 2: anything
}

// sketch makes a random graph.
type sketch struct {
	rng     *rand.Rand
	n       int
	members []habits
	layered bool    // everybody names what was there when the layer began
	there   int     // members that author by now: the first ones
	chains  [][]int // the batches of each log
	layer   []int   // the lengths of chains when the layer began
	claimed []uint64
	batches []Batch
}

// randomDAG returns a random graph in an order in which each batch comes after
// its past.
func randomDAG(rng *rand.Rand, n int) []Batch {
	s := newSketch(rng, n)
	s.draw(min(250, n*(6+rng.IntN(8))), nil)
	return s.batches
}

func newSketch(rng *rand.Rand, n int) *sketch {
	s := &sketch{
		rng: rng, n: n, there: n, members: make([]habits, n), layered: rng.IntN(2) == 0,
		chains: make([][]int, n), layer: make([]int, n), claimed: make([]uint64, n),
	}
	calm := rng.Float64() // how much alike and how regular everybody is
	hide := rng.Float64() * 0.5
	for i := range s.members {
		h := habits{rate: 4, hide: hide, quiet: rng.Float64() * 0.3 * calm}
		if rng.Float64() > calm {
			h = habits{
				rate: []int{0, 1, 1, 2, 4, 4, 4, 8}[rng.IntN(8)], hide: rng.Float64() * 0.7,
				lag: rng.Float64() * 0.7 * float64(rng.IntN(2)), quiet: rng.Float64() * 0.5, claims: rng.IntN(3),
			}
		}
		s.members[i] = h
	}
	return s
}

// draw draws batches up to a number of them, and tells of each.
func (s *sketch) draw(want int, drawn func(Batch)) {
	for len(s.batches) < want {
		for i := range s.chains {
			s.layer[i] = len(s.chains[i])
		}
		authored := false
		for _, i := range s.rng.Perm(s.there) {
			if s.rng.IntN(4) < s.members[i].rate {
				s.author(i)
				authored = true
				if drawn != nil {
					drawn(s.batches[len(s.batches)-1])
				}
			}
		}
		if !authored && s.rng.IntN(8) == 0 {
			break // nobody may be there at all
		}
	}
}

// author has a member author a batch.
func (s *sketch) author(i int) {
	h := s.members[i]
	b := Batch{Log: protocol.MemberID(i)}
	if c := s.chains[i]; len(c) > 0 {
		pred := s.batches[c[len(c)-1]]
		b.Old, b.Time = pred.Size, pred.Time
	}
	b.Size = b.Old + 1 + uint64(s.rng.IntN(3))
	if s.rng.Float64() >= h.quiet {
		for _, j := range s.rng.Perm(s.there) {
			if j != i && s.rng.Float64() >= h.hide {
				s.name(&b, j, s.rng.Float64() < h.lag)
			}
		}
	}
	b.Time += 1 + protocol.Micros(s.rng.IntN(4))
	b.Claim = s.claim(i)
	s.chains[i] = append(s.chains[i], len(s.batches))
	s.batches = append(s.batches, b)
}

// name adds a parent.
func (s *sketch) name(b *Batch, j int, old bool) {
	have := len(s.chains[j])
	if s.layered {
		have = s.layer[j]
	}
	if have == 0 {
		return
	}
	at := have - 1
	if old {
		at = s.rng.IntN(have)
	}
	p := s.batches[s.chains[j][at]]
	b.Parents = append(b.Parents, Parent{p.Log, p.Size})
	b.Time = max(b.Time, p.Time)
}

func (s *sketch) claim(i int) uint64 {
	switch s.members[i].claims {
	case 0:
		s.claimed[i] += uint64(s.rng.IntN(3)) / 2 // one more than is supported is common enough
		s.claimed[i] = min(s.claimed[i]+1, uint64(len(s.batches)/max(s.there-1, 1)+1))
		return s.claimed[i]
	case 1:
		return math.MaxUint64 - uint64(s.rng.IntN(2))
	}
	switch s.rng.IntN(4) {
	case 0:
		return s.rng.Uint64()
	case 1:
		return 0
	}
	return uint64(s.rng.IntN(len(s.batches)/s.there + 2))
}
