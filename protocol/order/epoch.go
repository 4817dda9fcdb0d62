package order

import (
	"errors"
	"fmt"
	"slices"

	"github.com/strataos/strataos/protocol"
)

// epoch is who has slots, and from where on.
type epoch struct {
	// members have slots, and seats are their places in members, by log, or
	// none.
	members []protocol.MemberID
	seats   []int
	// base is how much of every log was emitted when the epoch began. Only what
	// is behind it has a round. The epoch's first round is first.
	base  Clock
	first uint64
}

// none is the seat of a log whose member has no slots.
const none = -1

func newEpoch(members []protocol.MemberID, base Clock, first uint64) epoch {
	e := epoch{members: slices.Clone(members), seats: make([]int, len(base)), base: base, first: first}
	for i := range e.seats {
		e.seats[i] = none
	}
	for seat, id := range e.members {
		e.seats[id] = seat
	}
	return e
}

// counts reports whether a batch has a round in this epoch.
func (e *epoch) counts(n *Node) bool { return n.Size > e.base[n.Log] }

func checkMembers(members []protocol.MemberID, logs int) error {
	for i, id := range members {
		if int(id) >= logs || i > 0 && members[i-1] >= id {
			return fmt.Errorf("members %v of %d logs", members, logs)
		}
	}
	if len(members) == 0 {
		return errors.New("an epoch without members")
	}
	return nil
}

// NextEpoch goes on, from the end of a round at which Decide has just arrived,
// with other members that have slots, ascending, and with so many logs: no less
// than before. It returns what follows anew of the batches that are inserted and
// not emitted, in an order in which each comes after its past: their rounds, and
// the larger Clock. It fails, and changes nothing, where no epoch can begin; or
// if what Resume was given was damaged, and then the Order is useless.
func (o *Order) NextEpoch(members []protocol.MemberID, logs int) ([]Node, error) {
	if o.index != 0 || o.round == o.first {
		return nil, fmt.Errorf("an epoch begins after %d slots of round %d, not at the end of a round", o.index, o.round)
	}
	if logs < len(o.logs) {
		return nil, fmt.Errorf("an epoch of %d logs begins after one of %d", logs, len(o.logs))
	}
	if err := checkMembers(members, logs); err != nil {
		return nil, err
	}
	o.logs = append(o.logs, make([]chain, logs-len(o.logs))...)
	base := make(Clock, logs)
	for i := range o.logs {
		base[i] = o.logs[i].ordered
	}
	return o.begin(newEpoch(members, base, o.round))
}

// begin derives and enters anew, in an epoch, what is not emitted.
func (o *Order) begin(e epoch) ([]Node, error) {
	o.epoch, o.rules, o.rounds, o.changed = e, rulesFor(len(e.members)), nil, true
	var again []*Node
	next := make([]int, len(o.logs)) // by log, the batch to derive next
	for i := range o.logs {
		c := &o.logs[i]
		next[i] = c.emitted
		again = append(again, c.nodes[c.emitted:]...)
	}
	slices.SortFunc(again, func(a, b *Node) int { return inOrder(a.Batch, b.Batch) })
	out := make([]Node, len(again))
	for k, was := range again {
		c := &o.logs[was.Log]
		var pred *Node
		if i := next[was.Log]; i > 0 {
			pred = c.nodes[i-1]
		}
		node, err := o.deriveAgain(was, pred)
		if err != nil {
			return nil, err
		}
		c.nodes[next[was.Log]] = node
		next[was.Log]++
		o.enter(pred, node)
		out[k] = *node
	}
	return out, nil
}

// deriveAgain works out a batch's effective round in a new epoch. All of its
// past that is not emitted has been derived again; none of the rest counts, so
// that Past is not asked.
func (o *Order) deriveAgain(was, pred *Node) (*Node, error) {
	n := &Node{Batch: was.Batch, Clock: make(Clock, len(o.logs)), Rounds: make([]uint64, len(o.logs))}
	copy(n.Clock, was.Clock)
	n.Clock[n.Log] = n.Old
	for i, size := range n.Clock {
		if size > o.base[i] {
			c := &o.logs[i]
			at, ok := c.find(size)
			if !ok {
				return nil, refuse(n.Batch, "no batch of log %d ends at %d", i, size)
			}
			n.Rounds[i] = c.nodes[at].Round
		}
	}
	n.Round = o.effective(n)
	n.Clock[n.Log], n.Rounds[n.Log] = n.Size, n.Round
	if pred != nil && o.counts(pred) && slices.Equal(n.Rounds, pred.Rounds) {
		n.Rounds = pred.Rounds
	}
	return n, nil
}
