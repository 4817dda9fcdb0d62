package node

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/strataos/strataos/actors"
	"github.com/strataos/strataos/node/deliver"
	"github.com/strataos/strataos/node/policy"
	"github.com/strataos/strataos/node/webhook"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
)

// openAccord makes what votes for this node, and what has decisions carried out.
func (n *Node) openAccord() error {
	clock := webhook.SystemClock()
	var err error
	n.voter, err = policy.New(policy.Config{
		Network: n.genesis.Network, Member: n.cfg.Member, Rules: n.cfg.Policies, Clock: clock,
	})
	if err != nil {
		return err
	}
	n.deliverer, err = deliver.New(deliver.Config{
		Network: n.genesis.Network, Member: n.cfg.Member, Handlers: n.cfg.Handlers,
		Source: n.store.Deliveries(), Positions: n.store.Deliveries(), Report: n.report,
		Clock: clock, Logger: n.logger.With("part", "accord"),
	})
	n.delivers = len(n.cfg.Handlers) > 0
	return err
}

// consult has this node's rules vote on a proposal.
func (n *Node) consult(p protocol.Proposal) {
	n.asking.Go(func() {
		v, err := n.voter.Decide(n.running, &p)
		if err != nil {
			return // the node stops, and asks again when it is back
		}
		if v.Note != "" {
			n.logger.Warn("a service that was to say how this node votes did not", "proposal", p.ID, "action", p.Action.Type, "note", v.Note)
		}
		if v.Vote != policy.Manual {
			n.machines.Vote(accord.Verdict{Proposal: p.ID, Accept: v.Vote == policy.Accept, Reason: v.Reason})
		}
	})
}

// report puts on record what came of a decision here.
func (n *Node) report(ctx context.Context, r protocol.Report) error {
	body := r.Append(nil)
	_, err := n.machines.Gateway().Submit(ctx, actors.Submission{Kind: protocol.KindReport, Body: body, Hash: sha256.Sum256(body)})
	var late *actors.TimeoutError
	if errors.As(err, &late) && late.InLog || errors.Is(err, actors.ErrNotMember) {
		return nil // who has no log can put nothing on record
	}
	return err
}

// deliver has decisions carried out as they come.
func (n *Node) deliver(ctx context.Context) {
	if !n.delivers {
		return
	}
	n.workers.Go(func() { n.deliverer.Run(ctx) })
	source := n.store.Deliveries()
	var end uint64
	for {
		grown := func() bool {
			newest, err := source.End(ctx)
			grown := err == nil && newest > end
			end = max(end, newest)
			return grown
		}
		if err := n.machines.Wait(ctx, grown); err != nil {
			return
		}
		n.deliverer.Wake()
	}
}
