package witness

import (
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// lone is a machine whose host has not made anything durable yet.
func lone(t *testing.T) (*cluster, *Machine, *MemoryStorage) {
	t.Helper()
	c := newCluster(t, 4, 1)
	store := &MemoryStorage{}
	m, err := New(Config{Committee: c.committee, Params: c.params, Self: 0, Signer: c.signers[0]}, store)
	if err != nil {
		t.Fatal(err)
	}
	return c, m, store
}

func step(t *testing.T, m *Machine, now protocol.Micros, in ...Input) []Effect {
	t.Helper()
	effects, err := m.Step(now, in...)
	if err != nil {
		t.Fatal(err)
	}
	return append([]Effect(nil), effects...)
}

// TestNothingLeavesBeforeItIsDurable has storage show a sealed batch that is
// not durable. Neither the batch nor its author's signature may leave.
func TestNothingLeavesBeforeItIsDurable(t *testing.T) {
	c, m, store := lone(t)
	now := testStart
	step(t, m, now, Start{})
	for peer := range protocol.MemberID(4) {
		step(t, m, now, Receive{From: peer, Msg: &wire.Heads{}})
	}
	e, err := protocol.ParseEvent([]byte(`{"type":"a","payload":{}}`), 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	var seq uint64
	for _, f := range step(t, m, now+protocol.Second, Submit{ID: 1, Kind: protocol.KindAttest, Body: e.Canonical, Hash: e.Hash}) {
		switch f := f.(type) {
		case Persist:
			if err := store.Apply(f.Records); err != nil {
				t.Fatal(err)
			}
			seq = f.Seq
		case Publish:
			t.Fatalf("%T is published", f.Msg)
		}
	}
	if seq == 0 {
		t.Fatal("nothing was sealed")
	}
	ask := []Input{Receive{From: 1, Msg: &wire.Heads{Want: true}}, Receive{From: 1, Msg: &wire.RangeRequest{Log: 0}}}
	tells := func(effects []Effect) (head uint64, items int) {
		for _, f := range effects {
			switch f := f.(type) {
			case Send:
				if h, ok := f.Msg.(*wire.Heads); ok {
					head = max(head, h.Heads[0].Signed.Size)
				}
			case SendRange:
				r, err := ReadRange(store, f.Request, f.Durable, c.params)
				if err != nil {
					t.Fatal(err)
				}
				items += len(r.Items)
			}
		}
		return head, items
	}
	if head, items := tells(step(t, m, now+protocol.Second, ask...)); head != 0 || items != 0 {
		t.Errorf("before it is durable, a head of %d and %d batches are told", head, items)
	}
	step(t, m, now+protocol.Second, Persisted{Seq: seq})
	if head, items := tells(step(t, m, now+protocol.Second, ask...)); head != 2 || items != 1 {
		t.Errorf("once it is durable, a head of %d and %d batches are told, want 2 and 1", head, items)
	}
}

// TestUndurableIsBounded has the disk stall while others certify batch after
// batch.
func TestUndurableIsBounded(t *testing.T) {
	c, m, _ := lone(t)
	step(t, m, testStart, Start{})
	f := newForger(c, c.nodes[3]) // an honest author here
	for range 3 * maxUndurable {
		b := f.extend(f.branches[0])
		tally := c.committee.NewTally(3, b.Size(), b.Root)
		for i := range 3 {
			id := protocol.MemberID(i + 1)
			sig := c.signers[id].Cosign(c.committee.Checkpoint(3, b.Size(), b.Root), b.Time.Seconds())
			tally.AddVerified(quorum.Cosignature{Member: id, Time: sig.Time, Sig: sig.Bytes})
		}
		step(t, m, c.now+protocol.Second, Receive{From: 3, Msg: b}, Receive{From: 3, Msg: &wire.Certificate{Claim: tally.Certificate().Claim()}})
		c.now += 30 * protocol.Millisecond
		step(t, m, c.now+protocol.Second, Tick{})
		if err := m.CheckBounds(); err != nil {
			t.Fatal(err)
		}
	}
	if got := m.logs[3].undurable(); got != maxUndurable {
		t.Errorf("%d batches wait for the disk, want %d", got, maxUndurable)
	}
	if m.logs[3].cert.Size() == 0 {
		t.Error("nothing was certified: the test proves nothing")
	}
}
