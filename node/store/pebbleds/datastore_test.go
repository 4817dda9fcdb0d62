package pebbleds

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	ds "github.com/ipfs/go-datastore"
	dstest "github.com/ipfs/go-datastore/test"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, path string, o Options) *Datastore {
	t.Helper()
	d, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestSuite(t *testing.T) {
	t.Run("disk", func(t *testing.T) { dstest.SubtestAll(t, open(t, t.TempDir(), Options{})) })
	t.Run("memory", func(t *testing.T) { dstest.SubtestAll(t, open(t, "db", Options{FS: vfs.NewMem()})) })
}

// TestCrash demands that what was committed with sync survives the loss of
// everything that was not, whatever part of that is lost.
func TestCrash(t *testing.T) {
	for seed := range uint64(20) {
		fs := vfs.NewCrashableMem()
		d := open(t, "db", Options{FS: fs})
		rng := rand.New(rand.NewPCG(seed, 0))
		durable, pending := map[string]string{}, map[string]string{}
		for i := range 200 {
			b := d.NewWriteBatch()
			for range 1 + rng.IntN(5) {
				k, v := fmt.Sprintf("/k/%d", rng.IntN(100)), fmt.Sprintf("%d", i)
				b.Set([]byte(k), []byte(v))
				pending[k] = v
			}
			sync := rng.IntN(3) == 0
			if err := b.Commit(sync); err != nil {
				t.Fatal(err)
			}
			if sync {
				for k, v := range pending {
					durable[k] = v
				}
				clear(pending)
			}
		}
		after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed) * 5, RNG: rng})
		d2 := open(t, "db", Options{FS: after})
		for k, v := range durable {
			got, err := d2.GetRaw([]byte(k))
			if newer, rewritten := pending[k]; err != nil || string(got) != v && !(rewritten && atLeast(string(got), v, newer)) {
				t.Fatalf("seed %d: %s is %q, %v, want %q or newer", seed, k, got, err, v)
			}
		}
	}
}

// atLeast reports whether got lies between two values that count up.
func atLeast(got, low, high string) bool {
	var g, l, h int
	fmt.Sscan(got, &g)
	fmt.Sscan(low, &l)
	fmt.Sscan(high, &h)
	return g >= l && g <= h
}

// syncCounter counts the fsyncs of a file system.
type syncCounter struct {
	vfs.FS
	n *atomic.Int64
}

type countedFile struct {
	vfs.File
	n *atomic.Int64
}

func (f countedFile) Sync() error     { f.n.Add(1); return f.File.Sync() }
func (f countedFile) SyncData() error { f.n.Add(1); return f.File.SyncData() }

func (c syncCounter) Create(name string, cat vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.Create(name, cat)
	return countedFile{f, c.n}, err
}

func TestWaitingCommittersShareFsyncs(t *testing.T) {
	var syncs atomic.Int64
	d := open(t, t.TempDir(), Options{FS: syncCounter{vfs.Default, &syncs}})
	before := syncs.Load()
	const writers, each = 16, 50
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				b := d.NewWriteBatch()
				b.Set(fmt.Appendf(nil, "/w/%d/%d", w, i), make([]byte, 1000))
				if err := b.Commit(true); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := syncs.Load() - before; n >= writers*each {
		t.Errorf("%d fsyncs for %d commits", n, writers*each)
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, Options{})
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "in use") && !strings.Contains(err.Error(), "lock") {
		t.Errorf("error %v", err)
	}
}

func TestClosed(t *testing.T) {
	d := open(t, "db", Options{FS: vfs.NewMem()})
	b := d.NewWriteBatch()
	b.Set([]byte("/a"), nil)
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, key := context.Background(), ds.NewKey("/a")
	_, get := d.Get(ctx, key)
	_, _, _, seek := d.SeekLE(nil, []byte("/a"))
	for name, err := range map[string]error{
		"get": get, "put": d.Put(ctx, key, nil), "delete": d.Delete(ctx, key), "sync": d.Sync(ctx, key),
		"seek": seek, "commit": b.Commit(true), "new batch": d.NewWriteBatch().Commit(false),
		"scan": d.Scan(nil, nil, false, nil),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTwin compares seeks and scans with a sorted list.
func TestTwin(t *testing.T) {
	d := open(t, "db", Options{FS: vfs.NewMem()})
	rng := rand.New(rand.NewPCG(3, 3))
	twin := map[string]string{}
	random := func() string { return fmt.Sprintf("/%c/%02x", 'a'+rng.IntN(3), rng.IntN(256)) }
	for i := range 2_000 {
		b := d.NewWriteBatch()
		switch rng.IntN(5) {
		case 0:
			k := random()
			b.Delete([]byte(k))
			delete(twin, k)
		case 1:
			lower, upper := random(), random()
			if rng.IntN(20) > 0 || lower > upper {
				break
			}
			b.DeleteRange([]byte(lower), []byte(upper))
			for k := range twin {
				if k >= lower && k < upper {
					delete(twin, k)
				}
			}
		default:
			k, v := random(), fmt.Sprint(i)
			b.Set([]byte(k), []byte(v))
			twin[k] = v
		}
		if err := b.Commit(false); err != nil {
			t.Fatal(err)
		}
		compareSeek(t, d, twin, fmt.Sprintf("/%c/", 'a'+rng.IntN(3)), random())
	}
	var keys []string
	for k := range twin {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, reverse := range []bool{false, true} {
		var got []string
		err := d.Scan([]byte("/a"), []byte("/c"), reverse, func(k, v []byte) (bool, error) {
			if twin[string(k)] != string(v) {
				t.Errorf("%s is %s", k, v)
			}
			got = append(got, string(k))
			return true, nil
		})
		if reverse {
			for i, j := 0, len(got)-1; i < j; i, j = i+1, j-1 {
				got[i], got[j] = got[j], got[i]
			}
		}
		want := keys[:sort.SearchStrings(keys, "/c")]
		if err != nil || strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("scan (reverse %v): %v, %v", reverse, got, err)
		}
	}
}

func compareSeek(t *testing.T, d *Datastore, twin map[string]string, prefix, key string) {
	t.Helper()
	want := ""
	for k := range twin {
		if strings.HasPrefix(k, prefix) && k <= key && k > want {
			want = k
		}
	}
	k, v, ok, err := d.SeekLE([]byte(prefix), []byte(key))
	if key < prefix {
		ok = false
	}
	if err != nil || ok != (want != "") || ok && (string(k) != want || string(v) != twin[want]) {
		t.Fatalf("SeekLE(%s, %s) = %s, %s, %v, %v, want %s", prefix, key, k, v, ok, err, want)
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{8 << 10, 50 << 10} {
		for _, writers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dKiB/writers=%d", size>>10, writers), func(b *testing.B) {
				d := open(b, b.TempDir(), Options{})
				value := bytes.Repeat([]byte{1}, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				var n atomic.Int64
				var wg sync.WaitGroup
				for range writers {
					wg.Go(func() {
						for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
							w := d.NewWriteBatch()
							w.Set(fmt.Appendf(nil, "/k/%d", i), value)
							if err := w.Commit(true); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

func BenchmarkGetRaw(b *testing.B) {
	d := open(b, b.TempDir(), Options{})
	w := d.NewWriteBatch()
	for i := range 10_000 {
		w.Set(fmt.Appendf(nil, "/k/%d", i), make([]byte, 100))
	}
	if err := w.Commit(true); err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		if _, err := d.GetRaw(fmt.Appendf(nil, "/k/%d", i%10_000)); err != nil {
			b.Fatal(err)
		}
	}
}
