package api

import (
	"errors"
	"net/http"
	"regexp"
	"slices"

	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/protocol"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	// maxPosition bounds the positions that a query may name.
	maxPosition = uint64(protocol.MaxMicros)
)

// queryParams are the parameters of GET /v1/chronos/query.
var queryParams = []string{
	"from", "to", "from_position", "to_position", "type", "anchor_type", "kind", "hash", "key", "latest", "author",
	"before", "after", "concurrent", "order", "direction", "limit", "cursor", "timeout_ms",
}

// queryAnswer is the answer to GET /v1/chronos/query.
type queryAnswer struct {
	Entries []entryAnswer `json:"entries"`
	// Cursor is where the next page begins, also if there is nothing there yet.
	// Backwards there is none at the beginning.
	Cursor string `json:"cursor,omitempty"`
	// More says that there may be more behind Cursor now.
	More   bool       `json:"more"`
	Ledger ledgerSize `json:"ledger"`
}

type ledgerSize struct {
	Size uint64 `json:"size"`
	Time int64  `json:"time"`
}

// query answers GET /v1/chronos/query.
func (s *Server) query(x *exchange) error {
	params, err := readParams(x.r.URL.RawQuery, queryParams)
	if err != nil {
		return err
	}
	if err := s.awaitSeen(x, params); err != nil {
		return err
	}
	q, err := s.parseQuery(params)
	if err != nil {
		return err
	}
	page, err := s.Ledger.Query(*q)
	if errors.Is(err, store.ErrTooMany) {
		return invalid("latest", "too many anchors of a state lie behind the newest one that is asked for; ask for its history, or give a to_position")
	}
	if err != nil {
		return err
	}
	a := queryAnswer{Entries: []entryAnswer{}, More: page.More, Ledger: ledgerSize{page.Size, page.Time.Millis()}}
	for i := range page.Rows {
		a.Entries = append(a.Entries, s.entryOf(&page.Rows[i], true, q.Now))
	}
	if page.Next != nil && (page.More || !q.Reverse) {
		a.Cursor = cursorText(*page.Next, params)
	}
	s.writeJSON(x, http.StatusOK, a)
	return nil
}

// parseQuery reads a query. Hashes that it relates to are looked up.
func (s *Server) parseQuery(params map[string]string) (*store.Query, error) {
	q := &store.Query{Limit: defaultLimit, Now: s.now()}
	for _, name := range queryParams {
		text, ok := params[name]
		if !ok {
			continue
		}
		if err := s.readParam(q, name, text); err != nil {
			return nil, err
		}
	}
	if q.To != 0 && q.To < q.From {
		return nil, invalid("to", "is before from")
	}
	if q.ToPosition != 0 && q.ToPosition < q.FromPosition {
		return nil, invalid("to_position", "is before from_position")
	}
	if err := s.narrowKinds(q, params); err != nil {
		return nil, err
	}
	if text, ok := params["cursor"]; ok {
		start, err := parseCursor(text, params)
		if err != nil {
			return nil, err
		}
		q.Start = &start
	}
	return q, s.relate(q, params)
}

// readParam reads a parameter that stands for itself.
func (s *Server) readParam(q *store.Query, name, text string) (err error) {
	switch name {
	case "from":
		q.From, err = readTime(name, text)
	case "to":
		q.To, err = readTime(name, text)
	case "from_position":
		q.FromPosition, err = readNumber(name, text, 0, maxPosition)
	case "to_position":
		q.ToPosition, err = readNumber(name, text, 1, maxPosition)
	case "type":
		q.Type, err = text, checkType(text)
	case "hash":
		hash, e := protocol.ParseHash(text)
		if e != nil {
			return invalid(name, "%v", e)
		}
		q.Hash = &hash
	case "key":
		if len(text) > protocol.MaxKeyBytes {
			return invalid(name, "must be a text of 1 to %d bytes", protocol.MaxKeyBytes)
		}
		q.Key = text
	case "latest":
		q.Latest, err = readChoice(name, text, "false", "true")
	case "author":
		id, ok := s.author(text)
		if !ok {
			return invalid(name, "%.64q is not a member; GET /v1/network names them, and decisions are of %q", text, protocol.AccordName)
		}
		q.Author = &id
	case "order":
		q.ByTime, err = readChoice(name, text, "ledger", "time")
	case "direction":
		q.Reverse, err = readChoice(name, text, "asc", "desc")
	case "limit":
		var n uint64
		n, err = readNumber(name, text, 1, maxLimit)
		q.Limit = int(n)
	}
	return err
}

// author finds the log of a name: a member's, or that of decisions.
func (s *Server) author(name string) (protocol.MemberID, bool) {
	if name == protocol.AccordName {
		return protocol.Accord, true
	}
	return s.memberOf(name)
}

var typeFilter = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?$`)

func checkType(text string) error {
	if len(text) > protocol.MaxTypeBytes+2 || !typeFilter.MatchString(text) {
		return invalid("type", "must be an event's type such as order.created, or the beginning of one such as order.*")
	}
	return nil
}

// Groups of kinds that have names of their own.
var (
	anchorKinds = []protocol.Kind{protocol.KindAnchorEvent, protocol.KindAnchorState, protocol.KindAnchorProof}
	accordKinds = []protocol.Kind{protocol.KindPropose, protocol.KindVote, protocol.KindWithdraw, protocol.KindReport, protocol.KindDecide}
	allKinds    = slices.Concat([]protocol.Kind{protocol.KindAttest}, anchorKinds, accordKinds)
)

// narrowKinds finds the kinds that all parameters together leave, and refuses
// what cannot go together.
func (s *Server) narrowKinds(q *store.Query, params map[string]string) error {
	kinds := slices.Clone(allKinds)
	narrow := func(name string, to ...protocol.Kind) error {
		kinds = slices.DeleteFunc(kinds, func(k protocol.Kind) bool { return !slices.Contains(to, k) })
		if len(kinds) == 0 {
			return invalid(name, "cannot go together with the other parameters: no entry is of both kinds")
		}
		return nil
	}
	if text, ok := params["kind"]; ok {
		k, known := protocol.ParseKind(text)
		to := []protocol.Kind{k}
		switch text {
		case "anchor":
			to, known = anchorKinds, true
		case "accord":
			to, known = accordKinds, true
		}
		if !known {
			return invalid("kind", "must be attest, anchor, anchor.event, anchor.state, anchor.proof, accord, propose, vote, withdraw, report or decide")
		}
		if err := narrow("kind", to...); err != nil {
			return err
		}
	}
	if text, ok := params["anchor_type"]; ok {
		k, known := protocol.AnchorKind(text)
		if !known {
			return invalid("anchor_type", "must be event, state or proof")
		}
		if err := narrow("anchor_type", k); err != nil {
			return err
		}
	}
	for name, asked := range map[string]bool{"key": q.Key != "", "latest": q.Latest} {
		if !asked {
			continue
		}
		if err := narrow(name, protocol.KindAnchorState); err != nil {
			return err
		}
	}
	if q.Type != "" {
		if err := narrow("type", protocol.KindAttest); err != nil {
			return err
		}
	}
	if len(kinds) < len(allKinds) {
		q.Kinds = kinds
	}
	return nil
}

// relate looks up the entries that a query relates to.
func (s *Server) relate(q *store.Query, params map[string]string) error {
	if q.Latest {
		for _, name := range []string{"hash", "author", "before", "after", "concurrent"} {
			if _, ok := params[name]; ok {
				return invalid("latest", "cannot go together with %s: the newest of a state is the newest of all", name)
			}
		}
	}
	for name, to := range map[string]**store.Past{"before": &q.Before, "after": &q.After, "concurrent": &q.Concurrent} {
		text, ok := params[name]
		if !ok {
			continue
		}
		past, err := s.pastOf(name, text)
		if err != nil {
			return err
		}
		*to = &past
	}
	return nil
}
