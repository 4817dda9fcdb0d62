package order

import (
	"errors"
	"fmt"
	"slices"

	"github.com/strataos/strataos/protocol"
)

// Resume returns an Order that goes on from a State to the same decisions as
// the one that was in it. Past must have every batch that was
// inserted by then; what was inserted later is to be inserted again. It reads
// the batches that are not emitted or of a round that is not consumed, and one
// more of each log.
func Resume(s State, past Past) (*Order, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("the state of the order is damaged: %w", err)
	}
	o := newOrder(newEpoch(s.Members, s.Base, s.First), past)
	o.round, o.index = s.Round, s.Index
	loaded := 0
	for i := range o.logs {
		if err := o.restore(protocol.MemberID(i), s.Emitted[i], s.Inserted[i]); err != nil {
			return nil, err
		}
		loaded += len(o.logs[i].nodes)
	}
	for i := range o.logs {
		if err := o.reenter(o.logs[i].nodes, loaded); err != nil {
			return nil, err
		}
	}
	o.Forget(s)
	o.changed = true
	return o, nil
}

func (s State) check() error {
	logs := len(s.Base)
	switch {
	case len(s.Emitted) != logs || len(s.Inserted) != logs:
		return fmt.Errorf("%d, %d and %d logs", logs, len(s.Emitted), len(s.Inserted))
	case s.Index < 0 || s.Index >= len(s.Members):
		return fmt.Errorf("slot %d of a round of %d members", s.Index, len(s.Members))
	case s.Round < s.First:
		return fmt.Errorf("round %d of an epoch that begins with %d", s.Round, s.First)
	case !s.Emitted.Covers(s.Base) || !s.Inserted.Covers(s.Emitted):
		return errors.New("more is emitted than is inserted, or less than when the epoch began")
	}
	return checkMembers(s.Members, logs)
}

// restore loads what is needed of a log.
func (o *Order) restore(log protocol.MemberID, emitted, inserted uint64) error {
	c := &o.logs[log]
	c.ordered = emitted
	for size := inserted; size > 0; {
		node, err := o.load(log, size)
		if err != nil {
			return err
		}
		c.nodes = append(c.nodes, node)
		if size <= emitted {
			c.emitted++
			if !o.counts(node) || node.Round < o.round {
				break
			}
		}
		size = node.Old
	}
	slices.Reverse(c.nodes)
	if emitted > 0 && (c.emitted == 0 || c.nodes[c.emitted-1].Size != emitted) {
		return fmt.Errorf("the order has emitted log %d up to %d, where no batch ends", log, emitted)
	}
	return nil
}

// reenter notes of which rounds the loaded batches of a log are the first.
func (o *Order) reenter(nodes []*Node, loaded int) error {
	var pred *Node
	for _, node := range nodes {
		if !o.counts(node) {
			continue
		}
		// No round is without a batch of exactly that round, so there are as
		// many rounds as batches at most.
		if node.Round >= o.round && node.Round-o.round > uint64(loaded) || node.Round < o.first || pred != nil && pred.Round > node.Round {
			return fmt.Errorf("the stored batch of log %d that ends at %d is damaged", node.Log, node.Size)
		}
		o.enter(pred, node)
		pred = node
	}
	return nil
}
