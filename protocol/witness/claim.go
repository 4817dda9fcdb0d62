package witness

import (
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
)

// claimDelay is how long a certificate that an author told may stay
// unverified. A newer one takes its place meanwhile, so that under load a few
// are verified for many batches.
const claimDelay = 25 * protocol.Millisecond

// onClaim takes a certificate that an author tells of its own log.
func (m *Machine) onClaim(from protocol.MemberID, claim quorum.Claim) error {
	if len(claim.Cosigs) == 0 || !m.committee.Known(claim.Log) || claim.Log == m.self || claim.Epoch > m.committee.Epoch() {
		return nil
	}
	l := m.logs[claim.Log]
	if claim.Size <= l.cert.Size() || claim.Size <= l.claim.Size {
		return nil
	}
	if from != claim.Log {
		// Passed on by another: it may not push out what the author said.
		if _, err := m.epochs.Verify(claim); err != nil {
			m.emit(Blame{Member: from, Reason: err.Error()})
			return nil
		}
	}
	l.claim = claim
	if l.claimAt == 0 {
		l.claimAt = m.now + claimDelay
	}
	if i, ok := l.find(claim.Size); ok && l.chain[i].round > l.certifiedRound() {
		return m.checkClaim(l) // the order waits for it
	}
	for _, other := range m.logs {
		if p := other.missing; p != nil && p.Member == l.id && p.Size <= claim.Size {
			return m.checkClaim(l)
		}
	}
	return nil
}

// checkClaim verifies the certificate that an author told.
func (m *Machine) checkClaim(l *logState) error {
	claim := l.claim
	l.claim, l.claimAt = quorum.Claim{}, 0
	if claim.Size <= l.cert.Size() {
		return nil
	}
	i, ok := l.find(claim.Size)
	if !ok || l.chain[i].signed.Root != claim.Root {
		// A batch is missing, or the author signed two histories.
		m.hint(l, l.id, claim.Size, claim.Size)
		return nil
	}
	if !m.mayCertify(l.chain[i], claim) {
		m.emit(Blame{Member: l.id, Reason: "certificate that is older than its batch"})
		return nil
	}
	t := l.tallies[claim.Size]
	if t == nil || t.Epoch() != claim.Epoch {
		committee, _ := m.epochs.At(claim.Epoch)
		t = committee.NewTally(claim.Log, claim.Size, claim.Root)
	}
	if err := t.Take(claim); err != nil {
		m.emit(Blame{Member: l.id, Reason: err.Error()})
		return nil
	}
	return m.certify(l, t.Certificate())
}
