package api

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/witness"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/time/rate"

	"github.com/strataos/strataos/node/internal/scribe"
	"github.com/strataos/strataos/protocol/wire"
)

// tilesClient reads a ledger by https://c2sp.org/tlog-tiles. Of our code it uses
// none: the tree is checked by golang.org/x/mod/sumdb/tlog, and the checkpoint
// by github.com/transparency-dev/formats.
type tilesClient struct {
	t   *testing.T
	get func(path string) answer
	// fetched counts tiles.
	fetched int
}

func (c *tilesClient) fetch(path string) []byte {
	c.t.Helper()
	a := c.get("/ledger/" + path)
	if a.status != http.StatusOK {
		c.t.Fatalf("%s: %d %s", path, a.status, a.body)
	}
	return a.body
}

// tree is the tree of the newest checkpoint, which the policy's quorum has
// cosigned.
func (c *tilesClient) tree(policy string) tlog.Tree {
	c.t.Helper()
	text := c.fetch("checkpoint")
	group, err := witness.ParsePolicy([]byte(policy))
	if err != nil {
		c.t.Fatal(err)
	}
	if !group.Satisfied(text) {
		c.t.Fatalf("the policy is not satisfied by %s", text)
	}
	var key string
	for line := range strings.Lines(policy) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "witness" {
			key = f[2]
			break
		}
	}
	v, err := fnote.NewVerifierForCosignatureV1(key)
	if err != nil {
		c.t.Fatal(err)
	}
	cp, _, _, err := log.ParseCheckpoint(text, "strata.example/test/ledger", v)
	if err != nil {
		c.t.Fatal(err)
	}
	return tlog.Tree{N: int64(cp.Size), Hash: tlog.Hash(cp.Hash)}
}

// Height implements tlog.TileReader.
func (c *tilesClient) Height() int { return 8 }

// SaveTiles implements tlog.TileReader.
func (c *tilesClient) SaveTiles([]tlog.Tile, [][]byte) {}

// ReadTiles implements tlog.TileReader.
func (c *tilesClient) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, t := range tiles {
		c.fetched++
		out = append(out, c.fetch("tile/"+fmt.Sprint(t.L)+"/"+indexPath(t.N)+widthPath(t.W)))
	}
	return out, nil
}

func indexPath(n int64) string {
	text := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		text = fmt.Sprintf("x%03d/%s", n%1000, text)
	}
	return text
}

func widthPath(w int) string {
	if w == 256 {
		return ""
	}
	return fmt.Sprintf(".p/%d", w)
}

// bundle returns the entries of a bundle of w entries.
func (c *tilesClient) bundle(n int64, w int) [][]byte {
	c.t.Helper()
	data := c.fetch("tile/entries/" + indexPath(n) + widthPath(w))
	var out [][]byte
	for len(data) > 0 {
		if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
			c.t.Fatalf("bundle %d ends within an entry", n)
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		out, data = append(out, data[2:end]), data[end:]
	}
	if len(out) != w {
		c.t.Fatalf("bundle %d has %d entries, want %d", n, len(out), w)
	}
	return out
}

// check reads every bundle and holds every entry to the tree.
func (c *tilesClient) check(tree tlog.Tree) {
	c.t.Helper()
	hashes := tlog.TileHashReader(tree, c)
	for n := int64(0); n*256 < tree.N; n++ {
		w := min(256, tree.N-n*256)
		indexes := make([]int64, w)
		for i := range indexes {
			indexes[i] = tlog.StoredHashIndex(0, n*256+int64(i))
		}
		want, err := hashes.ReadHashes(indexes)
		if err != nil {
			c.t.Fatal(err)
		}
		for i, entry := range c.bundle(n, int(w)) {
			if tlog.RecordHash(entry) != want[i] {
				c.t.Fatalf("entry %d is not in the tree: %s", n*256+int64(i), entry)
			}
		}
	}
	at := tree.N - 1
	path, err := tlog.ProveRecord(tree.N, at, hashes)
	if err != nil {
		c.t.Fatal(err)
	}
	want, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, at)})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := tlog.CheckRecord(path, tree.N, tree.Hash, at, want[0]); err != nil {
		c.t.Error(err)
	}
}

// TestTiles grows a ledger over the edges of tiles and reads it as a mirror
// would, without a token.
func TestTiles(t *testing.T) {
	f, s := newLedger(t)
	f.server.tiles = rate.NewLimiter(rate.Inf, 0)
	get := func(path string) answer { return f.do("GET", path, "", "Authorization", "") }
	if a := get("/ledger/checkpoint"); a.status != 404 {
		t.Errorf("%d %s", a.status, a.body)
	}
	sizes := []int{1, 255, 256, 257, 513, 65535, 65536, 65537}
	if testing.Short() {
		sizes = sizes[:5]
	}
	written := 0
	var before tlog.Tree
	for _, size := range sizes {
		for written < size {
			var items []wire.Item
			for len(items) < 4000 && written < size {
				written++
				items = append(items, scribe.Attest(t, fmt.Sprintf(`{"type":"t","payload":{"n":%d}}`, written)))
			}
			s.Append(0, items)
		}
		s.Settle()
		c := &tilesClient{t: t, get: get}
		tree := c.tree(policyOf(f.com))
		if tree.N != int64(size) {
			t.Fatalf("the checkpoint is of size %d, want %d", tree.N, size)
		}
		c.check(tree)
		if before.N > 0 {
			proof, err := tlog.ProveTree(tree.N, before.N, tlog.TileHashReader(tree, c))
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckTree(proof, tree.N, tree.Hash, before.N, before.Hash); err != nil {
				t.Errorf("size %d is not behind %d: %v", tree.N, before.N, err)
			}
		}
		before = tree
		if want := int(tree.N+255) / 256; c.fetched < want {
			t.Errorf("%d tiles were read of a tree of %d", c.fetched, tree.N)
		}
	}
}

// TestTilesCovered demands that nothing is served which no quorum has cosigned,
// and that caches are told how long things hold.
func TestTilesCovered(t *testing.T) {
	f, s := newLedger(t)
	fill := func(n int) {
		var items []wire.Item
		for i := range n {
			items = append(items, scribe.Attest(t, fmt.Sprintf(`{"type":"t","payload":{"n":%d,"k":%d}}`, i, n)))
		}
		s.Append(0, items)
		s.Settle()
	}
	fill(300)
	s.Silent[1], s.Silent[2] = true, true
	fill(301) // ordered, and not certified
	for path, status := range map[string]int{
		"checkpoint": 200, "tile/0/000": 200, "tile/0/000.p/7": 200, "tile/0/001.p/44": 200, "tile/1/000.p/1": 200,
		"tile/entries/000": 200, "tile/entries/001.p/44": 200,
		"tile/0/001.p/45": 404, "tile/0/001": 404, "tile/1/000.p/2": 404, "tile/1/000": 404, "tile/entries/001": 404,
		"tile/entries/001.p/45": 404, "tile/2/000.p/1": 404, "tile/0/x001/000": 404,
		"tile/0/000.p/256": 404, "tile/0/000.p/0": 404, "tile/0/0": 404, "tile/00/000": 404, "tile/8/0/000": 404, "tile/0/x000/000": 404,
		"tile/-1/000": 404, "tile/data/000": 404, "tile/0/000/": 404, "tile/0/": 404, "tile/0": 404, "tile/0/x000": 404, "tile/0/000.p/07": 404,
	} {
		if a := f.do("GET", "/ledger/"+path, "", "Authorization", ""); a.status != status {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	for path, want := range map[string][2]string{
		"checkpoint":       {"text/plain; charset=utf-8", "public, max-age=1"},
		"tile/0/000":       {"application/octet-stream", "public, max-age=31536000, immutable"},
		"tile/entries/000": {"application/octet-stream", "public, max-age=31536000, immutable"},
		"tile/0/001.p/1":   {"application/octet-stream", "public, max-age=3600"},
	} {
		a := f.do("GET", "/ledger/"+path, "", "Authorization", "")
		if got := [2]string{a.header.Get("Content-Type"), a.header.Get("Cache-Control")}; got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// TestTilesLimited demands that readers without a token are held back together.
func TestTilesLimited(t *testing.T) {
	f, _ := small(t)
	// A token comes in 100 s, so nobody waits for it; the clock goes on by a
	// millisecond or so a request.
	f.server.tiles = rate.NewLimiter(0.01, 10)
	refused := 0
	for range 30 {
		if a := f.do("GET", "/ledger/checkpoint", "", "Authorization", ""); a.status == 429 {
			refused++
			a.failure(t)
		}
	}
	if refused < 15 || refused > 20 {
		t.Errorf("%d requests are refused", refused)
	}
	if a := f.do("GET", "/v1/chronos/checkpoint", ""); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestCheckpoint(t *testing.T) {
	f, s := small(t)
	s.Silent[1], s.Silent[2] = true, true
	s.Append(0, []wire.Item{scribe.Attest(t, `{"type":"more","payload":{}}`)})
	s.Settle()
	a := f.do("GET", "/v1/chronos/checkpoint", "")
	got := decode[checkpointAnswer](t, a)
	if got.Size != 6 || got.PositionCount != 7 || got.Origin != "strata.example/test/ledger" || got.Time == 0 || got.LedgerTime <= got.Time ||
		!strings.HasPrefix(got.Checkpoint, "strata.example/test/ledger\n6\n") || got.WitnessedAt == 0 {
		t.Errorf("%s", a.body)
	}
	if text := f.do("GET", "/ledger/checkpoint", ""); string(text.body) != got.Checkpoint {
		t.Errorf("%s", text.body)
	}
}

func FuzzTilePath(f *testing.F) {
	for _, seed := range []string{"0/000", "entries/x001/x234/067.p/8", "7/x999/999.p/255", "0/x000/000", "00/000"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		tile, err := parseTilePath(path)
		if err != nil {
			return
		}
		level := fmt.Sprint(tile.L)
		if tile.L < 0 {
			level = "entries"
		}
		if again := level + "/" + indexPath(tile.N) + widthPath(tile.W); again != path {
			t.Errorf("%q is read as %+v, which is %q", path, tile, again)
		}
		covered(tile, 1<<62)
	})
}
