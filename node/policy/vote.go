package policy

import "fmt"

// Vote is what a policy comes to.
type Vote uint8

// The votes. Manual leaves it to a person, and is the default.
const (
	Manual Vote = iota
	Accept
	Reject
)

var voteNames = [...]string{"manual", "accept", "reject"}

// String is the vote's name in configurations and answers.
func (v Vote) String() string { return voteNames[v] }

// MarshalText implements encoding.TextMarshaler.
func (v Vote) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *Vote) UnmarshalText(text []byte) error {
	vote, ok := ParseVote(string(text))
	if !ok {
		return fmt.Errorf("%.20q is not a vote, want accept, reject or manual", text)
	}
	*v = vote
	return nil
}

// ParseVote reads the name of a vote.
func ParseVote(name string) (Vote, bool) {
	for i, n := range voteNames {
		if n == name {
			return Vote(i), true
		}
	}
	return Manual, false
}

// NoRule is the number of the rule where none matches.
const NoRule = -1

// Verdict is how to vote on a proposal.
type Verdict struct {
	Vote Vote `json:"vote"`
	// Reason goes into the ledger with the vote. It is what a webhook has said,
	// of at most protocol.MaxReasonBytes, or empty.
	Reason string `json:"reason,omitempty"`
	// Rule is the number of the rule that decided, or NoRule.
	Rule int `json:"rule"`
	// Note is for this node's operator only: what a webhook did instead of
	// answering. It is empty if nothing was out of order.
	Note string `json:"note,omitempty"`
}
