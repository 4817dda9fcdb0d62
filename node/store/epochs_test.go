package store

import (
	"slices"
	"strings"
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

// next makes the committee of the epoch that follows the stored ones.
func (b *book) next(members []protocol.MemberID, change func(roster []protocol.Member, p *protocol.Params) []protocol.Member) *quorum.Committee {
	b.t.Helper()
	last := b.Epochs().Latest()
	e := protocol.Epoch{Number: last.Epoch() + 1, Members: members, Params: last.Params(), Since: last.Since() + protocol.Second}
	roster := change(slices.Clone(last.Roster()), &e.Params)
	c, err := quorum.NewEpoch(last.Network(), roster, e)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func unchanged(roster []protocol.Member, _ *protocol.Params) []protocol.Member { return roster }

// TestEpochs stores a committee that grows, moves and shrinks, and reads it back.
func TestEpochs(t *testing.T) {
	b := newBook(t)
	if b.Epochs().Latest() != b.com {
		t.Error("a new store is not in the founding epoch")
	}
	s, err := cosign.NewSigner("strata.example/test/node-5", make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	var want []*quorum.Committee
	enter := func(c *quorum.Committee) {
		b.write(chronos.PutEpoch{Committee: c})
		want = append(want, c)
	}
	enter(b.next([]protocol.MemberID{0, 1, 2, 3, 4}, func(roster []protocol.Member, p *protocol.Params) []protocol.Member {
		p.MaxEventBytes = 128 << 10
		return append(roster, protocol.Member{Name: "node-5", PeerID: "node-5", Addrs: []string{"/ip4/127.0.0.1/tcp/5"}, VKey: s.Verifier().String(), URL: "https://five.example"})
	}))
	enter(b.next([]protocol.MemberID{0, 1, 2, 3, 4}, func(roster []protocol.Member, p *protocol.Params) []protocol.Member {
		roster[1].PeerID, roster[1].Addrs = "elsewhere", []string{"/ip4/127.0.0.1/tcp/6"}
		p.MaxEventBytes = 1 << 10
		return roster
	}))
	held := b.Epochs()
	enter(b.next([]protocol.MemberID{0, 2, 3, 4}, unchanged))
	if held.Latest().Epoch() != 2 || b.Epochs().Latest() != want[2] {
		t.Error("what was read before has changed, or what is read now is not the newest")
	}
	for range 2 {
		b.reopen()
		epochs := b.Epochs()
		if epochs.Latest().Epoch() != 3 {
			t.Fatalf("epoch %d", epochs.Latest().Epoch())
		}
		for i, c := range want {
			got, _ := epochs.At(uint64(i + 1))
			if !slices.Equal(got.Members(), c.Members()) || got.Since() != c.Since() || got.Params() != c.Params() ||
				!slices.EqualFunc(got.Roster(), c.Roster(), sameMember) {
				t.Errorf("epoch %d: %+v", i+1, got)
			}
		}
	}
	if err := b.Write([]witness.Record{chronos.PutEpoch{Committee: want[2]}}, true); err == nil {
		t.Error("an epoch begins twice")
	}
	raw := b.db.NewWriteBatch()
	raw.Set(epochKey(2), []byte(`{"epoch":{"number":2},"roster":{"9":{}}}`))
	if err := raw.Commit(true); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(b.db, b.com, protocol.Hash{1}, "node-1"); err == nil || !strings.Contains(err.Error(), "epoch 2") {
		t.Errorf("a damaged epoch: %v", err)
	}
}

// TestProveAfterLeaving proves an event whose author had left when it was
// certified: the checkpoint has the author's own signature all the same.
func TestProveAfterLeaving(t *testing.T) {
	b := newBook(t)
	e := b.event(1)
	b.append(3, e)
	b.sign(3)
	c := b.next([]protocol.MemberID{0, 1, 2}, unchanged)
	b.write(chronos.PutEpoch{Committee: c})
	claim := quorum.Claim{Log: 3, Epoch: 1, Size: b.tails[3].Size(), Root: b.tails[3].Root()}
	for i := range 3 {
		sig := b.signers[i].Cosign(c.Checkpoint(3, claim.Size, claim.Root), b.now.Seconds())
		claim.Cosigs = append(claim.Cosigs, quorum.Cosignature{Member: protocol.MemberID(i), Time: sig.Time, Sig: sig.Bytes})
	}
	b.write(witness.PutCertificate{Claim: claim})
	f, _, err := b.Find(e.Hash)
	if err != nil || !f.Certified {
		t.Fatalf("%+v %v", f, err)
	}
	p, cp, err := b.Prove(f)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(cp.Note()), "— strata.example/test/node-4 ") {
		t.Errorf("the author has not signed:\n%s", cp.Note())
	}
	policy, err := proof.ParsePolicy([]byte(proof.PolicyText(b.Epochs())))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := proof.Verify(policy, p, proof.Claims{Event: e.Canonical}); err != nil || r.Epoch != 1 {
		t.Errorf("%+v %v", r, err)
	}
}

// sign has a log's author sign its newest batch, as it does before it sends it.
func (b *book) sign(log protocol.MemberID) {
	b.t.Helper()
	encoded, err := b.BatchAt(log, b.tails[log].Size()-1)
	if err != nil {
		b.t.Fatal(err)
	}
	batch, err := wire.DecodeBatch(encoded, 1<<20)
	if err != nil {
		b.t.Fatal(err)
	}
	sig := b.signers[log].Cosign(b.com.Checkpoint(log, batch.Size(), batch.Root), b.now.Seconds())
	batch.CosignTime, batch.Cosignature = sig.Time, sig.Bytes
	if encoded, err = wire.Encode(batch); err != nil {
		b.t.Fatal(err)
	}
	raw := b.db.NewWriteBatch()
	raw.Set(logKey(spaceBatch, log, batch.Old), batchValue(batch.Size(), encoded))
	if err := raw.Commit(true); err != nil {
		b.t.Fatal(err)
	}
}
