// Package scribe writes the logs of a whole network into one member's store and
// has a machine order them, for tests.
package scribe

import (
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

// Store is where a Scribe writes.
type Store interface {
	chronos.Storage
	Write(records []machine.Record, sync bool) error
}

// Scribe is the first member of a network, and writes for the others.
type Scribe struct {
	// Committee is that of the newest epoch. Signers are all members', by number;
	// those of members that are to join are there from the beginning.
	Committee *quorum.Committee
	Signers   []*cosign.Signer
	Store     Store
	// Now is the time of the newest batch.
	Now protocol.Micros
	// Tails are the logs' trees.
	Tails []merkle.Tail
	// Silent are members that cosign no ledger.
	Silent map[protocol.MemberID]bool
	// Edit, if not nil, changes a batch before it is signed.
	Edit func(*wire.Batch)

	t       testing.TB
	machine *chronos.Machine
	heads   []head
	round   uint64
}

// head is a log's newest batch.
type head struct {
	size uint64
	root protocol.Hash
}

// New returns a scribe that begins an empty store at a time.
func New(t testing.TB, c *quorum.Committee, p protocol.Params, signers []*cosign.Signer, store Store, now protocol.Micros) *Scribe {
	t.Helper()
	m, err := chronos.New(chronos.Config{Epochs: quorum.NewEpochs(c), Signer: signers[0]}, store)
	if err != nil {
		t.Fatal(err)
	}
	return &Scribe{
		Committee: c, Signers: signers, Store: store, Now: now, t: t, machine: m,
		Tails: make([]merkle.Tail, len(signers)), heads: make([]head, len(signers)), Silent: map[protocol.MemberID]bool{},
	}
}

// Append writes a certified batch of a log that names the newest batches of
// others as its parents.
func (s *Scribe) Append(log protocol.MemberID, items []wire.Item, parents ...protocol.MemberID) *wire.Batch {
	s.t.Helper()
	s.Now++
	b := &wire.Batch{
		Author: log, Epoch: s.Committee.Epoch(), Old: s.Tails[log].Size(), Round: s.round, Time: s.Now, Items: items,
		Cert: quorum.Claim{Log: log},
	}
	for _, p := range parents {
		if h := s.heads[p]; p != log && h.size > 0 {
			b.Parents = append(b.Parents, protocol.Parent{Member: p, Size: h.size, Root: h.root})
		}
	}
	if s.Edit != nil {
		s.Edit(b)
	}
	records := s.seal(b)
	if err := s.Store.Write(records, false); err != nil {
		s.t.Fatal(err)
	}
	s.heads[log] = head{b.Size(), b.Root}
	s.step(chronos.Extended{Batches: []protocol.Extension{b.Extension()}})
	return b
}

// seal appends a batch to its log's tree and has three quarters of the members
// cosign it.
func (s *Scribe) seal(b *wire.Batch) []machine.Record {
	s.t.Helper()
	tail := &s.Tails[b.Author]
	tail.Append(tlog.RecordHash(b.Header().Append(nil)))
	put := witness.PutBatch{Log: b.Author, Old: b.Old}
	for i := range b.Items {
		e := b.Items[i].Entry(b.Time)
		leaf, _ := e.LeafHash(nil)
		tail.Append(leaf)
		put.Entries = append(put.Entries, e)
	}
	b.Root = tail.Root()
	claim := quorum.Claim{Log: b.Author, Epoch: s.Committee.Epoch(), Size: b.Size(), Root: b.Root}
	for _, id := range s.Committee.Members() {
		if len(claim.Cosigs) == s.Committee.Quorum()-1 && id < b.Author && s.Committee.Has(b.Author) {
			continue // there is room for the author
		}
		if len(claim.Cosigs) < s.Committee.Quorum() {
			claim.Cosigs = append(claim.Cosigs, s.cosign(id, b.Author, claim.Size, claim.Root))
		}
	}
	own := s.cosign(b.Author, b.Author, claim.Size, claim.Root)
	b.CosignTime, b.Cosignature = own.Time, own.Sig
	encoded, err := wire.Encode(b)
	if err != nil {
		s.t.Fatal(err)
	}
	put.Encoded, put.Hashes = encoded, append([]tlog.Hash(nil), tail.HashesFrom(b.Old)...)
	return []machine.Record{put, witness.PutCertificate{Claim: claim}}
}

func (s *Scribe) cosign(voter, log protocol.MemberID, size uint64, root protocol.Hash) quorum.Cosignature {
	sig := s.Signers[voter].Cosign(s.Committee.Checkpoint(log, size, root), s.Now.Seconds())
	return quorum.Cosignature{Member: voter, Time: sig.Time, Sig: sig.Bytes}
}

// Settle has everything ordered that was written, and the ledger cosigned, by
// empty batches of all members in new rounds.
func (s *Scribe) Settle() {
	s.t.Helper()
	for range 6 {
		all := s.Committee.Members()
		s.round++
		s.Now += protocol.Second / 2
		for _, id := range all {
			s.Append(id, nil, all...)
		}
	}
}

// step gives the machine an input and does what it asks for, until it asks for
// nothing more.
func (s *Scribe) step(inputs ...chronos.Input) {
	s.t.Helper()
	for len(inputs) > 0 {
		effects, err := s.machine.Step(s.Now, inputs...)
		if err != nil {
			s.t.Fatal(err)
		}
		inputs = nil
		for _, e := range append([]chronos.Effect(nil), effects...) {
			switch e := e.(type) {
			case machine.Persist:
				if err := s.Store.Write(e.Records, false); err != nil {
					s.t.Fatal(err)
				}
				inputs = append(inputs, chronos.Persisted{Seq: e.Seq})
			case machine.Publish:
				if h, ok := e.Msg.(*wire.LedgerHead); ok {
					inputs = append(inputs, s.others(h.Head)...)
				}
			case chronos.EpochBegun:
				s.Committee = e.Committee
			case chronos.Halted:
				s.t.Fatal(e.Reason)
			}
		}
	}
}

// others are the cosignatures of the other members for a ledger's head, those of
// members that have left among them: which count is for the machine to know.
func (s *Scribe) others(h wire.Signed) []chronos.Input {
	var out []chronos.Input
	for i := range s.Committee.Logs() {
		id := protocol.MemberID(i)
		if id == 0 || s.Silent[id] {
			continue
		}
		c := s.cosign(id, protocol.Ledger, h.Size, h.Root)
		out = append(out, chronos.Receive{From: id, Msg: &wire.LedgerHead{
			Voter: id, Head: wire.Signed{Size: h.Size, Root: h.Root, Time: c.Time, Sig: c.Sig},
			Cert: quorum.Claim{Log: protocol.Ledger},
		}})
	}
	return out
}

// Attest is an item of an event.
func Attest(t testing.TB, text string) wire.Item {
	t.Helper()
	e, err := protocol.ParseEvent([]byte(text), 1<<20)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return wire.Item{Kind: protocol.KindAttest, Body: e.Canonical}
}

// Anchor is an item of an anchor that is kept for so many seconds; 0 means
// forever.
func Anchor(t testing.TB, text string, ttl uint32) wire.Item {
	t.Helper()
	a, err := protocol.ParseAnchor([]byte(text), 1<<20)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return wire.Item{Kind: a.Kind, TTL: ttl, Body: a.Canonical}
}

// Act is an item for Accord.
func Act(t testing.TB, kind protocol.Kind, body []byte) wire.Item {
	t.Helper()
	if _, err := protocol.CheckBody(kind, body, 1<<20); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return wire.Item{Kind: kind, Body: body}
}
