package audit

import (
	"context"
	"errors"
	"fmt"

	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/order"
)

// checkLedger orders the logs anew, and holds the stored ledger to that.
func (a *auditor) checkLedger(ctx context.Context, batches [][]order.Batch) error {
	st, ok, err := a.store.State()
	if err != nil {
		return err
	}
	past, err := a.replay(ctx, batches, st.Order)
	if err != nil {
		return err
	}
	runs, cuts := past.runs, past.cuts
	if !ok {
		return nil // nothing was ordered yet
	}
	claim, cosigned, err := a.store.Checkpoint()
	if err != nil {
		return err
	}
	var tree merkle.Tail
	next := 0
	err = a.store.Runs(0, false, func(r store.Run) (bool, error) {
		if r.Position >= st.Size {
			return false, nil
		}
		if next >= len(runs) || runs[next] != r {
			return false, &Problem{"ledger", r.Position, "the order of the logs puts something else here"}
		}
		next++
		return true, a.appendRun(ctx, &tree, r)
	})
	if err != nil {
		return err
	}
	if tree.Size() != st.Size || protocol.Hash(tree.Root()) != st.Root {
		return &Problem{"ledger", tree.Size(), fmt.Sprintf("the stored root of %d entries is another one", st.Size)}
	}
	if at, ok := cuts[st.Cut.Size]; st.Cut.Size > 0 && (!ok || at != st.Cut.Time) {
		return &Problem{"ledger", st.Cut.Size, "there is no checkpoint here"}
	}
	if st.Accord != past.book {
		return &Problem{"decisions", st.Accord.Size, fmt.Sprintf("the order leads to %+v, and %+v is stored", past.book, st.Accord)}
	}
	if err := a.checkCases(past, st.Size); err != nil {
		return err
	}
	a.report.Ledger, a.report.Root, a.report.Rounds = st.Size, st.Root, st.Order.Round
	if !cosigned {
		return nil
	}
	if _, err := a.committee.Verify(claim); err != nil {
		return &Problem{"ledger", claim.Size, err.Error()}
	}
	if claim.Size > st.Size {
		return nil // of entries that this node has not ordered before it stopped
	}
	root, err := tree.RootAt(claim.Size)
	if err != nil {
		return err
	}
	if protocol.Hash(root) != claim.Root {
		return &Problem{"ledger", claim.Size, "a quorum has cosigned another root"}
	}
	a.report.Checkpoint = claim.Size
	return nil
}

// appendRun adds a run's entries to the ledger's tree.
func (a *auditor) appendRun(ctx context.Context, tree *merkle.Tail, r store.Run) error {
	b, ok, err := chronos.ReadBatch(a.store, r.Log, r.Old)
	if err != nil {
		return err
	}
	if !ok || b.Old != r.Old || uint64(len(b.Items)) != r.Count {
		return &Problem{"ledger", r.Position, "its batch is not stored"}
	}
	name := a.committee.Name(r.Log)
	var buf []byte
	for i := range b.Items {
		e := protocol.LedgerEntry{Entry: b.Items[i].Entry(b.Time), Log: name, Index: r.Old + 1 + uint64(i)}
		leaf, scratch := e.LeafHash(buf)
		buf = scratch
		tree.Append(leaf)
	}
	return a.step(ctx, r.Count+1)
}

// noPast is asked for nothing: an audit forgets nothing.
type noPast struct{}

// Node implements order.Past.
func (noPast) Node(protocol.MemberID, uint64) (order.Node, error) {
	return order.Node{}, errors.New("audit: a batch was forgotten")
}

// history is what the logs lead to.
type history struct {
	runs []store.Run
	// cuts are the ledger's times at its checkpoints, by size.
	cuts     map[uint64]protocol.Micros
	accord   accord.MemoryStorage
	position uint64
	interval protocol.Micros // of checkpoints
	// last is the size at the newest checkpoint, and cut the ledger's time there.
	last uint64
	cut  protocol.Micros
	// book is the state of the decisions where the stored order stands.
	book   accord.State
	stored order.State
}

// take appends an ordered batch, and what it decides, to the ledger.
func (h *history) take(book *accord.Book, author string, e protocol.Extension) error {
	extensions, err := book.Extend(e, author, h.position)
	if err != nil {
		return err
	}
	for _, e := range extensions {
		count := uint64(len(e.Entries))
		h.runs = append(h.runs, store.Run{
			Position: h.position, Log: e.Log, Old: e.Old, Time: e.Time, Count: count, LedgerTime: book.State().Time,
		})
		h.position += count
	}
	records, _ := book.Take()
	for _, r := range records {
		h.accord.Apply(r)
	}
	return nil
}

// checkCases holds what is stored of the proposals that are decided in the ledger
// of a size to what the logs lead to.
func (a *auditor) checkCases(past *history, size uint64) error {
	for id, want := range past.accord.Cases() {
		if want.Status == accord.Open || want.DecidedAt >= size {
			continue
		}
		got, ok, err := a.store.Case(id)
		if err != nil {
			return err
		}
		if !ok || got.DecidedAt != want.DecidedAt || got.Decision.Hash() != want.Decision.Hash() {
			return &Problem{"decisions", want.DecidedAt, fmt.Sprintf("what is stored of proposal %s is not what the ledger has", id)}
		}
	}
	return nil
}

// extension is what the order takes of a batch. Only bodies that Accord reads are
// there.
func (a *auditor) extension(b order.Batch) protocol.Extension {
	if e, ok := a.acts[place{b.Log, b.Old}]; ok {
		return e
	}
	return protocol.Extension{Log: b.Log, Old: b.Old, Size: b.Size, Time: b.Time, Entries: make([]protocol.Entry, b.Size-b.Old-1)}
}

// isBefore reports whether a decision is the last one before an order stands where
// it does.
func isBefore(d order.Decision, st order.State) bool {
	if d.EndsRound {
		return st.Round == d.Round+1 && st.Index == 0
	}
	return st.Round == d.Round && st.Index == d.Index+1
}

// replay orders the certified parts of the logs. It notes the decisions' state
// where the stored order stands.
func (a *auditor) replay(ctx context.Context, batches [][]order.Batch, stored order.State) (*history, error) {
	o := order.New(a.committee.N(), noPast{})
	past := &history{interval: a.params.Checkpoint(), stored: stored, cuts: map[uint64]protocol.Micros{}}
	book, err := accord.NewBook(&past.accord, accord.State{}, a.committee)
	if err != nil {
		return nil, err
	}
	next := make([]int, len(batches))
	for progress := true; progress; {
		progress = false
		for i := range batches {
			for next[i] < len(batches[i]) {
				b := batches[i][next[i]]
				if _, missing := o.Missing(b); missing {
					break
				}
				if _, err := o.Insert(b); err != nil {
					return nil, &Problem{a.committee.Origin(b.Log), b.Old, err.Error()}
				}
				next[i]++
				progress = true
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := a.decide(o, book, past); err != nil {
			return nil, err
		}
	}
	return past, nil
}

// decide appends what the order decides.
func (a *auditor) decide(o *order.Order, book *accord.Book, past *history) error {
	for {
		decisions, err := o.Decide()
		if err != nil || len(decisions) == 0 {
			return err
		}
		for _, d := range decisions {
			for _, b := range d.Batches {
				if err := past.take(book, a.committee.Name(b.Log), a.extension(b)); err != nil {
					return err
				}
			}
			past.passed(d, book.State())
		}
	}
}

// passed notes what is there when a slot is decided.
func (h *history) passed(d order.Decision, book accord.State) {
	if isBefore(d, h.stored) {
		h.book = book
	}
	if d.EndsRound && h.position > h.last && book.Time >= (h.cut/h.interval+1)*h.interval {
		h.last, h.cut = h.position, book.Time
		h.cuts[h.last] = book.Time
	}
}
