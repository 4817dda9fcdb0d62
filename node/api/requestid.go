package api

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"sync/atomic"
)

// requestIDs names requests: by what the client says, else by a random prefix
// of this server's life and a number.
type requestIDs struct {
	prefix string
	next   *atomic.Uint64
}

func newRequestIDs() requestIDs {
	var b [6]byte
	rand.Read(b[:])
	return requestIDs{hex.EncodeToString(b[:]) + "-", new(atomic.Uint64)}
}

func (ids requestIDs) of(r *http.Request) string {
	if given := r.Header["X-Request-Id"]; len(given) > 0 && validToken(given[0], 128) {
		return given[0]
	}
	return ids.prefix + strconv.FormatUint(ids.next.Add(1), 10)
}

// validToken reports whether s is 1 to limit visible ASCII characters.
func validToken(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
