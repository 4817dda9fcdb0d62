package chronos

import (
	"fmt"
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/order"
	"github.com/strataos/strataos/protocol/quorum"
)

// rebaseLeaves is how many leaves of the ledger's tree gather in memory before
// those under the newest durable checkpoint are forgotten.
const rebaseLeaves = 8192

// ledger is the log of everything in its order (rule C4).
type ledger struct {
	tail *merkle.Tail
	// cut is the newest checkpoint that the ledger has come to.
	cut Cut
}

func (m *Machine) loadLedger(st State) error {
	frontier, err := merkle.Frontier(st.Size, m.store.LedgerHashes())
	if err != nil {
		return err
	}
	if m.ledger.tail, err = merkle.NewTail(st.Size, frontier); err != nil {
		return err
	}
	if protocol.Hash(m.ledger.tail.Root()) != st.Root {
		return fmt.Errorf("the ledger's tree of %d leaves has another root than was stored", st.Size)
	}
	m.ledger.cut = st.Cut
	if st.Cut.Size > st.Size {
		return fmt.Errorf("the ledger has %d leaves and a checkpoint at %d", st.Size, st.Cut.Size)
	}
	root, err := m.rootAt(st.Cut.Size)
	if err == nil && st.Cut.Size > 0 && root != st.Cut.Root {
		err = fmt.Errorf("the ledger's checkpoint at %d has another root than its tree", st.Cut.Size)
	}
	return err
}

// decide appends what the order has decided to the ledger, and has it stored
// with the state that it leads to.
func (m *Machine) decide() error {
	var g growth
	for {
		decisions, err := m.order.Decide()
		if err != nil {
			return err
		}
		if len(decisions) == 0 {
			break
		}
		for _, d := range decisions {
			if err := m.consume(d, &g); err != nil {
				return err
			}
		}
	}
	if !g.decided {
		return nil
	}
	st := State{
		Order: m.order.State(), Size: m.ledger.tail.Size(), Root: m.ledger.tail.Root(),
		Cut: m.ledger.cut, Accord: m.book.State(), Epoch: m.committee.Epoch(),
	}
	records, changes := m.book.Take()
	m.records = append(m.records, records...)
	seq := m.persistState(st, len(g.cuts)+len(g.turns) > 0)
	m.book.Written(seq)
	for _, c := range g.turns {
		m.turns = append(m.turns, awaitedEpoch{seq, c})
	}
	if len(g.runs) > 0 {
		m.emit(Ordered{Runs: g.runs, Seen: st.Order.Emitted, Size: st.Size, Time: st.Accord.Time, Changes: changes})
	}
	return m.reached(seq, g.cuts)
}

// growth is what a Step's decisions have given the ledger.
type growth struct {
	decided bool
	runs    []Run
	cuts    []Cut
	turns   []*quorum.Committee
}

// consume appends what a slot has emitted to the ledger.
func (m *Machine) consume(d order.Decision, g *growth) error {
	g.decided = true
	for _, b := range d.Batches {
		e, err := m.ordered(b.Log, b.Old)
		if err != nil {
			return err
		}
		extensions, err := m.book.Extend(e, m.committee.Name(e.Log), m.ledger.tail.Size())
		if err != nil {
			return err
		}
		for _, e := range extensions {
			g.runs = append(g.runs, m.append(e))
		}
	}
	if !d.EndsRound {
		return nil
	}
	next, err := m.book.Turn()
	if err != nil {
		return err
	}
	if m.mayCut(next != nil) {
		g.cuts = append(g.cuts, m.cut())
	}
	if next == nil {
		return nil
	}
	g.turns = append(g.turns, next)
	return m.turn(next)
}

// syncEvery is how many rounds may be decided between two states that are
// waited for. What comes before a durable state is forgotten in memory.
const syncEvery = 64

// persistState has a state stored, with all that has led to it.
func (m *Machine) persistState(st State, sync bool) uint64 {
	sync = sync || st.Order.Round-m.synced >= syncEvery
	records := append(m.records, PutState{st})
	m.records = nil
	seq := m.persist(!sync, records...)
	if sync {
		m.synced = st.Order.Round
		m.syncing = append(m.syncing, syncing{seq, st.Order, st.Cut.Size})
	}
	return seq
}

// maxSyncing bounds the states that are waited for. A member whose disk is so
// far behind takes nothing more until it has caught up.
const maxSyncing = 32

// syncing is a state that will be durable.
type syncing struct {
	seq   uint64
	order order.State
	cut   uint64
}

// forget drops from memory what is not needed behind a durable state. What is
// not durable cannot be read from storage yet.
func (m *Machine) forget(seq uint64) error {
	n := 0
	for n < len(m.syncing) && m.syncing[n].seq <= seq {
		n++
	}
	if n == 0 {
		return nil
	}
	durable := m.syncing[n-1]
	m.syncing = append(m.syncing[:0], m.syncing[n:]...)
	m.order.Forget(durable.order)
	if t := m.ledger.tail; t.Leaves() > rebaseLeaves && durable.cut > t.Base() {
		return t.Rebase(durable.cut)
	}
	return nil
}

// time is the ledger's: the largest of all ordered batches.
func (m *Machine) time() protocol.Micros { return m.book.State().Time }

// mayCut reports whether the ledger has grown since its newest checkpoint, and
// its time has passed a multiple of the checkpoint interval. At the end of an epoch
// there is no waiting for that.
func (m *Machine) mayCut(last bool) bool {
	l := &m.ledger
	return l.tail.Size() > l.cut.Size && (last || m.time() >= m.nextCut())
}

// nextCut is the ledger's time from which there may be another checkpoint.
func (m *Machine) nextCut() protocol.Micros { return m.ledger.cut.Next(m.params) }

// cut makes the ledger as it is now its newest checkpoint.
func (m *Machine) cut() Cut {
	l := &m.ledger
	l.cut = Cut{Size: l.tail.Size(), Root: l.tail.Root(), Time: m.time(), Epoch: m.committee.Epoch()}
	return l.cut
}

// append adds the entries of an ordered batch to the ledger.
func (m *Machine) append(e protocol.Extension) Run {
	t := m.ledger.tail
	run := Run{Position: t.Size(), Log: e.Log, Old: e.Old, Time: e.Time, LedgerTime: m.time(), Entries: e.Entries}
	name := m.committee.Name(e.Log)
	buf := make([]byte, 0, 256)
	for i, entry := range e.Entries {
		leaf, scratch := protocol.LedgerEntry{Entry: entry, Log: name, Index: e.Old + 1 + uint64(i)}.LeafHash(buf)
		buf = scratch
		t.Append(leaf)
	}
	m.records = append(m.records, PutRun{Run: run, Hashes: slices.Clone(t.HashesFrom(run.Position))})
	return run
}
