package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// tick is the shortest sleep between hand-outs of due events. Waking for every
// event would cost more than sending it; what is late counts as latency.
const tick = 500 * time.Microsecond

// retryPause is how long a client of the closed loop waits after it could not
// exchange an event.
const retryPause = 10 * time.Millisecond

// Run offers the load that c describes until it is over or ctx ends, waits for
// the answers that are still due, and returns what was measured.
//
// progress, if not nil, is called about once a second, from one goroutine, and
// once more at the end.
//
// Where ctx ends the run, Run returns at once, with its error and a Result of
// what was measured until then. Any other error is about a value of c, and
// the Result is nil.
func Run(ctx context.Context, c Config, progress func(Snapshot)) (*Result, error) {
	return run(ctx, c, dial, progress)
}

func run(ctx context.Context, c Config, dial dialFunc, progress func(Snapshot)) (*Result, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	g := &generator{Config: c, dial: dial}
	for _, raw := range c.URLs {
		t, err := parseTarget(raw)
		if err != nil {
			return nil, err
		}
		g.targets = append(g.targets, t)
		g.recorders = append(g.recorders, newRecorder(c.Warmup))
	}
	if c.Rate > 0 {
		g.openPools(ctx)
	}
	g.start = time.Now()
	reporter := startReporter(g, progress)
	if c.Rate > 0 {
		g.openLoop(ctx)
	} else {
		g.closedLoop(ctx)
	}
	series, cpu := reporter.stop()
	err = ctx.Err()
	return newResult(g, err != nil, series, cpu), err
}

// generator is a run in progress.
type generator struct {
	Config
	dial      dialFunc
	targets   []target
	recorders []*recorder // by index of target
	pools     []*pool     // the same, in the open loop
	start     time.Time
	won       versions
}

func (g *generator) now() time.Duration { return time.Since(g.start) }

// end is when the last event may be due.
func (g *generator) end() time.Duration { return g.Warmup + g.Duration }

// openPools makes the pools of the open loop.
func (g *generator) openPools(ctx context.Context) {
	for i := range g.targets {
		g.pools = append(g.pools, newPool(g.Clients, g.MaxBacklog, func(w *worker) {
			s := g.newSender(ctx, i)
			defer s.close()
			for a, ok := w.next(); ok; a, ok = w.next() {
				s.send(a)
			}
		}))
	}
}

// openLoop sends events on schedule and returns when all are over.
func (g *generator) openLoop(ctx context.Context) {
	g.handOut(ctx)
	var closing sync.WaitGroup
	for _, p := range g.pools {
		closing.Go(p.close)
	}
	closing.Wait()
}

// handOut gives every event of the schedule to its pool when it is due.
func (g *generator) handOut(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	s := newSchedule(g.Config)
	for s.next.due < g.end() {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		for now := g.now(); s.next.due <= min(now, g.end()-1); s.advance() {
			i := int(s.next.seq % uint64(len(g.pools)))
			if !g.pools[i].dispatch(s.next) {
				g.recorders[i].dropped(s.next.due)
			}
		}
		timer.Reset(max(s.next.due-g.now(), tick))
	}
}

// closedLoop runs the clients back to back until the time is over.
func (g *generator) closedLoop(ctx context.Context) {
	var (
		clients sync.WaitGroup
		seq     atomic.Uint64
	)
	for i := range g.Clients {
		clients.Go(func() {
			s := g.newSender(ctx, i%len(g.targets))
			defer s.close()
			for {
				due := g.now()
				if due >= g.end() || ctx.Err() != nil {
					return
				}
				if s.send(arrival{seq: seq.Add(1) - 1, due: due}) {
					continue
				}
				// A node that is gone fails at once: do not hammer it.
				select {
				case <-ctx.Done():
				case <-time.After(retryPause):
				}
			}
		})
	}
	clients.Wait()
}
