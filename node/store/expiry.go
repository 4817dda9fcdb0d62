package store

import (
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

// maxErased bounds the batches that are rewritten at once.
const maxErased = 256

// Erase removes the bodies that have expired by a time, and returns how many it
// removed. Entries stay, so that proofs hold. What is not ordered yet is kept
// until it is: nothing may be lost on its way. Compact gives the space back.
func (s *Store) Erase(now protocol.Micros) (int, error) {
	erased := 0
	for {
		n, done, err := s.eraseSome(now)
		erased += n
		if err != nil || done {
			return erased, err
		}
	}
}

// eraseSome rewrites some batches. It answers true when none is left.
func (s *Store) eraseSome(now protocol.Micros) (erased int, done bool, err error) {
	b := s.db.NewWriteBatch()
	batches := 0
	type place struct {
		log protocol.MemberID
		old uint64
	}
	seen := map[place]bool{}
	err = s.db.Scan([]byte(spaceExpiry), expiryBound(now), false, func(key, _ []byte) (bool, error) {
		if len(key) != len(spaceExpiry)+36 {
			return false, fmt.Errorf("store: the index of expiries is damaged")
		}
		at := key[len(spaceExpiry)+16:]
		p := place{protocol.MemberID(parseHex(at[:4])), parseHex(at[4:])}
		if !s.isOrdered(p.log, p.old) {
			return true, nil
		}
		b.Delete(append([]byte(nil), key...))
		if seen[p] {
			return true, nil
		}
		seen[p] = true
		n, err := s.eraseBatch(b, p.log, p.old, now)
		erased += n
		batches++
		return batches < maxErased, err
	})
	if err != nil {
		return 0, false, err
	}
	return erased, batches < maxErased, b.Commit(false)
}

func (s *Store) isOrdered(log protocol.MemberID, old uint64) bool {
	st := s.state.Load()
	return st != nil && int(log) < len(st.Order.Emitted) && old < st.Order.Emitted[log]
}

// eraseBatch puts hashes in the place of a batch's bodies that have expired.
func (s *Store) eraseBatch(w *pebbleds.WriteBatch, log protocol.MemberID, old uint64, now protocol.Micros) (int, error) {
	b, ok, err := chronos.ReadBatch(s, s.params, log, old)
	if err != nil || !ok || b.Old != old {
		return 0, err
	}
	erased := 0
	for i := range b.Items {
		it := &b.Items[i]
		if at, ok := it.Entry(b.Time).Expires(); !ok || it.Erased || at > now {
			continue
		}
		if err := s.forgetState(w, b, i); err != nil {
			return 0, err
		}
		hash := it.Hash()
		it.Erased, it.Body = true, hash[:]
		erased++
	}
	if erased == 0 {
		return 0, nil
	}
	encoded, err := wire.Encode(b)
	if err != nil {
		return 0, err
	}
	w.Set(logKey(spaceBatch, log, old), batchValue(b.Size(), encoded))
	return erased, nil
}

// forgetState takes an anchor out of the index of states: its key is erased with
// it, so nodes that get it later don't know it either.
func (s *Store) forgetState(w *pebbleds.WriteBatch, b *wire.Batch, i int) error {
	if b.Items[i].Kind != protocol.KindAnchorState {
		return nil
	}
	a, err := protocol.CheckAnchor(b.Items[i].Body, s.params.MaxEventBytes)
	if err != nil {
		return fmt.Errorf("store: a stored anchor: %w", err)
	}
	position, ok, err := s.Position(b.Author, b.Old+1+uint64(i))
	if err == nil && ok {
		w.Delete(appendHex(statePrefix(a.Key), position, 16))
	}
	return err
}

// Compact gives back the disk space of what was erased.
func (s *Store) Compact() error {
	return s.db.Compact([]byte(spaceBatch), upper([]byte(spaceBatch)))
}
