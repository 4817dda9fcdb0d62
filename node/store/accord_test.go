package store

import (
	"fmt"
	"slices"
	"testing"

	"github.com/strataos/strataos/node/internal/scribe"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/wire"
)

// proposes is an item by which node-1 proposes something to itself and node-2.
func proposes(b *book, n int) (wire.Item, protocol.Hash) {
	b.t.Helper()
	p, err := protocol.ParseProposal(fmt.Appendf(nil,
		`{"action":{"type":"a.b","payload":{}},"deadline":%d,"nonce":"%d","participants":["node-1","node-2"],"proposer":"node-1","threshold":1}`,
		b.now.Millis()+600_000, n), 1<<16)
	if err != nil {
		b.t.Fatal(err)
	}
	return scribe.Act(b.t, protocol.KindPropose, p.Canonical), p.ID
}

// TestOpen lists what is open, the newest first.
func TestOpen(t *testing.T) {
	b := newBook(t)
	s := scribeOf(b)
	var ids []protocol.Hash
	for n := range 5 {
		item, id := proposes(b, n)
		s.Append(0, []wire.Item{item})
		ids = append(ids, id)
	}
	accept := protocol.Vote{Proposal: ids[1], Accept: true}
	s.Append(1, []wire.Item{scribe.Act(t, protocol.KindVote, accept.Append(nil))}, 0)
	s.Settle()
	for range 2 {
		open, complete, err := b.Open(4)
		var got []protocol.Hash
		for _, c := range open {
			got = append(got, c.Proposal.ID)
		}
		if err != nil || !complete || !slices.Equal(got, []protocol.Hash{ids[4], ids[3], ids[2], ids[0]}) {
			t.Errorf("%v, %t, %v", got, complete, err)
		}
		if open, complete, err := b.Open(3); err != nil || complete || open != nil {
			t.Errorf("%v, %t, %v", open, complete, err)
		}
		b.reopen()
	}
}

// TestFindDecision finds a decision, which is in no member's log, by its hash, and
// proves it once a quorum has cosigned the ledger so far.
func TestFindDecision(t *testing.T) {
	b := newBook(t)
	s := scribeOf(b)
	item, id := proposes(b, 0)
	s.Append(0, []wire.Item{item})
	accept := protocol.Vote{Proposal: id, Accept: true}
	s.Append(0, []wire.Item{scribe.Act(t, protocol.KindVote, accept.Append(nil))})
	s.Silent[1], s.Silent[2] = true, true
	s.Settle()
	c, ok, err := b.Case(id)
	if err != nil || !ok || c.Status != accord.Accepted {
		t.Fatalf("%+v %v", c, err)
	}
	hash := c.Decision.Hash()
	found, count, err := b.Find(hash)
	if err != nil || count != 1 || found.Log != protocol.Accord || found.Certified || found.Entry.Kind != protocol.KindDecide {
		t.Errorf("%+v, %d, %v", found, count, err)
	}
	if _, _, err := b.Prove(found); err == nil {
		t.Error("it is proved under no checkpoint")
	}
	row, ok, err := b.Earliest(hash)
	if err != nil || !ok || row.Position != c.DecidedAt {
		t.Errorf("%+v, %t, %v", row, ok, err)
	}
	s.Silent[1], s.Silent[2] = false, false
	s.Append(1, []wire.Item{{Kind: protocol.KindAttest, Body: b.event(1).Canonical}})
	s.Settle()
	if found, _, err = b.Find(hash); err != nil || !found.Certified {
		t.Errorf("%+v, %v", found, err)
	}
	p, _, err := b.Prove(found)
	if err != nil || p.Index != c.DecidedAt || p.Origin != b.com.Origin(protocol.Ledger) {
		t.Errorf("%+v, %v", p, err)
	}
	// It is in no relation to what members have seen.
	first, _, err := b.RowAt(c.Position)
	if err != nil {
		t.Fatal(err)
	}
	past, err := b.Past(first)
	if err != nil {
		t.Fatal(err)
	}
	page, err := b.Query(Query{After: &past, Limit: 10})
	isDecision := func(r Row) bool { return r.Entry.Kind == protocol.KindDecide }
	if err != nil || len(page.Rows) != 2 || slices.ContainsFunc(page.Rows, isDecision) {
		t.Errorf("%+v, %v", page, err)
	}
}
