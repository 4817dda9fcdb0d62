package simulation

import (
	"errors"
	"math/rand/v2"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

// maxSlow bounds how much slower a disk gets where faults meet on it, so that a
// write ends soon after they do.
const maxSlow = 2_000

// node is one member: its machines and what they are hosted on. It does what
// package actors does for a real one.
type node struct {
	w       *world
	id      protocol.MemberID
	machine *witness.Machine
	order   *chronos.Machine
	voter   *accord.Machine
	disk    disk
	clock   clock
	liar    *liar // nil for an honest member
	rng     *rand.Rand

	// epochs are those that the node has come to.
	epochs *quorum.Epochs
	// handedOver is the newest epoch that it knows enough of to vote in.
	handedOver uint64
	// entered is the epoch of its witness machine before the present turn.
	entered uint64
	// reach is how long the ledger is that it has asked to persist.
	reach uint64
	// gone says that it is shut down for good.
	gone bool

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
	ordered           uint64          // entries of the ledger that it has told of in this life
	behind            bool            // has not caught up since it booted

	witness cell[witness.Input]
	chronos cell[chronos.Input]
	accord  cell[accord.Input]
	journal []entry
	writing bool
	stuck   func() // the end of a write that a stall holds up
}

// The names of the machines.
const (
	nameWitness uint64 = iota
	nameChronos
	nameAccord
)

// entry is a Persist in the journal, and who is told that it is durable.
type entry struct {
	machine.Persist
	done func(seq uint64)
}

// wire joins the machines of a member.
func (n *node) wire() {
	n.witness = cell[witness.Input]{
		n: n, name: nameWitness, tick: witness.Tick{}, carryOut: n.carryOutWitness,
		step: func(now protocol.Micros, in ...witness.Input) ([]machine.Effect, error) {
			return n.machine.Step(now, in...)
		},
		checkBounds: func() error { return n.machine.CheckBounds() },
	}
	n.chronos = cell[chronos.Input]{
		n: n, name: nameChronos, tick: chronos.Tick{}, carryOut: n.carryOutChronos,
		step: func(now protocol.Micros, in ...chronos.Input) ([]machine.Effect, error) {
			return n.order.Step(now, in...)
		},
		checkBounds: func() error { return n.order.CheckBounds() },
	}
	n.accord = cell[accord.Input]{
		n: n, name: nameAccord, tick: accord.Tick{}, carryOut: n.carryOutAccord,
		step: func(now protocol.Micros, in ...accord.Input) ([]machine.Effect, error) {
			return n.voter.Step(now, in...)
		},
		checkBounds: func() error { return n.voter.CheckBounds() },
	}
}

// boot starts the member from its disk.
func (n *node) boot() {
	n.life++
	n.journal, n.writing, n.stuck = nil, false, nil
	n.witness.reset()
	n.chronos.reset()
	n.accord.reset()
	open, err := n.start()
	n.w.trace.note(n.w.sched.now, traceBoot, int(n.id), nil, uint64(n.life))
	if err != nil {
		n.halt(err)
		return
	}
	n.up, n.bootedAt, n.behind, n.ordered = true, n.w.sched.now, true, 0
	n.w.check.booted(n)
	n.w.trace.say(n.w.sched.now, int(n.id), "starts")
	n.entered, _ = n.machine.Epoch()
	n.reach = n.order.Status().Size
	n.witness.post(&n.witness.internal, witness.Start{})
	n.chronos.post(&n.chronos.internal, chronos.Start{})
	n.accord.post(&n.accord.internal, accord.Start{Open: open})
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

// start makes the member's machines from its disk, and reads what is open there.
func (n *node) start() (open []accord.Case, err error) {
	if n.epochs, err = n.storedEpochs(); err != nil {
		return nil, err
	}
	if handover, _, err := n.disk.Handover(); err != nil {
		return nil, err
	} else {
		n.handedOver = handover.Epoch
	}
	n.machine, err = witness.New(witness.Config{
		Epochs: n.epochs, Self: n.self(),
		Signer: n.w.signers[n.id], Seed: n.rng.Uint64(),
	}, &n.disk)
	if err != nil {
		return nil, err
	}
	n.order, err = chronos.New(chronos.Config{
		Epochs: n.epochs, Self: n.self(),
		Signer: n.w.signers[n.id], Seed: n.rng.Uint64(),
	}, &n.disk)
	if err != nil {
		return nil, err
	}
	n.voter = accord.New(accord.Config{Name: n.w.committee.Name(n.id), NameOf: n.w.committee.Name})
	return n.disk.OpenCases()
}

// crash stops the member at once.
func (n *node) crash(why string) {
	if !n.up {
		return
	}
	n.w.trace.note(n.w.sched.now, traceCrash, int(n.id), []byte(why))
	n.w.trace.say(n.w.sched.now, int(n.id), "stops: %s", why)
	n.up, n.machine, n.order, n.voter = false, nil, nil, nil
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
	n.forget()
	n.boot()
}

// forget empties the member's disk. From then on it may not sign another history
// of what was certified of its log by now.
func (n *node) forget() {
	n.disk.wipe()
	n.lostDisk, n.certifiedWhenLost = true, n.w.check.newest[n.id]
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
	msg, err := n.w.decoded.read(data, n.w.maxMessage)
	if err != nil {
		n.w.stats.Rejected++
		if n.w.honest(from) && !n.w.corrupting() {
			n.w.check.fail("codec", "node-%d cannot read a message of node-%d: %v", n.id+1, from+1, err)
		}
		return
	}
	if head, ok := msg.(*wire.LedgerHead); ok {
		n.chronos.receive(chronos.Receive{From: from, Msg: head})
		return
	}
	n.witness.receive(witness.Receive{From: from, Msg: msg})
}

func (n *node) peerUp(peer protocol.MemberID) {
	if n.w.nodes[peer].up && n.standing().Known(peer) {
		n.witness.post(&n.witness.internal, witness.PeerUp{Member: peer})
		n.chronos.post(&n.chronos.internal, chronos.PeerUp{Member: peer})
	}
}

func (n *node) carryOutWitness(e machine.Effect) {
	switch e := e.(type) {
	case witness.SendRange:
		n.sendRange(e)
	case witness.Extended:
		n.chronos.post(&n.chronos.internal, chronos.Extended{Batches: e.Batches})
		if acts := accord.Acting(e.Batches); len(acts) > 0 {
			n.accord.post(&n.accord.internal, accord.Extended{Batches: acts})
		}
	case witness.Heard:
		n.chronos.post(&n.chronos.internal, chronos.Heard(e))
	case witness.Advanced:
		if n.liar == nil || !n.liar.does["rounds"] { // its order would believe it
			n.chronos.post(&n.chronos.internal, chronos.Advanced(e))
		}
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
	case witness.HandedOver:
		n.handedOver = e.Epoch
		n.w.trace.say(n.w.sched.now, int(n.id), "is handed over epoch %d", e.Epoch)
	case witness.Recovered:
		n.w.trace.say(n.w.sched.now, int(n.id), "knows its own log again")
	}
}

func (n *node) carryOutChronos(e machine.Effect) {
	switch e := e.(type) {
	case chronos.Advance:
		if n.liar != nil && (n.liar.does["hide-parents"] || !n.liar.misguide(&e)) {
			return
		}
		n.witness.post(&n.witness.internal, witness.Advance(e))
	case chronos.Ordered:
		n.w.check.ordered(n, e)
		n.w.load.ordered(n, e)
		if e.Settles() {
			n.accord.post(&n.accord.internal, accord.Settled{Changes: e.Changes, Seen: e.Seen})
			n.w.council.settled(n, e.Changes)
		}
	case chronos.EpochBegun:
		n.begin(e.Committee)
	case chronos.Checkpointed:
		n.w.check.checkpointed(n, e.Cert)
	case chronos.Alarm:
		n.w.check.alarmed(n, e)
	case chronos.Halted:
		n.w.check.haltedLedger(n, e)
	}
}

func (n *node) carryOutAccord(e machine.Effect) {
	switch e := e.(type) {
	case accord.Consult:
		n.w.council.consulted(n, e.Proposal)
	case accord.Cast:
		n.w.council.cast(n, e)
	}
}

// persisted tells a machine what has become durable.
func (n *node) persisted(name, seq uint64) {
	if name == nameWitness {
		n.witness.post(&n.witness.internal, witness.Persisted{Seq: seq})
	} else {
		n.chronos.post(&n.chronos.internal, chronos.Persisted{Seq: seq})
	}
}

func (n *node) publish(msg wire.Message) {
	var all []protocol.MemberID
	for to := range n.standing().Logs() {
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
		r, err := witness.ReadRange(&n.disk, e.Request, e.Durable, n.standing().Params())
		if err != nil {
			n.halt(err)
			return
		}
		n.send(r, e.To)
	})
}

// write commits what has gathered in the journal, one group at a time.
func (n *node) write() {
	if n.writing || len(n.journal) == 0 {
		return
	}
	group := n.journal
	n.journal, n.writing = nil, true
	var sync []func()
	for _, p := range group {
		n.w.decoded.share(p.Records)
		if err := n.disk.write(p.Records); err != nil {
			n.halt(err)
			return
		}
		if !p.Lazy {
			sync = append(sync, func() { p.done(p.Seq) })
		}
	}
	life := n.life
	d := protocol.Micros(20)
	if len(sync) > 0 {
		d = protocol.Micros(float64(n.w.scenario.Disk.Sync.Micros()) * min(n.disk.slow, maxSlow) * logNormal(n.rng, 0.4))
	}
	// What stalls it may end before it was to, or another stall may come.
	var end func()
	end = func() {
		switch late := max(n.disk.stalledUntil, n.frozenUntil); {
		case n.life != life:
		case late > n.w.sched.now:
			n.stuck = end
			n.w.sched.at(late, func() { n.unstick(life) })
		default:
			n.written(sync)
		}
	}
	n.w.sched.after(d, end)
}

// unstick lets a write go on that waits for the end of a stall.
func (n *node) unstick(life int) {
	if end := n.stuck; end != nil && n.life == life {
		n.stuck = nil
		end()
	}
}

// goOn has a member go on after a pause of its process or its disk.
func (n *node) goOn() {
	n.witness.goOn()
	n.chronos.goOn()
	n.accord.goOn()
	n.unstick(n.life)
}

// written tells the machines what has become durable, if one of them waits.
func (n *node) written(sync []func()) {
	n.writing = false
	if len(sync) > 0 {
		if err := n.disk.sync(); err != nil {
			n.halt(err)
			return
		}
		n.w.trace.note(n.w.sched.now, traceSync, int(n.id), nil, uint64(len(sync)))
		for _, done := range sync {
			done()
		}
	}
	n.write()
}
