package accord

import "github.com/strataos/strataos/protocol"

// Status is what a proposal has come to.
type Status uint8

// The statuses. The numbers are part of the stored form.
const (
	Open Status = iota
	Accepted
	Rejected
	Expired
	Conflict
	Withdrawn
)

var statusNames = [...]string{"open", "accepted", "rejected", "expired", "conflict", "withdrawn"}

// String is the status' name in decisions and in the API.
func (s Status) String() string { return statusNames[s] }

// ParseStatus reads the name of a status.
func ParseStatus(name string) (Status, bool) {
	for i, n := range statusNames {
		if n == name {
			return Status(i), true
		}
	}
	return 0, false
}

// Case is a proposal and what has become of it.
type Case struct {
	Proposal protocol.Proposal
	// Position is where the proposal is in the ledger, and Time its batch's.
	Position uint64
	Time     protocol.Micros
	Status   Status
	// Version is that of the subject when the proposal was ordered.
	Version uint64
	// Votes are those that count, in the order of the ledger.
	Votes []Ballot
	// Decision says what the case has come to, once it is not open any more,
	// where that is in the ledger, and at what time of the ledger.
	Decision  Decision
	DecidedAt uint64
	DecidedOn protocol.Micros
}

// Ballot is a participant's vote.
type Ballot struct {
	Member   string
	Accept   bool
	Position uint64 // in the ledger
}

// Mark says whether a vote counts, and if not, why.
type Mark uint8

// The marks. The numbers are part of the stored form.
const (
	Counted  Mark = iota
	Late          // the proposal was decided already
	Double        // the participant had voted already
	Outsider      // the voter is no participant
	Early         // there was no such proposal in the ledger yet
)

var markNames = [...]string{"counted", "late", "double", "outsider", "early"}

// String is the mark's name in the API.
func (m Mark) String() string { return markNames[m] }

// Subject is what proposals have made of a subject.
type Subject struct {
	Name string
	// Version counts the accepted proposals on the subject, and Proposal is the
	// newest of them: its action is the subject's value.
	Version  uint64
	Proposal protocol.Hash
	// DecidedAt is where its decision is in the ledger.
	DecidedAt uint64
}

// PutCase keeps a case in the place of what was kept of it.
type PutCase struct{ Case Case }

// PutVote keeps that a vote on a proposal is in the ledger.
type PutVote struct {
	Proposal protocol.Hash
	Ballot   Ballot
	Mark     Mark
	Reason   string
	Time     protocol.Micros
}

// PutReport keeps that a report on a proposal is in the ledger.
type PutReport struct {
	Proposal protocol.Hash
	Member   string
	Position uint64
	Time     protocol.Micros
	Report   protocol.Report
}

// PutSubject keeps a subject in the place of what was kept of it.
type PutSubject struct{ Subject Subject }

// Record implements machine.Record.
func (PutCase) Record() {}

// Record implements machine.Record.
func (PutVote) Record() {}

// Record implements machine.Record.
func (PutReport) Record() {}

// Record implements machine.Record.
func (PutSubject) Record() {}
