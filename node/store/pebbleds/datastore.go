// Package pebbleds offers go-datastore's interfaces over an embedded pebble
// database, and beside them the raw batches, seeks and scans of a hot path.
//
// A batch is durable when its Commit returns; committers that wait at the same
// time share one fsync. Put and Delete are durable after the next Sync or
// synced commit.
package pebbleds

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	ds "github.com/ipfs/go-datastore"
)

// ErrClosed is the error of every operation on a closed datastore.
var ErrClosed = errors.New("the datastore is closed")

// Options are the settings of a datastore. Zero values mean the defaults.
type Options struct {
	// MemTableSize is the size of the write buffer in bytes, 8 MiB by default.
	// The write-ahead log preallocates several times as much.
	MemTableSize uint64
	// CacheSize is the size of the block cache in bytes, 32 MiB by default.
	CacheSize int64
	// Logger takes what the database says of itself: its chatter at Debug.
	Logger *slog.Logger
	// OnFatal is called when the database cannot go on, such as when the disk
	// fails under its write-ahead log. By default the process panics, since a
	// database that goes on then may lose what it said was durable.
	OnFatal func(error)
	// FS is the file system, the operating system's by default.
	FS vfs.FS
}

// Datastore is a go-datastore on pebble. It is safe for concurrent use.
type Datastore struct {
	mu     sync.RWMutex // held for reading by every operation
	closed bool
	db     *pebble.DB
}

var (
	_ ds.Batching            = (*Datastore)(nil)
	_ ds.PersistentDatastore = (*Datastore)(nil)
)

// Open opens the datastore in a folder, which is made if it does not exist.
func Open(path string, o Options) (*Datastore, error) {
	cache := pebble.NewCache(max(o.CacheSize, 1<<20))
	if o.CacheSize == 0 {
		cache.Unref()
		cache = pebble.NewCache(32 << 20)
	}
	defer cache.Unref() // the database has its own reference
	if o.MemTableSize == 0 {
		o.MemTableSize = 8 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnFatal == nil {
		o.OnFatal = func(err error) { panic(err) }
	}
	opts := &pebble.Options{
		Cache:                       cache,
		FS:                          o.FS,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                o.MemTableSize,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       64,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		Logger:                      logger{o.Logger, o.OnFatal},
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(path, opts)
	if err != nil {
		return nil, openError(path, err)
	}
	return &Datastore{db: db}, nil
}

func openError(path string, err error) error {
	switch {
	case errors.Is(err, pebble.ErrCorruption) || pebble.IsCorruptionError(err):
		return fmt.Errorf("the store in %s is damaged: %w", path, err)
	case isLocked(err):
		return fmt.Errorf("the store in %s is in use by another process: stop that one first, or use another data folder (%w)", path, err)
	}
	return fmt.Errorf("open the store in %s: %w", path, err)
}

// use keeps the datastore from being closed until the answer is called.
func (d *Datastore) use() (func(), error) {
	d.mu.RLock()
	if d.closed {
		d.mu.RUnlock()
		return nil, ErrClosed
	}
	return d.mu.RUnlock, nil
}

// Close closes the datastore, after what is under way. More calls do nothing.
func (d *Datastore) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	return d.db.Close()
}

// Get implements ds.Datastore.
func (d *Datastore) Get(_ context.Context, key ds.Key) ([]byte, error) {
	return d.GetRaw(key.Bytes())
}

// Has implements ds.Datastore.
func (d *Datastore) Has(ctx context.Context, key ds.Key) (bool, error) {
	_, err := d.GetSize(ctx, key)
	if errors.Is(err, ds.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// GetSize implements ds.Datastore.
func (d *Datastore) GetSize(_ context.Context, key ds.Key) (int, error) {
	size := -1
	err := d.get(key.Bytes(), func(value []byte) { size = len(value) })
	return size, err
}

// Put implements ds.Datastore.
func (d *Datastore) Put(_ context.Context, key ds.Key, value []byte) error {
	done, err := d.use()
	if err != nil {
		return err
	}
	defer done()
	return d.db.Set(key.Bytes(), value, pebble.NoSync)
}

// Delete implements ds.Datastore.
func (d *Datastore) Delete(_ context.Context, key ds.Key) error {
	done, err := d.use()
	if err != nil {
		return err
	}
	defer done()
	return d.db.Delete(key.Bytes(), pebble.NoSync)
}

// Sync makes everything that was written before durable, whatever the prefix.
func (d *Datastore) Sync(context.Context, ds.Key) error {
	done, err := d.use()
	if err != nil {
		return err
	}
	defer done()
	return d.db.LogData(nil, pebble.Sync)
}

// DiskUsage implements ds.PersistentDatastore.
func (d *Datastore) DiskUsage(context.Context) (uint64, error) {
	done, err := d.use()
	if err != nil {
		return 0, err
	}
	defer done()
	return d.db.Metrics().DiskSpaceUsage(), nil
}

// Batch implements ds.Batching.
func (d *Datastore) Batch(context.Context) (ds.Batch, error) {
	return batch{d.NewWriteBatch()}, nil
}

// batch is a WriteBatch as go-datastore wants it.
type batch struct{ *WriteBatch }

// Put implements ds.Batch.
func (b batch) Put(_ context.Context, key ds.Key, value []byte) error {
	b.Set(key.Bytes(), value)
	return nil
}

// Delete implements ds.Batch.
func (b batch) Delete(_ context.Context, key ds.Key) error {
	b.WriteBatch.Delete(key.Bytes())
	return nil
}

// Commit implements ds.Batch.
func (b batch) Commit(context.Context) error { return b.WriteBatch.Commit(true) }

// logger passes on what pebble says.
type logger struct {
	*slog.Logger
	onFatal func(error)
}

// Infof implements pebble.Logger.
func (l logger) Infof(format string, args ...any) { l.Debug(fmt.Sprintf(format, args...)) }

// Errorf implements pebble.Logger.
func (l logger) Errorf(format string, args ...any) { l.Error(fmt.Sprintf(format, args...)) }

// Fatalf implements pebble.Logger.
func (l logger) Fatalf(format string, args ...any) {
	l.onFatal(fmt.Errorf("the store failed: "+format, args...))
}
