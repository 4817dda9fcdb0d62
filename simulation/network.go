package simulation

import (
	"math"
	"math/rand/v2"

	"github.com/strataos/strataos/protocol"
)

// network carries bytes between members over directed links. Within a link,
// messages keep their order, as streams do, unless a fault reorders them.
type network struct {
	w     *world
	rng   *rand.Rand
	links [][]link
	// busyUntil is when each member's uplink has sent what it was given.
	busyUntil []protocol.Micros
	chance    Chances
	bandwidth float64 // bytes a microsecond of an uplink; 0 for no limit
	jitter    float64
}

// link is one direction between two members.
type link struct {
	base    protocol.Micros // median one-way time
	cuts    int             // faults that cut it now
	slow    float64         // factor of the time; 1 is normal
	lossy   float64         // chance of loss beside the network's own
	arrival protocol.Micros // of the newest message
	stalled bool            // holds back what arrives
	held    []heldMessage
}

// heldMessage is one that a stalled link holds back.
type heldMessage struct {
	sent    protocol.Micros
	deliver func()
	drop    func()
}

// queueLimit is how long, in virtual time, an uplink may be behind before
// messages are dropped.
const queueLimit = 2 * protocol.Second

// maxTransit is how long a message may take. A connection that is slower than
// that breaks, and loses what it carries.
const maxTransit = 10 * protocol.Second

func newNetwork(w *world, s *Scenario) (*network, error) {
	n := s.everMembers()
	where, err := places(s.Network.Profile, n)
	if err != nil {
		return nil, err
	}
	net := &network{
		w: w, rng: newStream(w.seed, streamNetwork), busyUntil: make([]protocol.Micros, n),
		chance: s.Network.Chances, bandwidth: s.Network.BandwidthMbit / 8, jitter: s.Network.Jitter,
	}
	for i := range n {
		row := make([]link, n)
		for j := range row {
			row[j] = link{base: delay(where[i], where[j]), slow: 1}
			if d := protocol.Micros(s.Network.Delay.Micros()); d > 0 {
				row[j].base = d
			}
		}
		net.links = append(net.links, row)
	}
	// Some members' links are worse than others'.
	for _, i := range net.rng.Perm(s.Nodes)[:lossyMembers(s)] {
		for j := range n {
			net.links[i][j].lossy = s.Network.LossyEgress
		}
	}
	return net, nil
}

// lossyMembers is how many members a share of them is: where any are meant to
// lose messages, at least one does, however few there are.
func lossyMembers(s *Scenario) int {
	return int(math.Ceil(s.Network.LossyMembers * float64(s.Nodes)))
}

// send carries a message from one member to another, if nothing prevents it.
func (n *network) send(from, to protocol.MemberID, data []byte) {
	l := &n.links[from][to]
	n.w.stats.sent(from, len(data))
	n.w.trace.note(n.w.sched.now, traceSend, int(from), data, uint64(to))
	if l.cuts > 0 || n.rng.Float64() < n.chance.Loss || n.rng.Float64() < l.lossy {
		n.drop(from, to)
		return
	}
	copies := 1
	if n.rng.Float64() < n.chance.Duplicate {
		copies = 2
		n.w.stats.fault("duplicate")
	}
	for range copies {
		n.carry(from, to, l, data)
	}
}

func (n *network) drop(from, to protocol.MemberID) {
	n.w.stats.fault("loss")
	n.w.trace.note(n.w.sched.now, traceDrop, int(from), nil, uint64(to))
}

func (n *network) carry(from, to protocol.MemberID, l *link, data []byte) {
	now := n.w.sched.now
	leaves := now
	if n.bandwidth > 0 {
		leaves = max(now, n.busyUntil[from]) + protocol.Micros(float64(len(data))/n.bandwidth)
		if leaves-now > queueLimit {
			n.drop(from, to)
			return
		}
		n.busyUntil[from] = leaves
	}
	at := leaves + protocol.Micros(float64(l.base)*l.slow*logNormal(n.rng, n.jitter))
	overtaken := n.rng.Float64() < n.chance.Reorder
	if overtaken {
		n.w.stats.fault("reorder")
		at += exponential(n.rng, 4*l.base+protocol.Millisecond)
	} else {
		at = max(at, l.arrival)
	}
	if at-now > maxTransit {
		n.drop(from, to)
		return
	}
	if !overtaken {
		l.arrival = at
	}
	if n.rng.Float64() < n.chance.Corrupt {
		n.w.stats.fault("corrupt")
		data = append([]byte(nil), data...)
		data[n.rng.IntN(len(data))] ^= 1 << n.rng.IntN(8)
	}
	arrive := func() {
		if l.cuts > 0 {
			n.drop(from, to) // cut while it travelled
			return
		}
		n.w.nodes[to].receive(from, data)
	}
	n.w.sched.at(at, func() {
		if l.stalled {
			l.held = append(l.held, heldMessage{now, arrive, func() { n.drop(from, to) }})
			return
		}
		arrive()
	})
}

// flow ends a link's stall: what it has held back arrives, in its order, unless
// that took so long that the connection has broken.
func (n *network) flow(l *link) {
	held := l.held
	l.stalled, l.held = false, nil
	for _, m := range held {
		if n.w.sched.now-m.sent > maxTransit {
			m.drop()
		} else {
			m.deliver()
		}
	}
}

// cut stops the links that a predicate names, until the answer is called.
func (n *network) cut(which func(from, to int) bool) (heal func()) {
	var cut []*link
	for i := range n.links {
		for j := range n.links[i] {
			if i != j && which(i, j) {
				n.links[i][j].cuts++
				cut = append(cut, &n.links[i][j])
			}
		}
	}
	return func() {
		for _, l := range cut {
			l.cuts--
		}
		n.reconnect()
	}
}

// reconnect tells members of connections that have come up, as a host does,
// some time after the links are back.
func (n *network) reconnect() {
	for i := range n.links {
		for j := range n.links[i] {
			if i == j || max(i, j) >= len(n.w.nodes) || n.links[i][j].cuts > 0 || n.links[j][i].cuts > 0 {
				continue
			}
			n.w.sched.after(between(n.rng, protocol.Millisecond, 300*protocol.Millisecond), func() {
				n.w.nodes[i].peerUp(protocol.MemberID(j))
			})
		}
	}
}

// calm ends what chance does to messages.
func (n *network) calm() {
	n.chance = Chances{}
	for i := range n.links {
		for j := range n.links[i] {
			n.links[i][j].lossy, n.links[i][j].slow = 0, 1
		}
	}
}

// floor is the least time in which a member can have a certificate: the round
// trip to the members that it needs beside itself.
func (n *network) floor(of int, quorum int) protocol.Micros {
	var trips []protocol.Micros
	for j := range n.links {
		if j != of {
			trips = append(trips, n.links[of][j].base+n.links[j][of].base)
		}
	}
	sortMicros(trips)
	if quorum < 2 {
		return 0
	}
	return trips[quorum-2]
}
