package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/witness"
)

// Errors of Gateway.Submit beside TimeoutError and OrderError. After all but ErrInterrupted
// the entry is definitely not in the log.
var (
	// ErrOverloaded: as many submissions wait as are admitted.
	ErrOverloaded = errors.New("too much is waiting to be certified")
	// ErrLogStopped: this member's log was stopped by evidence against it.
	ErrLogStopped = errors.New("this node's log was stopped: there is evidence that its key signed two histories")
	// ErrNotMember: this node is no member, or not any more.
	ErrNotMember = errors.New("this node is not a member of the network")
	// ErrTooLarge: the network's parameters have changed, and allow no entry as
	// large.
	ErrTooLarge = errors.New("the entry is larger than the network allows")
	// ErrInterrupted: the node lost track of the submission in a failure of
	// its own. The entry may be in the log.
	ErrInterrupted = errors.New("the node was interrupted while the entry was under way")
	// ErrClosed: the node is stopping.
	ErrClosed = errors.New("the node is stopping")
)

// TimeoutError says that the context ended before the quorum was reached.
type TimeoutError struct {
	// InLog says that the entry is in the log and may still be certified. If
	// not, it never will be.
	InLog bool
	// Signers are the members that had cosigned the entry, or, where it is not
	// in the log, the batch that it waited behind.
	Signers []protocol.MemberID
}

// Error implements error.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("the quorum was not reached in time: %d members have cosigned", len(e.Signers))
}

// OrderError says that the context ended before a certified entry was ordered.
// It will be.
type OrderError struct{ Outcome *Outcome }

// Error implements error.
func (e *OrderError) Error() string { return "the entry is certified, and was not ordered in time" }

// ErrBehind: this node has not seen, in time, what the submission was to come
// after.
var ErrBehind = errors.New("this node has not seen in time what the request was to come after")

// Submission is something to put on record.
type Submission struct {
	Kind      protocol.Kind
	Body      []byte        // in canonical form
	Hash      protocol.Hash // the body's
	TTL       uint32        // seconds for which the body is kept; 0 means forever
	Need      int           // cosignatures asked for; less than a quorum means a quorum
	Attestors []protocol.MemberID
	// After are the parts of logs that must be in the entry's past.
	After []protocol.Seen
	// Ordered asks to wait until the entry has its place in the ledger.
	Ordered bool
	// At, if not 0, says where in this node's log the event is already: then
	// its cosignatures are waited for again.
	At uint64
}

// Outcome is a certified entry.
type Outcome struct {
	Entry protocol.Entry
	Index uint64
	// Batch is where the entry's batch ends.
	Batch      uint64
	Cert       *quorum.Certificate
	Checkpoint *proof.Checkpoint
	// Tree is the log at the certified size or a larger one; it proves the
	// entry if its base does not lie behind Index.
	Tree *merkle.View
	// Position is the entry's place in the ledger, where Ordered says that it
	// has one.
	Position uint64
	Ordered  bool
}

// Gateway admits submissions and carries back their outcomes.
type Gateway struct {
	submit   func(witness.Input)
	standing func() *Standing
	limit    int

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]*waiter
	byIndex map[uint64][]uint64 // who waits for a place in the ledger, by leaf
	recent  []place             // of this node's own entries, in their order
	closed  bool
}

// waiter is a submission without an outcome.
type waiter struct {
	answer  chan result
	ordered bool
	outcome *Outcome // certified, and waits to be ordered
	givenUp bool
}

// place is where entries of this node's own log stand in the ledger.
type place struct {
	first, count uint64 // leaves
	position     uint64
}

// maxRecent bounds the places that are remembered for who asks a little later.
const maxRecent = 1024

type result struct {
	outcome *Outcome
	err     error
}

// NewGateway returns a gateway that admits at most limit submissions at once
// and hands them to submit.
func NewGateway(standing func() *Standing, limit int, submit func(witness.Input)) *Gateway {
	return &Gateway{
		submit: submit, standing: standing, limit: limit,
		waiting: map[uint64]*waiter{}, byIndex: map[uint64][]uint64{},
	}
}

// Submit puts something on record and waits until it is certified as asked for
// and, if asked for, ordered, or the context ends. Then it learns whether the
// entry is in the log; that takes no time worth mentioning, since it is this
// node's own machine that knows.
func (g *Gateway) Submit(ctx context.Context, s Submission) (*Outcome, error) {
	id, w, err := g.admit(s.Ordered)
	if err != nil {
		return nil, err
	}
	g.submit(witness.Submit{
		ID: id, Kind: s.Kind, Body: s.Body, Hash: s.Hash, TTL: s.TTL,
		Need: s.Need, Attestors: s.Attestors, After: s.After, At: s.At,
	})
	select {
	case r := <-w.answer:
		return r.outcome, r.err
	case <-ctx.Done():
		if g.giveUp(id) {
			g.submit(witness.Withdraw{ID: id})
		}
		r := <-w.answer
		return r.outcome, r.err
	}
}

func (g *Gateway) admit(ordered bool) (uint64, *waiter, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return 0, nil, ErrClosed
	case len(g.waiting) >= g.limit:
		return 0, nil, ErrOverloaded
	}
	g.next++
	w := &waiter{answer: make(chan result, 1), ordered: ordered}
	g.waiting[g.next] = w
	return g.next, w, nil
}

// giveUp answers a submission that waits to be ordered. For one that is not
// certified it answers true: the machine knows what becomes of it.
func (g *Gateway) giveUp(id uint64) bool {
	g.mu.Lock()
	w := g.waiting[id]
	if w == nil {
		g.mu.Unlock()
		return false
	}
	w.givenUp = true
	out := w.outcome
	g.mu.Unlock()
	if out != nil {
		g.settle(id, result{err: &OrderError{out}})
	}
	return out == nil
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
	w := g.waiting[id]
	delete(g.waiting, id)
	if w != nil && w.outcome != nil {
		g.forget(w.outcome.Index, id)
	}
	g.mu.Unlock()
	if w != nil {
		w.answer <- r
	}
}

// forget removes who waits for the place of a leaf. The lock is held.
func (g *Gateway) forget(leaf, id uint64) {
	rest := slices.DeleteFunc(g.byIndex[leaf], func(other uint64) bool { return other == id })
	if len(rest) == 0 {
		delete(g.byIndex, leaf)
		return
	}
	g.byIndex[leaf] = rest
}

// resolved answers the submissions that a certificate covers, but for those
// that wait to be ordered.
func (g *Gateway) resolved(e witness.Resolved) {
	committee, _ := g.standing().Epochs.At(e.Cert.Epoch())
	checkpoint := proof.NewCheckpoint(committee, e.Cert).SignedBy(committee.Verifier(e.Cert.Log()), e.Signature)
	for _, it := range e.Items {
		out := &Outcome{
			Entry: it.Entry, Index: it.Index, Batch: e.Batch.Size,
			Cert: e.Cert, Checkpoint: checkpoint, Tree: &e.Tree,
		}
		if r, ok := g.certified(it.ID, out); ok {
			g.settle(it.ID, r)
		}
	}
}

// certified returns the answer to a submission that is certified now, and false
// if it waits to be ordered.
func (g *Gateway) certified(id uint64, out *Outcome) (result, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.waiting[id]
	if w == nil || !w.ordered {
		return result{outcome: out}, true
	}
	for i := len(g.recent) - 1; i >= 0; i-- {
		if p := g.recent[i]; out.Index >= p.first && out.Index-p.first < p.count {
			out.Position, out.Ordered = p.position+out.Index-p.first, true
			return result{outcome: out}, true
		}
	}
	if w.givenUp {
		return result{err: &OrderError{out}}, true
	}
	w.outcome = out
	g.byIndex[out.Index] = append(g.byIndex[out.Index], id)
	return result{}, false
}

// ordered answers the submissions that have got their places in the ledger.
func (g *Gateway) ordered(runs []chronos.Run) {
	self := g.standing().Self
	for i := range runs {
		if runs[i].Log != self {
			continue
		}
		p := place{runs[i].Old + 1, uint64(len(runs[i].Entries)), runs[i].Position}
		for id, out := range g.placed(p) {
			g.settle(id, result{outcome: out})
		}
	}
}

// placed notes a place and returns who has waited for it.
func (g *Gateway) placed(p place) map[uint64]*Outcome {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.recent = append(g.recent, p); len(g.recent) > 2*maxRecent {
		g.recent = append([]place(nil), g.recent[maxRecent:]...)
	}
	done := map[uint64]*Outcome{}
	if len(g.byIndex) == 0 {
		return done
	}
	for i := range p.count {
		for _, id := range g.byIndex[p.first+i] {
			out := g.waiting[id].outcome
			out.Position, out.Ordered = p.position+i, true
			done[id] = out
		}
	}
	return done
}

func (g *Gateway) refused(e witness.Refused) {
	err := ErrOverloaded
	switch e.Reason {
	case witness.LogStopped:
		err = ErrLogStopped
	case witness.Left:
		err = ErrNotMember
	case witness.TooLarge:
		err = ErrTooLarge
	}
	g.settle(e.ID, result{err: err})
}

func (g *Gateway) withdrawn(e witness.Withdrawn) {
	if e.Behind {
		g.settle(e.ID, result{err: ErrBehind})
		return
	}
	g.settle(e.ID, result{err: &TimeoutError{InLog: e.InLog, Signers: e.Signers}})
}

// fail answers everything that waits with an error.
func (g *Gateway) fail(err error) {
	g.mu.Lock()
	waiting := g.waiting
	g.waiting, g.byIndex = map[uint64]*waiter{}, map[uint64][]uint64{}
	g.closed = g.closed || errors.Is(err, ErrClosed)
	g.mu.Unlock()
	for _, w := range waiting {
		w.answer <- result{err: err}
	}
}
