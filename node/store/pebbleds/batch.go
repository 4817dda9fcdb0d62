package pebbleds

import (
	"context"

	"github.com/cockroachdb/pebble/v2"
	ds "github.com/ipfs/go-datastore"
)

// MaxBatchBytes bounds the keys and values of one write, in bytes. Batches
// near it work but hold up all others; a few MiB are a good size.
const MaxBatchBytes = 256 << 20

// recordOverhead bounds what a record takes in a batch besides its key and
// value: its kind and two lengths.
const recordOverhead = 11

func checkSize(have, add int) error {
	if add > MaxBatchBytes || have+add+recordOverhead > MaxBatchBytes {
		return ErrTooLarge
	}
	return nil
}

// WriteBatch gathers writes that are applied together. It is not safe for
// concurrent use, and of use for one Commit. A batch may be dropped instead.
type WriteBatch struct {
	d     *Datastore
	batch *pebble.Batch // nil once committed
	err   error         // the first error of an operation
}

// NewWriteBatch returns an empty batch. It may be called on a closed store,
// where Commit then fails.
func (d *Datastore) NewWriteBatch() *WriteBatch {
	return &WriteBatch{d: d, batch: d.db.NewBatch()}
}

// room reports whether a record of n bytes may be added, and keeps the error
// for Commit if not.
func (b *WriteBatch) room(n int) bool {
	switch {
	case b.err != nil:
	case b.batch == nil:
		b.err = errCommitted
	default:
		b.err = checkSize(b.batch.Len(), n)
	}
	return b.err == nil
}

// Set stores value under key. Both are copied. Later operations of a batch
// overrule earlier ones. Should the batch grow beyond MaxBatchBytes, Commit
// returns ErrTooLarge.
func (b *WriteBatch) Set(key, value []byte) {
	if b.room(len(key) + len(value)) {
		b.err = b.batch.Set(key, value, nil)
	}
}

// Delete removes key, if it is there.
func (b *WriteBatch) Delete(key []byte) {
	if b.room(len(key)) {
		b.err = b.batch.Delete(key, nil)
	}
}

// DeleteRange removes the keys from lower up to, and without, upper. It costs
// about as much as one Delete.
func (b *WriteBatch) DeleteRange(lower, upper []byte) {
	if b.room(len(lower) + len(upper)) {
		b.err = b.batch.DeleteRange(lower, upper, nil)
	}
}

// Len returns the size of the batch in the log, in bytes, or 0 after Commit.
func (b *WriteBatch) Len() int {
	if b.batch == nil {
		return 0
	}
	return b.batch.Len()
}

// Commit applies the batch, whole or not at all. With sync it returns when
// the batch and all writes that returned before are durable, even if the batch
// is empty; concurrent commits share an fsync. A second Commit is an error.
func (b *WriteBatch) Commit(sync bool) error {
	return b.commit(context.Background(), sync)
}

func (b *WriteBatch) commit(ctx context.Context, sync bool) error {
	if b.batch == nil {
		return errCommitted
	}
	batch := b.batch
	b.batch = nil
	if b.err != nil {
		return b.err
	}
	opts := pebble.NoSync
	if sync {
		opts = pebble.Sync
		if batch.Empty() {
			// Pebble would skip the fsync along with the empty batch.
			if err := batch.LogData(nil, nil); err != nil {
				return err
			}
		}
	}
	err := b.d.write(ctx, func() error { return b.d.db.Apply(batch, opts) })
	if err != nil {
		return err
	}
	// Its memory serves the next batch.
	return batch.Close()
}

// Batch implements ds.BatchingFeature. The batch is applied whole, and durable
// when Commit returns.
func (d *Datastore) Batch(ctx context.Context) (ds.Batch, error) {
	if err := d.enter(ctx); err != nil {
		return nil, err
	}
	defer d.gate.leave()
	return batch{d.NewWriteBatch()}, nil
}

// batch implements ds.Batch.
type batch struct{ w *WriteBatch }

func (b batch) Put(ctx context.Context, key ds.Key, value []byte) error {
	b.w.Set(keyBytes(key), value)
	return firstOf(ctx.Err(), b.w.err)
}

func (b batch) Delete(ctx context.Context, key ds.Key) error {
	b.w.Delete(keyBytes(key))
	return firstOf(ctx.Err(), b.w.err)
}

func (b batch) Commit(ctx context.Context) error { return b.w.commit(ctx, true) }

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
