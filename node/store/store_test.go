package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/node/store/pebbleds"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

const start = 1_700_000_000 * protocol.Second

// book is a store and the logs that a test writes into it.
type book struct {
	t       *testing.T
	dir     string
	genesis *protocol.Genesis
	com     *quorum.Committee
	signers []*cosign.Signer
	db      *pebbleds.Datastore
	*Store
	tails []merkle.Tail
	now   protocol.Micros
}

func newBook(t *testing.T) *book {
	t.Helper()
	b := &book{t: t, dir: t.TempDir(), tails: make([]merkle.Tail, 4), now: start}
	b.genesis = &protocol.Genesis{Network: "strata.example/test", Params: protocol.DefaultParams()}
	for i := range 4 {
		name := fmt.Sprintf("node-%d", i+1)
		seed := sha256.Sum256([]byte(name))
		s, err := cosign.NewSigner(b.genesis.Network+"/"+name, seed[:])
		if err != nil {
			t.Fatal(err)
		}
		b.signers = append(b.signers, s)
		b.genesis.Members = append(b.genesis.Members, protocol.Member{Name: name, PeerID: name, VKey: s.Verifier().String()})
	}
	var err error
	if b.com, err = quorum.NewCommittee(b.genesis); err != nil {
		t.Fatal(err)
	}
	b.open()
	t.Cleanup(func() {
		if err := b.db.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *book) open() {
	b.t.Helper()
	var err error
	if b.db, err = pebbleds.Open(b.dir, pebbleds.Options{MemTableSize: 1 << 20}); err != nil {
		b.t.Fatal(err)
	}
	if b.Store, err = Open(b.db, b.com, protocol.Hash{1}, "node-1"); err != nil {
		b.t.Fatal(err)
	}
}

func (b *book) reopen() {
	b.t.Helper()
	if err := b.db.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.open()
}

func (b *book) event(n int) protocol.Event {
	b.t.Helper()
	e, err := protocol.ParseEvent(fmt.Appendf(nil, `{"type":"test","payload":{"n":%d}}`, n), 1<<16)
	if err != nil {
		b.t.Fatal(err)
	}
	return e
}

// append writes a batch of events.
func (b *book) append(log protocol.MemberID, events ...protocol.Event) {
	b.t.Helper()
	b.now++
	tail := &b.tails[log]
	batch := &wire.Batch{Author: log, Old: tail.Size(), Time: b.now}
	tail.Append(tlog.RecordHash(batch.Header().Append(nil)))
	var entries []protocol.Entry
	for _, e := range events {
		entry := protocol.Entry{Kind: protocol.KindAttest, Hash: e.Hash, Time: b.now}
		leaf, _ := entry.LeafHash(nil)
		tail.Append(leaf)
		entries = append(entries, entry)
		batch.Items = append(batch.Items, wire.Item{Kind: protocol.KindAttest, Body: e.Canonical})
	}
	batch.Root = tail.Root()
	encoded, err := wire.Encode(batch)
	if err != nil {
		b.t.Fatal(err)
	}
	b.write(witness.PutBatch{Log: log, Old: batch.Old, Encoded: encoded, Hashes: tail.HashesFrom(batch.Old), Entries: entries})
}

func (b *book) write(records ...witness.Record) {
	b.t.Helper()
	if err := b.Write(records, true); err != nil {
		b.t.Fatal(err)
	}
}

// certify writes a certificate of a log's head.
func (b *book) certify(log protocol.MemberID) quorum.Claim {
	b.t.Helper()
	claim := quorum.Claim{Log: log, Size: b.tails[log].Size(), Root: b.tails[log].Root()}
	for i := range 3 {
		sig := b.signers[i].Cosign(b.com.Checkpoint(log, claim.Size, claim.Root), b.now.Seconds())
		claim.Cosigs = append(claim.Cosigs, quorum.Cosignature{Member: protocol.MemberID(i), Time: sig.Time, Sig: sig.Bytes})
	}
	b.write(witness.PutCertificate{Claim: claim})
	return claim
}

func TestBelongsToOne(t *testing.T) {
	b := newBook(t)
	for _, c := range []struct {
		network protocol.Hash
		member  string
		want    string
	}{{protocol.Hash{2}, "node-1", "network"}, {protocol.Hash{1}, "node-2", "member"}} {
		_, err := Open(b.db, b.com, c.network, c.member)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "another data folder") {
			t.Errorf("%v", err)
		}
	}
}

// TestLogs writes batches of many sizes and reads all of it back, before and
// after a restart, held to the tree in memory.
func TestLogs(t *testing.T) {
	b := newBook(t)
	n := 0
	for k := range 30 {
		var events []protocol.Event
		for range k % 7 {
			n++
			events = append(events, b.event(n))
		}
		b.append(1, events...)
		b.append(2)
	}
	for range 2 {
		size, err := b.Size(1)
		if err != nil || size != b.tails[1].Size() {
			t.Fatalf("%d, %v", size, err)
		}
		root, err := tlog.TreeHash(int64(size), b.Hashes(1))
		if err != nil || root != tlog.Hash(b.tails[1].Root()) {
			t.Fatalf("%v, %v", root, err)
		}
		for at := uint64(0); at < size; at++ {
			encoded, err := b.BatchAt(1, at)
			if err != nil {
				t.Fatal(err)
			}
			batch, err := wire.DecodeBatch(encoded, 1<<20)
			if err != nil || at < batch.Old || at >= batch.Size() || batch.Author != 1 {
				t.Fatalf("leaf %d: %v", at, err)
			}
		}
		if encoded, err := b.BatchAt(1, size); err != nil || encoded != nil {
			t.Errorf("behind the end there is %x, %v", encoded, err)
		}
		if size, err := b.Size(3); err != nil || size != 0 {
			t.Errorf("an empty log has %d leaves, %v", size, err)
		}
		if _, err := b.Hashes(1).ReadHashes([]int64{tlog.StoredHashCount(int64(size))}); err == nil {
			t.Error("a hash behind the end is read")
		}
		b.reopen()
	}
}

func TestCertificates(t *testing.T) {
	b := newBook(t)
	if _, ok, err := b.Certificate(1, witness.Latest); ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
	var claims []quorum.Claim
	for i := range 3 {
		b.append(1, b.event(i))
		claims = append(claims, b.certify(1))
	}
	for _, c := range []struct{ size, want uint64 }{{0, 2}, {1, 2}, {2, 2}, {3, 4}, {6, 6}, {witness.Latest, 6}} {
		got, ok, err := b.Certificate(1, c.size)
		if err != nil || !ok || got.Size != c.want {
			t.Errorf("%d: %+v %v %v", c.size, got.Size, ok, err)
		}
		if _, err := b.com.Verify(got); err != nil {
			t.Error(err)
		}
	}
	if _, ok, err := b.Certificate(1, claims[2].Size+1); ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
}

func TestFindAndProve(t *testing.T) {
	b := newBook(t)
	e := b.event(1)
	policy, err := proof.ParsePolicy([]byte(proof.EpochPolicyText(b.com)))
	if err != nil {
		t.Fatal(err)
	}
	if _, count, err := b.Find(e.Hash); count != 0 || err != nil {
		t.Errorf("%d %v", count, err)
	}
	b.append(2, e) // earlier, but not certified for now
	b.append(1, b.event(7), e)
	first, count, err := b.Find(e.Hash)
	if err != nil || count != 2 || first.Certified || first.Log != 2 {
		t.Errorf("%+v %d %v", first, count, err)
	}
	if _, _, err := b.Prove(first); err == nil {
		t.Error("what is not certified is proved")
	}
	b.certify(1)
	if first, _, err = b.Find(e.Hash); err != nil || first.Log != 1 || first.Index != 2 || !first.Certified {
		t.Errorf("%+v %v", first, err)
	}
	b.certify(2)
	if first, _, err = b.Find(e.Hash); err != nil || first.Log != 2 || !first.Certified {
		t.Errorf("%+v %v", first, err)
	}
	for range 2 {
		p, cp, err := b.Prove(first)
		if err != nil {
			t.Fatal(err)
		}
		r, err := proof.Verify(policy, p, proof.Claims{Event: e.Canonical})
		if err != nil || r.WitnessedAt != cp.WitnessedAt() {
			t.Errorf("%+v %v", r, err)
		}
		// Later certificates don't change which one proves.
		b.append(2, b.event(9))
		b.certify(2)
	}
	if f, ok, err := b.FindOwn(1, protocol.Entry{Kind: protocol.KindAttest, Hash: e.Hash}, 2); err != nil || !ok || f.Log != 1 || f.Index != 2 {
		t.Errorf("%+v %v %v", f, ok, err)
	}
	if _, ok, err := b.FindOwn(1, protocol.Entry{Kind: protocol.KindAttest, Hash: e.Hash}, 3); err != nil || ok {
		t.Errorf("one that lies before is found: %v", err)
	}
	if _, ok, err := b.FindOwn(1, protocol.Entry{Kind: protocol.KindAttest, Hash: e.Hash, TTL: 60}, 2); err != nil || ok {
		t.Errorf("an entry of another life is found: %v", err)
	}
	if _, ok, err := b.FindOwn(0, protocol.Entry{Kind: protocol.KindAttest, Hash: e.Hash}, 0); err != nil || ok {
		t.Errorf("another's is found: %v", err)
	}
}

// TestFindAmongMany finds the earliest attestation of an event also where the
// logs before its own have more of them than are counted.
func TestFindAmongMany(t *testing.T) {
	b := newBook(t)
	e := b.event(1)
	b.append(3, b.event(2), e)
	b.certify(3)
	const batch = 2_500
	events := make([]protocol.Event, batch)
	for i := range events {
		events[i] = e
	}
	for i := range 4 {
		b.append(1, events...)
		if _, count, err := b.Find(e.Hash); err != nil || count != 1+(i+1)*batch {
			t.Errorf("%d %v", count, err)
		}
	}
	b.append(1, events...)
	b.certify(1)
	first, count, err := b.Find(e.Hash)
	if err != nil || first.Log != 3 || first.Index != 2 || count != MaxCounted+1 {
		t.Errorf("%+v %d %v", first, count, err)
	}
	if f, ok, err := b.FindOwn(1, protocol.Entry{Kind: protocol.KindAttest, Hash: e.Hash}, 3*batch+3); err != nil || !ok || f.Index != 3*batch+4 {
		t.Errorf("%+v %v %v", f, ok, err) // the leaf before it is a batch's header
	}
	// Where an author has signed two histories, each entry is looked at.
	b.write(witness.PutEvidence{Evidence: &wire.Evidence{Author: 1}})
	if _, count, err := b.Find(e.Hash); err != nil || count != MaxCounted+1 {
		t.Errorf("%d %v", count, err)
	}
}

// TestTruncate drops a history for another: what the index says of the first
// must not be believed.
func TestTruncate(t *testing.T) {
	b := newBook(t)
	kept, lost, other := b.event(1), b.event(2), b.event(3)
	b.append(1, kept)
	size := b.tails[1].Size()
	b.append(1, lost)
	if err := b.tails[1].Rewind(size); err != nil {
		t.Fatal(err)
	}
	b.write(witness.Truncate{Log: 1, Size: size})
	if got, err := b.Size(1); err != nil || got != size {
		t.Errorf("%d %v", got, err)
	}
	for range 2 {
		if _, count, err := b.Find(lost.Hash); err != nil || count != 0 {
			t.Errorf("what was dropped is found: %d %v", count, err)
		}
		if _, count, err := b.Find(kept.Hash); err != nil || count != 1 {
			t.Errorf("what was kept is not found: %d %v", count, err)
		}
		if b.tails[1].Size() == size {
			b.append(1, other) // at the same place
		}
	}
	if root, err := tlog.TreeHash(int64(b.tails[1].Size()), b.Hashes(1)); err != nil || root != tlog.Hash(b.tails[1].Root()) {
		t.Errorf("%v %v", root, err)
	}
}

func TestEvidence(t *testing.T) {
	b := newBook(t)
	if e, err := b.Evidence(2); err != nil || e != nil {
		t.Errorf("%+v %v", e, err)
	}
	b.write(witness.PutEvidence{Evidence: &wire.Evidence{Author: 2, Low: wire.Signed{Size: 1}, High: wire.Signed{Size: 2}, Proof: []protocol.Hash{{5}}}})
	b.reopen()
	if e, err := b.Evidence(2); err != nil || e == nil || e.High.Size != 2 || len(e.Proof) != 1 {
		t.Errorf("%+v %v", e, err)
	}
}

func TestRecords(t *testing.T) {
	b := newBook(t)
	ctx, now := context.Background(), time.Unix(1_700_000_000, 0)
	r := b.Records()
	for key, made := range map[string]time.Time{"old/1": now.Add(-time.Hour), "new \x00 ü": now} {
		if err := r.Put(ctx, key, []byte("value of "+key), made); err != nil {
			t.Fatal(err)
		}
	}
	b.reopen()
	r = b.Records()
	if v, ok, err := r.Get(ctx, "old/1"); err != nil || !ok || string(v) != "value of old/1" {
		t.Errorf("%q %v %v", v, ok, err)
	}
	if err := r.Expire(ctx, now.Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := r.Get(ctx, "old/1"); err != nil || ok {
		t.Errorf("%v %v", ok, err)
	}
	if _, ok, err := r.Get(ctx, "new \x00 ü"); err != nil || !ok {
		t.Errorf("%v %v", ok, err)
	}
}

// TestRecordsAreDurable crashes right after a record was put: a retry after a
// crash must find that there was a first request.
func TestRecordsAreDurable(t *testing.T) {
	fs := vfs.NewCrashableMem()
	open := func(fs vfs.FS) *Records {
		db, err := pebbleds.Open("db", pebbleds.Options{MemTableSize: 1 << 20, FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() }) // one of a file system that has crashed
		return (&Store{db: db}).Records()
	}
	ctx := context.Background()
	if err := open(fs).Put(ctx, "k", []byte("v"), time.Unix(1_700_000_000, 0)); err != nil {
		t.Fatal(err)
	}
	r := open(fs.CrashClone(vfs.CrashCloneCfg{}))
	if v, ok, err := r.Get(ctx, "k"); err != nil || !ok || string(v) != "v" {
		t.Errorf("after a crash: %q %v %v", v, ok, err)
	}
}
