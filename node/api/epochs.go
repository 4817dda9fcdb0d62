package api

import (
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
)

// Committee is that of the newest epoch that this node knows of.
func (s *Server) Committee() *quorum.Committee { return s.Epochs().Latest() }

// memberOf is the number of who is or was a member under a name.
func (s *Server) memberOf(name string) (protocol.MemberID, bool) {
	for i, m := range s.Committee().Roster() {
		if m.Name == name {
			return protocol.MemberID(i), true
		}
	}
	return 0, false
}

// standing says why this node is no member, or nothing if it is one.
func (s *Server) standing() string {
	c, self := s.Committee(), s.Self()
	switch {
	case c.Has(self):
		return ""
	case c.Known(self):
		return fmt.Sprintf("this node's member, %s, has left the network, which is in epoch %d: it takes part no more, and answers reads", s.Name, c.Epoch())
	}
	return fmt.Sprintf("this node, %s, is not a member of the network, as far as it knows (epoch %d): a membership.add makes it one, and until then it answers reads", s.Name, c.Epoch())
}

// policies keeps the trust policy of the newest epoch.
type policies struct{ newest atomic.Pointer[epochPolicy] }

type epochPolicy struct {
	epoch  uint64
	text   string
	policy *proof.Policy
}

// current is the policy of all epochs that there are.
func (s *Server) current() (*epochPolicy, error) {
	epochs := s.Epochs()
	number := epochs.Latest().Epoch()
	if p := s.policies.newest.Load(); p != nil && p.epoch == number {
		return p, nil
	}
	p := &epochPolicy{epoch: number, text: proof.PolicyText(epochs)}
	var err error
	if p.policy, err = proof.ParsePolicy([]byte(p.text)); err != nil {
		return nil, err
	}
	s.policies.newest.Store(p)
	return p, nil
}

// policy is what this node holds proofs to.
func (s *Server) policy() (*proof.Policy, error) {
	p, err := s.current()
	if err != nil {
		return nil, err
	}
	return p.policy, nil
}

// networkPolicy answers GET /v1/network/policy with the trust policy of the
// network, or with the C2SP tlog-policy of one of its epochs.
func (s *Server) networkPolicy(x *exchange) error {
	p, err := s.current()
	if err != nil {
		return err
	}
	text := p.text
	if given, ok := x.r.URL.Query()["epoch"]; ok {
		number, err := strconv.ParseUint(given[0], 10, 64)
		if err != nil {
			return invalid("epoch", "must be the number of an epoch")
		}
		c, ok := s.Epochs().At(number)
		if !ok {
			return errorf(codeNotFound, "epoch %d has not begun, as far as this node knows; it knows of %d", number, p.epoch)
		}
		text = proof.EpochPolicyText(c)
	}
	x.Header().Set("Content-Type", "text/plain; charset=utf-8")
	x.WriteHeader(http.StatusOK)
	_, _ = x.Write([]byte(text)) // the client may have gone
	return nil
}

// networkGenesis answers GET /v1/network/genesis with the canonical form, whose
// SHA-256 is the network's id.
func (s *Server) networkGenesis(x *exchange) error {
	s.writeBytes(x, http.StatusOK, s.genesis)
	return nil
}
