package api

import (
	"encoding/json"
	"net/http"

	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/protocol"
)

// relationAnswer is the answer to GET /v1/chronos/relation.
type relationAnswer struct {
	// Relation is what a is to b: "before", "after", "concurrent" or "same".
	Relation string      `json:"relation"`
	A        placeAnswer `json:"a"`
	B        placeAnswer `json:"b"`
	// Chain leads from the batch of the earlier one to that of the later one;
	// every batch is in the past of the next one.
	Chain []linkAnswer `json:"chain"`
}

// placeAnswer says where an entry stands.
type placeAnswer struct {
	Hash     protocol.Hash `json:"hash"`
	Position uint64        `json:"position"`
	Author   string        `json:"author"`
	Index    uint64        `json:"index"`
}

// linkAnswer is a batch of a chain.
type linkAnswer struct {
	Author string `json:"author"`
	// Index is the leaf of the batch's header, and Size where the batch ends.
	Index  uint64          `json:"index"`
	Size   uint64          `json:"size"`
	Header json.RawMessage `json:"header"`
	// Via is how the batch follows the one before it in the chain: "parent" if
	// its header names it, "log" if both are of one log.
	Via string `json:"via,omitempty"`
}

// relation answers GET /v1/chronos/relation?a=&b=.
func (s *Server) relation(x *exchange) error {
	params, err := readParams(x.r.URL.RawQuery, []string{"a", "b", "timeout_ms"})
	if err != nil {
		return err
	}
	if err := s.awaitSeen(x, params); err != nil {
		return err
	}
	var ends [2]store.Past
	for i, name := range []string{"a", "b"} {
		text, ok := params[name]
		if !ok {
			return invalid(name, "is missing; it must be the hash of an anchor or event")
		}
		if ends[i], err = s.pastOf(name, text); err != nil {
			return err
		}
	}
	a, b := ends[0], ends[1]
	out := relationAnswer{Relation: "concurrent", A: s.placeOf(&a), B: s.placeOf(&b), Chain: []linkAnswer{}}
	var chain []store.Link
	switch {
	case a.Position == b.Position:
		out.Relation = "same"
	case a.Precedes(&b):
		out.Relation = "before"
		chain, err = s.Ledger.Chain(a, b)
	case b.Precedes(&a):
		out.Relation = "after"
		chain, err = s.Ledger.Chain(b, a)
	}
	if err != nil {
		return err
	}
	for i, l := range chain {
		link := linkAnswer{Author: s.Committee().Name(l.Log), Index: l.Old, Size: l.Size, Header: l.Header.Append(nil)}
		switch {
		case i > 0 && l.Parent:
			link.Via = "parent"
		case i > 0:
			link.Via = "log"
		}
		out.Chain = append(out.Chain, link)
	}
	s.writeJSON(x, http.StatusOK, out)
	return nil
}

func (s *Server) placeOf(p *store.Past) placeAnswer {
	return placeAnswer{Hash: p.Entry.Hash, Position: p.Position, Author: s.Committee().Name(p.Log), Index: p.Index}
}

// pastOf looks up the earliest place of a hash that a parameter names.
func (s *Server) pastOf(name, text string) (store.Past, error) {
	hash, err := protocol.ParseHash(text)
	if err != nil {
		return store.Past{}, invalid(name, "%v", err)
	}
	row, ok, err := s.Ledger.Earliest(hash)
	if err != nil {
		return store.Past{}, err
	}
	if !ok {
		return store.Past{}, errorf(codeNotFound, "%s: %s has no place in this node's ledger", name, hash).with("field", name)
	}
	if row.Log == protocol.Accord {
		return store.Past{}, invalid(name, "is a decision, which follows from the order and has no other past: what stands before it in the ledger is what comes before it")
	}
	return s.Ledger.Past(row)
}
