package witness

import (
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// forger is the author of a log that it signs several histories of. It has the
// real key, but no machine.
type forger struct {
	c        *cluster
	host     *host
	branches []*branch
	n        int
	parents  []protocol.Parent // that its batches name
	epoch    uint64            // that its batches are of
}

// branch is one of the histories.
type branch struct {
	log     *logState
	batches []*wire.Batch
}

func newForger(c *cluster, h *host) *forger {
	h.down = true // its machine does nothing; what it is sent goes nowhere
	return &forger{c: c, host: h, branches: []*branch{{log: newLog(h.id)}}}
}

// extend signs a batch at the end of a branch.
func (f *forger) extend(b *branch) *wire.Batch {
	f.n++
	e, err := protocol.ParseEvent(fmt.Appendf(nil, `{"type":"forged.event","payload":{"n":%d}}`, f.n), 1<<16)
	if err != nil {
		f.c.t.Fatal(err)
	}
	head := b.log.head()
	batch := &wire.Batch{
		Author: f.host.id, Old: head.signed.Size, Epoch: f.epoch, Time: max(f.c.now, head.time+1), Parents: f.parents,
		Items: []wire.Item{{Kind: protocol.KindAttest, Body: e.Canonical}}, Cert: quorum.Claim{Log: f.host.id},
	}
	appendLeaves(b.log.tail, batch, []protocol.Hash{e.Hash})
	batch.Root = b.log.tail.Root()
	sig := f.c.signers[f.host.id].Cosign(f.c.committee.Checkpoint(f.host.id, batch.Size(), batch.Root), batch.Time.Seconds())
	batch.CosignTime, batch.Cosignature = sig.Time, sig.Bytes
	b.log.chain = append(b.log.chain, markOf(batch))
	b.batches = append(b.batches, batch)
	return batch
}

// fork begins a history that shares the first keep batches of another.
func (f *forger) fork(b *branch, keep int) *branch {
	out := &branch{log: newLog(f.host.id)}
	for _, batch := range b.batches[:keep] {
		appendLeaves(out.log.tail, batch, bodyHashes(batch))
		out.log.chain = append(out.log.chain, markOf(batch))
		out.batches = append(out.batches, batch)
	}
	f.branches = append(f.branches, out)
	return out
}

// TestEquivocatingAuthor has an author sign several histories and show each to
// whom it likes. It must never get two certificates for a size (the cluster
// watches that, and that nobody votes twice), everybody must end with evidence
// against it, and the others must go on.
func TestEquivocatingAuthor(t *testing.T) {
	seeds := seeds(t, 60, 10)
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			n := []int{4, 7}[seed%2]
			c := newCluster(t, n, uint64(seed))
			c.loss, c.duplicate = c.rng.Float64()*0.2, c.rng.Float64()*0.2
			c.run(3*protocol.Second, nil)
			f := newForger(c, c.nodes[n-1])
			for range 40 {
				f.misbehave()
				c.submit(c.nodes[c.rng.IntN(n-1)])
				c.run(protocol.Micros(c.rng.Int64N(50_000)), nil)
			}
			f.showAll()
			c.loss, c.duplicate = 0, 0
			if !c.run(20*protocol.Second, func() bool { return f.accused() && c.converged() }) {
				for _, h := range c.nodes[:n-1] {
					t.Logf("node %d: %+v accused=%v", h.id, h.machine.Status(), h.accused)
				}
				t.Fatal("evidence or logs do not reach everybody")
			}
			if !c.attest(c.nodes[0], 2*protocol.Second) {
				t.Error("the others do not go on")
			}
			c.run(protocol.Second, nil)
			f.checkEvidence()
		})
	}
}

// misbehave extends a history, or begins one, and shows it to some.
func (f *forger) misbehave() {
	rng := f.c.rng
	b := f.branches[rng.IntN(len(f.branches))]
	if len(f.branches) < 2 || rng.IntN(6) == 0 {
		b = f.fork(b, rng.IntN(len(b.batches)+1))
	}
	batch := f.extend(b)
	if rng.IntN(3) == 0 {
		batch = b.batches[rng.IntN(len(b.batches))]
	}
	for _, h := range f.c.nodes {
		if rng.IntN(2) == 0 {
			f.c.deliver(f.host.id, h, batch)
		}
	}
}

// showAll shows every history to everybody, in order.
func (f *forger) showAll() {
	f.c.loss, f.c.duplicate = 0, 0
	for _, b := range f.branches {
		for _, batch := range b.batches {
			for _, h := range f.c.nodes {
				f.c.deliver(f.host.id, h, batch)
			}
			f.c.run(2*protocol.Millisecond, nil)
		}
	}
}

func (f *forger) accused() bool {
	for _, h := range f.c.nodes {
		if h != f.host && !h.accused[f.host.id] {
			return false
		}
	}
	return true
}

// checkEvidence demands that everybody keeps evidence that proves the forgery.
func (f *forger) checkEvidence() {
	for _, h := range f.c.nodes {
		if h == f.host {
			continue
		}
		e, err := h.store.Evidence(f.host.id)
		if err != nil || e == nil {
			f.c.t.Errorf("node %d has no evidence: %v", h.id, err)
			continue
		}
		if err := VerifyEvidence(f.c.committee, e); err != nil {
			f.c.t.Errorf("node %d: %v", h.id, err)
		}
	}
}

// TestForgedEvidence changes true evidence in every way that would accuse an
// honest author.
func TestForgedEvidence(t *testing.T) {
	c := newCluster(t, 4, 1)
	f := newForger(c, c.nodes[3])
	a := f.branches[0]
	f.extend(a)
	b := f.fork(a, 0)
	f.extend(b)
	f.extend(b)
	low, high := a.log.head().signed, b.log.head().signed
	prefix := b.log.chain[1].signed
	good := func() *wire.Evidence {
		e := &wire.Evidence{Author: 3, Low: low, High: high, Prefix: prefix.Root}
		p, err := tlog.ProveTree(int64(high.Size), int64(low.Size), &b.log.tail.View)
		if err != nil {
			t.Fatal(err)
		}
		e.Proof = hashes(p)
		return e
	}
	if err := VerifyEvidence(c.committee, good()); err != nil {
		t.Fatalf("true evidence is refused: %v", err)
	}
	for name, change := range map[string]func(*wire.Evidence){
		"another author":   func(e *wire.Evidence) { e.Author = 2 },
		"no member":        func(e *wire.Evidence) { e.Author = 9 },
		"the same history": func(e *wire.Evidence) { e.Low = prefix },
		"unsigned low":     func(e *wire.Evidence) { e.Low.Root[0] ^= 1 },
		"unsigned high":    func(e *wire.Evidence) { e.High.Sig[0] ^= 1 },
		"the same head":    func(e *wire.Evidence) { e.Low = e.High },
		"swapped":          func(e *wire.Evidence) { e.Low, e.High = e.High, e.Low },
		"another prefix":   func(e *wire.Evidence) { e.Prefix[0] ^= 1 },
		"no proof":         func(e *wire.Evidence) { e.Proof = nil },
		"damaged proof":    func(e *wire.Evidence) { e.Proof[0][0] ^= 1 },
		"empty tree":       func(e *wire.Evidence) { e.Low = wire.Signed{} },
	} {
		e := good()
		change(e)
		if err := VerifyEvidence(c.committee, e); err == nil {
			t.Errorf("%s: is accepted", name)
		}
		c.step(c.nodes[0], Receive{From: 1, Msg: e})
		if c.nodes[0].accused[e.Author] {
			t.Fatalf("%s: freezes the log", name)
		}
	}
}

// TestChangedBatch has a member pass on an honest author's batch with its
// content changed. The author is not to be blamed, and the true batch is to be
// taken when it comes.
func TestChangedBatch(t *testing.T) {
	for name, change := range map[string]func(*wire.Batch){
		"an item": func(b *wire.Batch) {
			b.Items = []wire.Item{{Kind: protocol.KindAttest, Body: []byte(`{"payload":{},"type":"x"}`)}}
		},
		"no event":  func(b *wire.Batch) { b.Items = []wire.Item{{Kind: protocol.KindAttest, Body: []byte(`{}`)}} },
		"the time":  func(b *wire.Batch) { b.Time = 0 },
		"the epoch": func(b *wire.Batch) { b.Epoch = 7 },
		"a parent":  func(b *wire.Batch) { b.Parents = []protocol.Parent{{Member: 3, Size: 1}} },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 4, 1)
			f := newForger(c, c.nodes[3]) // which is honest here, but for the test's sake
			genuine := f.extend(f.branches[0])
			changed := *genuine
			change(&changed)
			c.step(c.nodes[0], Receive{From: 2, Msg: &changed})
			c.step(c.nodes[0], Receive{From: 3, Msg: genuine})
			for _, b := range c.blamed {
				if b.Member == 3 {
					t.Errorf("the author is blamed: %s", b.Reason)
				}
			}
			if got := c.nodes[0].machine.Status()[3].Stored; got != genuine.Size() {
				t.Errorf("%d leaves are stored, want %d", got, genuine.Size())
			}
		})
	}
}

// TestDamagedCopy has a batch that waits for an earlier one come again from its
// author with a signature damaged on the way. The good copy is kept.
func TestDamagedCopy(t *testing.T) {
	c := newCluster(t, 4, 1)
	f := newForger(c, c.nodes[3]) // which is honest here
	first, second := f.extend(f.branches[0]), f.extend(f.branches[0])
	damaged := *second
	damaged.Cosignature[5] ^= 1
	for _, b := range []*wire.Batch{second, &damaged, first} {
		c.step(c.nodes[0], Receive{From: 3, Msg: b})
	}
	l := c.nodes[0].machine.logs[3]
	if l.size() != second.Size() {
		t.Fatalf("%d leaves are stored, want %d", l.size(), second.Size())
	}
	if got := l.head().signed; !c.nodes[0].machine.signedBy(3, got) {
		t.Error("the damaged signature is stored")
	}
}
