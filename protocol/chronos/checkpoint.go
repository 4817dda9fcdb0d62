package chronos

import (
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

const (
	// maxCuts bounds the checkpoints that are remembered to compare others' with.
	maxCuts = 256
	// maxSigned bounds the checkpoints that one Step has cosigned. A member
	// that comes to more of them is catching up: the others have signed them.
	maxSigned = 16
	// maxEarly bounds the cosignatures of one member for checkpoints that this
	// member has not come to yet.
	maxEarly = 16
	// maxTallies bounds the checkpoints whose cosignatures are counted; the
	// certificate of a newer one covers older ones.
	maxTallies = 64
	// againEvery is how often a member asks for what its newest checkpoint
	// lacks.
	againEvery = protocol.Second
)

// heads is what members say of their ledgers (rules C5 and C6).
type heads struct {
	cuts    []Cut // the newest ones that this member has come to, in order
	waiting []awaitedCut
	// signed is this member's newest cosignature.
	signed  wire.Signed
	tallies map[uint64]*quorum.Tally
	early   [][]wire.Signed // verified ones of sizes that are still to come, by voter
	cert    *quorum.Certificate
	// ahead is a verified certificate of a size that this member has not come to.
	ahead *quorum.Certificate
	// against are the members that have cosigned another root at a size.
	against map[uint64]map[protocol.MemberID]bool
	againAt protocol.Micros
}

// awaitedCut is a checkpoint that is cosigned once it is durable.
type awaitedCut struct {
	seq uint64
	cut Cut
}

func newHeads() heads {
	return heads{tallies: map[uint64]*quorum.Tally{}, against: map[uint64]map[protocol.MemberID]bool{}}
}

// loadHeads takes up the newest certificate, and the newest checkpoint, which
// is durable and may not have been cosigned.
func (m *Machine) loadHeads() error {
	claim, ok, err := m.store.Checkpoint()
	if err != nil {
		return err
	}
	if ok && claim.Size <= m.ledger.cut.Size {
		if m.heads.cert, err = m.epochs.Verify(claim); err != nil {
			return err
		}
	}
	if cut := m.ledger.cut; cut.Size > 0 {
		if cut.Epoch > m.committee.Epoch() {
			return fmt.Errorf("its checkpoint is of epoch %d", cut.Epoch)
		}
		m.heads.cuts = []Cut{cut}
		if cut.Size > m.heads.cert.Size() {
			m.heads.waiting = []awaitedCut{{0, cut}}
			m.heads.tallies[cut.Size] = m.newTally(cut)
			m.heads.againAt = 1
		}
	}
	return nil
}

// reached takes checkpoints that the ledger has come to. They are cosigned when
// seq is durable.
func (m *Machine) reached(seq uint64, cuts []Cut) error {
	h := &m.heads
	for i, cut := range cuts {
		h.cuts = append(h.cuts, cut)
		if cut.Size > h.cert.Size() && len(cuts)-i <= maxSigned {
			h.waiting = append(h.waiting, awaitedCut{seq, cut})
			h.tallies[cut.Size] = m.newTally(cut)
			m.takeEarly(cut)
		}
	}
	for len(h.tallies) > maxTallies {
		oldest := ^uint64(0)
		for size := range h.tallies {
			oldest = min(oldest, size)
		}
		delete(h.tallies, oldest)
	}
	if drop := len(h.waiting) - maxTallies; drop > 0 {
		h.waiting = append(h.waiting[:0], h.waiting[drop:]...)
	}
	if drop := len(h.cuts) - maxCuts; drop > 0 {
		h.cuts = append([]Cut(nil), h.cuts[drop:]...)
	}
	if h.ahead != nil && h.ahead.Size() <= m.ledger.tail.Size() {
		cert := h.ahead
		h.ahead = nil
		return m.takeCertificate(cert)
	}
	return nil
}

// newTally counts the cosignatures of those who vote in a checkpoint's epoch.
func (m *Machine) newTally(cut Cut) *quorum.Tally {
	return m.committeeOf(cut.Epoch).NewTally(protocol.Ledger, cut.Size, cut.Root)
}

// persisted cosigns the checkpoints that have become durable, and tells all.
func (m *Machine) persisted(seq uint64) {
	h := &m.heads
	for len(h.waiting) > 0 && h.waiting[0].seq <= seq && !m.halted {
		cut := h.waiting[0].cut
		h.waiting = h.waiting[1:]
		// Those that a certificate covers by now, or many newer ones, have no
		// tally any more.
		if t := h.tallies[cut.Size]; t != nil && m.committeeOf(cut.Epoch).Has(m.self) {
			m.sign(cut, t)
		}
	}
}

func (m *Machine) sign(cut Cut, t *quorum.Tally) {
	h := &m.heads
	sig := m.signer.Cosign(m.committee.Checkpoint(protocol.Ledger, cut.Size, cut.Root), m.now.Seconds())
	h.signed = wire.Signed{Size: cut.Size, Root: cut.Root, Time: sig.Time, Sig: sig.Bytes}
	t.AddVerified(quorum.Cosignature{Member: m.self, Time: sig.Time, Sig: sig.Bytes})
	if m.committee.Logs() > 1 {
		m.emit(machine.Publish{Msg: &wire.LedgerHead{Voter: m.self, Head: h.signed, Cert: quorum.Claim{Log: protocol.Ledger}}})
		h.againAt = m.now + againEvery
	}
	m.recount(t)
}

// head is what this member says of its ledger.
func (m *Machine) head(want bool) *wire.LedgerHead {
	msg := &wire.LedgerHead{Voter: m.self, Head: m.heads.signed, Cert: quorum.Claim{Log: protocol.Ledger}, Want: want}
	if m.heads.cert != nil {
		msg.Cert = m.heads.cert.Claim()
	}
	return msg
}

// tick asks somebody for what the newest checkpoint lacks.
func (m *Machine) tick() {
	h := &m.heads
	if h.againAt == 0 || h.againAt > m.now && h.againAt <= m.now+2*againEvery {
		return
	}
	h.againAt = 0
	m.persisted(0) // a checkpoint of an earlier life
	others := m.others()
	if h.cert.Size() >= m.ledger.cut.Size || len(others) == 0 {
		return
	}
	m.emit(machine.Send{To: others[m.rng.IntN(len(others))], Msg: m.head(true)})
	h.againAt = m.now + againEvery
}

// onHead takes what a member says of its ledger.
func (m *Machine) onHead(from protocol.MemberID, msg *wire.LedgerHead) error {
	if !m.committee.Known(from) || from == m.self {
		return nil
	}
	if msg.Head.Size > 0 && m.committee.Known(msg.Voter) && msg.Voter != m.self {
		m.onCosignature(from, msg.Voter, msg.Head)
	}
	if !m.halted && len(msg.Cert.Cosigs) > 0 && msg.Cert.Log == protocol.Ledger &&
		msg.Cert.Size > max(m.heads.cert.Size(), m.heads.ahead.Size()) && m.mayCertify(msg.Cert) {
		cert, err := m.epochs.Verify(msg.Cert)
		if err != nil {
			m.emit(machine.Blame{Member: from, Reason: err.Error()})
			return nil
		}
		if err := m.takeCertificate(cert); err != nil {
			return err
		}
	}
	if msg.Want && !m.halted {
		m.emit(machine.Send{To: from, Msg: m.head(false)})
	}
	return nil
}

// mayCertify reports whether a claim is of the epoch whose members cosign the
// ledger at its size, as far as that is known. A later one may be the right one for
// who has come further.
func (m *Machine) mayCertify(claim quorum.Claim) bool {
	return claim.Epoch == m.committeeAt(claim.Size).Epoch()
}

// onCosignature counts a member's cosignature of the ledger, which another may
// have passed on. That of one who does not vote at the size means nothing.
func (m *Machine) onCosignature(from, voter protocol.MemberID, s wire.Signed) {
	h := &m.heads
	newest := m.ledger.cut.Size
	if !m.committeeAt(s.Size).Counts(voter, s.Time) {
		return
	}
	switch t := h.tallies[s.Size]; {
	case s.Size > newest:
		if slices.Contains(h.early[voter], s) {
			return
		}
		if !m.committee.Verifier(voter).Verify(m.committee.Checkpoint(protocol.Ledger, s.Size, s.Root), cosign.Signature{Time: s.Time, Bytes: s.Sig}) {
			m.emit(machine.Blame{Member: from, Reason: "cosignature of the ledger with an invalid signature"})
			return
		}
		votes := h.early[voter]
		if len(votes) >= maxEarly {
			votes = append(votes[:0], votes[1:]...)
		}
		h.early[voter] = append(votes, s)
	case t != nil && t.Root() == s.Root:
		if t.Has(voter) {
			return
		}
		if !t.Add(quorum.Cosignature{Member: voter, Time: s.Time, Sig: s.Sig}) {
			m.emit(machine.Blame{Member: from, Reason: "cosignature of the ledger with an invalid signature"})
			return
		}
		m.recount(t)
	case m.contradicts(s):
		m.compare(voter, s)
	}
}

// takeEarly counts the cosignatures that have come before this member's own,
// and forgets what is over.
func (m *Machine) takeEarly(cut Cut) {
	for i, votes := range m.heads.early {
		var keep []wire.Signed
		for _, s := range votes {
			switch {
			case s.Size > cut.Size:
				keep = append(keep, s)
			case !m.halted:
				m.onCosignature(protocol.MemberID(i), protocol.MemberID(i), s)
			}
		}
		m.heads.early[i] = keep
	}
}

// contradicts reports whether a tree head is none that this member has come to,
// though it has come to ones before and behind it.
func (m *Machine) contradicts(s wire.Signed) bool {
	cuts := m.heads.cuts
	if len(cuts) == 0 || s.Size < cuts[0].Size || s.Size > cuts[len(cuts)-1].Size {
		return false
	}
	for _, c := range cuts {
		if c.Size == s.Size {
			return c.Root != s.Root
		}
	}
	return true
}

// compare raises the alarm where a member has cosigned another ledger. If more
// of them have than can lie, it is this member's that is wrong.
func (m *Machine) compare(voter protocol.MemberID, s wire.Signed) {
	h := &m.heads
	cp := m.committee.Checkpoint(protocol.Ledger, s.Size, s.Root)
	if h.against[s.Size][voter] || !m.committee.Verifier(voter).Verify(cp, cosign.Signature{Time: s.Time, Bytes: s.Sig}) {
		return
	}
	if h.against[s.Size] == nil {
		if len(h.against) >= maxCuts {
			oldest := s.Size
			for size := range h.against {
				oldest = min(oldest, size)
			}
			delete(h.against, oldest)
		}
		h.against[s.Size] = map[protocol.MemberID]bool{}
	}
	h.against[s.Size][voter] = true
	m.emit(Alarm{Member: voter, Size: s.Size, Root: s.Root})
	if len(h.against[s.Size]) > quorum.Faults(m.committeeAt(s.Size).N()) {
		m.halt(fmt.Sprintf("%d members have cosigned another ledger at size %d", len(h.against[s.Size]), s.Size))
	}
}

func (m *Machine) halt(reason string) {
	m.halted = true
	m.emit(Halted{Reason: reason})
}

func (m *Machine) recount(t *quorum.Tally) {
	if cert := t.Certificate(); cert != nil && cert.Size() > m.heads.cert.Size() {
		m.certify(cert)
	}
}

// takeCertificate takes a verified certificate. It is the ledger's newest one if
// the ledger has come so far, and has the same root there.
func (m *Machine) takeCertificate(cert *quorum.Certificate) error {
	h := &m.heads
	if cert.Size() > m.ledger.tail.Size() {
		if h.ahead == nil || cert.Size() > h.ahead.Size() {
			h.ahead = cert
		}
		return nil
	}
	if cert.Epoch() != m.committeeAt(cert.Size()).Epoch() {
		return nil // whoever made it is not who cosigns there
	}
	root, err := m.rootAt(cert.Size())
	if err != nil {
		return err
	}
	if root != cert.Root() {
		m.halt(fmt.Sprintf("a quorum has cosigned another ledger at size %d", cert.Size()))
		return nil
	}
	if cert.Size() > h.cert.Size() {
		m.certify(cert)
	}
	return nil
}

// rootAt is the root of the ledger at a size that it has come to.
func (m *Machine) rootAt(size uint64) (protocol.Hash, error) {
	if size >= m.ledger.tail.Base() {
		return m.ledger.tail.RootAt(size)
	}
	root, err := tlog.TreeHash(int64(size), m.store.LedgerHashes())
	return protocol.Hash(root), err
}

func (m *Machine) certify(cert *quorum.Certificate) {
	h := &m.heads
	h.cert = cert
	for size := range h.tallies {
		if size <= cert.Size() {
			delete(h.tallies, size)
		}
	}
	m.persist(true, PutCheckpoint{Claim: cert.Claim()})
	m.emit(Checkpointed{Cert: cert})
	if cert.Size() >= m.ledger.cut.Size {
		h.againAt = 0
	}
}
