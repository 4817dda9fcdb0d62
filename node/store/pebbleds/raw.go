package pebbleds

import (
	"bytes"
	"errors"
	"slices"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	ds "github.com/ipfs/go-datastore"
)

// WriteBatch gathers changes that are made all at once or not at all. It is
// not safe for concurrent use, and must not be used after Commit.
type WriteBatch struct {
	d *Datastore
	b *pebble.Batch
}

// NewWriteBatch returns an empty batch. Its keys are those of the datastore,
// as bytes.
func (d *Datastore) NewWriteBatch() *WriteBatch {
	done, err := d.use()
	if err != nil {
		return &WriteBatch{d: d}
	}
	defer done()
	return &WriteBatch{d: d, b: d.db.NewBatch()}
}

// Set sets a key to a value; both are copied.
func (w *WriteBatch) Set(key, value []byte) {
	if w.b != nil {
		w.b.Set(key, value, nil) // fails after Commit only
	}
}

// Delete removes a key.
func (w *WriteBatch) Delete(key []byte) {
	if w.b != nil {
		w.b.Delete(key, nil)
	}
}

// DeleteRange removes the keys from lower to before upper.
func (w *WriteBatch) DeleteRange(lower, upper []byte) {
	if w.b != nil {
		w.b.DeleteRange(lower, upper, nil)
	}
}

// Commit makes the changes. With sync they are durable when it returns;
// batches that are committed at the same time share an fsync.
func (w *WriteBatch) Commit(sync bool) error {
	done, err := w.d.use()
	if err != nil {
		return err
	}
	defer done()
	if w.b == nil {
		return ErrClosed
	}
	opts := pebble.NoSync
	if sync {
		opts = pebble.Sync
	}
	if err := w.b.Commit(opts); err != nil {
		return err
	}
	err = w.b.Close()
	w.b = nil
	return err
}

// GetRaw returns the value of a key, or ds.ErrNotFound.
func (d *Datastore) GetRaw(key []byte) (value []byte, err error) {
	err = d.get(key, func(v []byte) { value = append(make([]byte, 0, len(v)), v...) })
	return value, err
}

func (d *Datastore) get(key []byte, fn func(value []byte)) error {
	done, err := d.use()
	if err != nil {
		return err
	}
	defer done()
	value, closer, err := d.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return ds.ErrNotFound
	}
	if err != nil {
		return err
	}
	fn(value)
	return closer.Close()
}

// SeekLE returns copies of the largest key that begins with prefix and is not
// larger than key, and of its value.
func (d *Datastore) SeekLE(prefix, key []byte) (k, v []byte, ok bool, err error) {
	done, err := d.use()
	if err != nil {
		return nil, nil, false, err
	}
	defer done()
	upper := append(slices.Clone(key), 0)
	if bytes.Compare(key, prefix) > 0 && !bytes.HasPrefix(key, prefix) {
		upper = successor(prefix)
	}
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: upper})
	if err != nil {
		return nil, nil, false, err
	}
	if it.Last() {
		k, v, ok = slices.Clone(it.Key()), slices.Clone(it.Value()), true
	}
	return k, v, ok, it.Close()
}

// successor is the smallest key behind all that begin with prefix, or nil if
// there is none.
func successor(prefix []byte) []byte {
	s := slices.Clone(prefix)
	for i := len(s) - 1; i >= 0; i-- {
		if s[i]++; s[i] != 0 {
			return s[:i+1]
		}
	}
	return nil
}

// Scan calls fn with the keys from lower to before upper and their values,
// which are valid during the call only, until it answers false or an error.
func (d *Datastore) Scan(lower, upper []byte, reverse bool, fn func(key, value []byte) (bool, error)) error {
	done, err := d.use()
	if err != nil {
		return err
	}
	defer done()
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	first, next := it.First, it.Next
	if reverse {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok; ok = next() {
		more, err := fn(it.Key(), it.Value())
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if !more {
			break
		}
	}
	return it.Close()
}

// isLocked reports whether another process holds the folder's lock.
func isLocked(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EWOULDBLOCK)
}
