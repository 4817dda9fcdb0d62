package actors

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/witness"
)

// Errors of Gateway.Attest beside TimeoutError. After all but ErrInterrupted
// the event is definitely not in the log.
var (
	// ErrOverloaded: as many submissions wait as are admitted.
	ErrOverloaded = errors.New("too many events are waiting to be certified")
	// ErrLogStopped: this member's log was stopped by evidence against it.
	ErrLogStopped = errors.New("this node's log was stopped: there is evidence that its key signed two histories")
	// ErrInterrupted: the node lost track of the submission in a failure of
	// its own. The event may be in the log.
	ErrInterrupted = errors.New("the node was interrupted while the event was under way")
	// ErrClosed: the node is stopping.
	ErrClosed = errors.New("the node is stopping")
)

// TimeoutError says that the context ended before the quorum was reached.
type TimeoutError struct {
	// InLog says that the event is in the log and may still be certified. If
	// not, it never will be.
	InLog bool
	// Signers are the members that had cosigned the event, or, where it is not
	// in the log, the batch that it waited behind.
	Signers []protocol.MemberID
}

// Error implements error.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("the quorum was not reached in time: %d members have cosigned", len(e.Signers))
}

// Submission is an event to attest.
type Submission struct {
	Kind      protocol.Kind
	Event     protocol.Event
	Need      int // cosignatures asked for; less than a quorum means a quorum
	Attestors []protocol.MemberID
	// At, if not 0, says where in this node's log the event is already: then
	// its cosignatures are waited for again.
	At uint64
}

// Outcome is a certified entry.
type Outcome struct {
	Entry      protocol.Entry
	Index      uint64
	Cert       *quorum.Certificate
	Checkpoint *proof.Checkpoint
	// Tree is the log at the certified size or a larger one; it proves the
	// entry if its base does not lie behind Index.
	Tree *merkle.View
}

// Gateway admits submissions and carries back their outcomes.
type Gateway struct {
	submit    func(witness.Input)
	committee *quorum.Committee
	limit     int

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan result
	closed  bool
}

type result struct {
	outcome *Outcome
	err     error
}

// NewGateway returns a gateway that admits at most limit submissions at once
// and hands them to submit.
func NewGateway(c *quorum.Committee, limit int, submit func(witness.Input)) *Gateway {
	return &Gateway{submit: submit, committee: c, limit: limit, waiting: map[uint64]chan result{}}
}

// Attest submits an event and waits until it is certified as asked for, or the
// context ends. Then it learns whether the event is in the log; that takes no
// time worth mentioning, since it is this node's own machine that knows.
func (g *Gateway) Attest(ctx context.Context, s Submission) (*Outcome, error) {
	id, answer, err := g.admit()
	if err != nil {
		return nil, err
	}
	g.submit(witness.Submit{
		ID: id, Kind: s.Kind, Body: s.Event.Canonical, Hash: s.Event.Hash,
		Need: s.Need, Attestors: s.Attestors, At: s.At,
	})
	select {
	case r := <-answer:
		return r.outcome, r.err
	case <-ctx.Done():
		g.submit(witness.Withdraw{ID: id})
		r := <-answer
		return r.outcome, r.err
	}
}

func (g *Gateway) admit() (uint64, chan result, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return 0, nil, ErrClosed
	case len(g.waiting) >= g.limit:
		return 0, nil, ErrOverloaded
	}
	g.next++
	answer := make(chan result, 1)
	g.waiting[g.next] = answer
	return g.next, answer, nil
}

// Waiting is the number of submissions without an outcome.
func (g *Gateway) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// settle answers a submission, if it still waits.
func (g *Gateway) settle(id uint64, r result) {
	g.mu.Lock()
	answer, ok := g.waiting[id]
	delete(g.waiting, id)
	g.mu.Unlock()
	if ok {
		answer <- r
	}
}

// resolved answers the submissions that a certificate covers.
func (g *Gateway) resolved(e witness.Resolved) {
	checkpoint := proof.NewCheckpoint(g.committee, e.Cert)
	for _, it := range e.Items {
		g.settle(it.ID, result{outcome: &Outcome{
			Entry: it.Entry, Index: it.Index, Cert: e.Cert, Checkpoint: checkpoint, Tree: &e.Tree,
		}})
	}
}

func (g *Gateway) refused(e witness.Refused) {
	err := ErrOverloaded
	if e.Reason == witness.LogStopped {
		err = ErrLogStopped
	}
	g.settle(e.ID, result{err: err})
}

func (g *Gateway) withdrawn(e witness.Withdrawn) {
	g.settle(e.ID, result{err: &TimeoutError{InLog: e.InLog, Signers: e.Signers}})
}

// fail answers everything that waits with an error.
func (g *Gateway) fail(err error) {
	g.mu.Lock()
	waiting := g.waiting
	g.waiting = map[uint64]chan result{}
	g.closed = g.closed || errors.Is(err, ErrClosed)
	g.mu.Unlock()
	for _, answer := range waiting {
		answer <- result{err: err}
	}
}
