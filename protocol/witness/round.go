package witness

import (
	"slices"

	"github.com/strataos/strataos/protocol"
)

// queue has a submission wait for a batch.
func (m *Machine) queue(s Submit) {
	a := &m.author
	if s.Kind.Urgent() && !slices.ContainsFunc(a.pending, isUrgent) {
		a.urgentAt = m.now
	}
	a.pending = append(a.pending, s)
}

func isUrgent(s Submit) bool { return s.Kind.Urgent() }

// maxHeldShare is the share of the pending submissions that may wait for what
// they come after: they must not take the places of those that need not.
const maxHeldShare = 4

// hasSeen reports whether this member can put parts of logs into the past of
// its next batch.
func (m *Machine) hasSeen(parts []protocol.Seen) bool {
	for _, p := range parts {
		switch {
		case !m.committee.Known(p.Member):
			return false
		case p.Member == m.self && m.own.size() < p.Size,
			p.Member != m.self && m.logs[p.Member].cert.Size() < p.Size:
			return false
		}
	}
	return true
}

// unhold lets submissions go on that have waited for what they come after.
func (m *Machine) unhold() {
	a := &m.author
	keep := a.held[:0]
	for _, s := range a.held {
		if m.hasSeen(s.After) {
			m.queue(s)
		} else {
			keep = append(keep, s)
		}
	}
	clear(a.held[len(keep):])
	a.held = keep
}

// maxHold bounds how long urgent entries wait for the next round.
const maxHold = 10 * protocol.Millisecond

// roundHold is until when urgent entries wait for a batch that may claim the
// next round. In one before, they would be ordered no sooner: with that batch,
// which has them in its past.
func (m *Machine) roundHold() protocol.Micros {
	a := &m.author
	head := m.own.head()
	if a.again || m.mustSeal() || a.advance.Ready > head.round || head.round == 0 || a.urgentAt > m.now ||
		!slices.ContainsFunc(a.pending, isUrgent) || slices.ContainsFunc(a.pending, func(s Submit) bool { return !isUrgent(s) }) {
		return 0
	}
	return a.urgentAt + maxHold
}

// mustSeal reports whether the order waits for a batch of this member's.
func (m *Machine) mustSeal() bool {
	l, a := m.own, m.author.advance
	return a.Seal && (a.Due > l.head().round || l.size() == 0)
}

// claimRound is the round that a batch of these submissions claims.
func (m *Machine) claimRound(subs []Submit) uint64 {
	a := &m.author
	round := max(m.own.head().round, a.advance.Due)
	if slices.ContainsFunc(subs, isUrgent) {
		round = max(round, a.advance.Ready)
	}
	return round
}

// mustName reports whether a submission comes after what no batch of this
// member's has named yet.
func (m *Machine) mustName(subs []Submit) bool {
	for _, s := range subs {
		for _, p := range s.After {
			if p.Member != m.self && p.Size > m.author.named[p.Member] {
				return true
			}
		}
	}
	return false
}

// newParents names the certified heads that are new since the last batch that
// named any, and returns the latest of their times. Most batches name none:
// every voter must hold their certificates, and verifying those is what it costs.
func (m *Machine) newParents() ([]protocol.Parent, protocol.Micros, error) {
	var parents []protocol.Parent
	var latest protocol.Micros
	for i, l := range m.logs {
		if l.id == m.self || l.cert.Size() <= m.author.named[i] {
			continue
		}
		mk, ok, err := m.markAt(l, l.cert.Size())
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			continue
		}
		parents = append(parents, protocol.Parent{Member: l.id, Size: mk.signed.Size, Root: mk.signed.Root})
		latest = max(latest, mk.time)
		m.author.named[i] = mk.signed.Size
	}
	return parents, latest, nil
}
