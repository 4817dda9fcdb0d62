package load

import (
	"math/rand/v2"
	"time"
)

// arrival is an event that is due.
type arrival struct {
	seq uint64
	due time.Duration // since the start of the run
}

// schedule yields the arrivals of the open loop, in order.
type schedule struct {
	rate   float64
	random *rand.Rand // nil: constant gaps
	next   arrival
	at     float64 // of next, in seconds
}

func newSchedule(c Config) *schedule {
	s := &schedule{rate: c.Rate}
	if c.Arrival == Poisson {
		s.random = rand.New(rand.NewPCG(c.Seed, 0))
		s.at = s.random.ExpFloat64() / s.rate
		s.next.due = seconds(s.at)
	}
	return s
}

// advance moves on to the arrival after next.
func (s *schedule) advance() {
	s.next.seq++
	if s.random != nil {
		s.at += s.random.ExpFloat64() / s.rate
	} else {
		// Not a sum of rounded gaps, which would drift.
		s.at = float64(s.next.seq) / s.rate
	}
	s.next.due = seconds(s.at)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
