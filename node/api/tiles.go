package api

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/time/rate"
)

// The ledger by https://c2sp.org/tlog-tiles. It is open to everybody, so that
// mirrors and monitors need no token; what one may ask of a node is limited for
// all of them together.
const (
	tilesRate  = 500 // requests a second
	tilesBurst = 1000
	// tilesWait is how long a request waits for its turn, so that a mirror that
	// reads as fast as it can is slowed down and not refused.
	tilesWait = time.Second
)

// Tiles are of 2^tileHeight hashes.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
	// entriesLevel stands for the level of bundles of entries.
	entriesLevel = -1
	// maxTileLevel is the highest level that a tree of 2^62 leaves has.
	maxTileLevel = 62 / tileHeight
)

func newTilesLimiter() *rate.Limiter { return rate.NewLimiter(tilesRate, tilesBurst) }

// allowTiles takes a request from what everybody has together.
func (s *Server) allowTiles(x *exchange) error {
	turn := s.tiles.ReserveN(x.start, 1)
	if wait := turn.DelayFrom(x.start); turn.OK() && wait <= tilesWait {
		return pause(x.r.Context(), wait)
	}
	turn.CancelAt(x.start)
	x.Header().Set("Retry-After", "1")
	return errorf(codeRateLimited, "this node answers %d requests for tiles a second, of all clients together", tilesRate).
		with("retry_after_ms", time.Second.Milliseconds())
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ledgerCheckpoint answers GET /ledger/checkpoint with the newest signed note.
func (s *Server) ledgerCheckpoint(x *exchange) error {
	if err := s.allowTiles(x); err != nil {
		return err
	}
	head, err := s.ledgerHead()
	if err != nil {
		return err
	}
	s.writeTile(x, "text/plain; charset=utf-8", "public, max-age=1", head.Note())
	return nil
}

// ledgerTile answers GET /ledger/tile/… with hashes or entries that the newest
// checkpoint covers.
func (s *Server) ledgerTile(x *exchange) error {
	if err := s.allowTiles(x); err != nil {
		return err
	}
	tile, err := parseTilePath(x.r.PathValue("path"))
	if err != nil {
		return err
	}
	head, err := s.ledgerHead()
	if err != nil {
		return err
	}
	if !covered(tile, head.Size()) {
		return errorf(codeNotFound, "the newest checkpoint, of size %d, does not cover this tile", head.Size())
	}
	data, err := s.tileData(tile)
	if err != nil {
		return err
	}
	cache := "public, max-age=31536000, immutable"
	if tile.W < tileWidth {
		cache = "public, max-age=3600" // the full tile takes its place
	}
	s.writeTile(x, "application/octet-stream", cache, data)
	return nil
}

func (s *Server) writeTile(x *exchange, contentType, cache string, data []byte) {
	h := x.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", cache)
	x.WriteHeader(http.StatusOK)
	_, _ = x.Write(data) // the client may have gone
}

// covered reports whether a tree of so many leaves has all of a tile.
func covered(t tlog.Tile, size uint64) bool {
	level := max(t.L, 0)
	hashes := size >> (tileHeight * level)
	return uint64(t.N) < 1<<(62-tileHeight) && uint64(t.N)*tileWidth+uint64(t.W) <= hashes
}

// tileData reads the hashes of a tile, or a bundle of entries, each behind its
// length in two bytes.
func (s *Server) tileData(t tlog.Tile) ([]byte, error) {
	if t.L >= 0 {
		return tlog.ReadTileData(t, s.Ledger.LedgerHashes())
	}
	from := uint64(t.N) * tileWidth
	entries, err := s.Ledger.LedgerEntries(from, from+uint64(t.W))
	if err != nil {
		return nil, err
	}
	var data []byte
	for _, e := range entries {
		at := len(data)
		data = e.Append(append(data, 0, 0))
		n := len(data) - at - 2
		if bits.Len(uint(n)) > 16 {
			return nil, fmt.Errorf("an entry of the ledger has %d bytes", n)
		}
		binary.BigEndian.PutUint16(data[at:], uint16(n))
	}
	return data, nil
}

// parseTilePath reads <L>/<N>[.p/<W>], where L may be "entries". N is in groups
// of three digits, of which all but the last begin with an x.
func parseTilePath(path string) (tlog.Tile, error) {
	bad := errorf(codeNotFound, "there is no tile at this path; it is /ledger/tile/<level>/<index>[.p/<width>], as https://c2sp.org/tlog-tiles has it")
	t := tlog.Tile{H: tileHeight, W: tileWidth, L: entriesLevel}
	level, rest, ok := strings.Cut(path, "/")
	if !ok {
		return t, bad
	}
	if level != "entries" {
		n, err := strconv.Atoi(level)
		if err != nil || n < 0 || n > maxTileLevel || strconv.Itoa(n) != level {
			return t, bad
		}
		t.L = n
	}
	if index, width, partial := strings.Cut(rest, ".p/"); partial {
		w, err := strconv.Atoi(width)
		if err != nil || w < 1 || w >= tileWidth || strconv.Itoa(w) != width {
			return t, bad
		}
		rest, t.W = index, w
	}
	n, ok := parseTileIndex(rest)
	if !ok {
		return t, bad
	}
	t.N = n
	return t, nil
}

func parseTileIndex(text string) (int64, bool) {
	groups := strings.Split(text, "/")
	n := int64(0)
	for i, g := range groups {
		last := i == len(groups)-1
		digits, marked := strings.CutPrefix(g, "x")
		if marked == last || len(digits) != 3 || n > 1<<50 {
			return 0, false
		}
		for _, c := range digits {
			if c < '0' || c > '9' {
				return 0, false
			}
			n = n*10 + int64(c-'0')
		}
		if i == 0 && !last && n == 0 {
			return 0, false // a group too many
		}
	}
	return n, true
}
