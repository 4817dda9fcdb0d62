package actors

import (
	"strings"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/witness"
)

// Standing is which epochs have begun, and who this node is in the newest one. It
// does not change; what takes its place does.
type Standing struct {
	Epochs *quorum.Epochs
	// Self is this node's number, protocol.Nobody as long as no epoch's roster has
	// its key. It may be that of a member that has left.
	Self protocol.MemberID
}

// Committee is that of the newest epoch.
func (s *Standing) Committee() *quorum.Committee { return s.Epochs.Latest() }

// Member reports whether this node is one.
func (s *Standing) Member() bool { return s.Committee().Has(s.Self) }

// Left reports whether this node was a member: it never will be again.
func (s *Standing) Left() bool { return s.Committee().Known(s.Self) && !s.Member() }

// Standing is which epochs the machines have come to.
func (h *Host) Standing() *Standing { return h.standing.Load() }

// Committee is that of the newest epoch that the machines have come to.
func (h *Host) Committee() *quorum.Committee { return h.Standing().Committee() }

// stand takes up what epochs are stored.
func (h *Host) stand(epochs *quorum.Epochs) {
	h.standing.Store(&Standing{epochs, NumberOf(epochs.Latest(), h.cfg.Witness.Signer.Verifier().String())})
	h.cfg.Metrics.know(epochs.Latest())
}

// NumberOf is the number of the member whose key it is, or protocol.Nobody.
func NumberOf(c *quorum.Committee, vkey string) protocol.MemberID {
	for i, m := range c.Roster() {
		if m.VKey == vkey {
			return protocol.MemberID(i)
		}
	}
	return protocol.Nobody
}

// begun has all know of an epoch that has begun and is durable, and the witness
// machine enter it. Of the chronos actor alone.
func (h *Host) begun(c *quorum.Committee) {
	st := h.Standing()
	if c.Epoch() <= st.Committee().Epoch() {
		return
	}
	epochs := st.Epochs.Clone()
	if err := epochs.Add(c); err != nil {
		h.stopNode(err)
		return
	}
	h.stand(epochs)
	if h.cfg.Begun != nil {
		h.cfg.Begun(h.Standing())
	}
	h.witness.inbox.Internal(witness.Enter{Committee: c})
}

// catchUp is begun for all epochs that are stored: what an earlier life of the
// chronos machine would have told may be lost.
func (h *Host) catchUp(stored *quorum.Epochs) {
	for number := h.Committee().Epoch() + 1; number <= stored.Latest().Epoch(); number++ {
		c, _ := stored.At(number)
		h.begun(c)
	}
}

// witnessConfig, chronosConfig and accordConfig are those of machines that begin
// now.
func (h *Host) witnessConfig() witness.Config {
	cfg, st := h.cfg.Witness, h.Standing()
	cfg.Epochs, cfg.Self = st.Epochs, st.Self
	return cfg
}

func (h *Host) chronosConfig() chronos.Config {
	cfg, st := h.cfg.Chronos, h.Standing()
	cfg.Epochs, cfg.Self = st.Epochs, st.Self
	return cfg
}

func (h *Host) accordConfig() accord.Config {
	return accord.Config{Name: h.name(), NameOf: func(log protocol.MemberID) string { return h.Committee().Name(log) }}
}

// name is this node's, which its key has too: also while it is no member.
func (h *Host) name() string {
	return strings.TrimPrefix(h.cfg.Witness.Signer.Verifier().Name(), h.Committee().Network()+"/")
}
