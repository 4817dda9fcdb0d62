package chronos

import (
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/order"
	"github.com/strataos/strataos/protocol/quorum"
)

// Effect is something the host must do: one of the types below, or of those
// that all machines share.
type Effect = machine.Effect

// Advance tells the witness machine how the order goes on. It holds until the
// next one.
type Advance struct {
	// Ready is the round that a batch with urgent entries may claim, and Due
	// the one that any next batch is to claim.
	Ready, Due uint64
	// Seal asks for a batch that claims Due, also if nothing waits for one.
	Seal bool
}

// Ordered says that the ledger has grown.
type Ordered struct {
	Runs []Run
	// Seen is how much of each log is ordered.
	Seen order.Clock
	// Size is the number of entries of the ledger, and Time its time: the
	// largest of all ordered batches.
	Size uint64
	Time protocol.Micros
	// Changes are the proposals that the runs have opened or brought to an end.
	Changes []accord.Change
}

// Settles reports whether proposals were ordered, or have come to an end.
func (o *Ordered) Settles() bool {
	return len(o.Changes) > 0 || slices.ContainsFunc(o.Runs, func(r Run) bool {
		return slices.ContainsFunc(r.Entries, func(e protocol.Entry) bool { return e.Kind == protocol.KindPropose })
	})
}

// Run is a stretch of the ledger that one batch has given: the entry at
// position Position+i is leaf Old+1+i of the log.
type Run struct {
	Position uint64
	Log      protocol.MemberID
	Old      uint64
	Time     protocol.Micros // the batch's
	// LedgerTime is the ledger's time with the batch: the largest of all
	// batches ordered so far. It never decreases along the ledger.
	LedgerTime protocol.Micros
	Entries    []protocol.Entry
}

// Checkpointed says that a quorum has cosigned the ledger at a new size.
type Checkpointed struct{ Cert *quorum.Certificate }

// Alarm says that a member has cosigned another ledger than this member's.
type Alarm struct {
	Member protocol.MemberID
	Size   uint64
	Root   protocol.Hash
}

// Halted says that so many members have cosigned another ledger that this one's
// must be wrong. It orders and cosigns no more.
type Halted struct{ Reason string }

// EpochBegun says that another committee has taken over, where a round has ended,
// and that this is durable. Its epochs come in their order, each once; which have
// begun when the machine starts, the host reads from storage.
type EpochBegun struct{ Committee *quorum.Committee }

// PutNode keeps what follows from a batch's past: its round, how much of each
// log it has seen, and the rounds there. What it keeps of a batch may change while
// that is not ordered. It holds for the batches of the log
// behind it too, up to the next one's: they have seen themselves and the same of
// others.
type PutNode struct {
	Log    protocol.MemberID
	Size   uint64 // where the batch ends
	Round  uint64
	Clock  order.Clock
	Rounds []uint64
}

// PutRun extends the ledger. Hashes are the stored hashes that its entries add
// to the tree, in the order of tlog.StoredHashIndex.
type PutRun struct {
	Run
	Hashes []tlog.Hash
}

// PutState keeps from where the order and the ledger go on.
type PutState struct{ State State }

// PutEpoch keeps the committee of an epoch. It comes with the PutState that names
// the epoch.
type PutEpoch struct{ Committee *quorum.Committee }

// PutCheckpoint keeps the ledger's newest certificate in the place of older ones.
type PutCheckpoint struct{ Claim quorum.Claim }

// Effect implements machine.Effect.
func (Advance) Effect() {}

// Effect implements machine.Effect.
func (Ordered) Effect() {}

// Effect implements machine.Effect.
func (Checkpointed) Effect() {}

// Effect implements machine.Effect.
func (Alarm) Effect() {}

// Effect implements machine.Effect.
func (Halted) Effect() {}

// Effect implements machine.Effect.
func (EpochBegun) Effect() {}

// Record implements machine.Record.
func (PutNode) Record() {}

// Record implements machine.Record.
func (PutEpoch) Record() {}

// Record implements machine.Record.
func (PutRun) Record() {}

// Record implements machine.Record.
func (PutState) Record() {}

// Record implements machine.Record.
func (PutCheckpoint) Record() {}
