package policy

import "github.com/strataos/strataos/protocol"

// Proposal is what one member asks others to decide.
type Proposal struct {
	// ID is the SHA-256 of Canonical.
	ID       protocol.Hash
	Proposer string
	Action   Action
	// Subject names what the proposal is about. It may be empty.
	Subject string
	// Participants vote, each once.
	Participants []string
	// Threshold is how many of the participants must accept.
	Threshold int
	// Deadline is the ledger's time behind which the proposal is over.
	Deadline protocol.Micros
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
