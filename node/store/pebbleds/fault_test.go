package pebbleds

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
)

// faultyDisk fails the write operation with one index with ENOSPC, and, unless
// once is set, all after it.
type faultyDisk struct {
	at   int64
	once bool
	n    atomic.Int64
	hit  atomic.Bool // whether it has failed
}

func (f *faultyDisk) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpCreate, errorfs.OpReuseForWrite, errorfs.OpRename, errorfs.OpFileClose,
		errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
	default:
		return nil
	}
	n := f.n.Add(1) - 1
	if n == f.at || n > f.at && !f.once {
		f.hit.Store(true)
		return syscall.ENOSPC
	}
	return nil
}

func (f *faultyDisk) String() string { return fmt.Sprintf("faulty disk at %d", f.at) }

// TestFaults fails every write operation of a workload in turn, by turns once
// and for good. Whatever
// fails, nothing panics or hangs, every caller learns of it, and what had been
// committed is there when the folder is opened again: from the disk as it is,
// and as a crash would leave it.
func TestFaults(t *testing.T) {
	for at := int64(0); ; at++ {
		fault := &faultyDisk{at: at, once: at%2 == 1}
		fs := vfs.NewCrashableMem()
		committed := runUntilFault(t, errorfs.Wrap(fs, fault), fault)
		after := fs.CrashClone(vfs.CrashCloneCfg{})
		for name, disk := range map[string]vfs.FS{"closed": fs, "crashed": after} {
			checkCommitted(t, disk, committed, fmt.Sprintf("fault %d, %s", at, name))
		}
		if !fault.hit.Load() {
			if at < 100 {
				t.Fatalf("the workload performs %d writes only", at)
			}
			return
		}
	}
}

func checkCommitted(t *testing.T, disk vfs.FS, committed map[string]bool, when string) {
	t.Helper()
	d, err := Open("db", Options{FS: disk})
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	for key := range committed {
		if _, err := d.GetRaw([]byte(key)); err != nil {
			t.Errorf("%s: %s was committed: %v", when, key, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
}

// runUntilFault writes from several goroutines until the disk fails or the
// work is done. It returns the keys of the commits that returned no error.
func runUntilFault(t *testing.T, disk vfs.FS, fault *faultyDisk) map[string]bool {
	t.Helper()
	fatal := make(chan error, 2)
	d, err := Open("db", Options{FS: disk, MemTableSize: minMemTableSize, OnFatal: func(err error) { fatal <- err }})
	if err != nil {
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("fault %d: open: %v", fault.at, err)
		}
		return nil
	}
	var mu sync.Mutex
	committed := map[string]bool{}
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := range 8 {
				key := fmt.Sprintf("/w/%d/%d", w, i)
				b := d.NewWriteBatch()
				b.Set([]byte(key), make([]byte, 30_000))
				if i%4 == 3 {
					b.Set([]byte("/large"), make([]byte, minMemTableSize))
				}
				sync := i%3 != 0
				if err := b.Commit(sync); err != nil {
					checkFailed(t, fault, err)
					return
				}
				if sync {
					mu.Lock()
					committed[key] = true
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if err := d.Sync(context.Background(), ds.Key{}); err != nil {
		checkFailed(t, fault, err)
		checkStopped(t, d, fault)
		checkFailed(t, fault, <-fatal)
	}
	if err := d.Close(); err != nil {
		checkFailed(t, fault, err)
	}
	if len(fatal) > 0 && d.failure.get() == nil {
		t.Errorf("fault %d: OnFatal called without a failure", fault.at)
	}
	return committed
}

func checkFailed(t *testing.T, fault *faultyDisk, err error) {
	t.Helper()
	if !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("fault %d: %v", fault.at, err)
	}
}

// checkStopped demands that every operation fails.
func checkStopped(t *testing.T, d *Datastore, fault *faultyDisk) {
	t.Helper()
	for name, err := range everyOperation(d) {
		if !errors.Is(err, ErrFailed) {
			t.Errorf("fault %d: %s: %v", fault.at, name, err)
		}
	}
}

// everyOperation tries each operation and returns the errors.
func everyOperation(d *Datastore) map[string]error {
	ctx, key := context.Background(), ds.NewKey("/a")
	errs := map[string]error{
		"put": d.Put(ctx, key, nil), "delete": d.Delete(ctx, key), "sync": d.Sync(ctx, key),
		"commit":        d.NewWriteBatch().Commit(false),
		"commit synced": d.NewWriteBatch().Commit(true),
		"scan":          d.Scan(nil, nil, false, func(_, _ []byte) (bool, error) { return true, nil }),
	}
	_, errs["get"] = d.Get(ctx, key)
	_, errs["get raw"] = d.GetRaw([]byte("/a"))
	_, errs["has"] = d.Has(ctx, key)
	_, errs["get size"] = d.GetSize(ctx, key)
	_, errs["disk usage"] = d.DiskUsage(ctx)
	_, errs["batch"] = d.Batch(ctx)
	_, errs["query"] = d.Query(ctx, query.Query{})
	_, _, _, errs["seek"] = d.SeekLE(nil, []byte("/a"))
	return errs
}

// TestOpenQueryOfAStoppedStore demands that a query under way tells of the
// failure instead of ending as if it were complete.
func TestOpenQueryOfAStoppedStore(t *testing.T) {
	var broken atomic.Bool
	d := open(t, "db", Options{FS: errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(errorfs.Op) error {
		if broken.Load() {
			return syscall.EIO
		}
		return nil
	}))})
	ctx := context.Background()
	for i := range 3 {
		if err := d.Put(ctx, ds.NewKey(fmt.Sprint(i)), nil); err != nil {
			t.Fatal(err)
		}
	}
	results, err := d.Query(ctx, query.Query{})
	if err != nil {
		t.Fatal(err)
	}
	defer results.Close()
	if r, ok := results.NextSync(); !ok || r.Error != nil {
		t.Fatalf("%v, %v", r, ok)
	}
	broken.Store(true)
	if err := d.Sync(ctx, ds.Key{}); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if r, ok := results.NextSync(); !ok || !errors.Is(r.Error, ErrFailed) {
		t.Errorf("%v, %v", r, ok)
	}
	if r, ok := results.NextSync(); ok {
		t.Errorf("%v after the error", r)
	}
}
