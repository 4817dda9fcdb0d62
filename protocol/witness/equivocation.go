package witness

import (
	"errors"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// VerifyEvidence checks that evidence proves what it says: that its author
// signed two tree heads that no one log has.
func VerifyEvidence(c *quorum.Committee, e *wire.Evidence) error {
	if !c.Known(e.Author) {
		return errors.New("evidence: the author is not a member")
	}
	for _, s := range []wire.Signed{e.Low, e.High} {
		cp := c.Checkpoint(e.Author, s.Size, s.Root)
		if !c.Verifier(e.Author).Verify(cp, cosign.Signature{Time: s.Time, Bytes: s.Sig}) {
			return errors.New("evidence: a tree head is not signed by the author")
		}
	}
	if e.Low.Size == 0 || e.Low.Size > e.High.Size || e.Prefix == e.Low.Root {
		return errors.New("evidence: the tree heads do not contradict each other")
	}
	if e.Low.Size == e.High.Size {
		if e.Prefix != e.High.Root || len(e.Proof) != 0 {
			return errors.New("evidence: the proof does not belong to the tree heads")
		}
		return nil
	}
	proof := make(tlog.TreeProof, len(e.Proof))
	for i, h := range e.Proof {
		proof[i] = tlog.Hash(h)
	}
	if err := tlog.CheckTree(proof, int64(e.High.Size), tlog.Hash(e.High.Root), int64(e.Low.Size), tlog.Hash(e.Prefix)); err != nil {
		return errors.New("evidence: the consistency proof does not verify")
	}
	return nil
}

// onEvidence takes evidence that another member found.
func (m *Machine) onEvidence(from protocol.MemberID, e *wire.Evidence) error {
	if !m.committee.Known(e.Author) || m.logs[e.Author].evidence != nil {
		return nil
	}
	if err := VerifyEvidence(m.committee, e); err != nil {
		m.emit(Blame{Member: from, Reason: err.Error()})
		return nil
	}
	m.accuse(e)
	return nil
}

// accuse freezes an author's log: this member neither votes for it again nor
// takes further uncertified batches of it (rule W6).
func (m *Machine) accuse(e *wire.Evidence) {
	l := m.logs[e.Author]
	if l.evidence != nil {
		return
	}
	l.evidence, l.targets = e, nil
	clear(l.later)
	m.persist(PutEvidence{Evidence: e})
	m.emit(Accused{Evidence: e})
	m.emit(Publish{Msg: e})
	if l.id == m.self {
		m.refuse(LogStopped, func(Submit) bool { return true })
	}
}

// compare looks at a batch that its author signed but that does not extend
// what this member stores, and accuses the author if both cannot be true.
func (m *Machine) compare(l *logState, from protocol.MemberID, b *wire.Batch) error {
	if l.evidence != nil {
		return nil
	}
	e, err := m.contradiction(l, b)
	if err != nil || e == nil {
		return err
	}
	if err := VerifyEvidence(m.committee, e); err != nil {
		// The batch does not lead to the root that it claims.
		m.blameFor(b, from, err.Error())
		return nil
	}
	m.accuse(e)
	return nil
}

// contradiction returns what would be evidence if b's root is that of its
// entries, or nil if b and the stored log can be the same history.
func (m *Machine) contradiction(l *logState, b *wire.Batch) (*wire.Evidence, error) {
	theirs := markOf(b).signed
	if queued, ok := l.later[b.Old]; ok && queued.Size() == b.Size() {
		ours := markOf(queued.Batch).signed
		return &wire.Evidence{Author: l.id, Low: ours, High: theirs, Prefix: theirs.Root}, nil
	}
	if b.Size() <= l.size() {
		return m.contradictStored(l, theirs)
	}
	if b.Old >= l.size() {
		return nil, nil
	}
	// Their history is the longer one: rebuild its tree from where it begins.
	frontier, err := m.frontierAt(l, b.Old)
	if err != nil {
		return nil, err
	}
	tree, err := merkle.NewTail(b.Old, frontier)
	if err != nil {
		return nil, err
	}
	appendLeaves(tree, b, bodyHashes(b))
	ours := l.head().signed
	prefix, err := tree.RootAt(ours.Size)
	if err != nil || prefix == ours.Root {
		return nil, err
	}
	proof, err := tlog.ProveTree(int64(theirs.Size), int64(ours.Size), tree)
	if err != nil {
		return nil, err
	}
	return &wire.Evidence{Author: l.id, Low: ours, High: theirs, Prefix: prefix, Proof: hashes(proof)}, nil
}

// contradictStored compares a signed tree head with the stored log, which is
// at least as long.
func (m *Machine) contradictStored(l *logState, theirs wire.Signed) (*wire.Evidence, error) {
	i, _ := l.find(theirs.Size)
	ours := l.chain[min(i, len(l.chain)-1)].signed
	if ours.Size == theirs.Size {
		if ours.Root == theirs.Root {
			return nil, nil
		}
		return &wire.Evidence{Author: l.id, Low: theirs, High: ours, Prefix: ours.Root}, nil
	}
	if ours.Size < theirs.Size {
		return nil, nil
	}
	reader := m.treeReader(l, theirs.Size)
	root, err := tlog.TreeHash(int64(theirs.Size), reader)
	if err != nil || protocol.Hash(root) == theirs.Root {
		return nil, err
	}
	proof, err := tlog.ProveTree(int64(ours.Size), int64(theirs.Size), reader)
	if err != nil {
		return nil, err
	}
	return &wire.Evidence{Author: l.id, Low: theirs, High: ours, Prefix: protocol.Hash(root), Proof: hashes(proof)}, nil
}

// treeReader reads the stored log's hashes: those that proofs about sizes
// before the tail need are durable.
func (m *Machine) treeReader(l *logState, size uint64) tlog.HashReader {
	if size < l.tail.Base() {
		return &splitReader{old: m.store.Hashes(l.id), tail: &l.tail.View}
	}
	return &l.tail.View
}

func (m *Machine) frontierAt(l *logState, size uint64) ([]tlog.Hash, error) {
	if size >= l.tail.Base() {
		return l.tail.FrontierAt(size)
	}
	return merkle.Frontier(size, m.store.Hashes(l.id))
}

// splitReader reads hashes before a tail from storage.
type splitReader struct {
	old  tlog.HashReader
	tail *merkle.View
}

// ReadHashes implements tlog.HashReader.
func (r *splitReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, 0, len(indexes))
	for _, x := range indexes {
		reader := r.old
		if x >= tlog.StoredHashCount(int64(r.tail.Base())) {
			reader = r.tail
		}
		h, err := reader.ReadHashes([]int64{x})
		if err != nil {
			return nil, err
		}
		out = append(out, h...)
	}
	return out, nil
}

func hashes(proof tlog.TreeProof) []protocol.Hash {
	out := make([]protocol.Hash, len(proof))
	for i, h := range proof {
		out[i] = protocol.Hash(h)
	}
	return out
}

// suspect asks a member for its history of a log, since it voted for one that
// this member does not store.
func (m *Machine) suspect(l *logState, peer protocol.MemberID) {
	if l.evidence == nil && !l.fetch.busy() {
		l.fetch = fetch{peer: peer, from: l.cert.Size(), askedAt: m.now, asked: true}
		m.emit(Send{To: peer, Msg: &wire.RangeRequest{Log: l.id, From: l.cert.Size(), Epoch: m.committee.Epoch()}})
	}
}

// yieldTo drops what this member stores of a log behind the beginning of b, a
// batch of a certified history, and returns the record that does so. The
// author has signed two histories; since a quorum vouches for the other one,
// this member lets go of its own, but never votes for the other.
func (m *Machine) yieldTo(l *logState, from protocol.MemberID, b *wire.Batch) ([]Record, error) {
	if err := m.compare(l, from, b); err != nil {
		return nil, err
	}
	i, ok := l.find(b.Old)
	if !ok || l.evidence == nil || b.Old < l.cert.Size() {
		return nil, nil
	}
	if err := l.tail.Rewind(b.Old); err != nil {
		return nil, err
	}
	l.chain = l.chain[: i+1 : i+1]
	l.durable = min(l.durable, b.Old)
	for size := range l.tallies {
		if size > b.Old {
			delete(l.tallies, size)
		}
	}
	m.waiting = slices.DeleteFunc(m.waiting, func(w awaited) bool { return w.log == l.id && w.size > b.Old })
	if l.id == m.self {
		m.abandon(b.Old)
	}
	return []Record{Truncate{Log: l.id, Size: b.Old}}, nil
}

// abandon refuses what this member has put into its own log behind a size,
// since another history of it is certified: the member has lost its disk, and
// has come back without knowing what it had signed.
func (m *Machine) abandon(size uint64) {
	a := &m.author
	a.batches = slices.DeleteFunc(a.batches, func(b *ownBatch) bool {
		if b.Size <= size {
			return false
		}
		for _, it := range b.open {
			m.emit(Refused{ID: it.ID, Reason: LogStopped})
		}
		return true
	})
}
