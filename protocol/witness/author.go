package witness

import (
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// Bounds of the back-off between two sendings of the same batch.
const (
	minResend = 100 * protocol.Millisecond
	maxResend = 2 * protocol.Second
)

// author is the state of this member's own log that other logs don't have.
type author struct {
	pacer pacer
	// recovered says that the log is known to be whole; see recover.go.
	recovered bool
	recovery  recovery
	// pending are submissions that wait for a batch.
	pending      []Submit
	pendingBytes int
	// batches are the sealed batches that are not certified or have
	// submissions to answer, in order.
	batches []*ownBatch
	// held are submissions that wait for what they come after.
	held []Submit
	// advance is what the order asks for.
	advance Advance
	// named is the certified size last named as a parent, by member.
	named []uint64
	// told is the certified size of the own log that was told to all, toldRound
	// the round there, and tellAt when the newest is told if no batch tells it
	// before.
	told, toldRound uint64
	tellAt          protocol.Micros
}

// ownBatch is a sealed batch of this member's own log.
type ownBatch struct {
	*Sealed
	msg       *wire.Batch
	published bool
	certified bool
	sealedAt  protocol.Micros
	// resendAt is when the batch is next sent to who has not voted for it.
	resendAt, backoff protocol.Micros
	open              []openItem
}

// openItem is a submission in the log that has not been answered.
type openItem struct {
	ResolvedItem
	need      int
	attestors []protocol.MemberID
}

// loadAuthor restores what New finds of uncertified batches.
func (m *Machine) loadAuthor() error {
	m.author.named = make([]uint64, m.committee.N())
	l := m.logs[m.self]
	for old := l.cert.Size(); old < l.size(); {
		encoded, err := m.store.BatchAt(m.self, old)
		if err != nil {
			return err
		}
		b, err := wire.DecodeBatch(encoded, m.maxMessage)
		if err != nil {
			return err
		}
		m.author.batches = append(m.author.batches, &ownBatch{
			Sealed:    &Sealed{Old: b.Old, Size: b.Size(), Time: b.Time},
			msg:       b,
			published: true,
			backoff:   minResend,
		})
		old = b.Size()
	}
	return nil
}

func (m *Machine) submit(in Submit) {
	a := &m.author
	switch {
	case m.logs[m.self].evidence != nil:
		m.emit(Refused{ID: in.ID, Reason: LogStopped})
	case len(a.pending)+len(a.held) >= a.pacer.MaxPending || a.pendingBytes+len(in.Body) > a.pacer.MaxPendingBytes:
		m.emit(Refused{ID: in.ID, Reason: Overloaded})
	default:
		a.pendingBytes += len(in.Body)
		if m.hasSeen(in.After) {
			a.pending = append(a.pending, in)
		} else {
			a.held = append(a.held, in)
		}
	}
}

// hasSeen reports whether this member can put parts of logs into the past of
// its next batch.
func (m *Machine) hasSeen(parts []protocol.Seen) bool {
	for _, p := range parts {
		switch {
		case !m.committee.Has(p.Member):
			return false
		case p.Member == m.self && m.logs[m.self].size() < p.Size,
			p.Member != m.self && m.logs[p.Member].cert.Size() < p.Size:
			return false
		}
	}
	return true
}

// unhold lets submissions go on that have waited for what they come after.
func (m *Machine) unhold() {
	a := &m.author
	keep := a.held[:0]
	for _, s := range a.held {
		if m.hasSeen(s.After) {
			a.pending = append(a.pending, s)
		} else {
			keep = append(keep, s)
		}
	}
	clear(a.held[len(keep):])
	a.held = keep
}

// inflight is the number of sealed batches without a certificate.
func (a *author) inflight() int {
	n := 0
	for _, b := range a.batches {
		if !b.certified {
			n++
		}
	}
	return n
}

// sealAt is when the next batch may be sealed, or false while none can be.
func (m *Machine) sealAt() (protocol.Micros, bool) {
	a := &m.author
	inflight := a.inflight()
	wanted := len(a.pending) > 0 || m.mustSeal()
	if !wanted || inflight >= a.pacer.Window || !m.Ready() {
		return 0, false
	}
	full := len(a.pending) >= m.params.MaxBatchEntries || a.pendingBytes >= m.params.MaxBatchBytes
	// What the order asks for is spaced by its rounds already.
	if full || a.pacer.lastSeal > m.now || m.mustSeal() {
		return m.now, true
	}
	return max(m.now, a.pacer.lastSeal+a.pacer.spacing(m.now, inflight)), true
}

// mustSeal reports whether the order waits for a batch of this member's.
func (m *Machine) mustSeal() bool {
	l, a := m.logs[m.self], m.author.advance
	return a.Seal && (a.Due > l.head().round || l.size() == 0)
}

// seal makes batches of what is pending, as far as the pace allows.
func (m *Machine) seal() error {
	for {
		at, ok := m.sealAt()
		if !ok || at > m.now {
			return nil
		}
		if err := m.sealOne(m.takePending()); err != nil {
			return err
		}
	}
}

// takePending removes as many submissions as fit one batch.
func (m *Machine) takePending() []Submit {
	a := &m.author
	n, bytes := 0, 0
	for n < len(a.pending) && n < m.params.MaxBatchEntries && bytes+len(a.pending[n].Body) <= m.params.MaxBatchBytes {
		bytes += len(a.pending[n].Body)
		n++
	}
	taken := slices.Clone(a.pending[:n])
	a.pending = slices.Delete(a.pending, 0, n)
	a.pendingBytes -= bytes
	return taken
}

// sealOne extends the own log by a batch and has it made durable. It is
// published once it is.
func (m *Machine) sealOne(subs []Submit) error {
	l := m.logs[m.self]
	head := l.head()
	round := m.claimRound(subs)
	var parents []protocol.Parent
	var after protocol.Micros
	var err error
	if round > head.round || m.mustName(subs) {
		if parents, after, err = m.newParents(); err != nil {
			return err
		}
	}
	b := &wire.Batch{
		Author: m.self, Old: head.signed.Size,
		Epoch: m.committee.Epoch(), Round: round,
		Time:    max(m.now, head.time+1, after+1),
		Parents: parents,
		Items:   make([]wire.Item, len(subs)),
	}
	hashes := make([]protocol.Hash, len(subs))
	for i, s := range subs {
		b.Items[i] = wire.Item{Kind: s.Kind, TTL: s.TTL, Body: s.Body}
		hashes[i] = s.Hash
	}
	entries := appendLeaves(l.tail, b, hashes)
	b.Root = l.tail.Root()
	sig := m.signer.Cosign(m.committee.Checkpoint(m.self, b.Size(), b.Root), m.now.Seconds())
	b.CosignTime, b.Cosignature = sig.Time, sig.Bytes
	b.Cert = m.tell(l)
	mk := markOf(b)
	mk.batch = extensionOf(b, entries)
	l.chain = append(l.chain, mk)
	if round > head.round {
		m.emit(Advanced{Round: round})
	}

	encoded, err := wire.Encode(b)
	if err != nil {
		return err
	}
	seq := m.persist(PutBatch{
		Log: m.self, Old: b.Old, Encoded: encoded,
		Hashes: slices.Clone(l.tail.HashesFrom(b.Old)), Entries: entries,
	})
	m.waiting = append(m.waiting, awaited{seq: seq, log: m.self, size: b.Size(), batch: b})

	own := &ownBatch{
		Sealed: &Sealed{Old: b.Old, Size: b.Size(), Time: b.Time},
		msg:    b, sealedAt: m.now, backoff: minResend,
	}
	for i, s := range subs {
		own.open = append(own.open, openItem{
			ResolvedItem: ResolvedItem{ID: s.ID, Index: b.Old + 1 + uint64(i), Entry: entries[i]},
			need:         max(s.Need, m.committee.Quorum()),
			attestors:    s.Attestors,
		})
	}
	m.author.batches = append(m.author.batches, own)
	m.author.pacer.lastSeal = m.now
	m.author.pacer.note(m.now, len(subs))
	return nil
}

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
// batch claims a new round, since the others wait for it then.
func (m *Machine) planTell(l *logState) {
	a := &m.author
	if l.certifiedRound() > a.toldRound {
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
	if claim := m.tell(m.logs[m.self]); len(claim.Cosigs) > 0 {
		m.emit(Publish{Msg: &wire.Certificate{Claim: claim}})
	}
}

// claimRound is the round that a batch of these submissions claims.
func (m *Machine) claimRound(subs []Submit) uint64 {
	a := &m.author
	round := max(m.logs[m.self].head().round, a.advance.Due)
	if slices.ContainsFunc(subs, func(s Submit) bool { return s.Kind.Urgent() }) {
		round = max(round, a.advance.Ready)
	}
	return round
}

// mustName reports whether a submission comes after what no batch of this
// member's has named yet.
func (m *Machine) mustName(subs []Submit) bool {
	for _, s := range subs {
		for _, p := range s.After {
			if p.Member != m.self && p.Size > m.author.named[p.Member] {
				return true
			}
		}
	}
	return false
}

// newParents names the certified heads that are new since the last batch that
// named any, and returns the latest of their times. Most batches name none:
// every voter must hold their certificates, and verifying those is what it costs.
func (m *Machine) newParents() ([]protocol.Parent, protocol.Micros, error) {
	var parents []protocol.Parent
	var latest protocol.Micros
	for i, l := range m.logs {
		if l.id == m.self || l.cert.Size() <= m.author.named[i] {
			continue
		}
		mk, ok, err := m.markAt(l, l.cert.Size())
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			continue
		}
		parents = append(parents, protocol.Parent{Member: l.id, Size: mk.signed.Size, Root: mk.signed.Root})
		latest = max(latest, mk.time)
		m.author.named[i] = mk.signed.Size
	}
	return parents, latest, nil
}

// publish gossips a batch of this member's own that has become durable.
func (m *Machine) publish(l *logState, b *wire.Batch) error {
	if m.committee.N() > 1 {
		m.emit(Publish{Msg: b})
	}
	for _, own := range m.author.batches {
		if own.msg == b {
			own.published = true
			own.resendAt = m.after(m.resendDelay(own))
		}
	}
	m.openTally(l, b)
	return m.recount(l, b.Size())
}

// resendDelay gives a slow network the time of some round trips.
func (m *Machine) resendDelay(b *ownBatch) protocol.Micros {
	return min(max(b.backoff, 3*m.author.pacer.roundTrip), maxResend)
}

// resend sends batches again to the members that have not voted for them.
func (m *Machine) resend() {
	l := m.logs[m.self]
	for _, b := range m.author.batches {
		if b.certified || !b.published || b.resendAt > m.now {
			continue
		}
		tally := l.tallies[b.Size]
		for i := range m.logs {
			id := protocol.MemberID(i)
			if id != m.self && (tally == nil || !tally.Has(id)) {
				m.emit(Send{To: id, Msg: b.msg})
			}
		}
		b.backoff = min(2*b.backoff, maxResend)
		b.resendAt = m.after(m.resendDelay(b))
	}
}

// settle answers submissions that a certificate of the own log satisfies.
func (m *Machine) settle(cert *quorum.Certificate) {
	l := m.logs[m.self]
	keep := m.author.batches[:0]
	for _, b := range m.author.batches {
		if b.Size <= cert.Size() {
			if !b.certified {
				b.certified = true
				if b.sealedAt != 0 {
					m.author.pacer.sample(m.now - b.sealedAt)
				}
			}
			m.resolve(l, b, cert)
		}
		if !b.certified || len(b.open) > 0 {
			keep = append(keep, b)
		}
	}
	clear(m.author.batches[len(keep):])
	m.author.batches = keep
}

func (m *Machine) resolve(l *logState, b *ownBatch, cert *quorum.Certificate) {
	var done []ResolvedItem
	open := b.open[:0]
	for _, it := range b.open {
		if satisfies(cert, it) {
			done = append(done, it.ResolvedItem)
		} else {
			open = append(open, it)
		}
	}
	b.open = open
	if len(done) > 0 {
		m.emit(Resolved{Batch: b.Sealed, Cert: cert, Tree: l.tail.Snapshot(), Items: done})
	}
}

func satisfies(cert *quorum.Certificate, it openItem) bool {
	signers := cert.Cosignatures()
	if len(signers) < it.need {
		return false
	}
	for _, id := range it.attestors {
		if !slices.ContainsFunc(signers, func(c quorum.Cosignature) bool { return c.Member == id }) {
			return false
		}
	}
	return true
}

// wanted is the smallest batch of the own log with unanswered submissions:
// votes from its size on still count, even where a quorum has been reached.
func (a *author) wanted() uint64 {
	for _, b := range a.batches {
		if len(b.open) > 0 {
			return b.Size
		}
	}
	return Latest
}

func (m *Machine) withdraw(id uint64) {
	a := &m.author
	for i := range a.held {
		if a.held[i].ID == id {
			a.pendingBytes -= len(a.held[i].Body)
			a.held = slices.Delete(a.held, i, i+1)
			m.emit(Withdrawn{ID: id, Behind: true})
			return
		}
	}
	for i := range a.pending {
		if a.pending[i].ID == id {
			a.pendingBytes -= len(a.pending[i].Body)
			a.pending = slices.Delete(a.pending, i, i+1)
			m.emit(Withdrawn{ID: id, Signers: m.blockers()})
			return
		}
	}
	for i, b := range a.batches {
		for j := range b.open {
			if b.open[j].ID == id {
				m.emit(Withdrawn{ID: id, InLog: true, Signers: m.signers(b)})
				b.open = slices.Delete(b.open, j, j+1)
				if b.certified && len(b.open) == 0 {
					a.batches = slices.Delete(a.batches, i, i+1)
				}
				return
			}
		}
	}
}

// signers names who has cosigned a batch, by its own size or a larger one.
func (m *Machine) signers(b *ownBatch) []protocol.MemberID {
	var out []protocol.MemberID
	for i := range m.logs {
		id := protocol.MemberID(i)
		for size, t := range m.logs[m.self].tallies {
			if size >= b.Size && t.Has(id) {
				out = append(out, id)
				break
			}
		}
	}
	return out
}

// blockers names who has cosigned the oldest batch that waits for its
// certificate, or else who has answered this member's recovery.
func (m *Machine) blockers() []protocol.MemberID {
	if !m.author.recovered {
		return m.author.recovery.answered(m.self, m.committee.N())
	}
	for _, b := range m.author.batches {
		if !b.certified {
			return m.signers(b)
		}
	}
	return []protocol.MemberID{m.self}
}
