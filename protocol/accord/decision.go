package accord

import (
	"crypto/sha256"
	"strconv"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/jcs"
)

// Decision is what a proposal has come to. Its canonical form is the body of an
// entry of the ledger: a JSON object of "id" (the proposal's), "position" (where
// the proposal is in the ledger), "status" and "votes" (those that count), and,
// where there are such, "subject" with the "version" that it has from then on,
// "reason", and "winner" (the proposal that a conflict is with).
type Decision struct {
	ID       protocol.Hash
	Position uint64
	Status   Status
	// Subject and Version are the proposal's subject, and the version that it
	// has with the decision.
	Subject string
	Version uint64
	Votes   []Ballot
	// Reason says why it was rejected before anybody could vote, or with what
	// it conflicts.
	Reason string
	Winner protocol.Hash
}

// Append appends the decision's RFC 8785 form to dst.
func (d *Decision) Append(dst []byte) []byte {
	dst = d.ID.Append(append(dst, `{"id":"`...))
	dst = strconv.AppendUint(append(dst, `","position":`...), d.Position, 10)
	if d.Reason != "" {
		dst = jcs.AppendString(append(dst, `,"reason":`...), d.Reason)
	}
	dst = append(append(append(dst, `,"status":"`...), d.Status.String()...), '"')
	if d.Subject != "" {
		dst = jcs.AppendString(append(dst, `,"subject":`...), d.Subject)
		dst = strconv.AppendUint(append(dst, `,"version":`...), d.Version, 10)
	}
	dst = append(dst, `,"votes":[`...)
	for i, v := range d.Votes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, `{"member":"`...), v.Member...), `","position":`...)
		dst = strconv.AppendUint(dst, v.Position, 10)
		dst = append(append(append(dst, `,"vote":"`...), protocol.VoteName(v.Accept)...), `"}`...)
	}
	dst = append(dst, ']')
	if d.Winner != (protocol.Hash{}) {
		dst = append(d.Winner.Append(append(dst, `,"winner":"`...)), '"')
	}
	return append(dst, '}')
}

// Hash is the SHA-256 of the canonical form.
func (d *Decision) Hash() protocol.Hash { return sha256.Sum256(d.Append(nil)) }
