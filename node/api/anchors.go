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
	// certified.
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
	past, err := s.Ledger.Past(row)
	if err != nil {
		return nil, err
	}
	a := &anchorsAnswer{entryAnswer: s.entryOf(&row, true, s.now()), LedgerStatus: "ordered", CausalToken: token(row.Log, past.Size)}
	found := store.Found{Log: row.Log, Index: row.Index, Entry: row.Entry, Certified: true}
	if a.Proof, _, err = s.Lookup.Prove(found); err != nil {
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
		return nil, errorf(codeNotFound, "this node stores no anchor or event %s", hash)
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
