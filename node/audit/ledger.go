package audit

import (
	"context"
	"errors"
	"fmt"

	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/order"
)

// checkLedger orders the logs anew, and holds the stored ledger to that.
func (a *auditor) checkLedger(ctx context.Context, batches [][]order.Batch) error {
	runs, cuts, err := a.replay(ctx, batches)
	if err != nil {
		return err
	}
	st, ok, err := a.store.State()
	if err != nil {
		return err
	}
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
	b, ok, err := chronos.ReadBatch(a.store, a.params, r.Log, r.Old)
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

// replay orders the certified parts of the logs. It returns the runs of the
// ledger, and the ledger's time at each of its checkpoints, by size.
func (a *auditor) replay(ctx context.Context, batches [][]order.Batch) ([]store.Run, map[uint64]protocol.Micros, error) {
	o := order.New(a.committee.N(), noPast{})
	l := replayed{interval: a.params.Checkpoint(), cuts: map[uint64]protocol.Micros{}}
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
					return nil, nil, &Problem{a.committee.Origin(b.Log), b.Old, err.Error()}
				}
				next[i]++
				progress = true
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if err := l.decide(o); err != nil {
			return nil, nil, err
		}
	}
	return l.runs, l.cuts, nil
}

// replayed is a ledger that is derived anew.
type replayed struct {
	interval protocol.Micros
	runs     []store.Run
	cuts     map[uint64]protocol.Micros
	size     uint64
	now      protocol.Micros
	// last is the size at the newest checkpoint, and cut the ledger's time.
	last uint64
	cut  protocol.Micros
}

// decide appends what the order decides.
func (l *replayed) decide(o *order.Order) error {
	for {
		decisions, err := o.Decide()
		if err != nil || len(decisions) == 0 {
			return err
		}
		for _, d := range decisions {
			l.append(d)
		}
	}
}

func (l *replayed) append(d order.Decision) {
	for _, b := range d.Batches {
		l.now = max(l.now, b.Time)
		count := b.Size - b.Old - 1
		if count == 0 {
			continue
		}
		l.runs = append(l.runs, store.Run{Position: l.size, Log: b.Log, Old: b.Old, Time: b.Time, Count: count, LedgerTime: l.now})
		l.size += count
	}
	if d.EndsRound && l.size > l.last && l.now >= (l.cut/l.interval+1)*l.interval {
		l.last, l.cut = l.size, l.now
		l.cuts[l.size] = l.now
	}
}
