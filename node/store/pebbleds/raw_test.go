package pebbleds

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	ds "github.com/ipfs/go-datastore"
)

// edgeKey returns a short key of bytes at the edges of their range, so that
// keys are often prefixes of one another, and prefixes often end in 0xff.
func edgeKey(rng *rand.Rand) string {
	var b strings.Builder
	for range rng.IntN(4) {
		b.WriteByte([]byte{0, 1, 'a', 0xfe, 0xff}[rng.IntN(5)])
	}
	return b.String()
}

type pair struct{ key, value string }

// TestEdgeKeys compares scans and seeks with a sorted list.
func TestEdgeKeys(t *testing.T) {
	d := open(t, "db", Options{FS: vfs.NewMem()})
	rng := rand.New(rand.NewPCG(7, 7))
	var twin []pair
	b := d.NewWriteBatch()
	for i := range 100 {
		key := "k" + edgeKey(rng) // pebble knows no empty key
		if !slices.ContainsFunc(twin, func(p pair) bool { return p.key == key }) {
			twin = append(twin, pair{key, fmt.Sprint(i)})
			b.Set([]byte(key), fmt.Append(nil, i))
		}
	}
	if err := b.Commit(false); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(twin, func(a, b pair) int { return strings.Compare(a.key, b.key) })
	bound := func() string {
		switch rng.IntN(4) {
		case 0:
			return edgeKey(rng)
		case 1:
			return "k"
		}
		return "k" + edgeKey(rng)
	}
	for range 5_000 {
		checkScan(t, d, twin, bound(), bound(), rng.IntN(2) == 0, 1+rng.IntN(100))
		checkSeek(t, d, twin, bound(), bound())
	}
}

func checkScan(t *testing.T, d *Datastore, twin []pair, lower, upper string, reverse bool, limit int) {
	t.Helper()
	var want, got []pair
	for _, p := range twin {
		if p.key >= lower && (upper == "" || p.key < upper) {
			want = append(want, p)
		}
	}
	if reverse {
		slices.Reverse(want)
	}
	want = want[:min(limit, len(want))]
	err := d.Scan([]byte(lower), []byte(upper), reverse, func(key, value []byte) (bool, error) {
		got = append(got, pair{string(key), string(value)})
		return len(got) < limit, nil
	})
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("Scan(%q, %q, %v): %q, %v, want %q", lower, upper, reverse, got, err, want)
	}
}

func checkSeek(t *testing.T, d *Datastore, twin []pair, prefix, key string) {
	t.Helper()
	var want pair
	for _, p := range twin {
		if strings.HasPrefix(p.key, prefix) && p.key <= key {
			want = p
		}
	}
	k, v, ok, err := d.SeekLE([]byte(prefix), []byte(key))
	if err != nil || ok != (want.key != "") || string(k) != want.key || string(v) != want.value {
		t.Fatalf("SeekLE(%q, %q) = %q, %q, %v, %v, want %q", prefix, key, k, v, ok, err, want)
	}
}

func TestScanReturnsTheErrorOfItsCallback(t *testing.T) {
	d := open(t, "db", Options{FS: vfs.NewMem()})
	if err := d.Put(t.Context(), ds.NewKey("/a"), nil); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	if err := d.Scan(nil, nil, false, func(_, _ []byte) (bool, error) { return true, stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

// TestCloseDuringScan demands that Close waits for a callback, which may still
// try to use the store, and that neither waits for the other forever.
func TestCloseDuringScan(t *testing.T) {
	d := open(t, "db", Options{FS: vfs.NewMem()})
	if err := errors.Join(d.Put(t.Context(), ds.NewKey("/a"), nil), d.Put(t.Context(), ds.NewKey("/b"), nil)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var inner error
	calls := 0
	err := d.Scan(nil, nil, false, func(key, _ []byte) (bool, error) {
		calls++
		wg.Go(func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
		eventually(t, "close", d.gate.isShut)
		_, inner = d.GetRaw(key)
		return true, nil
	})
	wg.Wait()
	if calls != 1 || !errors.Is(err, ErrClosed) || !errors.Is(inner, ErrClosed) {
		t.Errorf("%d calls, %v, %v", calls, err, inner)
	}
}

// TestCloseDuringUse closes a store that many use: what they get is their
// answer or ErrClosed.
func TestCloseDuringUse(t *testing.T) {
	for range 20 {
		d := open(t, "db", Options{FS: vfs.NewMem()})
		var users, done sync.WaitGroup
		for range 8 {
			users.Add(1)
			done.Go(func() {
				users.Done()
				for {
					var closed bool
					for name, err := range everyOperation(d) {
						closed = closed || errors.Is(err, ErrClosed)
						if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ds.ErrNotFound) {
							t.Errorf("%s: %v", name, err)
						}
					}
					if closed {
						return
					}
				}
			})
		}
		users.Wait()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		done.Wait()
		for name, err := range everyOperation(d) {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s after Close: %v", name, err)
			}
		}
	}
}

func TestBatchOverrules(t *testing.T) {
	d := open(t, "db", Options{FS: vfs.NewMem()})
	b := d.NewWriteBatch()
	empty := b.Len()
	for i := range 5 {
		b.Set(fmt.Appendf(nil, "/%d", i), []byte{byte(i)})
	}
	b.DeleteRange([]byte("/1"), []byte("/4"))
	b.Set([]byte("/2"), []byte("again"))
	b.Delete([]byte("/0"))
	if b.Len() <= empty {
		t.Errorf("size %d", b.Len())
	}
	if _, err := d.GetRaw([]byte("/4")); !errors.Is(err, ds.ErrNotFound) {
		t.Errorf("before Commit: %v", err)
	}
	if err := b.Commit(false); err != nil {
		t.Fatal(err)
	}
	checkScan(t, d, []pair{{"/2", "again"}, {"/4", "\x04"}}, "", "", false, 10)
	b.Set([]byte("/5"), nil)
	if err := b.Commit(true); err == nil || b.Len() != 0 {
		t.Errorf("a second commit: %v, size %d", err, b.Len())
	}
	checkScan(t, d, []pair{{"/2", "again"}, {"/4", "\x04"}}, "", "", false, 10)
}

func TestTooLarge(t *testing.T) {
	ctx, key, huge := context.Background(), ds.NewKey("/a"), make([]byte, MaxBatchBytes)
	d := open(t, "db", Options{FS: vfs.NewMem()})
	raw := d.NewWriteBatch()
	raw.Set([]byte("/b"), nil)
	raw.Set([]byte("/a"), huge)
	raw.Set([]byte("/c"), nil)
	b, err := d.Batch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"raw": raw.Commit(true), "put": d.Put(ctx, key, huge), "batch": b.Put(ctx, key, huge), "commit": b.Commit(ctx),
	} {
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	checkScan(t, d, nil, "", "", false, 1)
}

// TestValues demands that values are kept as they are, and are the caller's.
func TestValues(t *testing.T) {
	ctx := t.Context()
	d := open(t, "db", Options{FS: vfs.NewMem()})
	for i, value := range [][]byte{nil, {}, {0}, bytes.Repeat([]byte{7}, 3<<20)} { // the last is larger than a memtable
		key := ds.NewKey(fmt.Sprint(i))
		given := bytes.Clone(value)
		if err := d.Put(ctx, key, given); err != nil {
			t.Fatal(err)
		}
		clear(given)
		got, err := d.Get(ctx, key)
		if err != nil || got == nil || !bytes.Equal(got, value) {
			t.Errorf("value %d: %d bytes, %v", i, len(got), err)
		}
		clear(got)
		again, err := d.GetRaw([]byte(key.String()))
		size, sizeErr := d.GetSize(ctx, key)
		has, hasErr := d.Has(ctx, key)
		if err := errors.Join(err, sizeErr, hasErr); err != nil || !bytes.Equal(again, value) || size != len(value) || !has {
			t.Errorf("value %d: %d bytes, size %d, has %v, %v", i, len(again), size, has, err)
		}
	}
	if used, err := d.DiskUsage(ctx); err != nil || used == 0 {
		t.Errorf("disk usage %d, %v", used, err)
	}
	if size, err := d.GetSize(ctx, ds.NewKey("none")); size != -1 || !errors.Is(err, ds.ErrNotFound) {
		t.Errorf("size %d, %v", size, err)
	}
}
