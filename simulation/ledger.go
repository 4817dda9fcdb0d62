package simulation

import (
	"crypto/sha256"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// ledgerCheck is the one ledger, as whoever came first to a place has told it.
type ledgerCheck struct {
	runs  map[uint64]stretch // by position
	ends  map[key]uint64     // the positions of batches, by where they end in their logs
	size  uint64
	certs map[uint64]protocol.Hash
}

// stretch is a part of the ledger that one batch has given.
type stretch struct {
	log   protocol.MemberID
	old   uint64
	count uint64
	first protocol.Hash // of its entries, so that other entries are noticed; of all, if nobody has signed them
}

func newLedgerCheck(int) ledgerCheck {
	return ledgerCheck{runs: map[uint64]stretch{}, ends: map[key]uint64{}, certs: map[uint64]protocol.Hash{}}
}

// ordered sees what every member has ordered.
func (c *checker) ordered(n *node, e chronos.Ordered) {
	if n.liar != nil {
		return
	}
	for i := range e.Runs {
		r := &e.Runs[i]
		if n.ordered != 0 && r.Position != n.ordered {
			c.fail("ledger", "node-%d goes on at place %d behind %d", n.id+1, r.Position, n.ordered)
		}
		n.ordered = r.Position + uint64(len(r.Entries))
		got := stretch{r.Log, r.Old, uint64(len(r.Entries)), digest(r)}
		if want, ok := c.ledger.runs[r.Position]; ok && want != got || !ok && r.Position != c.ledger.size {
			c.fail("ledger", "node-%d has leaf %d of %s at place %d, another member has leaf %d of %s there, or another entry",
				n.id+1, r.Old+1, c.nameOf(r.Log), r.Position, want.old+1, c.nameOf(want.log))
			return
		}
		c.ledger.runs[r.Position] = got
		c.ledger.ends[key{r.Log, r.Old + 1 + got.count}] = r.Position
		c.ledger.size = max(c.ledger.size, n.ordered)
	}
	c.w.stats.Ledger = int(c.ledger.size)
	c.w.trace.note(c.w.sched.now, traceOrder, int(n.id), nil, e.Size)
	c.w.trace.say(c.w.sched.now, int(n.id), "has ordered %d entries", e.Size)
}

// digest is what a run is told from another by.
func digest(r *chronos.Run) protocol.Hash {
	if r.Log != protocol.Accord || len(r.Entries) == 1 {
		return r.Entries[0].Hash
	}
	h := sha256.New()
	for _, e := range r.Entries {
		h.Write(e.Hash[:])
	}
	return protocol.Hash(h.Sum(nil))
}

// answered sees the place that an anchor is answered with: behind all that had
// been answered before it was submitted, and behind what it was to come after.
func (c *checker) answered(n *node, s *submission, position uint64) {
	if int64(position) <= s.behind {
		c.fail("linearizable", "an anchor got place %d at node-%d, though %d had been answered before it was submitted", position, n.id+1, s.behind)
	}
	for _, p := range s.after {
		if at, ok := c.ledger.ends[key{p.Member, p.Size}]; !ok || at >= position {
			c.fail("causality", "an anchor got place %d at node-%d, and does not come after the batch of node-%d's that ends at %d", position, n.id+1, p.Member+1, p.Size)
		}
	}
}

// cosignedLedger sees the cosignatures of the ledger that leave honest members.
func (c *checker) cosignedLedger(n *node, size uint64, root protocol.Hash) {
	if !c.w.honest(n.id) {
		return
	}
	k := voteKey{headKey{protocol.Ledger, size}, n.id}
	if old, again := c.votes[k]; again {
		if old != root {
			c.fail("checkpoint", "node-%d cosigned %s and %s for the ledger at size %d", n.id+1, old, root, size)
		}
		return
	}
	c.votes[k] = root
	st, ok, _ := n.disk.durable.ledger.State()
	if !ok || st.Size < size {
		c.fail("durable", "node-%d cosigned the ledger at size %d, which it has durable up to %d", n.id+1, size, st.Size)
		return
	}
	if got, err := tlog.TreeHash(int64(size), n.disk.durable.ledger.LedgerHashes()); err != nil || protocol.Hash(got) != root {
		c.fail("durable", "node-%d cosigned another ledger at size %d than it has on disk: %v", n.id+1, size, err)
	}
}

// checkpointed sees every certificate of the ledger.
func (c *checker) checkpointed(n *node, cert *quorum.Certificate) {
	if n.liar != nil {
		return
	}
	c.checkSigners(n, cert)
	old, again := c.ledger.certs[cert.Size()]
	switch {
	case !again:
		c.ledger.certs[cert.Size()] = cert.Root()
		c.w.stats.Checkpoints++
	case old != cert.Root():
		c.fail("checkpoint", "the ledger has certificates of %s and %s at size %d", old, cert.Root(), cert.Size())
	}
	c.w.trace.note(c.w.sched.now, traceCheckpoint, int(n.id), nil, cert.Size())
	c.w.trace.say(c.w.sched.now, int(n.id), "holds a certificate of the ledger at size %d", cert.Size())
}

func (c *checker) alarmed(n *node, a chronos.Alarm) {
	c.w.stats.Alarms++
	if n.liar == nil && c.w.honest(a.Member) {
		c.fail("fork", "node-%d suspects the ledger of node-%d, which is honest, at size %d", n.id+1, a.Member+1, a.Size)
	}
}

func (c *checker) haltedLedger(n *node, h chronos.Halted) {
	c.w.trace.say(c.w.sched.now, int(n.id), "halts its ledger: %s", h.Reason)
	if n.liar == nil {
		c.fail("fork", "node-%d halts its ledger: %s", n.id+1, h.Reason)
	}
}

// checkLedger walks the ledger at the end: every log is there in its order, and
// every batch behind its parents, and everything that was acknowledged.
func (c *checker) checkLedger() {
	for _, n := range c.w.nodes {
		if c.w.expected(n) && n.up {
			c.walkLedger(n)
			return // all are equal, as converged demands
		}
	}
}

func (c *checker) walkLedger(n *node) {
	place := map[key]uint64{} // by log and old
	at := map[protocol.MemberID]uint64{}
	for _, r := range n.disk.ledger.Runs() {
		if r.Old < at[r.Log] {
			c.fail("ledger", "%s's batch at %d comes behind a later one of that log", c.nameOf(r.Log), r.Old)
		}
		at[r.Log] = r.Old + 1
		place[key{r.Log, r.Old}] = r.Position
	}
	for _, a := range c.acks {
		encoded, err := n.disk.MemoryStorage.BatchAt(a.log, a.index)
		if err != nil || encoded == nil {
			continue // checkKept tells
		}
		b, err := c.w.decoded.batch(encoded, c.w.maxMessage)
		if err != nil {
			continue
		}
		position, ok := place[key{a.log, b.Old}]
		if !ok && n.machine.Status()[a.log].Certified > a.index {
			c.fail("ledger", "leaf %d of node-%d was acknowledged and is not in the ledger", a.index, a.log+1)
			return
		}
		c.checkParents(n, b, position, place)
	}
}

func (c *checker) checkParents(n *node, b *wire.Batch, position uint64, place map[key]uint64) {
	for _, p := range b.Parents {
		encoded, err := n.disk.MemoryStorage.BatchAt(p.Member, p.Size-1)
		if err != nil || encoded == nil {
			continue
		}
		parent, err := c.w.decoded.batch(encoded, c.w.maxMessage)
		if err != nil {
			continue
		}
		if at, ok := place[key{p.Member, parent.Old}]; ok && at >= position {
			c.fail("ledger", "node-%d's batch at %d comes before its parent, node-%d's at %d", b.Author+1, b.Old, p.Member+1, parent.Old)
		}
	}
}
