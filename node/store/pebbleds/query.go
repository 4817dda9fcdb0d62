package pebbleds

import (
	"context"
	"path"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-datastore/query"
)

// Query implements ds.Read. The results are those of the moment of the call,
// and end early with the error of ctx if it ends, or with ErrClosed if the
// store is closed. They hold on to files and memory until they are read to
// their end or closed.
//
// Results in an order other than that of the keys are all read into memory and
// sorted before Query returns. ReturnExpirations is ignored: nothing expires.
func (d *Datastore) Query(ctx context.Context, q query.Query) (query.Results, error) {
	if err := d.enter(ctx); err != nil {
		return nil, err
	}
	defer d.gate.leave()
	byKey, reverse := keyOrder(q.Orders)
	iter := &queryIter{
		d: d, ctx: ctx, filters: q.Filters, reverse: reverse,
		keysOnly:  q.KeysOnly,
		sizes:     q.ReturnsSizes || !q.KeysOnly,
		readValue: !q.KeysOnly || !onKeys(q.Filters) || !byKey,
		offset:    max(q.Offset, 0),
		limit:     q.Limit,
	}
	if !byKey {
		// These apply after the sort, which may need the values.
		iter.keysOnly, iter.offset, iter.limit = false, 0, 0
	}
	lower, upper := prefixBounds(q.Prefix)
	it, err := d.newIter(lower, upper)
	if err != nil {
		return nil, err
	}
	iter.it = it
	if !byKey {
		return sorted(q, iter)
	}
	if err := d.register(iter); err != nil {
		_ = it.Close()
		return nil, err
	}
	return query.ResultsFromIterator(q, query.Iterator{Next: iter.next, Close: iter.close}), nil
}

// prefixBounds returns the bounds of the keys strictly below a prefix, or of
// all datastore keys.
func prefixBounds(prefix string) (lower, upper []byte) {
	prefix = path.Clean("/" + prefix)
	if prefix == "/" {
		return []byte("/"), []byte{'/' + 1}
	}
	return []byte(prefix + "/"), append([]byte(prefix), '/'+1)
}

// keyOrder reports whether the orders amount to that of the keys, as no order
// does, and whether it is descending. Keys are unique, so that orders after
// one by key change nothing.
func keyOrder(orders []query.Order) (byKey, reverse bool) {
	if len(orders) == 0 {
		return true, false
	}
	switch orders[0].(type) {
	case query.OrderByKey, *query.OrderByKey:
		return true, false
	case query.OrderByKeyDescending, *query.OrderByKeyDescending:
		return true, true
	}
	return false, false
}

// onKeys reports whether the filters are known to look at keys only.
func onKeys(filters []query.Filter) bool {
	for _, f := range filters {
		switch f.(type) {
		case query.FilterKeyCompare, *query.FilterKeyCompare, query.FilterKeyPrefix, *query.FilterKeyPrefix:
		default:
			return false
		}
	}
	return true
}

// sorted returns the results of iter in the orders of q.
func sorted(q query.Query, iter *queryIter) (query.Results, error) {
	var entries []query.Entry
	for {
		r, ok := iter.advance()
		if r.Error != nil {
			return nil, r.Error
		}
		if !ok {
			break
		}
		entries = append(entries, r.Entry)
	}
	query.Sort(q.Orders, entries)
	entries = entries[min(max(q.Offset, 0), len(entries)):]
	if q.Limit > 0 {
		entries = entries[:min(q.Limit, len(entries))]
	}
	if q.KeysOnly {
		for i := range entries {
			entries[i] = keyOnly(entries[i], q.ReturnsSizes)
		}
	}
	return query.ResultsWithEntries(q, entries), nil
}

func keyOnly(e query.Entry, size bool) query.Entry {
	e.Value = nil
	if !size {
		e.Size = -1
	}
	return e
}

// queryIter yields the results of one query in the order of keys.
type queryIter struct {
	d         *Datastore
	ctx       context.Context // of the query, which outlives the call of Query
	filters   []query.Filter
	reverse   bool
	readValue bool // for the result, a filter or a sort
	keysOnly  bool
	sizes     bool

	mu      sync.Mutex
	it      *pebble.Iterator // nil once ended
	started bool
	offset  int   // results still to skip
	limit   int   // results still to yield; no limit if not positive
	pending error // to be yielded after the store ended the query
}

// register makes the query known to Close.
func (d *Datastore) register(q *queryIter) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.queries == nil {
		return ErrClosed
	}
	d.queries[q] = struct{}{}
	return nil
}

func (d *Datastore) unregister(q *queryIter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.queries, q)
}

// next implements query.Iterator.
func (q *queryIter) next() (query.Result, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.it == nil {
		err := q.pending
		q.pending = nil
		return query.Result{Error: err}, err != nil
	}
	if err := q.d.enter(q.ctx); err != nil {
		q.endLocked()
		return query.Result{Error: err}, true
	}
	defer q.d.gate.leave()
	return q.advance()
}

// advance returns the next result. At the end it closes the iterator.
func (q *queryIter) advance() (query.Result, bool) {
	for q.step() {
		if q.offset > 0 && len(q.filters) == 0 {
			q.offset--
			continue
		}
		e, err := q.entry()
		if err != nil {
			q.endLocked()
			return query.Result{Error: err}, true
		}
		if !q.passes(e) {
			continue
		}
		if q.offset > 0 {
			q.offset--
			continue
		}
		if q.keysOnly {
			e = keyOnly(e, q.sizes)
		}
		if q.limit == 1 {
			q.endLocked()
		}
		q.limit--
		return query.Result{Entry: e}, true
	}
	if q.it == nil {
		return query.Result{}, false
	}
	err := firstOf(q.ctx.Err(), readError(q.it.Error()))
	q.endLocked()
	return query.Result{Error: err}, err != nil
}

// step moves to the next key, unless the query is over.
func (q *queryIter) step() bool {
	if q.it == nil || q.ctx.Err() != nil {
		return false
	}
	if !q.started {
		q.started = true
		return first(q.it, q.reverse)
	}
	return next(q.it, q.reverse)
}

// entry returns the entry at the current key.
func (q *queryIter) entry() (query.Entry, error) {
	e := query.Entry{Key: string(q.it.Key()), Size: -1}
	if q.readValue {
		value, err := q.it.ValueAndErr()
		if err != nil {
			return query.Entry{}, readError(err)
		}
		e.Value = append(make([]byte, 0, len(value)), value...)
		e.Size = len(value)
	} else if q.sizes {
		value := q.it.LazyValue()
		e.Size = value.Len()
	}
	return e, nil
}

func (q *queryIter) passes(e query.Entry) bool {
	for _, f := range q.filters {
		if !f.Filter(e) {
			return false
		}
	}
	return true
}

// close implements query.Iterator.
func (q *queryIter) close() error {
	q.end(nil)
	return nil
}

// end closes the iterator; the next result is err, if not nil.
func (q *queryIter) end(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.it != nil {
		q.pending = err
	}
	q.endLocked()
}

func (q *queryIter) endLocked() {
	if q.it == nil {
		return
	}
	// What the iterator met was reported as it was met.
	_ = q.it.Close()
	q.it = nil
	q.d.unregister(q)
}
