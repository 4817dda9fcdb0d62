package witness

import (
	"testing"

	"github.com/strataos/strataos/protocol"
)

// again waits once more for an entry that is in a node's log.
func (c *cluster) again(h *host, at uint64, need int, attestors ...protocol.MemberID) uint64 {
	b, err := h.machine.ownBatchAt(at)
	if err != nil {
		c.t.Fatal(err)
	}
	it := b.msg.Items[at-b.Old-1]
	c.nextID++
	c.step(h, Submit{ID: c.nextID, Kind: it.Kind, Hash: bodyHashes(b.msg)[at-b.Old-1], At: at, Need: need, Attestors: attestors})
	return c.nextID
}

func (c *cluster) answered(id uint64) func() bool {
	return func() bool { _, ok := c.resolved[id]; return ok }
}

// TestReopen waits for a member that was away when an entry was certified.
func TestReopen(t *testing.T) {
	for _, restart := range []bool{false, true} {
		c := newCluster(t, 4, 1)
		c.run(3*protocol.Second, nil)
		c.crash(c.nodes[3])
		h := c.nodes[0]
		if !c.attest(h, protocol.Second) {
			t.Fatal("not certified")
		}
		it := c.items[c.nextID]
		c.run(protocol.Second, nil)
		if restart {
			c.crash(h)
			c.boot(h)
			c.run(protocol.Second, nil)
		}

		// What a quorum has signed needs no further batch.
		size := h.machine.Status()[0].Stored
		if id := c.again(h, it.Index, 0); !c.answered(id)() {
			t.Error("a certified entry is not answered at once")
		}
		if now := h.machine.Status()[0].Stored; now != size {
			t.Errorf("%d leaves became %d", size, now)
		}

		id := c.again(h, it.Index, 4)
		if c.run(protocol.Second, c.answered(id)) {
			t.Fatal("answered without the fourth member")
		}
		c.step(h, Withdraw{ID: id})
		if w, ok := c.refused[id].(Withdrawn); !ok || !w.InLog || len(w.Signers) != 3 {
			t.Errorf("%+v, want three signers", c.refused[id])
		}

		c.boot(c.nodes[3])
		c.run(protocol.Second, nil)
		id = c.again(h, it.Index, 0, 3)
		if !c.run(protocol.Second, c.answered(id)) {
			t.Fatal("the fourth member is back and has not signed")
		}
		if got := c.items[id]; got.Index != it.Index || got.Entry != it.Entry {
			t.Errorf("%+v, want %+v", got, it)
		}
		checkAnswers(c)
	}
}

// TestReopenedEntry waits again for a leaf with another life than the leaf has:
// what is answered is the leaf, which the proof is about.
func TestReopenedEntry(t *testing.T) {
	c := newCluster(t, 4, 1)
	c.run(3*protocol.Second, nil)
	h := c.nodes[0]
	if !c.attest(h, protocol.Second) {
		t.Fatal("not certified")
	}
	first := c.items[c.nextID]
	c.nextID++
	c.step(h, Submit{ID: c.nextID, Kind: first.Entry.Kind, Hash: first.Entry.Hash, TTL: 60, At: first.Index})
	if got := c.items[c.nextID]; got.Entry != first.Entry {
		t.Errorf("the leaf is %+v, the answer %+v", first.Entry, got.Entry)
	}
}
