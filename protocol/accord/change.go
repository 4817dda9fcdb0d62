package accord

import (
	"fmt"
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
)

// Turn returns the committee of the next epoch, which begins at a time of the
// ledger, if an accepted proposal changes the network (rule A7). It is asked where
// every member comes by: at the end of a round.
func (b *Book) Turn() (*quorum.Committee, error) {
	if b.pending == nil {
		return nil, nil
	}
	c, err := next(b.committee, b.pending.change, b.now)
	if err != nil {
		return nil, fmt.Errorf("proposal %s: %w", b.pending.id, err)
	}
	b.elect(c)
	b.pending = nil
	return c, nil
}

// pendingChange is an accepted change of the network that has not begun.
type pendingChange struct {
	id     protocol.Hash
	change *protocol.Change
}

// resume takes up the change of an accepted proposal.
func (b *Book) resume(id protocol.Hash) error {
	if id == (protocol.Hash{}) {
		return nil
	}
	c, ok, err := b.store.Case(id)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("proposal %s, which changes the network, is not stored", id)
	}
	return b.plan(&c.Proposal)
}

// plan has the change of an accepted proposal begin at the next turn.
func (b *Book) plan(p *protocol.Proposal) error {
	change, err := p.Action.Change()
	if err != nil {
		return err
	}
	b.pending = &pendingChange{p.ID, change}
	return nil
}

// elect makes others the committee.
func (b *Book) elect(c *quorum.Committee) {
	b.committee, b.members = c, nil
	for _, id := range c.Members() {
		b.members = append(b.members, c.Name(id))
	}
	slices.Sort(b.members)
}

// objection says why a proposal that changes the network cannot be put to the vote
// under the present committee, or nothing.
func (b *Book) objection(p *protocol.Proposal) (string, error) {
	change, err := p.Action.Change()
	if err != nil {
		return "", err // no voter lets such a proposal pass
	}
	n := len(b.members)
	switch least := protocol.DefaultThreshold(n); {
	case !slices.Equal(p.Participants, b.members):
		return "participants: must be all members", nil
	case p.Threshold < least:
		return fmt.Sprintf("threshold: is %d; to change the network takes %d of %d members", p.Threshold, least, n), nil
	}
	if _, err := next(b.committee, change, b.now); err != nil {
		return err.Error(), nil
	}
	return "", nil
}

// next returns the committee that a change makes of another, from a time of the
// ledger on. An error names the field of the change that is not possible.
func next(c *quorum.Committee, change *protocol.Change, since protocol.Micros) (*quorum.Committee, error) {
	const field = "action.payload"
	now := protocol.Epoch{Number: c.Epoch(), Members: c.Members(), Params: c.Params(), Since: c.Since()}
	then := protocol.Epoch{Number: now.Number + 1, Members: slices.Clone(now.Members), Params: now.Params, Since: since}
	roster := slices.Clone(c.Roster())
	leaves, err := named(c, change)
	if err != nil {
		return nil, err
	}
	switch m := change.Member; {
	case change.Type == protocol.ActionParamsSet:
		then.Params = change.Params.Apply(now.Params)
	case m == nil:
		then.Members = slices.DeleteFunc(then.Members, func(id protocol.MemberID) bool { return id == *leaves })
	case leaves != nil && m.Name == change.Name:
		err = protocol.CheckMove(field+".member", c.Network(), roster, &now, *leaves, m)
		roster[*leaves] = *m
	default:
		err = protocol.CheckJoin(field+".member", c.Network(), roster, &now, m, leaves)
		if leaves != nil {
			then.Members = slices.DeleteFunc(then.Members, func(id protocol.MemberID) bool { return id == *leaves })
		}
		then.Members = append(then.Members, protocol.MemberID(len(roster)))
		roster = append(roster, *m)
	}
	if err != nil {
		return nil, err
	}
	out, err := quorum.NewEpoch(c.Network(), roster, then)
	if err != nil {
		return nil, err
	}
	if !quorum.Shares(c, out) {
		return nil, &protocol.FieldError{Field: field, Problem: "the quorums of the new committee would not share an honest member with those of this one"}
	}
	return out, nil
}

// named returns the member that is to leave or to be replaced, or nil.
func named(c *quorum.Committee, change *protocol.Change) (*protocol.MemberID, error) {
	if change.Name == "" {
		return nil, nil
	}
	for _, id := range c.Members() {
		if c.Name(id) == change.Name {
			return &id, nil
		}
	}
	return nil, &protocol.FieldError{Field: "action.payload.name", Problem: change.Name + " is not a member"}
}
