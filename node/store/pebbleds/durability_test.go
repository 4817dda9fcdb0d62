package pebbleds

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	ds "github.com/ipfs/go-datastore"
)

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in 30 s", what)
		}
	}
}

// TestBarriers demands of each call that promises so that it makes itself and
// the unsynced write before it durable, and of the others that a crash loses
// them, which shows that the test can tell.
func TestBarriers(t *testing.T) {
	ctx, key := context.Background(), ds.NewKey("/b")
	commit := func(sync, empty bool) func(*Datastore) error {
		return func(d *Datastore) error {
			b := d.NewWriteBatch()
			if !empty {
				b.Set([]byte("/b"), []byte("2"))
			}
			return b.Commit(sync)
		}
	}
	put := func(d *Datastore) error { return d.Put(ctx, key, []byte("2")) }
	remove := func(d *Datastore) error { return d.Delete(ctx, key) }
	for _, test := range []struct {
		name    string
		opts    Options
		do      func(*Datastore) error
		durable bool
	}{
		{"put", Options{}, put, false},
		{"delete", Options{}, remove, false},
		{"put, synced", Options{SyncWrites: true}, put, true},
		{"delete, synced", Options{SyncWrites: true}, remove, true},
		{"commit", Options{}, commit(false, false), false},
		{"commit, synced", Options{}, commit(true, false), true},
		{"empty commit", Options{}, commit(false, true), false},
		{"empty commit, synced", Options{}, commit(true, true), true},
		{"sync", Options{}, func(d *Datastore) error { return d.Sync(ctx, ds.NewKey("/elsewhere")) }, true},
		{"close", Options{}, (*Datastore).Close, true},
		{"batch", Options{}, func(d *Datastore) error {
			b, err := d.Batch(ctx)
			if err != nil {
				return err
			}
			return errors.Join(b.Put(ctx, key, []byte("2")), b.Commit(ctx))
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			checkBarrier(t, test.opts, test.do, test.durable)
		})
	}
}

func checkBarrier(t *testing.T, o Options, do func(*Datastore) error, durable bool) {
	t.Helper()
	fs := vfs.NewCrashableMem()
	o.FS = fs
	d := open(t, "db", o)
	before := d.NewWriteBatch()
	before.Set([]byte("/a"), []byte("1"))
	before.Set([]byte("/b"), []byte("1"))
	if err := before.Commit(false); err != nil {
		t.Fatal(err)
	}
	if err := do(d); err != nil {
		t.Fatal(err)
	}
	want, wantErr := d.GetRaw([]byte("/b"))
	d = open(t, "db", Options{FS: fs.CrashClone(vfs.CrashCloneCfg{})})
	if _, err := d.GetRaw([]byte("/a")); (err == nil) != durable {
		t.Errorf("the write before: %v", err)
	}
	v, err := d.GetRaw([]byte("/b"))
	if durable && !errors.Is(wantErr, ErrClosed) && (string(v) != string(want) || !errors.Is(err, wantErr)) {
		t.Errorf("%q, %v, want %q, %v", v, err, want, wantErr)
	}
}

// heldFS holds up the fsyncs of the log while held is locked, and counts them.
type heldFS struct {
	vfs.FS
	held  sync.RWMutex
	begun atomic.Int64
}

type heldFile struct {
	vfs.File
	fs *heldFS
}

func (fs *heldFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err == nil && filepath.Ext(name) == ".log" {
		f = heldFile{f, fs}
	}
	return f, err
}

func (f heldFile) SyncData() error {
	f.fs.begun.Add(1)
	f.fs.held.RLock()
	defer f.fs.held.RUnlock()
	return f.File.SyncData()
}

// TestOneFsyncForManyCommits holds up an fsync until many more commits wait:
// all of them need one more.
func TestOneFsyncForManyCommits(t *testing.T) {
	fs := &heldFS{FS: vfs.NewMem()}
	d := open(t, "db", Options{FS: fs})
	before := fs.begun.Load()
	fs.held.Lock()
	var returned atomic.Int64
	var wg sync.WaitGroup
	commit := func(key string) {
		b := d.NewWriteBatch()
		b.Set([]byte(key), nil)
		if err := b.Commit(true); err != nil {
			t.Error(err)
		}
		returned.Add(1)
	}
	wg.Go(func() { commit("/first") })
	eventually(t, "the first fsync", func() bool { return fs.begun.Load() == before+1 })
	const more = 100
	for i := range more {
		wg.Go(func() { commit(fmt.Sprintf("/more/%d", i)) })
	}
	// What can be read is in the queue for the log.
	eventually(t, "the others", func() bool {
		n := 0
		err := d.Scan([]byte("/more/"), []byte("/more0"), false, func(_, _ []byte) (bool, error) {
			n++
			return true, nil
		})
		return err == nil && n == more
	})
	if n := returned.Load(); n != 0 {
		t.Errorf("%d commits returned before their fsync", n)
	}
	fs.held.Unlock()
	wg.Wait()
	if n := fs.begun.Load() - before; n != 2 {
		t.Errorf("%d fsyncs for %d commits, want 2", n, 1+more)
	}
}
