package witness

import (
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// tellDelay is how long a certificate waits for a batch to travel with.
const tellDelay = 20 * protocol.Millisecond

// tell returns the newest certificate of the own log, for all to know, if it
// has not been told yet.
func (m *Machine) tell(l *logState) quorum.Claim {
	m.author.tellAt = 0
	if l.cert.Size() <= m.author.told {
		return quorum.Claim{Log: m.self}
	}
	m.author.told, m.author.toldRound = l.cert.Size(), l.certifiedRound()
	return l.cert.Claim()
}

// planTell says when a new certificate of the own log is told: at once where a
// batch claims a new round, since the others wait for it then, unless they hear
// the votes themselves.
func (m *Machine) planTell(l *logState) {
	a := &m.author
	if l.certifiedRound() > a.toldRound && m.committee.N() > gatherMembers {
		a.tellAt = m.now
	} else if a.tellAt == 0 {
		a.tellAt = m.now + tellDelay
	}
}

// tellDue tells the newest certificate of the own log if it is time to.
func (m *Machine) tellDue() {
	if a := &m.author; a.tellAt == 0 || a.tellAt > m.now {
		return
	}
	if claim := m.tell(m.own); len(claim.Cosigs) > 0 {
		m.emit(Publish{Msg: &wire.Certificate{Claim: claim}})
	}
}

// resendDelay gives a slow network the time of some round trips.
func (m *Machine) resendDelay(b *ownBatch) protocol.Micros {
	return min(max(b.backoff, 3*m.author.pacer.roundTrip), maxResend)
}

// resend sends batches again to the members that have not voted for them.
func (m *Machine) resend() {
	l := m.own
	for _, b := range m.author.batches {
		if b.certified || !b.published || b.resendAt > m.now || !m.committee.Has(m.self) {
			continue
		}
		tally := l.tallies[b.Size]
		for _, id := range m.committee.Members() {
			if id != m.self && (tally == nil || !tally.Has(id)) {
				m.emit(Send{To: id, Msg: b.msg})
			}
		}
		b.backoff = min(2*b.backoff, maxResend)
		b.resendAt = m.after(m.resendDelay(b))
	}
}
