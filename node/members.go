package node

import (
	"errors"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/strataos/strataos/actors"
	"github.com/strataos/strataos/node/setup"
	"github.com/strataos/strataos/p2p"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
)

// checkSelf holds the node's keys to what the network knows of its member. A member
// that it does not know may become one: the node follows until then.
func (n *Node) checkSelf() error {
	vkey, c := n.signer.Verifier().String(), n.store.Epochs().Latest()
	if want := n.genesis.Network + "/" + n.cfg.Member; n.signer.Verifier().Name() != want {
		return fmt.Errorf("the signing key is that of %s, not of %s", n.signer.Verifier().Name(), want)
	}
	for _, m := range c.Roster() {
		if m.Name == n.cfg.Member && m.VKey != vkey {
			return fmt.Errorf("the signing key %s is not the one that the network has for %s, %s", vkey, m.Name, m.VKey)
		}
	}
	switch self := actors.NumberOf(c, vkey); {
	case self == protocol.Nobody:
		n.logger.Warn("this node is not a member of the network as far as it knows: it follows until a membership.add names it", "member", n.cfg.Member, "epoch", c.Epoch())
	case !c.Has(self):
		n.logger.Warn("this node's member has left the network: it takes part no more", "member", n.cfg.Member, "epoch", c.Epoch())
	}
	return nil
}

// hostConfig says how peers are connected in the newest epoch.
func (n *Node) hostConfig(epochs *quorum.Epochs) (*p2p.Config, error) {
	key, err := setup.LoadPeerKey(n.cfg.PeerKey)
	if err != nil {
		return nil, err
	}
	network, err := n.genesis.ID()
	if err != nil {
		return nil, err
	}
	self := actors.NumberOf(epochs.Latest(), n.signer.Verifier().String())
	if err := n.checkDial(epochs.Latest(), self); err != nil {
		return nil, err
	}
	c := &p2p.Config{
		NetworkID: network, Key: key, Self: place(self), Members: n.peers(epochs), MaxMessage: maxMessage,
		Logger: n.logger.With("part", "p2p"), Registerer: n.registry,
	}
	if c.Listen, err = n.listenAt(epochs.Latest(), self); err != nil {
		return nil, err
	}
	return c, n.checkPeerKey(key, epochs.Latest(), self)
}

// place is a member's number for package p2p.
func place(id protocol.MemberID) int {
	if id == protocol.Nobody {
		return -1
	}
	return int(id)
}

// checkPeerKey holds the peer key to what the others know this node by. Another one
// is a mistake, or the node goes on under a new one that the decision which it is
// yet to hear of has given it.
func (n *Node) checkPeerKey(key crypto.PrivKey, c *quorum.Committee, self protocol.MemberID) error {
	id, err := peer.IDFromPrivateKey(key)
	if err != nil || !c.Known(self) {
		return err
	}
	for _, other := range c.Members() {
		if m := &c.Roster()[other]; other != self && m.PeerID == id.String() {
			return fmt.Errorf("the peer key is that of %s, the network knows another member by it, %s", id, m.Name)
		}
	}
	if c.Roster()[self].PeerID != id.String() {
		n.logger.Warn("the members refuse this node's peer key unless a membership.replace has named it", "peer", id, "known", c.Roster()[self].PeerID)
	}
	return nil
}

func (n *Node) listenAt(c *quorum.Committee, self protocol.MemberID) (list []multiaddr.Multiaddr, err error) {
	switch {
	case len(n.cfg.P2PListen) > 0:
		list, err = parseAddrs(n.cfg.P2PListen)
	case c.Known(self):
		list, err = parseAddrs(c.Roster()[self].Addrs)
	default:
		err = errors.New("is missing: the network has no addresses of this node yet")
	}
	if err != nil {
		return nil, fmt.Errorf("p2p.listen: %w", err)
	}
	return list, nil
}

// checkDial reports what is wrong with the addresses that this node is to dial. Who
// is no member yet does not know all members.
func (n *Node) checkDial(c *quorum.Committee, self protocol.MemberID) error {
	for name, addr := range n.cfg.P2PDial {
		if c.Known(self) && !slices.ContainsFunc(c.Roster(), func(m protocol.Member) bool { return m.Name == name }) {
			return fmt.Errorf("p2p.dial: %s is not a member", name)
		}
		if _, err := parseAddrs([]string{addr}); err != nil {
			return fmt.Errorf("p2p.dial: %s: %w", name, err)
		}
	}
	return nil
}

// peers are the members that this node talks to: those of the newest epoch, and
// those that left with it, who are to learn of that, and whose help it takes to
// begin it. Who cannot be reached in any way is left out.
func (n *Node) peers(epochs *quorum.Epochs) []p2p.Member {
	c := epochs.Latest()
	ids := slices.Clone(c.Members())
	if before, ok := epochs.At(c.Epoch() - 1); ok {
		ids = append(ids, slices.DeleteFunc(slices.Clone(before.Members()), c.Has)...)
	}
	var out []p2p.Member
	for _, id := range ids {
		m, err := n.peerOf(c, id)
		if err != nil {
			n.logger.Error("a member has no address that this node can use", "member", c.Name(id), "error", err)
			continue
		}
		// A node may go on as another member; what it was has no peer any more.
		if !slices.ContainsFunc(out, func(o p2p.Member) bool { return o.ID == m.ID }) {
			out = append(out, m)
		}
	}
	return out
}

func (n *Node) peerOf(c *quorum.Committee, id protocol.MemberID) (p2p.Member, error) {
	m := &c.Roster()[id]
	out := p2p.Member{Number: int(id), Name: m.Name}
	var err error
	if out.ID, err = peer.Decode(m.PeerID); err != nil {
		return out, fmt.Errorf("peer_id: %w", err)
	}
	dial, ok := n.cfg.P2PDial[m.Name]
	if !ok {
		out.Addrs, err = parseAddrs(m.Addrs)
		return out, err
	}
	if out.Addrs, err = parseAddrs([]string{dial}); err != nil {
		return out, err
	}
	// An address may name its peer: one that has moved since the last epoch that
	// this node knows of.
	if addr, id := peer.SplitAddr(out.Addrs[0]); id != "" && len(addr) > 0 {
		out.ID, out.Addrs[0] = id, addr
	}
	return out, nil
}

func parseAddrs(texts []string) ([]multiaddr.Multiaddr, error) {
	var out []multiaddr.Multiaddr
	for _, t := range texts {
		a, err := multiaddr.NewMultiaddr(t)
		if err != nil {
			return nil, fmt.Errorf("%q is not a multiaddr such as /ip4/127.0.0.1/tcp/9401: %w", t, err)
		}
		out = append(out, a)
	}
	return out, nil
}

// begun has peers connected as an epoch wants it that has begun.
func (n *Node) begun(st *actors.Standing) {
	c := st.Committee()
	n.logger.Info("an epoch has begun", "epoch", c.Epoch(), "members", c.N(), "quorum", c.Quorum(), "member", st.Member())
	if err := n.host.SetMembers(place(st.Self), n.peers(st.Epochs)); err != nil {
		n.fail(err)
	}
}

// self is this node's number, or protocol.Nobody.
func (n *Node) self() protocol.MemberID { return n.machines.Standing().Self }

// epochs are those that this node has come to.
func (n *Node) epochs() *quorum.Epochs { return n.machines.Standing().Epochs }
