package witness

import (
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/wire"
)

// A vote for a batch of an earlier epoch may become part of a certificate of that
// epoch as well as of this one, together with votes of members that have left and
// that nobody here has heard of. So this member gives it only when it knows that a
// quorum of this epoch's members stores the same: then none of this epoch, nor of a
// later one, certifies anything else (rule W9).

// maxSeek is how often the time between two questions for holders is doubled, at
// most.
const maxSeek = 6

// heldUpTo is how much of a log, as this member stores it, a quorum of the epoch's
// members stores.
func (m *Machine) heldUpTo(l *logState) uint64 {
	var held []uint64
	for _, id := range m.committee.Members() {
		if id == m.self {
			held = append(held, l.durable)
		} else {
			held = append(held, l.holders[id])
		}
	}
	slices.Sort(held)
	return held[len(held)-m.committee.Quorum()]
}

// noteHolders notes what a member that votes in this epoch, and reports for no later
// one, stores of logs whose batches of earlier epochs are not certified.
func (m *Machine) noteHolders(from protocol.MemberID, msg *wire.Heads) error {
	if msg.Epoch != m.committee.Epoch() || !m.committee.Has(from) {
		return nil
	}
	stored := uint64(0)
	for i, h := range msg.Heads {
		if i == 0 || msg.Heads[i-1].Log != h.Log {
			stored = h.Signed.Size // of larger ones the sender was told
			if h.Frozen {
				stored = 0
			}
		}
		if !m.committee.Known(h.Log) || h.Signed.Size > stored {
			continue
		}
		if err := m.noteHolder(m.logs[h.Log], from, h.Signed); err != nil {
			return err
		}
	}
	return nil
}

func (m *Machine) noteHolder(l *logState, from protocol.MemberID, s wire.Signed) error {
	if l.bound <= l.cert.Size() || s.Size <= l.holders[from] {
		return nil
	}
	if i, ok := l.find(s.Size); !ok || l.chain[i].signed.Root != s.Root {
		return nil
	}
	before := m.heldUpTo(l)
	l.holders[from] = s.Size
	if m.heldUpTo(l) > before {
		return m.voteAnew(l)
	}
	return nil
}

// inherited are the ends of stored batches of earlier epochs that are not certified,
// and that may have been voted for there.
func (m *Machine) inherited(l *logState) []mark {
	if l.bound <= l.cert.Size() || l.evidence != nil {
		return nil
	}
	i, _ := l.find(l.cert.Size() + 1)
	marks := l.chain[i:]
	end := 0
	for end < len(marks) && marks[end].epoch < m.committee.Epoch() && marks[end].signed.Size <= min(l.bound, l.durable) {
		end++
	}
	return marks[:end]
}

// seeks reports whether it is not known of a log whether enough members store what
// this one would vote for.
func (m *Machine) seeks(l *logState) bool {
	marks := m.inherited(l)
	return len(marks) > 0 && m.open(l) && marks[len(marks)-1].signed.Size > m.heldUpTo(l)
}

// seek asks all members soon for what they store, if that must be known.
func (m *Machine) seek() {
	h := &m.handover
	if at := m.now + gapDelay; m.voting() && (h.askAt == 0 || h.askAt > at) && slices.ContainsFunc(m.logs, m.seeks) {
		h.askAt, h.sought = at, 0
	}
}
