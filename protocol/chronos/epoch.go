package chronos

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/order"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// awaitedEpoch is an epoch that is told of once it is durable.
type awaitedEpoch struct {
	seq       uint64
	committee *quorum.Committee
}

// enter makes a committee the present one.
func (m *Machine) enter(c *quorum.Committee) error {
	m.committee, m.params = c, c.Params()
	m.feeds = append(m.feeds, make([]feed, c.Logs()-len(m.feeds))...)
	m.heads.early = append(m.heads.early, make([][]wire.Signed, c.Logs()-len(m.heads.early))...)
	return m.findSelf()
}

// findSelf looks up this member's number. Who is no member may become one.
func (m *Machine) findSelf() error {
	key := m.signer.Verifier().String()
	if m.self == protocol.Nobody {
		for log := range m.feeds {
			if id := protocol.MemberID(log); m.committee.Verifier(id).String() == key {
				m.self = id
			}
		}
		return nil
	}
	if !m.committee.Known(m.self) {
		return fmt.Errorf("member %d is not in the roster", m.self)
	}
	if is := m.committee.Verifier(m.self).String(); is != key {
		return fmt.Errorf("the signing key %s is not that of %s, %s", key, m.committee.Name(m.self), is)
	}
	return nil
}

// turn begins an epoch (rule C7), where a round has ended. What the order has and has not
// emitted comes to other rounds, so that it is stored again.
func (m *Machine) turn(c *quorum.Committee) error {
	nodes, err := m.order.NextEpoch(c.Members(), c.Logs())
	if err != nil {
		return err
	}
	if err := m.epochs.Add(c); err != nil {
		return err
	}
	known := m.committee.Logs()
	if err := m.enter(c); err != nil {
		return err
	}
	for i := range nodes {
		m.records = append(m.records, putNode(&nodes[i]))
	}
	m.records = append(m.records, PutEpoch{c})
	for log := known; log < c.Logs(); log++ {
		if err := m.lookUp(protocol.MemberID(log)); err != nil {
			return err
		}
	}
	if m.heads.ahead.Size() > m.ledger.tail.Size() {
		m.heads.ahead = nil // the old epoch cosigns nothing there
	}
	m.pace.turn(m.order.Reached(m.self))
	return nil
}

func putNode(n *order.Node) PutNode {
	return PutNode{Log: n.Log, Size: n.Size, Round: n.Round, Clock: n.Clock, Rounds: n.Rounds}
}

// begun tells of the epochs that have become durable.
func (m *Machine) begun(seq uint64) {
	for len(m.turns) > 0 && m.turns[0].seq <= seq {
		m.emit(EpochBegun{Committee: m.turns[0].committee})
		m.turns = m.turns[1:]
	}
}

// votes reports whether this member cosigns and claims rounds.
func (m *Machine) votes() bool { return m.committee.Has(m.self) }

// committeeAt is the one whose members cosign the ledger at a size. Where it is not
// remembered, it answers that of the oldest remembered checkpoint.
func (m *Machine) committeeAt(size uint64) *quorum.Committee {
	i, _ := slices.BinarySearchFunc(m.heads.cuts, size, func(c Cut, size uint64) int { return cmp.Compare(c.Size, size) })
	if i == len(m.heads.cuts) {
		return m.committee
	}
	return m.committeeOf(m.heads.cuts[i].Epoch)
}

// committeeOf is the committee of an epoch that this member has come to.
func (m *Machine) committeeOf(epoch uint64) *quorum.Committee {
	c, _ := m.epochs.At(epoch)
	return c
}

// others are the members that vote, without this one.
func (m *Machine) others() []protocol.MemberID {
	return slices.DeleteFunc(slices.Clone(m.committee.Members()), func(id protocol.MemberID) bool { return id == m.self })
}
