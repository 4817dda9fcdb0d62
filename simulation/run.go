package simulation

import (
	"context"
	"io"
	"time"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
)

// Options say how a run is watched.
type Options struct {
	// Trace receives a readable log of the run.
	Trace io.Writer
	// Progress is called now and then with the share of the run that is done,
	// from 0 to 1.
	Progress func(done float64)
}

// Result is the verdict on a run and its figures.
type Result struct {
	Scenario   string      `json:"scenario"`
	Seed       uint64      `json:"seed"`
	Nodes      int         `json:"nodes"`
	Liars      int         `json:"liars"`
	TraceHash  string      `json:"trace_hash"`
	Violations []Violation `json:"violations"`
	// Events is how many things happened, VirtualSeconds how long the run was
	// on its own clock, WallSeconds on ours.
	Events         uint64  `json:"events"`
	VirtualSeconds float64 `json:"virtual_seconds"`
	WallSeconds    float64 `json:"wall_seconds"`
	// ConvergedSeconds is how long the network took to converge after all
	// faults had ended.
	ConvergedSeconds float64 `json:"converged_seconds"`
	Stats            *Stats  `json:"stats"`
}

// Good reports whether nothing was violated.
func (r *Result) Good() bool { return len(r.Violations) == 0 }

// Run runs a scenario with a seed. An error says that the scenario cannot be
// run, or that the context ended; what the network does wrong is in the Result.
func Run(ctx context.Context, s *Scenario, seed uint64, o Options) (*Result, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	started := time.Now()
	w, err := newWorld(s, seed, o.Trace)
	if err != nil {
		return nil, err
	}
	stop := w.watch(ctx, o)
	w.begin()
	faultsEnd := epoch + s.Duration.micros()
	w.sched.run(faultsEnd, func() bool { return stop() || w.reform.finished() })
	healed := w.sched.now
	w.heal()
	w.sched.run(healed+s.Settle.micros(), func() bool { return stop() || w.converged() })
	converged := w.sched.now - healed
	if len(w.check.violations) == 0 && w.converged() {
		w.convergedAt = w.sched.now
		w.endProposals(stop)
	}
	if w.convergedAt > 0 && len(w.check.violations) == 0 {
		w.probe(stop)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.finish(converged)
	if w.trace.err != nil {
		return nil, w.trace.err
	}
	return &Result{
		Scenario: s.Name, Seed: seed, Nodes: s.Nodes, Liars: s.Liars.Members,
		TraceHash: w.trace.sum(), Violations: w.check.violations,
		Events: w.sched.count, VirtualSeconds: seconds(w.sched.now - epoch),
		WallSeconds: time.Since(started).Seconds(), ConvergedSeconds: seconds(converged), Stats: w.stats,
	}, nil
}

// watch returns what tells a run to stop early: at a violation, since what
// follows one means little, or with the context.
func (w *world) watch(ctx context.Context, o Options) func() bool {
	calls := 0
	return func() bool {
		if calls++; o.Progress != nil && calls%256 == 0 {
			o.Progress(min(float64(w.sched.now-epoch)/float64(w.scenario.Duration.micros()), 1))
		}
		return len(w.check.violations) > 0 || calls%64 == 0 && ctx.Err() != nil
	}
}

func (w *world) begin() {
	for _, n := range w.nodes {
		w.sched.after(between(n.rng, 0, 50*protocol.Millisecond), n.boot)
		if n.liar != nil {
			n.liar.start()
		}
	}
	w.load.start()
	w.council.start()
	w.reform.start()
	w.faults.start()
}

// heal ends the first phase: nothing goes wrong any more, and no new events
// come until all agree. Liars attack no more, but are no more helpful than before.
func (w *world) heal() {
	w.trace.say(w.sched.now, -1, "everything heals")
	w.load.stopped = true
	w.faults.heal()
	for _, n := range w.nodes {
		if n.liar != nil {
			n.liar.stopped = true
		}
	}
}

// endProposals demands that what is open when all have converged comes to an end,
// in time of its deadline. Nothing else happens, so that the network has to see to
// it by itself.
func (w *world) endProposals(stop func() bool) {
	open := func() (first *node, cases []accord.Case) {
		for _, n := range w.nodes {
			if w.expected(n) && n.up && n.disk.ledger.Accord.Open() > 0 {
				cases, err := n.disk.OpenCases()
				if err != nil {
					return nil, nil // it stops, and that is told
				}
				return n, cases
			}
		}
		return nil, nil
	}
	_, cases := open()
	until := w.sched.now
	for i := range cases {
		until = max(until, cases[i].Proposal.Deadline)
	}
	w.sched.run(until+endBound, func() bool {
		n, _ := open()
		return stop() || n == nil
	})
	if n, cases := open(); n != nil && len(w.check.violations) == 0 {
		w.check.fail("ends", "proposal %s is open at node-%d, %s behind its deadline: %s",
			cases[0].Proposal.ID, n.id+1, text(w.sched.now-cases[0].Proposal.Deadline), w.standing())
	}
}

// Times within which a member must answer once all is well again.
const (
	attestBound = 5 * protocol.Second
	anchorBound = 10 * protocol.Second
	acceptBound = 15 * protocol.Second
)

// probe demands that every honest member still does what it is there for: that
// all agree on what has been says nothing about what comes next. Each is given
// an event and an anchor, whose clients wait for as long as it takes, and all a
// proposal that all accept, and then all must agree again. One whose log was stopped
// by evidence takes nothing.
func (w *world) probe(stop func() bool) {
	w.trace.say(w.sched.now, -1, "every member is asked once more")
	asked := w.sched.now
	w.stats.closed = true
	for _, n := range w.nodes {
		if w.expected(n) && n.member() && !w.stopped(n) {
			w.load.probe(n)
		}
	}
	w.council.probe()
	waits := func(anchors bool) func() bool {
		return func() bool { return stop() || w.load.probed(anchors) == nil }
	}
	w.sched.run(asked+attestBound, waits(false))
	w.demand(false, attestBound)
	w.sched.run(asked+anchorBound, waits(true))
	w.demand(true, anchorBound)
	w.sched.run(asked+acceptBound, func() bool { return stop() || w.council.probed() == nil })
	if p := w.council.probed(); p != nil && len(w.check.violations) == 0 {
		w.check.fail("liveness", "a proposal that node-%d was given when all was well, and that all accept, is not decided after %s: %s",
			p.node+1, text(acceptBound), w.standing())
	}
	w.sched.run(w.sched.now+w.scenario.Settle.micros(), func() bool { return stop() || w.converged() })
}

// demand fails if one of the probes still waits.
func (w *world) demand(anchors bool, bound protocol.Micros) {
	if s := w.load.probed(anchors); s != nil && len(w.check.violations) == 0 {
		what := "an event"
		if anchors {
			what = "an anchor"
		}
		w.check.fail("liveness", "%s that node-%d was given when all was well has no answer after %s: %s", what, s.node+1, text(bound), w.standing())
	}
}

func (w *world) finish(converged protocol.Micros) {
	if len(w.check.violations) == 0 && !w.converged() {
		w.check.fail("liveness", "no convergence, at first after %s: %s", text(converged), w.standing())
	}
	if len(w.check.violations) == 0 {
		w.check.final()
	}
	w.stats.close(w)
}

func seconds(t protocol.Micros) float64 { return float64(t) / float64(protocol.Second) }
