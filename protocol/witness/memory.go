package witness

import (
	"fmt"
	"slices"
	"sort"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// MemoryStorage keeps what Persist effects write in memory, for tests and
// simulation. The zero value is empty.
type MemoryStorage struct {
	logs     map[protocol.MemberID]*memoryLog
	handover *wire.Handover
}

type memoryLog struct {
	batches  []storedBatch // in order
	hashes   []tlog.Hash
	certs    []quorum.Claim // by size
	evidence *wire.Evidence
}

type storedBatch struct {
	old, size uint64
	encoded   []byte
}

// Clone returns a copy that does not change with the original.
func (s *MemoryStorage) Clone() MemoryStorage {
	out := MemoryStorage{logs: make(map[protocol.MemberID]*memoryLog, len(s.logs)), handover: s.handover}
	for id, l := range s.logs {
		out.logs[id] = &memoryLog{
			batches: slices.Clone(l.batches), hashes: slices.Clone(l.hashes),
			certs: slices.Clone(l.certs), evidence: l.evidence,
		}
	}
	return out
}

func (s *MemoryStorage) log(id protocol.MemberID) *memoryLog {
	if s.logs == nil {
		s.logs = map[protocol.MemberID]*memoryLog{}
	}
	if s.logs[id] == nil {
		s.logs[id] = &memoryLog{}
	}
	return s.logs[id]
}

func (l *memoryLog) size() uint64 {
	if len(l.batches) == 0 {
		return 0
	}
	return l.batches[len(l.batches)-1].size
}

// Apply writes records. An error means that they do not fit what is stored,
// which is a bug of the machine.
func (s *MemoryStorage) Apply(records []Record) error {
	for _, r := range records {
		switch r := r.(type) {
		case PutBatch:
			l := s.log(r.Log)
			if l.size() != r.Old {
				return fmt.Errorf("log %d has %d leaves, the batch begins at %d", r.Log, l.size(), r.Old)
			}
			l.batches = append(l.batches, storedBatch{r.Old, r.Old + 1 + uint64(len(r.Entries)), r.Encoded})
			l.hashes = append(l.hashes, r.Hashes...)
			if want := tlog.StoredHashCount(int64(l.size())); int64(len(l.hashes)) != want {
				return fmt.Errorf("log %d has %d stored hashes, want %d", r.Log, len(l.hashes), want)
			}
		case PutCertificate:
			l := s.log(r.Claim.Log)
			if i, found := l.certAt(r.Claim.Size); !found {
				l.certs = append(l.certs, quorum.Claim{})
				copy(l.certs[i+1:], l.certs[i:])
				l.certs[i] = r.Claim
			}
		case PutHandover:
			s.handover = &r.Handover
		case PutEvidence:
			s.log(r.Evidence.Author).evidence = r.Evidence
		case Truncate:
			l := s.log(r.Log)
			for len(l.batches) > 0 && l.batches[len(l.batches)-1].old >= r.Size {
				l.batches = l.batches[:len(l.batches)-1]
			}
			l.hashes = l.hashes[:tlog.StoredHashCount(int64(l.size()))]
		}
	}
	return nil
}

func (l *memoryLog) certAt(size uint64) (int, bool) {
	i := sort.Search(len(l.certs), func(i int) bool { return l.certs[i].Size >= size })
	return i, i < len(l.certs) && l.certs[i].Size == size
}

// Size implements Storage.
func (s *MemoryStorage) Size(log protocol.MemberID) (uint64, error) { return s.log(log).size(), nil }

// BatchAt implements Storage.
func (s *MemoryStorage) BatchAt(log protocol.MemberID, leaf uint64) ([]byte, error) {
	l := s.log(log)
	i := sort.Search(len(l.batches), func(i int) bool { return l.batches[i].size > leaf })
	if i == len(l.batches) {
		return nil, nil
	}
	return l.batches[i].encoded, nil
}

// Hashes implements Storage.
func (s *MemoryStorage) Hashes(log protocol.MemberID) tlog.HashReader {
	l := s.log(log)
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			if x < 0 || x >= int64(len(l.hashes)) {
				return nil, fmt.Errorf("stored hash %d of log %d is not there", x, log)
			}
			out[i] = l.hashes[x]
		}
		return out, nil
	})
}

// Certificate implements Storage.
func (s *MemoryStorage) Certificate(log protocol.MemberID, size uint64) (quorum.Claim, bool, error) {
	l := s.log(log)
	i, _ := l.certAt(size)
	if size == Latest {
		i = len(l.certs) - 1
	}
	if i < 0 || i >= len(l.certs) {
		return quorum.Claim{}, false, nil
	}
	return l.certs[i], true, nil
}

// Handover implements Storage.
func (s *MemoryStorage) Handover() (wire.Handover, bool, error) {
	if s.handover == nil {
		return wire.Handover{}, false, nil
	}
	return *s.handover, true, nil
}

// Evidence implements Storage.
func (s *MemoryStorage) Evidence(log protocol.MemberID) (*wire.Evidence, error) {
	return s.log(log).evidence, nil
}
