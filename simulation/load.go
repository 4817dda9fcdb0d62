package simulation

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
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
	// byLeaf are those that wait for their place in the ledger.
	byLeaf map[key]uint64
	// highest is the largest place in the ledger that was answered, −1 if none.
	highest int64
	// token is what a client has seen that moves between members.
	token []protocol.Seen
}

// submission is something on its way.
type submission struct {
	id   uint64
	node protocol.MemberID
	at   protocol.Micros
	hash protocol.Hash
	// ordered says that the client waits for a place in the ledger, and index
	// is the leaf of its entry once that is certified.
	ordered, certified bool
	index              uint64
	givenUp            bool
	// probe says that it was submitted when all was well: it has no timeout, is
	// in no figure, and must be answered.
	probe bool
	// behind is a place in the ledger that had been answered before this was
	// submitted: it must get a later one.
	behind int64
	// after are the parts of logs that it was to come after.
	after []protocol.Seen
}

// key names a leaf of a log.
type key struct {
	log   protocol.MemberID
	index uint64
}

// maxFactor bounds how many times the load grows where overloads meet.
const maxFactor = 50

// maxPending bounds the submissions of a member that are open at once, as the
// gateway of a real one does.
const maxPending = 4_096

func newLoad(w *world) *load {
	return &load{
		w: w, rng: newStream(w.seed, streamLoad), waiting: map[uint64]*submission{}, factor: 1,
		byLeaf: map[key]uint64{}, highest: -1,
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
	mean := protocol.Micros(float64(protocol.Second) / (l.w.scenario.Load.Rate * min(l.factor, maxFactor)))
	l.w.sched.after(exponential(l.rng, max(mean, 1)), func() {
		if l.stopped {
			return
		}
		members := l.w.members()
		if l.w.scenario.Members.Changes > 0 && l.rng.IntN(16) == 0 {
			members = l.w.nodes // clients may not know yet who has left
		}
		l.submit(members[l.rng.IntN(len(members))].id)
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
	s := l.give(n, l.rng.Float64() < l.w.scenario.Load.Anchors)
	if s == nil {
		return
	}
	l.w.stats.Submitted++
	life := n.life
	l.w.sched.after(l.w.scenario.Load.Timeout.micros(), func() {
		if l.waiting[s.id] != nil && n.life == life {
			l.giveUp(n, s)
		}
	})
}

// give submits something new to a member.
func (l *load) give(n *node, anchor bool) *submission {
	in, err := l.make(anchor)
	if err != nil {
		l.w.check.fail("codec", "an event cannot be read: %v", err)
		return nil
	}
	s := &submission{id: l.next, node: n.id, at: l.w.sched.now, hash: in.Hash, ordered: in.Kind.IsAnchor(), behind: l.highest, after: in.After}
	l.waiting[s.id] = s
	l.open++
	n.witness.post(&n.witness.submits, in)
	return s
}

// probe gives a member an event and an anchor that it must answer.
func (l *load) probe(n *node) {
	l.token = nil // of a log that evidence has stopped, what was seen may be gone
	for _, anchor := range []bool{false, true} {
		l.next++
		if s := l.give(n, anchor); s != nil {
			s.probe = true
		}
	}
}

// probed returns a probe that waits for its answer, or nil: the first that is
// an anchor, or is none.
func (l *load) probed(anchor bool) *submission {
	var first *submission
	for _, s := range l.waiting {
		if s.probe && s.ordered == anchor && (first == nil || s.id < first.id) {
			first = s
		}
	}
	return first
}

// unanswered fails if a probe ends without its answer.
func (l *load) unanswered(s *submission, how string) {
	if s.probe {
		l.w.check.fail("liveness", "node-%d was given something when all was well, and that %s", s.node+1, how)
	}
}

// make makes an event to attest, or an anchor. Some anchors come after what a
// client has seen at another member.
func (l *load) make(anchor bool) (in witness.Submit, err error) {
	in.ID = l.next
	if !anchor {
		e, err := protocol.ParseEvent(fmt.Appendf(nil, `{"type":"sim.event","payload":{"n":%d,"pad":"%s"}}`, l.next, l.pad), l.w.params.MaxEventBytes)
		in.Kind, in.Body, in.Hash = protocol.KindAttest, e.Canonical, e.Hash
		return in, err
	}
	a, err := protocol.ParseAnchor(fmt.Appendf(nil, `{"anchor_type":"event","data":{"n":%d,"pad":"%s"}}`, l.next, l.pad), l.w.params.MaxEventBytes)
	in.Kind, in.Body, in.Hash = a.Kind, a.Canonical, a.Hash
	if l.rng.IntN(8) == 0 {
		in.After = l.token
	}
	return in, err
}

// giveUp ends the time of a submission.
func (l *load) giveUp(n *node, s *submission) {
	if s.certified {
		l.timedOut(s.id, n.id)
		return
	}
	s.givenUp = true
	n.witness.post(&n.witness.submits, witness.Withdraw{ID: s.id})
}

func (l *load) timedOut(id uint64, node protocol.MemberID) {
	if l.take(id) != nil {
		l.w.stats.TimedOut++
		l.w.trace.note(l.w.sched.now, traceRefuse, int(node), nil, id)
	}
}

// take returns a submission that is answered now, and forgets it.
func (l *load) take(id uint64) *submission {
	s := l.waiting[id]
	if s != nil {
		delete(l.waiting, id)
		delete(l.byLeaf, key{s.node, s.index})
		l.open--
	}
	return s
}

func (l *load) resolved(n *node, e witness.Resolved) {
	for _, it := range e.Items {
		if l.w.council.resolved(n, e, it) {
			continue
		}
		s := l.waiting[it.ID]
		if s != nil && s.ordered && n.liar == nil {
			l.w.check.acknowledged(n, e, it)
			l.certified(n, s, it, e.Batch.Size)
			continue
		}
		l.take(it.ID)
		if s == nil {
			l.w.check.fail("answers", "node-%d answers submission %d, which nobody waits for", n.id+1, it.ID)
			continue
		}
		if it.Entry.Hash != s.hash {
			l.w.check.fail("answers", "submission %d is answered with another event", it.ID)
		}
		if !s.probe {
			l.w.stats.acknowledged(l.w.sched.now-s.at, n.id)
		}
		l.w.trace.note(l.w.sched.now, traceResolve, int(n.id), nil, it.ID, it.Index)
		l.w.check.acknowledged(n, e, it)
	}
}

func (l *load) refused(id uint64, node protocol.MemberID) {
	if l.w.council.refused(id) {
		l.w.trace.note(l.w.sched.now, traceRefuse, int(node), nil, id)
		return
	}
	if s := l.take(id); s != nil {
		l.unanswered(s, "is refused")
		l.w.stats.Refused++
		l.w.trace.note(l.w.sched.now, traceRefuse, int(node), nil, id)
	}
}

func (l *load) withdrawn(e witness.Withdrawn, node protocol.MemberID) {
	if l.w.council.withdrawn(e) {
		l.w.trace.note(l.w.sched.now, traceRefuse, int(node), nil, e.ID)
		return
	}
	l.timedOut(e.ID, node)
}

// certified notes that an anchor waits for its place in the ledger only.
func (l *load) certified(n *node, s *submission, it witness.ResolvedItem, size uint64) {
	s.certified, s.index = true, it.Index
	if it.Entry.Hash != s.hash {
		l.w.check.fail("answers", "submission %d is answered with another anchor", it.ID)
	}
	if !s.probe {
		l.w.stats.certified(l.w.sched.now - s.at)
	}
	if n.liar == nil {
		l.token = []protocol.Seen{{Member: n.id, Size: size}}
	}
	if s.givenUp {
		l.timedOut(s.id, n.id)
		return
	}
	l.byLeaf[key{n.id, it.Index}] = s.id
}

// ordered answers the anchors that have got their places in the ledger.
func (l *load) ordered(n *node, e chronos.Ordered) {
	if n.liar != nil {
		return
	}
	for i := range e.Runs {
		r := &e.Runs[i]
		if r.Log != n.id {
			continue
		}
		for k := range r.Entries {
			id, ok := l.byLeaf[key{r.Log, r.Old + 1 + uint64(k)}]
			if !ok {
				continue
			}
			s := l.take(id)
			position := r.Position + uint64(k)
			if !s.probe {
				l.w.stats.ordered(operation{client: int(n.id), called: s.at, answered: l.w.sched.now, position: position})
			}
			l.w.trace.note(l.w.sched.now, traceOrder, int(n.id), nil, id, position)
			l.w.check.answered(n, s, position)
			l.highest = max(l.highest, int64(position))
		}
	}
}

// interrupted answers what waited at a member that has stopped.
func (l *load) interrupted(node protocol.MemberID) {
	l.w.council.interrupted(node)
	for id, s := range l.waiting {
		if s.node == node {
			l.take(id)
			l.unanswered(s, "is lost, since the member stops")
			l.w.stats.Interrupted++
		}
	}
}

// recordHash is the leaf hash of an entry.
func recordHash(e protocol.Entry) tlog.Hash {
	h, _ := e.LeafHash(nil)
	return h
}
