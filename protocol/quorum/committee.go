package quorum

import (
	"fmt"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
)

// Committee is the set of members that vote in one epoch. It is immutable.
type Committee struct {
	genesis   *protocol.Genesis
	verifiers []*cosign.Verifier
	origins   []string
	ledger    string
}

// NewCommittee returns the founding committee of a validated genesis.
func NewCommittee(g *protocol.Genesis) (*Committee, error) {
	c := &Committee{genesis: g, ledger: g.Network + "/" + protocol.LedgerName}
	for i := range g.Members {
		v, err := cosign.ParseVerifier(g.Members[i].VKey)
		if err != nil {
			return nil, fmt.Errorf("members[%d].vkey: %w", i, err)
		}
		c.verifiers = append(c.verifiers, v)
		c.origins = append(c.origins, g.Origin(protocol.MemberID(i)))
	}
	return c, nil
}

// WithMemo returns the same committee, whose members' verifiers remember what
// they have verified.
func (c *Committee) WithMemo(m *cosign.Memo) *Committee {
	d := *c
	d.verifiers = make([]*cosign.Verifier, len(c.verifiers))
	for i, v := range c.verifiers {
		d.verifiers[i] = v.WithMemo(m)
	}
	return &d
}

// N is the number of members.
func (c *Committee) N() int { return len(c.verifiers) }

// Quorum is the number of cosignatures that make a certificate.
func (c *Committee) Quorum() int { return Size(c.N()) }

// Epoch is the committee's version.
func (c *Committee) Epoch() uint64 { return c.genesis.Epoch }

// Has reports whether id is a member.
func (c *Committee) Has(id protocol.MemberID) bool { return int(id) < len(c.verifiers) }

// Name is the name of a member's log, or of that of decisions.
func (c *Committee) Name(id protocol.MemberID) string {
	if id == protocol.Accord {
		return protocol.AccordName
	}
	return c.genesis.Members[id].Name
}

// HasLog reports whether id is a log that members cosign: a member's or the
// ledger.
func (c *Committee) HasLog(id protocol.MemberID) bool { return c.Has(id) || id == protocol.Ledger }

// Origin is the origin line of a member's log, of the ledger, or of the log of
// decisions, which has no checkpoints.
func (c *Committee) Origin(id protocol.MemberID) string {
	switch id {
	case protocol.Ledger:
		return c.ledger
	case protocol.Accord:
		return c.genesis.Network + "/" + protocol.AccordName
	}
	return c.origins[id]
}

// Verifier checks a member's signatures.
func (c *Committee) Verifier(id protocol.MemberID) *cosign.Verifier { return c.verifiers[id] }

// Checkpoint is the tree head of a member's log, or of the ledger.
func (c *Committee) Checkpoint(log protocol.MemberID, size uint64, root protocol.Hash) cosign.Checkpoint {
	return cosign.Checkpoint{Origin: c.Origin(log), Size: size, Root: root}
}
