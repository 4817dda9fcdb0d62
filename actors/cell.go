package actors

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/machine"
)

// Restarts of a panicking actor: more than maxRestarts within restartWindow
// stop the node.
const (
	maxRestarts   = 3
	restartWindow = time.Minute
)

// stepper is what all machines are.
type stepper[I any] interface {
	Step(now protocol.Micros, inputs ...I) ([]machine.Effect, error)
}

// cell hosts a machine in an actor: it feeds the machine from its inbox and has
// its effects carried out.
type cell[I any] struct {
	name  string
	host  *Host
	owner owner // in the journal
	inbox *Inbox[I]
	// begin makes a new machine from the store.
	begin func() (stepper[I], error)
	// start is the machine's first input, and tick says that its timer is due.
	start, tick I
	// carryOut does what is particular to the machine's effects.
	carryOut func(machine.Effect)
	// recorded is told of what the machine asks to persist, if it is there.
	recorded func([]machine.Record)
	// stepped is called after every step that had effects.
	stepped func(stepper[I])

	pid   atomic.Pointer[actor.PID]
	live  atomic.Bool // the first life has started
	turns *dispatcher
}

// wake tells an actor that its inbox is not empty.
type wake struct{}

func newCell[I any](h *Host, name string, owner owner) *cell[I] {
	c := &cell[I]{name: name, host: h, owner: owner}
	c.inbox = NewInbox[I](func() {
		// Before it has a process, the actor looks by itself.
		if pid := c.pid.Load(); pid != nil {
			h.system.Root.Send(pid, wake{})
		}
	})
	return c
}

// spawn starts the actor. An error is that of its first machine.
func (c *cell[I]) spawn() error {
	c.turns = newDispatcher()
	started := make(chan error, 1)
	strategy := actor.NewOneForOneStrategy(maxRestarts, restartWindow, func(reason any) actor.Directive {
		c.host.cfg.Logger.Error("an actor panicked", "actor", c.name, "reason", fmt.Sprint(reason))
		return actor.RestartDirective
	})
	props := actor.PropsFromProducer(func() actor.Actor { return &life[I]{cell: c, started: started} },
		actor.WithGuardian(strategy), actor.WithDispatcher(c.turns))
	c.host.system.Root.Spawn(props)
	return <-started
}

// poison stops the actor after what it has been sent.
func (c *cell[I]) poison() error {
	pid := c.pid.Swap(nil) // nobody is to wake it any more
	if pid == nil {
		return nil
	}
	// The actor may have stopped by itself, after too many restarts.
	if err := c.host.system.Root.PoisonFuture(pid).Wait(); err != nil && !errors.Is(err, actor.ErrDeadLetter) {
		return err
	}
	return nil
}

// close ends the actor's goroutine, once its system has shut down.
func (c *cell[I]) close() {
	if c.turns != nil {
		c.turns.close()
	}
}

// life is one life of a cell's machine.
type life[I any] struct {
	cell    *cell[I]
	started chan<- error
	machine stepper[I]
	buf     []I
	timer   *time.Timer
	stopped bool
}

// Receive implements actor.Actor.
func (a *life[I]) Receive(ctx actor.Context) {
	c := a.cell
	switch msg := ctx.Message().(type) {
	case *actor.Started:
		c.pid.Store(ctx.Self())
		err := a.start()
		if first := !c.live.Swap(true); first {
			a.started <- err
		} else if err != nil {
			a.fail(err)
		}
	case wake:
		a.drain()
	case *actor.Restarting, *actor.Stopping:
		a.stopTimer()
	case *actor.Stopped:
		err := fmt.Errorf("the %s actor kept panicking and was stopped", c.name)
		if first := !c.live.Swap(true); first {
			a.started <- err
		} else if !c.host.closing.Load() {
			c.host.stopNode(err)
		}
	case func(): // tests
		msg()
	}
}

// start recovers the machine from the store, once all that an earlier life
// asked to persist is durable: only then does the store say what was signed.
func (a *life[I]) start() error {
	a.cell.host.journal.Barrier()
	m, err := a.cell.begin()
	if err != nil {
		a.stopped = true
		return err
	}
	a.machine = m
	a.step(a.cell.start)
	a.drain()
	return nil
}

// drain steps the machine until the inbox is empty.
func (a *life[I]) drain() {
	for {
		inputs, ok := a.cell.inbox.Take(a.buf[:0])
		if !ok {
			return
		}
		a.buf = inputs
		a.step(inputs...)
		clear(a.buf)
	}
}

func (a *life[I]) step(inputs ...I) {
	if a.stopped {
		return
	}
	effects, err := a.machine.Step(a.cell.host.cfg.Clock(), inputs...)
	if err != nil {
		a.fail(err)
		return
	}
	for _, e := range effects {
		a.carryOut(e)
	}
	if len(effects) > 0 {
		a.cell.stepped(a.machine)
	}
}

// fail stops the node: the machine is in no state to go on.
func (a *life[I]) fail(err error) {
	a.stopped = true
	a.stopTimer()
	a.cell.host.stopNode(fmt.Errorf("%s: %w", a.cell.name, err))
}

// carryOut does what an effect asks for: those that all machines share here,
// the others as the cell says.
func (a *life[I]) carryOut(e machine.Effect) {
	h := a.cell.host
	switch e := e.(type) {
	case machine.Persist:
		if a.cell.recorded != nil {
			a.cell.recorded(e.Records)
		}
		h.journal.Append(a.cell.owner, e)
	case machine.Publish:
		h.cfg.Network.Publish(e.Msg)
	case machine.Send:
		h.cfg.Network.Send(e.To, e.Msg)
	case machine.Timer:
		a.setTimer(e.At)
	case machine.Blame:
		h.cfg.Network.Blame(e.Member, e.Reason)
	default:
		a.cell.carryOut(e)
	}
}

func (a *life[I]) setTimer(at protocol.Micros) {
	d := time.Duration(at-a.cell.host.cfg.Clock()) * time.Microsecond
	a.stopTimer()
	c := a.cell
	a.timer = time.AfterFunc(d, func() { c.inbox.Internal(c.tick) })
}

func (a *life[I]) stopTimer() {
	if a.timer != nil {
		a.timer.Stop()
	}
}
