package audit

import (
	"context"
	"fmt"
	"reflect"

	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/quorum"
)

// checkLedger orders the logs anew, and holds the stored ledger to that.
func (a *auditor) checkLedger(ctx context.Context) error {
	st, ok, err := a.store.State()
	if err != nil {
		return err
	}
	past, err := a.replay(ctx, st.Order)
	if err != nil {
		return err
	}
	if !ok {
		return nil // nothing was ordered yet
	}
	if !past.reached {
		return &Problem{"ledger", past.position, "the certified logs do not lead to where the order is stored to stand"}
	}
	if err := a.checkEpochs(past, st); err != nil {
		return err
	}
	tree, err := a.checkRuns(ctx, past, st)
	if err != nil {
		return err
	}
	if cut := past.cuts[st.Cut.Size]; st.Cut.Size > 0 && (cut.Time != st.Cut.Time || cut.Epoch != st.Cut.Epoch) {
		return &Problem{"ledger", st.Cut.Size, "there is no checkpoint here, or another one"}
	}
	if st.Accord != past.decisions {
		return &Problem{"decisions", st.Accord.Size, fmt.Sprintf("the order leads to %+v, and %+v is stored", past.decisions, st.Accord)}
	}
	if err := a.checkCases(past, st.Size); err != nil {
		return err
	}
	a.report.Ledger, a.report.Root, a.report.Rounds, a.report.Epoch = st.Size, st.Root, st.Order.Round, st.Epoch
	return a.checkCheckpoint(past, st, tree)
}

// checkEpochs holds the stored epochs to those that the ledger leads to.
func (a *auditor) checkEpochs(past *history, st chronos.State) error {
	stored := a.store.Epochs()
	if last := stored.Latest().Epoch(); st.Epoch != past.epoch || last != past.epoch {
		return &Problem{"epochs", st.Epoch, fmt.Sprintf("the order leads to epoch %d there, and epochs up to %d are stored", past.epoch, last)}
	}
	for n := range past.epoch + 1 {
		is, _ := stored.At(n)
		if want, _ := a.epochs.At(n); !sameCommittee(is, want) {
			return &Problem{"epochs", n, "another committee is stored than the ledger leads to"}
		}
	}
	return nil
}

func sameCommittee(a, b *quorum.Committee) bool {
	return a.Network() == b.Network() && a.Epoch() == b.Epoch() && a.Since() == b.Since() && a.Params() == b.Params() &&
		reflect.DeepEqual(a.Members(), b.Members()) && reflect.DeepEqual(a.Roster(), b.Roster())
}

// checkRuns holds the stored ledger to the order, and returns its tree.
func (a *auditor) checkRuns(ctx context.Context, past *history, st chronos.State) (*merkle.Tail, error) {
	tree, next := &merkle.Tail{}, 0
	err := a.store.Runs(0, false, func(r store.Run) (bool, error) {
		if r.Position >= st.Size {
			return false, nil
		}
		if next >= len(past.runs) || past.runs[next] != r {
			return false, &Problem{"ledger", r.Position, "the order of the logs puts something else here"}
		}
		next++
		return true, a.appendRun(ctx, tree, r)
	})
	if err != nil {
		return nil, err
	}
	if tree.Size() != st.Size || protocol.Hash(tree.Root()) != st.Root {
		return nil, &Problem{"ledger", tree.Size(), fmt.Sprintf("the stored root of %d entries is another one", st.Size)}
	}
	return tree, nil
}

// checkCheckpoint holds the newest certificate of the ledger to its tree, and to
// the committee that cosigns there.
func (a *auditor) checkCheckpoint(past *history, st chronos.State, tree *merkle.Tail) error {
	claim, cosigned, err := a.store.Checkpoint()
	if err != nil || !cosigned {
		return err
	}
	if _, err := a.epochs.Verify(claim); err != nil {
		return &Problem{"ledger", claim.Size, err.Error()}
	}
	if claim.Size > st.Size {
		return nil // of entries that this node has not ordered before it stopped
	}
	root, err := tree.RootAt(claim.Size)
	if err != nil {
		return err
	}
	// Others may come to a checkpoint before this node has, when it has the same
	// entries already.
	early := claim.Size == st.Size && st.Cut.Size < st.Size && claim.Epoch == st.Epoch
	switch cut, ok := past.cuts[claim.Size]; {
	case protocol.Hash(root) != claim.Root:
		return &Problem{"ledger", claim.Size, "a quorum has cosigned another root"}
	case !ok && early:
	case !ok || cut.Epoch != claim.Epoch:
		return &Problem{"ledger", claim.Size, fmt.Sprintf("the committee of epoch %d has cosigned what is not its to cosign", claim.Epoch)}
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
	name := a.epochs.Latest().Name(r.Log)
	var buf []byte
	for i := range b.Items {
		e := protocol.LedgerEntry{Entry: b.Items[i].Entry(b.Time), Log: name, Index: r.Old + 1 + uint64(i)}
		leaf, scratch := e.LeafHash(buf)
		buf = scratch
		tree.Append(leaf)
	}
	return a.step(ctx, r.Count+1)
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
