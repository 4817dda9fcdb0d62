package witness

import (
	"fmt"
	"slices"
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/wire"
)

// settled returns a cluster that has certified an event of each member.
func settled(t *testing.T, n int) *cluster {
	c := newCluster(t, n, 1)
	c.run(3*protocol.Second, nil)
	for _, h := range c.nodes {
		if !c.attest(h, protocol.Second) {
			t.Fatal("not certified")
		}
	}
	c.run(protocol.Second, nil)
	return c
}

func anchorOf(t *testing.T, id uint64, after ...protocol.Seen) Submit {
	t.Helper()
	a, err := protocol.ParseAnchor(fmt.Appendf(nil, `{"anchor_type":"event","data":{"n":%d}}`, id), 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	return Submit{ID: id, Kind: a.Kind, Body: a.Canonical, Hash: a.Hash, After: after}
}

func attestOf(t *testing.T, id uint64, after ...protocol.Seen) Submit {
	t.Helper()
	e, err := protocol.ParseEvent(fmt.Appendf(nil, `{"type":"a","payload":{"n":%d}}`, id), 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	return Submit{ID: id, Kind: protocol.KindAttest, Body: e.Canonical, Hash: e.Hash, After: after}
}

// sealedBy steps a machine and returns the batch that it has sealed, or nil.
func sealedBy(t *testing.T, m *Machine, now protocol.Micros, in ...Input) *wire.Batch {
	t.Helper()
	before := m.logs[m.self].size()
	if _, err := m.Step(now, in...); err != nil {
		t.Fatal(err)
	}
	if m.logs[m.self].size() == before {
		return nil
	}
	return m.author.batches[len(m.author.batches)-1].msg
}

// TestRounds has a member claim the rounds that the order names, and no others.
func TestRounds(t *testing.T) {
	c := settled(t, 4)
	m := c.nodes[0].machine
	now := c.now
	step := func(in ...Input) *wire.Batch { now += protocol.Second; return sealedBy(t, m, now, in...) }

	if b := step(attestOf(t, 1)); b.Round != 0 || len(b.Parents) != 0 {
		t.Errorf("without the order: round %d, parents %v", b.Round, b.Parents)
	}
	if b := step(Advance{Ready: 1}); b != nil {
		t.Error("a round that is ready is no reason for a batch")
	}
	if b := step(attestOf(t, 2)); b.Round != 0 {
		t.Errorf("an event that nobody waits for claims round %d", b.Round)
	}
	b := step(anchorOf(t, 3))
	if b.Round != 1 || len(b.Parents) != 3 {
		t.Errorf("an anchor claims round %d, parents %v", b.Round, b.Parents)
	}
	for _, p := range b.Parents {
		if p.Size != m.logs[p.Member].cert.Size() {
			t.Errorf("parent %+v is not the newest certified", p)
		}
	}
	if b := step(Advance{Ready: 2, Due: 2, Seal: true}); b == nil || b.Round != 2 || len(b.Items) != 0 {
		t.Errorf("the order waits for %+v", b)
	}
	if b := step(Advance{Ready: 2, Due: 2, Seal: true}); b != nil {
		t.Error("a round is claimed twice")
	}
	if b := step(Advance{Ready: 1, Due: 1, Seal: true}, attestOf(t, 4)); b.Round != 2 {
		t.Errorf("the round goes back to %d", b.Round)
	}
}

// TestHold has an anchor wait a little for the next round, in which it is
// ordered as soon as in a batch before, but never long, and never with company
// that does not wait.
func TestHold(t *testing.T) {
	c := settled(t, 4)
	m := c.nodes[0].machine
	now := c.now + protocol.Second
	if b := sealedBy(t, m, now, Advance{Ready: 1}, anchorOf(t, 1)); b == nil || b.Round != 1 {
		t.Fatalf("%+v", b)
	}
	now += protocol.Second
	if b := sealedBy(t, m, now, anchorOf(t, 2)); b != nil {
		t.Fatal("an anchor does not wait for the round that is next")
	}
	if b := sealedBy(t, m, now+maxHold-1, Tick{}); b != nil {
		t.Error("it does not wait")
	}
	if b := sealedBy(t, m, now+maxHold, Tick{}); b == nil || b.Round != 1 {
		t.Error("it waits too long")
	}
	now += protocol.Second
	if b := sealedBy(t, m, now, anchorOf(t, 3)); b != nil {
		t.Error("it does not wait again")
	}
	if b := sealedBy(t, m, now+1_000, Advance{Ready: 2}); b == nil || b.Round != 2 {
		t.Error("it waits for more than the round")
	}
	now += protocol.Second
	if b := sealedBy(t, m, now, anchorOf(t, 4), attestOf(t, 5)); b == nil || len(b.Items) != 2 {
		t.Error("an event waits with an anchor")
	}
}

// TestAfter has a submission wait for what it comes after, and its batch name
// that as a parent.
func TestAfter(t *testing.T) {
	c := settled(t, 4)
	m := c.nodes[0].machine
	now := c.now + protocol.Second
	known := protocol.Seen{Member: 1, Size: m.logs[1].cert.Size()}
	b := sealedBy(t, m, now, attestOf(t, 1, known))
	if b == nil || !slices.ContainsFunc(b.Parents, func(p protocol.Parent) bool { return p.Member == 1 && p.Size >= known.Size }) {
		t.Fatalf("%+v", b)
	}
	now += protocol.Second
	if b := sealedBy(t, m, now, attestOf(t, 2, known)); b == nil || len(b.Parents) != 0 {
		t.Errorf("what was named is named again: %+v", b)
	}
	unknown := protocol.Seen{Member: 2, Size: m.logs[2].cert.Size() + 1}
	now += protocol.Second
	if b := sealedBy(t, m, now, attestOf(t, 3, unknown)); b != nil {
		t.Error("it does not wait for what nobody has seen")
	}
	effects, err := m.Step(now+1, Withdraw{ID: 3})
	if err != nil || !slices.ContainsFunc(effects, func(e Effect) bool { w, ok := e.(Withdrawn); return ok && w.ID == 3 && w.Behind && !w.InLog }) {
		t.Errorf("%v %v", effects, err)
	}
	if b := sealedBy(t, m, now+2, attestOf(t, 4, unknown)); b != nil {
		t.Error("it does not wait")
	}
	before := c.nodes[2].machine.logs[2].cert.Size()
	if !c.attest(c.nodes[2], protocol.Second) {
		t.Fatal("not certified")
	}
	c.run(2*protocol.Second, func() bool { return c.items[4].Entry.Hash != (protocol.Hash{}) })
	if _, ok := c.resolved[4]; !ok || before == 0 {
		t.Error("it waits for ever, though what it comes after is certified")
	}
}

// TestHeldIsBounded has clients ask for what comes after what nobody has seen:
// they do not take the places of others.
func TestHeldIsBounded(t *testing.T) {
	c := settled(t, 4)
	m := c.nodes[0].machine
	now := c.now + protocol.Second
	limit := m.author.pacer.MaxPending / maxHeldShare
	var in []Input
	for id := range uint64(limit) + 10 {
		in = append(in, attestOf(t, 1000+id, protocol.Seen{Member: 1, Size: 1 << 40}))
	}
	effects, err := m.Step(now, in...)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, e := range effects {
		if r, ok := e.(Refused); ok && r.Reason == Overloaded {
			refused++
		}
	}
	if refused != 10 || m.CheckBounds() != nil {
		t.Errorf("%d of %d are refused, want 10; %v", refused, len(in), m.CheckBounds())
	}
	if b := sealedBy(t, m, now+1, attestOf(t, 1)); b == nil {
		t.Error("who need not wait does")
	}
}

// TestVotesOfRounds has votes for a batch that begins a round go to everybody,
// and others to the author alone.
func TestVotesOfRounds(t *testing.T) {
	for _, n := range []int{4, gatherMembers + 1} {
		c := settled(t, n)
		author, voter := c.nodes[0].machine, c.nodes[1].machine
		now := c.now + protocol.Second
		for i, round := range []uint64{0, 1} {
			b := sealedBy(t, author, now, Advance{Due: round}, attestOf(t, uint64(100+i)))
			now += protocol.Second
			if _, err := voter.Step(now, Receive{From: 0, Msg: b}); err != nil {
				t.Fatal(err)
			}
			effects, err := voter.Step(now, Persisted{Seq: voter.seq})
			if err != nil {
				t.Fatal(err)
			}
			shared := slices.ContainsFunc(effects, func(e Effect) bool {
				p, ok := e.(Publish)
				_, votes := p.Msg.(*wire.Votes)
				return ok && votes
			})
			if want := round == 1 && n <= gatherMembers; shared != want {
				t.Errorf("%d members, round %d: told to everybody is %t", n, round, shared)
			}
		}
	}
}
