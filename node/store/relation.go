package store

import (
	"fmt"
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/order"
	"github.com/strataos/strataos/protocol/wire"
)

// Past is an ordered entry with the past of its batch.
type Past struct {
	Row
	// Size is where the entry's batch ends in its log.
	Size uint64
	// Clock is how much of every log is in the past of the batch, the batch
	// itself included.
	Clock order.Clock
}

// Past looks up the past of an ordered entry.
func (s *Store) Past(row Row) (Past, error) {
	r, ok, err := s.RunAt(row.Position)
	if err != nil {
		return Past{}, err
	}
	if !ok || r.Log != row.Log || row.Index <= r.Old || row.Index >= r.Size() {
		return Past{}, fmt.Errorf("store: leaf %d of the log of %s is not at position %d", row.Index, s.committee().Name(row.Log), row.Position)
	}
	clock, err := s.clock(r.Log, r.Size())
	return Past{Row: row, Size: r.Size(), Clock: clock}, err
}

// clock is how much of every log is in the past of the batch that ends at size.
func (s *Store) clock(log protocol.MemberID, size uint64) (order.Clock, error) {
	n, ok, err := s.Node(log, size)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("store: no batch of %s that ends at %d is ordered", s.committee().Name(log), size)
	}
	clock := slices.Clone(n.Clock)
	clock[log] = size
	return clock, nil
}

// precedes reports whether a leaf of a log is in the past of an entry. Entries
// of one batch follow one another in their order.
func precedes(log protocol.MemberID, index uint64, p *Past) bool {
	if log == p.Log {
		return index < p.Index
	}
	return p.Clock.At(log) > index
}

// Precedes reports whether the entry is in the past of another one.
func (p *Past) Precedes(other *Past) bool { return precedes(p.Log, p.Index, other) }

// Link is a batch of a chain that shows how one entry is in the past of another.
type Link struct {
	Log       protocol.MemberID
	Old, Size uint64
	Header    protocol.Header
	// Parent says that the link's batch names the one before it as a parent.
	// Otherwise both are of one log.
	Parent bool
}

// Chain returns batches from that of one entry to that of another, which it
// precedes, each of which is in the past of the next one since it is its parent
// or an earlier one of its log. No log has more than two of them.
func (s *Store) Chain(from, to Past) ([]Link, error) {
	if !from.Precedes(&to) {
		return nil, fmt.Errorf("store: position %d is not in the past of %d", from.Position, to.Position)
	}
	var back []Link // the last first
	at, end := to.Log, to.Size
	for {
		link, b, err := s.link(at, end)
		if err != nil {
			return nil, err
		}
		back = append(back, link)
		if at == from.Log {
			break
		}
		// The first batch of the log that has the entry in its past has it
		// there by a parent.
		first, err := s.firstWith(at, end, from)
		if err != nil {
			return nil, err
		}
		if first != end {
			if link, b, err = s.link(at, first); err != nil {
				return nil, err
			}
			back = append(back, link)
		}
		parent, err := s.parentWith(b, from)
		if err != nil {
			return nil, err
		}
		back[len(back)-1].Parent = true
		at, end = parent.Member, parent.Size
	}
	if end != from.Size {
		link, _, err := s.link(from.Log, from.Size)
		if err != nil {
			return nil, err
		}
		back = append(back, link)
	}
	slices.Reverse(back)
	return back, nil
}

// link reads the batch of a log that ends at size.
func (s *Store) link(log protocol.MemberID, size uint64) (Link, *wire.Batch, error) {
	b, ok, err := chronos.ReadBatch(s, log, size-1)
	if err != nil {
		return Link{}, nil, err
	}
	if !ok || b.Size() != size {
		return Link{}, nil, fmt.Errorf("store: the log of %s has no batch that ends at %d", s.committee().Name(log), size)
	}
	return Link{Log: log, Old: b.Old, Size: size, Header: b.Header()}, b, nil
}

// firstWith returns where the first batch of a log ends that has an entry in its
// past. The one that ends at size has.
func (s *Store) firstWith(log protocol.MemberID, size uint64, entry Past) (uint64, error) {
	// Only batches with a record of their own have seen more than those before
	// them, so the smallest size whose record has the entry is that of a batch.
	low, high := uint64(0), size // low has not, high has
	for high-low > 1 {
		mid := low + (high-low)/2
		n, ok, err := s.Node(log, mid)
		if err != nil {
			return 0, err
		}
		if ok && n.Clock.At(entry.Log) > entry.Index {
			high = n.Size
		} else {
			low = mid
		}
	}
	return high, nil
}

// parentWith returns a parent of a batch that has an entry in its past, one of
// the entry's own log if there is one.
func (s *Store) parentWith(b *wire.Batch, entry Past) (protocol.Parent, error) {
	var found *protocol.Parent
	for i := range b.Parents {
		p := &b.Parents[i]
		if p.Member == entry.Log {
			if p.Size > entry.Index {
				return *p, nil
			}
			continue
		}
		clock, err := s.clock(p.Member, p.Size)
		if err != nil {
			return protocol.Parent{}, err
		}
		if found == nil && clock.At(entry.Log) > entry.Index {
			found = p
		}
	}
	if found == nil {
		return protocol.Parent{}, fmt.Errorf("store: no parent of the batch of %s at %d has position %d in its past", s.committee().Name(b.Author), b.Old, entry.Position)
	}
	return *found, nil
}
