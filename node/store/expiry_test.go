package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strataos/strataos/node/internal/scribe"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

// folderSize is how many bytes the files of a book's folder have. The store is
// started again: files that nobody needs are removed in the background.
func folderSize(b *book) int64 {
	b.t.Helper()
	if err := b.db.Close(); err != nil {
		b.t.Fatal(err)
	}
	defer b.open()
	total := int64(0)
	err := filepath.WalkDir(b.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return total
}

// bulky is an anchor of about so many bytes that do not compress well.
func bulky(t *testing.T, n, bytes int, ttl uint32) wire.Item {
	var text strings.Builder
	for i := 0; text.Len() < bytes; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d/%d", n, i))
		text.WriteString(hex.EncodeToString(sum[:]))
	}
	return scribe.Anchor(t, fmt.Sprintf(`{"anchor_type":"state","data":{"n":%d,"blob":"%s"},"metadata":{"key":"k%d"}}`, n, text.String(), n%5), ttl)
}

// TestErasedSpaceReturns writes anchors that expire, lets them, and measures the
// folder: the space comes back, also if the node was started again in between.
func TestErasedSpaceReturns(t *testing.T) {
	total, ttl := 20<<20, uint32(60)
	if testing.Short() {
		total = 4 << 20
	}
	const each = 16 << 10
	b := newBook(t)
	s := scribeOf(b)
	kept := bulky(t, -1, each, 0)
	s.Append(1, []wire.Item{kept})
	written := 0
	for n := 0; n*each < total; n += 16 {
		var items []wire.Item
		for i := range 16 {
			items = append(items, bulky(t, n+i, each, ttl))
			written++
		}
		s.Append(protocol.MemberID(n/16%4), items)
	}
	s.Settle()
	last := s.Now
	if n, err := b.Erase(t.Context(), start+protocol.Second*protocol.Micros(ttl)-1); err != nil || n != 0 {
		t.Errorf("%d are erased before their time, %v", n, err)
	}
	if err := b.db.Compact([]byte("/"), []byte("0")); err != nil {
		t.Fatal(err)
	}
	full := folderSize(b)
	n, err := b.Erase(t.Context(), last+protocol.Micros(ttl)*protocol.Second+protocol.Second)
	if err != nil || n != written {
		t.Fatalf("%d of %d are erased, %v", n, written, err)
	}
	b.reopen() // what is left to do is known after a restart
	if err := b.Compact(); err != nil {
		t.Fatal(err)
	}
	b.reopen() // which removes what Compact has made superfluous
	empty := folderSize(b)
	t.Logf("%d anchors of %d bytes: %.1f MB before, %.1f MB after", written, each, float64(full)/1e6, float64(empty)/1e6)
	if full < int64(total)/2 || empty > full/10 {
		t.Errorf("the folder has %d bytes, %d before what has expired was erased", empty, full)
	}
	if n, err := b.Erase(t.Context(), last+1<<50); err != nil || n != 0 {
		t.Errorf("%d are erased twice, %v", n, err)
	}
	rows := all(b)
	if len(rows) != written+1 {
		t.Fatalf("%d rows of %d", len(rows), written+1)
	}
	for _, row := range rows {
		if erased := row.Body == nil; erased == (row.Entry.Hash == kept.Hash()) {
			t.Errorf("position %d: erased %v", row.Position, erased)
		}
	}
	if b.erased != nil {
		t.Errorf("%+v is still to be given back", b.erased)
	}
}

// TestErasedProofs demands that what was erased can still be proved, and that
// its key leads to it no more.
func TestErasedProofs(t *testing.T) {
	b := newBook(t)
	s := scribeOf(b)
	gone, kept := bulky(t, 1, 100, 1), bulky(t, 6, 100, 0) // of the same key
	s.Append(2, []wire.Item{kept, gone})
	if n, err := b.Erase(t.Context(), s.Now+1<<40); err != nil || n != 0 {
		t.Errorf("%d are erased that are not ordered, %v", n, err)
	}
	s.Settle()
	if n, err := b.Erase(t.Context(), s.Now); err != nil || n != 1 {
		t.Fatalf("%d are erased, %v", n, err)
	}
	for range 2 {
		row, ok, err := b.Earliest(gone.Hash())
		if err != nil || !ok {
			t.Fatalf("%v %v", ok, err)
		}
		if row, ok, err = b.RowAt(row.Position); err != nil || !ok || row.Body != nil || !row.Gone(0) || row.Entry.TTL != 1 {
			t.Errorf("%+v %v %v", row, ok, err)
		}
		policy, err := proof.ParsePolicy([]byte(proof.EpochPolicyText(b.com)))
		if err != nil {
			t.Fatal(err)
		}
		inLog, _, err := b.Prove(Found{Log: row.Log, Index: row.Index, Entry: row.Entry})
		if err != nil {
			t.Fatal(err)
		}
		head, ok, err := b.LedgerHead()
		if err != nil || !ok {
			t.Fatalf("%v %v", ok, err)
		}
		inLedger, err := b.ProveLedger(head, row)
		if err != nil {
			t.Fatal(err)
		}
		reports, err := proof.VerifyAll(policy, []*proof.Proof{inLog, inLedger}, proof.Claims{Event: gone.Body})
		if err != nil || *reports[1].Position != row.Position {
			t.Errorf("%+v %v", reports, err)
		}
		var positions []uint64
		err = b.States("k1", 0, 100, false, func(p uint64) (bool, error) {
			positions = append(positions, p)
			return true, nil
		})
		if err != nil || len(positions) != 1 || positions[0] == row.Position {
			t.Errorf("the key leads to %v, %v", positions, err)
		}
		b.reopen()
	}
}

// TestCatchUpOnErased has a member that was away take the logs over from a store
// that has erased what it can: as soon as that has expired by its own clock, and
// not before.
func TestCatchUpOnErased(t *testing.T) {
	b := newBook(t)
	s := scribeOf(b)
	const ttl = 3600
	for n := range 6 {
		s.Append(protocol.MemberID(n%3), []wire.Item{bulky(t, n, 200, ttl*uint32(n%2)), bulky(t, 100+n, 200, 0)}, protocol.MemberID((n+1)%3))
	}
	s.Settle()
	sizes := map[protocol.MemberID]uint64{}
	for i := range protocol.MemberID(3) {
		sizes[i] = s.Tails[i].Size()
	}
	after := s.Now + 2*ttl*protocol.Second
	if n, err := b.Erase(t.Context(), after); err != nil || n != 3 {
		t.Fatalf("%d are erased, %v", n, err)
	}
	for _, c := range []struct {
		name string
		now  protocol.Micros
		all  bool
	}{{"before", s.Now + protocol.Second, false}, {"after", after, true}} {
		t.Run(c.name, func(t *testing.T) {
			got := catchUp(t, b, s, c.now)
			whole := true
			for log, size := range sizes {
				taken, err := got.Size(log)
				if err != nil {
					t.Fatal(err)
				}
				whole = whole && taken == size
			}
			if whole != c.all {
				t.Errorf("the member has taken over everything: %v", whole)
			}
		})
	}
}

// catchUp runs the machine of the fourth member, which has nothing, with a book's
// store as its peer.
func catchUp(t *testing.T, b *book, s *scribe.Scribe, now protocol.Micros) *witness.MemoryStorage {
	t.Helper()
	var mem witness.MemoryStorage
	m, err := witness.New(witness.Config{Epochs: quorum.NewEpochs(b.com), Self: 3, Signer: b.signers[3]}, &mem)
	if err != nil {
		t.Fatal(err)
	}
	inputs := []witness.Input{witness.Start{}, witness.Receive{From: 0, Msg: headsOf(t, b, s)}}
	for range 300 {
		effects, err := m.Step(now, inputs...)
		if err != nil {
			t.Fatal(err)
		}
		now += 10 * protocol.Millisecond
		inputs = []witness.Input{witness.Tick{}}
		for _, e := range append([]witness.Effect(nil), effects...) {
			switch e := e.(type) {
			case machine.Persist:
				if err := mem.Apply(e.Records); err != nil {
					t.Fatal(err)
				}
				inputs = append(inputs, witness.Persisted{Seq: e.Seq})
			case machine.Send:
				if req, ok := e.Msg.(*wire.RangeRequest); ok {
					r, err := witness.ReadRange(b.Store, *req, ^uint64(0), b.genesis.Params)
					if err != nil {
						t.Fatal(err)
					}
					inputs = append(inputs, witness.Receive{From: e.To, Msg: r})
				}
			case machine.Blame:
				t.Errorf("member %d is blamed: %s", e.Member, e.Reason)
			}
		}
	}
	return &mem
}

// headsOf says how much of each log a book stores.
func headsOf(t *testing.T, b *book, s *scribe.Scribe) *wire.Heads {
	t.Helper()
	msg := &wire.Heads{}
	for i := range protocol.MemberID(4) {
		size := s.Tails[i].Size()
		if i == 3 {
			continue // its own, of which it knows that it is empty
		}
		encoded, err := b.BatchAt(i, size-1)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := wire.DecodeBatch(encoded, wire.MaxMessage(b.genesis.Params))
		if err != nil {
			t.Fatal(err)
		}
		msg.Heads = append(msg.Heads, wire.Head{
			Log: i, Certified: size,
			Signed: wire.Signed{Size: size, Root: batch.Root, Time: batch.CosignTime, Sig: batch.Cosignature},
		})
	}
	return msg
}
