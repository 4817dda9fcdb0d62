package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
)

func TestDeliveries(t *testing.T) {
	b := newBook(t)
	expect := func(handler string, want uint64, there bool) {
		t.Helper()
		got, since, ok, err := b.Deliveries().Position(t.Context(), handler)
		if err != nil || ok != there || got != want || uint64(since) != want/2 {
			t.Errorf("%s is at %d %v %v, want %d %v", handler, got, ok, err, want, there)
		}
	}
	set := func(handler string, position uint64) {
		t.Helper()
		if err := b.Deliveries().SetPosition(t.Context(), handler, position, protocol.Micros(position/2)); err != nil {
			t.Fatal(err)
		}
	}
	expect("a", 0, false)
	set("a", 0)
	expect("a", 0, true)
	set("a", 1<<53)
	set("a/b", 7)
	expect("a", 1<<53, true)
	expect("a/b", 7, true)
	expect("b", 0, false)
	// What expires of the API's records is no position.
	if err := b.Records().Expire(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	expect("a", 1<<53, true)
	expect("a/b", 7, true)
}

// TestDecisionsInOrder reads decisions of all kinds page by page.
func TestDecisionsInOrder(t *testing.T) {
	b := newBook(t)
	d := b.Deliveries()
	if end, err := d.End(t.Context()); err != nil || end != 0 {
		t.Errorf("an empty store ends at %d %v", end, err)
	}
	const count = 2*deliveryPage + 3
	w := b.db.NewWriteBatch()
	for i := range uint64(count) {
		c := accord.Case{Proposal: testProposal(t, i), Position: 10 * i, Status: accord.Accepted, DecidedAt: 10*i + 5, DecidedOn: start}
		if i%3 == 1 {
			c.Status = accord.Rejected
		}
		if i == count-1 {
			c.Status, c.DecidedAt = accord.Open, 0
		}
		if err := b.putAccord(w, accord.PutCase{Case: c}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(true); err != nil {
		t.Fatal(err)
	}
	if end, err := d.End(t.Context()); err != nil || end != 10*(count-2)+5 {
		t.Errorf("the store ends at %d %v", end, err)
	}
	after, seen := uint64(0), uint64(0)
	for {
		page, err := d.Next(t.Context(), after)
		if err != nil || len(page) > deliveryPage {
			t.Fatalf("%d decisions, %v", len(page), err)
		}
		if len(page) == 0 {
			break
		}
		for _, c := range page {
			if c.DecidedAt != 10*seen+5 || c.Decision.ID != c.Proposal.ID || c.Decision.Status != c.Status || (c.Status == accord.Rejected) != (seen%3 == 1) {
				t.Fatalf("decision %d is %+v", seen, c)
			}
			after, seen = c.DecidedAt, seen+1
		}
	}
	if seen != count-1 {
		t.Errorf("%d decisions were read, want %d", seen, count-1)
	}
}

func testProposal(t *testing.T, n uint64) protocol.Proposal {
	t.Helper()
	p, err := protocol.ParseProposal(fmt.Appendf(nil, `{"action":{"payload":{},"type":"test.run"},"deadline":1700000000000,
		"nonce":"%d","participants":["node-1"],"proposer":"node-1","threshold":1}`, n), 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
