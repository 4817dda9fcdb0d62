package pebbleds

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// failure holds the error that stopped the store, if any.
type failure struct {
	log   *slog.Logger
	first atomic.Pointer[error]

	mu      sync.Mutex
	onFatal func(error) // nil until armed, and if nobody wants to know
}

// get returns the error that stopped the store, or nil.
func (f *failure) get() error {
	if err := f.first.Load(); err != nil {
		return *err
	}
	return nil
}

// set stops the store. Only the first cause counts: the others follow from it.
// It may be called with locks of pebble held.
func (f *failure) set(cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first.Load() != nil {
		return
	}
	err := stopped(cause)
	f.first.Store(&err)
	f.log.Error("storage stopped", "error", err)
	if f.onFatal != nil {
		go f.onFatal(err)
	}
}

// arm makes later failures known to onFatal. It returns an earlier one.
func (f *failure) arm(onFatal func(error)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onFatal = onFatal
	return f.get()
}

// logger implements pebble.Logger.
type logger struct {
	log  *slog.Logger
	fail *failure
}

func (l logger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug(fmt.Sprintf(format, args...))
	}
}

func (l logger) Errorf(format string, args ...any) {
	if l.fail.get() != nil {
		// Pebble keeps retrying; the cause was logged.
		l.Infof(format, args...)
		return
	}
	l.log.Error(fmt.Sprintf(format, args...))
}

// Fatalf is called by pebble when it cannot go on. It expects the process to
// end here; instead the store stops, and what pebble does afterwards no longer
// reaches the disk or a caller.
func (l logger) Fatalf(format string, args ...any) {
	l.fail.set(fmt.Errorf(format, args...))
}

// listener turns pebble's events into log records, and damage into failure.
func listener(log *slog.Logger, f *failure) *pebble.EventListener {
	l := &pebble.EventListener{}
	if log.Enabled(context.Background(), slog.LevelDebug) {
		*l = pebble.MakeLoggingEventListener(logger{log, f})
	}
	l.BackgroundError = func(err error) {
		logger{log, f}.Errorf("background error: %v", err)
	}
	l.DataCorruption = func(info pebble.DataCorruptionInfo) {
		f.set(fmt.Errorf("%w: %s: %w", ErrCorrupt, info.Path, info.Details))
	}
	l.DiskSlow = func(info pebble.DiskSlowInfo) {
		log.Warn("disk is slow", "file", info.Path, "operation", info.OpType.String(), "took", info.Duration)
	}
	l.LowDiskSpace = func(info pebble.LowDiskSpaceInfo) {
		log.Warn("disk is filling up", "available_bytes", info.AvailBytes, "total_bytes", info.TotalBytes)
	}
	l.WriteStallBegin = func(info pebble.WriteStallBeginInfo) {
		log.Warn("writes wait for the disk", "reason", info.Reason)
	}
	l.WriteStallEnd = func() { log.Warn("writes go on") }
	return l
}
