package witness

import (
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
)

func TestAttestInOneRoundTrip(t *testing.T) {
	c := newCluster(t, 4, 1)
	c.run(3*protocol.Second, nil)
	start := c.now
	if !c.attest(c.nodes[0], protocol.Second) {
		t.Fatal("not certified")
	}
	// Two hops of at most 0.5 ms and two disk syncs of at most 0.8 ms.
	if d := c.now - start; d > 2_600 {
		t.Errorf("took %d µs, more than a round trip and two syncs", d)
	}
	r, it := c.resolved[1], c.items[1]
	path, err := tlog.ProveRecord(int64(r.Cert.Size()), int64(it.Index), &r.Tree)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := it.Entry.LeafHash(nil)
	if err := tlog.CheckRecord(path, int64(r.Cert.Size()), tlog.Hash(r.Cert.Root()), int64(it.Index), leaf); err != nil {
		t.Error(err)
	}
}

// TestFaults throws loss, duplicates, reordering, crashes and cuts at clusters
// and demands that they converge afterwards with every answer kept.
func TestFaults(t *testing.T) {
	seeds := seeds(t, 150, 20)
	for seed := range seeds {
		n := []int{4, 7, 5}[seed%3]
		t.Run(fmt.Sprintf("seed=%d/n=%d", seed, n), func(t *testing.T) {
			runFaults(t, n, uint64(seed))
		})
	}
}

func runFaults(t *testing.T, n int, seed uint64) {
	c := newCluster(t, n, seed)
	c.loss, c.duplicate = c.rng.Float64()*0.3, c.rng.Float64()*0.3
	for _, h := range c.nodes {
		h.skew = protocol.Micros(c.rng.Int64N(400_000)) - 200_000
	}
	for range 60 {
		c.run(protocol.Micros(c.rng.Int64N(200_000)), nil)
		h := c.nodes[c.rng.IntN(n)]
		switch {
		case c.rng.IntN(8) == 0 && !h.down:
			c.crash(h)
		case h.down:
			c.boot(h)
		default:
			for range c.rng.IntN(20) {
				c.submit(h)
			}
		}
		if c.rng.IntN(10) == 0 {
			a := protocol.MemberID(c.rng.IntN(n))
			c.cut = func(from, to protocol.MemberID) bool { return from == a || to == a }
		} else if c.rng.IntN(5) == 0 {
			c.cut = func(_, _ protocol.MemberID) bool { return false }
		}
	}
	heal(c)
	if !c.run(30*protocol.Second, c.converged) {
		for _, h := range c.nodes {
			t.Logf("node %d: %+v ready=%v", h.id, h.machine.Status(), h.machine.Ready())
		}
		t.Fatal("no convergence within 30 s of healing")
	}
	c.run(protocol.Second, nil) // let the last batches become durable
	for _, b := range c.blamed {
		t.Errorf("honest member %d is blamed: %s", b.Member, b.Reason)
	}
	checkAnswers(c)
}

func heal(c *cluster) {
	c.loss, c.duplicate = 0, 0
	c.cut = func(_, _ protocol.MemberID) bool { return false }
	for _, h := range c.nodes {
		if h.down {
			c.boot(h)
		}
	}
}

// checkAnswers demands that every answered submission is in the certified log
// of every node.
func checkAnswers(c *cluster) {
	c.t.Helper()
	for id, r := range c.resolved {
		it := c.items[id]
		leaf, _ := it.Entry.LeafHash(nil)
		for _, h := range c.nodes {
			x := tlog.StoredHashIndex(0, int64(it.Index))
			got, err := h.store.Hashes(r.Cert.Log()).ReadHashes([]int64{x})
			if err != nil || got[0] != leaf {
				c.t.Fatalf("answer %d is lost at node %d (log %d, leaf %d): %v", id, h.id, r.Cert.Log(), it.Index, err)
			}
		}
	}
}
