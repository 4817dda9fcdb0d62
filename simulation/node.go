package simulation

import (
	"errors"
	"math/rand/v2"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

// Costs of a machine's step in microseconds, as measured on one processor.
const (
	stepCost    = 15
	messageCost = 60
	submitCost  = 8
)

// maxSlow bounds how much slower a disk gets where faults meet on it, so that a
// write ends soon after they do.
const maxSlow = 2_000

// maxMessages bounds a member's inbox, as actors.Inbox does.
const maxMessages = 8_192

// node is one member: a machine and what it is hosted on. It does what package
// actors does for a real one.
type node struct {
	w       *world
	id      protocol.MemberID
	machine *witness.Machine
	disk    disk
	clock   clock
	liar    *liar // nil for an honest member
	rng     *rand.Rand

	up          bool
	life        int // what was meant for an earlier life is lost
	frozenUntil protocol.Micros
	// lostDisk says that the member has forgotten what it voted for: from then
	// on it counts as one of the f.
	lostDisk bool
	// certifiedWhenLost is how much of its log was certified when it last did.
	certifiedWhenLost uint64
	bootedAt          protocol.Micros
	latest            protocol.Micros // the latest time that its clock has shown
	behind            bool            // has not caught up since it booted

	// The inbox, by the order in which a turn takes it.
	internal, messages, submits []witness.Input
	turnDue                     bool
	busyUntil                   protocol.Micros
	timer                       int
	journal                     []witness.Persist
	writing                     bool
}

// boot starts the member from its disk.
func (n *node) boot() {
	n.life++
	n.internal, n.messages, n.submits, n.journal = nil, nil, nil, nil
	n.turnDue, n.writing, n.busyUntil = false, false, 0
	m, err := witness.New(witness.Config{
		Committee: n.w.committee, Params: n.w.params, Self: n.id,
		Signer: n.w.signers[n.id], Seed: n.rng.Uint64(),
	}, &n.disk)
	n.w.trace.note(n.w.sched.now, traceBoot, int(n.id), nil, uint64(n.life))
	if err != nil {
		n.halt(err)
		return
	}
	n.machine, n.up, n.bootedAt, n.behind = m, true, n.w.sched.now, true
	n.w.trace.say(n.w.sched.now, int(n.id), "starts")
	n.post(&n.internal, witness.Start{})
	for i := range n.w.nodes {
		if i != int(n.id) {
			// Its peers notice that it is back, and it that they are there.
			n.w.sched.after(between(n.rng, 5*protocol.Millisecond, 200*protocol.Millisecond), func() {
				n.peerUp(protocol.MemberID(i))
				n.w.nodes[i].peerUp(n.id)
			})
		}
	}
}

// crash stops the member at once.
func (n *node) crash(why string) {
	if !n.up {
		return
	}
	n.w.trace.note(n.w.sched.now, traceCrash, int(n.id), []byte(why))
	n.w.trace.say(n.w.sched.now, int(n.id), "stops: %s", why)
	n.up, n.machine = false, nil
	n.life++
	if err := n.disk.crash(n.rng); err != nil {
		n.w.check.fail("storage", "node-%d: %v", n.id+1, err)
	}
	n.w.load.interrupted(n.id)
}

// halt stops a member that cannot go on, and has its operator do something
// about it some time later.
func (n *node) halt(err error) {
	n.up = true // a failed start is a stop too
	n.crash(err.Error())
	switch {
	case errors.Is(err, errBitRot):
		n.w.sched.after(exponential(n.rng, 2*protocol.Second), func() { n.restart() })
	case errors.Is(err, errDiskFull):
		// The fault frees the space; then somebody starts the node again.
	default:
		n.w.check.fail("machine", "node-%d stops: %v", n.id+1, err)
	}
}

// replaceDisk starts the member with an empty disk.
func (n *node) replaceDisk() {
	n.crash("its disk is replaced")
	n.disk.wipe()
	n.lostDisk, n.certifiedWhenLost = true, n.w.check.newest[n.id]
	n.boot()
}

// post queues an input and sees to it that a turn takes it.
func (n *node) post(queue *[]witness.Input, in witness.Input) {
	if !n.up {
		return
	}
	*queue = append(*queue, in)
	if n.turnDue {
		return
	}
	n.turnDue = true
	life := n.life
	at := max(n.w.sched.now+between(n.rng, 5, 60), n.busyUntil, n.frozenUntil)
	n.w.sched.at(at, func() {
		if n.life == life {
			n.turn()
		}
	})
}

// receive takes bytes from a peer, as package node does.
func (n *node) receive(from protocol.MemberID, data []byte) {
	if !n.up {
		return
	}
	n.w.trace.note(n.w.sched.now, traceDeliver, int(n.id), nil, uint64(from), uint64(len(data)))
	if n.liar != nil {
		n.liar.heard(from, data)
	}
	msg, err := wire.Decode(data, n.w.maxMessage)
	if err != nil {
		n.w.stats.Rejected++
		if n.w.honest(from) && !n.w.corrupting() {
			n.w.check.fail("codec", "node-%d cannot read a message of node-%d: %v", n.id+1, from+1, err)
		}
		return
	}
	if len(n.messages) >= maxMessages {
		n.w.stats.Overflowed++
		return
	}
	n.post(&n.messages, witness.Receive{From: from, Msg: msg})
}

func (n *node) peerUp(peer protocol.MemberID) {
	if n.w.nodes[peer].up {
		n.post(&n.internal, witness.PeerUp{Member: peer})
	}
}

// turn steps the machine with what has gathered.
func (n *node) turn() {
	n.turnDue = false
	if n.frozenUntil > n.w.sched.now {
		n.turnDue = true
		life := n.life
		n.w.sched.at(n.frozenUntil, func() {
			if n.life == life {
				n.turn()
			}
		})
		return
	}
	inputs := append(append(n.internal, n.messages...), n.submits...)
	cost := stepCost + messageCost*len(n.messages) + submitCost*len(n.submits)
	n.internal, n.messages, n.submits = nil, nil, nil
	n.busyUntil = n.w.sched.now + protocol.Micros(cost)
	n.w.trace.note(n.w.sched.now, traceStep, int(n.id), nil, uint64(len(inputs)))
	now := n.clock.read(n.w.sched.now)
	n.latest = max(n.latest, now)
	effects, err := n.machine.Step(now, inputs...)
	if err != nil {
		n.halt(err)
		return
	}
	life := n.life
	for _, e := range effects {
		if n.carryOut(e); n.life != life {
			return
		}
	}
	if err := n.machine.CheckBounds(); err != nil {
		n.w.check.fail("bounds", "node-%d: %v", n.id+1, err)
	}
	n.w.stats.stepped(n)
}

func (n *node) carryOut(e witness.Effect) {
	switch e := e.(type) {
	case witness.Persist:
		n.journal = append(n.journal, e)
		n.write()
	case witness.Publish:
		n.publish(e.Msg)
	case witness.Send:
		n.send(e.Msg, e.To)
	case witness.SendRange:
		n.sendRange(e)
	case witness.Timer:
		n.setTimer(e.At)
	case witness.Resolved:
		n.w.load.resolved(n, e)
	case witness.Refused:
		n.w.load.refused(e.ID, n.id)
	case witness.Withdrawn:
		n.w.load.withdrawn(e, n.id)
	case witness.Certified:
		n.w.check.certified(n, e.Cert)
	case witness.Accused:
		n.w.check.accused(n, e.Evidence)
	case witness.Blame:
		n.w.check.blamed(n, e)
	case witness.Recovered:
		n.w.trace.say(n.w.sched.now, int(n.id), "knows its own log again")
	}
}

func (n *node) publish(msg wire.Message) {
	var all []protocol.MemberID
	for to := range n.w.nodes {
		if to != int(n.id) {
			all = append(all, protocol.MemberID(to))
		}
	}
	n.send(msg, all...)
}

// send sends a message to members, or what a liar makes of it.
func (n *node) send(msg wire.Message, to ...protocol.MemberID) {
	if n.liar != nil {
		n.liar.send(msg, to)
		return
	}
	n.w.check.said(n, msg)
	n.w.send(n.id, msg, to...)
}

// sendRange reads beside the machine, as a real host does.
func (n *node) sendRange(e witness.SendRange) {
	life := n.life
	n.w.sched.after(between(n.rng, 50, 2_000), func() {
		if n.life != life {
			return
		}
		r, err := witness.ReadRange(&n.disk, e.Request, e.Durable, n.w.params)
		if err != nil {
			n.halt(err)
			return
		}
		n.send(r, e.To)
	})
}

func (n *node) setTimer(at protocol.Micros) {
	n.timer++
	timer, life := n.timer, n.life
	n.w.sched.after(n.clock.wait(n.w.sched.now, at), func() {
		if n.life == life && n.timer == timer {
			n.post(&n.internal, witness.Tick{})
		}
	})
}

// write commits what has gathered in the journal, one group at a time.
func (n *node) write() {
	if n.writing || len(n.journal) == 0 {
		return
	}
	group := n.journal
	n.journal, n.writing = nil, true
	var seq uint64
	for _, p := range group {
		if err := n.disk.write(p.Records); err != nil {
			n.halt(err)
			return
		}
		if !p.Lazy {
			seq = p.Seq
		}
	}
	life := n.life
	d := protocol.Micros(20)
	if seq != 0 {
		d = protocol.Micros(float64(n.w.scenario.Disk.Sync.Micros()) * min(n.disk.slow, maxSlow) * logNormal(n.rng, 0.4))
	}
	n.w.sched.at(max(n.w.sched.now+d, n.disk.stalledUntil, n.frozenUntil), func() {
		if n.life == life {
			n.written(seq)
		}
	})
}

// written tells the machine what has become durable. Seq 0 says that nobody
// waits.
func (n *node) written(seq uint64) {
	n.writing = false
	if seq != 0 {
		if err := n.disk.sync(); err != nil {
			n.halt(err)
			return
		}
		n.w.trace.note(n.w.sched.now, traceSync, int(n.id), nil, seq)
		n.post(&n.internal, witness.Persisted{Seq: seq})
	}
	n.write()
}
