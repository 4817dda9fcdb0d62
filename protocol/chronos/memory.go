package chronos

import (
	"fmt"
	"maps"
	"slices"
	"sort"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/quorum"
)

// MemoryStorage keeps what Persist effects write in memory, for tests and
// simulation. The zero value is empty. With the logs of a witness machine's
// storage it is a Storage.
type MemoryStorage struct {
	nodes  map[protocol.MemberID][]PutNode // by size
	runs   []Run
	hashes []tlog.Hash
	state  *State
	claim  quorum.Claim
	epochs []*quorum.Committee // from the second on
	// Accord has what the decisions are made of, and decisions the batches of
	// their log, in order.
	Accord    accord.MemoryStorage
	decisions []accord.PutDecisions
}

// Clone returns a copy that does not change with the original.
func (s *MemoryStorage) Clone() MemoryStorage {
	out := *s
	out.nodes = maps.Clone(s.nodes)
	for id := range out.nodes {
		out.nodes[id] = slices.Clone(out.nodes[id])
	}
	out.epochs = slices.Clone(s.epochs)
	out.runs, out.hashes = slices.Clone(s.runs), slices.Clone(s.hashes)
	out.Accord, out.decisions = s.Accord.Clone(), slices.Clone(s.decisions)
	return out
}

// Apply writes a record. It answers false for records of other machines. An
// error means that the record does not fit what is stored, which is a bug.
func (s *MemoryStorage) Apply(r machine.Record) (bool, error) {
	switch r := r.(type) {
	case PutNode:
		s.putNode(r)
	case PutRun:
		return true, s.putRun(r)
	case PutState:
		s.state = &r.State
	case PutCheckpoint:
		s.claim = r.Claim
	case PutEpoch:
		return true, s.putEpoch(r.Committee)
	case accord.PutDecisions:
		i := sort.Search(len(s.decisions), func(i int) bool { return s.decisions[i].Old >= r.Old })
		s.decisions = append(s.decisions[:i:i], r)
	default:
		return s.Accord.Apply(r), nil
	}
	return true, nil
}

func (s *MemoryStorage) putNode(r PutNode) {
	if s.nodes == nil {
		s.nodes = map[protocol.MemberID][]PutNode{}
	}
	list := s.nodes[r.Log]
	i := sort.Search(len(list), func(i int) bool { return list[i].Size >= r.Size })
	if i < len(list) {
		// A machine that starts again writes again what it had not waited for.
		list = slices.Clone(list[:i])
	}
	s.nodes[r.Log] = append(list, r)
}

func (s *MemoryStorage) putEpoch(c *quorum.Committee) error {
	if c.Epoch() == 0 || c.Epoch() > uint64(len(s.epochs))+1 {
		return fmt.Errorf("epoch %d does not follow epoch %d", c.Epoch(), len(s.epochs))
	}
	s.epochs = append(s.epochs[:c.Epoch()-1:c.Epoch()-1], c)
	return nil
}

// Epochs returns the epochs of a network that are stored.
func (s *MemoryStorage) Epochs(founding *quorum.Committee) (*quorum.Epochs, error) {
	out := quorum.NewEpochs(founding)
	for _, c := range s.epochs {
		if err := out.Add(c); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *MemoryStorage) putRun(r PutRun) error {
	for n := len(s.runs); n > 0 && s.runs[n-1].Position >= r.Position; n-- {
		s.runs = s.runs[:n-1]
	}
	size := uint64(0)
	if n := len(s.runs); n > 0 {
		size = s.runs[n-1].Position + uint64(len(s.runs[n-1].Entries))
	}
	if size != r.Position {
		return fmt.Errorf("the ledger has %d entries, the run begins at %d", size, r.Position)
	}
	s.hashes = append(s.hashes[:tlog.StoredHashCount(int64(size))], r.Hashes...)
	s.runs = append(s.runs, r.Run)
	if want := tlog.StoredHashCount(int64(size) + int64(len(r.Entries))); int64(len(s.hashes)) != want {
		return fmt.Errorf("the ledger has %d stored hashes, want %d", len(s.hashes), want)
	}
	return nil
}

// Runs returns the ledger.
func (s *MemoryStorage) Runs() []Run { return s.runs }

// Decision returns the encoded batch of the log of decisions that holds a leaf,
// or nil if the log is shorter.
func (s *MemoryStorage) Decision(leaf uint64) []byte {
	i := sort.Search(len(s.decisions), func(i int) bool { return s.decisions[i].Old > leaf })
	if i == 0 || leaf > s.decisions[i-1].Old+uint64(len(s.decisions[i-1].Entries)) {
		return nil
	}
	return s.decisions[i-1].Encoded
}

// Case implements Storage.
func (s *MemoryStorage) Case(id protocol.Hash) (accord.Case, bool, error) { return s.Accord.Case(id) }

// OpenCases implements Storage.
func (s *MemoryStorage) OpenCases() ([]accord.Case, error) { return s.Accord.OpenCases() }

// Subject implements Storage.
func (s *MemoryStorage) Subject(name string) (accord.Subject, bool, error) {
	return s.Accord.Subject(name)
}

// Node implements Storage.
func (s *MemoryStorage) Node(log protocol.MemberID, size uint64) (PutNode, bool, error) {
	list := s.nodes[log]
	i := sort.Search(len(list), func(i int) bool { return list[i].Size > size })
	if i == 0 {
		return PutNode{}, false, nil
	}
	return list[i-1], true, nil
}

// State implements Storage.
func (s *MemoryStorage) State() (State, bool, error) {
	if s.state == nil {
		return State{}, false, nil
	}
	return *s.state, true, nil
}

// Checkpoint implements Storage.
func (s *MemoryStorage) Checkpoint() (quorum.Claim, bool, error) {
	return s.claim, len(s.claim.Cosigs) > 0, nil
}

// LedgerHashes implements Storage.
func (s *MemoryStorage) LedgerHashes() tlog.HashReader {
	hashes := s.hashes
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			if x < 0 || x >= int64(len(hashes)) {
				return nil, fmt.Errorf("stored hash %d of the ledger is not there", x)
			}
			out[i] = hashes[x]
		}
		return out, nil
	})
}
