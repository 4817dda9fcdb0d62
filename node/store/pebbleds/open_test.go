package pebbleds

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	ds "github.com/ipfs/go-datastore"
)

const holdFolder = "PEBBLEDS_TEST_HOLD"

// TestHoldFolder does nothing by itself. As a process of TestLockedByAProcess
// it keeps a folder open until its input ends.
func TestHoldFolder(t *testing.T) {
	path := os.Getenv(holdFolder)
	if path == "" {
		return
	}
	open(t, path, Options{})
	fmt.Println("open")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		t.Fatal(err)
	}
}

func TestLockedByAProcess(t *testing.T) {
	path := t.TempDir()
	holder := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHoldFolder$")
	holder.Env = append(os.Environ(), holdFolder+"="+path)
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	if line, err := r.ReadString('\n'); err != nil || line != "open\n" {
		t.Fatalf("%q, %v", line, err)
	}
	checkLocked(t, path, Options{})
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	if err := holder.Wait(); err != nil {
		t.Fatal(err)
	}
	open(t, path, Options{})
}

func TestLockedInMemory(t *testing.T) {
	fs := vfs.NewMem()
	d := open(t, "db", Options{FS: fs})
	checkLocked(t, "db", Options{FS: fs})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, "db", Options{FS: fs})
}

func checkLocked(t *testing.T, path string, o Options) {
	t.Helper()
	_, err := Open(path, o)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, path string
		opts       Options
		want       string
	}{
		{"no path", "", Options{}, "name a folder"},
		{"a file", file, Options{}, file},
		{"below a file", filepath.Join(file, "db"), Options{}, file},
		{"small memtable", t.TempDir(), Options{MemTableSize: 1}, "MemTableSize"},
		{"large memtable", t.TempDir(), Options{MemTableSize: 1 << 40}, "MemTableSize"},
		{"negative cache", t.TempDir(), Options{CacheSize: -1}, "CacheSize"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(test.path, test.opts)
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, ErrLocked) {
				t.Errorf("error %v, want one about %q", err, test.want)
			}
		})
	}
}

// makeFolder returns the files of a closed store with some data in sorted
// files and some in the log.
func makeFolder(t *testing.T) map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	for part := range 2 {
		d := open(t, dir, Options{}) // which sorts the log of the part before
		b := d.NewWriteBatch()
		for i := range 500 {
			b.Set(fmt.Appendf(nil, "/%d/%04d", part, i), fmt.Appendf(nil, "value %d %d", part, i))
		}
		if err := errors.Join(b.Commit(true), d.Close()); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string][]byte{}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = data
	}
	return files
}

// readFolder opens a folder with these files and reads all of it. It returns
// how many pairs it read, whether OnFatal was called, and the error.
func readFolder(t *testing.T, files map[string][]byte) (n int, fatal error, err error) {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	told := make(chan error, 2)
	d, err := Open(dir, Options{OnFatal: func(err error) { told <- err }})
	if err != nil {
		return 0, nil, err
	}
	err = d.Scan(nil, nil, false, func(key, value []byte) (bool, error) {
		var part, i int
		if _, err := fmt.Sscanf(string(key), "/%d/%d", &part, &i); err != nil {
			t.Errorf("key %q", key)
		}
		if want := fmt.Sprintf("value %d %d", part, i); string(value) != want {
			t.Errorf("%s is %q", key, value)
		}
		n++
		return true, nil
	})
	failed := d.failure.get()
	_ = d.Close()
	if failed != nil {
		fatal = <-told
	}
	return n, fatal, err
}

// TestDamage damages each file of a folder in places. Whatever it is, nothing
// panics, no wrong value is read, and pairs are missing without an error only
// where the end of the log or manifest is gone, as after a crash.
func TestDamage(t *testing.T) {
	files := makeFolder(t)
	if n, fatal, err := readFolder(t, files); n != 1000 || fatal != nil || err != nil {
		t.Fatalf("undamaged: %d, %v, %v", n, fatal, err)
	}
	for name, data := range files {
		damage := map[string][]byte{"removed": nil}
		for step := range 5 {
			at := len(data) * step / 5
			damage[fmt.Sprintf("cut at %d", at)] = data[:at]
			if len(data) > 0 {
				flipped := bytes.Clone(data)
				flipped[at] ^= 0x55
				damage[fmt.Sprintf("changed at %d", at)] = flipped
			}
		}
		for what, damaged := range damage {
			now := maps.Clone(files)
			now[name] = damaged
			if damaged == nil {
				delete(now, name)
			}
			n, _, err := readFolder(t, now)
			switch {
			case err != nil && !errors.Is(err, ErrCorrupt):
				t.Errorf("%s, %s: %v", name, what, err)
			case err == nil && n != 1000 && !hasUntoldEnd(name):
				t.Errorf("%s, %s: %d pairs and no error", name, what, n)
			}
		}
	}
}

// hasUntoldEnd tells the files whose end may be missing after a crash.
func hasUntoldEnd(name string) bool {
	return filepath.Ext(name) == ".log" || strings.Contains(name, "MANIFEST")
}

// TestDamagedLog demands that damage in the middle of a log is told of, also
// of the first log of a folder, before it was ever opened again.
func TestDamagedLog(t *testing.T) {
	for _, opened := range []int{1, 2} {
		dir := t.TempDir()
		for range opened - 1 {
			if err := open(t, dir, Options{}).Close(); err != nil {
				t.Fatal(err)
			}
		}
		d := open(t, dir, Options{})
		for i := range 100 {
			b := d.NewWriteBatch()
			b.Set(fmt.Appendf(nil, "/%d", i), make([]byte, 1000))
			if err := b.Commit(true); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
		if err != nil || len(logs) == 0 {
			t.Fatal(logs, err)
		}
		// The names count up.
		log := logs[len(logs)-1]
		data, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 0x55
		if err := os.WriteFile(log, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if d, err := Open(dir, Options{}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("opened %d times: %v", opened, err)
			if err == nil {
				_ = d.Close()
			}
		}
	}
}

// TestDamagedValue demands that damage met by a read stops the store.
func TestDamagedValue(t *testing.T) {
	files := makeFolder(t)
	for name, data := range files {
		if filepath.Ext(name) == ".sst" {
			data[10] ^= 0x55 // in the first data block
		}
	}
	n, fatal, err := readFolder(t, files)
	if !errors.Is(err, ErrCorrupt) || !errors.Is(fatal, ErrCorrupt) || !errors.Is(fatal, ErrFailed) {
		t.Errorf("%d pairs, fatal %v, error %v", n, fatal, err)
	}
}

// TestMovedFolder demands that no path is kept in the folder.
func TestMovedFolder(t *testing.T) {
	ctx, key := context.Background(), ds.NewKey("/a")
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from", "db"), filepath.Join(dir, "to")
	d := open(t, from, Options{})
	if err := errors.Join(d.Put(ctx, key, []byte("1")), d.Close(), os.Rename(from, to)); err != nil {
		t.Fatal(err)
	}
	if v, err := open(t, to, Options{}).Get(ctx, key); string(v) != "1" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}
