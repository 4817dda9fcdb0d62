package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	ds "github.com/ipfs/go-datastore"

	"github.com/strataos/strataos/node/store/pebbleds"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// epochValue is the stored form of an epoch.
type epochValue struct {
	Epoch protocol.Epoch `json:"epoch"`
	// Roster has those of the network's members, by number, that are new or that
	// have other addresses than in the epoch before.
	Roster map[protocol.MemberID]protocol.Member `json:"roster,omitempty"`
}

// Epochs are those that are stored, the founding one among them. They are shared,
// and do not grow.
func (s *Store) Epochs() *quorum.Epochs { return s.epochs.Load() }

// committee is that of the newest epoch, which knows all logs.
func (s *Store) committee() *quorum.Committee { return s.Epochs().Latest() }

// loadEpochs reads the epochs that follow the founding one.
func (s *Store) loadEpochs(founding *quorum.Committee) error {
	epochs := quorum.NewEpochs(founding)
	for {
		last := epochs.Latest()
		raw, err := s.db.GetRaw(epochKey(last.Epoch() + 1))
		if errors.Is(err, ds.ErrNotFound) {
			s.epochs.Store(epochs)
			return nil
		}
		if err != nil {
			return err
		}
		next, err := parseEpoch(raw, last)
		if err != nil {
			return fmt.Errorf("store: epoch %d: %w", last.Epoch()+1, err)
		}
		if err := epochs.Add(next); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
}

func parseEpoch(raw []byte, last *quorum.Committee) (*quorum.Committee, error) {
	var v epochValue
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, err
	}
	roster := slices.Clone(last.Roster())
	for _, id := range slices.Sorted(maps.Keys(v.Roster)) {
		switch {
		case int(id) < len(roster):
			roster[id] = v.Roster[id]
		case int(id) == len(roster):
			roster = append(roster, v.Roster[id])
		default:
			return nil, fmt.Errorf("it has member %d after %d", id, len(roster)-1)
		}
	}
	return quorum.NewEpoch(last.Network(), roster, v.Epoch)
}

// putEpoch writes the committee of the epoch that comes next, and returns the epochs
// with it.
func putEpoch(b *pebbleds.WriteBatch, c *quorum.Committee, epochs *quorum.Epochs) (*quorum.Epochs, error) {
	last := epochs.Latest()
	epochs = epochs.Clone()
	if err := epochs.Add(c); err != nil {
		return nil, err
	}
	v := epochValue{
		Epoch:  protocol.Epoch{Number: c.Epoch(), Members: c.Members(), Params: c.Params(), Since: c.Since()},
		Roster: map[protocol.MemberID]protocol.Member{},
	}
	before := last.Roster()
	for i, m := range c.Roster() {
		if i >= len(before) || !sameMember(m, before[i]) {
			v.Roster[protocol.MemberID(i)] = m
		}
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	b.Set(epochKey(c.Epoch()), raw)
	return epochs, nil
}

func sameMember(a, b protocol.Member) bool {
	return a.Name == b.Name && a.PeerID == b.PeerID && a.VKey == b.VKey && a.URL == b.URL && slices.Equal(a.Addrs, b.Addrs)
}

// verify checks a certificate, and returns it with its checkpoint.
func (s *Store) verify(claim quorum.Claim) (*quorum.Certificate, *proof.Checkpoint, error) {
	epochs := s.Epochs()
	cert, err := epochs.Verify(claim)
	if err != nil {
		return nil, nil, err
	}
	c, _ := epochs.At(claim.Epoch)
	cp, err := s.SignedByAuthor(proof.NewCheckpoint(c, cert), cert)
	return cert, cp, err
}

// SignedByAuthor returns the checkpoint of a certificate with the author's own
// signature, which a certificate of a later epoch may not have. Others take no
// checkpoint for a log's without it.
func (s *Store) SignedByAuthor(cp *proof.Checkpoint, cert *quorum.Certificate) (*proof.Checkpoint, error) {
	c, log := s.committee(), cert.Log()
	if !c.Known(log) || slices.ContainsFunc(cert.Cosignatures(), func(sig quorum.Cosignature) bool { return sig.Member == log }) {
		return cp, nil
	}
	encoded, err := s.BatchAt(log, cert.Size()-1)
	if err != nil {
		return nil, err
	}
	b, err := wire.DecodeBatch(encoded, wire.MostMessage())
	if err != nil {
		return nil, fmt.Errorf("batch of %s: %w", c.Name(log), err)
	}
	if b.Size() != cert.Size() {
		return nil, fmt.Errorf("no batch of %s ends at %d", c.Name(log), cert.Size())
	}
	return cp.SignedBy(c.Verifier(log), b.AuthorVote().Signature()), nil
}
