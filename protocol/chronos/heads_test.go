package chronos

import (
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// cosigned is what a member says that has cosigned a ledger.
func (c *cluster) cosigned(voter protocol.MemberID, size uint64, root protocol.Hash) *wire.LedgerHead {
	v := c.Vote(voter, protocol.Ledger, size, root, c.now.Seconds())
	return &wire.LedgerHead{
		Voter: voter, Head: wire.Signed{Size: size, Root: root, Time: v.Time, Sig: v.Sig},
		Cert: quorum.Claim{Log: protocol.Ledger},
	}
}

// certified is what a member says that holds a certificate of a ledger.
func (c *cluster) certified(size uint64, root protocol.Hash, voters ...protocol.MemberID) *wire.LedgerHead {
	claim := quorum.Claim{Log: protocol.Ledger, Size: size, Root: root}
	for _, v := range voters {
		claim.Cosigs = append(claim.Cosigs, c.Vote(v, protocol.Ledger, size, root, c.now.Seconds()))
	}
	return &wire.LedgerHead{Voter: 1, Cert: claim}
}

func other(root protocol.Hash) protocol.Hash {
	root[0] ^= 1
	return root
}

// deaf runs a network of four whose members hear nothing of each other's
// ledgers, and returns the first of them with its newest checkpoint.
func deaf(t *testing.T) (*cluster, *member, Cut) {
	t.Helper()
	c := newCluster(t, 4)
	c.tamper = func(wire.Message, protocol.MemberID, protocol.MemberID) wire.Message { return nil }
	c.busy(500 * ms)
	c.run(500*ms, nil)
	m := c.members[0]
	cuts := m.machine.heads.cuts
	if len(cuts) < 3 || m.machine.heads.cert != nil {
		t.Fatalf("%d checkpoints, certified up to %d", len(cuts), m.machine.heads.cert.Size())
	}
	return c, m, cuts[len(cuts)-1]
}

func (m *member) hears(from protocol.MemberID, head *wire.LedgerHead) {
	m.c.t.Helper()
	m.step(Receive{From: from, Msg: head})
}

// expect compares what a member has found out with what it should have.
func (m *member) expect(certified uint64, alarms, halts, blames int) {
	m.c.t.Helper()
	if got := m.machine.Status().Checkpoint; got != certified || len(m.alarms) != alarms || len(m.halts) != halts || len(m.blames) != blames {
		m.c.t.Errorf("certified up to %d with %d alarms, %d halts and %d blames; want %d, %d, %d and %d",
			got, len(m.alarms), len(m.halts), len(m.blames), certified, alarms, halts, blames)
	}
}

// TestCosignatures counts those of a checkpoint: each member's once, whoever
// delivers it, and none that is forged.
func TestCosignatures(t *testing.T) {
	c, m, cut := deaf(t)
	one, two := c.cosigned(1, cut.Size, cut.Root), c.cosigned(2, cut.Size, cut.Root)
	m.hears(1, one)
	m.hears(1, one)
	m.hears(3, one)
	m.hears(1, c.cosigned(0, cut.Size, cut.Root)) // its own
	m.hears(9, two)                               // from no member
	m.hears(0, two)                               // from itself
	m.expect(0, 0, 0, 0)
	forged := *two
	forged.Voter = 3
	m.hears(3, &forged)
	m.expect(0, 0, 0, 1)
	forged.Voter = 7
	m.hears(3, &forged)
	m.expect(0, 0, 0, 1)
	m.hears(3, two)
	m.expect(cut.Size, 0, 0, 1)
	if len(m.checkpoints) != 1 {
		t.Errorf("%d certificates", len(m.checkpoints))
	}
	m.hears(3, c.cosigned(3, cut.Size, cut.Root)) // late
	m.expect(cut.Size, 0, 0, 1)
}

// TestEarlyCosignatures has the others' cosignatures come before a member has
// come to the checkpoint, with forged ones, doubles and nonsense between them.
func TestEarlyCosignatures(t *testing.T) {
	c, m, _ := deaf(t)
	m.cutOff = true
	c.busy(300 * ms)
	c.run(500*ms, nil)
	cut := c.members[1].machine.ledger.cut
	if m.machine.ledger.cut.Size >= cut.Size {
		t.Fatal("it has come to the checkpoint already")
	}
	for i := range uint64(2 * maxEarly) {
		for range 3 {
			m.hears(1, c.cosigned(1, cut.Size, cut.Root))
		}
		m.hears(3, c.cosigned(3, cut.Size+i, other(cut.Root))) // a liar's
	}
	two := c.cosigned(2, cut.Size, cut.Root)
	forged := *two
	forged.Head.Size += 1000
	m.hears(3, &forged)
	for range 2 * maxEarly {
		m.hears(3, two) // as often as a liar repeats it
	}
	if got := len(m.machine.heads.early[2]); got != 1 {
		t.Errorf("one cosignature is kept %d times", got)
	}
	m.expect(0, 0, 0, 1)
	m.joinAgain()
	c.run(50*ms, nil)
	if got := m.machine.Status(); got.Checkpoint != cut.Size {
		t.Errorf("%+v, want it certified up to %d", got, cut.Size)
	}
}

// TestCertificates has certificates come: of the own ledger, older ones, forged
// ones, with too few, and one that is ahead of the own ledger.
func TestCertificates(t *testing.T) {
	c, m, cut := deaf(t)
	cuts := m.machine.heads.cuts
	m.hears(1, c.certified(cut.Size, cut.Root, 1, 2))
	m.expect(0, 0, 0, 1)
	wrong := c.certified(cut.Size, cut.Root, 1, 2, 3)
	wrong.Cert.Cosigs[2].Sig[5] ^= 1
	m.hears(1, wrong)
	m.expect(0, 0, 0, 2)
	log := c.certified(cut.Size, cut.Root, 1, 2, 3)
	log.Cert.Log = 2
	m.hears(1, log)
	m.expect(0, 0, 0, 2)
	first := cuts[len(cuts)-3]
	m.hears(1, c.certified(first.Size, first.Root, 1, 2, 3))
	m.expect(first.Size, 0, 0, 2)
	m.hears(1, c.certified(cut.Size, cut.Root, 1, 2, 3))
	m.expect(cut.Size, 0, 0, 2)
	m.hears(1, c.certified(first.Size, first.Root, 1, 2, 3))
	m.expect(cut.Size, 0, 0, 2)
	if len(m.checkpoints) != 2 {
		t.Errorf("%d certificates are told, want 2", len(m.checkpoints))
	}

	m.crash(len(m.unsynced))
	m.boot()
	m.expect(cut.Size, 0, 0, 2)
}

// TestCertificateAhead has a certificate come of a size that the member's ledger
// has not come to. It counts once it has.
func TestCertificateAhead(t *testing.T) {
	c, m, _ := deaf(t)
	m.cutOff = true
	c.busy(300 * ms)
	c.run(500*ms, nil)
	cut := c.members[1].machine.ledger.cut
	m.hears(1, c.certified(cut.Size, cut.Root, 1, 2, 3))
	m.hears(1, c.certified(cut.Size-1, other(cut.Root), 1, 2, 3)) // an older one, whatever it says
	m.expect(0, 0, 0, 0)
	m.joinAgain()
	m.expect(cut.Size, 0, 0, 0)
}

// TestForkAlarm has others cosign another ledger. f of them may lie and raise
// an alarm each; one more, and it is this member's ledger that is wrong.
func TestForkAlarm(t *testing.T) {
	c, m, cut := deaf(t)
	between := m.machine.heads.cuts[1].Size - 1
	if between == m.machine.heads.cuts[0].Size {
		t.Fatal("no size without a checkpoint")
	}
	m.hears(1, c.cosigned(1, cut.Size, other(cut.Root)))
	m.expect(0, 1, 0, 0)
	m.hears(1, c.cosigned(1, cut.Size, other(cut.Root)))
	m.expect(0, 1, 0, 0)
	if a := m.alarms[0]; a.Member != 1 || a.Size != cut.Size || a.Root != other(cut.Root) {
		t.Errorf("the alarm is %+v", a)
	}
	forged := c.cosigned(2, cut.Size, other(cut.Root))
	forged.Head.Sig[7] ^= 1
	m.hears(2, forged)
	m.expect(0, 1, 0, 0)
	m.hears(2, c.cosigned(2, between, cut.Root)) // where there is no checkpoint
	m.expect(0, 2, 0, 0)
	m.hears(2, c.cosigned(2, cut.Size, other(other(cut.Root)))) // the right one
	m.hears(3, c.cosigned(3, cut.Size, cut.Root))
	m.expect(cut.Size, 2, 0, 0)
	m.hears(3, c.cosigned(3, cut.Size, other(cut.Root)))
	m.expect(cut.Size, 3, 1, 0)
	if !m.machine.Status().Halted {
		t.Error("the status does not say so")
	}
}

// TestHaltsOnCertificate has a quorum certify another ledger. The member's is
// halted: it says so once, orders nothing more, and signs nothing.
func TestHaltsOnCertificate(t *testing.T) {
	c, m, cut := deaf(t)
	before := m.machine.Status()
	all := m.step(
		Receive{From: 1, Msg: c.certified(cut.Size, other(cut.Root), 1, 2, 3)},
		Receive{From: 2, Msg: c.certified(cut.Size, other(cut.Root), 1, 2, 3)},
		Receive{From: 2, Msg: c.cosigned(2, cut.Size, other(cut.Root))},
		Receive{From: 3, Msg: c.cosigned(3, cut.Size, other(cut.Root))},
		PeerUp{Member: 1}, Tick{}, Extended{Batches: extensionsBehind(m)},
	)
	m.expect(0, 0, 1, 0)
	if len(all) != 1 {
		t.Errorf("%d effects, want one that says so", len(all))
	}
	c.busy(300 * ms)
	c.run(500*ms, nil)
	st := m.machine.Status()
	if !st.Halted || st.Size != before.Size {
		t.Errorf("%+v", st)
	}
	for _, other := range c.members[1:] {
		if other.machine.Status().Size <= st.Size {
			t.Error("nothing was ordered: the test proves nothing")
		}
	}
	// It finds out again when it is started again.
	m.crash(len(m.unsynced))
	m.boot()
	m.hears(1, c.certified(cut.Size, other(cut.Root), 1, 2, 3))
	m.expect(0, 0, 2, 0)
}

// extensionsBehind is a batch that follows a log.
func extensionsBehind(m *member) []protocol.Extension {
	_, size := m.machine.order.Tip(1)
	return []protocol.Extension{{Log: 1, Old: size, Size: size + 1, Round: 1 << 40, Time: m.c.now + second}}
}

// TestLostCosignatures has every message be lost for a while. Members ask each
// other for what the newest checkpoint lacks, until it has its certificate.
func TestLostCosignatures(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		c.tamper = func(wire.Message, protocol.MemberID, protocol.MemberID) wire.Message { return nil }
		c.busy(300 * ms)
		c.run(3*second, nil)
		c.tamper = nil
		c.must("settled", 10*second, c.settled)
	})
}

// TestPeerUp has members tell each other where they stand when they meet.
func TestPeerUp(t *testing.T) {
	c, m, cut := deaf(t)
	c.tamper = nil
	c.run(ms, nil)
	for _, o := range c.members[1:] {
		m.step(PeerUp{Member: o.id})
	}
	m.step(PeerUp{Member: m.id}, PeerUp{Member: 9})
	c.run(10*ms, nil)
	if got := m.machine.Status().Checkpoint; got != cut.Size {
		t.Errorf("certified up to %d, want %d", got, cut.Size)
	}
}
