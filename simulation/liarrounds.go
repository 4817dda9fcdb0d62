package simulation

import "github.com/strataos/strataos/protocol/chronos"

// rounds is how a liar goes about rounds, if it lies about them. Its own log
// never goes back, as nobody would take that.
type rounds struct {
	way     int
	claimed uint64
}

// The ways to lie about rounds.
const (
	roundsAhead  = iota // a few rounds more than there are
	roundsAbsurd        // rounds that nobody ever comes to
	roundsStale         // always the first
	roundsAtRandom
	roundsWays
)

// misguide has the liar's witness machine claim other rounds than the order of
// its other machine asks for. It answers false if it is to hear nothing.
func (l *liar) misguide(a *chronos.Advance) bool {
	if !l.does["rounds"] {
		return true
	}
	r := &l.rounds
	way := r.way
	if way == roundsAtRandom {
		way = l.rng.IntN(roundsAtRandom)
	}
	switch way {
	case roundsStale:
		return false
	case roundsAhead:
		r.claimed = max(r.claimed, a.Ready) + l.rng.Uint64N(4)
	case roundsAbsurd:
		r.claimed = max(r.claimed, 1<<62) + l.rng.Uint64N(1<<40)
	}
	a.Ready = r.claimed
	if a.Due > 0 || l.rng.IntN(2) == 0 {
		a.Due, a.Seal = r.claimed, true
	}
	return true
}
