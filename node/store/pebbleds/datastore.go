package pebbleds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	ds "github.com/ipfs/go-datastore"
)

// slowDisk is how long an operation on a file may take before it is logged.
const slowDisk = 5 * time.Second

var (
	_ ds.Batching            = (*Datastore)(nil)
	_ ds.PersistentDatastore = (*Datastore)(nil)
)

// Datastore is a datastore on pebble. It is safe for concurrent use.
type Datastore struct {
	db       *pebble.DB
	fs       *crashStopFS
	paced    *pacedFS
	fsCloser io.Closer
	failure  *failure
	writes   *pebble.WriteOptions // of Put and Delete
	gate     *gate

	mu      sync.Mutex
	queries map[*queryIter]struct{} // open queries; nil once closed

	closeOnce sync.Once
	closeErr  error
}

// Open opens the store in the folder path, and makes it if there is none. The
// error wraps ErrLocked if the folder is already open, and ErrCorrupt if it is
// damaged. Who opens must Close.
func Open(path string, opts Options) (*Datastore, error) {
	if path == "" {
		return nil, errors.New("pebbleds: open: the path is empty: name a folder")
	}
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	f := &failure{log: opts.Logger}
	disk, fsCloser := opts.FS, io.Closer(io.NopCloser(nil))
	events := listener(opts.Logger, f)
	if disk == nil {
		disk, fsCloser = vfs.WithDiskHealthChecks(vfs.Default, slowDisk, nil, events.DiskSlow)
	}
	paced := newPacedFS(disk, opts.MemTableSize)
	fs := newCrashStopFS(paced, f)
	db, err := openPebble(path, opts.pebble(fs, f, events))
	if err != nil {
		// If a write failed, pebble's error only follows from it.
		if cause := f.get(); cause != nil {
			err = cause
		}
		_ = fsCloser.Close()
		return nil, openError(path, err)
	}
	d := &Datastore{
		db: db, fs: fs, paced: paced, fsCloser: fsCloser, failure: f,
		writes: pebble.NoSync, gate: newGate(), queries: map[*queryIter]struct{}{},
	}
	behind := func() bool { return db.Metrics().Levels[0].Sublevels >= urgentSublevels }
	paced.behind.Store(&behind)
	if opts.SyncWrites {
		d.writes = pebble.Sync
	}
	if err := f.arm(opts.OnFatal); err != nil {
		_ = d.Close()
		return nil, openError(path, err)
	}
	return d, nil
}

// openPebble opens pebble with a log in the newest format. Pebble makes the
// first log of a new folder in the oldest one, where damage in the middle
// looks like the end, so that all that follows would be lost without an error.
func openPebble(path string, opts *pebble.Options) (*pebble.DB, error) {
	raised := false
	onRaise := opts.EventListener.FormatUpgrade
	opts.EventListener.FormatUpgrade = func(v pebble.FormatMajorVersion) {
		raised = true
		if onRaise != nil {
			onRaise(v)
		}
	}
	db, err := pebble.Open(path, opts)
	if err != nil || !raised {
		return db, err
	}
	if err := db.Flush(); err != nil { // which begins a new log
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Close makes all writes durable and releases the folder. It waits for
// operations under way and ends open queries, whose next result is then
// ErrClosed. Closing again does nothing and returns the same error. The error
// wraps ErrFailed if the store had stopped itself.
func (d *Datastore) Close() error {
	d.closeOnce.Do(func() {
		close(d.fs.closing)
		close(d.paced.closing)
		d.gate.close()
		d.mu.Lock()
		open := d.queries
		d.queries = nil
		d.mu.Unlock()
		for q := range open {
			q.end(ErrClosed)
		}
		err := d.db.Close()
		if cause := d.failure.get(); cause != nil {
			err = cause
		} else if err != nil {
			err = fmt.Errorf("pebbleds: close: %w", err)
		}
		d.closeErr = errors.Join(err, d.fsCloser.Close())
	})
	return d.closeErr
}

// enter begins an operation; the caller must call d.gate.leave if it returns
// nil.
func (d *Datastore) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !d.gate.enter() {
		return ErrClosed
	}
	if err := d.failure.get(); err != nil {
		d.gate.leave()
		return err
	}
	return nil
}

// keyBytes returns the bytes of k without a copy. They must not be changed, or
// be kept longer than the call they are passed to; pebble promises both.
func keyBytes(k ds.Key) []byte {
	s := k.String()
	return unsafe.Slice(unsafe.StringData(s), len(s))
}

// Get implements ds.Read. The caller owns the value.
func (d *Datastore) Get(ctx context.Context, key ds.Key) ([]byte, error) {
	return d.get(ctx, keyBytes(key))
}

func (d *Datastore) get(ctx context.Context, key []byte) (value []byte, err error) {
	err = d.view(ctx, key, func(v []byte) {
		value = make([]byte, len(v))
		copy(value, v)
	})
	return value, err
}

// view calls fn with the value of key, which is valid during the call only.
func (d *Datastore) view(ctx context.Context, key []byte, fn func(value []byte)) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.gate.leave()
	value, closer, err := d.db.Get(key)
	if err != nil {
		return readError(err)
	}
	fn(value)
	return readError(closer.Close())
}

// Has implements ds.Read.
func (d *Datastore) Has(ctx context.Context, key ds.Key) (bool, error) {
	err := d.view(ctx, keyBytes(key), func([]byte) {})
	if errors.Is(err, ds.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// GetSize implements ds.Read.
func (d *Datastore) GetSize(ctx context.Context, key ds.Key) (int, error) {
	size := -1
	err := d.view(ctx, keyBytes(key), func(value []byte) { size = len(value) })
	return size, err
}

// Put implements ds.Write. It is durable after Sync, or at once under
// Options.SyncWrites. A nil value is stored as an empty one.
func (d *Datastore) Put(ctx context.Context, key ds.Key, value []byte) error {
	if err := checkSize(0, len(key.String())+len(value)); err != nil {
		return err
	}
	return d.write(ctx, func() error { return d.db.Set(keyBytes(key), value, d.writes) })
}

// Delete implements ds.Write. It is durable after Sync, or at once under
// Options.SyncWrites.
func (d *Datastore) Delete(ctx context.Context, key ds.Key) error {
	if err := checkSize(0, len(key.String())); err != nil {
		return err
	}
	return d.write(ctx, func() error { return d.db.Delete(keyBytes(key), d.writes) })
}

// Sync implements ds.Datastore: all writes that returned before are durable
// when it returns, whatever their prefix.
func (d *Datastore) Sync(ctx context.Context, _ ds.Key) error {
	return d.write(ctx, func() error { return d.db.LogData(nil, pebble.Sync) })
}

func (d *Datastore) write(ctx context.Context, fn func() error) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.gate.leave()
	if err := fn(); err != nil {
		return fmt.Errorf("pebbleds: write: %w", err)
	}
	// Pebble was not told if the disk failed.
	return d.failure.get()
}

// DiskUsage implements ds.PersistentDatastore. It returns the size of all
// files, in bytes, as pebble accounts for it.
func (d *Datastore) DiskUsage(ctx context.Context) (uint64, error) {
	if err := d.enter(ctx); err != nil {
		return 0, err
	}
	defer d.gate.leave()
	return d.db.Metrics().DiskSpaceUsage(), nil
}
