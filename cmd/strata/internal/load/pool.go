package load

import "sync"

// pool hands the arrivals for one URL to workers, each of which has a
// connection. A worker is started when all others are busy, and the one that
// became idle last is used first, so there are no more connections, and no
// more memory is in use, than the load needs.
type pool struct {
	start func(w *worker) // runs a worker to its end
	max   int             // workers

	mu      sync.Mutex
	started int // and not ended
	idle    []*worker
	backlog chan arrival // only sent to and received from without blocking
	closed  bool
	running sync.WaitGroup
}

// worker is one connection's place in its pool.
type worker struct {
	pool *pool
	wake chan arrival // of capacity 1; filled or closed when taken from idle
}

func newPool(workers, backlog int, start func(*worker)) *pool {
	return &pool{start: start, max: workers, backlog: make(chan arrival, backlog)}
}

// dispatch gives an arrival to a worker or leaves it in the backlog. It
// reports whether there was room.
func (p *pool) dispatch(a arrival) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.idle) - 1; last >= 0 {
		p.idle[last].wake <- a
		p.idle = p.idle[:last]
		return true
	}
	if p.started < p.max {
		p.started++
		w := &worker{pool: p, wake: make(chan arrival, 1)}
		w.wake <- a
		p.running.Go(func() { p.start(w) })
		return true
	}
	select {
	case p.backlog <- a:
		return true
	default:
		return false
	}
}

// next waits for the worker's next arrival. It reports false when the pool is
// closed and nothing is left to do.
func (w *worker) next() (arrival, bool) {
	select {
	case a := <-w.wake: // the one it was started for
		return a, true
	default:
	}
	p := w.pool
	p.mu.Lock()
	select {
	case a := <-p.backlog:
		p.mu.Unlock()
		return a, true
	default:
	}
	if p.closed {
		p.started--
		p.mu.Unlock()
		return arrival{}, false
	}
	p.idle = append(p.idle, w)
	p.mu.Unlock()
	a, ok := <-w.wake
	return a, ok
}

// close lets the workers end when the backlog is empty, and waits for them.
// Nothing may be dispatched afterwards.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for _, w := range p.idle {
		close(w.wake)
	}
	p.started -= len(p.idle)
	p.idle = nil
	p.mu.Unlock()
	p.running.Wait()
}

// load is the number of arrivals with a worker, and of those waiting for one.
func (p *pool) load() (inFlight, backlog int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.started - len(p.idle), len(p.backlog)
}
