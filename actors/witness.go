package actors

import (
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/witness"
)

// newWitness makes the cell of the witness machine.
func (h *Host) newWitness() *cell[witness.Input] {
	c := newCell[witness.Input](h, "witness", ownerWitness)
	c.start, c.tick = witness.Start{}, witness.Tick{}
	c.begin = func() (stepper[witness.Input], error) {
		h.gateway.fail(ErrInterrupted) // by the life before
		h.recovered = false
		m, err := witness.New(h.witnessConfig(), h.cfg.Store)
		h.chronos.inbox.Internal(chronos.Rejoined{})
		return m, err
	}
	c.carryOut = h.carryOutWitness
	c.stepped = func(s stepper[witness.Input]) {
		m := s.(*witness.Machine)
		h.status.Store(&Status{Recovered: h.recovered, Ready: m.Ready(), Stopped: h.accused, Logs: m.Status()})
		h.written.raise()
	}
	return c
}

func (h *Host) carryOutWitness(e machine.Effect) {
	switch e := e.(type) {
	case witness.SendRange:
		select {
		case h.ranges <- e:
		default: // the asker will ask again
		}
	case witness.Extended:
		h.chronos.inbox.Internal(chronos.Extended{Batches: e.Batches})
		if acts := accord.Acting(e.Batches); len(acts) > 0 {
			h.accord.inbox.Internal(accord.Extended{Batches: acts})
		}
	case witness.Heard:
		h.chronos.inbox.Internal(chronos.Heard(e))
	case witness.Advanced:
		h.chronos.inbox.Internal(chronos.Advanced(e))
	case witness.Resolved:
		h.cfg.Metrics.resolved(h.cfg.Clock(), e)
		h.gateway.resolved(e)
	case witness.Refused:
		h.gateway.refused(e)
	case witness.Withdrawn:
		h.gateway.withdrawn(e)
	case witness.Certified:
		h.cfg.Metrics.certified(h.Committee().Name(e.Cert.Log()))
	case witness.Recovered:
		h.recovered = true
		h.cfg.Logger.Info("recovered: authoring")
	case witness.Accused:
		h.accused = h.accused || e.Evidence.Author == h.Standing().Self
		h.cfg.Logger.Error("a member signed two histories of its log",
			"member", h.Committee().Name(e.Evidence.Author),
			"size", e.Evidence.Low.Size, "other_size", e.Evidence.High.Size)
	}
}
