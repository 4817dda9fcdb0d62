package pebbleds

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// crashStopFS is a file system whose disk ends with its first failed write, as
// if the power had gone at that moment. Pebble panics with locks held, waits
// forever, or retries without pause on some of these failures, so it never sees
// them: what it writes afterwards goes to memory, for callers to come back and
// the store to be closed. Pebble then takes for durable what is not. The
// methods of Datastore therefore check failure after every write.
//
// Failures to make folders, to link and to remove are left to pebble, which
// returns or logs them.
type crashStopFS struct {
	vfs.FS
	failure *failure
	limbo   *vfs.MemFS    // holds what is written after the failure
	closing chan struct{} // closed when the store begins to close
}

func newCrashStopFS(fs vfs.FS, f *failure) *crashStopFS {
	return &crashStopFS{FS: fs, failure: f, limbo: vfs.NewMem(), closing: make(chan struct{})}
}

func (fs *crashStopFS) stopped() bool { return fs.failure.get() != nil }

// check stops the disk if err is not nil.
func (fs *crashStopFS) check(op, name string, err error) {
	if err != nil {
		fs.failure.set(fmt.Errorf("%s %s: %w", op, name, err))
	}
}

// open opens a file for writing, on disk or, after the failure, in memory.
func (fs *crashStopFS) open(op, name string, category vfs.DiskWriteCategory, real func() (vfs.File, error)) (vfs.File, error) {
	if !fs.stopped() {
		f, err := real()
		if err == nil {
			return &crashStopFile{File: f, fs: fs, name: name}, nil
		}
		fs.check(op, name, err)
	}
	if category == "pebble-compaction" {
		// Merging goes on for as long as there is something to merge. It is
		// held up here, so that it fills no memory before Close.
		<-fs.closing
	}
	if err := fs.limbo.MkdirAll(fs.PathDir(name), 0o777); err != nil {
		return nil, err
	}
	return fs.limbo.Create(name, category)
}

func (fs *crashStopFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.open("create", name, category, func() (vfs.File, error) {
		return fs.FS.Create(name, category)
	})
}

func (fs *crashStopFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return fs.open("open", name, category, func() (vfs.File, error) {
		return fs.FS.OpenReadWrite(name, category, opts...)
	})
}

func (fs *crashStopFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.open("reuse", newname, category, func() (vfs.File, error) {
		return fs.FS.ReuseForWrite(oldname, newname, category)
	})
}

func (fs *crashStopFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if fs.stopped() {
		if f, err := fs.limbo.Open(name, opts...); err == nil {
			return f, nil
		}
	}
	return fs.FS.Open(name, opts...)
}

func (fs *crashStopFS) Stat(name string) (vfs.FileInfo, error) {
	if fs.stopped() {
		if info, err := fs.limbo.Stat(name); err == nil {
			return info, nil
		}
	}
	return fs.FS.Stat(name)
}

// OpenDir opens a folder to sync it.
func (fs *crashStopFS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &crashStopFile{File: f, fs: fs, name: name}, nil
}

func (fs *crashStopFS) Rename(oldname, newname string) error {
	if !fs.stopped() {
		err := fs.FS.Rename(oldname, newname)
		fs.check("rename", newname, err)
		return nil
	}
	// Where the old file is on disk, nobody will look for the new one.
	_ = fs.limbo.Rename(oldname, newname)
	return nil
}

func (fs *crashStopFS) Remove(name string) error {
	if fs.stopped() {
		_ = fs.limbo.Remove(name)
		return nil
	}
	return fs.FS.Remove(name)
}

func (fs *crashStopFS) RemoveAll(name string) error {
	if fs.stopped() {
		return nil
	}
	return fs.FS.RemoveAll(name)
}

func (fs *crashStopFS) Link(oldname, newname string) error {
	if fs.stopped() {
		return fs.failure.get()
	}
	return fs.FS.Link(oldname, newname)
}

func (fs *crashStopFS) MkdirAll(dir string, perm os.FileMode) error {
	if fs.stopped() {
		return nil
	}
	return fs.FS.MkdirAll(dir, perm)
}

// Lock tells a lock that is held from one that cannot be made: the operating
// systems name no file in the error of the former.
func (fs *crashStopFS) Lock(name string) (io.Closer, error) {
	lock, err := fs.FS.Lock(name)
	var pathErr *iofs.PathError
	if err != nil && !errors.As(err, &pathErr) {
		err = &lockError{err}
	}
	return lock, err
}

func (fs *crashStopFS) Unwrap() vfs.FS { return fs.FS }

// crashStopFile is a file open for writing, or a folder open to be synced.
type crashStopFile struct {
	vfs.File
	fs   *crashStopFS
	name string
}

// do performs op unless the disk has stopped, and stops the disk if it fails.
func (f *crashStopFile) do(op string, real func() error) error {
	if !f.fs.stopped() {
		f.fs.check(op, f.name, real())
	}
	return nil
}

func (f *crashStopFile) Write(p []byte) (int, error) {
	if !f.fs.stopped() {
		_, err := f.File.Write(p)
		f.fs.check("write", f.name, err)
	}
	return len(p), nil
}

func (f *crashStopFile) WriteAt(p []byte, off int64) (int, error) {
	if !f.fs.stopped() {
		_, err := f.File.WriteAt(p, off)
		f.fs.check("write", f.name, err)
	}
	return len(p), nil
}

func (f *crashStopFile) Sync() error     { return f.do("sync", f.File.Sync) }
func (f *crashStopFile) SyncData() error { return f.do("sync", f.File.SyncData) }

func (f *crashStopFile) SyncTo(length int64) (fullSync bool, err error) {
	err = f.do("sync", func() (err error) {
		fullSync, err = f.File.SyncTo(length)
		return err
	})
	return fullSync, err
}

// Close always closes; what fails to be written then counts as unwritten.
func (f *crashStopFile) Close() error {
	f.fs.check("close", f.name, f.File.Close())
	return nil
}
