package chronos

import (
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

// TestStalledDisk has a member's disk stall while its ledger grows far. It has
// a certificate of the ledger come of a size that it has let go of in memory,
// had it not kept what is not durable.
func TestStalledDisk(t *testing.T) {
	c := newCluster(t, 4)
	m := c.members[3]
	c.busy(200 * ms)
	c.must("settled", second, c.settled)
	first := c.members[0].machine.head(false)
	c.tamper = func(msg wire.Message, _, to protocol.MemberID) wire.Message {
		if to == m.id {
			return nil // so that it has no newer certificate
		}
		return msg
	}
	c.stalled = m
	for m.machine.ledger.tail.Leaves() < 2*rebaseLeaves {
		for range 100 {
			c.members[0].submit(protocol.KindAnchorEvent)
		}
		c.run(10*ms, nil)
	}
	if first.Cert.Size == 0 || m.machine.ledger.cut.Size < rebaseLeaves {
		t.Fatal("no checkpoint to come back to: the test proves nothing")
	}
	m.step(Receive{From: 0, Msg: c.members[0].machine.head(false)})
	m.step(Receive{From: 0, Msg: first})
	c.stalled, c.tamper = nil, nil
	m.sync(m.machine.seq)
	c.must("settled", 5*second, c.settled)
	if got := m.machine.ledger.tail.Leaves(); got > rebaseLeaves {
		t.Errorf("%d leaves are in memory when all is durable", got)
	}
}

// TestNoCheckpointForLong has the ledger's time lie ahead, so that no checkpoint
// comes for long after a restart, while many entries do.
func TestNoCheckpointForLong(t *testing.T) {
	c := newCluster(t, 4)
	c.busy(200 * ms)
	m := c.members[0]
	m.skew = 1900 * ms
	m.submit(protocol.KindAnchorEvent)
	c.run(150*ms, nil)
	m.skew = 0
	c.busy(100 * ms) // so that the ledger goes on behind its newest checkpoint
	m.crash(len(m.unsynced))
	m.boot()
	if l := &m.machine.ledger; l.tail.Base() <= l.cut.Size {
		t.Fatal("the newest checkpoint is of the whole ledger: the test proves nothing")
	}
	for range 120 {
		for range 100 {
			m.submit(protocol.KindAnchorEvent)
		}
		c.run(10*ms, nil)
	}
	c.must("settled", 5*second, c.settled)
}

// TestCatchUpWithoutCertificates has a member come to hundreds of checkpoints
// that nobody has a certificate of, while its disk is slow. What it counts and
// cosigns of them stays bounded, and the newest gets its certificate.
func TestCatchUpWithoutCertificates(t *testing.T) {
	c := newCluster(t, 4)
	m := c.members[3]
	m.crash(0)
	c.tamper = func(wire.Message, protocol.MemberID, protocol.MemberID) wire.Message { return nil }
	for range 600 {
		for _, o := range c.members[:3] {
			o.submit(protocol.KindAnchorEvent)
		}
		c.run(25*ms, nil)
	}
	c.run(2*second, nil)
	c.sync = 100 * ms
	m.boot()
	c.run(2*second, nil)
	c.tamper = nil
	c.busy(second)
	c.must("settled", 20*second, c.settled)
}

// TestCatchUp has a member take thousands of batches, in bounded steps, and
// wait for its disk on the way.
func TestCatchUp(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		if c.Committee.N() == 1 {
			t.Skip("nobody is ahead")
		}
		m := c.members[0]
		m.crash(0)
		batches := 0
		for batches < 4000 {
			for _, o := range c.members[1:] {
				o.submit(protocol.KindAttest)
				batches++
			}
			c.run(ms, nil)
		}
		c.must("settled", 3*second, c.settled)
		var before uint64
		m.watch = func() {
			inserted := uint64(0)
			for _, size := range m.machine.order.State().Inserted {
				inserted += size
			}
			if inserted-before > 3*maxTaken { // batches have two leaves or three
				t.Fatalf("%d leaves are taken at once", inserted-before)
			}
			before = inserted
		}
		c.stalled = m
		m.boot()
		c.run(100*ms, nil)
		c.stalled = nil
		m.sync(m.machine.seq)
		c.must("settled", 5*second, c.settled)
		if st := m.machine.Status(); st.Size < 4000 || len(m.alarms)+len(m.halts) > 0 {
			t.Errorf("%+v, %d alarms", st, len(m.alarms))
		}
	})
}

// TestWaitsForTheDisk has a member catch up over a disk that stalls: what it
// has not been told is durable stays bounded, and it does not spin meanwhile.
func TestWaitsForTheDisk(t *testing.T) {
	c := newCluster(t, 4)
	m := c.members[0]
	for _, o := range c.members {
		o.crash(0)
		o.author.silent = true
	}
	entries := m.grid(2 * maxSyncing * maxTaken / 4)
	c.stalled = m
	m.boot()
	c.run(10*second, nil)
	if n := len(m.unsynced); n < maxSyncing || n > maxSyncing+1 {
		t.Errorf("%d states wait for the disk, want %d", n, maxSyncing)
	}
	before := m.ticks
	c.run(10*second, nil)
	if m.ticks-before > 20 {
		t.Errorf("%d ticks while the disk stalls", m.ticks-before)
	}
	c.stalled = nil
	m.sync(m.machine.seq)
	c.run(10*second, nil)
	// The last rounds are decided by ones that are to come.
	if st := m.machine.Status(); st.Size < entries-16 || st.Unordered != int(entries-st.Size) {
		t.Errorf("%+v of %d entries", st, entries)
	}
}

// grid stores rounds of certified batches with an entry each, of which every one
// names all of the round before, and returns how many entries that are.
func (m *member) grid(rounds int) uint64 {
	n := len(m.c.members)
	for r := range rounds {
		for i := range n {
			b := &wire.Batch{Author: protocol.MemberID(i), Old: uint64(2 * r), Round: uint64(r), Time: m.c.now + protocol.Micros(r)*ms, Items: []wire.Item{{Kind: protocol.KindAttest, Body: []byte("{}")}}}
			b.Cert.Log = b.Author
			for j := 0; j < n && r > 0; j++ {
				if j != i {
					b.Parents = append(b.Parents, protocol.Parent{Member: protocol.MemberID(j), Size: uint64(2 * r)})
				}
			}
			if err := m.store.Apply([]witness.Record{putBatch(m.c.t, b), witness.PutCertificate{Claim: quorum.Claim{Log: b.Author, Size: b.Size()}}}); err != nil {
				m.c.t.Fatal(err)
			}
		}
	}
	return uint64(rounds * n)
}
