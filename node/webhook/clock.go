package webhook

import (
	"context"
	"math/rand/v2"
	"time"
)

// Clock is the time, and chance, that a node's posts go by.
type Clock struct {
	Now func() time.Time
	// Sleep waits, and returns the context's error if that ends first.
	Sleep func(ctx context.Context, d time.Duration) error
	// Random returns a number from 0 up to, and without, 1.
	Random func() float64
}

// SystemClock is the machine's.
func SystemClock() Clock { return Clock{Now: time.Now, Sleep: sleep, Random: rand.Float64} }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Backoff says how long to wait between tries: First after the first one, twice
// as long after each further one, and never longer than Most; of that between a
// half and the whole, by chance, so that many nodes do not come back together.
type Backoff struct{ First, Most time.Duration }

// After returns the time to wait after so many failures, at least one.
func (b Backoff) After(failures int, random float64) time.Duration {
	d := b.First
	for i := 1; i < failures && d < b.Most; i++ {
		d *= 2
	}
	d = min(d, b.Most)
	return d/2 + time.Duration(random*float64(d-d/2))
}
