package simulation

import (
	"errors"
	"math/rand/v2"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

var (
	errDiskFull = errors.New("the disk is full")
	errBitRot   = errors.New("a checksum does not match")
)

// disk is a member's storage. What is written is visible at once, as it is in
// a real store, and durable once it is synced; a crash keeps some beginning of
// what was not. Records of one write are kept together, or not at all. It
// implements witness.Storage.
type disk struct {
	storage      // what is visible
	durable      storage
	unsynced     [][]machine.Record // by write
	rotten       bool               // some of what is stored was damaged
	full         bool
	slow         float64 // factor of a sync's time; 1 is normal
	stalledUntil protocol.Micros
}

// storage is what the machines of a member store.
type storage struct {
	witness.MemoryStorage
	ledger chronos.MemoryStorage
}

// Apply writes records.
func (s *storage) Apply(records []machine.Record) error {
	for i, r := range records {
		ours, err := s.ledger.Apply(r)
		if err == nil && !ours {
			err = s.MemoryStorage.Apply(records[i : i+1])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Clone returns a copy that does not change with the original.
func (s *storage) Clone() storage { return storage{s.MemoryStorage.Clone(), s.ledger.Clone()} }

// write makes records visible.
func (d *disk) write(records []machine.Record) error {
	if d.full {
		return errDiskFull
	}
	d.unsynced = append(d.unsynced, records)
	return d.Apply(records)
}

// sync makes durable what is visible.
func (d *disk) sync() error {
	if d.full {
		return errDiskFull
	}
	return d.keep(len(d.unsynced))
}

// keep makes the first writes durable that are not, and forgets the others.
func (d *disk) keep(writes int) error {
	kept := d.unsynced[:writes]
	d.unsynced = nil
	for _, records := range kept {
		if err := d.durable.Apply(records); err != nil {
			return err
		}
	}
	return nil
}

// crash loses what was not synced, but for a beginning that chance chooses.
func (d *disk) crash(rng *rand.Rand) error {
	if err := d.keep(rng.IntN(len(d.unsynced) + 1)); err != nil {
		return err
	}
	d.storage = d.durable.Clone()
	return nil
}

// wipe loses everything.
func (d *disk) wipe() { *d = disk{slow: 1} }

// BatchAt implements witness.Storage. Damage is noticed when batches are read,
// since their checksums are.
func (d *disk) BatchAt(log protocol.MemberID, leaf uint64) ([]byte, error) {
	if d.rotten {
		return nil, errBitRot
	}
	return d.MemoryStorage.BatchAt(log, leaf)
}

// Hashes implements witness.Storage.
func (d *disk) Hashes(log protocol.MemberID) tlog.HashReader {
	if d.rotten {
		return tlog.HashReaderFunc(func([]int64) ([]tlog.Hash, error) { return nil, errBitRot })
	}
	return d.MemoryStorage.Hashes(log)
}

// Certificate implements witness.Storage.
func (d *disk) Certificate(log protocol.MemberID, size uint64) (quorum.Claim, bool, error) {
	if d.rotten {
		return quorum.Claim{}, false, errBitRot
	}
	return d.MemoryStorage.Certificate(log, size)
}

// Handover implements witness.Storage.
func (d *disk) Handover() (wire.Handover, bool, error) {
	if d.rotten {
		return wire.Handover{}, false, errBitRot
	}
	return d.MemoryStorage.Handover()
}

// Evidence implements witness.Storage.
func (d *disk) Evidence(log protocol.MemberID) (*wire.Evidence, error) {
	if d.rotten {
		return nil, errBitRot
	}
	return d.MemoryStorage.Evidence(log)
}

// Node implements chronos.Storage.
func (d *disk) Node(log protocol.MemberID, size uint64) (chronos.PutNode, bool, error) {
	if d.rotten {
		return chronos.PutNode{}, false, errBitRot
	}
	return d.ledger.Node(log, size)
}

// State implements chronos.Storage.
func (d *disk) State() (chronos.State, bool, error) {
	if d.rotten {
		return chronos.State{}, false, errBitRot
	}
	return d.ledger.State()
}

// Case implements accord.Storage.
func (d *disk) Case(id protocol.Hash) (accord.Case, bool, error) {
	if d.rotten {
		return accord.Case{}, false, errBitRot
	}
	return d.ledger.Case(id)
}

// OpenCases implements accord.Storage.
func (d *disk) OpenCases() ([]accord.Case, error) {
	if d.rotten {
		return nil, errBitRot
	}
	return d.ledger.OpenCases()
}

// Subject implements accord.Storage.
func (d *disk) Subject(name string) (accord.Subject, bool, error) {
	if d.rotten {
		return accord.Subject{}, false, errBitRot
	}
	return d.ledger.Subject(name)
}

// Checkpoint implements chronos.Storage.
func (d *disk) Checkpoint() (quorum.Claim, bool, error) { return d.ledger.Checkpoint() }

// LedgerHashes implements chronos.Storage.
func (d *disk) LedgerHashes() tlog.HashReader {
	if d.rotten {
		return tlog.HashReaderFunc(func([]int64) ([]tlog.Hash, error) { return nil, errBitRot })
	}
	return d.ledger.LedgerHashes()
}
