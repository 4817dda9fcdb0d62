package actors

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

// Config is what a Host is made of.
type Config struct {
	// Witness and Chronos say nothing of epochs, nor who this member is: the host
	// takes that from the store and the signer.
	Witness witness.Config
	Chronos chronos.Config
	Store   Store
	Network Network
	Clock   Clock
	Logger  *slog.Logger
	Metrics *Metrics
	// Fatal is called once when the node cannot go on: the store failed, an
	// invariant broke, or an actor keeps panicking. The host is still to be
	// closed.
	Fatal func(error)
	// Begun, if it is not nil, is told of each epoch that begins, in their order. It
	// must not block.
	Begun func(*Standing)
	// Consult asks how this member votes on a proposal; see Vote. It must not
	// block. Nil leaves all votes to Gateway.
	Consult func(protocol.Proposal)
}

// Host runs the machines of a node.
type Host struct {
	cfg      Config
	standing atomic.Pointer[Standing]
	system   *actor.ActorSystem
	witness  *cell[witness.Input]
	chronos  *cell[chronos.Input]
	accord   *cell[accord.Input]
	running  context.Context // until the host is closed
	stop     context.CancelFunc
	journal  *Journal
	gateway  *Gateway
	ranges   chan witness.SendRange
	workers  sync.WaitGroup
	status   atomic.Pointer[Status]
	order    atomic.Pointer[chronos.Status]
	written  signal // what a journal's write has made visible
	fatal    sync.Once
	closing  atomic.Bool

	// Of the witness actor alone.
	recovered, accused bool
	// Of the chronos actor alone.
	alarmedAt protocol.Micros
}

// Status is where the node's logs stand.
type Status struct {
	// Recovered says that this member knows its own log.
	Recovered bool
	// Ready says that it may author, too: that it has been told what it has to know
	// to vote in its epoch.
	Ready bool
	// Stopped says that there is evidence against this member.
	Stopped bool
	Logs    []witness.LogStatus
}

// New returns a host that runs once it is started.
func New(cfg Config) *Host {
	h := &Host{cfg: cfg, ranges: make(chan witness.SendRange, 64)}
	h.stand(cfg.Store.Epochs())
	h.status.Store(&Status{})
	h.order.Store(&chronos.Status{})
	h.system = newSystem(cfg.Logger)
	h.witness = h.newWitness()
	h.chronos = h.newChronos()
	h.accord = h.newAccord()
	h.running, h.stop = context.WithCancel(context.Background())
	pending := cfg.Witness.Pace.MaxPending
	if pending == 0 {
		pending = witness.DefaultPace().MaxPending
	}
	h.gateway = NewGateway(h.Standing, pending, h.witness.inbox.Submit)
	return h
}

func newSystem(logger *slog.Logger) *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return logger }))
}

// Start restores the machines from the store and sets them going. An error
// means that what is stored is damaged or does not belong to this member.
func (h *Host) Start() error {
	h.journal = NewJournal(h.cfg.Store, [owners]func(uint64){
		ownerWitness: func(seq uint64) { h.witness.inbox.Internal(witness.Persisted{Seq: seq}) },
		ownerChronos: func(seq uint64) { h.chronos.inbox.Internal(chronos.Persisted{Seq: seq}) },
	}, h.written.raise, h.stopNode)
	h.workers.Go(h.serveRanges)
	if err := h.witness.spawn(); err != nil {
		return err
	}
	if err := h.chronos.spawn(); err != nil {
		return err
	}
	return h.accord.spawn()
}

// Gateway takes submissions.
func (h *Host) Gateway() *Gateway { return h.gateway }

// Status is where the logs stood after the witness machine's last step.
func (h *Host) Status() *Status { return h.status.Load() }

// Order is where the order and the ledger stood after the chronos machine's
// last step.
func (h *Host) Order() *chronos.Status { return h.order.Load() }

// Dropped is the number of peers' messages that there was no room for.
func (h *Host) Dropped() uint64 { return h.witness.inbox.Dropped() + h.chronos.inbox.Dropped() }

// Deliver takes a message of a peer that takes so many bytes. It answers false
// if there is no room for it.
func (h *Host) Deliver(from protocol.MemberID, msg wire.Message, bytes int) bool {
	if head, ok := msg.(*wire.LedgerHead); ok {
		return h.chronos.inbox.Message(chronos.Receive{From: from, Msg: head}, bytes)
	}
	return h.witness.inbox.Message(witness.Receive{From: from, Msg: msg}, bytes)
}

// PeerUp says that a connection with a member has come up.
func (h *Host) PeerUp(member protocol.MemberID) {
	h.witness.inbox.Internal(witness.PeerUp{Member: member})
	h.chronos.inbox.Internal(chronos.PeerUp{Member: member})
}

// Close stops the machines, makes durable what they asked to persist, and
// answers what still waits with ErrClosed.
func (h *Host) Close() error {
	if h.closing.Swap(true) {
		return nil
	}
	h.stop()
	err := errors.Join(h.witness.poison(), h.chronos.poison(), h.accord.poison())
	if h.journal != nil {
		h.journal.Close()
	}
	close(h.ranges)
	h.gateway.fail(ErrClosed)
	h.workers.Wait()
	h.system.Shutdown()
	h.witness.close()
	h.chronos.close()
	h.accord.close()
	return err
}

func (h *Host) stopNode(err error) {
	h.fatal.Do(func() { h.cfg.Fatal(err) })
}

// serveRanges reads what other members ask for, outside of the actor.
func (h *Host) serveRanges() {
	for req := range h.ranges {
		r, err := witness.ReadRange(h.cfg.Store, req.Request, req.Durable, h.Committee().Params())
		if err != nil {
			h.stopNode(err)
			continue
		}
		h.cfg.Network.Send(req.To, r)
	}
}

// Wait returns once the condition holds, which is looked at whenever something
// has been stored, or the context ends.
func (h *Host) Wait(ctx context.Context, condition func() bool) error {
	return h.written.wait(ctx, condition)
}
