package quorum

import (
	"fmt"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
)

// Committee is the set of members that vote in one epoch, and the roster of all
// whose logs there are. It is immutable.
type Committee struct {
	network   string
	roster    []protocol.Member
	epoch     protocol.Epoch
	active    []bool             // by number in the roster
	verifiers []*cosign.Verifier // of the roster
	origins   []string           // of the roster
	ledger    string
}

// NewCommittee returns the founding committee of a validated genesis.
func NewCommittee(g *protocol.Genesis) (*Committee, error) {
	return NewEpoch(g.Network, g.Members, g.Founding())
}

// NewEpoch returns the committee of an epoch of a network. The roster is every
// member until then, in the order of their numbers. An error names the field
// that is wrong.
func NewEpoch(network string, roster []protocol.Member, e protocol.Epoch) (*Committee, error) {
	if err := e.Validate(len(roster)); err != nil {
		return nil, fmt.Errorf("epoch %d: %w", e.Number, err)
	}
	c := &Committee{
		network: network, roster: roster, epoch: e,
		active: make([]bool, len(roster)), ledger: network + "/" + protocol.LedgerName,
	}
	for i := range roster {
		v, err := cosign.ParseVerifier(roster[i].VKey)
		if err != nil {
			return nil, fmt.Errorf("members[%d].vkey: %w", i, err)
		}
		c.verifiers = append(c.verifiers, v)
		c.origins = append(c.origins, network+"/"+roster[i].Name)
	}
	for _, id := range e.Members {
		c.active[id] = true
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

// Network is the network's name.
func (c *Committee) Network() string { return c.network }

// Roster is every member that the network has had, by number; the slice is
// shared.
func (c *Committee) Roster() []protocol.Member { return c.roster }

// N is the number of members that vote.
func (c *Committee) N() int { return len(c.epoch.Members) }

// Quorum is the number of cosignatures that make a certificate.
func (c *Committee) Quorum() int { return Size(c.N()) }

// Epoch is the committee's version.
func (c *Committee) Epoch() uint64 { return c.epoch.Number }

// Since is the ledger's time when the epoch began; 0 for the founding one.
func (c *Committee) Since() protocol.Micros { return c.epoch.Since }

// Params are what the members hold each other to.
func (c *Committee) Params() protocol.Params { return c.epoch.Params }

// Members are those that vote, in ascending order; the slice is shared.
func (c *Committee) Members() []protocol.MemberID { return c.epoch.Members }

// Has reports whether id is a member that votes.
func (c *Committee) Has(id protocol.MemberID) bool { return int(id) < len(c.active) && c.active[id] }

// Known reports whether id is or was a member: it has a log.
func (c *Committee) Known(id protocol.MemberID) bool { return int(id) < len(c.roster) }

// Logs is the number of members' logs, those of members that have left included.
func (c *Committee) Logs() int { return len(c.roster) }

// Name is the name of a known member's log, or of that of decisions.
func (c *Committee) Name(id protocol.MemberID) string {
	if id == protocol.Accord {
		return protocol.AccordName
	}
	return c.roster[id].Name
}

// HasLog reports whether id is a log that members cosign: a known member's or the
// ledger.
func (c *Committee) HasLog(id protocol.MemberID) bool { return c.Known(id) || id == protocol.Ledger }

// Origin is the origin line of a known member's log, of the ledger, or of the log
// of decisions, which has no checkpoints.
func (c *Committee) Origin(id protocol.MemberID) string {
	switch id {
	case protocol.Ledger:
		return c.ledger
	case protocol.Accord:
		return c.network + "/" + protocol.AccordName
	}
	return c.origins[id]
}

// Verifier checks a known member's signatures.
func (c *Committee) Verifier(id protocol.MemberID) *cosign.Verifier { return c.verifiers[id] }

// Checkpoint is the tree head of a known member's log, or of the ledger.
func (c *Committee) Checkpoint(log protocol.MemberID, size uint64, root protocol.Hash) cosign.Checkpoint {
	return cosign.Checkpoint{Origin: c.Origin(log), Size: size, Root: root}
}

// slack is how long, in microseconds, before its epoch began a cosignature that
// counts in it may have been made, at least: clocks differ.
const slack = 2 * protocol.Second

// From is the earliest time, in Unix seconds, of cosignatures that count in the
// epoch: a little before it began. The ledger's time, by which it begins, may be
// ahead of all clocks by as much as a batch's may.
func (c *Committee) From() uint64 {
	return (c.epoch.Since - max(slack, 2*c.epoch.Params.MaxFuture())).Seconds()
}

// Counts reports whether a member's cosignature of a time, in Unix seconds, may
// be among those of this epoch. Older ones may not: who made them may not have
// known what this epoch's members know.
func (c *Committee) Counts(id protocol.MemberID, time uint64) bool {
	return c.Has(id) && time >= c.From()
}
