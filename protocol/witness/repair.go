package witness

import (
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/wire"
)

const (
	// headsEvery is how often a member compares heads with another.
	headsEvery = protocol.Second
	// gapDelay gives a message that was overtaken the time to come.
	gapDelay = 20 * protocol.Millisecond
	// fetchTimeout is how long a request may stay unanswered.
	fetchTimeout = protocol.Second
)

// repair is the state of anti-entropy.
type repair struct {
	headsAt protocol.Micros
	// source is who has last brought something that this member lacked.
	source protocol.MemberID
}

// fetch is the one request for batches of a log that may be under way, or is
// about to be made.
type fetch struct {
	peer protocol.MemberID
	from uint64
	// size and cert are what the peer is believed to have.
	size, cert uint64
	dueAt      protocol.Micros
	askedAt    protocol.Micros
	asked      bool
}

func (f *fetch) busy() bool { return f.asked || f.dueAt != 0 }

func (f *fetch) answers(peer protocol.MemberID, from uint64) bool {
	return f.asked && f.peer == peer && f.from == from
}

// hint notes that a peer seems to store more of a log than this member: up to
// size, and certified up to cert.
func (m *Machine) hint(l *logState, peer protocol.MemberID, size, cert uint64) {
	if l.fetch.busy() || peer == m.self || size <= l.size() && cert <= l.cert.Size() {
		return
	}
	l.fetch = fetch{peer: peer, size: size, cert: cert, dueAt: m.now + gapDelay}
}

// request asks a peer for what follows this member's part of a log.
func (m *Machine) request(l *logState, peer protocol.MemberID) {
	from := l.size()
	if l.evidence != nil {
		from = l.cert.Size() // what is stored behind it may be another history
	}
	l.fetch = fetch{peer: peer, from: from, askedAt: m.now, asked: true}
	m.emit(Send{To: peer, Msg: &wire.RangeRequest{Log: l.id, From: from, Epoch: m.committee.Epoch()}})
}

// tick does what has become due.
func (m *Machine) tick() error {
	m.resend()
	for _, l := range m.logs {
		if l.holdUntil != 0 && l.holdUntil <= m.now {
			if err := m.advance(l); err != nil {
				return err
			}
		}
		if l.claimAt != 0 && l.claimAt <= m.now {
			if err := m.checkClaim(l); err != nil {
				return err
			}
		}
		if l.appealAt != 0 && l.appealAt <= m.now {
			m.appeal(l)
		}
		m.fetchDue(l)
	}
	if h := &m.handover; h.askAt != 0 && h.askAt <= m.now {
		if err := m.ask(); err != nil {
			return err
		}
	}
	if m.repair.headsAt <= m.now || m.repair.headsAt > m.now+2*headsEvery {
		m.compareHeads()
	}
	return m.checkRecovered()
}

func (m *Machine) fetchDue(l *logState) {
	f := &l.fetch
	switch {
	case f.asked && (m.now-f.askedAt >= fetchTimeout || m.now < f.askedAt):
		*f = fetch{}
	case !f.asked && f.dueAt != 0 && f.dueAt <= m.now:
		if l.size() >= f.size && l.cert.Size() >= f.cert {
			*f = fetch{} // it came by itself
			return
		}
		m.request(l, f.peer)
	}
}

// compareHeads tells a member at random, or every member while this one
// recovers, how much of each log is stored here, and asks for the same.
func (m *Machine) compareHeads() {
	m.repair.headsAt = m.after(headsEvery)
	members := m.committee.Members()
	self, member := slices.BinarySearch(members, m.self)
	if member && len(members) == 1 {
		return
	}
	if member && !m.author.recovered {
		m.repair.headsAt = m.after(recoverEvery)
		for _, id := range members {
			if _, ok := m.author.recovery.heard[id]; !ok && id != m.self {
				m.greet(id)
			}
		}
		return
	}
	if !member {
		m.greet(members[m.rng.IntN(len(members))])
		return
	}
	i := m.rng.IntN(len(members) - 1)
	if i >= self {
		i++
	}
	m.greet(members[i])
}

// greet sends a member this one's heads and asks for its own.
func (m *Machine) greet(id protocol.MemberID) {
	if m.committee.Known(id) && id != m.self {
		m.emit(Send{To: id, Msg: m.heads(true)})
	}
}

// heads says how much of each log is stored here, and what this member was told
// of more when the epoch began.
func (m *Machine) heads(want bool) *wire.Heads {
	h := &wire.Heads{Epoch: m.announced(), Knows: m.handover.complete, Want: want}
	room := wire.MaxHeads - len(m.logs)
	for _, l := range m.logs {
		more := l.targets
		if len(more) > min(maxTold, room) {
			more = nil
		}
		room -= len(more)
		knows := l.knows
		if len(more) < len(l.targets) {
			knows = 0
		}
		h.Heads = append(h.Heads, wire.Head{
			Log: l.id, Signed: l.durableHead().signed,
			Certified: min(l.cert.Size(), l.durable), Frozen: l.evidence != nil, Knows: knows,
		})
		for _, s := range more {
			h.Heads = append(h.Heads, wire.Head{Log: l.id, Signed: s})
		}
		// Who stores less must know that this member stores the same.
		held := m.inherited(l)
		held = held[:min(len(held), room)]
		room -= len(held)
		for _, mk := range held {
			h.Heads = append(h.Heads, wire.Head{Log: l.id, Signed: mk.signed})
		}
	}
	return h
}

// onHeads looks for what the sender has and this member lacks, and the other
// way round.
func (m *Machine) onHeads(from protocol.MemberID, msg *wire.Heads) error {
	for i, h := range msg.Heads {
		if !m.committee.Known(h.Log) {
			continue
		}
		l := m.logs[h.Log]
		if l.evidence != nil && !h.Frozen && (i == 0 || msg.Heads[i-1].Log != h.Log) {
			m.emit(Send{To: from, Msg: l.evidence})
		}
		if err := m.compareHead(l, from, h); err != nil {
			return err
		}
	}
	if msg.Want {
		m.emit(Send{To: from, Msg: m.heads(false)})
	}
	m.heardOwn(from, msg)
	if err := m.onReport(from, msg); err != nil {
		return err
	}
	if err := m.noteHolders(from, msg); err != nil {
		return err
	}
	return m.checkRecovered()
}

func (m *Machine) compareHead(l *logState, from protocol.MemberID, h wire.Head) error {
	if l.id == m.self && !m.author.recovered {
		return nil // recovery asks by itself
	}
	if l.evidence == nil && h.Signed.Size > 0 && h.Signed.Size <= l.size() {
		if i, ok := l.find(h.Signed.Size); ok && l.chain[i].signed.Root != h.Signed.Root && m.signedBy(l.id, h.Signed) {
			e, err := m.contradictStored(l, h.Signed)
			if err != nil {
				return err
			}
			m.accuse(e)
		}
	}
	if l.evidence != nil || l.id == m.self && h.Signed.Size > l.size() && !m.signedBy(l.id, h.Signed) {
		h.Signed.Size = 0 // of a frozen log, only what is certified is taken
	}
	if !m.takes(l, h.Signed.Size) {
		h.Signed.Size = l.bound
	}
	m.hint(l, from, h.Signed.Size, h.Certified)
	return nil
}

// schedule asks for a Tick at the earliest time at which something is due.
func (m *Machine) schedule() {
	next := m.repair.headsAt
	sooner := func(at protocol.Micros) {
		if at < next {
			next = at
		}
	}
	if at, ok := m.sealAt(); ok {
		sooner(at)
	}
	if m.handover.askAt != 0 {
		sooner(m.handover.askAt)
	}
	if m.author.tellAt != 0 {
		sooner(m.author.tellAt)
	}
	for _, b := range m.author.batches {
		if !b.certified && b.published && m.committee.Has(m.self) {
			sooner(b.resendAt)
		}
	}
	for _, l := range m.logs {
		for _, at := range [...]protocol.Micros{l.holdUntil, l.claimAt, l.appealAt} {
			if at != 0 {
				sooner(at)
			}
		}
		if l.fetch.dueAt != 0 {
			sooner(l.fetch.dueAt)
		}
		if l.fetch.asked {
			sooner(l.fetch.askedAt + fetchTimeout)
		}
	}
	next = max(next, m.now+1)
	if next != m.timer {
		m.timer = next
		m.emit(Timer{At: next})
	}
}
