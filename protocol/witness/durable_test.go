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
	m, err := New(Config{Epochs: quorum.NewEpochs(c.committee), Self: 0, Signer: c.signers[0]}, store)
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

// TestLostDiskAnswersNothing has an author lose its disk and sign a second
// history, since nobody told it of the first, which is certified. When it takes
// that one back, what it put into the second is refused, and not acknowledged
// by the certificate of the first.
func TestLostDiskAnswersNothing(t *testing.T) {
	c, m, _ := lone(t)
	lost := newForger(c, c.nodes[0])
	b := lost.extend(lost.branches[0])
	tally := c.committee.NewTally(0, b.Size(), b.Root)
	for id := range protocol.MemberID(4) {
		sig := c.signers[id].Cosign(c.committee.Checkpoint(0, b.Size(), b.Root), b.Time.Seconds())
		tally.AddVerified(quorum.Cosignature{Member: id, Time: sig.Time, Sig: sig.Bytes})
	}
	claim := tally.Certificate().Claim()
	encoded, err := wire.Encode(b)
	if err != nil {
		t.Fatal(err)
	}

	now := testStart
	step(t, m, now, Start{})
	for peer := range protocol.MemberID(4) {
		step(t, m, now, Receive{From: peer, Msg: &wire.Heads{}})
	}
	e, err := protocol.ParseEvent([]byte(`{"type":"a","payload":{}}`), 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	now += protocol.Second
	var seq uint64
	for _, f := range step(t, m, now, Submit{ID: 7, Kind: protocol.KindAttest, Body: e.Canonical, Hash: e.Hash}) {
		if p, ok := f.(Persist); ok {
			seq = p.Seq
		}
	}
	head := wire.Head{Log: 0, Signed: markOf(b).signed, Certified: b.Size()}
	step(t, m, now, Receive{From: 1, Msg: &wire.Heads{Heads: []wire.Head{head}}})
	now += protocol.Second
	asked := false
	for _, f := range step(t, m, now, Tick{}) {
		if s, ok := f.(Send); ok {
			r, isRange := s.Msg.(*wire.RangeRequest)
			asked = asked || isRange && r.Log == 0 && s.To == 1
		}
	}
	if !asked {
		t.Fatal("the certified history is not asked for")
	}
	refused := false
	effects := step(t, m, now, Receive{From: 1, Msg: &wire.Range{
		Log: 0, Items: []wire.RangeItem{{Batch: encoded, Cert: claim}}, Head: claim,
	}})
	effects = append(effects, step(t, m, now, Persisted{Seq: seq})...)
	for _, f := range effects {
		switch f := f.(type) {
		case Refused:
			refused = refused || f.ID == 7 && f.Reason == LogStopped
		case Resolved:
			t.Error("an entry of the second history is acknowledged")
		case Publish:
			if _, ok := f.Msg.(*wire.Batch); ok {
				t.Error("a batch of the second history is published")
			}
		}
	}
	if !refused {
		t.Error("the submission is not answered")
	}
	if got := m.logs[0].cert.Size(); got != b.Size() {
		t.Errorf("certified up to %d, want %d", got, b.Size())
	}
	if m.logs[0].durable != 0 {
		t.Errorf("%d leaves count as durable", m.logs[0].durable)
	}
}
