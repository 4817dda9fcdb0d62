package pebbleds

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestPacedFile writes in pieces of many sizes, with syncs between them, and
// reads what is on the disk.
func TestPacedFile(t *testing.T) {
	for _, category := range []vfs.DiskWriteCategory{"pebble-wal", "pebble-memtable-flush", "pebble-compaction", "other"} {
		fs := newPacedFS(vfs.NewMem(), 1<<20)
		rng := rand.New(rand.NewPCG(1, 2))
		f, err := fs.Create("file", category)
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		for i := range 300 {
			piece := make([]byte, rng.IntN(3000))
			for k := range piece {
				piece[k] = byte(i)
			}
			want = append(want, piece...)
			if n, err := f.Write(piece); err != nil || n != len(piece) {
				t.Fatal(n, err)
			}
			switch rng.IntN(30) {
			case 0:
				err = f.Sync()
			case 1:
				err = f.SyncData()
			case 2:
				_, err = f.SyncTo(int64(len(want)))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := fs.Open("file")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes are read, %d were written (%v)", category, len(got), len(want), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestRests has a file rest until the store closes, or until it is behind.
func TestRests(t *testing.T) {
	asked := 0
	f := &pacedFile{behind: func() bool { asked++; return true }, closing: make(chan struct{})}
	f.rest() // the first time, long after the beginning
	f.rest() // at once again: nothing has been worked
	if asked != 1 {
		t.Errorf("asked %d times whether it is behind, want once for one piece of work", asked)
	}
	closing := make(chan struct{})
	close(closing)
	f = &pacedFile{behind: func() bool { return false }, closing: closing}
	done := make(chan struct{})
	go func() {
		for range 10_000 {
			f.resumed = time.Time{} // as if it had worked for long
			f.rest()
		}
		close(done)
	}()
	<-done // and not after 10,000 rests
}

// TestFlushIsBehind counts what is logged while a flush goes on.
func TestFlushIsBehind(t *testing.T) {
	fs := newPacedFS(vfs.NewMem(), 1000)
	flush, err := fs.Create("flush", "pebble-memtable-flush")
	if err != nil {
		t.Fatal(err)
	}
	wal, err := fs.Create("wal", "pebble-wal")
	if err != nil {
		t.Fatal(err)
	}
	behind := flush.(*pacedFile).behind
	for _, c := range []struct {
		bytes int
		want  bool
	}{{400, false}, {100, false}, {1, true}} {
		if _, err := wal.Write(make([]byte, c.bytes)); err != nil {
			t.Fatal(err)
		}
		if behind() != c.want {
			t.Errorf("after %d bytes more: behind is %v", c.bytes, !c.want)
		}
	}
	if err := errors.Join(wal.Close(), flush.Close()); err != nil {
		t.Fatal(err)
	}
}

// brokenFile fails every write.
type brokenFile struct{ vfs.File }

func (brokenFile) Write([]byte) (int, error) { return 0, errors.New("disk gone") }

func TestPacedFileFails(t *testing.T) {
	for name, op := range map[string]func(vfs.File) error{
		"sync":  vfs.File.Sync,
		"close": vfs.File.Close,
	} {
		mem, err := vfs.NewMem().Create("file", "pebble-compaction")
		if err != nil {
			t.Fatal(err)
		}
		f := newPacedFS(vfs.NewMem(), 1000).paced(brokenFile{mem}, func() bool { return true })
		if _, err := f.Write([]byte("x")); err != nil {
			t.Fatal(err) // it is gathered
		}
		if err := op(f); err == nil {
			t.Errorf("%s hides that nothing was written", name)
		}
	}
}
