package api

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
)

// Accord reads what has come of proposals; store.Store does.
type Accord interface {
	accord.Storage
	Open(limit int) (cases []accord.Case, complete bool, err error)
	Decided(from uint64, fn func(id protocol.Hash, position uint64) (more bool, err error)) error
	Votes(id protocol.Hash, limit int) ([]accord.PutVote, error)
	Reports(id protocol.Hash, limit int) ([]accord.PutReport, error)
	Proposals(subject string, before uint64, fn func(id protocol.Hash, position uint64) (more bool, err error)) error
}

// caseAnswer is a proposal and what has come of it.
type caseAnswer struct {
	ID protocol.Hash `json:"id"`
	// Status is "open" also while the proposal waits for its place in the ledger,
	// its Position.
	Status       string       `json:"status"`
	Proposer     string       `json:"proposer"`
	Action       actionAnswer `json:"action"`
	Subject      string       `json:"subject,omitempty"`
	Participants []string     `json:"participants"`
	Threshold    int          `json:"threshold"`
	// Deadline is in Unix milliseconds, and by the ledger's time.
	Deadline        int64   `json:"deadline"`
	ExpectedVersion *uint64 `json:"expected_version,omitempty"`
	// Timestamp is the proposer's time in Unix milliseconds.
	Timestamp int64   `json:"timestamp"`
	Position  *uint64 `json:"position,omitempty"`
	// Version is the subject's: with the decision, or while there is none.
	Version *uint64 `json:"version,omitempty"`
	// Votes are those that count.
	Votes []ballotAnswer `json:"votes"`
	// DecidedAt is the ledger's time with the decision, and DecisionPosition where
	// that is.
	DecidedAt        *int64         `json:"decided_at,omitempty"`
	DecisionPosition *uint64        `json:"decision_position,omitempty"`
	Reason           string         `json:"reason,omitempty"`
	Winner           *protocol.Hash `json:"winner,omitempty"`
}

type actionAnswer struct {
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`
}

type ballotAnswer struct {
	Member   string `json:"member"`
	Vote     string `json:"vote"`
	Position uint64 `json:"position"`
}

func actionOf(a protocol.Action) actionAnswer { return actionAnswer{a.Type, a.Payload} }

// caseOf shows a case that is in the ledger.
func caseOf(c *accord.Case) caseAnswer {
	a := proposalOf(&c.Proposal, c.Time)
	a.Status, a.Position, a.Votes = c.Status.String(), &c.Position, ballotsOf(c.Votes)
	if c.Proposal.Subject != "" {
		version := versionOf(c)
		a.Version = &version
	}
	if c.Status == accord.Open {
		return a
	}
	at := c.DecidedOn.Millis()
	a.DecidedAt, a.DecisionPosition, a.Reason = &at, &c.DecidedAt, c.Decision.Reason
	if w := c.Decision.Winner; w != (protocol.Hash{}) {
		a.Winner = &w
	}
	return a
}

// proposalOf shows a proposal that nothing has come of yet.
func proposalOf(p *protocol.Proposal, at protocol.Micros) caseAnswer {
	a := caseAnswer{
		ID: p.ID, Status: accord.Open.String(), Proposer: p.Proposer, Action: actionOf(p.Action), Subject: p.Subject,
		Participants: p.Participants, Threshold: p.Threshold, Deadline: p.Deadline.Millis(),
		Timestamp: at.Millis(), Votes: []ballotAnswer{},
	}
	if p.Conditional {
		a.ExpectedVersion = &p.ExpectedVersion
	}
	return a
}

// versionOf is the version that the subject of a case has with its decision, or, as
// long as there is none, when it was ordered.
func versionOf(c *accord.Case) uint64 {
	if c.Status == accord.Open {
		return c.Version
	}
	return c.Decision.Version
}

func ballotsOf(votes []accord.Ballot) []ballotAnswer {
	out := []ballotAnswer{}
	for _, v := range votes {
		out = append(out, ballotAnswer{v.Member, protocol.VoteName(v.Accept), v.Position})
	}
	return out
}

// isOver reports whether a case is decided.
func isOver(c *accord.Case) bool { return c.Status != accord.Open }

// awaitCase waits until a proposal is in this node's ledger, and, if asked to, is
// decided, or the context ends. It returns the case as it is then, and whether
// there is one.
func (s *Server) awaitCase(ctx context.Context, id protocol.Hash, decided bool) (c accord.Case, known bool, err error) {
	looked, size := false, uint64(0)
	late := s.Wait(ctx, func() bool {
		st, _, e := s.Ledger.State()
		if looked && e == nil && st.Size == size {
			return false // nothing was ordered since
		}
		looked, size = true, st.Size
		c, known, err = s.Accord.Case(id)
		err = errors.Join(e, err)
		return err != nil || known
	})
	if err == nil && known && decided && !isOver(&c) {
		if err = s.awaitDecided(ctx, id); err == nil {
			c, known, err = s.Accord.Case(id)
		}
		late = ctx.Err()
	}
	if errors.Is(late, context.Canceled) {
		err = errors.Join(err, late)
	}
	return c, known, err
}

// candidate is a proposal that this node has seen certified.
type candidate struct {
	proposal protocol.Proposal
	// place is the part of the proposer's log that ends with it.
	place protocol.Seen
	time  protocol.Micros
	// ordered is what has come of it in the ledger, or nil.
	ordered *accord.Case
}

// findProposal looks up a proposal. That there is none is an error.
func (s *Server) findProposal(id protocol.Hash) (*candidate, error) {
	c, ok, err := s.Accord.Case(id)
	if err != nil {
		return nil, err
	}
	if ok {
		row, _, err := s.Ledger.RowAt(c.Position)
		return &candidate{c.Proposal, protocol.Seen{Member: row.Log, Size: row.Index + 1}, c.Time, &c}, err
	}
	found, ok, err := s.Lookup.First(id)
	if err != nil {
		return nil, err
	}
	unknown := errorf(codeNotFound, "this node knows of no proposal %s", id)
	if !ok || found.Entry.Kind != protocol.KindPropose || !found.Certified {
		return nil, unknown
	}
	row, ok, err := s.Ledger.LogRow(found.Log, found.Index)
	if err != nil || !ok {
		return nil, errors.Join(err, unknown)
	}
	p, err := protocol.CheckProposal(row.Body, len(row.Body))
	if err != nil {
		return nil, err
	}
	if p.Proposer != s.Committee().Name(row.Log) {
		return nil, unknown // another member has copied it
	}
	return &candidate{proposal: p, place: protocol.Seen{Member: row.Log, Size: row.Index + 1}, time: row.Entry.Time}, nil
}

// found is where a candidate is that has no place in the ledger yet.
func (c *candidate) found() store.Found {
	return store.Found{
		Log: c.place.Member, Index: c.place.Size - 1, Certified: true,
		Entry: protocol.Entry{Kind: protocol.KindPropose, Hash: c.proposal.ID, Time: c.time},
	}
}

// proposalID reads the id in a path.
func proposalID(x *exchange) (protocol.Hash, error) {
	id, err := protocol.ParseHash(x.r.PathValue("id"))
	if err != nil {
		return id, invalid("id", "%v", err)
	}
	return id, nil
}

// proposalPath is where a proposal is shown.
func proposalPath(id protocol.Hash) string { return "/v1/accord/proposals/" + id.String() }

// isDecided says that a proposal is decided already, and how.
func isDecided(c *accord.Case) *apiError {
	e := errorf(codeDecided, "the proposal is %s already", c.Status).
		with("id", c.Proposal.ID.String()).with("status", c.Status.String()).
		with("decided_at", c.DecidedOn.Millis()).with("decision_position", c.DecidedAt)
	if c.Proposal.Subject != "" {
		e = e.with("subject", c.Proposal.Subject).with("version", c.Decision.Version)
	}
	if w := c.Decision.Winner; w != (protocol.Hash{}) {
		e = e.with("winner", w.String())
	}
	return e
}

// latency is how long a request has taken until now, in milliseconds.
func (x *exchange) latency(now time.Time) float64 {
	return float64(now.Sub(x.start).Microseconds()) / 1000
}
