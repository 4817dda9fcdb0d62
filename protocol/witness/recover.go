package witness

import (
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/wire"
)

const (
	// recoverEvery is how often a recovering member asks those it has not
	// heard from.
	recoverEvery = 300 * protocol.Millisecond
	// recoverGrace is how long a member without a log of its own waits for
	// more than the answers it needs.
	recoverGrace = 2 * protocol.Second
)

// recovery is what a member that has started learns about its own log before
// it authors: a member that lost its disk must not sign a second history
// (rule W7).
type recovery struct {
	// heard is how much of the own log each member that answered has proved.
	heard map[protocol.MemberID]uint64
	// target is the most of them.
	target  uint64
	graceAt protocol.Micros
}

// answered lists the members that answered, this one included.
func (r *recovery) answered(self protocol.MemberID, members []protocol.MemberID) []protocol.MemberID {
	var out []protocol.MemberID
	for _, id := range members {
		if _, ok := r.heard[id]; ok || id == self {
			out = append(out, id)
		}
	}
	return out
}

// start votes again for what is stored but was not certified when the member
// stopped, and asks the others for this member's own log.
func (m *Machine) start() error {
	m.author.recovery = recovery{heard: map[protocol.MemberID]uint64{}, graceAt: m.now + recoverGrace}
	for _, l := range m.logs {
		if err := m.agree(l); err != nil {
			return err
		}
		if err := m.voteAnew(l); err != nil {
			return err
		}
	}
	m.compareHeads()
	m.handover.graceAt = m.now + handoverGrace
	if err := m.ask(); err != nil {
		return err
	}
	return m.checkRecovered()
}

// heardOwn notes what a peer stores of this member's own log.
func (m *Machine) heardOwn(from protocol.MemberID, msg *wire.Heads) {
	r := &m.author.recovery
	if m.author.recovered || r.heard == nil {
		return
	}
	proved := r.heard[from]
	for _, h := range msg.Heads {
		if h.Log == m.self && h.Signed.Size > max(proved, m.own.size()) && m.signedBy(m.self, h.Signed) {
			proved = h.Signed.Size
		}
	}
	r.heard[from], r.target = proved, max(r.target, proved)
}

// checkRecovered lets the member author once n−f members have said how much of
// its log they store and it stores all of that. Without a log of its own it
// gives the others some time to answer too.
func (m *Machine) checkRecovered() error {
	r := &m.author.recovery
	l := m.own
	if m.author.recovered || r.heard == nil || !m.committee.Has(m.self) {
		return nil
	}
	if l.size() < r.target {
		if !l.fetch.busy() {
			m.request(l, m.anyHolder())
		}
		return nil
	}
	answers := len(r.answered(m.self, m.committee.Members()))
	if answers < m.committee.Quorum() {
		return nil
	}
	if l.size() == 0 && answers < m.committee.N() && m.now < r.graceAt {
		return nil
	}
	m.author.recovered = true
	m.emit(Recovered{})
	return nil
}

// anyHolder chooses a member that has proved to store more of the own log: not
// always the same, since one may be slow, or lie.
func (m *Machine) anyHolder() protocol.MemberID {
	var holders []protocol.MemberID
	for i := range m.logs {
		if id := protocol.MemberID(i); m.author.recovery.heard[id] > m.own.size() {
			holders = append(holders, id)
		}
	}
	return holders[m.rng.IntN(len(holders))]
}

// reclaim takes back a batch of this member's own, which it has lost, from a
// peer.
func (m *Machine) reclaim(from protocol.MemberID, b *wire.Batch) error {
	l := m.own
	if b.Old != l.size() || l.evidence != nil || !m.mayBeErased(b) || !m.signedBy(m.self, markOf(b).signed) {
		return nil
	}
	record, err := m.extend(l, b, bodyHashes(b))
	if invalid, ok := err.(*invalidBatch); ok {
		m.emit(Blame{Member: from, Reason: invalid.reason})
		return nil
	}
	if err != nil {
		return err
	}
	seq := m.persist(record)
	m.waiting = append(m.waiting, awaited{seq: seq, log: m.self, size: b.Size(), batch: b})
	m.author.batches = append(m.author.batches, &ownBatch{
		Sealed:  &Sealed{Old: b.Old, Size: b.Size(), Time: b.Time},
		msg:     b,
		backoff: minResend,
	})
	return m.agree(l)
}
