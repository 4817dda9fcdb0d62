package chronos

import (
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
)

// busy has all members submit for a while.
func (c *cluster) busy(d protocol.Micros) {
	kinds := []protocol.Kind{protocol.KindAttest, protocol.KindAnchorEvent, protocol.KindAttest, protocol.KindAnchorProof}
	for end := c.now + d; c.now < end; c.run(protocol.Micros(c.rng.Int64N(int64(4*ms))), nil) {
		m := c.members[c.rng.IntN(len(c.members))]
		if m.machine != nil {
			m.submit(kinds[c.rng.IntN(len(kinds))])
		}
	}
}

// TestLedger has members under load come to one ledger, whose leaves are the
// entries of the logs in the order of the runs, and whose checkpoints all have
// certificates.
func TestLedger(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		c.busy(2 * second)
		c.must("settled", 3*second, c.settled)
		made := 0
		for _, m := range c.members {
			made += m.author.made
		}
		st := c.members[0].machine.Status()
		if st.Size != uint64(made) || st.Unordered != 0 {
			t.Errorf("the ledger has %d entries of %d, and %d wait", st.Size, made, st.Unordered)
		}
		m := c.members[0]
		m.sync(m.machine.seq)
		var leaves []tlog.Hash
		at := make([]uint64, len(c.members))
		for _, r := range m.store.ledger.Runs() {
			if r.Old < at[r.Log] {
				t.Fatalf("the batch of log %d at %d comes behind one at %d", r.Log, r.Old, at[r.Log])
			}
			at[r.Log] = r.Old
			for i, e := range r.Entries {
				leaf, _ := protocol.LedgerEntry{Entry: e, Log: c.Committee.Name(r.Log), Index: r.Old + 1 + uint64(i)}.LeafHash(nil)
				leaves = append(leaves, leaf)
			}
		}
		if root := rootOf(t, leaves); root != st.Root {
			t.Errorf("the root is %s, that of the leaves %s", st.Root, root)
		}
	})
}

// rootOf computes a tree's root without our own tree code.
func rootOf(t *testing.T, leaves []tlog.Hash) protocol.Hash {
	t.Helper()
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = stored[x]
		}
		return out, nil
	})
	for i, leaf := range leaves {
		more, err := tlog.StoredHashesForRecordHash(int64(i), leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
	}
	root, err := tlog.TreeHash(int64(len(leaves)), reader)
	if err != nil {
		t.Fatal(err)
	}
	return protocol.Hash(root)
}

// TestCuts has checkpoints come at the ends of rounds only, each behind the
// next multiple of the interval.
func TestCuts(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		interval := c.params.Checkpoint()
		m := c.members[0]
		seen, last := 0, Cut{}
		for end := c.now + 2*second; c.now < end; c.busy(ms) {
			cuts := m.machine.heads.cuts
			for _, cut := range cuts[min(seen, len(cuts)):] {
				if cut.Size <= last.Size || cut.Time/interval == last.Time/interval {
					t.Fatalf("a checkpoint at size %d and time %d follows one at size %d and time %d", cut.Size, cut.Time, last.Size, last.Time)
				}
				if last.Size > 0 && cut.Time-last.Time > 3*interval {
					t.Errorf("%d ms from one checkpoint to the next", (cut.Time-last.Time)/ms)
				}
				last = cut
			}
			seen = len(cuts)
		}
		if seen < 15 {
			t.Errorf("%d checkpoints in 2 s", seen)
		}
		c.must("settled", 3*second, c.settled)
		sizes := map[uint64]bool{}
		for _, cut := range m.machine.heads.cuts {
			sizes[cut.Size] = true
		}
		for size := range c.certs {
			if !sizes[size] {
				t.Errorf("a certificate at size %d, where there is no checkpoint", size)
			}
		}
	})
}

// TestSignsWhatIsDurable has a disk that never syncs. Nothing of the ledger is
// cosigned, and once it has synced all of it is.
func TestSignsWhatIsDurable(t *testing.T) {
	c := newCluster(t, 4)
	m := c.members[0]
	c.busy(300 * ms)
	c.must("settled", second, c.settled)
	c.sync = 3_600 * second
	before := len(c.signed)
	sizeBefore := m.machine.Status().Checkpoint
	c.busy(500 * ms)
	if got := len(c.signed) - before; got > 0 {
		t.Errorf("%d cosignatures of what is not durable", got)
	}
	if m.machine.Status().Size == sizeBefore {
		t.Error("nothing was ordered: the test proves nothing")
	}
	c.sync = ms
	for _, m := range c.members {
		m.sync(m.machine.seq)
	}
	c.must("settled", 3*second, c.settled)
}

// TestRestart crashes members at every point of their work, with every part of
// what was not synced kept. They go on to the same places and roots, and never
// cosign another root for a size; the cluster sees to that.
func TestRestart(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		rounds := 300
		if testing.Short() {
			rounds = 50
		}
		for range rounds {
			m := c.members[c.rng.IntN(len(c.members))]
			c.busy(protocol.Micros(c.rng.Int64N(int64(20 * ms))))
			m.crash(c.rng.IntN(len(m.unsynced) + 1))
			if c.rng.IntN(3) == 0 {
				c.busy(protocol.Micros(c.rng.Int64N(int64(30 * ms))))
			}
			m.boot()
			c.sync = protocol.Micros(c.rng.Int64N(int64(50 * ms)))
		}
		c.sync = ms
		c.must("settled", 5*second, c.settled)
		if len(c.certs) == 0 {
			t.Error("no checkpoints")
		}
	})
}

// TestRestartFromEveryState starts a machine from every prefix of what one has
// persisted. All go on to the same ledger.
func TestRestartFromEveryState(t *testing.T) {
	c := newCluster(t, 4)
	m := c.members[0]
	c.sync = 3_600 * second // so that all is in the journal
	c.busy(300 * ms)
	c.run(500*ms, nil)
	want := m.machine.Status()
	records := m.unsynced
	logs := m.store.MemoryStorage
	if len(records) < 20 {
		t.Fatalf("%d states", len(records))
	}
	for keep := range len(records) + 1 {
		again := &member{c: c, id: m.id, author: author{named: make([]uint64, 4), certified: make([]uint64, 4)}}
		again.store.MemoryStorage = logs
		for _, p := range records[:keep] {
			again.apply(p)
		}
		again.boot()
		if got := again.machine.Status(); got.Size != want.Size || got.Root != want.Root || got.Time != want.Time || got.Round != want.Round || got.Unordered != want.Unordered {
			t.Fatalf("from state %d: %+v, want %+v", keep, got, want)
		}
		if a, b := again.machine.ledger.cut, m.machine.ledger.cut; a != b {
			t.Fatalf("from state %d: checkpoint %+v, want %+v", keep, a, b)
		}
	}
}
