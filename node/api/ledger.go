package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/jcs"
	"github.com/strataos/strataos/protocol/proof"
)

// Ledger reads this node's ledger; store.Store does.
type Ledger interface {
	State() (chronos.State, bool, error)
	Query(q store.Query) (*store.Page, error)
	Earliest(hash protocol.Hash) (store.Row, bool, error)
	Position(log protocol.MemberID, index uint64) (uint64, bool, error)
	RowAt(position uint64) (store.Row, bool, error)
	LogRow(log protocol.MemberID, index uint64) (store.Row, bool, error)
	Past(row store.Row) (store.Past, error)
	Chain(from, to store.Past) ([]store.Link, error)
	LedgerHead() (*store.LedgerHead, bool, error)
	ProveLedger(h *store.LedgerHead, row store.Row) (*proof.Proof, error)
	LedgerEntries(from, to uint64) ([]protocol.LedgerEntry, error)
	LedgerHashes() tlog.HashReader
}

// entryAnswer is an entry of the ledger, or one that waits for its place there.
type entryAnswer struct {
	Position *uint64       `json:"position,omitempty"`
	Hash     protocol.Hash `json:"hash"`
	Kind     string        `json:"kind"`
	// AnchorType and Key are of anchors, Type is of events. Key and Type are in
	// the payload, so they go with it.
	AnchorType string `json:"anchor_type,omitempty"`
	Type       string `json:"type,omitempty"`
	Key        string `json:"key,omitempty"`
	// Author names the member whose log has the entry, at Index.
	Author string `json:"author"`
	Index  uint64 `json:"index"`
	// Timestamp is the author's time in Unix milliseconds, LedgerTime the
	// largest of all up to the entry, which never decreases along the ledger.
	Timestamp  int64  `json:"timestamp"`
	LedgerTime *int64 `json:"ledger_time,omitempty"`
	// Retention is "permanent" or a number of seconds.
	Retention any    `json:"retention"`
	ExpiresAt *int64 `json:"expires_at,omitempty"`
	// Erased says that the payload has expired and is not to be had any more.
	Erased  bool            `json:"erased"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// entryOf shows an entry, ordered or not, with its body unless that has expired.
func (s *Server) entryOf(row *store.Row, ordered bool, now protocol.Micros) entryAnswer {
	e := row.Entry
	a := entryAnswer{
		Hash: e.Hash, Kind: e.Kind.String(), AnchorType: e.Kind.AnchorType(),
		Author: s.Committee().Name(row.Log), Index: row.Index, Timestamp: e.Time.Millis(),
		Retention: "permanent", Erased: row.Gone(now),
	}
	if ordered {
		position := row.Position
		a.Position = &position
	}
	if row.LedgerTime != 0 {
		t := row.LedgerTime.Millis()
		a.LedgerTime = &t
	}
	if at, ok := e.Expires(); ok {
		ms := at.Millis()
		a.Retention, a.ExpiresAt = e.TTL, &ms
	}
	if !a.Erased {
		a.Payload = row.Body
		a.Type, a.Key = namesIn(e.Kind, row.Body)
	}
	return a
}

// namesIn returns an event's type, or an anchor's key if it has one.
func namesIn(kind protocol.Kind, body []byte) (eventType, key string) {
	_ = jcs.Members(body, func(name, value []byte) (err error) {
		if string(name) == "type" && kind == protocol.KindAttest {
			eventType, err = jcs.Unquote(value)
		}
		return err
	})
	if kind.IsAnchor() {
		if a, err := protocol.CheckAnchor(body, len(body)); err == nil {
			key = a.Key
		}
	}
	return eventType, key
}

// awaitSeen returns once this node's ledger holds what the request's client has
// seen, or fails after the request's timeout_ms.
func (s *Server) awaitSeen(x *exchange, params map[string]string) error {
	timeout := uint64(defaultTimeout)
	if text, ok := params["timeout_ms"]; ok {
		var err error
		if timeout, err = readNumber("timeout_ms", text, 1, maxTimeout); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), time.Duration(timeout)*time.Millisecond)
	defer cancel()
	return s.awaitOrdered(ctx, x)
}

// checkpointAnswer is the answer to GET /v1/chronos/checkpoint.
type checkpointAnswer struct {
	Origin string        `json:"origin"`
	Size   uint64        `json:"size"`
	Root   protocol.Hash `json:"root"`
	// Time is the ledger's time with the last entry under the checkpoint, and
	// WitnessedAt the median of the cosignatures' times, in Unix seconds.
	Time        int64  `json:"time"`
	WitnessedAt uint64 `json:"witnessed_at"`
	// Checkpoint is the signed note.
	Checkpoint string `json:"checkpoint"`
	// PositionCount is how many entries this node has ordered: positions from
	// Size on wait for a checkpoint.
	PositionCount uint64 `json:"position_count"`
	LedgerTime    int64  `json:"ledger_time"`
}

// checkpoint answers GET /v1/chronos/checkpoint with the newest head of the
// ledger that a quorum has cosigned.
func (s *Server) checkpoint(x *exchange) error {
	params, err := readParams(x.r.URL.RawQuery, []string{"timeout_ms"})
	if err != nil {
		return err
	}
	if err := s.awaitSeen(x, params); err != nil {
		return err
	}
	head, err := s.ledgerHead()
	if err != nil {
		return err
	}
	st, _, err := s.Ledger.State()
	if err != nil {
		return err
	}
	s.writeJSON(x, http.StatusOK, checkpointAnswer{
		Origin: head.Origin(), Size: head.Size(), Root: head.Root, Time: head.Time.Millis(), WitnessedAt: head.WitnessedAt(),
		Checkpoint: string(head.Note()), PositionCount: st.Size, LedgerTime: st.Accord.Time.Millis(),
	})
	return nil
}

// ledgerHead is the newest certified head; that there is none is an error.
func (s *Server) ledgerHead() (*store.LedgerHead, error) {
	head, ok, err := s.Ledger.LedgerHead()
	if err == nil && !ok {
		err = errorf(codeNotFound, "the ledger has no checkpoint yet; the first one follows the first entry")
	}
	return head, err
}

// token is the causal token of what a batch of a log that ends at size has seen.
func token(log protocol.MemberID, size uint64) string {
	return string(appendToken(nil, []protocol.Seen{{Member: log, Size: size}}))
}
