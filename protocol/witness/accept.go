package witness

import (
	"fmt"
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// onBatch takes a batch that a member delivered, by gossip or sent again.
func (m *Machine) onBatch(from protocol.MemberID, b *wire.Batch) error {
	if !m.committee.Known(b.Author) {
		return nil // a later epoch may have it
	}
	l := m.logs[b.Author]
	if b.Cert.Log == b.Author {
		if err := m.onClaim(from, b.Cert); err != nil {
			return err
		}
	}
	if mk, ok, err := m.known(l, b); err != nil || ok {
		if ok && l.id != m.self {
			m.revote(l, mk)
		}
		return err
	}
	queued, held := l.later[b.Old]
	again := held && queued.Root == b.Root && queued.Size() == b.Size()
	if again && from != b.Author {
		return nil
	}
	if !m.signedBy(b.Author, markOf(b).signed) {
		m.emit(Blame{Member: from, Reason: "batch with an invalid signature"})
		return nil
	}
	if again {
		l.later[b.Old] = heldBatch{b, from} // nobody knows better than its author
		return m.advance(l)
	}
	if b.Old < l.size() || held {
		return m.compare(l, from, b)
	}
	if l.id == m.self {
		return m.reclaim(from, b)
	}
	if l.evidence != nil {
		return nil // nobody vouches for this author any longer
	}
	if !m.takes(l, b.Size()) {
		return nil
	}
	if b.Old > l.size() {
		m.hint(l, from, b.Size(), 0)
	}
	if len(l.later) >= maxLater {
		return nil
	}
	l.later[b.Old] = heldBatch{b, from}
	return m.advance(l)
}

// known returns the mark of a batch that is stored already.
func (m *Machine) known(l *logState, b *wire.Batch) (mark, bool, error) {
	if b.Size() > l.size() {
		return mark{}, false, nil
	}
	mk, ok, err := m.markAt(l, b.Size())
	return mk, ok && mk.signed.Root == b.Root, err
}

// revote sends this member's vote again to an author that sends its batch
// again, since the vote seems to be lost.
func (m *Machine) revote(l *logState, mk mark) {
	const pause = 20 * protocol.Millisecond
	last, voted := l.revoted[l.id]
	if !m.mayVote(l, mk) || mk.signed.Size > l.durable || voted && m.now >= last && m.now-last < pause {
		return
	}
	l.revoted[l.id] = m.now
	m.emit(Send{To: l.id, Msg: &wire.Votes{Voter: m.self, Votes: []wire.Vote{m.cosign(l, mk.signed)}}})
}

// advance takes the batches that follow the head, as far as they can be taken.
func (m *Machine) advance(l *logState) error {
	l.missing, l.holdUntil = nil, 0
	for {
		b, ok := l.later[l.size()]
		if !ok || l.evidence != nil || l.full() {
			m.dropStale(l)
			return nil
		}
		ready, err := m.ready(l, b.Batch)
		if err == nil && !ready {
			return nil
		}
		delete(l.later, b.Old)
		if err == nil {
			err = m.accept(l, b.Batch)
		}
		if invalid, ok := err.(*invalidBatch); ok {
			m.blameFor(b.Batch, b.from, invalid.reason)
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// blameFor blames an author for an invalid batch that it delivered itself. If
// another member did, that one may have changed it, or have passed on what a
// third one had changed.
func (m *Machine) blameFor(b *wire.Batch, from protocol.MemberID, reason string) {
	if from == b.Author {
		m.emit(Blame{Member: from, Reason: reason})
	}
}

// dropStale forgets queued batches that the head has passed.
func (m *Machine) dropStale(l *logState) {
	for old := range l.later {
		if old < l.size() {
			delete(l.later, old)
		}
	}
}

// invalidBatch says that no member may accept a batch.
type invalidBatch struct{ reason string }

func (e *invalidBatch) Error() string { return e.reason }

func invalidf(format string, args ...any) error {
	return &invalidBatch{reason: fmt.Sprintf(format, args...)}
}

// ready checks the header of the batch that follows the head. It answers false
// while the batch must wait for a parent's certificate (rule W3) or for this
// member's clock (rule W2).
func (m *Machine) ready(l *logState, b *wire.Batch) (bool, error) {
	head := l.head()
	switch {
	case b.Epoch < head.epoch:
		return false, invalidf("epoch goes back from %d to %d", head.epoch, b.Epoch)
	case b.Round < head.round:
		return false, invalidf("round goes back from %d to %d", head.round, b.Round)
	case b.Time <= head.time:
		return false, invalidf("time goes back from %d to %d", head.time, b.Time)
	}
	committee, begun := m.epochs.At(b.Epoch)
	if !begun || !m.takes(l, b.Size()) {
		return false, nil
	}
	if !committee.Has(b.Author) {
		return false, invalidf("batch of epoch %d, in which its author is no member", b.Epoch)
	}
	for i, p := range b.Parents {
		if !committee.Known(p.Member) || p.Member == b.Author || p.Size == 0 || i > 0 && b.Parents[i-1].Member >= p.Member {
			return false, invalidf("parent %d is unknown, empty, the author's own or out of order", i)
		}
		parent := m.logs[p.Member]
		if parent.cert.Size() < p.Size && parent.claim.Size >= p.Size {
			if err := m.checkClaim(parent); err != nil {
				return false, err
			}
		}
		if parent.cert.Size() < p.Size {
			l.missing = &b.Parents[i]
			m.hint(parent, b.Author, p.Size, p.Size)
			return false, nil
		}
		mk, ok, err := m.markAt(parent, p.Size)
		if err != nil {
			return false, err
		}
		if !ok || mk.signed.Root != p.Root {
			return false, invalidf("parent %d is not a certified batch", i)
		}
		if b.Time <= mk.time {
			return false, invalidf("time %d is not behind that of parent %d (%d)", b.Time, i, mk.time)
		}
	}
	if limit := b.Time - committee.Params().MaxFuture(); limit > m.now {
		l.holdUntil = limit
		return false, nil
	}
	return true, nil
}

// accept checks the content of a batch and stores it; the vote follows when it
// is durable.
func (m *Machine) accept(l *logState, b *wire.Batch) error {
	hashes, err := m.checkItems(b)
	if err != nil {
		return err
	}
	record, err := m.extend(l, b, hashes)
	if err != nil {
		return err
	}
	seq := m.persist(record)
	m.waiting = append(m.waiting, awaited{seq: seq, log: l.id, size: b.Size()})
	m.openTally(l, b)
	if err := m.agree(l); err != nil {
		return err
	}
	m.author.pacer.note(m.now, len(b.Items))
	if slices.ContainsFunc(b.Items, func(it wire.Item) bool { return it.Kind.Urgent() }) {
		m.emit(Heard{Round: b.Round})
	}
	if l.claim.Size == b.Size() && b.Round > l.certifiedRound() {
		return m.checkClaim(l) // the certificate was here first
	}
	for _, e := range l.takeEarly(b.Size(), m.committee.Members()) {
		if err := m.onVote(e.voter, e.voter, l, e.vote); err != nil {
			return err
		}
	}
	return nil
}

// checkItems holds a batch's payloads to the limits of its epoch and returns
// their hashes.
func (m *Machine) checkItems(b *wire.Batch) ([]protocol.Hash, error) {
	committee, _ := m.epochs.At(b.Epoch)
	params := committee.Params()
	if len(b.Items) > params.MaxBatchEntries {
		return nil, invalidf("batch of %d entries, at most %d are allowed", len(b.Items), params.MaxBatchEntries)
	}
	hashes := make([]protocol.Hash, len(b.Items))
	bytes := 0
	for i, it := range b.Items {
		if it.Erased {
			return nil, invalidf("item %d is erased", i)
		}
		hash, err := protocol.CheckBody(it.Kind, it.Body, params.MaxEventBytes)
		if err != nil {
			return nil, invalidf("item %d: %v", i, err)
		}
		hashes[i] = hash
		bytes += len(it.Body)
	}
	if bytes > params.MaxBatchBytes {
		return nil, invalidf("batch of %d bytes, at most %d are allowed", bytes, params.MaxBatchBytes)
	}
	return hashes, nil
}

// mayBeErased reports whether all that was erased of a batch had expired by
// this member's clock, so that nobody can withhold a body before its time.
func (m *Machine) mayBeErased(b *wire.Batch) bool {
	for i := range b.Items {
		it := &b.Items[i]
		if expires := b.Time + protocol.Micros(it.TTL)*protocol.Second; it.Erased && expires > m.now+m.params.MaxFuture() {
			return false
		}
	}
	return true
}

// extend appends a batch that follows the head to the log, if its root is
// right, and returns the record to persist.
func (m *Machine) extend(l *logState, b *wire.Batch, hashes []protocol.Hash) (PutBatch, error) {
	entries := appendLeaves(l.tail, b, hashes)
	if l.tail.Root() != b.Root {
		if err := l.tail.Rewind(b.Old); err != nil {
			return PutBatch{}, err
		}
		return PutBatch{}, invalidf("batch whose root is not that of its entries")
	}
	encoded, err := wire.Encode(b)
	if err != nil {
		return PutBatch{}, err
	}
	mk := markOf(b)
	mk.batch = extensionOf(b, entries)
	l.chain = append(l.chain, mk)
	return PutBatch{
		Log: l.id, Old: b.Old, Encoded: encoded,
		Hashes: slices.Clone(l.tail.HashesFrom(b.Old)), Entries: entries,
	}, nil
}

// onRange takes the answer to a request of this member's: first the batches up
// to the last one with a certificate, which need no vote, then the rest.
func (m *Machine) onRange(from protocol.MemberID, r *wire.Range) error {
	if !m.committee.Known(r.Log) {
		return nil
	}
	l := m.logs[r.Log]
	if !l.fetch.answers(from, r.From) {
		return nil
	}
	if l.undurable() >= maxUndurable {
		l.fetch = fetch{} // it will be asked for again
		return nil
	}
	before, beforeCert := l.size(), l.cert.Size()
	batches, certs, err := m.readItems(r)
	if err != nil {
		m.emit(Blame{Member: from, Reason: err.Error()})
		l.fetch = fetch{}
		return nil
	}
	if err := m.adopt(l, from, batches, certs); err != nil {
		return err
	}
	for _, b := range batches {
		if b.Size() <= l.size() {
			continue
		}
		take := m.onBatch
		if l.id == m.self {
			take = m.reclaim
		}
		if err := take(from, b); err != nil {
			return err
		}
	}
	if err := m.takeHead(l, from, r.Head); err != nil {
		return err
	}
	progress := l.size() > before || l.cert.Size() > beforeCert
	l.fetch = fetch{}
	if progress {
		m.repair.source = from
	}
	if r.More && progress {
		m.request(l, from)
	}
	return m.checkRecovered()
}

// readItems decodes the batches of a range and the certificates they come with.
func (m *Machine) readItems(r *wire.Range) ([]*wire.Batch, []*quorum.Certificate, error) {
	batches := make([]*wire.Batch, len(r.Items))
	certs := make([]*quorum.Certificate, len(r.Items))
	next := r.From
	for i, it := range r.Items {
		b, err := wire.DecodeBatch(it.Batch, maxStored)
		if err != nil {
			return nil, nil, fmt.Errorf("range: %w", err)
		}
		if b.Author != r.Log || b.Old != next {
			return nil, nil, fmt.Errorf("range whose batches do not follow one another")
		}
		batches[i], next = b, b.Size()
		if len(it.Cert.Cosigs) == 0 {
			continue
		}
		if it.Cert.Log != b.Author || it.Cert.Size != b.Size() || it.Cert.Root != b.Root {
			return nil, nil, fmt.Errorf("range with the certificate of something else")
		}
		if it.Cert.Epoch < b.Epoch {
			return nil, nil, fmt.Errorf("range with a certificate that is older than its batch")
		}
		if certs[i], err = m.epochs.Verify(it.Cert); err != nil {
			return nil, nil, fmt.Errorf("range: %w", err)
		}
	}
	return batches, certs, nil
}

// adopt stores the batches of a range up to the last certified one, without a
// vote. If this member stores another, uncertified history of an author that
// signed two, it lets go of that one.
func (m *Machine) adopt(l *logState, from protocol.MemberID, batches []*wire.Batch, certs []*quorum.Certificate) error {
	last := len(batches) - 1
	for last >= 0 && certs[last] == nil {
		last--
	}
	var records []Record
	for i := 0; i <= last; i++ {
		b := batches[i]
		if _, ok, err := m.known(l, b); err != nil {
			return err
		} else if ok {
			continue
		}
		if !m.signedBy(b.Author, markOf(b).signed) {
			m.emit(Blame{Member: from, Reason: "batch with an invalid signature"})
			break
		}
		if b.Old < l.size() {
			truncate, err := m.yieldTo(l, from, b)
			if err != nil {
				return err
			}
			records = append(records, truncate...)
		}
		if b.Old != l.size() || !m.mayBeErased(b) {
			break
		}
		record, err := m.extend(l, b, bodyHashes(b))
		if invalid, ok := err.(*invalidBatch); ok {
			m.emit(Blame{Member: from, Reason: invalid.reason})
			break
		}
		if err != nil {
			return err
		}
		m.openTally(l, b)
		records = append(records, record)
	}
	if len(records) > 0 {
		seq := m.persist(records...)
		m.waiting = append(m.waiting, awaited{seq: seq, log: l.id, size: l.size()})
		if err := m.agree(l); err != nil {
			return err
		}
	}
	return m.takeCertificates(l, certs[:last+1])
}

// takeCertificates keeps the certificates of adopted batches. All but the last
// are kept for the times at which they witness their batches only.
func (m *Machine) takeCertificates(l *logState, certs []*quorum.Certificate) error {
	for i, cert := range certs {
		if cert == nil || cert.Size() <= l.cert.Size() || cert.Size() > l.size() {
			continue
		}
		if i < len(certs)-1 {
			m.persistLazy(PutCertificate{Claim: cert.Claim()})
			continue
		}
		if err := m.certify(l, cert); err != nil {
			return err
		}
	}
	return m.advance(l)
}

// takeHead takes the newest certificate of a peer, if it certifies a batch end
// that this member stores.
func (m *Machine) takeHead(l *logState, from protocol.MemberID, claim quorum.Claim) error {
	if len(claim.Cosigs) == 0 || claim.Log != l.id || claim.Size <= l.cert.Size() {
		return nil
	}
	i, ok := l.find(claim.Size)
	if !ok || l.chain[i].signed.Root != claim.Root {
		return nil
	}
	if !m.mayCertify(l.chain[i], claim) {
		return nil
	}
	cert, err := m.epochs.Verify(claim)
	if err != nil {
		m.emit(Blame{Member: from, Reason: err.Error()})
		return nil
	}
	return m.certify(l, cert)
}
