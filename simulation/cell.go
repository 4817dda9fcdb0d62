package simulation

import (
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/machine"
)

// Costs of a machine's step in microseconds, as measured on one processor.
const (
	stepCost    = 15
	messageCost = 60
	submitCost  = 8
)

// maxMessages bounds a machine's inbox, as actors.Inbox does.
const maxMessages = 8_192

// cell hosts one machine of a member, as package actors does for a real one:
// what comes gathers in its inbox until a turn takes it. The machines of a
// member take their turns independently of each other, when the seed says.
type cell[I any] struct {
	n    *node
	name uint64 // in the trace
	tick I
	// step steps the machine, and carryOut does what is particular to its effects.
	step        func(now protocol.Micros, inputs ...I) ([]machine.Effect, error)
	checkBounds func() error
	carryOut    func(machine.Effect)

	// The inbox, by the order in which a turn takes it.
	internal, messages, submits []I
	turnDue                     bool
	turns                       int
	busyUntil                   protocol.Micros
	timer                       int
}

// reset forgets what was meant for an earlier life.
func (c *cell[I]) reset() {
	c.internal, c.messages, c.submits = nil, nil, nil
	c.turnDue, c.busyUntil = false, 0
	c.timer++
}

// post queues an input and sees to it that a turn takes it.
func (c *cell[I]) post(queue *[]I, in I) {
	n := c.n
	if !n.up {
		return
	}
	*queue = append(*queue, in)
	if c.turnDue {
		return
	}
	c.turnDue = true
	c.turnAt(max(n.w.sched.now+between(n.rng, 5, 60), c.busyUntil, n.frozenUntil))
}

// receive queues a message of a peer.
func (c *cell[I]) receive(in I) {
	if len(c.messages) >= maxMessages {
		c.n.w.stats.Overflowed++
		return
	}
	c.post(&c.messages, in)
}

func (c *cell[I]) turnAt(at protocol.Micros) {
	c.turns++
	life, turn := c.n.life, c.turns
	c.n.w.sched.at(at, func() {
		if c.n.life == life && c.turns == turn {
			c.turn()
		}
	})
}

// goOn takes the turn that a pause has held up.
func (c *cell[I]) goOn() {
	if c.n.up && c.turnDue {
		c.turnAt(max(c.n.w.sched.now, c.busyUntil))
	}
}

// turn steps the machine with what has gathered.
func (c *cell[I]) turn() {
	n := c.n
	if n.frozenUntil > n.w.sched.now {
		c.turnAt(n.frozenUntil)
		return
	}
	c.turnDue = false
	inputs := append(append(c.internal, c.messages...), c.submits...)
	cost := stepCost + messageCost*len(c.messages) + submitCost*len(c.submits)
	c.internal, c.messages, c.submits = nil, nil, nil
	c.busyUntil = n.w.sched.now + protocol.Micros(cost)
	n.w.trace.note(n.w.sched.now, traceStep, int(n.id), nil, c.name, uint64(len(inputs)))
	now := n.clock.read(n.w.sched.now)
	n.latest = max(n.latest, now)
	n.entered, _ = n.machine.Epoch()
	effects, err := c.step(now, inputs...)
	if err != nil {
		n.halt(err)
		return
	}
	life := n.life
	for _, e := range effects {
		if c.carry(e); n.life != life {
			return
		}
	}
	if err := c.checkBounds(); err != nil {
		n.w.check.fail("bounds", "node-%d: %v", n.id+1, err)
	}
	n.w.stats.stepped(n)
}

// carry does what an effect asks for.
func (c *cell[I]) carry(e machine.Effect) {
	n := c.n
	switch e := e.(type) {
	case machine.Persist:
		if c.name == nameChronos {
			n.w.check.turned(n, e.Records)
		}
		n.journal = append(n.journal, entry{e, func(seq uint64) { n.persisted(c.name, seq) }})
		n.write()
	case machine.Publish:
		n.publish(e.Msg)
	case machine.Send:
		n.send(e.Msg, e.To)
	case machine.Timer:
		c.setTimer(e.At)
	case machine.Blame:
		n.w.check.blamed(n, e)
	default:
		c.carryOut(e)
	}
}

func (c *cell[I]) setTimer(at protocol.Micros) {
	c.timer++
	n, timer, life := c.n, c.timer, c.n.life
	n.w.sched.after(n.clock.wait(n.w.sched.now, at), func() {
		if n.life == life && c.timer == timer {
			c.post(&c.internal, c.tick)
		}
	})
}
