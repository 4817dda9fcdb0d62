package store

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/proof"
)

// LedgerHead is the newest size of the ledger that a quorum has cosigned.
type LedgerHead struct {
	*proof.Checkpoint
	Root protocol.Hash
	// Time is the ledger's time with its last entry.
	Time protocol.Micros
}

// LedgerHead returns the newest certified head of the ledger, and false if there
// is none yet.
func (s *Store) LedgerHead() (*LedgerHead, bool, error) {
	claim, ok, err := s.Checkpoint()
	if err != nil || !ok {
		return nil, false, err
	}
	if h := s.head.Load(); h != nil && h.Size() == claim.Size {
		return h, true, nil
	}
	cert, cp, err := s.verify(claim)
	if err != nil {
		return nil, false, fmt.Errorf("store: checkpoint of the ledger: %w", err)
	}
	last, ok, err := s.RunAt(claim.Size - 1)
	if err != nil || !ok {
		return nil, false, err
	}
	h := &LedgerHead{Checkpoint: cp, Root: cert.Root(), Time: last.LedgerTime}
	s.head.Store(h)
	return h, true, nil
}

// ProveLedger returns the proof that an entry is at its position, which must lie under
// the head.
func (s *Store) ProveLedger(h *LedgerHead, row Row) (*proof.Proof, error) {
	path, err := tlog.ProveRecord(int64(h.Size()), int64(row.Position), s.LedgerHashes())
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return h.Prove(s.ledgerEntry(&row), row.Position, path), nil
}

// ledgerEntry is an entry as a leaf of the ledger.
func (s *Store) ledgerEntry(row *Row) protocol.LedgerEntry {
	return protocol.LedgerEntry{Entry: row.Entry, Log: s.committee().Name(row.Log), Index: row.Index}
}

// LedgerEntries returns the leaves of the ledger from one position up to, and
// without, another.
func (s *Store) LedgerEntries(from, to uint64) ([]protocol.LedgerEntry, error) {
	var out []protocol.LedgerEntry
	err := s.Runs(from, false, func(r Run) (bool, error) {
		if r.Position >= to {
			return false, nil
		}
		leaves, err := s.leavesOf(r)
		if err != nil {
			return false, err
		}
		lower, above := max(from, r.Position), min(to, r.End())
		if lower < above {
			out = append(out, leaves[lower-r.Position:above-r.Position]...)
		}
		return true, nil
	})
	if err == nil && uint64(len(out)) != to-from {
		err = fmt.Errorf("store: the ledger has no entries %d to %d", from, to)
	}
	return out, err
}

// runLeaves are the leaves of a run. Who reads the ledger from end to end comes
// to a run many times, and its entries stay what they are.
type runLeaves struct {
	run    Run
	leaves []protocol.LedgerEntry
}

func (s *Store) leavesOf(r Run) ([]protocol.LedgerEntry, error) {
	if last := s.leaves.Load(); last != nil && last.run == r {
		return last.leaves, nil
	}
	rows, err := s.Rows(r)
	if err != nil {
		return nil, err
	}
	leaves := make([]protocol.LedgerEntry, len(rows))
	for i := range rows {
		leaves[i] = s.ledgerEntry(&rows[i])
	}
	s.leaves.Store(&runLeaves{r, leaves})
	return leaves, nil
}
