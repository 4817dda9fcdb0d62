package store

import (
	"errors"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
)

// Earliest returns the entry of a body that comes first in the ledger. It
// answers false if none is ordered.
func (s *Store) Earliest(hash protocol.Hash) (first Row, ok bool, err error) {
	for log := protocol.MemberID(0); ; {
		// Along a log positions grow, so its first entry is its earliest.
		found, any, err := s.firstFrom(hash, log)
		if err != nil || !any {
			return first, ok, err
		}
		position, ordered, err := s.Position(found.Log, found.Index)
		if err != nil {
			return Row{}, false, err
		}
		if ordered && (!ok || position < first.Position) {
			first = Row{Position: position, Log: found.Log, Index: found.Index, Entry: found.Entry}
			ok = true
		}
		log = found.Log + 1
	}
}

// places returns the positions of the entries of a body, in no order. It
// answers false if there are more than limit.
func (s *Store) places(hash protocol.Hash, limit int) (positions []uint64, ok bool, err error) {
	ok = true
	var failed error
	err = s.each(hash, eventPrefix(hash), upper(eventPrefix(hash)), func(f Found) bool {
		position, ordered, err := s.Position(f.Log, f.Index)
		if err != nil {
			failed = err
			return false
		}
		if ordered {
			positions = append(positions, position)
		}
		ok = len(positions) <= limit
		return ok
	})
	return positions, ok, errors.Join(err, failed)
}

// RowAt returns the entry at a position with its body; false means that the
// ledger is shorter.
func (s *Store) RowAt(position uint64) (Row, bool, error) {
	r, ok, err := s.RunAt(position)
	if err != nil || !ok {
		return Row{}, false, err
	}
	row, err := s.RowOf(r, position)
	return row, err == nil, err
}

// RowOf returns the entry of a run at a position.
func (s *Store) RowOf(r Run, position uint64) (Row, error) {
	rows, err := s.Rows(r)
	if err != nil {
		return Row{}, err
	}
	return rows[position-r.Position], nil
}

// LogRow returns an entry of a log with its body, ordered or not; false means
// that the log is shorter, or the leaf a header.
func (s *Store) LogRow(log protocol.MemberID, index uint64) (Row, bool, error) {
	b, ok, err := chronos.ReadBatch(s, log, index)
	if err != nil || !ok || index == b.Old {
		return Row{}, false, err
	}
	it := &b.Items[index-b.Old-1]
	row := Row{Log: log, Index: index, Entry: it.Entry(b.Time)}
	if !it.Erased {
		row.Body = it.Body
	}
	return row, true, nil
}
