package chaos

import (
	"math/rand/v2"
	"time"
)

// Random makes a script of faults that a network of n nodes must survive: no
// more than faulty of them are out of order at a time. Each fault is taken back
// after some seconds.
func Random(seed uint64, n, faulty int, length time.Duration) []Command {
	rng := rand.New(rand.NewPCG(seed, 0))
	var out []Command
	for at := time.Second; at < length; {
		lasts := min(time.Second+time.Duration(rng.ExpFloat64()*float64(2*time.Second)), 8*time.Second)
		victims := rng.Perm(n)[:max(rng.IntN(faulty+1), min(faulty, 1))]
		begin, end := Command{At: at, Nodes: victims}, Command{At: at + lasts, Nodes: victims}
		switch rng.IntN(5) {
		case 0:
			begin.Verb, end.Verb = "partition", "heal"
		case 1:
			begin.Verb, end.Verb = "delay", "heal"
			begin.Delay = time.Duration(1+rng.IntN(300)) * time.Millisecond
			begin.Jitter = begin.Delay / 4
		case 2:
			begin.Verb, end.Verb = "pause", "resume"
		default:
			begin.Verb, end.Verb = "kill", "start"
		}
		if end.Verb == "heal" {
			end.Nodes = nil
		}
		if len(victims) > 0 {
			out = append(out, begin, end)
		}
		at += lasts + time.Second + time.Duration(rng.Int64N(int64(2*time.Second)))
	}
	return out
}
