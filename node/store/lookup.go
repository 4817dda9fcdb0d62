package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/proof"
)

// MaxCounted bounds how many attestations of one event are counted.
const MaxCounted = 10_000

var errDamagedIndex = errors.New("store: the index of events is damaged")

// Found is an entry and where it stands.
type Found struct {
	Log       protocol.MemberID
	Index     uint64
	Entry     protocol.Entry
	Certified bool
}

// earlier puts certified attestations first, and among them the earliest.
func (f Found) earlier(g Found) bool {
	if f.Certified != g.Certified {
		return f.Certified
	}
	if f.Entry.Time != g.Entry.Time {
		return f.Entry.Time < g.Entry.Time
	}
	return f.Log < g.Log || f.Log == g.Log && f.Index < g.Index
}

// Find returns the earliest certified attestation of an event, or the earliest
// of all if none is certified, and how many there are; more than MaxCounted
// means that there may be more still. The count is 0 if this node stores none.
//
// Times grow along a log, so that its first attestation is its earliest.
func (s *Store) Find(hash protocol.Hash) (first Found, count int, err error) {
	first, found, err := s.First(hash)
	if err == nil && found {
		count, err = s.count(hash)
	}
	return first, count, err
}

// First is Find without the count.
func (s *Store) First(hash protocol.Hash) (first Found, found bool, err error) {
	for log := protocol.MemberID(0); ; {
		f, ok, err := s.firstFrom(hash, log)
		if err != nil || !ok {
			return first, found, err
		}
		if !found || f.earlier(first) {
			first, found = f, true
		}
		log = f.Log + 1
	}
}

// firstFrom returns the first attestation of an event in the logs from one on.
func (s *Store) firstFrom(hash protocol.Hash, log protocol.MemberID) (found Found, ok bool, err error) {
	err = s.each(hash, eventKey(hash, log, 0), upper(eventPrefix(hash)), func(f Found) bool {
		found, ok = f, true
		return false
	})
	return found, ok, err
}

// count counts the attestations of an event by the index alone, where nothing
// in it can be stale.
func (s *Store) count(hash protocol.Hash) (int, error) {
	prefix, n := eventPrefix(hash), 0
	stale := map[protocol.MemberID]bool{}
	err := s.db.Scan(prefix, upper(prefix), false, func(key, _ []byte) (bool, error) {
		if len(key) != len(prefix)+20 {
			return false, errDamagedIndex
		}
		log := protocol.MemberID(parseHex(key[len(prefix) : len(prefix)+4]))
		frozen, known := stale[log]
		if !known {
			e, err := s.Evidence(log)
			if err != nil {
				return false, err
			}
			frozen = e != nil
			stale[log] = frozen
		}
		if !frozen {
			n++
		}
		return n <= MaxCounted, nil
	})
	for log, frozen := range stale {
		if err == nil && frozen {
			err = s.each(hash, eventKey(hash, log, 0), eventKey(hash, log+1, 0), func(Found) bool {
				n++
				return n <= MaxCounted
			})
		}
	}
	return min(n, MaxCounted+1), err
}

// FindOwn returns this member's earliest entry of the same kind, hash and life
// as another, from a leaf of its log on.
func (s *Store) FindOwn(self protocol.MemberID, like protocol.Entry, from uint64) (found Found, ok bool, err error) {
	hash := like.Hash
	err = s.each(hash, eventKey(hash, self, from), eventKey(hash, self+1, 0), func(f Found) bool {
		if f.Entry.Kind == like.Kind && f.Entry.TTL == like.TTL {
			found, ok = f, true
		}
		return !ok
	})
	return found, ok, err
}

// each calls fn with the entries of a body whose keys lie from lower up to end
// until it answers false.
func (s *Store) each(hash protocol.Hash, lower, end []byte, fn func(Found) bool) error {
	start := len(eventPrefix(hash))
	certified := map[protocol.MemberID]uint64{}
	return s.db.Scan(lower, end, false, func(key, value []byte) (bool, error) {
		f, err := parseEvent(hash, key, value, start)
		if err != nil {
			return false, err
		}
		if f.Log == protocol.Accord {
			if f.Certified, err = s.isCosigned(f); err != nil {
				return false, err
			}
			return fn(f), nil
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
		leaf, _ := f.Entry.LeafHash(nil)
		stored, err := s.storedHash(f.Log, tlog.StoredHashIndex(0, int64(f.Index)))
		if err != nil || stored != leaf {
			return true, nil
		}
		f.Certified = f.Index < size
		return fn(f), nil
	})
}

// isCosigned reports whether a quorum has cosigned the ledger so far that a
// decision is in it. That is all the certificate that decisions have: their log is
// derived, and has no checkpoints.
func (s *Store) isCosigned(decision Found) (bool, error) {
	position, ordered, err := s.Position(decision.Log, decision.Index)
	if err != nil || !ordered {
		return false, err
	}
	claim, ok, err := s.Checkpoint()
	return ok && position < claim.Size, err
}

// parseEvent reads a key and value of the index of bodies. The log and the
// leaf begin at start.
func parseEvent(hash protocol.Hash, key, value []byte, start int) (Found, error) {
	if len(key) != start+20 || len(value) != 13 {
		return Found{}, errors.New("store: the index of events is damaged")
	}
	return Found{
		Log:   protocol.MemberID(parseHex(key[start : start+4])),
		Index: parseHex(key[start+4:]),
		Entry: protocol.Entry{
			Kind: protocol.Kind(value[8]), Hash: hash,
			Time: protocol.Micros(binary.BigEndian.Uint64(value)), TTL: binary.BigEndian.Uint32(value[9:]),
		},
	}, nil
}

// Prove returns the proof of a certified entry, against the earliest checkpoint of
// its author's log that covers it, whose cosignatures are the ones nearest to it in
// time. That of a decision is against the ledger's newest checkpoint.
func (s *Store) Prove(f Found) (*proof.Proof, *proof.Checkpoint, error) {
	if f.Log == protocol.Accord {
		return s.proveDecision(f)
	}
	claim, ok, err := s.Certificate(f.Log, f.Index+1)
	if err != nil {
		return nil, nil, err
	}
	if !ok {
		return nil, nil, fmt.Errorf("store: leaf %d of the log of %s is not certified", f.Index, s.committee().Name(f.Log))
	}
	cert, cp, err := s.verify(claim)
	if err != nil {
		return nil, nil, fmt.Errorf("store: %w", err)
	}
	path, err := tlog.ProveRecord(int64(cert.Size()), int64(f.Index), s.Hashes(f.Log))
	if err != nil {
		return nil, nil, fmt.Errorf("store: %w", err)
	}
	return cp.Prove(f.Entry, f.Index, path), cp, nil
}

func (s *Store) proveDecision(f Found) (*proof.Proof, *proof.Checkpoint, error) {
	position, ordered, err := s.Position(f.Log, f.Index)
	if err != nil {
		return nil, nil, err
	}
	head, ok, err := s.LedgerHead()
	if err != nil {
		return nil, nil, err
	}
	if !ordered || !ok || position >= head.Size() {
		return nil, nil, fmt.Errorf("store: decision %d is under no checkpoint of the ledger", f.Index)
	}
	p, err := s.ProveLedger(head, Row{Position: position, Log: f.Log, Index: f.Index, Entry: f.Entry})
	return p, head.Checkpoint, err
}
