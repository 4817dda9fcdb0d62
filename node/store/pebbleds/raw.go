package pebbleds

import (
	"bytes"
	"context"

	"github.com/cockroachdb/pebble/v2"
)

// GetRaw returns the value of key, which the caller owns, or ds.ErrNotFound.
func (d *Datastore) GetRaw(key []byte) (value []byte, err error) {
	return d.get(context.Background(), key)
}

// SeekLE returns the largest key that has prefix and is not larger than key,
// with its value, or ok false if there is none. The caller owns both.
func (d *Datastore) SeekLE(prefix, key []byte) (k, v []byte, ok bool, err error) {
	upper := successor(prefix)
	switch {
	case bytes.HasPrefix(key, prefix):
		// The least key larger than key.
		upper = append(append(make([]byte, 0, len(key)+1), key...), 0)
	case bytes.Compare(key, prefix) < 0:
		return nil, nil, false, nil
	}
	err = d.Scan(prefix, upper, true, func(foundKey, foundValue []byte) (bool, error) {
		k, v, ok = bytes.Clone(foundKey), bytes.Clone(foundValue), true
		return false, nil
	})
	if err != nil {
		return nil, nil, false, err
	}
	return k, v, ok, nil
}

// successor returns the least key larger than all keys that have prefix, or
// nil if there is none.
func successor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			upper := bytes.Clone(prefix[:i+1])
			upper[i]++
			return upper
		}
	}
	return nil
}

// Scan calls fn with the keys from lower up to, and without, upper, in
// ascending order or, if reverse, in descending order, until fn returns false
// or an error, which Scan returns. An empty bound is none. The key and value
// are valid during the call of fn only, and must not be changed. Scan sees the
// store as it was when it began; fn may use the store. Close waits for fn, and
// the scan then ends with ErrClosed.
func (d *Datastore) Scan(lower, upper []byte, reverse bool, fn func(key, value []byte) (more bool, err error)) (err error) {
	if err := d.enter(context.Background()); err != nil {
		return err
	}
	defer d.gate.leave()
	it, err := d.newIter(lower, upper)
	if it == nil {
		return err
	}
	defer func() { err = firstOf(err, readError(it.Close())) }()
	for ok := first(it, reverse); ok; ok = next(it, reverse) {
		value, err := it.ValueAndErr()
		if err != nil {
			return readError(err)
		}
		more, err := fn(it.Key(), value)
		if err != nil || !more {
			return err
		}
		if d.gate.isShut() {
			return ErrClosed
		}
		if err := d.failure.get(); err != nil {
			return err
		}
	}
	return readError(it.Error())
}

// newIter returns an iterator, or nil if no key is within the bounds.
func (d *Datastore) newIter(lower, upper []byte) (*pebble.Iterator, error) {
	var opts pebble.IterOptions
	if len(lower) > 0 {
		opts.LowerBound = lower
	}
	if len(upper) > 0 {
		opts.UpperBound = upper
		if bytes.Compare(lower, upper) >= 0 {
			return nil, nil
		}
	}
	it, err := d.db.NewIter(&opts)
	if err != nil {
		return nil, readError(err)
	}
	return it, nil
}

func first(it *pebble.Iterator, reverse bool) bool {
	if reverse {
		return it.Last()
	}
	return it.First()
}

func next(it *pebble.Iterator, reverse bool) bool {
	if reverse {
		return it.Prev()
	}
	return it.Next()
}

// Compact rewrites the keys from lower up to upper, so that what was deleted or
// overwritten between them gives back its space on the disk.
func (d *Datastore) Compact(lower, upper []byte) (err error) {
	if err := d.enter(context.Background()); err != nil {
		return err
	}
	defer d.gate.leave()
	if err := d.db.Flush(); err != nil {
		return readError(err)
	}
	return readError(d.db.Compact(context.Background(), lower, upper, false))
}
