package witness

import (
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
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
	// urgentAt is when the oldest urgent submission that is pending came.
	urgentAt protocol.Micros
	// advance is what the order asks for.
	advance Advance
	// named is the certified size last named as a parent, by member.
	named []uint64
	// told is the certified size of the own log that was told to all, toldRound
	// the round there, and tellAt when the newest is told if no batch tells it
	// before.
	told, toldRound uint64
	tellAt          protocol.Micros
	// again asks for a batch though nothing waits for one; see reopen.
	again bool
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
	l := m.own
	for old := l.cert.Size(); old < l.size(); {
		encoded, err := m.store.BatchAt(m.self, old)
		if err != nil {
			return err
		}
		b, err := wire.DecodeBatch(encoded, maxStored)
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
	case m.own.evidence != nil:
		m.emit(Refused{ID: in.ID, Reason: LogStopped})
	case !m.committee.Has(m.self):
		m.emit(Refused{ID: in.ID, Reason: Left})
	case len(in.Body) > m.params.MaxEventBytes:
		m.emit(Refused{ID: in.ID, Reason: TooLarge})
	case len(a.pending)+len(a.held) >= a.pacer.MaxPending || a.pendingBytes+len(in.Body) > a.pacer.MaxPendingBytes:
		m.emit(Refused{ID: in.ID, Reason: Overloaded})
	default:
		if m.hasSeen(in.After) {
			m.queue(in)
		} else if len(a.held) >= a.pacer.MaxPending/maxHeldShare {
			m.emit(Refused{ID: in.ID, Reason: Overloaded})
			return
		} else {
			a.held = append(a.held, in)
		}
		a.pendingBytes += len(in.Body)
	}
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
	cover := m.mustCover() // nothing is certified before, and the window is full
	wanted := len(a.pending) > 0 || a.again || m.mustSeal() || cover
	if !wanted || inflight >= a.pacer.Window && !cover || !m.Ready() {
		return 0, false
	}
	full := len(a.pending) >= m.params.MaxBatchEntries || a.pendingBytes >= m.params.MaxBatchBytes
	if full || a.pacer.lastSeal > m.now {
		return m.now, true
	}
	return max(m.now, a.pacer.lastSeal+a.pacer.spacing(m.now, inflight, m.mustSeal()), m.roundHold()), true
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
	l := m.own
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
			need:         s.Need,
			attestors:    s.Attestors,
		})
	}
	m.author.batches = append(m.author.batches, own)
	m.author.again = false
	m.author.pacer.lastSeal = m.now
	m.author.pacer.note(m.now, len(subs))
	return nil
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

// settle answers submissions that a certificate of the own log satisfies.
func (m *Machine) settle(cert *quorum.Certificate) {
	l := m.own
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
		i, _ := l.find(cert.Size())
		own := l.chain[i].signed
		m.emit(Resolved{
			Batch: b.Sealed, Cert: cert, Tree: l.tail.Snapshot(), Items: done,
			Signature: cosign.Signature{Time: own.Time, Bytes: own.Sig},
		})
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
	for _, l := range m.logs {
		if m.hasSigned(l.id, b) {
			out = append(out, l.id)
		}
	}
	return out
}

func (m *Machine) hasSigned(id protocol.MemberID, b *ownBatch) bool {
	l := m.own
	for size, t := range l.tallies {
		if size >= b.Size && t.Has(id) {
			return true
		}
	}
	return l.cert.Size() >= b.Size && slices.ContainsFunc(l.cert.Cosignatures(),
		func(c quorum.Cosignature) bool { return c.Member == id })
}

// blockers names who has cosigned the oldest batch that waits for its
// certificate, or else who has answered this member's recovery.
func (m *Machine) blockers() []protocol.MemberID {
	if !m.author.recovered {
		return m.author.recovery.answered(m.self, m.committee.Members())
	}
	for _, b := range m.author.batches {
		if !b.certified {
			return m.signers(b)
		}
	}
	return []protocol.MemberID{m.self}
}
