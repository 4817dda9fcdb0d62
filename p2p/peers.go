package p2p

import (
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
)

// peers are the members that a host talks to, and who they are. A change
// replaces them as a whole.
type peers struct {
	self  int // this peer's own number, or -1
	index map[peer.ID]int
	links []*link // by number; nil for who is not there, and for this peer itself
}

// link is the link with a member, or nil.
func (p *peers) link(member int) *link {
	if member < 0 || member >= len(p.links) {
		return nil
	}
	return p.links[member]
}

// SetMembers has the host talk to these members from now on, and be the one with
// the number self, or none with -1. Who is not among them any more is disconnected,
// and refused as a stranger; who is new is dialled; who has another ID is somebody
// else. Connections that can stay do. An error says that the list is none, and
// changes nothing.
func (h *Host) SetMembers(self int, members []Member) error {
	if err := h.checkMembers(members); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	old := h.peers.Load()
	next := &peers{self: self, index: map[peer.ID]int{}}
	var fresh []*link
	for i := range members {
		m := &members[i]
		next.index[m.ID] = m.Number
		if m.Number >= len(next.links) {
			next.links = append(next.links, make([]*link, m.Number+1-len(next.links))...)
		}
		if m.Number == self {
			continue
		}
		l := old.link(m.Number)
		if l == nil || l.id != m.ID {
			l = newLink(h, m)
			fresh = append(fresh, l)
		}
		l.dialAt(m.Addrs)
		next.links[m.Number] = l
	}
	gone := dropped(old, next)
	for _, l := range gone {
		l.retire(next.link(l.number) == nil)
	}
	h.peers.Store(next)
	h.disconnect(gone)
	if h.started {
		for _, l := range fresh {
			l.start(h.ctx)
		}
	}
	return nil
}

// dropped are the links of old that next has not.
func dropped(old, next *peers) (gone []*link) {
	for _, l := range old.links {
		if l != nil && next.link(l.number) != l {
			gone = append(gone, l)
		}
	}
	return gone
}

// disconnect ends the connections with those that may not have one any more. The
// host's lock is held.
func (h *Host) disconnect(gone []*link) {
	for _, l := range gone {
		if !h.allows(l.id) {
			h.host.Peerstore().ClearAddrs(l.id)
			h.workers.Go(func() { _ = h.host.Network().ClosePeer(l.id) }) // it may take a while
		}
	}
}

func (h *Host) checkMembers(members []Member) error {
	if len(members) > h.cfg.MaxMembers {
		return fmt.Errorf("p2p: there are %d members, this host takes %d", len(members), h.cfg.MaxMembers)
	}
	numbers, ids := map[int]bool{}, map[peer.ID]bool{}
	for i := range members {
		m := &members[i]
		if m.Number < 0 || numbers[m.Number] || m.ID == "" || ids[m.ID] {
			return fmt.Errorf("p2p: members[%d]: %s (number %d, peer %q) has no number or peer ID, or another's", i, m.Name, m.Number, m.ID)
		}
		numbers[m.Number], ids[m.ID] = true, true
	}
	return nil
}

// member is the number of a peer, or -1.
func (h *Host) member(p peer.ID) int {
	if i, ok := h.peers.Load().index[p]; ok {
		return i
	}
	return -1
}

// nameOf is what a member is called in figures.
func (h *Host) nameOf(member int) string {
	if l := h.peers.Load().link(member); l != nil {
		return l.name
	}
	return "observer"
}

// allows reports whether a peer may connect.
func (h *Host) allows(p peer.ID) bool {
	return h.member(p) >= 0 || slices.Contains(h.cfg.Observers, p)
}
