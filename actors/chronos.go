package actors

import (
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/witness"
)

// newChronos makes the cell of the chronos machine.
func (h *Host) newChronos() *cell[chronos.Input] {
	c := newCell[chronos.Input](h, "chronos", ownerChronos)
	c.start, c.tick = chronos.Start{}, chronos.Tick{}
	c.begin = func() (stepper[chronos.Input], error) {
		h.order.Store(&chronos.Status{})
		h.catchUp(h.cfg.Store.Epochs())
		m, err := chronos.New(h.chronosConfig(), h.cfg.Store)
		if err != nil {
			return nil, err
		}
		// What a life before would have told may be lost.
		open, err := h.cfg.Store.OpenCases()
		h.accord.inbox.Internal(accord.Start{Open: open})
		return m, err
	}
	c.carryOut = h.carryOutChronos
	c.recorded = h.cfg.Metrics.recorded
	c.stepped = func(m stepper[chronos.Input]) {
		st := m.(*chronos.Machine).Status()
		h.order.Store(&st)
		h.written.raise()
	}
	return c
}

func (h *Host) carryOutChronos(e machine.Effect) {
	log := h.cfg.Logger
	switch e := e.(type) {
	case chronos.Advance:
		h.witness.inbox.Internal(witness.Advance(e))
	case chronos.Ordered:
		h.cfg.Metrics.ordered(h.cfg.Clock(), h.Standing().Self, e)
		h.gateway.ordered(e.Runs)
		if e.Settles() {
			h.cfg.Metrics.settled(h.cfg.Clock(), h.name(), e.Changes)
			h.accord.inbox.Internal(accord.Settled{Changes: e.Changes, Seen: e.Seen})
		}
	case chronos.EpochBegun:
		h.begun(e.Committee)
	case chronos.Checkpointed:
		h.cfg.Metrics.checkpointed(e.Cert)
	case chronos.Alarm:
		if now := h.cfg.Clock(); now-h.alarmedAt < protocol.Second && now >= h.alarmedAt {
			return // one liar can give cause for many
		}
		h.alarmedAt = h.cfg.Clock()
		log.Error("a member has cosigned another ledger than this node's",
			"member", h.Committee().Name(e.Member), "size", e.Size, "root", e.Root)
	case chronos.Halted:
		log.Error("FORK ALARM: this node's ledger is halted", "reason", e.Reason)
	}
}
