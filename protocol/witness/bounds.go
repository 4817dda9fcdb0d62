package witness

import (
	"fmt"

	"github.com/strataos/strataos/protocol/wire"
)

// CheckBounds reports what the machine holds more of than its bounds allow. An
// error is a bug; simulation looks for it.
func (m *Machine) CheckBounds() error {
	a := &m.author
	n := m.committee.Logs()
	for _, b := range []struct {
		what      string
		is, limit int
	}{
		{"pending submissions", len(a.pending) + len(a.held), a.pacer.MaxPending},
		{"held submissions", len(a.held), a.pacer.MaxPending / maxHeldShare},
		{"pending bytes", a.pendingBytes, a.pacer.MaxPendingBytes},
		// Who takes back its own log does so a range at a time, and the peers'
		// certificates may lie some ranges apart.
		{"batches without a certificate", a.inflight(), max(a.pacer.Window, 4*wire.MaxRangeItems)},
		{"awaited batches", len(m.waiting), n * (maxUndurable + 1)},
		{"reports of an epoch", len(m.handover.reports), n},
		{"unsent votes", len(m.votes) + len(m.shared), 0},
	} {
		if b.is > b.limit {
			return fmt.Errorf("%d %s, at most %d are allowed", b.is, b.what, b.limit)
		}
	}
	for _, l := range m.logs {
		if err := m.checkLogBounds(l); err != nil {
			return fmt.Errorf("log %d: %w", l.id, err)
		}
	}
	return nil
}

func (m *Machine) checkLogBounds(l *logState) error {
	early := 0
	for _, votes := range l.early {
		early = max(early, len(votes))
	}
	uncertified := maxUncertified + 1
	if l.id == m.self {
		uncertified = max(uncertified, m.author.pacer.Window)
	}
	for _, b := range []struct {
		what      string
		is, limit int
	}{
		{"batches kept for later", len(l.later), maxLater},
		{"early votes of one member", early, maxEarly},
		{"members with early votes", len(l.early), m.committee.Logs()},
		{"heads to be stored", len(l.targets), maxTargets},
		{"batches that are not durable", l.undurable(), maxUndurable + wire.MaxRangeItems},
		{"marks", len(l.chain), 2*maxChain + max(uncertified, maxUndurable+wire.MaxRangeItems) + 1},
		{"leaves in memory", l.tail.Leaves(), rebaseLeaves + (max(uncertified, maxUndurable+wire.MaxRangeItems)+1)*(m.params.MaxBatchEntries+1)},
	} {
		if b.is > b.limit {
			return fmt.Errorf("%d %s, at most %d are allowed", b.is, b.what, b.limit)
		}
	}
	return nil
}
