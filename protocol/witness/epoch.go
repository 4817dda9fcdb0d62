package witness

import (
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
)

// join works for a committee from now on, whose roster may have more logs than
// the last one's.
func (m *Machine) join(c *quorum.Committee) error {
	m.committee, m.params = c, c.Params()
	m.author.pacer.members = int64(c.N())
	for len(m.logs) < c.Logs() {
		l, err := m.load(protocol.MemberID(len(m.logs)))
		if err != nil {
			return err
		}
		m.logs = append(m.logs, l)
		m.author.named = append(m.author.named, 0)
	}
	return m.findSelf()
}

// findSelf looks for this member's log, if it did not have one until now.
func (m *Machine) findSelf() error {
	if m.own != nil && int(m.self) < len(m.logs) && m.logs[m.self] == m.own {
		return nil
	}
	key := m.signer.Verifier().String()
	for _, l := range m.logs {
		if m.committee.Verifier(l.id).String() == key {
			m.self, m.own = l.id, l
			return m.loadAuthor()
		}
	}
	m.own = newLog(m.self)
	return nil
}

// enter begins an epoch: this member votes in no earlier one from now on (rule W8).
func (m *Machine) enter(c *quorum.Committee) error {
	if c.Epoch() <= m.committee.Epoch() {
		return nil // told again
	}
	if err := m.epochs.Add(c); err != nil {
		return err
	}
	member := m.committee.Has(m.self)
	if err := m.join(c); err != nil {
		return err
	}
	h := &m.handover
	h.sealed, h.askAt, h.graceAt = m.own.size(), m.now+recoverEvery, m.now+handoverGrace
	m.fence()
	for _, l := range m.logs {
		clear(l.holders)
		l.spoiled = false
		if err := m.recast(l); err != nil {
			return err
		}
	}
	if member && !c.Has(m.self) {
		m.refuse(Left, func(Submit) bool { return true })
		m.author.again = false
	}
	m.refuse(TooLarge, func(s Submit) bool { return len(s.Body) > m.params.MaxEventBytes })
	m.announce()
	// Who is epochs behind was given none of what is of this one. Of those that voted
	// in it, some may be gone; who has answered until now is not.
	m.greet(m.repair.source)
	if err := m.takeHandover(); err != nil {
		return err
	}
	// Batches may have waited for the epoch.
	for _, l := range m.logs {
		if err := m.advance(l); err != nil {
			return err
		}
	}
	return m.checkRecovered()
}

// recast counts votes by the committee of the new epoch, of which some may have
// been given in the one before.
func (m *Machine) recast(l *logState) error {
	if !m.committee.Has(l.id) {
		clear(l.later)
	}
	i, _ := l.find(l.cert.Size() + 1)
	for _, mk := range slices.Clone(l.chain[i:]) {
		size := mk.signed.Size
		if t := l.tallies[size]; t != nil {
			l.tallies[size] = t.In(m.committee)
			if err := m.recount(l, size); err != nil {
				return err
			}
		}
	}
	return nil
}

// refuse answers submissions that wait for a batch, and will be in none.
func (m *Machine) refuse(reason Refusal, which func(Submit) bool) {
	a := &m.author
	drop := func(s Submit) bool {
		if !which(s) {
			return false
		}
		a.pendingBytes -= len(s.Body)
		m.emit(Refused{ID: s.ID, Reason: reason})
		return true
	}
	a.pending, a.held = slices.DeleteFunc(a.pending, drop), slices.DeleteFunc(a.held, drop)
}

// voting reports whether this member votes in the newest epoch.
func (m *Machine) voting() bool {
	return m.committee.Has(m.self) && m.handover.complete == m.committee.Epoch() && !m.behind()
}

// open reports whether this member knows enough of a log to vote for it.
func (m *Machine) open(l *logState) bool {
	return len(l.targets) == 0 && l.knows == m.committee.Epoch()
}

// mayVote reports whether this member may cosign a batch end. Of those that were
// sealed in an earlier epoch it cosigns only what may have been voted for there,
// once a quorum of this epoch's members stores it; see hold.go. Their author covers
// others by a batch of this epoch.
func (m *Machine) mayVote(l *logState, mk mark) bool {
	return l.evidence == nil && m.open(l) && m.voting() &&
		(mk.epoch == m.committee.Epoch() || mk.signed.Size <= l.bound && mk.signed.Size <= m.heldUpTo(l))
}

// takes reports whether batches of a log are taken up to a size. Of a member that
// has left, nothing is taken behind what others had when it left.
func (m *Machine) takes(l *logState, size uint64) bool {
	return m.committee.Has(l.id) || size <= l.bound
}

// voteAnew votes for what is stored of a log and not certified.
func (m *Machine) voteAnew(l *logState) error {
	i, _ := l.find(l.cert.Size() + 1)
	for _, mk := range slices.Clone(l.chain[i:]) {
		if mk.signed.Size > l.durable {
			break
		}
		if l.id == m.self {
			m.signAnew(l, mk)
		}
		if err := m.vote(l, mk.signed.Size); err != nil {
			return err
		}
	}
	return nil
}

// signAnew counts this member's own signature of a batch where the one that the
// batch came with is too old to count in this epoch.
func (m *Machine) signAnew(l *logState, mk mark) {
	t := l.tallies[mk.signed.Size]
	if t == nil || t.Has(m.self) || !m.mayVote(l, mk) {
		return
	}
	v := m.cosign(l, mk.signed)
	t.AddVerified(quorum.Cosignature{Member: m.self, Time: v.Time, Sig: v.Sig})
}

// mustCover reports whether this member's last batch is of an earlier epoch, in
// which some others may not vote for it: a batch of this one covers it.
func (m *Machine) mustCover() bool {
	return m.own.head().epoch < m.committee.Epoch() && m.own.uncertified() > 0
}
