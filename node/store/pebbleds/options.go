package pebbleds

import (
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// DefaultMemTableSize is Options.MemTableSize unless set. Pebble recycles
	// up to five log files of 1.1 times this size and preallocates each of
	// them, so that the 64 MiB often seen elsewhere would take over 300 MiB of
	// disk from the start.
	DefaultMemTableSize = 8 << 20

	// DefaultCacheSize is Options.CacheSize unless set.
	DefaultCacheSize = 32 << 20

	minMemTableSize = 256 << 10
	maxMemTableSize = 1 << 30

	// memTables is how many memtables may be full or filling before writers
	// wait for the disk.
	memTables = 4

	// Pebble begins to merge at mergeSublevels overlapping files, is no longer
	// held up at urgentSublevels, and lets writers wait at stopSublevels.
	mergeSublevels  = 4
	urgentSublevels = 10
	stopSublevels   = 32
)

// Options configures a Datastore. The zero value is ready for use.
type Options struct {
	// MemTableSize is how many bytes of writes are gathered in memory before
	// they become a sorted file: 256 KiB to 1 GiB, or 0 for
	// DefaultMemTableSize. Up to four memtables are in memory at a time.
	MemTableSize uint64

	// CacheSize is the memory for blocks of files, in bytes, or 0 for
	// DefaultCacheSize. Memtables count towards it.
	CacheSize int64

	// SyncWrites makes every Put and Delete durable when it returns, at the
	// price of an fsync, which concurrent writers share.
	SyncWrites bool

	// Logger receives pebble's chatter at level debug, stalls and slow disks
	// at level warn, and failures at level error. If nil, nothing is logged.
	Logger *slog.Logger

	// OnFatal, if not nil, is called once, on a goroutine of its own, when the
	// store stops itself (see the package documentation). By then every
	// operation returns the same error. It should bring the process to an end,
	// and may call Close; parts of pebble may wait or retry in memory until
	// then. It is not called for what Open returns as an error.
	OnFatal func(error)

	// FS is the file system, or nil for the one of the operating system with a
	// watch on slow operations.
	FS vfs.FS
}

func (o *Options) setDefaults() error {
	if o.MemTableSize == 0 {
		o.MemTableSize = DefaultMemTableSize
	}
	if o.MemTableSize < minMemTableSize || o.MemTableSize > maxMemTableSize {
		return fmt.Errorf("pebbleds: Options.MemTableSize is %d: choose %d to %d, or 0 for the default",
			o.MemTableSize, minMemTableSize, maxMemTableSize)
	}
	if o.CacheSize == 0 {
		o.CacheSize = DefaultCacheSize
	}
	if o.CacheSize < 0 {
		return fmt.Errorf("pebbleds: Options.CacheSize is %d: choose a positive size, or 0 for the default", o.CacheSize)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// pebble returns settings for many small batches with an fsync each, mostly
// appended under rising keys and seldom deleted.
func (o *Options) pebble(fs vfs.FS, f *failure, events *pebble.EventListener) *pebble.Options {
	p := &pebble.Options{
		FS:                          fs,
		Logger:                      logger{o.Logger, f},
		EventListener:               events,
		FormatMajorVersion:          pebble.FormatNewest,
		CacheSize:                   o.CacheSize,
		MemTableSize:                o.MemTableSize,
		MemTableStopWritesThreshold: memTables,
		// Write back dirty log pages early, so that the fsync of a small
		// batch does not wait for a large one before it.
		WALBytesPerSync: 512 << 10,
		// Begin to merge early and stop writers late: a stall would block
		// every commit, while a few more overlapping files only slow reads.
		L0CompactionThreshold: mergeSublevels,
		L0StopWritesThreshold: stopSublevels,
		// Soft limit; sockets need file descriptors too.
		MaxOpenFiles:               512,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
	}
	// Merges triggered by reads would compete with the log for the disk.
	p.Experimental.ReadSamplingMultiplier = -1
	for i := range p.Levels {
		p.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return p
}
