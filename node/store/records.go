package store

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"

	ds "github.com/ipfs/go-datastore"
)

// Records keeps small values that expire, for the API.
type Records struct{ store *Store }

// Records returns the store's space of small values.
func (s *Store) Records() *Records { return &Records{s} }

func recordKey(key string) []byte {
	return hex.AppendEncode([]byte(spaceRecord), []byte(key))
}

// Get returns a value, and false if there is none.
func (r *Records) Get(_ context.Context, key string) ([]byte, bool, error) {
	value, err := r.store.db.GetRaw(recordKey(key))
	if errors.Is(err, ds.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil || len(value) < 8 {
		return nil, false, err
	}
	return value[8:], true, nil
}

// Put keeps a value that was made at a time. It is durable when Put returns.
func (r *Records) Put(_ context.Context, key string, value []byte, made time.Time) error {
	b := r.store.db.NewWriteBatch()
	b.Set(recordKey(key), append(binary.BigEndian.AppendUint64(nil, uint64(made.UnixMilli())), value...))
	return b.Commit(true)
}

// Expire deletes the values that were made before a time.
func (r *Records) Expire(_ context.Context, before time.Time) error {
	b := r.store.db.NewWriteBatch()
	lower := []byte(spaceRecord)
	err := r.store.db.Scan(lower, upper(lower), false, func(key, value []byte) (bool, error) {
		if len(value) < 8 || int64(binary.BigEndian.Uint64(value)) < before.UnixMilli() {
			b.Delete(append([]byte(nil), key...))
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	return b.Commit(false)
}
