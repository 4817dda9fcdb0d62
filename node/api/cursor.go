package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/protocol"
)

// cursorVersion is the first byte of a cursor. What follows is a part of the
// hash of the query's parameters, and the time and the position behind which
// the next page begins. A position is for good, so a cursor stays valid as the
// ledger grows.
const (
	cursorVersion = 1
	cursorBytes   = 1 + 8 + 8 + 8
)

// boundTo is what a cursor has of the parameters that it belongs to.
func boundTo(params map[string]string) []byte {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if name == "cursor" || name == "limit" || name == "timeout_ms" {
			continue
		}
		for _, text := range []string{name, params[name]} {
			h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
			h.Write([]byte(text))
		}
	}
	return h.Sum(nil)[:8]
}

func cursorText(p store.Place, params map[string]string) string {
	raw := append([]byte{cursorVersion}, boundTo(params)...)
	raw = binary.BigEndian.AppendUint64(raw, uint64(p.Time))
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(raw, p.Position))
}

// parseCursor reads the cursor of a query with the same parameters.
func parseCursor(text string, params map[string]string) (store.Place, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != cursorBytes || raw[0] != cursorVersion || base64.RawURLEncoding.EncodeToString(raw) != text {
		return store.Place{}, invalid("cursor", "is not a cursor; send back an answer's cursor as it came")
	}
	if !bytes.Equal(raw[1:9], boundTo(params)) {
		return store.Place{}, invalid("cursor", "belongs to a query with other parameters; all but limit must stay the same")
	}
	p := store.Place{Time: protocol.Micros(binary.BigEndian.Uint64(raw[9:])), Position: binary.BigEndian.Uint64(raw[17:])}
	if p.Time < 0 || p.Time > protocol.MaxMicros || p.Position > uint64(protocol.MaxMicros) {
		return store.Place{}, invalid("cursor", "is not a cursor; send back an answer's cursor as it came")
	}
	return p, nil
}
