package pebbleds

import (
	"bufio"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble's flushes and merges take every processor they get for as long as
// they last, and commits wait for it: longer still where the nodes of a network
// share a machine, since they do this at the same moments. So background work
// rests while it writes, for restFactor times as long as it worked, unless it
// falls behind what is written.
const (
	restFactor = 5
	// restAfter is how much work gathers before a rest.
	restAfter = time.Millisecond
	// maxRest bounds one rest, since a slow disk looks like work.
	maxRest = 20 * time.Millisecond
	// behindCheck is how often the state of the tree is looked at.
	behindCheck = 250 * time.Millisecond
	// writeBuffer gathers the small pieces that pebble writes.
	writeBuffer = 64 << 10
)

// pacedFS spreads pebble's background work over time.
type pacedFS struct {
	vfs.FS
	memTable int64
	logged   atomic.Int64 // bytes written to the log
	// behind tells whether merging must not be held up; nil means not.
	behind  atomic.Pointer[func() bool]
	closing chan struct{} // closed when the store begins to close
}

func newPacedFS(fs vfs.FS, memTable uint64) *pacedFS {
	return &pacedFS{FS: fs, memTable: int64(memTable), closing: make(chan struct{})}
}

func (fs *pacedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	return fs.wrap(f, category, err)
}

func (fs *pacedFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(oldname, newname, category)
	return fs.wrap(f, category, err)
}

func (fs *pacedFS) Unwrap() vfs.FS { return fs.FS }

func (fs *pacedFS) wrap(f vfs.File, category vfs.DiskWriteCategory, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	switch category {
	case "pebble-wal":
		return &loggedFile{f, fs}, nil
	case "pebble-memtable-flush":
		// The next flush waits for this one. It is behind once half of what
		// that will flush has been written.
		limit := fs.logged.Load() + fs.memTable/2
		return fs.paced(f, func() bool { return fs.logged.Load() > limit }), nil
	case "pebble-compaction":
		behind, checked := false, time.Now()
		return fs.paced(f, func() bool {
			if p := fs.behind.Load(); p != nil && time.Since(checked) > behindCheck {
				behind, checked = (*p)(), time.Now()
			}
			return behind
		}), nil
	}
	return f, nil
}

func (fs *pacedFS) paced(f vfs.File, behind func() bool) *pacedFile {
	return &pacedFile{
		File: f, buf: bufio.NewWriterSize(f, writeBuffer),
		behind: behind, closing: fs.closing, resumed: time.Now(),
	}
}

// loggedFile is a log, whose bytes are counted.
type loggedFile struct {
	vfs.File
	fs *pacedFS
}

func (f *loggedFile) Write(p []byte) (int, error) {
	f.fs.logged.Add(int64(len(p)))
	return f.File.Write(p)
}

// pacedFile is a file that background work writes.
type pacedFile struct {
	vfs.File
	buf     *bufio.Writer
	behind  func() bool
	closing chan struct{}
	resumed time.Time // the end of the last rest
}

// Write takes the next piece of the file. What is written between two rests
// is what the work before it made.
func (f *pacedFile) Write(p []byte) (int, error) {
	n, err := f.buf.Write(p)
	f.rest()
	return n, err
}

func (f *pacedFile) rest() {
	work := time.Since(f.resumed)
	if work < restAfter {
		return
	}
	if !f.behind() {
		select {
		case <-time.After(min(restFactor*work, maxRest)):
		case <-f.closing:
		}
	}
	f.resumed = time.Now()
}

func (f *pacedFile) flushed(next func() error) error {
	if err := f.buf.Flush(); err != nil {
		return err
	}
	return next()
}

func (f *pacedFile) Sync() error     { return f.flushed(f.File.Sync) }
func (f *pacedFile) SyncData() error { return f.flushed(f.File.SyncData) }

func (f *pacedFile) SyncTo(length int64) (fullSync bool, err error) {
	err = f.flushed(func() error {
		fullSync, err = f.File.SyncTo(length)
		return err
	})
	return fullSync, err
}

func (f *pacedFile) Close() error {
	err := f.buf.Flush()
	if closeErr := f.File.Close(); err == nil {
		err = closeErr
	}
	return err
}
