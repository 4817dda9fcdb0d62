package api

import (
	"net/http"

	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/proof"
)

// anchorsAnswer is the answer to GET /v1/chronos/anchors/{hash}.
type anchorsAnswer struct {
	entryAnswer
	// Proof is in the author's log. It is missing while the entry is not
	// certified, and for decisions, which nobody authors.
	Proof *proof.Proof `json:"proof,omitempty"`
	// LedgerStatus is how far the entry has come: "pending", "certified",
	// "ordered" or "checkpointed", with LedgerProof.
	LedgerStatus string       `json:"ledger_status"`
	LedgerProof  *proof.Proof `json:"ledger_proof,omitempty"`
	CausalToken  string       `json:"causal_token,omitempty"`
}

// anchorByHash answers GET /v1/chronos/anchors/{hash} with the entry of an
// anchor or event that comes first in the ledger.
func (s *Server) anchorByHash(x *exchange) error {
	hash, err := protocol.ParseHash(x.r.PathValue("hash"))
	if err != nil {
		return invalid("hash", "%v", err)
	}
	params, err := readParams(x.r.URL.RawQuery, []string{"timeout_ms"})
	if err != nil {
		return err
	}
	if err := s.awaitSeen(x, params); err != nil {
		return err
	}
	first, ok, err := s.Ledger.Earliest(hash)
	if err != nil {
		return err
	}
	var a *anchorsAnswer
	if ok {
		a, err = s.orderedAnchor(first)
	} else {
		a, err = s.unorderedAnchor(hash)
	}
	if err != nil {
		return err
	}
	s.writeJSON(x, http.StatusOK, a)
	return nil
}

// orderedAnchor shows an entry that has its place in the ledger.
func (s *Server) orderedAnchor(first store.Row) (*anchorsAnswer, error) {
	row, _, err := s.Ledger.RowAt(first.Position)
	if err != nil {
		return nil, err
	}
	a := &anchorsAnswer{entryAnswer: s.entryOf(&row, true, s.now()), LedgerStatus: "ordered"}
	if row.Log == protocol.Accord {
		err = s.showDecided(a)
	} else {
		err = s.showAuthored(a, row)
	}
	if err != nil {
		return nil, err
	}
	head, ok, err := s.Ledger.LedgerHead()
	if err != nil || !ok || row.Position >= head.Size() {
		return a, err
	}
	a.LedgerStatus = "checkpointed"
	a.LedgerProof, err = s.Ledger.ProveLedger(head, row)
	return a, err
}

// showAuthored completes what is told of an entry by what its author's log says.
func (s *Server) showAuthored(a *anchorsAnswer, row store.Row) error {
	past, err := s.Ledger.Past(row)
	if err != nil {
		return err
	}
	a.CausalToken = token(row.Log, past.Size)
	a.Proof, _, err = s.Lookup.Prove(store.Found{Log: row.Log, Index: row.Index, Entry: row.Entry, Certified: true})
	return err
}

// showDecided completes what is told of a decision. The log that it is of is in the
// ledger only.
func (s *Server) showDecided(a *anchorsAnswer) error {
	here, err := s.seenHere()
	a.CausalToken = string(appendToken(nil, here))
	return err
}

// unorderedAnchor shows an entry that waits for its place in the ledger.
func (s *Server) unorderedAnchor(hash protocol.Hash) (*anchorsAnswer, error) {
	found, count, err := s.Lookup.Find(hash)
	if err != nil {
		return nil, err
	}
	row, ok := store.Row{}, false
	if count > 0 {
		if row, ok, err = s.Ledger.LogRow(found.Log, found.Index); err != nil {
			return nil, err
		}
	}
	if !ok {
		return nil, errorf(codeNotFound, "this node stores nothing that has the hash %s", hash)
	}
	a := &anchorsAnswer{entryAnswer: s.entryOf(&row, false, s.now()), LedgerStatus: "pending"}
	if found.Certified {
		a.LedgerStatus = "certified"
		p, _, err := s.Lookup.Prove(found)
		if err != nil {
			return nil, err
		}
		a.Proof, a.CausalToken = p, token(found.Log, p.Size)
	}
	return a, nil
}
