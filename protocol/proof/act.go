package proof

import (
	"crypto/sha256"

	"github.com/strataos/strataos/protocol"
)

// act is what an answer says of a proposal, or of what a member has done about one:
// of which the entry's body consists. What is nil was not said.
type act struct {
	id, vote, reason, report, note *string
}

// member reads a field of an answer, and answers false for others.
func (a *act) member(name string, value []byte) (ok bool, err error) {
	to, ok := map[string]**string{"id": &a.id, "vote": &a.vote, "reason": &a.reason, "report": &a.report, "note": &a.note}[name]
	if !ok {
		return false, nil
	}
	s, err := text(name, value)
	*to = &s
	return true, err
}

// check holds what was said to the entry.
func (a *act) check(e *protocol.Entry) error {
	if a.id == nil {
		return a.checkNothing()
	}
	id, err := protocol.ParseHash(*a.id)
	if err != nil {
		return failf(StepEntry, "id: %v", err)
	}
	want := id
	switch e.Kind {
	case protocol.KindPropose:
	case protocol.KindVote:
		vote := valueOf(a.vote)
		want = sha256.Sum256(protocol.Vote{Proposal: id, Accept: vote == protocol.VoteName(true), Reason: valueOf(a.reason)}.Append(nil))
		if vote != protocol.VoteName(true) && vote != protocol.VoteName(false) {
			return failf(StepEntry, "vote is given as %.80q, which is no vote", vote)
		}
	case protocol.KindWithdraw:
		want = sha256.Sum256(protocol.Withdrawal{Proposal: id}.Append(nil))
	case protocol.KindReport:
		r := protocol.Report{Proposal: id, Failed: valueOf(a.report) == "failed", Note: valueOf(a.note)}
		if want = sha256.Sum256(r.Append(nil)); r.Status() != valueOf(a.report) {
			return failf(StepEntry, "report is given as %.80q, which is no report", valueOf(a.report))
		}
	default:
		return failf(StepEntry, "id is given, and the entry, of the kind %s, is about no proposal", e.Kind)
	}
	if want != e.Hash {
		return failf(StepEntry, "the %s that is told of is not the entry's", e.Kind)
	}
	return a.checkStrays(e.Kind)
}

// checkStrays refuses what is said of another kind of entry. What a decision has
// for a reason, a proposal's own proof does not show.
func (a *act) checkStrays(kind protocol.Kind) error {
	votes, reports := kind == protocol.KindVote, kind == protocol.KindReport
	if a.vote != nil && !votes || a.report != nil && !reports || a.note != nil && !reports ||
		a.reason != nil && !votes && kind != protocol.KindPropose {
		return failf(StepEntry, "the entry, of the kind %s, has no vote, report, reason or note", kind)
	}
	return nil
}

func (a *act) checkNothing() error {
	if a.vote != nil || a.reason != nil || a.report != nil || a.note != nil {
		return failf(StepEntry, "a vote, report, reason or note is given, and no id of the proposal that it is about")
	}
	return nil
}

func valueOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
