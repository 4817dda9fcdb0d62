package chronos

import (
	"fmt"

	"github.com/strataos/strataos/protocol"
)

const (
	// maxQueued bounds the batches of a log that wait in memory to be taken;
	// what comes beyond is read from storage when its turn comes.
	maxQueued = 1024
	// maxTaken bounds the batches that one Step takes, so that a member that
	// catches up goes on doing everything else.
	maxTaken = 512
)

// feed is what is known of a log and not ordered yet.
type feed struct {
	// known is the size up to which the log is certified and stored.
	known uint64
	// queue are the next batches to take, without a gap.
	queue []protocol.Extension
	// taken are the batches that the order has, and that are not ordered yet.
	taken []protocol.Extension
}

// loadFeed restores what of a log the order had taken and not ordered, and
// looks up how far the log has come since.
func (m *Machine) loadFeed(log protocol.MemberID, st State) error {
	f := &m.feeds[log]
	if err := m.lookUp(log); err != nil {
		return err
	}
	if st.Order.Inserted == nil {
		return nil
	}
	f.known = max(f.known, st.Order.Inserted[log])
	for at := st.Order.Emitted[log]; at < st.Order.Inserted[log]; {
		b, ok, err := ReadBatch(m.store, log, at)
		if err != nil {
			return err
		}
		if !ok || b.Old != at {
			return fmt.Errorf("log %d has no batch that begins at %d", log, at)
		}
		f.taken = append(f.taken, b.Extension())
		m.pace.count(f.taken[len(f.taken)-1].Entries, 1)
		at = b.Size()
	}
	return nil
}

// lookUp finds how far a log is certified and stored.
func (m *Machine) lookUp(log protocol.MemberID) error {
	stored, err := m.store.Size(log)
	if err != nil {
		return err
	}
	claim, ok, err := m.store.Certificate(log, latest)
	if err != nil {
		return err
	}
	if f := &m.feeds[log]; ok && claim.Size <= stored {
		f.known = max(f.known, claim.Size)
	}
	return nil
}

// rejoin tells the witness machine again which rounds are next, and looks up
// what it may have had to tell.
func (m *Machine) rejoin() error {
	m.pace.last = Advance{}
	m.pace.lost()
	for i := range m.feeds {
		if err := m.lookUp(protocol.MemberID(i)); err != nil {
			return err
		}
	}
	return nil
}

// take queues a batch.
func (m *Machine) take(b protocol.Extension) {
	if !m.committee.Known(b.Log) {
		return // the epoch that has it looks it up
	}
	f := &m.feeds[b.Log]
	_, end := m.order.Tip(b.Log)
	if n := len(f.queue); n > 0 {
		end = f.queue[n-1].Size
	}
	f.known = max(f.known, b.Size)
	if b.Old == end && len(f.queue) < maxQueued {
		f.queue = append(f.queue, b)
	}
}

// next returns the batch of a log that the order takes next.
func (m *Machine) next(log protocol.MemberID) (protocol.Extension, bool, error) {
	f := &m.feeds[log]
	if len(f.queue) > 0 {
		return f.queue[0], true, nil
	}
	_, at := m.order.Tip(log)
	if at >= f.known {
		return protocol.Extension{}, false, nil
	}
	b, ok, err := ReadBatch(m.store, log, at)
	if err != nil {
		return protocol.Extension{}, false, err
	}
	if !ok || b.Old != at {
		return protocol.Extension{}, false, fmt.Errorf("log %d is certified up to %d, and no stored batch begins at %d", log, f.known, at)
	}
	e := b.Extension()
	f.queue = append(f.queue, e)
	return e, true, nil
}

// grow gives the order what can be taken, and the ledger what has been ordered.
func (m *Machine) grow() error {
	taken := 0
	if len(m.syncing) >= maxSyncing {
		m.more = false // Persisted goes on
		return nil
	}
	for progress := true; progress && taken < maxTaken; {
		progress = false
		for i := range m.feeds {
			n, err := m.takeFrom(protocol.MemberID(i), maxTaken-taken)
			if err != nil {
				return err
			}
			taken += n
			progress = progress || n > 0
		}
	}
	m.more = taken >= maxTaken
	if taken == 0 {
		return nil
	}
	return m.decide()
}

// takeFrom gives the order batches of a log whose parents it has.
func (m *Machine) takeFrom(log protocol.MemberID, limit int) (int, error) {
	f := &m.feeds[log]
	for taken := 0; ; taken++ {
		e, ok, err := m.next(log)
		if err != nil || !ok || taken >= limit {
			return taken, err
		}
		b := orderBatch(e)
		if _, missing := m.order.Missing(b); missing {
			return taken, nil
		}
		before, _ := m.order.Tip(log)
		node, err := m.order.Insert(b)
		if err != nil {
			return taken, err
		}
		if len(b.Parents) > 0 || node.Round != before || b.Old == 0 {
			m.records = append(m.records, putNode(&node))
		}
		f.queue = f.queue[1:]
		f.taken = append(f.taken, e)
		m.pace.count(e.Entries, 1)
		if log == m.self {
			m.pace.took(e.Round, m.order.Reached(log))
		}
	}
}

// ordered removes the batch that the order has ordered from its log's feed.
func (m *Machine) ordered(log protocol.MemberID, old uint64) (protocol.Extension, error) {
	f := &m.feeds[log]
	if len(f.taken) == 0 || f.taken[0].Old != old {
		return protocol.Extension{}, fmt.Errorf("the batch of log %d that begins at %d is ordered before its turn", log, old)
	}
	e := f.taken[0]
	f.taken = f.taken[1:]
	m.pace.count(e.Entries, -1)
	return e, nil
}
