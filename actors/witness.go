package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

// Restarts of a panicking actor: more than maxRestarts within restartWindow
// stop the node.
const (
	maxRestarts   = 3
	restartWindow = time.Minute
)

// Config is what a Host is made of.
type Config struct {
	Witness witness.Config
	Store   Store
	Network Network
	Clock   Clock
	Logger  *slog.Logger
	Metrics *Metrics
	// Fatal is called once when the node cannot go on: the store failed, an
	// invariant broke, or an actor keeps panicking. The host is still to be
	// closed.
	Fatal func(error)
}

// Host runs the machines of a node.
type Host struct {
	cfg     Config
	system  *actor.ActorSystem
	turns   *dispatcher
	pid     atomic.Pointer[actor.PID]
	live    atomic.Bool // the first life has started
	inbox   *Inbox
	journal *Journal
	gateway *Gateway
	ranges  chan witness.SendRange
	workers sync.WaitGroup
	status  atomic.Pointer[Status]
	fatal   sync.Once
	closing atomic.Bool
}

// Status is where the node's machines stand.
type Status struct {
	// Recovered says that this member knows its own log and may author.
	Recovered bool
	// Stopped says that there is evidence against this member.
	Stopped bool
	Logs    []witness.LogStatus
}

// New returns a host that runs once it is started.
func New(cfg Config) *Host {
	h := &Host{cfg: cfg, ranges: make(chan witness.SendRange, 64)}
	h.status.Store(&Status{})
	h.system = newSystem(cfg.Logger)
	h.inbox = NewInbox(func() {
		// Before it has a process, the actor looks by itself.
		if pid := h.pid.Load(); pid != nil {
			h.system.Root.Send(pid, wake{})
		}
	})
	pending := cfg.Witness.Pace.MaxPending
	if pending == 0 {
		pending = witness.DefaultPace().MaxPending
	}
	h.gateway = NewGateway(cfg.Witness.Committee, pending, h.inbox.Submit)
	return h
}

func newSystem(logger *slog.Logger) *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return logger }))
}

// Start restores the machines from the store and sets them going. An error
// means that what is stored is damaged or does not belong to this member.
func (h *Host) Start() error {
	h.journal = NewJournal(h.cfg.Store,
		func(seq uint64) { h.inbox.Internal(witness.Persisted{Seq: seq}) }, h.stopNode)
	h.workers.Go(h.serveRanges)
	h.turns = newDispatcher()

	started := make(chan error, 1)
	strategy := actor.NewOneForOneStrategy(maxRestarts, restartWindow, func(reason any) actor.Directive {
		h.cfg.Logger.Error("witness actor panicked", "reason", fmt.Sprint(reason))
		return actor.RestartDirective
	})
	props := actor.PropsFromProducer(func() actor.Actor { return &witnessActor{host: h, started: started} },
		actor.WithGuardian(strategy), actor.WithDispatcher(h.turns))
	h.system.Root.Spawn(props)
	return <-started
}

// Gateway takes submissions.
func (h *Host) Gateway() *Gateway { return h.gateway }

// Status is where the machines stood after their last step.
func (h *Host) Status() *Status { return h.status.Load() }

// Dropped is the number of peers' messages that the inbox had no room for.
func (h *Host) Dropped() uint64 { return h.inbox.Dropped() }

// Deliver takes a message of a peer that takes so many bytes. It answers false
// if there is no room for it.
func (h *Host) Deliver(from protocol.MemberID, msg wire.Message, bytes int) bool {
	return h.inbox.Message(witness.Receive{From: from, Msg: msg}, bytes)
}

// PeerUp says that a connection with a member has come up.
func (h *Host) PeerUp(member protocol.MemberID) {
	h.inbox.Internal(witness.PeerUp{Member: member})
}

// Close stops the machines, makes durable what they asked to persist, and
// answers what still waits with ErrClosed.
func (h *Host) Close() error {
	if h.closing.Swap(true) {
		return nil
	}
	var err error
	if pid := h.pid.Load(); pid != nil {
		// The actor may have stopped by itself, after too many restarts.
		if e := h.system.Root.PoisonFuture(pid).Wait(); e != nil && !errors.Is(e, actor.ErrDeadLetter) {
			err = e
		}
	}
	if h.journal != nil {
		h.journal.Close()
	}
	close(h.ranges)
	h.workers.Wait()
	h.gateway.fail(ErrClosed)
	h.system.Shutdown()
	if h.turns != nil {
		h.turns.close()
	}
	return err
}

func (h *Host) stopNode(err error) {
	h.fatal.Do(func() { h.cfg.Fatal(err) })
}

// serveRanges reads what other members ask for, outside of the actor.
func (h *Host) serveRanges() {
	for req := range h.ranges {
		r, err := witness.ReadRange(h.cfg.Store, req.Request, req.Durable, h.cfg.Witness.Params)
		if err != nil {
			h.stopNode(err)
			continue
		}
		h.cfg.Network.Send(req.To, r)
	}
}

// wake tells the actor that its inbox is not empty.
type wake struct{}

// witnessActor is one life of the witness machine.
type witnessActor struct {
	host    *Host
	started chan<- error
	machine *witness.Machine
	buf     []witness.Input
	timer   *time.Timer
	status  Status
	stopped bool
}

// Receive implements actor.Actor.
func (a *witnessActor) Receive(ctx actor.Context) {
	switch msg := ctx.Message().(type) {
	case *actor.Started:
		a.host.pid.Store(ctx.Self())
		err := a.start()
		if first := !a.host.live.Swap(true); first {
			a.started <- err
		} else if err != nil {
			a.fail(err)
		}
	case wake:
		a.drain()
	case *actor.Restarting, *actor.Stopping:
		a.stopTimer()
	case *actor.Stopped:
		err := errors.New("the witness actor kept panicking and was stopped")
		if first := !a.host.live.Swap(true); first {
			a.started <- err
		} else if !a.host.closing.Load() {
			a.host.stopNode(err)
		}
	case func(): // tests
		msg()
	}
}

// start recovers the machine from the store, once all that an earlier life
// asked to persist is durable: only then does the store say what was signed.
func (a *witnessActor) start() error {
	h := a.host
	h.gateway.fail(ErrInterrupted)
	h.journal.Barrier()
	m, err := witness.New(h.cfg.Witness, h.cfg.Store)
	if err != nil {
		a.stopped = true
		return err
	}
	a.machine = m
	a.step(witness.Start{})
	a.drain()
	return nil
}

// drain steps the machine until the inbox is empty.
func (a *witnessActor) drain() {
	for {
		inputs, ok := a.host.inbox.Take(a.buf[:0])
		if !ok {
			return
		}
		a.buf = inputs
		a.step(inputs...)
		clear(a.buf)
	}
}

func (a *witnessActor) step(inputs ...witness.Input) {
	if a.stopped {
		return
	}
	effects, err := a.machine.Step(a.host.cfg.Clock(), inputs...)
	if err != nil {
		a.fail(err)
		return
	}
	for _, e := range effects {
		a.carryOut(e)
	}
	if len(effects) > 0 {
		a.host.status.Store(&Status{
			Recovered: a.status.Recovered, Stopped: a.status.Stopped, Logs: a.machine.Status(),
		})
	}
}

// fail stops the node: the machine is in no state to go on.
func (a *witnessActor) fail(err error) {
	a.stopped = true
	a.stopTimer()
	a.host.stopNode(err)
}

func (a *witnessActor) carryOut(e witness.Effect) {
	h := a.host
	switch e := e.(type) {
	case witness.Persist:
		h.journal.Append(e)
	case witness.Publish:
		h.cfg.Network.Publish(e.Msg)
	case witness.Send:
		h.cfg.Network.Send(e.To, e.Msg)
	case witness.SendRange:
		select {
		case h.ranges <- e:
		default: // the asker will ask again
		}
	case witness.Timer:
		a.setTimer(e.At)
	case witness.Resolved:
		h.cfg.Metrics.resolved(h.cfg.Clock(), e)
		h.gateway.resolved(e)
	case witness.Refused:
		h.gateway.refused(e)
	case witness.Withdrawn:
		h.gateway.withdrawn(e)
	case witness.Certified:
		h.cfg.Metrics.certified(e.Cert)
	case witness.Recovered:
		a.status.Recovered = true
		h.cfg.Logger.Info("recovered: authoring")
	case witness.Accused:
		name := h.cfg.Witness.Committee.Name(e.Evidence.Author)
		a.status.Stopped = a.status.Stopped || e.Evidence.Author == h.cfg.Witness.Self
		h.cfg.Logger.Error("a member signed two histories of its log", "member", name,
			"size", e.Evidence.Low.Size, "other_size", e.Evidence.High.Size)
	case witness.Blame:
		h.cfg.Network.Blame(e.Member, e.Reason)
	}
}

func (a *witnessActor) setTimer(at protocol.Micros) {
	d := time.Duration(at-a.host.cfg.Clock()) * time.Microsecond
	a.stopTimer()
	a.timer = time.AfterFunc(d, func() { a.host.inbox.Internal(witness.Tick{}) })
}

func (a *witnessActor) stopTimer() {
	if a.timer != nil {
		a.timer.Stop()
	}
}

// WaitCertified returns once this node holds a certificate of a log that covers
// a size, or the context ends.
func (h *Host) WaitCertified(ctx context.Context, log protocol.MemberID, size uint64) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if s := h.Status(); int(log) < len(s.Logs) && s.Logs[log].Certified >= size {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Committee is the committee that the machines work for.
func (h *Host) Committee() *quorum.Committee { return h.cfg.Witness.Committee }
