package protocol

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/strataos/strataos/protocol/jcs"
)

// Bounds of what members put before each other.
const (
	// MaxSubjectBytes bounds the name of a subject.
	MaxSubjectBytes = 256
	// MaxReasonBytes bounds the reason that a vote gives, and MaxNoteBytes the
	// note of a report.
	MaxReasonBytes = 1024
	MaxNoteBytes   = 4096
	// maxNonceBytes bounds what makes two equal proposals two.
	maxNonceBytes = 64
)

// Proposal is what one member asks others to decide, in its canonical form: a
// JSON object of "action" (an object of "type", a dotted name, and "payload", an
// object), "participants" (names of members, ascending), "threshold" (how many
// of them must accept), "deadline" (Unix milliseconds), "proposer" (the member
// whose log it is in), "nonce" and, optionally, "subject" and "expected_version".
type Proposal struct {
	// ID is the SHA-256 of Canonical.
	ID       Hash
	Proposer string
	Action   Action
	// Subject names what the proposal is about: of the proposals on a subject
	// only one is open at a time. It may be empty.
	Subject string
	// Participants vote, each once.
	Participants []string
	// Threshold is how many of the participants must accept: 1 to all.
	Threshold int
	// Deadline is the ledger's time behind which the proposal is over.
	Deadline Micros
	// ExpectedVersion is, where Conditional says that there is one, the version
	// that the subject must have when the proposal is ordered.
	ExpectedVersion uint64
	Conditional     bool
	// Canonical is the RFC 8785 form. It must not be changed.
	Canonical []byte
}

// Action is what is to be done.
type Action struct {
	Type    string
	Payload []byte // an object in canonical form
}

// DefaultThreshold is how many of k participants must accept if nothing else is
// said: more than two thirds of them.
func DefaultThreshold(k int) int { return 2*k/3 + 1 }

// ParseProposal reads a proposal and brings it into canonical form, of which
// maxBytes bounds the length. Errors are FieldErrors, or of package jcs where the
// text is no JSON.
func ParseProposal(raw []byte, maxBytes int) (Proposal, error) {
	canonical, err := Canonical("proposal", raw)
	if err != nil {
		return Proposal{}, err
	}
	return readProposal(canonical, maxBytes)
}

// CheckProposal reads a proposal that must be in canonical form already. The
// Proposal shares memory with canonical.
func CheckProposal(canonical []byte, maxBytes int) (Proposal, error) {
	if err := CheckCanonical("proposal", canonical); err != nil {
		return Proposal{}, err
	}
	return readProposal(canonical, maxBytes)
}

func readProposal(canonical []byte, maxBytes int) (Proposal, error) {
	p := Proposal{Canonical: canonical, ID: sha256.Sum256(canonical)}
	f := newFields("proposal", canonical)
	f.take("action", true, p.readAction)
	f.take("proposer", true, func(v []byte) error {
		name, err := jcs.Unquote(v)
		p.Proposer = name
		return errors.Join(err, CheckMemberName("proposer", name))
	})
	f.text("subject", false, MaxSubjectBytes, &p.Subject)
	f.take("participants", true, p.readParticipants)
	var threshold, deadline uint64
	f.number("threshold", true, 1, MaxMembers, &threshold)
	f.number("deadline", true, 1, uint64(MaxMicros/Millisecond), &deadline)
	p.Conditional = f.number("expected_version", false, 0, uint64(MaxMicros), &p.ExpectedVersion)
	var nonce string
	f.text("nonce", true, maxNonceBytes, &nonce)
	if err := f.done(maxBytes); err != nil {
		return Proposal{}, err
	}
	p.Threshold, p.Deadline = int(threshold), Micros(deadline)*Millisecond
	switch {
	case p.Threshold > len(p.Participants):
		return Proposal{}, fieldErrorf("threshold", "is %d, and there are %d participants", p.Threshold, len(p.Participants))
	case p.Conditional && p.Subject == "":
		return Proposal{}, fieldErrorf("expected_version", "is there, and no subject that it is the version of")
	}
	return p, p.checkNetwork()
}

func (p *Proposal) readAction(value []byte) error {
	f := newFields("action", value)
	f.text("type", true, MaxTypeBytes, &p.Action.Type)
	f.take("payload", true, func(v []byte) error {
		p.Action.Payload = bytes.Clone(v)
		return wantObject("action.payload", v)
	})
	if err := f.done(len(value)); err != nil {
		return err
	}
	if !typePattern.MatchString(p.Action.Type) {
		return fieldErrorf("action.type", "must be a dotted name such as config.set, of letters, digits, dashes and underscores")
	}
	return nil
}

func (p *Proposal) readParticipants(value []byte) error {
	if jcs.KindOf(value) != jcs.Array || json.Unmarshal(value, &p.Participants) != nil || len(p.Participants) == 0 || len(p.Participants) > MaxMembers {
		return fieldErrorf("participants", "must be a list of 1 to %d names of members", MaxMembers)
	}
	for i, name := range p.Participants {
		if err := CheckMemberName("participants["+strconv.Itoa(i)+"]", name); err != nil {
			return err
		}
		if i > 0 && p.Participants[i-1] >= name {
			return fieldErrorf("participants", "must be in ascending order, and nobody twice: %s is not behind %s", name, p.Participants[i-1])
		}
	}
	return nil
}

// Vote is how a participant votes on a proposal, in its canonical form: a JSON
// object of "proposal" (its id), "vote" ("accept" or "reject") and, optionally,
// "reason".
type Vote struct {
	Proposal Hash
	Accept   bool
	Reason   string
}

// Append appends the vote's RFC 8785 form to dst.
func (v Vote) Append(dst []byte) []byte {
	dst = append(dst, `{"proposal":"`...)
	dst = append(v.Proposal.Append(dst), '"')
	if v.Reason != "" {
		dst = append(dst, `,"reason":`...)
		dst = jcs.AppendString(dst, v.Reason)
	}
	return append(append(append(dst, `,"vote":"`...), VoteName(v.Accept)...), `"}`...)
}

// VoteName is the name of a vote: accept or reject.
func VoteName(accept bool) string {
	if accept {
		return "accept"
	}
	return "reject"
}

// CheckVote reads a vote that must be in canonical form.
func CheckVote(canonical []byte) (v Vote, err error) {
	if err := CheckCanonical("vote", canonical); err != nil {
		return v, err
	}
	f := newFields("vote", canonical)
	f.hash("proposal", &v.Proposal)
	f.choice("vote", func(i int) { v.Accept = i == 0 }, "accept", "reject")
	f.text("reason", false, MaxReasonBytes, &v.Reason)
	return v, f.done(len(canonical))
}

// Withdrawal takes a proposal back, which its proposer may do while nothing is
// decided. Its canonical form is a JSON object of "proposal".
type Withdrawal struct{ Proposal Hash }

// Append appends the withdrawal's RFC 8785 form to dst.
func (w Withdrawal) Append(dst []byte) []byte {
	return append(w.Proposal.Append(append(dst, `{"proposal":"`...)), `"}`...)
}

// CheckWithdrawal reads a withdrawal that must be in canonical form.
func CheckWithdrawal(canonical []byte) (w Withdrawal, err error) {
	if err := CheckCanonical("withdraw", canonical); err != nil {
		return w, err
	}
	f := newFields("withdraw", canonical)
	f.hash("proposal", &w.Proposal)
	return w, f.done(len(canonical))
}

// Report says what came of an accepted proposal at one participant, in its
// canonical form: a JSON object of "proposal", "status" ("done" or "failed") and,
// optionally, "note".
type Report struct {
	Proposal Hash
	Failed   bool
	Note     string
}

// Status is the name of what came of it: done or failed.
func (r Report) Status() string {
	if r.Failed {
		return "failed"
	}
	return "done"
}

// Append appends the report's RFC 8785 form to dst.
func (r Report) Append(dst []byte) []byte {
	dst = append(dst, '{')
	if r.Note != "" {
		dst = append(jcs.AppendString(append(dst, `"note":`...), r.Note), ',')
	}
	dst = r.Proposal.Append(append(dst, `"proposal":"`...))
	return append(append(append(dst, `","status":"`...), r.Status()...), `"}`...)
}

// CheckReport reads a report that must be in canonical form.
func CheckReport(canonical []byte) (r Report, err error) {
	if err := CheckCanonical("report", canonical); err != nil {
		return r, err
	}
	f := newFields("report", canonical)
	f.hash("proposal", &r.Proposal)
	f.choice("status", func(i int) { r.Failed = i == 1 }, "done", "failed")
	f.text("note", false, MaxNoteBytes, &r.Note)
	return r, f.done(len(canonical))
}

// checkAct reads the body of an entry for Accord and returns its hash.
func checkAct(kind Kind, canonical []byte, maxBytes int) (Hash, error) {
	if len(canonical) > maxBytes {
		return Hash{}, tooLong(kind.String(), len(canonical), maxBytes)
	}
	var err error
	switch kind {
	case KindPropose:
		_, err = CheckProposal(canonical, maxBytes)
	case KindVote:
		_, err = CheckVote(canonical)
	case KindWithdraw:
		_, err = CheckWithdrawal(canonical)
	case KindReport:
		_, err = CheckReport(canonical)
	}
	return sha256.Sum256(canonical), err
}
