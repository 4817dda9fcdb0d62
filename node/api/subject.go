package api

import (
	"fmt"
	"net/http"

	"github.com/strataos/strataos/protocol"
)

// subjectAnswer is the answer to GET /v1/accord/subjects/{subject}.
type subjectAnswer struct {
	Subject string `json:"subject"`
	// Version counts the accepted proposals on the subject. The newest of them is
	// Proposal, and its action the subject's Value; of version 0 there are none.
	Version  uint64         `json:"version"`
	Value    *actionAnswer  `json:"value,omitempty"`
	Proposal *protocol.Hash `json:"proposal,omitempty"`
	// Position is where that is in the ledger, DecisionPosition where its decision,
	// and DecidedAt the ledger's time with it.
	Position         *uint64 `json:"position,omitempty"`
	DecisionPosition *uint64 `json:"decision_position,omitempty"`
	DecidedAt        *int64  `json:"decided_at,omitempty"`
	CausalToken      string  `json:"causal_token"`
}

// subject answers GET /v1/accord/subjects/{subject}.
func (s *Server) subject(x *exchange) error {
	name := x.r.PathValue("subject")
	if name == "" || len(name) > protocol.MaxSubjectBytes {
		return invalid("subject", "must be a text of 1 to %d bytes", protocol.MaxSubjectBytes)
	}
	params, err := readParams(x.r.URL.RawQuery, []string{"timeout_ms"})
	if err != nil {
		return err
	}
	if err := s.awaitSeen(x, params); err != nil {
		return err
	}
	is, _, err := s.Accord.Subject(name)
	if err != nil {
		return err
	}
	a := subjectAnswer{Subject: name, Version: is.Version}
	if is.Version > 0 {
		c, ok, err := s.Accord.Case(is.Proposal)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("the proposal %s, which made version %d of %q, is not stored", is.Proposal, is.Version, name)
		}
		value, at := actionOf(c.Proposal.Action), c.DecidedOn.Millis()
		a.Value, a.Proposal, a.Position, a.DecisionPosition, a.DecidedAt = &value, &is.Proposal, &c.Position, &is.DecidedAt, &at
	}
	here, err := s.seenHere() // behind all that was read
	if err != nil {
		return err
	}
	a.CausalToken = string(appendToken(nil, here))
	s.writeJSON(x, http.StatusOK, a)
	return nil
}
