package pebbleds

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
)

// fill stores n pairs in a few namespaces, some of them next to each other in
// the order of bytes, and returns them.
func fill(t *testing.T, d *Datastore, rng *rand.Rand, n int) []query.Entry {
	t.Helper()
	spaces := []string{"", "/a", "/a/b", "/a!", "/a0", "/ab", "/a/b/c"}
	pairs := map[string]string{"/": "root"}
	for range n {
		key := fmt.Sprintf("%s/%d", spaces[rng.IntN(len(spaces))], rng.IntN(60))
		pairs[key] = fmt.Sprint(rng.IntN(20))
	}
	pairs["/empty"] = ""
	var entries []query.Entry
	for key, value := range pairs {
		if err := d.Put(t.Context(), ds.RawKey(key), []byte(value)); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, query.Entry{Key: key, Value: []byte(value), Size: len(value)})
	}
	return entries
}

// naive answers a query from a list, by the library's own functions.
func naive(t *testing.T, q query.Query, entries []query.Entry) []query.Entry {
	t.Helper()
	full := q
	if len(full.Orders) == 0 {
		full.Orders = []query.Order{query.OrderByKey{}}
	}
	want, err := query.NaiveQueryApply(full, query.ResultsWithEntries(full, entries)).Rest()
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if q.KeysOnly {
			want[i].Value = nil
			if !q.ReturnsSizes {
				want[i].Size = -1
			}
		}
	}
	return want
}

// TestQueryTwin compares random queries with naive ones.
func TestQueryTwin(t *testing.T) {
	d := open(t, "db", Options{FS: vfs.NewMem()})
	rng := rand.New(rand.NewPCG(5, 5))
	entries := fill(t, d, rng, 300)
	b := d.NewWriteBatch()
	b.Set([]byte("raw"), []byte("no datastore key"))
	b.Set([]byte("!raw"), nil)
	if err := b.Commit(false); err != nil {
		t.Fatal(err)
	}
	orders := []query.Order{
		query.OrderByKey{}, &query.OrderByKey{}, query.OrderByKeyDescending{}, &query.OrderByKeyDescending{},
		query.OrderByValue{}, query.OrderByValueDescending{},
		query.OrderByFunction(func(a, b query.Entry) int { return len(a.Value) - len(b.Value) }),
	}
	filters := []query.Filter{
		query.FilterKeyCompare{Op: query.GreaterThan, Key: "/a/2"}, &query.FilterKeyPrefix{Prefix: "/a/b"},
		query.FilterValueCompare{Op: query.LessThan, Value: []byte("15")}, valueFilter{},
	}
	prefixes := []string{"", "/", "/a", "/a/", "a", "/a/b", "/a/../ab", "/none", "/a/b/c", "//", "/a!"}
	for range 3_000 {
		q := query.Query{
			Prefix: prefixes[rng.IntN(len(prefixes))], KeysOnly: rng.IntN(2) == 0, ReturnsSizes: rng.IntN(2) == 0,
			Limit: rng.IntN(4) * rng.IntN(30), Offset: rng.IntN(4) * rng.IntN(30),
		}
		for range rng.IntN(3) {
			q.Orders = append(q.Orders, orders[rng.IntN(len(orders))])
		}
		for range rng.IntN(3) {
			q.Filters = append(q.Filters, filters[rng.IntN(len(filters))])
		}
		results, err := d.Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		got, err := results.Rest()
		if err != nil {
			t.Fatal(err)
		}
		equal := func(a, b query.Entry) bool {
			return a.Key == b.Key && string(a.Value) == string(b.Value) && a.Size == b.Size && (a.Value == nil) == (b.Value == nil)
		}
		if want := naive(t, q, entries); !slices.EqualFunc(got, want, equal) {
			t.Fatalf("%v\n%v\nwant\n%v", q, got, want)
		}
	}
	if len(d.queries) != 0 {
		t.Errorf("%d queries were not released", len(d.queries))
	}
}

type valueFilter struct{}

func (valueFilter) Filter(e query.Entry) bool { return len(e.Value) == 1 }

// TestQueryIsASnapshot demands that later writes do not show.
func TestQueryIsASnapshot(t *testing.T) {
	d := open(t, "db", Options{FS: vfs.NewMem()})
	entries := fill(t, d, rand.New(rand.NewPCG(1, 1)), 100)
	results, err := d.Query(t.Context(), query.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Put(t.Context(), ds.NewKey("/zzz"), nil), d.Delete(t.Context(), ds.NewKey("/empty"))); err != nil {
		t.Fatal(err)
	}
	if got, err := results.Rest(); err != nil || len(got) != len(entries) {
		t.Errorf("%d results, %v, want %d", len(got), err, len(entries))
	}
}

// TestCloseEndsQueries demands that an open query neither blocks Close nor
// reads a closed store, whichever way its results are read.
func TestCloseEndsQueries(t *testing.T) {
	read := map[string]func(query.Results) (query.Result, bool){
		"sync":    query.Results.NextSync,
		"channel": func(r query.Results) (query.Result, bool) { e, ok := <-r.Next(); return e, ok },
	}
	for name, next := range read {
		t.Run(name, func(t *testing.T) {
			d := open(t, "db", Options{FS: vfs.NewMem()})
			fill(t, d, rand.New(rand.NewPCG(1, 1)), 100)
			results, err := d.Query(t.Context(), query.Query{})
			if err != nil {
				t.Fatal(err)
			}
			if r, ok := next(results); !ok || r.Error != nil {
				t.Fatal(r, ok)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			var last query.Result
			for r, ok := next(results); ok; r, ok = next(results) { // some may have been on their way
				last = r
			}
			if !errors.Is(last.Error, ErrClosed) {
				t.Errorf("last result %v", last)
			}
			for range 2 {
				if err := results.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestQueryEndsWithItsContext(t *testing.T) {
	d := open(t, "db", Options{FS: vfs.NewMem()})
	fill(t, d, rand.New(rand.NewPCG(1, 1)), 100)
	ctx, cancel := context.WithCancel(t.Context())
	results, err := d.Query(ctx, query.Query{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if r, ok := results.NextSync(); !ok || !errors.Is(r.Error, context.Canceled) {
		t.Error(r, ok)
	}
	if r, ok := results.NextSync(); ok {
		t.Error(r, "after the error")
	}
	if len(d.queries) != 0 {
		t.Error("the query was not released")
	}
	for name, err := range map[string]error{
		"get":   second(d.Get(ctx, ds.NewKey("/a"))),
		"query": second(d.Query(ctx, query.Query{})),
		"put":   d.Put(ctx, ds.NewKey("/a"), nil),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestPrefixBounds checks namespaces at their borders.
func TestPrefixBounds(t *testing.T) {
	d := open(t, "db", Options{FS: vfs.NewMem()})
	for _, key := range []string{"/a", "/a/b", "/a/b/c", "/a.", "/a0", "/ab", "/b"} {
		if err := d.Put(t.Context(), ds.RawKey(key), nil); err != nil {
			t.Fatal(err)
		}
	}
	for prefix, want := range map[string][]string{
		"/a": {"/a/b", "/a/b/c"}, "a/": {"/a/b", "/a/b/c"}, "/a/b": {"/a/b/c"}, "/b": nil, "/c": nil,
		"/.": {"/a", "/a.", "/a/b", "/a/b/c", "/a0", "/ab", "/b"},
	} {
		got := map[string]bool{}
		for e, err := range ds.QueryIter(t.Context(), d, query.Query{Prefix: prefix, KeysOnly: true}) {
			if err != nil {
				t.Fatal(err)
			}
			got[e.Key] = true
		}
		if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, want) {
			t.Errorf("%s: %v, want %v", prefix, keys, want)
		}
	}
}
