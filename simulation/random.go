package simulation

import (
	"math"
	"math/rand/v2"

	"github.com/strataos/strataos/protocol"
)

// stream names a source of chance. Each part of a run has its own, so that
// leaving out one kind of fault changes as little as possible of the rest.
type stream uint64

const (
	streamSchedule stream = iota + 1
	streamNetwork
	streamDisk
	streamClock
	streamLoad
	streamFaults
	streamLiars
	streamMachines
	streamCouncil
	streamReform
)

func newStream(seed uint64, s stream) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(s)))
}

// exponential draws a time whose mean is given, bounded to ten times that.
func exponential(rng *rand.Rand, mean protocol.Micros) protocol.Micros {
	x := min(rng.ExpFloat64(), 10)
	return protocol.Micros(x * float64(mean))
}

// between draws a time from low to high.
func between(rng *rand.Rand, low, high protocol.Micros) protocol.Micros {
	if high <= low {
		return low
	}
	return low + protocol.Micros(rng.Int64N(int64(high-low)+1))
}

// logNormal draws a factor whose median is 1.
func logNormal(rng *rand.Rand, sigma float64) float64 {
	return math.Exp(sigma * rng.NormFloat64())
}
