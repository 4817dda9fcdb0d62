package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Errors of Authenticate.
var (
	ErrMissing = errors.New("send a token: Authorization: Bearer roxy_sk_…; `strata token create` makes one")
	ErrUnknown = errors.New("this token is not known here, expired or revoked; `strata token list` shows the tokens")
)

// Tokens answers who a bearer token belongs to. It is safe for concurrent use.
type Tokens struct {
	path   string
	logger *slog.Logger
	// byID has the tokens by the first bytes of their hashes.
	byID     atomic.Pointer[map[[6]byte]*Principal]
	mu       sync.Mutex // serialises loads
	modified time.Time
	size     int64
}

// Principal is who a token belongs to.
type Principal struct {
	Record
	hash    [sha256.Size]byte
	limiter *rate.Limiter
}

// Open reads the tokens of a file, which need not exist yet.
func Open(path string, logger *slog.Logger) (*Tokens, error) {
	t := &Tokens{path: path, logger: logger}
	t.byID.Store(&map[[6]byte]*Principal{})
	return t, t.load()
}

// Run reads the file again whenever it has changed, until the context ends. A
// file that cannot be read leaves the tokens as they were.
func (t *Tokens) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := t.load(); err != nil {
				t.logger.Error("tokens cannot be read again; the old ones stay in force", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (t *Tokens) load() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var modified time.Time
	var size int64
	if info, err := os.Stat(t.path); err == nil {
		modified, size = info.ModTime(), info.Size()
	}
	if modified.Equal(t.modified) && size == t.size {
		return nil
	}
	t.modified, t.size = modified, size
	records, err := List(t.path)
	if err != nil {
		return err
	}
	old := *t.byID.Load()
	byID := make(map[[6]byte]*Principal, len(records))
	for _, r := range records {
		p := &Principal{Record: r, limiter: rate.NewLimiter(rate.Limit(r.Rate), r.Burst)}
		hex.Decode(p.hash[:], []byte(r.Hash)) // checked by parse
		id := [6]byte(p.hash[:6])
		// A token that stays keeps what it has used of its rate.
		if o := old[id]; o != nil && o.hash == p.hash && o.Rate == r.Rate && o.Burst == r.Burst {
			p.limiter = o.limiter
		}
		byID[id] = p
	}
	t.byID.Store(&byID)
	return nil
}

// Authenticate returns who an Authorization header belongs to. The token is
// found by a part of its hash and compared as a whole in constant time.
func (t *Tokens) Authenticate(header string, now time.Time) (*Principal, error) {
	token, ok := strings.CutPrefix(header, "Bearer ")
	if !ok || token == "" {
		return nil, ErrMissing
	}
	if len(token) > 256 {
		return nil, ErrUnknown
	}
	sum := sha256.Sum256([]byte(token))
	p := (*t.byID.Load())[[6]byte(sum[:6])]
	if p == nil || subtle.ConstantTimeCompare(p.hash[:], sum[:]) != 1 {
		return nil, ErrUnknown
	}
	if p.Revoked != nil || p.Expires != nil && now.After(*p.Expires) {
		return nil, ErrUnknown
	}
	return p, nil
}

// May reports whether the token has a scope.
func (p *Principal) May(s Scope) bool { return slices.Contains(p.Scopes, s) }

// Allow takes one request from the token's rate. It answers how many more may
// follow at once, and, if there is none left, after how long one may.
func (p *Principal) Allow(now time.Time) (ok bool, remaining int, retry time.Duration) {
	ok = p.limiter.AllowN(now, 1)
	tokens := p.limiter.TokensAt(now)
	if !ok {
		retry = time.Duration((1 - tokens) / p.Rate * float64(time.Second))
	}
	return ok, max(int(tokens), 0), retry
}
