// Package store keeps a node's logs, certificates and evidence, and the small
// records of its API, in a go-datastore on pebble. Batches are stored whole, as
// they travelled; small indexes lead to them.
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	ds "github.com/ipfs/go-datastore"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/node/store/pebbleds"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

// schemaVersion is the version of the keys and values below.
const schemaVersion = "4"

// Store is the storage of one member of one network. It is safe for
// concurrent use.
type Store struct {
	db *pebbleds.Datastore
	// epochs are those that were written.
	epochs atomic.Pointer[quorum.Epochs]
	// state is the newest one that was written.
	state atomic.Pointer[chronos.State]
	// head is the newest certified head of the ledger that was asked for.
	head atomic.Pointer[LedgerHead]
	// leaves are those of the run that LedgerEntries read last.
	leaves atomic.Pointer[runLeaves]
	// erasing guards erased: what Compact has to give back.
	erasing sync.Mutex
	erased  spans
}

// Open opens the storage in db, which must be empty or belong to the same
// network and member. The committee is the founding one.
func Open(db *pebbleds.Datastore, c *quorum.Committee, network protocol.Hash, member string) (*Store, error) {
	s := &Store{db: db}
	for _, want := range []struct{ name, value string }{
		{"schema", schemaVersion}, {"network", network.String()}, {"member", member},
	} {
		if err := s.claim(want.name, want.value); err != nil {
			return nil, err
		}
	}
	if err := s.loadEpochs(c); err != nil {
		return nil, err
	}
	if err := s.loadErased(); err != nil {
		return nil, err
	}
	return s, s.loadState()
}

// claim holds the folder to a property, which it takes on if it is new.
func (s *Store) claim(name, value string) error {
	key := []byte(spaceMeta + name)
	stored, err := s.db.GetRaw(key)
	if errors.Is(err, ds.ErrNotFound) {
		b := s.db.NewWriteBatch()
		b.Set(key, []byte(value))
		return b.Commit(true)
	}
	if err != nil {
		return err
	}
	if string(stored) != value {
		return fmt.Errorf("the data folder belongs to %s %s, not to %s: use another data folder", name, stored, value)
	}
	return nil
}

// Write implements actors.Store.
func (s *Store) Write(records []machine.Record, sync bool) error {
	b := s.db.NewWriteBatch()
	var state *chronos.State
	epochs := s.Epochs()
	for _, r := range records {
		var err error
		switch r := r.(type) {
		case chronos.PutState:
			state = &r.State // the newest one holds
		case chronos.PutEpoch:
			epochs, err = putEpoch(b, r.Committee, epochs)
		default:
			err = s.put(b, r)
		}
		if err != nil {
			return err
		}
	}
	if state != nil {
		if err := putState(b, *state); err != nil {
			return err
		}
	}
	if err := b.Commit(sync); err != nil {
		return err
	}
	if epochs != s.Epochs() {
		s.epochs.Store(epochs)
	}
	if state != nil {
		s.state.Store(state)
	}
	return nil
}

func (s *Store) put(b *pebbleds.WriteBatch, r machine.Record) error {
	switch r := r.(type) {
	case witness.PutBatch:
		size := r.Old + 1 + uint64(len(r.Entries))
		b.Set(logKey(spaceBatch, r.Log, r.Old), batchValue(size, r.Encoded))
		b.Set(logKey(spaceHashes, r.Log, r.Old), flatten(r.Hashes))
		for i, e := range r.Entries {
			b.Set(eventKey(e.Hash, r.Log, r.Old+1+uint64(i)), indexOf(e))
			if at, ok := e.Expires(); ok {
				b.Set(expiryKey(at, r.Log, r.Old), nil)
			}
		}
	case witness.PutCertificate:
		value, err := wire.EncodeClaim(r.Claim)
		if err != nil {
			return err
		}
		b.Set(logKey(spaceCertificate, r.Claim.Log, r.Claim.Size), value)
	case witness.PutHandover:
		value, err := wire.EncodeHandover(r.Handover)
		if err != nil {
			return err
		}
		b.Set([]byte(keyHandover), value)
	case witness.PutEvidence:
		value, err := wire.Encode(r.Evidence)
		if err != nil {
			return err
		}
		b.Set(evidenceKey(r.Evidence.Author), value)
	case witness.Truncate:
		// Index entries of the dropped batches stay; lookups check what they
		// find against the log.
		for _, space := range []string{spaceBatch, spaceHashes} {
			b.DeleteRange(logKey(space, r.Log, r.Size), upper(logPrefix(space, r.Log)))
		}
	default:
		return s.putLedger(b, r)
	}
	return nil
}

// indexOf is what the index of bodies has of an entry beside its hash.
func indexOf(e protocol.Entry) []byte {
	value := binary.BigEndian.AppendUint64(make([]byte, 0, 13), uint64(e.Time))
	return binary.BigEndian.AppendUint32(append(value, byte(e.Kind)), e.TTL)
}

func flatten(hashes []tlog.Hash) []byte {
	out := make([]byte, 0, len(hashes)*tlog.HashSize)
	for i := range hashes {
		out = append(out, hashes[i][:]...)
	}
	return out
}

// Size implements witness.Storage.
func (s *Store) Size(log protocol.MemberID) (uint64, error) {
	_, value, ok, err := s.db.SeekLE(logPrefix(spaceBatch, log), logKey(spaceBatch, log, ^uint64(0)))
	if err != nil || !ok {
		return 0, err
	}
	size, _, err := splitBatch(value)
	return size, err
}

// batchValue is the stored form of a batch that ends at size.
func batchValue(size uint64, encoded []byte) []byte {
	value := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(encoded)), size)
	return append(value, encoded...)
}

func splitBatch(value []byte) (uint64, []byte, error) {
	if len(value) < 8 {
		return 0, nil, errors.New("store: a batch is damaged")
	}
	return binary.BigEndian.Uint64(value), value[8:], nil
}

// BatchAt implements witness.Storage.
func (s *Store) BatchAt(log protocol.MemberID, leaf uint64) ([]byte, error) {
	_, value, ok, err := s.db.SeekLE(logPrefix(spaceBatch, log), logKey(spaceBatch, log, leaf))
	if err != nil || !ok {
		return nil, err
	}
	size, encoded, err := splitBatch(value)
	if err != nil || leaf >= size {
		return nil, err
	}
	return encoded, nil
}

// Hashes implements witness.Storage.
func (s *Store) Hashes(log protocol.MemberID) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		var near hashBlock
		for i, x := range indexes {
			h, ok := near.hash(x)
			if !ok {
				var err error
				if near, err = s.hashBlock(log, x); err != nil {
					return nil, err
				}
				if h, ok = near.hash(x); !ok {
					return nil, fmt.Errorf("store: hash %d of %s is not there", x, s.committee().Origin(log))
				}
			}
			out[i] = h
		}
		return out, nil
	})
}

// hashBlock is the stored hashes that a batch, or a run, adds to a tree, of
// which the first is number first.
type hashBlock struct {
	first  int64
	hashes []byte
}

func (b *hashBlock) hash(x int64) (tlog.Hash, bool) {
	at := (x - b.first) * tlog.HashSize
	if x < b.first || at+tlog.HashSize > int64(len(b.hashes)) {
		return tlog.Hash{}, false
	}
	return tlog.Hash(b.hashes[at : at+tlog.HashSize]), true
}

// hashBlock reads the block of the batch whose leaf completes the subtree of a
// stored hash.
func (s *Store) hashBlock(log protocol.MemberID, x int64) (hashBlock, error) {
	level, n := tlog.SplitStoredHashIndex(x)
	leaf := uint64(n+1)<<level - 1
	key, value, ok, err := s.db.SeekLE(logPrefix(spaceHashes, log), logKey(spaceHashes, log, leaf))
	if err != nil || !ok {
		return hashBlock{}, err
	}
	return hashBlock{tlog.StoredHashCount(int64(parseHex(key[len(key)-16:]))), value}, nil
}

func (s *Store) storedHash(log protocol.MemberID, x int64) (tlog.Hash, error) {
	h, err := s.Hashes(log).ReadHashes([]int64{x})
	if err != nil {
		return tlog.Hash{}, err
	}
	return h[0], nil
}

// Certificate implements witness.Storage.
func (s *Store) Certificate(log protocol.MemberID, size uint64) (quorum.Claim, bool, error) {
	var value []byte
	var err error
	prefix := logPrefix(spaceCertificate, log)
	if size == witness.Latest {
		_, value, _, err = s.db.SeekLE(prefix, logKey(spaceCertificate, log, size))
	} else {
		err = s.db.Scan(logKey(spaceCertificate, log, size), upper(prefix), false, func(_, v []byte) (bool, error) {
			value = append([]byte(nil), v...)
			return false, nil
		})
	}
	if err != nil || value == nil {
		return quorum.Claim{}, false, err
	}
	claim, err := wire.DecodeClaim(value)
	return claim, err == nil, err
}

// Handover implements witness.Storage.
func (s *Store) Handover() (wire.Handover, bool, error) {
	value, err := s.db.GetRaw([]byte(keyHandover))
	if errors.Is(err, ds.ErrNotFound) {
		return wire.Handover{}, false, nil
	}
	if err != nil {
		return wire.Handover{}, false, err
	}
	h, err := wire.DecodeHandover(value)
	return h, err == nil, err
}

// Evidence implements witness.Storage.
func (s *Store) Evidence(log protocol.MemberID) (*wire.Evidence, error) {
	value, err := s.db.GetRaw(evidenceKey(log))
	if errors.Is(err, ds.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := wire.Decode(value, wire.MostMessage())
	if err != nil {
		return nil, fmt.Errorf("store: evidence against %s: %w", s.committee().Name(log), err)
	}
	e, ok := m.(*wire.Evidence)
	if !ok {
		return nil, fmt.Errorf("store: evidence against %s is a message of another kind", s.committee().Name(log))
	}
	return e, nil
}
