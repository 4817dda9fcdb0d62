package order

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/strataos/strataos/protocol"
)

// Decision is what a slot has come to.
type Decision struct {
	Round     uint64
	Member    protocol.MemberID
	Committed bool
	// Index is the slot's place in its round, from 0 on.
	Index int
	// EndsRound says that the slot is the last of its round: a place that every
	// member comes to.
	EndsRound bool
	// Batches are what the slot emits, in ledger order. A committed slot emits
	// nothing if earlier ones have emitted all of its past.
	Batches []Batch
}

// Decide returns decisions on slots that it has not returned before, in slot
// order, up to the end of a round at most, where an epoch may end: it is to be
// called again until there are none. An Order that is resumed goes on behind its
// State. It is cheap when there are none. It fails only if what Resume was given
// was damaged; the Order is then useless.
func (o *Order) Decide() ([]Decision, error) {
	if !o.changed {
		return nil, nil
	}
	return o.decideRound()
}

func (o *Order) decideRound() ([]Decision, error) {
	o.changed = false
	var out []Decision
	for {
		i := o.turn(o.round, o.index)
		v := o.decide(o.round, i)
		if v == undecided {
			return out, nil
		}
		d := Decision{Round: o.round, Member: o.members[i], Index: o.index, EndsRound: o.index == len(o.members)-1}
		if v == committed {
			d.Committed = true
			var err error
			if d.Batches, err = o.emit(o.at(d.Round, i).first); err != nil {
				return nil, fmt.Errorf("slot of member %d in round %d: %w", d.Member, d.Round, err)
			}
		}
		out = append(out, d)
		o.consume()
		if d.EndsRound {
			o.changed = true
			return out, nil
		}
	}
}

// consume goes on to the next slot.
func (o *Order) consume() {
	if o.index++; o.index < len(o.members) {
		return
	}
	o.index = 0
	o.round++
	o.rounds = slices.Delete(o.rounds, 0, 1)
}

// emit returns what is in the past of a batch and not emitted, in ledger order.
func (o *Order) emit(x *Node) ([]Batch, error) {
	if x == nil {
		return nil, errors.New("its batch is not known")
	}
	var out []Batch
	for i, size := range x.Clock {
		c := &o.logs[i]
		if size <= c.ordered {
			continue
		}
		for c.emitted < len(c.nodes) && c.nodes[c.emitted].Size <= size {
			out = append(out, c.nodes[c.emitted].Batch)
			c.emitted++
		}
		if c.emitted == 0 || c.nodes[c.emitted-1].Size != size {
			return nil, fmt.Errorf("no batch of log %d ends at %d", i, size)
		}
		c.ordered = size
	}
	slices.SortFunc(out, inOrder)
	return out, nil
}

// inOrder compares batches by the ledger's order of what one slot emits. Each
// comes after its past.
func inOrder(a, b Batch) int {
	return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Log, b.Log), cmp.Compare(a.Size, b.Size))
}
