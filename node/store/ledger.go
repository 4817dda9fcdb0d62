package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"
	ds "github.com/ipfs/go-datastore"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/node/store/pebbleds"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/order"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// Run is a stretch of the ledger that one batch has given: the entry at
// position Position+i is leaf Old+1+i of the log.
type Run struct {
	Position uint64
	Log      protocol.MemberID
	Old      uint64
	Time     protocol.Micros
	Count    uint64
	// LedgerTime is the ledger's time with the run, which never decreases.
	LedgerTime protocol.Micros
}

// Size is where the run's batch ends in its log.
func (r Run) Size() uint64 { return r.Old + 1 + r.Count }

// End is the position behind the run.
func (r Run) End() uint64 { return r.Position + r.Count }

// runBytes is the length of a stored run.
const runBytes = 34

func runKey(position uint64) []byte {
	return appendHex(append(make([]byte, 0, 24), spaceRun...), position, 16)
}

func timeKey(t protocol.Micros, position uint64) []byte {
	return appendHex(appendHex(append(make([]byte, 0, 40), spaceTime...), uint64(t), 16), position, 16)
}

func statePrefix(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return append(hex.AppendEncode([]byte(spaceState), sum[:indexedHash]), '/')
}

func (s *Store) putLedger(b *pebbleds.WriteBatch, r machine.Record) error {
	switch r := r.(type) {
	case chronos.PutNode:
		value, err := cbor.Marshal(nodeRecord{Round: r.Round, Clock: r.Clock, Rounds: r.Rounds})
		if err != nil {
			return err
		}
		b.Set(logKey(spaceNode, r.Log, r.Size), value)
	case chronos.PutRun:
		return s.putRun(b, r)
	case chronos.PutCheckpoint:
		value, err := wire.EncodeClaim(r.Claim)
		if err != nil {
			return err
		}
		b.Set([]byte(keyCheckpoint), value)
	default:
		return s.putAccord(b, r)
	}
	return nil
}

func (s *Store) putRun(b *pebbleds.WriteBatch, r chronos.PutRun) error {
	value := binary.BigEndian.AppendUint16(make([]byte, 0, runBytes), uint16(r.Log))
	value = binary.BigEndian.AppendUint64(value, r.Old)
	value = binary.BigEndian.AppendUint64(value, uint64(r.Time))
	value = binary.BigEndian.AppendUint64(value, uint64(len(r.Entries)))
	value = binary.BigEndian.AppendUint64(value, uint64(r.LedgerTime))
	b.Set(runKey(r.Position), value)
	b.Set(logKey(spaceHashes, protocol.Ledger, r.Position), flatten(r.Hashes))
	b.Set(logKey(spacePlace, r.Log, r.Old), binary.BigEndian.AppendUint64(nil, r.Position))
	b.Set(timeKey(r.Time, r.Position), nil)
	return s.putStates(b, r)
}

// putStates indexes the anchors of states by their keys, which are in the bodies.
func (s *Store) putStates(b *pebbleds.WriteBatch, r chronos.PutRun) error {
	var batch *wire.Batch
	for i, e := range r.Entries {
		if e.Kind != protocol.KindAnchorState {
			continue
		}
		if batch == nil {
			var err error
			if batch, _, err = chronos.ReadBatch(s, r.Log, r.Old); err != nil || batch == nil {
				return errors.Join(err, errors.New("store: a batch that is ordered is not stored"))
			}
		}
		if i >= len(batch.Items) || batch.Items[i].Erased {
			continue // who has erased it has no key for it any more
		}
		a, err := protocol.CheckAnchor(batch.Items[i].Body, len(batch.Items[i].Body))
		if err != nil {
			return fmt.Errorf("store: a stored anchor: %w", err)
		}
		b.Set(appendHex(statePrefix(a.Key), r.Position+uint64(i), 16), nil)
	}
	return nil
}

// nodeRecord is the stored form of a chronos.PutNode.
type nodeRecord struct {
	_      struct{} `cbor:",toarray"`
	Round  uint64
	Clock  []uint64
	Rounds []uint64
}

// stateRecord is the stored form of a chronos.State.
type stateRecord struct {
	_                 struct{} `cbor:",toarray"`
	Members           []protocol.MemberID
	First             uint64
	Base              []uint64
	Round             uint64
	Index             int
	Emitted, Inserted []uint64
	Size              uint64
	Root              protocol.Hash
	Time              protocol.Micros
	CutSize           uint64
	CutRoot           protocol.Hash
	CutTime           protocol.Micros
	CutEpoch          uint64
	Decisions         uint64
	Pending           protocol.Hash
	Epoch             uint64
}

func putState(b *pebbleds.WriteBatch, st chronos.State) error {
	value, err := cbor.Marshal(stateRecord{
		Members: st.Order.Members, First: st.Order.First, Base: st.Order.Base,
		Round: st.Order.Round, Index: st.Order.Index, Emitted: st.Order.Emitted, Inserted: st.Order.Inserted,
		Size: st.Size, Root: st.Root, Time: st.Accord.Time, CutSize: st.Cut.Size, CutRoot: st.Cut.Root, CutTime: st.Cut.Time, CutEpoch: st.Cut.Epoch,
		Decisions: st.Accord.Size, Pending: st.Accord.Pending, Epoch: st.Epoch,
	})
	if err != nil {
		return err
	}
	b.Set([]byte(keyOrder), value)
	return nil
}

func (s *Store) loadState() error {
	value, err := s.db.GetRaw([]byte(keyOrder))
	if errors.Is(err, ds.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var r stateRecord
	if err := cbor.Unmarshal(value, &r); err != nil {
		return fmt.Errorf("store: state of the ledger: %w", err)
	}
	st := &chronos.State{
		Order: order.State{
			Members: r.Members, First: r.First, Base: r.Base,
			Round: r.Round, Index: r.Index, Emitted: r.Emitted, Inserted: r.Inserted,
		},
		Size: r.Size, Root: r.Root, Cut: chronos.Cut{Size: r.CutSize, Root: r.CutRoot, Time: r.CutTime, Epoch: r.CutEpoch},
		Accord: accord.State{Time: r.Time, Size: r.Decisions, Pending: r.Pending}, Epoch: r.Epoch,
	}
	s.state.Store(st)
	return nil
}

// State implements chronos.Storage.
func (s *Store) State() (chronos.State, bool, error) {
	if st := s.state.Load(); st != nil {
		return *st, true, nil
	}
	return chronos.State{}, false, nil
}

// Node implements chronos.Storage.
func (s *Store) Node(log protocol.MemberID, size uint64) (chronos.PutNode, bool, error) {
	key, value, ok, err := s.db.SeekLE(logPrefix(spaceNode, log), logKey(spaceNode, log, size))
	if err != nil || !ok {
		return chronos.PutNode{}, false, err
	}
	var r nodeRecord
	if err := cbor.Unmarshal(value, &r); err != nil {
		return chronos.PutNode{}, false, fmt.Errorf("store: node of %s: %w", s.committee().Name(log), err)
	}
	return chronos.PutNode{Log: log, Size: parseHex(key[len(key)-16:]), Round: r.Round, Clock: r.Clock, Rounds: r.Rounds}, true, nil
}

// Checkpoint implements chronos.Storage.
func (s *Store) Checkpoint() (quorum.Claim, bool, error) {
	value, err := s.db.GetRaw([]byte(keyCheckpoint))
	if errors.Is(err, ds.ErrNotFound) {
		return quorum.Claim{}, false, nil
	}
	if err != nil {
		return quorum.Claim{}, false, err
	}
	claim, err := wire.DecodeClaim(value)
	return claim, err == nil, err
}

// LedgerHashes implements chronos.Storage.
func (s *Store) LedgerHashes() tlog.HashReader { return s.Hashes(protocol.Ledger) }

// Runs calls fn with the runs of the ledger in their order, from the one that
// holds a position on, or, in reverse, from there back, until fn answers false.
func (s *Store) Runs(position uint64, reverse bool, fn func(Run) (more bool, err error)) error {
	first, _, ok, err := s.db.SeekLE([]byte(spaceRun), runKey(position))
	if err != nil || !ok {
		return err
	}
	lower, above := first, upper([]byte(spaceRun))
	if reverse {
		lower, above = []byte(spaceRun), append(first, 0)
	}
	return s.db.Scan(lower, above, reverse, func(key, value []byte) (bool, error) {
		r, err := parseRun(key, value)
		if err != nil {
			return false, err
		}
		return fn(r)
	})
}

func parseRun(key, value []byte) (Run, error) {
	if len(key) != len(spaceRun)+16 || len(value) != runBytes {
		return Run{}, errors.New("store: a run of the ledger is damaged")
	}
	return Run{
		Position: parseHex(key[len(spaceRun):]), Log: protocol.MemberID(binary.BigEndian.Uint16(value)),
		Old: binary.BigEndian.Uint64(value[2:]), Time: protocol.Micros(binary.BigEndian.Uint64(value[10:])),
		Count: binary.BigEndian.Uint64(value[18:]), LedgerTime: protocol.Micros(binary.BigEndian.Uint64(value[26:])),
	}, nil
}

// Place is a position of the ledger and the time of its batch.
type Place struct {
	Time     protocol.Micros
	Position uint64
}

// RunsByTime calls fn with the runs that begin from one place up to, and
// without, another, by time and position, until fn answers false.
func (s *Store) RunsByTime(from, to Place, reverse bool, fn func(Place) (more bool, err error)) error {
	lower, above := timeKey(max(from.Time, 0), from.Position), timeKey(max(to.Time, 0), to.Position)
	return s.db.Scan(lower, above, reverse, func(key, _ []byte) (bool, error) {
		if len(key) != len(spaceTime)+32 {
			return false, errors.New("store: the index of times is damaged")
		}
		at := key[len(spaceTime):]
		return fn(Place{protocol.Micros(parseHex(at[:16])), parseHex(at[16:])})
	})
}

// RunAt returns the run that holds a position; false means that the ledger is
// shorter.
func (s *Store) RunAt(position uint64) (Run, bool, error) {
	key, value, ok, err := s.db.SeekLE([]byte(spaceRun), runKey(position))
	if err != nil || !ok {
		return Run{}, false, err
	}
	r, err := parseRun(key, value)
	return r, err == nil && position < r.Position+r.Count, err
}

// Position returns the place in the ledger of a leaf of a log; false means that
// it is not ordered, or a header.
func (s *Store) Position(log protocol.MemberID, index uint64) (uint64, bool, error) {
	if index == 0 {
		return 0, false, nil
	}
	key, value, ok, err := s.db.SeekLE(logPrefix(spacePlace, log), logKey(spacePlace, log, index-1))
	if err != nil || !ok || len(value) != 8 {
		return 0, false, err
	}
	old, position := parseHex(key[len(key)-16:]), binary.BigEndian.Uint64(value)
	r, ok, err := s.RunAt(position)
	if err != nil || !ok || index > old+r.Count {
		return 0, false, err
	}
	return position + index - old - 1, true, nil
}

// States calls fn with the positions of the anchors of a state from one up to,
// and without, another, in their order or in reverse, until fn answers false.
func (s *Store) States(key string, from, to uint64, reverse bool, fn func(position uint64) (more bool, err error)) error {
	prefix := statePrefix(key)
	lower, above := appendHex(slices.Clone(prefix), from, 16), appendHex(slices.Clone(prefix), to, 16)
	return s.db.Scan(lower, above, reverse, func(k, _ []byte) (bool, error) {
		return fn(parseHex(k[len(prefix):]))
	})
}

// Row is an entry of the ledger.
type Row struct {
	Position uint64
	Log      protocol.MemberID
	Index    uint64
	Entry    protocol.Entry
	// LedgerTime is the ledger's time with the entry.
	LedgerTime protocol.Micros
	// Body is what the entry stands for, or nil where it was erased.
	Body []byte
}

// Gone reports whether the entry's body was erased, or has expired and is
// shown no more, though the sweeper has not come to it yet.
func (r *Row) Gone(now protocol.Micros) bool {
	at, expires := r.Entry.Expires()
	return r.Body == nil || expires && at <= now
}

// Rows returns the entries of a run.
func (s *Store) Rows(r Run) ([]Row, error) {
	b, ok, err := chronos.ReadBatch(s, r.Log, r.Old)
	if err != nil {
		return nil, err
	}
	if !ok || b.Old != r.Old || uint64(len(b.Items)) != r.Count {
		return nil, fmt.Errorf("store: the batch of %s at %d is not the one that was ordered", s.committee().Name(r.Log), r.Old)
	}
	rows := make([]Row, len(b.Items))
	for i := range b.Items {
		it := &b.Items[i]
		rows[i] = Row{Position: r.Position + uint64(i), Log: r.Log, Index: r.Old + 1 + uint64(i), Entry: it.Entry(b.Time), LedgerTime: r.LedgerTime}
		if !it.Erased {
			rows[i].Body = it.Body
		}
	}
	return rows, nil
}
