package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/strataos/strataos/node/store/pebbleds"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/wire"
)

// expiryKey is the key of a batch by the second in which one of its bodies
// expires, rounded up.
func expiryKey(at protocol.Micros, log protocol.MemberID, old uint64) []byte {
	key := expiryBound(at + protocol.Second - 1)
	return appendHex(appendHex(key, uint64(log), 4), old, 16)
}

func expiryBound(at protocol.Micros) []byte {
	return appendHex(append(make([]byte, 0, 48), spaceExpiry...), at.Seconds(), 16)
}

// Bounds of what is rewritten at once.
const (
	maxErased      = 256     // batches
	maxErasedBytes = 8 << 20 // of them, as they were
)

// place is where a batch begins.
type place struct {
	log protocol.MemberID
	old uint64
}

// Erase removes the bodies that have expired by a time, and returns how many it
// removed. Entries stay, so that proofs hold. What is not ordered yet is kept
// until it is: nothing may be lost on its way. Compact gives the space back. It
// ends early with the context.
func (s *Store) Erase(ctx context.Context, now protocol.Micros) (int, error) {
	s.erasing.Lock()
	defer s.erasing.Unlock()
	erased := 0
	for ctx.Err() == nil {
		n, done, err := s.eraseSome(now)
		erased += n
		if err != nil || done {
			return erased, err
		}
	}
	return erased, nil
}

// eraser rewrites some batches.
type eraser struct {
	store   *Store
	now     protocol.Micros
	batch   *pebbleds.WriteBatch
	seen    map[place]bool
	spans   spans
	bodies  int // that were erased
	batches int
	bytes   int // of the batches, as they were
}

// eraseSome rewrites some batches. It answers true when none is left.
func (s *Store) eraseSome(now protocol.Micros) (erased int, done bool, err error) {
	e := &eraser{store: s, now: now, batch: s.db.NewWriteBatch(), seen: map[place]bool{}, spans: s.erased.clone()}
	done = true
	err = s.db.Scan([]byte(spaceExpiry), expiryBound(now), false, func(key, _ []byte) (bool, error) {
		if e.batches >= maxErased || e.bytes >= maxErasedBytes {
			done = false
			return false, nil
		}
		return true, e.expired(key)
	})
	if err != nil || len(e.seen) == 0 {
		return 0, done, err
	}
	if e.bodies > 0 {
		e.batch.Set([]byte(keyErased), e.spans.encode())
	}
	if err := e.batch.Commit(false); err != nil {
		return 0, false, err
	}
	s.erased = e.spans
	return e.bodies, done, nil
}

// expired takes a key of the index of expiries.
func (e *eraser) expired(key []byte) error {
	if len(key) != len(spaceExpiry)+36 {
		return errors.New("store: the index of expiries is damaged")
	}
	at := key[len(spaceExpiry)+16:]
	p := place{protocol.MemberID(parseHex(at[:4])), parseHex(at[4:])}
	if !e.store.isOrdered(p.log, p.old) {
		return nil
	}
	e.batch.Delete(append([]byte(nil), key...))
	if e.seen[p] {
		return nil
	}
	e.seen[p] = true
	return e.erase(p)
}

func (s *Store) isOrdered(log protocol.MemberID, old uint64) bool {
	st := s.state.Load()
	return st != nil && int(log) < len(st.Order.Emitted) && old < st.Order.Emitted[log]
}

// erase puts hashes in the place of a batch's bodies that have expired.
func (e *eraser) erase(p place) error {
	s := e.store
	b, ok, err := chronos.ReadBatch(s, p.log, p.old)
	if err != nil || !ok || b.Old != p.old {
		return err
	}
	e.batches++
	before := e.bodies
	for i := range b.Items {
		it := &b.Items[i]
		e.bytes += len(it.Body)
		if at, ok := it.Entry(b.Time).Expires(); !ok || it.Erased || at > e.now {
			continue
		}
		if err := s.forgetState(e.batch, b, i); err != nil {
			return err
		}
		hash := it.Hash()
		it.Erased, it.Body = true, hash[:]
		e.bodies++
	}
	if e.bodies == before {
		return nil
	}
	encoded, err := wire.Encode(b)
	if err != nil {
		return err
	}
	e.batch.Set(logKey(spaceBatch, p.log, p.old), batchValue(b.Size(), encoded))
	e.spans.add(p)
	return nil
}

// forgetState takes an anchor out of the index of states: its key is erased with
// it, so nodes that get it later don't know it either.
func (s *Store) forgetState(w *pebbleds.WriteBatch, b *wire.Batch, i int) error {
	if b.Items[i].Kind != protocol.KindAnchorState {
		return nil
	}
	a, err := protocol.CheckAnchor(b.Items[i].Body, len(b.Items[i].Body))
	if err != nil {
		return fmt.Errorf("store: a stored anchor: %w", err)
	}
	position, ok, err := s.Position(b.Author, b.Old+1+uint64(i))
	if err == nil && ok {
		w.Delete(appendHex(statePrefix(a.Key), position, 16))
	}
	return err
}

// Compact gives back the disk space of what was erased since it last did, also
// before a restart. It rewrites the part of each log that holds what was erased,
// and nothing else.
func (s *Store) Compact() error {
	s.erasing.Lock()
	defer s.erasing.Unlock()
	for _, sp := range s.erased {
		if err := s.db.Compact(logKey(spaceBatch, sp.Log, sp.First), logKey(spaceBatch, sp.Log, sp.Last+1)); err != nil {
			return err
		}
	}
	if len(s.erased) == 0 {
		return nil
	}
	b := s.db.NewWriteBatch()
	b.Delete([]byte(keyErased))
	if err := b.Commit(false); err != nil {
		return err
	}
	s.erased = nil
	return nil
}
