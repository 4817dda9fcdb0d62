package audit

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/order"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// logReader is how far a member's log has been checked.
type logReader struct {
	log  protocol.MemberID
	tree merkle.Tail
	// root, time and epoch are those of the newest batch.
	root  protocol.Hash
	time  protocol.Micros
	epoch uint64
	// certified is how much of the log certificates of the epochs until now cover,
	// and waiting the batches of that which the order has not taken.
	certified uint64
	waiting   []order.Batch
}

// readLogs reads of every log what certificates cover that those who know the
// newest epoch, and none after it, can check.
func (a *auditor) readLogs(ctx context.Context) error {
	c := a.epochs.Latest()
	for id := protocol.MemberID(len(a.logs)); int(id) < c.Logs(); id++ {
		a.logs = append(a.logs, &logReader{log: id})
	}
	for _, l := range a.logs {
		claim, ok, err := a.newestIn(l.log, c.Epoch())
		if err != nil {
			return err
		}
		if !ok || claim.Size <= l.certified {
			continue
		}
		if err := a.readCertified(ctx, l, claim); err != nil {
			return err
		}
	}
	return nil
}

// readCertified reads a log up to a certificate, and checks that.
func (a *auditor) readCertified(ctx context.Context, l *logReader, claim quorum.Claim) error {
	origin := a.epochs.Latest().Origin(l.log)
	if _, err := a.epochs.Verify(claim); err != nil {
		return &Problem{origin, claim.Size, err.Error()}
	}
	size, err := a.store.Size(l.log)
	if err != nil {
		return err
	}
	for l.tree.Size() < min(claim.Size, size) {
		b, err := a.readBatch(ctx, l)
		if err != nil {
			return err
		}
		l.waiting = append(l.waiting, batchOf(b))
	}
	switch {
	case l.tree.Size() != claim.Size:
		return &Problem{origin, claim.Size, "the certificate is of a size that no batch ends at"}
	case l.root != claim.Root:
		return &Problem{origin, claim.Size, "the certificate is of another root"}
	}
	l.certified = claim.Size
	return nil
}

// readTails reads what no certificate covers.
func (a *auditor) readTails(ctx context.Context) error {
	for _, l := range a.logs {
		size, err := a.store.Size(l.log)
		if err != nil {
			return err
		}
		for l.tree.Size() < size {
			if _, err := a.readBatch(ctx, l); err != nil {
				return err
			}
			a.report.Uncertified++
		}
	}
	return nil
}

// newestIn finds the newest certificate of a log of an epoch or an earlier one. Those
// of later epochs are of larger sizes.
func (a *auditor) newestIn(log protocol.MemberID, epoch uint64) (found quorum.Claim, ok bool, err error) {
	newest, ok, err := a.store.Certificate(log, ^uint64(0))
	if err != nil || !ok || newest.Epoch <= epoch {
		return newest, ok, err
	}
	ok = false
	for low, high := uint64(0), newest.Size; low+1 < high; {
		mid := low + (high-low)/2
		claim, _, err := a.store.Certificate(log, mid)
		if err != nil {
			return found, false, err
		}
		if claim.Epoch > epoch {
			high = mid
		} else {
			found, ok, low = claim, true, claim.Size
		}
	}
	return found, ok, nil
}

// readBatch checks the next batch of a log.
func (a *auditor) readBatch(ctx context.Context, l *logReader) (*wire.Batch, error) {
	origin, at := a.epochs.Latest().Origin(l.log), l.tree.Size()
	b, ok, err := chronos.ReadBatch(a.store, l.log, at)
	if err != nil {
		return nil, err
	}
	if !ok || b.Old != at || b.Author != l.log {
		return nil, &Problem{origin, at, "no batch begins here"}
	}
	if err := a.checkBatch(l, b); err != nil {
		return nil, &Problem{origin, at, err.Error()}
	}
	l.root, l.time, l.epoch = b.Root, b.Time, b.Epoch
	if e := b.Extension(); len(e.Acts) > 0 {
		a.acts[place{l.log, b.Old}] = e
	}
	return b, a.step(ctx, b.Size()-b.Old)
}

// checkBatch adds a batch to its log's tree, and holds it to its author's signature
// and to the rules of the epoch that it says it is of.
func (a *auditor) checkBatch(l *logReader, b *wire.Batch) error {
	c, ok := a.epochs.At(b.Epoch)
	switch {
	case !ok:
		return fmt.Errorf("it is of epoch %d, which has not begun", b.Epoch)
	case !c.Has(b.Author):
		return fmt.Errorf("its author is not a member in epoch %d", b.Epoch)
	case b.Epoch < l.epoch:
		return fmt.Errorf("it is of epoch %d, and comes behind one of epoch %d", b.Epoch, l.epoch)
	case b.Time <= l.time:
		return fmt.Errorf("its time %d is not later than %d", b.Time, l.time)
	}
	l.tree.Append(tlog.RecordHash(b.Header().Append(nil)))
	var buf []byte
	for i := range b.Items {
		it := &b.Items[i]
		if !it.Erased {
			if _, err := protocol.CheckBody(it.Kind, it.Body, c.Params().MaxEventBytes); err != nil {
				return fmt.Errorf("entry %d: %w", i, err)
			}
		} else {
			a.report.Erased++
		}
		leaf, scratch := it.Entry(b.Time).LeafHash(buf)
		buf = scratch
		l.tree.Append(leaf)
	}
	if l.tree.Root() != b.Root {
		return fmt.Errorf("the entries lead to the root %s, the batch says %s", protocol.Hash(l.tree.Root()), b.Root)
	}
	sig := b.AuthorVote()
	cp := c.Checkpoint(b.Author, b.Size(), b.Root)
	if !c.Verifier(b.Author).Verify(cp, cosign.Signature{Time: sig.Time, Bytes: sig.Sig}) {
		return fmt.Errorf("the author's signature does not verify")
	}
	if len(b.Cert.Cosigs) > 0 {
		if _, err := a.epochs.Verify(b.Cert); err != nil {
			return fmt.Errorf("the certificate that it carries: %w", err)
		}
	}
	a.report.Batches++
	a.report.Entries += len(b.Items)
	return nil
}

func batchOf(b *wire.Batch) order.Batch {
	out := order.Batch{Log: b.Author, Old: b.Old, Size: b.Size(), Claim: b.Round, Time: b.Time}
	for _, p := range b.Parents {
		out.Parents = append(out.Parents, order.Parent{Member: p.Member, Size: p.Size})
	}
	return out
}
