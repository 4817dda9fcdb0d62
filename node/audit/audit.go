// Package audit checks a node's data folder from the ground up: every hash,
// every signature of an author, the newest certificates, and that the ledger is
// what the order makes of the logs. It trusts nothing that was derived, and
// needs nothing but the folder and the network's genesis.
package audit

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/order"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// Store is what an audit reads; store.Store is one.
type Store interface {
	chronos.Storage
	Runs(position uint64, reverse bool, fn func(store.Run) (more bool, err error)) error
}

// Report is what an audit has found to be true.
type Report struct {
	// Batches and Entries are those of all logs, Uncertified how many of the
	// batches have no certificate yet, and Erased how many bodies were erased.
	Batches     int `json:"batches"`
	Uncertified int `json:"uncertified"`
	Entries     int `json:"entries"`
	Erased      int `json:"erased"`
	// Ledger is the number of entries of the ledger, Root its root, Checkpoint
	// how many of them a quorum has cosigned, and Rounds how many were decided.
	Ledger     uint64        `json:"ledger"`
	Root       protocol.Hash `json:"root"`
	Checkpoint uint64        `json:"checkpoint"`
	Rounds     uint64        `json:"rounds"`
}

// Problem is something that is not as it must be.
type Problem struct {
	Where  string // the log or the ledger
	At     uint64 // the leaf or position
	Reason string
}

// Error implements error.
func (p *Problem) Error() string { return fmt.Sprintf("%s at %d: %s", p.Where, p.At, p.Reason) }

// auditor is one audit under way.
type auditor struct {
	store     Store
	committee *quorum.Committee
	params    protocol.Params
	progress  func(done, all uint64)

	report Report
	all    uint64
	done   uint64
	ends   []map[uint64]protocol.Hash // roots by batch end, of each log
	acts   map[place]protocol.Extension
}

// place is where a batch begins.
type place struct {
	log protocol.MemberID
	old uint64
}

// Check audits a store. Progress is called now and then with
// how many leaves were read and of how many. Errors are Problems where something
// is not as it must be.
func Check(ctx context.Context, s Store, c *quorum.Committee, p protocol.Params, progress func(done, all uint64)) (*Report, error) {
	a := &auditor{store: s, committee: c, params: p, progress: progress, ends: make([]map[uint64]protocol.Hash, c.Logs()), acts: map[place]protocol.Extension{}}
	for i := range c.Logs() {
		size, err := s.Size(protocol.MemberID(i))
		if err != nil {
			return nil, err
		}
		a.all += 2 * size // once for the log, once for the order
	}
	batches := make([][]order.Batch, c.Logs())
	for i := range c.Logs() {
		var err error
		if batches[i], err = a.checkLog(ctx, protocol.MemberID(i)); err != nil {
			return nil, err
		}
	}
	if err := a.checkLedger(ctx, batches); err != nil {
		return nil, err
	}
	return &a.report, nil
}

func (a *auditor) step(ctx context.Context, leaves uint64) error {
	a.done += leaves
	if a.progress != nil {
		a.progress(a.done, a.all)
	}
	return ctx.Err()
}

// checkLog recomputes a log's tree, and holds its batches to their author's
// signatures and its certified part to the certificate. It returns that part.
func (a *auditor) checkLog(ctx context.Context, log protocol.MemberID) ([]order.Batch, error) {
	origin := a.committee.Origin(log)
	size, err := a.store.Size(log)
	if err != nil {
		return nil, err
	}
	claim, certified, err := a.store.Certificate(log, ^uint64(0))
	if err != nil {
		return nil, err
	}
	if certified {
		if _, err := a.committee.Verify(claim); err != nil {
			return nil, &Problem{origin, claim.Size, err.Error()}
		}
	}
	a.ends[log] = map[uint64]protocol.Hash{}
	var out []order.Batch
	var tree merkle.Tail
	var before protocol.Micros
	for at := uint64(0); at < size; {
		b, ok, err := chronos.ReadBatch(a.store, log, at)
		if err != nil {
			return nil, err
		}
		if !ok || b.Old != at || b.Author != log {
			return nil, &Problem{origin, at, "no batch begins here"}
		}
		if err := a.checkBatch(&tree, b, before); err != nil {
			return nil, &Problem{origin, at, err.Error()}
		}
		before, at = b.Time, b.Size()
		a.ends[log][at] = b.Root
		if e := b.Extension(); len(e.Acts) > 0 {
			a.acts[place{log, b.Old}] = e
		}
		if certified && at <= claim.Size {
			out = append(out, batchOf(b))
		} else {
			a.report.Uncertified++
		}
		if at == claim.Size && claim.Root != b.Root {
			return nil, &Problem{origin, at, "the certificate is of another root"}
		}
		if err := a.step(ctx, at-b.Old); err != nil {
			return nil, err
		}
	}
	if certified && (claim.Size > size || a.ends[log][claim.Size] != claim.Root) {
		return nil, &Problem{origin, claim.Size, "the certificate is of a size that no batch ends at"}
	}
	return out, nil
}

// checkBatch adds a batch to its log's tree.
func (a *auditor) checkBatch(tree *merkle.Tail, b *wire.Batch, before protocol.Micros) error {
	if b.Time <= before {
		return fmt.Errorf("its time %d is not later than %d", b.Time, before)
	}
	tree.Append(tlog.RecordHash(b.Header().Append(nil)))
	var buf []byte
	for i := range b.Items {
		it := &b.Items[i]
		if !it.Erased {
			if _, err := protocol.CheckBody(it.Kind, it.Body, a.params.MaxEventBytes); err != nil {
				return fmt.Errorf("entry %d: %w", i, err)
			}
		} else {
			a.report.Erased++
		}
		leaf, scratch := it.Entry(b.Time).LeafHash(buf)
		buf = scratch
		tree.Append(leaf)
	}
	if tree.Root() != b.Root {
		return fmt.Errorf("the entries lead to the root %s, the batch says %s", protocol.Hash(tree.Root()), b.Root)
	}
	sig := b.AuthorVote()
	cp := a.committee.Checkpoint(b.Author, b.Size(), b.Root)
	if !a.committee.Verifier(b.Author).Verify(cp, cosign.Signature{Time: sig.Time, Bytes: sig.Sig}) {
		return fmt.Errorf("the author's signature does not verify")
	}
	if len(b.Cert.Cosigs) > 0 {
		if _, err := a.committee.Verify(b.Cert); err != nil {
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
