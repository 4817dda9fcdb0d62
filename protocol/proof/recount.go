package proof

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/jcs"
)

// StepStory is where a part of a story is not what its proofs show, and
// StepDecision where the decision does not follow from the votes.
const (
	StepStory    Step = "story"
	StepDecision Step = "decision"
)

// StoryReport is what a good story shows.
type StoryReport struct {
	ID       protocol.Hash `json:"id"`
	Proposer string        `json:"proposer"`
	Action   string        `json:"action"`
	// Proposal is the proof of the proposal, in the ledger if there is one.
	Proposal *Report `json:"proposal"`
	// Status is what the decision says, or "open" where there is none. Subject and
	// Version are the decision's.
	Status   string  `json:"status"`
	Subject  string  `json:"subject,omitempty"`
	Version  uint64  `json:"version,omitempty"`
	Decision *Report `json:"decision,omitempty"`
	// Votes are those that count, each with a proof of its own.
	Votes []CountedVote `json:"votes"`
	// Unproved is how many votes and reports the story tells of that no checkpoint
	// covers yet.
	Unproved int `json:"unproved"`
}

// CountedVote is a vote in a decision.
type CountedVote struct {
	Member   string `json:"member"`
	Position uint64 `json:"position"`
	Vote     string `json:"vote"`
}

// verdict is the body of a decision.
type verdict struct {
	ID       protocol.Hash `json:"id"`
	Position uint64        `json:"position"`
	Status   string        `json:"status"`
	Subject  string        `json:"subject"`
	Version  uint64        `json:"version"`
	Votes    []CountedVote `json:"votes"`
	Reason   string        `json:"reason"`
	Winner   string        `json:"winner"`
}

// recount is the verification of a story under way.
type recount struct {
	policy   *Policy
	demands  Claims
	story    *Story
	proposal protocol.Proposal
	report   *StoryReport
	// cast are the votes that are proved, by their places in the ledger.
	cast map[uint64]CountedVote
}

// VerifyStory verifies the story of a proposal against a policy: every proof in
// it, that they are about the proposal, that the votes that the decision counts are
// in the ledger, and that they lead to it. Of demands, what is asked of every proof
// counts, such as StrictTime. Errors are StepErrors.
func VerifyStory(policy *Policy, st *Story, demands Claims) (*StoryReport, error) {
	c := &recount{policy: policy, demands: demands, story: st, report: &StoryReport{Status: "open", Votes: []CountedVote{}}, cast: map[uint64]CountedVote{}}
	for _, step := range []func() error{c.checkProposal, c.checkVotes, c.checkReports, c.checkDecision} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return c.report, nil
}

// checkProposal verifies the proofs of the proposal, and holds what is said of it
// to it.
func (c *recount) checkProposal() error {
	st := c.story
	body, err := protocol.Canonical("body", st.body)
	if err == nil {
		c.proposal, err = protocol.CheckProposal(body, len(body))
	}
	if err != nil {
		return failf(StepEvent, "the proposal: %v", err)
	}
	var proofs []*Proof
	for _, p := range []*Proof{st.proof, st.ledger} {
		if p != nil {
			proofs = append(proofs, p)
		}
	}
	if proofs == nil {
		return failf(StepStory, "there is no proof of the proposal")
	}
	c.demands.Event = body
	reports, err := VerifyAll(c.policy, proofs, c.demands)
	if err != nil {
		return within("the proposal", err)
	}
	r := reports[len(reports)-1]
	if r.entry.Kind != protocol.KindPropose || r.Log != c.proposal.Proposer {
		return failf(StepEntry, "the proof is of a %s of %s, not of a proposal of %s", r.Kind, r.Log, c.proposal.Proposer)
	}
	own, err := membersOf(body)
	if err != nil {
		return err
	}
	for _, name := range ofProposal {
		if err := same(name, st.fields[name], own[name]); err != nil {
			return err
		}
	}
	shown := map[string][]byte{"id": quoted(c.proposal.ID.String()), "timestamp": fmt.Append(nil, r.Timestamp)}
	if r.Position != nil {
		shown["position"] = fmt.Append(nil, *r.Position)
	}
	for name, value := range shown {
		if err := same(name, st.fields[name], value); err != nil {
			return err
		}
	}
	c.report.ID, c.report.Proposer, c.report.Action, c.report.Proposal = c.proposal.ID, r.Log, c.proposal.Action.Type, r
	c.report.Subject = c.proposal.Subject
	return nil
}

// checkVotes verifies the votes that are proved.
func (c *recount) checkVotes() error {
	for i := range c.story.votes {
		r := &c.story.votes[i]
		if r.ledger == nil {
			c.report.Unproved++
			continue
		}
		name := fmt.Sprintf("votes[%d]", i)
		report, err := c.shows(r, protocol.KindVote)
		if err != nil {
			return within(name, err)
		}
		v, err := protocol.CheckVote(mustCanonical(r.body))
		if err != nil {
			return failf(StepEvent, "%s: %v", name, err)
		}
		var reason []byte
		if v.Reason != "" {
			reason = quoted(v.Reason)
		}
		err = c.sayings(name, r, report, v.Proposal, map[string][]byte{"vote": quoted(protocol.VoteName(v.Accept)), "reason": reason})
		if err != nil {
			return err
		}
		r.at = report.Position
		c.cast[*report.Position] = CountedVote{report.Log, *report.Position, protocol.VoteName(v.Accept)}
	}
	return nil
}

// checkReports verifies the reports that are proved.
func (c *recount) checkReports() error {
	for i := range c.story.reports {
		r := &c.story.reports[i]
		if r.ledger == nil {
			c.report.Unproved++
			continue
		}
		name := fmt.Sprintf("reports[%d]", i)
		shown, err := c.shows(r, protocol.KindReport)
		if err != nil {
			return within(name, err)
		}
		v, err := protocol.CheckReport(mustCanonical(r.body))
		if err != nil {
			return failf(StepEvent, "%s: %v", name, err)
		}
		var note []byte
		if v.Note != "" {
			note = quoted(v.Note)
		}
		if err := c.sayings(name, r, shown, v.Proposal, map[string][]byte{"status": quoted(v.Status()), "note": note}); err != nil {
			return err
		}
	}
	return nil
}

// sayings holds what is said of a vote or a report to what it is.
func (c *recount) sayings(name string, r *recorded, shown *Report, about protocol.Hash, is map[string][]byte) error {
	if about != c.proposal.ID {
		return failf(StepStory, "%s is about another proposal, %s", name, about)
	}
	is["member"] = quoted(shown.Log)
	for field, value := range is {
		if err := same(name+"."+field, r.fields[field], value); err != nil {
			return err
		}
	}
	return nil
}

// mustCanonical is the canonical form of a text that was brought into it before.
func mustCanonical(text []byte) []byte {
	out, err := jcs.Append(nil, text)
	if err != nil {
		panic(err)
	}
	return out
}

// checkDecision verifies the decision, and that it follows from the votes.
func (c *recount) checkDecision() error {
	st := c.story
	if st.decision == nil {
		for _, name := range []string{"decided_at", "decision_position", "reason", "winner"} {
			if err := same(name, st.fields[name], nil); err != nil {
				return err
			}
		}
		return same("status", st.fields["status"], quoted("open"))
	}
	if st.decision.ledger == nil {
		return failf(StepDecision, "no checkpoint of the ledger covers the decision yet; ask for the story again")
	}
	shown, err := c.shows(st.decision, protocol.KindDecide)
	if err != nil {
		return within("the decision", err)
	}
	body := mustCanonical(st.decision.body)
	var v verdict
	if err := json.Unmarshal(body, &v); err != nil {
		return failf(StepEvent, "the decision: %v", err)
	}
	if v.ID != c.proposal.ID || v.Subject != c.proposal.Subject {
		return failf(StepStory, "the decision is about another proposal, %s", v.ID)
	}
	if p := c.report.Proposal.Position; p != nil && *p != v.Position {
		return failf(StepStory, "the decision is about position %d, the proposal is at %d", v.Position, *p)
	}
	is, err := membersOf(body)
	if err != nil {
		return err
	}
	is["decided_at"], is["decision_position"] = fmt.Append(nil, shown.Timestamp), fmt.Append(nil, *shown.Position)
	for _, name := range []string{"status", "version", "reason", "winner", "decided_at", "decision_position"} {
		if err := same(name, st.fields[name], is[name]); err != nil {
			return err
		}
	}
	if err := same("decision.status", st.decision.fields["status"], is["status"]); err != nil {
		return err
	}
	c.report.Status, c.report.Version, c.report.Decision, c.report.Votes = v.Status, v.Version, shown, v.Votes
	return c.follows(&v)
}

// follows reports, by a nil error, that a decision follows from the votes that it
// counts, and that they are in the ledger.
func (c *recount) follows(v *verdict) error {
	accepts := 0
	var voters []string
	for _, b := range v.Votes {
		if c.cast[b.Position] != b {
			return failf(StepDecision, "the vote of %s at %d, which the decision counts, is not proved", b.Member, b.Position)
		}
		if !slices.Contains(c.proposal.Participants, b.Member) || slices.Contains(voters, b.Member) {
			return failf(StepDecision, "the vote of %s at %d does not count", b.Member, b.Position)
		}
		voters = append(voters, b.Member)
		if b.Vote == protocol.VoteName(true) {
			accepts++
		}
	}
	for i := range c.story.votes {
		r := &c.story.votes[i]
		if r.at == nil {
			continue
		}
		if err := same(fmt.Sprintf("votes[%d].mark", i), r.fields["mark"], quoted(c.mark(v, *r.at))); err != nil {
			return err
		}
	}
	accepted, rejected := accepts >= c.proposal.Threshold, len(v.Votes)-accepts > len(c.proposal.Participants)-c.proposal.Threshold
	if accepted != (v.Status == "accepted") || rejected && v.Status != "rejected" || !rejected && v.Status == "rejected" && v.Reason == "" {
		return failf(StepDecision, "it says %s, and %d of %d votes accept, where %d of %d must", v.Status, accepts, len(v.Votes), c.proposal.Threshold, len(c.proposal.Participants))
	}
	return nil
}

// mark says whether a vote that is proved counts for a decision, and if not, why.
func (c *recount) mark(v *verdict, at uint64) string {
	vote := c.cast[at]
	earlier := func(b CountedVote) bool { return b.Member == vote.Member && b.Position < at }
	switch {
	case slices.Contains(v.Votes, vote):
		return "counted"
	case at < v.Position:
		return "early"
	case !slices.Contains(c.proposal.Participants, vote.Member):
		return "outsider"
	case slices.ContainsFunc(v.Votes, earlier):
		return "double"
	}
	return "late"
}
