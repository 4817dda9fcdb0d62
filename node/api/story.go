package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/proof"
)

// maxTold bounds the votes that do not count, and the reports, that a story has.
const maxTold = 256

// storyAnswer is the answer to GET /v1/accord/proposals/{id}.
type storyAnswer struct {
	caseAnswer
	// Body is the proposal in canonical form, whose hash is its id.
	Body json.RawMessage `json:"body"`
	// Proof is in the proposer's log, and LedgerStatus how far the proposal has come:
	// "certified", "ordered" or "checkpointed", with LedgerProof.
	Proof        *proof.Proof `json:"proof,omitempty"`
	LedgerStatus string       `json:"ledger_status"`
	LedgerProof  *proof.Proof `json:"ledger_proof,omitempty"`
	// Votes are all in the ledger, also those that do not count.
	Votes    []voteAnswer    `json:"votes"`
	Decision *decisionAnswer `json:"decision,omitempty"`
	Reports  []reportAnswer  `json:"reports"`
	// Truncated says that there are more votes that do not count, or reports.
	Truncated   bool   `json:"truncated,omitempty"`
	CausalToken string `json:"causal_token"`
}

// recordedAnswer is where something about a proposal is in the ledger, with the
// proof of that once a checkpoint covers it.
type recordedAnswer struct {
	Position    uint64          `json:"position"`
	Timestamp   int64           `json:"timestamp"`
	Hash        protocol.Hash   `json:"hash"`
	Body        json.RawMessage `json:"body"`
	LedgerProof *proof.Proof    `json:"ledger_proof,omitempty"`
}

type voteAnswer struct {
	Member string `json:"member"`
	Vote   string `json:"vote"`
	Reason string `json:"reason,omitempty"`
	// Mark is "counted", or why the vote does not count.
	Mark string `json:"mark"`
	recordedAnswer
}

type decisionAnswer struct {
	Status string `json:"status"`
	recordedAnswer
}

type reportAnswer struct {
	Member string `json:"member"`
	Status string `json:"status"`
	Note   string `json:"note,omitempty"`
	recordedAnswer
}

// proposalByID answers GET /v1/accord/proposals/{id} with the whole story of a
// proposal.
func (s *Server) proposalByID(x *exchange) error {
	id, err := proposalID(x)
	if err != nil {
		return err
	}
	params, err := readParams(x.r.URL.RawQuery, []string{"wait", "timeout_ms"})
	if err != nil {
		return err
	}
	if err := s.awaitSeen(x, params); err != nil {
		return err
	}
	c, err := s.findProposal(id)
	if err != nil {
		return err
	}
	if text, ok := params["wait"]; ok {
		if text != "decided" {
			return invalid("wait", "must be decided")
		}
		if err := s.awaitDecision(x, params, c); err != nil {
			return err
		}
	}
	var a *storyAnswer
	if c.ordered == nil {
		a, err = s.unorderedStory(c)
	} else {
		a, err = s.story(x.r.Context(), c)
	}
	if err != nil {
		return err
	}
	s.writeJSON(x, http.StatusOK, a)
	return nil
}

// awaitDecision waits until a proposal is decided, for as long as the request says.
func (s *Server) awaitDecision(x *exchange, params map[string]string, c *candidate) error {
	timeout := uint64(defaultTimeout)
	if text, ok := params["timeout_ms"]; ok {
		timeout, _ = readNumber("timeout_ms", text, 1, maxTimeout) // awaitSeen has read it
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), time.Duration(timeout)*time.Millisecond)
	defer cancel()
	now, known, err := s.awaitCase(ctx, c.proposal.ID, true)
	if known {
		c.ordered = &now
	}
	return err
}

// unorderedStory tells of a proposal that waits for its place in the ledger.
func (s *Server) unorderedStory(c *candidate) (*storyAnswer, error) {
	p, _, err := s.Lookup.Prove(c.found())
	if err != nil {
		return nil, err
	}
	return &storyAnswer{
		caseAnswer: proposalOf(&c.proposal, c.time), Body: c.proposal.Canonical, Proof: p, LedgerStatus: "certified",
		Votes: []voteAnswer{}, Reports: []reportAnswer{}, CausalToken: token(c.place.Member, p.Size),
	}, nil
}

// story tells of a proposal that is in the ledger.
func (s *Server) story(ctx context.Context, c *candidate) (*storyAnswer, error) {
	head, ok, err := s.Ledger.LedgerHead()
	if err != nil {
		return nil, err
	}
	if !ok {
		head = nil
	}
	a := &storyAnswer{caseAnswer: caseOf(c.ordered), Body: c.proposal.Canonical, LedgerStatus: "ordered"}
	if a.Proof, _, err = s.Lookup.Prove(c.found()); err != nil {
		return nil, err
	}
	first, err := s.recorded(head, c.ordered.Position)
	if err != nil {
		return nil, err
	}
	if a.LedgerProof = first.LedgerProof; a.LedgerProof != nil {
		a.LedgerStatus = "checkpointed"
	}
	if err := s.tellVotes(a, head, c.ordered); err != nil {
		return nil, err
	}
	if err := s.tellReports(a, head, c.ordered); err != nil {
		return nil, err
	}
	if c.ordered.Status != accord.Open {
		r, err := s.recorded(head, c.ordered.DecidedAt)
		if err != nil {
			return nil, err
		}
		a.Decision = &decisionAnswer{c.ordered.Status.String(), r}
	}
	here, err := s.seenBehind(ctx, max(c.ordered.Position, c.ordered.DecidedAt))
	a.CausalToken = string(appendToken(nil, here))
	return a, err
}

// recorded reads an entry of the ledger, and proves it where a checkpoint covers
// it.
func (s *Server) recorded(head *store.LedgerHead, position uint64) (recordedAnswer, error) {
	row, ok, err := s.Ledger.RowAt(position)
	if err != nil {
		return recordedAnswer{}, err
	}
	if !ok {
		return recordedAnswer{}, fmt.Errorf("the ledger has nothing at %d, where something about a proposal is", position)
	}
	r := recordedAnswer{Position: position, Timestamp: row.Entry.Time.Millis(), Hash: row.Entry.Hash, Body: row.Body}
	if head != nil && position < head.Size() {
		r.LedgerProof, err = s.Ledger.ProveLedger(head, row)
	}
	return r, err
}

// tellVotes tells of all votes that count, and of others, in the order of the
// ledger.
func (s *Server) tellVotes(a *storyAnswer, head *store.LedgerHead, c *accord.Case) error {
	others, err := s.Accord.Votes(c.Proposal.ID, maxTold+1)
	if err != nil {
		return err
	}
	if len(others) > maxTold {
		others, a.Truncated = others[:maxTold], true
	}
	votes := map[uint64]accord.PutVote{}
	for _, v := range others {
		votes[v.Ballot.Position] = v
	}
	for _, b := range c.Votes { // they may be behind many others
		votes[b.Position] = accord.PutVote{Ballot: b, Mark: accord.Counted}
	}
	a.Votes = []voteAnswer{}
	for _, at := range slices.Sorted(maps.Keys(votes)) {
		v := votes[at]
		r, err := s.recorded(head, at)
		if err != nil {
			return err
		}
		cast, err := protocol.CheckVote(r.Body)
		if err != nil {
			return fmt.Errorf("the vote at %d: %w", at, err)
		}
		a.Votes = append(a.Votes, voteAnswer{v.Ballot.Member, protocol.VoteName(v.Ballot.Accept), cast.Reason, v.Mark.String(), r})
	}
	return nil
}

func (s *Server) tellReports(a *storyAnswer, head *store.LedgerHead, c *accord.Case) error {
	reports, err := s.Accord.Reports(c.Proposal.ID, maxTold+1)
	if err != nil {
		return err
	}
	if len(reports) > maxTold {
		reports, a.Truncated = reports[:maxTold], true
	}
	slices.SortFunc(reports, func(a, b accord.PutReport) int { return cmp.Compare(a.Position, b.Position) })
	a.Reports = []reportAnswer{}
	for _, p := range reports {
		r, err := s.recorded(head, p.Position)
		if err != nil {
			return err
		}
		a.Reports = append(a.Reports, reportAnswer{p.Member, p.Report.Status(), p.Report.Note, r})
	}
	return nil
}
