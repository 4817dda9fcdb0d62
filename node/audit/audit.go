// Package audit checks a node's data folder from the ground up: every hash,
// every signature of an author, the newest certificates, that the ledger is what
// the order makes of the logs, and the epochs what the ledger has decided. It
// trusts nothing that was derived, and needs nothing but the folder and the
// network's genesis.
package audit

import (
	"context"
	"fmt"

	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/quorum"
)

// Store is what an audit reads; store.Store is one.
type Store interface {
	chronos.Storage
	Runs(position uint64, reverse bool, fn func(store.Run) (more bool, err error)) error
	// Epochs are those that are stored.
	Epochs() *quorum.Epochs
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
	// how many of them a quorum has cosigned, Rounds how many were decided, and
	// Epoch the one that they lead to.
	Ledger     uint64        `json:"ledger"`
	Root       protocol.Hash `json:"root"`
	Checkpoint uint64        `json:"checkpoint"`
	Rounds     uint64        `json:"rounds"`
	Epoch      uint64        `json:"epoch"`
}

// Problem is something that is not as it must be.
type Problem struct {
	Where  string // the log, the ledger, the decisions or the epochs
	At     uint64 // the leaf, position or number
	Reason string
}

// Error implements error.
func (p *Problem) Error() string { return fmt.Sprintf("%s at %d: %s", p.Where, p.At, p.Reason) }

// auditor is one audit under way.
type auditor struct {
	store    Store
	progress func(done, all uint64)
	// epochs are those that were found until now, from the genesis on.
	epochs *quorum.Epochs
	logs   []*logReader
	acts   map[place]protocol.Extension

	report Report
	all    uint64
	done   uint64
}

// place is where a batch begins.
type place struct {
	log protocol.MemberID
	old uint64
}

// Check audits a store of the network that a committee has founded. Progress is
// called now and then with how many leaves were read and of how many. Errors are
// Problems where something is not as it must be.
func Check(ctx context.Context, s Store, founding *quorum.Committee, progress func(done, all uint64)) (*Report, error) {
	a := &auditor{store: s, epochs: quorum.NewEpochs(founding), progress: progress, acts: map[place]protocol.Extension{}}
	for i := range s.Epochs().Latest().Logs() { // for the progress alone
		size, err := s.Size(protocol.MemberID(i))
		if err != nil {
			return nil, err
		}
		a.all += 2 * size // once for the log, once for the order
	}
	if err := a.checkLedger(ctx); err != nil {
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
