package chronos

import (
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

// none stands for the round of a log without batches.
const none = -1

// pacer is the state of the pace.
type pacer struct {
	Pace
	// own is the newest round that this member has claimed, and ownAt when.
	own   int64
	ownAt protocol.Micros
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
	if p.own < 0 || round > uint64(p.own) {
		p.stir = p.own + 1
	}
}

func (p *pacer) advanced(now protocol.Micros, round uint64) {
	p.own, p.ownAt = max(p.own, int64(min(round, 1<<62))), now
}

// round is the newest round of a member's certified batches.
func (m *Machine) round(log protocol.MemberID) int64 {
	round, size := m.order.Tip(log)
	if size == 0 {
		return none
	}
	return int64(round)
}

// advance tells the witness machine which rounds it may and should claim, if
// that has changed.
func (m *Machine) advance() {
	p := &m.pace
	if own := m.round(m.self); own > p.own {
		p.own, p.ownAt = own, m.now
	}
	p.look(m)
	p.dueAt = 0
	a := Advance{}
	if p.ready > p.own && p.mayGo(m.now) {
		a.Ready = uint64(p.ready)
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
	for i := range rounds {
		rounds[i] = m.round(protocol.MemberID(i))
	}
	rounds[m.self] = p.own
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
