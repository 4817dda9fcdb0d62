package pebbleds

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
)

// Query implements ds.Datastore. The results are those of the moment of the
// call. They must be closed, or the
// datastore cannot be. Only one order is free: by key, up or down.
func (d *Datastore) Query(_ context.Context, q query.Query) (query.Results, error) {
	done, err := d.use()
	if err != nil {
		return nil, err
	}
	it, err := d.db.NewIter(bounds(q.Prefix))
	if err != nil {
		done()
		return nil, err
	}
	first, next := it.First, it.Next
	naive := q
	if len(q.Orders) > 0 {
		switch q.Orders[0].(type) {
		case query.OrderByKey, *query.OrderByKey:
			naive.Orders = nil // keys differ, so further orders have no say
		case query.OrderByKeyDescending, *query.OrderByKeyDescending:
			naive.Orders = nil
			first, next = it.Last, it.Prev
		}
	}
	naive.Prefix = "" // the bounds see to it
	advance := first
	results := query.ResultsFromIterator(q, query.Iterator{
		Next: func() (query.Result, bool) {
			if !advance() {
				if err := it.Error(); err != nil {
					return query.Result{Error: err}, true
				}
				return query.Result{}, false
			}
			advance = next
			return query.Result{Entry: entry(it, needsValue(q), q.ReturnsSizes)}, true
		},
		Close: sync.OnceValue(func() error { // the library may close it twice
			defer done()
			return it.Close()
		}),
	})
	return query.ResultsReplaceQuery(query.NaiveQueryApply(naive, results), q), nil
}

// needsValue reports whether a query looks at values, be it to filter or order.
func needsValue(q query.Query) bool {
	return !q.KeysOnly || len(q.Filters) > 0 || len(q.Orders) > 0
}

func entry(it *pebble.Iterator, value, size bool) query.Entry {
	e := query.Entry{Key: string(it.Key())}
	if value {
		e.Value = slices.Clone(it.Value())
	}
	if value || size {
		e.Size = len(it.Value())
	}
	return e
}

// bounds are the keys below a prefix: /a holds /a/b, but neither /a nor /ab.
func bounds(prefix string) *pebble.IterOptions {
	prefix = ds.NewKey(prefix).String()
	if prefix == "/" {
		return &pebble.IterOptions{}
	}
	prefix = strings.TrimSuffix(prefix, "/")
	return &pebble.IterOptions{LowerBound: []byte(prefix + "/"), UpperBound: []byte(prefix + "0")} // 0 follows /
}
