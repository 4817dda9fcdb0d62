package pebbleds

import (
	"math"
	"sync/atomic"
)

// gate counts operations under way, so that Close can wait for them. Unlike
// with a read-write lock, an operation may begin another one (from the
// callback of a scan) while Close waits: the inner one is refused.
type gate struct {
	n    atomic.Int64 // operations under way, plus shut once shut
	idle chan struct{}
}

const shut = math.MinInt64 / 2

func newGate() *gate { return &gate{idle: make(chan struct{}, 1)} }

// enter begins an operation, which leave ends. It reports false, and nothing
// begins, if the gate is shut.
func (g *gate) enter() bool {
	if g.n.Add(1) > 0 {
		return true
	}
	g.leave()
	return false
}

func (g *gate) leave() {
	if g.n.Add(-1) == shut {
		select {
		case g.idle <- struct{}{}:
		default: // Several may find the gate idle; close waits for one.
		}
	}
}

func (g *gate) isShut() bool { return g.n.Load() < 0 }

// close shuts the gate and waits until no operation is under way. It must be
// called at most once.
func (g *gate) close() {
	if g.n.Add(shut) != shut {
		<-g.idle
	}
}
