package chronos

import (
	"fmt"
	"slices"

	"github.com/strataos/strataos/protocol"
)

// Pace sets how rounds follow one another (rule C3). A member may claim the
// next round once it has certified batches of a quorum in its own. It waits a
// little for those that took part in the round before, and claims it if there
// is something to order: at once if clients wait for that, else with others of
// its batches, or when LazyEvery has passed.
type Pace struct {
	// LazyEvery is the least time between two rounds that nobody waits for.
	LazyEvery protocol.Micros
	// MinDelay and MaxDelay bound how long a member waits, with a quorum, for
	// members that took part in the round before. In between it is three times
	// as long as the last of them usually takes.
	MinDelay, MaxDelay protocol.Micros
}

// DefaultPace serves local and wide networks; see docs/benchmarks.md.
func DefaultPace() Pace {
	return Pace{
		LazyEvery: 50 * protocol.Millisecond,
		MinDelay:  4 * protocol.Millisecond,
		MaxDelay:  400 * protocol.Millisecond,
	}
}

// pacer is the state of the pace.
type pacer struct {
	Pace
	// own is the newest round that this member has come to, or will have with a
	// batch that is on its way, and ownAt since when.
	own   int64
	ownAt protocol.Micros
	// claim is the largest round that this member has claimed, and taken that of its
	// batches that the order has; −1 is none.
	claim, taken int64
	// ahead is how much larger the rounds are that this member claims than those that
	// it means. Claims never decrease along a log, and what was claimed in one epoch
	// may be cut in the next.
	ahead int64
	// stir is a round that this member should come to, since urgent entries
	// are on their way in it.
	stir int64
	// entries and urgent count what the order has taken and not ordered.
	entries, urgent int
	// ready is the round that may be claimed next, quorumAt when a quorum was
	// there for it, and full whether all that took part before were.
	ready    int64
	quorumAt protocol.Micros
	full     bool
	// spread is the smoothed time from a quorum's batches of a round to those
	// of all.
	spread protocol.Micros
	// last is what the witness machine has been told, and dueAt when that may
	// have to change by itself.
	last  Advance
	dueAt protocol.Micros
}

// count notes entries that the order has taken, or, with −1, ordered.
func (p *pacer) count(entries []protocol.Entry, sign int) {
	p.entries += sign * len(entries)
	for _, e := range entries {
		if e.Kind.Urgent() {
			p.urgent += sign
		}
	}
}

// heard goes along with another's round, one round at a time: what the other
// claims is not certified.
func (p *pacer) heard(round uint64) {
	if bounded(round) > p.own+p.ahead {
		p.stir = p.own + 1
	}
}

// bounded is a claim that nothing overflows with.
func bounded(claim uint64) int64 { return int64(min(claim, 1<<62)) }

// advanced notes that a batch of this member's is on its way.
func (p *pacer) advanced(claim uint64) { p.claim = max(p.claim, bounded(claim)) }

// took notes what a batch of this member's claims that the order has taken, and to
// which round its log has come with it.
func (p *pacer) took(claim uint64, reached int64) {
	p.taken = max(p.taken, bounded(claim))
	p.claim = max(p.claim, p.taken)
	p.ahead = max(p.ahead, p.taken-reached)
}

// lost forgets what is on its way.
func (p *pacer) lost() { p.claim = p.taken }

// come notes to which round this member's log has come.
func (p *pacer) come(now protocol.Micros, reached int64) {
	own := max(reached, p.claim-p.ahead)
	if own > p.own {
		p.ownAt = now
	}
	p.own = own
}

// turn goes on with the rounds of another epoch.
func (p *pacer) turn(reached int64) {
	p.ahead = max(p.ahead, p.claim-reached)
	p.stir = reached
	p.quorumAt, p.full = 0, false
}

// loadPace takes up the rounds of this member's log.
func (m *Machine) loadPace() error {
	m.pace.own = m.order.Reached(protocol.Nobody)
	_, size := m.order.Tip(m.self)
	if size == 0 {
		return nil
	}
	b, ok, err := ReadBatch(m.store, m.self, size-1)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("log %d has no batch that ends at %d", m.self, size)
	}
	m.pace.took(b.Round, m.order.Reached(m.self))
	return nil
}

// advance tells the witness machine which rounds it may and should claim, if
// that has changed.
func (m *Machine) advance() {
	p := &m.pace
	p.dueAt = 0
	a := Advance{}
	p.come(m.now, m.order.Reached(m.self))
	if m.votes() {
		p.look(m)
	}
	if m.votes() && p.ready > p.own && p.mayGo(m.now) {
		a.Ready = uint64(p.ready + p.ahead)
		if p.isDue(m) {
			a.Due, a.Seal = a.Ready, true
		}
	}
	if a != p.last {
		p.last = a
		m.emit(a)
	}
}

// look finds the round that may be claimed next, and who is there for it.
func (p *pacer) look(m *Machine) {
	rounds := make([]int64, m.committee.N())
	for i, id := range m.committee.Members() {
		if rounds[i] = m.order.Reached(id); id == m.self {
			rounds[i] = p.own
		}
	}
	sorted := slices.Clone(rounds)
	slices.Sort(sorted)
	reached := sorted[len(sorted)-m.committee.Quorum()]
	if ready := reached + 1; ready != p.ready || p.quorumAt == 0 {
		p.ready, p.quorumAt, p.full = ready, m.now, false
	}
	if p.full {
		return
	}
	p.full = true
	for _, r := range rounds {
		// Who was not there in the round before is not waited for.
		if r < reached && r >= reached-1 {
			p.full = false
		}
	}
	if p.full && p.entries > 0 {
		took := min(max(m.now-p.quorumAt, 0), p.MaxDelay) // the clock may have jumped
		p.spread += (took - p.spread) / 8
	}
}

// mayGo reports whether enough members are there for the next round.
func (p *pacer) mayGo(now protocol.Micros) bool {
	delay := min(max(3*p.spread, p.MinDelay), p.MaxDelay)
	if p.full || now < p.quorumAt || now-p.quorumAt >= delay {
		return true
	}
	p.dueAt = p.quorumAt + delay
	return false
}

// idleUntil is from when on another round is wanted though everything is ordered,
// or false if none is.
func (p *pacer) idleUntil(m *Machine) (protocol.Micros, bool) {
	var until protocol.Micros
	wanted := false
	if m.ledger.tail.Size() > m.ledger.cut.Size {
		// Only a checkpoint is missing: two rounds from when there may be one.
		wanted = true
		if next := m.nextCut(); next <= m.now+2*m.params.Checkpoint() {
			until = next
		}
	}
	if due := m.book.Due(); due != 0 && (!wanted || due < until) {
		// The ledger's time must pass a deadline.
		wanted, until = true, due+1
	}
	return until, wanted
}

// isDue reports whether this member should claim the next round now.
func (p *pacer) isDue(m *Machine) bool {
	if p.urgent > 0 || p.own < p.stir {
		return true
	}
	at := p.ownAt + p.LazyEvery
	if m.now < p.ownAt {
		at = m.now // the clock has jumped back
	}
	if p.entries == 0 {
		wanted, ok := p.idleUntil(m)
		if !ok {
			return false
		}
		at = max(at, wanted)
	}
	if at <= m.now {
		return true
	}
	p.dueAt = at
	return false
}
