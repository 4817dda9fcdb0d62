package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/wire"
)

// maxCounted bounds how many attestations of one event are counted.
const maxCounted = 10_000

// Found is where an event was attested.
type Found struct {
	Log       protocol.MemberID
	Index     uint64
	Time      protocol.Micros
	Certified bool
}

// earlier puts certified attestations first, and among them the earliest.
func (f Found) earlier(g Found) bool {
	if f.Certified != g.Certified {
		return f.Certified
	}
	if f.Time != g.Time {
		return f.Time < g.Time
	}
	return f.Log < g.Log || f.Log == g.Log && f.Index < g.Index
}

// Find returns the earliest certified attestation of an event, or the earliest
// of all if none is certified, and how many there are, counting to 10,000. The
// count is 0 if this node stores none.
func (s *Store) Find(hash protocol.Hash) (first Found, count int, err error) {
	err = s.each(hash, func(f Found) bool {
		if count == 0 || f.earlier(first) {
			first = f
		}
		count++
		return count < maxCounted
	})
	return first, count, err
}

// FindOwn returns this member's earliest attestation of an event from a leaf of
// its log on.
func (s *Store) FindOwn(self protocol.MemberID, hash protocol.Hash, from uint64) (found Found, ok bool, err error) {
	err = s.each(hash, func(f Found) bool {
		if f.Log == self && f.Index >= from && (!ok || f.Index < found.Index) {
			found, ok = f, true
		}
		return true
	})
	return found, ok, err
}

// each calls fn with the attestations of an event until it answers false.
func (s *Store) each(hash protocol.Hash, fn func(Found) bool) error {
	prefix := eventPrefix(hash)
	certified := map[protocol.MemberID]uint64{}
	return s.db.Scan(prefix, upper(prefix), false, func(key, value []byte) (bool, error) {
		if len(key) != len(prefix)+20 || len(value) != 8 {
			return false, errors.New("store: the index of events is damaged")
		}
		f := Found{
			Log:   protocol.MemberID(parseHex(key[len(prefix) : len(prefix)+4])),
			Index: parseHex(key[len(prefix)+4:]),
			Time:  protocol.Micros(binary.BigEndian.Uint64(value)),
		}
		size, known := certified[f.Log]
		if !known {
			claim, _, err := s.Certificate(f.Log, ^uint64(0))
			if err != nil {
				return false, err
			}
			size = claim.Size
			certified[f.Log] = size
		}
		// An author that signed two histories may have left an index entry of
		// the other one behind.
		e := protocol.Entry{Kind: protocol.KindAttest, Hash: hash, Time: f.Time}
		leaf, _ := e.LeafHash(nil)
		stored, err := s.storedHash(f.Log, tlog.StoredHashIndex(0, int64(f.Index)))
		if err != nil || stored != leaf {
			return true, nil
		}
		f.Certified = f.Index < size
		return fn(f), nil
	})
}

// Prove returns the proof of a certified attestation, against the earliest
// checkpoint that covers it, whose cosignatures are the ones nearest to it in
// time.
func (s *Store) Prove(f Found) (*proof.Proof, *proof.Checkpoint, error) {
	claim, ok, err := s.Certificate(f.Log, f.Index+1)
	if err != nil {
		return nil, nil, err
	}
	if !ok {
		return nil, nil, fmt.Errorf("store: leaf %d of the log of %s is not certified", f.Index, s.committee.Name(f.Log))
	}
	cert, err := s.committee.Verify(claim)
	if err != nil {
		return nil, nil, fmt.Errorf("store: %w", err)
	}
	entry, err := s.entry(f)
	if err != nil {
		return nil, nil, err
	}
	path, err := tlog.ProveRecord(int64(cert.Size()), int64(f.Index), s.Hashes(f.Log))
	if err != nil {
		return nil, nil, fmt.Errorf("store: %w", err)
	}
	cp := proof.NewCheckpoint(s.committee, cert)
	return cp.Prove(entry, f.Index, path), cp, nil
}

// entry reads the entry that a leaf stands for from its batch.
func (s *Store) entry(f Found) (protocol.Entry, error) {
	encoded, err := s.BatchAt(f.Log, f.Index)
	if err != nil {
		return protocol.Entry{}, err
	}
	b, err := wire.DecodeBatch(encoded, wire.MaxMessage(s.params))
	if err != nil {
		return protocol.Entry{}, fmt.Errorf("store: batch of %s at %d: %w", s.committee.Name(f.Log), f.Index, err)
	}
	i := f.Index - b.Old - 1
	if f.Index <= b.Old || i >= uint64(len(b.Items)) {
		return protocol.Entry{}, fmt.Errorf("store: leaf %d of %s is not an event", f.Index, s.committee.Name(f.Log))
	}
	e, err := protocol.CheckEvent(b.Items[i].Body, s.params.MaxEventBytes)
	if err != nil {
		return protocol.Entry{}, fmt.Errorf("store: leaf %d of %s: %w", f.Index, s.committee.Name(f.Log), err)
	}
	return protocol.Entry{Kind: b.Items[i].Kind, Hash: e.Hash, Time: b.Time}, nil
}
