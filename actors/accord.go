package actors

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/machine"
)

// castTimeout is how long a vote may take to come into the log before it is cast
// again.
const castTimeout = 10 * time.Second

// newAccord makes the cell of the accord machine.
func (h *Host) newAccord() *cell[accord.Input] {
	c := newCell[accord.Input](h, "accord", ownerNobody)
	c.tick = accord.Tick{}
	c.begin = func() (stepper[accord.Input], error) {
		open, err := h.cfg.Store.OpenCases()
		c.start = accord.Start{Open: open}
		return accord.New(h.accordConfig()), err
	}
	c.carryOut = h.carryOutAccord
	c.stepped = func(stepper[accord.Input]) {}
	return c
}

func (h *Host) carryOutAccord(e machine.Effect) {
	switch e := e.(type) {
	case accord.Consult:
		if h.cfg.Consult != nil {
			h.cfg.Consult(e.Proposal)
		}
	case accord.Cast:
		h.workers.Go(func() { h.cast(e) })
	}
}

// cast puts a vote into this member's log, or tells the machine that it could not.
// A member that has left has no log to put it into, and would try for ever.
func (h *Host) cast(e accord.Cast) {
	if h.Standing().Left() {
		return
	}
	ctx, cancel := context.WithTimeout(h.running, castTimeout)
	defer cancel()
	_, err := h.gateway.Submit(ctx, Submission{
		Kind: protocol.KindVote, Body: e.Body, Hash: sha256.Sum256(e.Body), After: e.After,
	})
	var late *TimeoutError
	if err == nil || errors.As(err, &late) && late.InLog {
		return
	}
	h.accord.inbox.Internal(accord.Unvoted{Proposal: e.Proposal})
}

// Vote says how this member votes on a proposal that the host was consulted on.
// Later verdicts on the same proposal change nothing.
func (h *Host) Vote(v accord.Verdict) { h.accord.inbox.Internal(v) }
