package simulation

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/witness"
)

// load is the clients: they attest events at members that they choose by
// chance, as many as come, whatever became of those before.
type load struct {
	w       *world
	rng     *rand.Rand
	next    uint64
	open    int // submissions without an answer
	waiting map[uint64]*submission
	factor  float64 // of the rate, more under an overload
	stopped bool
	pad     string
}

// submission is an event on its way.
type submission struct {
	id   uint64
	node protocol.MemberID
	at   protocol.Micros
	hash protocol.Hash
}

// maxPending bounds the submissions of a member that are open at once, as the
// gateway of a real one does.
const maxPending = 4_096

func newLoad(w *world) *load {
	return &load{
		w: w, rng: newStream(w.seed, streamLoad), waiting: map[uint64]*submission{}, factor: 1,
		pad: strings.Repeat("x", w.scenario.Load.EventBytes-60),
	}
}

func (l *load) start() {
	if l.w.scenario.Load.Rate > 0 {
		l.arrive()
	}
}

// arrive waits for the next event and has it attested.
func (l *load) arrive() {
	mean := protocol.Micros(float64(protocol.Second) / (l.w.scenario.Load.Rate * l.factor))
	l.w.sched.after(exponential(l.rng, max(mean, 1)), func() {
		if l.stopped {
			return
		}
		l.submit(protocol.MemberID(l.rng.IntN(len(l.w.nodes))))
		l.arrive()
	})
}

func (l *load) submit(to protocol.MemberID) {
	l.next++
	n := l.w.nodes[to]
	if !n.up || n.liar != nil && n.liar.deaf() || len(l.waiting) >= maxPending*len(l.w.nodes) {
		l.w.stats.Refused++
		return
	}
	e, err := protocol.ParseEvent(fmt.Appendf(nil, `{"type":"sim.event","payload":{"n":%d,"pad":"%s"}}`, l.next, l.pad), l.w.params.MaxEventBytes)
	if err != nil {
		l.w.check.fail("codec", "an event cannot be read: %v", err)
		return
	}
	s := &submission{id: l.next, node: to, at: l.w.sched.now, hash: e.Hash}
	l.waiting[s.id] = s
	l.open++
	l.w.stats.Submitted++
	n.post(&n.submits, witness.Submit{ID: s.id, Kind: protocol.KindAttest, Body: e.Canonical, Hash: e.Hash})
	life := n.life
	l.w.sched.after(l.w.scenario.Load.Timeout.micros(), func() {
		if l.waiting[s.id] != nil && n.life == life {
			n.post(&n.submits, witness.Withdraw{ID: s.id})
		}
	})
}

// take returns a submission that is answered now, and forgets it.
func (l *load) take(id uint64) *submission {
	s := l.waiting[id]
	if s != nil {
		delete(l.waiting, id)
		l.open--
	}
	return s
}

func (l *load) resolved(n *node, e witness.Resolved) {
	for _, it := range e.Items {
		s := l.take(it.ID)
		if s == nil {
			l.w.check.fail("answers", "node-%d answers submission %d, which nobody waits for", n.id+1, it.ID)
			continue
		}
		if it.Entry.Hash != s.hash {
			l.w.check.fail("answers", "submission %d is answered with another event", it.ID)
		}
		l.w.stats.acknowledged(l.w.sched.now-s.at, n.id)
		l.w.trace.note(l.w.sched.now, traceResolve, int(n.id), nil, it.ID, it.Index)
		l.w.check.acknowledged(n, e, it)
	}
}

func (l *load) refused(id uint64, node protocol.MemberID) {
	if l.take(id) != nil {
		l.w.stats.Refused++
		l.w.trace.note(l.w.sched.now, traceRefuse, int(node), nil, id)
	}
}

func (l *load) withdrawn(e witness.Withdrawn, node protocol.MemberID) {
	if l.take(e.ID) != nil {
		l.w.stats.TimedOut++
		l.w.trace.note(l.w.sched.now, traceRefuse, int(node), nil, e.ID)
	}
}

// interrupted answers what waited at a member that has stopped.
func (l *load) interrupted(node protocol.MemberID) {
	for id, s := range l.waiting {
		if s.node == node {
			l.take(id)
			l.w.stats.Interrupted++
		}
	}
}

// recordHash is the leaf hash of an entry.
func recordHash(e protocol.Entry) tlog.Hash {
	h, _ := e.LeafHash(nil)
	return h
}
