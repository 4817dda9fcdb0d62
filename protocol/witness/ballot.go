package witness

import (
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// openTally begins to count the votes for a batch's end, with its author's.
func (m *Machine) openTally(l *logState, b *wire.Batch) {
	t := m.committee.NewTally(l.id, b.Size(), b.Root)
	t.AddVerified(b.AuthorVote())
	l.tallies[b.Size()] = t
}

// vote cosigns the batch that ends at size, which has become durable, and
// counts the vote (rule W4).
func (m *Machine) vote(l *logState, size uint64) error {
	i, ok := l.find(size)
	if !ok || l.id == m.self || size < l.cert.Size() || !m.mayVote(l, l.chain[i]) {
		return nil
	}
	v := m.cosign(l, l.chain[i].signed)
	if size == l.cert.Size() {
		// A quorum was faster. The author may have been asked for more.
		m.votes = append(m.votes, v)
		return nil
	}
	if m.committee.N() <= gatherMembers && l.beginsRound(i) || !m.committee.Has(l.id) {
		m.shared = append(m.shared, v)
	} else {
		m.votes = append(m.votes, v)
	}
	if l.appealAt == 0 {
		l.appealAt = m.after(l.patience())
	}
	if l.votedAt == 0 {
		l.votedAt = m.now
	}
	if t := l.tallies[size]; t != nil {
		t.AddVerified(quorum.Cosignature{Member: m.self, Time: v.Time, Sig: v.Sig})
	}
	return m.recount(l, size)
}

// cosign signs one of the log's tree heads. It is the only place where this
// member signs for another's log, and callers pass marks of durable batches of
// logs without evidence only.
func (m *Machine) cosign(l *logState, s wire.Signed) wire.Vote {
	sig := m.signer.Cosign(m.checkpoint(l.id, s), m.now.Seconds())
	return wire.Vote{Log: l.id, Size: s.Size, Root: s.Root, Time: sig.Time, Sig: sig.Bytes}
}

// gatherMembers is up to how many members all hear the votes for batches that
// begin a round, so that everybody has their certificates half a round trip
// earlier. With more it would be too many messages.
const gatherMembers = 16

// beginsRound reports whether a batch end is the first of a round in its log.
func (l *logState) beginsRound(i int) bool {
	return i == 0 || l.chain[i].round > l.chain[i-1].round
}

// flushVotes sends the votes of this Step to the authors they are for. Only
// an author waits for them; the others hear the certificate from it. Where a
// batch begins a round, or its author has left, everybody waits (rule W5).
func (m *Machine) flushVotes() {
	if len(m.shared) > 0 {
		for rest := m.shared; len(rest) > 0; {
			n := min(len(rest), wire.MaxVotes)
			m.emit(Publish{Msg: &wire.Votes{Voter: m.self, Votes: slices.Clone(rest[:n])}})
			rest = rest[n:]
		}
		m.shared = m.shared[:0]
	}
	for len(m.votes) > 0 {
		author := m.votes[0].Log
		msg := &wire.Votes{Voter: m.self}
		rest := m.votes[:0]
		for _, v := range m.votes {
			if v.Log == author && len(msg.Votes) < wire.MaxVotes {
				msg.Votes = append(msg.Votes, v)
			} else {
				rest = append(rest, v)
			}
		}
		m.votes = rest
		m.emit(Send{To: author, Msg: msg})
	}
}

// Times after which a voter tells its votes to all, because the author has not
// told a certificate. On a slow network it is as long as certificates take.
const (
	appealDelay = 250 * protocol.Millisecond
	appealAgain = protocol.Second
	maxAppeal   = 8
	// maxBackoff is how often the time between two is doubled, at most.
	maxBackoff = 6
)

// patience is how long after its vote this member waits for a certificate.
func (l *logState) patience() protocol.Micros {
	return min(max(appealDelay, 2*l.answer), appealAgain)
}

// answered notes how long the certificate of the oldest vote has taken.
func (l *logState) answered(now protocol.Micros) {
	if l.votedAt == 0 {
		return
	}
	took := min(max(now-l.votedAt, 0), appealAgain) // the clock may have jumped
	if l.votedAt = 0; l.answer == 0 {
		l.answer = took
	}
	l.answer += (took - l.answer) / 8
}

// appeal tells the votes for a log's newest batches to all members, so that
// they get their certificate where the author does not tell it.
func (m *Machine) appeal(l *logState) {
	l.appealAt = 0
	i, _ := l.find(l.cert.Size())
	marks := l.chain[i+1:]
	if len(marks) == 0 || l.id == m.self {
		return
	}
	msg := &wire.Votes{Voter: m.self}
	for _, mk := range marks[max(0, len(marks)-maxAppeal):] {
		if mk.signed.Size <= l.durable && m.mayVote(l, mk) {
			msg.Votes = append(msg.Votes, m.cosign(l, mk.signed))
		}
	}
	if len(msg.Votes) == 0 {
		return // who votes later appeals later
	}
	again := appealAgain
	if !m.committee.Has(l.id) {
		// What only some have of a member that has left may never be certified.
		again <<= min(l.appeals, maxBackoff)
	}
	l.appeals++
	l.appealAt = m.after(again)
	m.emit(Publish{Msg: msg})
}

func (m *Machine) onVotes(from protocol.MemberID, msg *wire.Votes) error {
	if !m.committee.Has(msg.Voter) || msg.Voter == m.self {
		return nil
	}
	// The newest first: once a larger size is certified, smaller ones need not
	// be verified.
	for i := len(msg.Votes) - 1; i >= 0; i-- {
		v := msg.Votes[i]
		if !m.committee.Known(v.Log) || v.Log == msg.Voter {
			continue
		}
		if err := m.onVote(from, msg.Voter, m.logs[v.Log], v); err != nil {
			return err
		}
	}
	return nil
}

func (m *Machine) onVote(from, voter protocol.MemberID, l *logState, v wire.Vote) error {
	if v.Size <= l.cert.Size() && (l.id != m.self || v.Size < m.author.wanted()) {
		return nil // late, and nobody waits for it
	}
	i, ok := l.find(v.Size)
	switch {
	case ok && l.chain[i].signed.Root == v.Root:
		return m.count(from, l, voter, v)
	case !ok && v.Size > l.size():
		if from != voter && !m.votedFor(voter, v) {
			m.emit(Blame{Member: from, Reason: "vote with an invalid signature"})
			return nil
		}
		l.keepEarly(voter, v)
		m.hint(l, voter, v.Size, 0)
		return nil
	}
	// A vote for another history: the voter can show the batch behind it.
	if m.votedFor(voter, v) {
		m.suspect(l, voter)
	}
	return nil
}

func (m *Machine) votedFor(voter protocol.MemberID, v wire.Vote) bool {
	return m.signed(voter, v.Log, wire.Signed{Size: v.Size, Root: v.Root, Time: v.Time, Sig: v.Sig})
}

// count adds a vote for a tree head that this member knows.
func (m *Machine) count(from protocol.MemberID, l *logState, voter protocol.MemberID, v wire.Vote) error {
	t := l.tallies[v.Size]
	if t == nil || t.Has(voter) || !m.committee.Counts(voter, v.Time) {
		return nil
	}
	if !t.Add(quorum.Cosignature{Member: voter, Time: v.Time, Sig: v.Sig}) {
		m.emit(Blame{Member: from, Reason: "vote with an invalid signature"})
		return nil
	}
	return m.recount(l, v.Size)
}

// recount draws the consequences of a new vote at size.
func (m *Machine) recount(l *logState, size uint64) error {
	t := l.tallies[size]
	if t == nil {
		return nil
	}
	cert := t.Certificate()
	switch {
	case cert == nil:
		return nil
	case size > l.cert.Size():
		return m.certify(l, cert)
	case l.id == m.self:
		m.settle(cert) // more votes than a quorum, for who asked for them
	}
	return nil
}

// mayCertify reports whether a certificate can be verified here, and is of an epoch
// in which there could be votes for a batch end: not of one before its batch's.
func (m *Machine) mayCertify(mk mark, claim quorum.Claim) bool {
	return claim.Epoch <= m.committee.Epoch() && claim.Epoch >= mk.epoch
}

// certify takes a verified certificate of a batch end that this member stores.
func (m *Machine) certify(l *logState, cert *quorum.Certificate) error {
	m.persistLazy(PutCertificate{Claim: cert.Claim()})
	m.emit(Certified{Cert: cert})
	if l.id == m.self {
		m.settle(cert)
	}
	if err := l.certify(cert); err != nil {
		return err
	}
	if l.id == m.self && m.committee.N() > 1 {
		m.planTell(l)
	}
	l.answered(m.now)
	l.appeals = 0
	if l.appealAt = 0; l.uncertified() > 0 {
		l.appealAt = m.after(l.patience())
	}
	// Tallies of smaller sizes serve who asked for more than a quorum only.
	wanted := cert.Size()
	if l.id == m.self {
		wanted = min(wanted, m.author.wanted())
	}
	for size := range l.tallies {
		if size < wanted {
			delete(l.tallies, size)
		}
	}
	// What named the batch as its parent may have waited for this.
	for _, other := range m.logs {
		if p := other.missing; p != nil && p.Member == l.id && p.Size <= cert.Size() {
			if err := m.advance(other); err != nil {
				return err
			}
		}
	}
	return nil
}
