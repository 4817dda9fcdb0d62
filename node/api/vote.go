package api

import (
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
)

// vote answers POST /v1/accord/proposals/{id}/vote.
func (s *Server) vote(x *exchange) error {
	return s.act(x, protocol.KindVote, func(id protocol.Hash, fields map[string][]byte) (*actRequest, error) {
		value, ok := fields["vote"]
		if !ok {
			return nil, invalid("vote", "is missing; it is accept or reject")
		}
		rejects, err := parseChoice("vote", value, "accept", "reject")
		if err != nil {
			return nil, err
		}
		v := protocol.Vote{Proposal: id, Accept: !rejects}
		if v.Reason, err = textField(fields, "reason"); err != nil {
			return nil, err
		}
		req := &actRequest{text: v.Append(nil), may: s.mayVote, came: s.notVoted, says: struct {
			ID     protocol.Hash `json:"id"`
			Vote   string        `json:"vote"`
			Reason string        `json:"reason,omitempty"`
		}{id, protocol.VoteName(v.Accept), v.Reason}}
		_, err = protocol.CheckVote(req.text)
		return req, err
	}, "vote", "reason")
}

// mayVote says why this node's member cannot vote on a proposal.
func (s *Server) mayVote(c *candidate) error {
	if !slices.Contains(c.proposal.Participants, s.Name) {
		return errorf(codeNotParticipant, "%s is no participant of the proposal", s.Name).with("participants", c.proposal.Participants)
	}
	if c.ordered == nil {
		return nil
	}
	return s.notVoted(c.ordered, ^uint64(0))
}

// notVoted says why no vote counts that this node's member gives now, or, at a
// place in the ledger, has given.
func (s *Server) notVoted(c *accord.Case, position uint64) error {
	for _, v := range c.Votes {
		if v.Member != s.Name {
			continue
		}
		if v.Position == position {
			return nil
		}
		return errorf(codeVoted, "%s has voted on the proposal: %s", s.Name, protocol.VoteName(v.Accept)).
			with("id", c.Proposal.ID.String()).with("vote", protocol.VoteName(v.Accept)).with("position", v.Position).
			with("status", c.Status.String())
	}
	if c.Status != accord.Open {
		return isDecided(c)
	}
	return nil
}

// withdraw answers POST /v1/accord/proposals/{id}/withdraw.
func (s *Server) withdraw(x *exchange) error {
	return s.act(x, protocol.KindWithdraw, func(id protocol.Hash, _ map[string][]byte) (*actRequest, error) {
		return &actRequest{
			text: protocol.Withdrawal{Proposal: id}.Append(nil), may: s.mayWithdraw, came: withdrawalCame,
			says: struct {
				ID protocol.Hash `json:"id"`
			}{id},
		}, nil
	})
}

func (s *Server) mayWithdraw(c *candidate) error {
	switch {
	case c.proposal.Proposer != s.Name:
		return errorf(codeNotProposer, "the proposal is of %s, whose node alone can withdraw it", c.proposal.Proposer).with("proposer", c.proposal.Proposer)
	case c.ordered != nil && c.ordered.Status != accord.Open:
		return isDecided(c.ordered)
	}
	return nil
}

func withdrawalCame(c *accord.Case, _ uint64) error {
	if c.Status != accord.Withdrawn {
		return isDecided(c)
	}
	return nil
}

// report answers POST /v1/accord/proposals/{id}/report.
func (s *Server) report(x *exchange) error {
	return s.act(x, protocol.KindReport, func(id protocol.Hash, fields map[string][]byte) (*actRequest, error) {
		value, ok := fields["status"]
		if !ok {
			return nil, invalid("status", "is missing; it is done or failed")
		}
		failed, err := parseChoice("status", value, "done", "failed")
		if err != nil {
			return nil, err
		}
		r := protocol.Report{Proposal: id, Failed: failed}
		if r.Note, err = textField(fields, "note"); err != nil {
			return nil, err
		}
		req := &actRequest{text: r.Append(nil), may: s.mayReport, came: func(*accord.Case, uint64) error { return nil }, says: struct {
			ID     protocol.Hash `json:"id"`
			Report string        `json:"report"`
			Note   string        `json:"note,omitempty"`
		}{id, r.Status(), r.Note}}
		_, err = protocol.CheckReport(req.text)
		return req, err
	}, "status", "note")
}

func (s *Server) mayReport(c *candidate) error {
	switch {
	case !slices.Contains(c.proposal.Participants, s.Name):
		return errorf(codeNotParticipant, "%s is no participant of the proposal", s.Name).with("participants", c.proposal.Participants)
	case c.ordered == nil || c.ordered.Status != accord.Accepted:
		status := accord.Open
		if c.ordered != nil {
			status = c.ordered.Status
		}
		return errorf(codeNotAccepted, "the proposal is %s; reports are on accepted ones", status).with("status", status.String())
	}
	return nil
}
