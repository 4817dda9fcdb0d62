package chronos

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/order"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// Storage reads what Persist effects have written, and the logs. An error stops
// the node.
type Storage interface {
	// Size is the number of leaves stored of a log.
	Size(log protocol.MemberID) (uint64, error)
	// BatchAt returns the encoded batch that holds a leaf, or nil if the log
	// is shorter.
	BatchAt(log protocol.MemberID, leaf uint64) ([]byte, error)
	// Certificate returns the certificate of a log of the smallest size that is
	// at least size. It answers false if there is none.
	Certificate(log protocol.MemberID, size uint64) (quorum.Claim, bool, error)
	// Node returns the newest PutNode of a log that ends at size or before.
	Node(log protocol.MemberID, size uint64) (PutNode, bool, error)
	// State returns the newest PutState, and false if there is none.
	State() (State, bool, error)
	// Checkpoint returns the newest PutCheckpoint, and false if there is none.
	Checkpoint() (quorum.Claim, bool, error)
	// LedgerHashes reads the stored hashes of the ledger's tree.
	LedgerHashes() tlog.HashReader
	accord.Storage
}

// State is from where the order and the ledger go on.
type State struct {
	Order order.State
	// Size and Root are those of the ledger, and Cut is its newest checkpoint.
	Size uint64
	Root protocol.Hash
	Cut  Cut
	// Accord has the ledger's time.
	Accord accord.State
	// Epoch is the one that they have come to.
	Epoch uint64
}

// Cut is a checkpoint that every member comes to: a size of the ledger, the root
// there, the ledger's time, and the epoch whose members cosign it.
type Cut struct {
	Size  uint64
	Root  protocol.Hash
	Time  protocol.Micros
	Epoch uint64
}

// Next is the ledger's time from which there may be another checkpoint: behind the
// next multiple of the interval.
func (c Cut) Next(p protocol.Params) protocol.Micros {
	interval := p.Checkpoint()
	return (c.Time/interval + 1) * interval
}

// latest asks Storage.Certificate for the newest certificate.
const latest = ^uint64(0)

// maxStored bounds stored batches, in bytes, by whatever parameters they were made.
var maxStored = wire.MaxMessage(protocol.Params{MaxBatchEntries: 65_536, MaxBatchBytes: 4 << 20})

// ReadBatch reads the batch of a log that holds a leaf; false means that the
// log is shorter.
func ReadBatch(s Storage, log protocol.MemberID, leaf uint64) (*wire.Batch, bool, error) {
	encoded, err := s.BatchAt(log, leaf)
	if err != nil || encoded == nil {
		return nil, false, err
	}
	b, err := wire.DecodeBatch(encoded, maxStored)
	if err != nil {
		return nil, false, fmt.Errorf("stored batch of log %d at leaf %d: %w", log, leaf, err)
	}
	return b, true, nil
}

// ReadNode reads what follows from the past of the batch that ends at size.
func ReadNode(s Storage, log protocol.MemberID, size uint64) (order.Node, error) {
	b, ok, err := ReadBatch(s, log, size-1)
	if err != nil {
		return order.Node{}, err
	}
	rec, known, err := s.Node(log, size)
	switch {
	case err != nil:
		return order.Node{}, err
	case !ok || size == 0 || b.Size() != size || !known:
		return order.Node{}, fmt.Errorf("log %d has no ordered batch that ends at %d", log, size)
	case int(log) >= len(rec.Clock):
		return order.Node{}, fmt.Errorf("what is stored of the past of log %d at %d is damaged", log, size)
	}
	n := order.Node{Batch: orderBatch(b.Extension()), Round: rec.Round, Clock: append(order.Clock(nil), rec.Clock...), Rounds: rec.Rounds}
	n.Clock[log] = size
	return n, nil
}

// past reads for package order what it has forgotten.
type past struct{ store Storage }

// Node implements order.Past.
func (p past) Node(log protocol.MemberID, size uint64) (order.Node, error) {
	return ReadNode(p.store, log, size)
}

func orderBatch(e protocol.Extension) order.Batch {
	b := order.Batch{Log: e.Log, Old: e.Old, Size: e.Size, Claim: e.Round, Time: e.Time}
	for _, p := range e.Parents {
		b.Parents = append(b.Parents, order.Parent{Member: p.Member, Size: p.Size})
	}
	return b
}
