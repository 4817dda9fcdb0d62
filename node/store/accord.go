package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/fxamacker/cbor/v2"
	ds "github.com/ipfs/go-datastore"

	"github.com/strataos/strataos/node/store/pebbleds"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/machine"
)

// caseRecord is the stored form of an accord.Case.
type caseRecord struct {
	_         struct{} `cbor:",toarray"`
	Proposal  []byte   // in canonical form
	Position  uint64
	Time      protocol.Micros
	Status    accord.Status
	Version   uint64
	Votes     []ballotRecord
	Decided   uint64 // the subject's version with the decision
	Reason    string
	Winner    protocol.Hash
	DecidedAt uint64
	DecidedOn protocol.Micros
}

type ballotRecord struct {
	_        struct{} `cbor:",toarray"`
	Member   string
	Accept   bool
	Position uint64
}

type voteRecord struct {
	_      struct{} `cbor:",toarray"`
	Ballot ballotRecord
	Mark   accord.Mark
	Reason string
	Time   protocol.Micros
}

type reportRecord struct {
	_      struct{} `cbor:",toarray"`
	Member string
	Failed bool
	Note   string
	Time   protocol.Micros
}

type subjectRecord struct {
	_         struct{} `cbor:",toarray"`
	Name      string
	Version   uint64
	Proposal  protocol.Hash
	DecidedAt uint64
}

func idKey(space string, id protocol.Hash) []byte {
	return hex.AppendEncode(append(make([]byte, 0, 80), space...), id[:])
}

func idPrefix(space string, id protocol.Hash) []byte { return append(idKey(space, id), '/') }

func positionKey(space string, position uint64) []byte {
	return appendHex([]byte(space), position, 16)
}

func subjectPrefix(space, name string) []byte {
	return idPrefix(space, sha256.Sum256([]byte(name)))
}

func subjectKey(name string) []byte { return idKey(spaceSubject, sha256.Sum256([]byte(name))) }

// putAccord stores what decisions are made of.
func (s *Store) putAccord(b *pebbleds.WriteBatch, r machine.Record) error {
	switch r := r.(type) {
	case accord.PutDecisions:
		b.Set(logKey(spaceBatch, protocol.Accord, r.Old), batchValue(r.Old+1+uint64(len(r.Entries)), r.Encoded))
		for i, e := range r.Entries {
			b.Set(eventKey(e.Hash, protocol.Accord, r.Old+1+uint64(i)), indexOf(e))
		}
		return nil
	case accord.PutCase:
		return putCase(b, &r.Case)
	case accord.PutVote:
		return setCBOR(b, appendHex(idPrefix(spaceVote, r.Proposal), r.Ballot.Position, 16),
			voteRecord{Ballot: ballotOf(r.Ballot), Mark: r.Mark, Reason: r.Reason, Time: r.Time})
	case accord.PutReport:
		return setCBOR(b, appendHex(idPrefix(spaceReport, r.Proposal), r.Position, 16),
			reportRecord{Member: r.Member, Failed: r.Report.Failed, Note: r.Report.Note, Time: r.Time})
	case accord.PutSubject:
		return setCBOR(b, subjectKey(r.Subject.Name), subjectRecord{
			Name: r.Subject.Name, Version: r.Subject.Version, Proposal: r.Subject.Proposal, DecidedAt: r.Subject.DecidedAt,
		})
	}
	return fmt.Errorf("store: unknown record %T", r)
}

func setCBOR(b *pebbleds.WriteBatch, key []byte, v any) error {
	value, err := cbor.Marshal(v)
	if err == nil {
		b.Set(key, value)
	}
	return err
}

func ballotOf(v accord.Ballot) ballotRecord {
	return ballotRecord{Member: v.Member, Accept: v.Accept, Position: v.Position}
}

func (r ballotRecord) ballot() accord.Ballot {
	return accord.Ballot{Member: r.Member, Accept: r.Accept, Position: r.Position}
}

func putCase(b *pebbleds.WriteBatch, c *accord.Case) error {
	r := caseRecord{
		Proposal: c.Proposal.Canonical, Position: c.Position, Time: c.Time, Status: c.Status, Version: c.Version,
		Decided: c.Decision.Version, Reason: c.Decision.Reason, Winner: c.Decision.Winner,
		DecidedAt: c.DecidedAt, DecidedOn: c.DecidedOn,
	}
	for _, v := range c.Votes {
		r.Votes = append(r.Votes, ballotOf(v))
	}
	id := c.Proposal.ID
	b.Set(positionKey(spaceProposal, c.Position), id[:])
	if c.Proposal.Subject != "" {
		b.Set(appendHex(subjectPrefix(spaceAbout, c.Proposal.Subject), c.Position, 16), id[:])
	}
	if c.Status == accord.Open {
		b.Set(idKey(spaceOpen, id), nil)
	} else {
		b.Delete(idKey(spaceOpen, id))
		b.Set(positionKey(spaceDecided, c.DecidedAt), id[:])
	}
	return setCBOR(b, idKey(spaceCase, id), r)
}

// Case implements accord.Storage.
func (s *Store) Case(id protocol.Hash) (accord.Case, bool, error) {
	var r caseRecord
	ok, err := s.readCBOR(idKey(spaceCase, id), &r)
	if err != nil || !ok {
		return accord.Case{}, false, err
	}
	p, err := protocol.CheckProposal(r.Proposal, len(r.Proposal))
	if err != nil {
		return accord.Case{}, false, fmt.Errorf("store: proposal %s: %w", id, err)
	}
	c := accord.Case{
		Proposal: p, Position: r.Position, Time: r.Time, Status: r.Status, Version: r.Version,
		DecidedAt: r.DecidedAt, DecidedOn: r.DecidedOn,
	}
	for _, v := range r.Votes {
		c.Votes = append(c.Votes, v.ballot())
	}
	if c.Status != accord.Open {
		c.Decision = accord.Decision{
			ID: id, Position: r.Position, Status: r.Status, Subject: p.Subject, Version: r.Decided,
			Votes: c.Votes, Reason: r.Reason, Winner: r.Winner,
		}
	}
	return c, true, nil
}

func (s *Store) readCBOR(key []byte, into any) (bool, error) {
	value, err := s.db.GetRaw(key)
	if errors.Is(err, ds.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := cbor.Unmarshal(value, into); err != nil {
		return false, fmt.Errorf("store: %s is damaged: %w", key, err)
	}
	return true, nil
}

// OpenCases implements accord.Storage.
func (s *Store) OpenCases() ([]accord.Case, error) {
	ids, err := s.openIDs(math.MaxInt)
	if err != nil {
		return nil, err
	}
	var out []accord.Case
	for _, id := range ids {
		c, ok, err := s.Case(id)
		if err != nil || !ok {
			return nil, errors.Join(err, fmt.Errorf("store: the open proposal %s is not there", id))
		}
		out = append(out, c)
	}
	return out, nil
}

// Open returns the cases that are open, the newest first. It answers false if there
// are more than limit. It may be called while cases are decided, and so return one
// that is not open any more.
func (s *Store) Open(limit int) ([]accord.Case, bool, error) {
	ids, err := s.openIDs(limit + 1)
	if err != nil || len(ids) > limit {
		return nil, false, err
	}
	var out []accord.Case
	for _, id := range ids {
		c, ok, err := s.Case(id)
		if err != nil {
			return nil, false, err
		}
		if ok {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b accord.Case) int { return cmp.Compare(b.Position, a.Position) })
	return out, true, nil
}

// openIDs returns the ids of proposals that are open, at most limit, in no order.
func (s *Store) openIDs(limit int) ([]protocol.Hash, error) {
	var ids []protocol.Hash
	prefix := []byte(spaceOpen)
	err := s.db.Scan(prefix, upper(prefix), false, func(key, _ []byte) (bool, error) {
		raw, err := hex.DecodeString(string(key[len(prefix):]))
		if err != nil || len(raw) != len(protocol.Hash{}) {
			return false, fmt.Errorf("store: %s is no key of a proposal", key)
		}
		ids = append(ids, protocol.Hash(raw))
		return len(ids) < limit, nil
	})
	return ids, err
}

// Subject implements accord.Storage.
func (s *Store) Subject(name string) (accord.Subject, bool, error) {
	var r subjectRecord
	ok, err := s.readCBOR(subjectKey(name), &r)
	if err != nil || !ok {
		return accord.Subject{}, false, err
	}
	return accord.Subject{Name: r.Name, Version: r.Version, Proposal: r.Proposal, DecidedAt: r.DecidedAt}, true, nil
}

// Votes returns the votes on a proposal, in the order of the ledger, at most limit.
func (s *Store) Votes(id protocol.Hash, limit int) ([]accord.PutVote, error) {
	var out []accord.PutVote
	prefix := idPrefix(spaceVote, id)
	err := s.db.Scan(prefix, upper(prefix), false, func(key, value []byte) (bool, error) {
		var r voteRecord
		if err := cbor.Unmarshal(value, &r); err != nil {
			return false, fmt.Errorf("store: %s is damaged: %w", key, err)
		}
		out = append(out, accord.PutVote{Proposal: id, Ballot: r.Ballot.ballot(), Mark: r.Mark, Reason: r.Reason, Time: r.Time})
		return len(out) < limit, nil
	})
	return out, err
}

// Reports returns the reports on a proposal, in the order of the ledger, at most
// limit.
func (s *Store) Reports(id protocol.Hash, limit int) ([]accord.PutReport, error) {
	var out []accord.PutReport
	prefix := idPrefix(spaceReport, id)
	err := s.db.Scan(prefix, upper(prefix), false, func(key, value []byte) (bool, error) {
		var r reportRecord
		if err := cbor.Unmarshal(value, &r); err != nil {
			return false, fmt.Errorf("store: %s is damaged: %w", key, err)
		}
		out = append(out, accord.PutReport{
			Proposal: id, Member: r.Member, Position: parseHex(key[len(key)-16:]), Time: r.Time,
			Report: protocol.Report{Proposal: id, Failed: r.Failed, Note: r.Note},
		})
		return len(out) < limit, nil
	})
	return out, err
}

// Proposals calls fn with the ids of proposals by their places in the ledger, the
// newest first, that are before a place, until fn answers false. With a subject
// they are those about it.
func (s *Store) Proposals(subject string, before uint64, fn func(id protocol.Hash, position uint64) (bool, error)) error {
	prefix := []byte(spaceProposal)
	if subject != "" {
		prefix = subjectPrefix(spaceAbout, subject)
	}
	end := appendHex(append([]byte(nil), prefix...), before, 16)
	return s.db.Scan(prefix, end, true, func(key, value []byte) (bool, error) {
		if len(value) != len(protocol.Hash{}) {
			return false, fmt.Errorf("store: %s is damaged", key)
		}
		return fn(protocol.Hash(value), parseHex(key[len(key)-16:]))
	})
}

// Decided calls fn with the ids of proposals by the places of their decisions in
// the ledger, the oldest first, from a place on, until fn answers false.
func (s *Store) Decided(from uint64, fn func(id protocol.Hash, position uint64) (bool, error)) error {
	prefix := []byte(spaceDecided)
	return s.db.Scan(positionKey(spaceDecided, from), upper(prefix), false, func(key, value []byte) (bool, error) {
		if len(value) != len(protocol.Hash{}) {
			return false, fmt.Errorf("store: %s is damaged", key)
		}
		return fn(protocol.Hash(value), parseHex(key[len(key)-16:]))
	})
}
