package accord

import (
	"maps"
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/machine"
)

// MemoryStorage keeps what a Book's records write in memory, for tests and
// simulation. The zero value is empty. It implements Storage.
type MemoryStorage struct {
	cases    map[protocol.Hash]Case
	open     map[protocol.Hash]bool
	subjects map[string]Subject
	votes    map[protocol.Hash]map[uint64]PutVote
	reports  map[protocol.Hash]map[uint64]PutReport
}

// Clone returns a copy that does not change with the original.
func (s *MemoryStorage) Clone() MemoryStorage {
	out := MemoryStorage{
		cases: maps.Clone(s.cases), open: maps.Clone(s.open), subjects: maps.Clone(s.subjects),
		votes: map[protocol.Hash]map[uint64]PutVote{}, reports: map[protocol.Hash]map[uint64]PutReport{},
	}
	for id, votes := range s.votes {
		out.votes[id] = maps.Clone(votes)
	}
	for id, reports := range s.reports {
		out.reports[id] = maps.Clone(reports)
	}
	return out
}

// Apply writes a record. It answers false for records of other machines.
func (s *MemoryStorage) Apply(r machine.Record) bool {
	if s.cases == nil {
		*s = MemoryStorage{
			cases: map[protocol.Hash]Case{}, open: map[protocol.Hash]bool{}, subjects: map[string]Subject{},
			votes: map[protocol.Hash]map[uint64]PutVote{}, reports: map[protocol.Hash]map[uint64]PutReport{},
		}
	}
	switch r := r.(type) {
	case PutCase:
		id := r.Case.Proposal.ID
		s.cases[id] = r.Case
		delete(s.open, id)
		if r.Case.Status == Open {
			s.open[id] = true
		}
	case PutSubject:
		s.subjects[r.Subject.Name] = r.Subject
	case PutVote:
		if s.votes[r.Proposal] == nil {
			s.votes[r.Proposal] = map[uint64]PutVote{}
		}
		s.votes[r.Proposal][r.Ballot.Position] = r
	case PutReport:
		if s.reports[r.Proposal] == nil {
			s.reports[r.Proposal] = map[uint64]PutReport{}
		}
		s.reports[r.Proposal][r.Position] = r
	default:
		return false
	}
	return true
}

// Case implements Storage.
func (s *MemoryStorage) Case(id protocol.Hash) (Case, bool, error) {
	c, ok := s.cases[id]
	c.Votes = slices.Clone(c.Votes)
	return c, ok, nil
}

// OpenCases implements Storage. They come in the order of the ledger.
func (s *MemoryStorage) OpenCases() ([]Case, error) {
	var out []Case
	for id := range s.open {
		c := s.cases[id]
		c.Votes = slices.Clone(c.Votes)
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Case) int { return int(int64(a.Position) - int64(b.Position)) })
	return out, nil
}

// Subject implements Storage.
func (s *MemoryStorage) Subject(name string) (Subject, bool, error) {
	subject, ok := s.subjects[name]
	return subject, ok, nil
}

// Open is how many cases are open.
func (s *MemoryStorage) Open() int { return len(s.open) }

// Cases returns all cases, in no order.
func (s *MemoryStorage) Cases() map[protocol.Hash]Case { return s.cases }

// Votes returns all votes on a proposal, in the order of the ledger.
func (s *MemoryStorage) Votes(id protocol.Hash) []PutVote {
	var out []PutVote
	for _, at := range slices.Sorted(maps.Keys(s.votes[id])) {
		out = append(out, s.votes[id][at])
	}
	return out
}

// Reports returns all reports on a proposal, in the order of the ledger.
func (s *MemoryStorage) Reports(id protocol.Hash) []PutReport {
	var out []PutReport
	for _, at := range slices.Sorted(maps.Keys(s.reports[id])) {
		out = append(out, s.reports[id][at])
	}
	return out
}
