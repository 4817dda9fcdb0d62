package witness

import (
	"errors"
	"fmt"
	"sort"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// Bounds of what is kept in memory for each log.
const (
	// maxUncertified bounds the batches of a log that are stored without a
	// certificate. It lies well above an honest author's window.
	maxUncertified = 32
	// maxUndurable bounds the batches of a log that are accepted and not yet
	// durable, so that a slow disk does not gather work without end.
	maxUndurable = 64
	// maxLater bounds the batches that are kept until the gap before them is
	// filled or what they wait for has come.
	maxLater = 48
	// maxEarly bounds the votes of one member that are kept for batches that
	// have not come yet.
	maxEarly = 16
	// maxChain is how many batch ends are remembered before the certified one,
	// at least; up to twice as many are.
	maxChain = 512
	// rebaseLeaves is how many leaves of a tree gather in memory before the
	// certified ones are forgotten.
	rebaseLeaves = 8192
)

// mark is where a batch ends in its log.
type mark struct {
	signed wire.Signed // the size, the root and the author's cosignature
	epoch  uint64
	round  uint64
	time   protocol.Micros
	// batch is what the order is told of the batch, until it has been.
	batch *protocol.Extension
}

// extensionOf is what the order is told of a batch.
func extensionOf(b *wire.Batch, entries []protocol.Entry) *protocol.Extension {
	return &protocol.Extension{
		Log: b.Author, Old: b.Old, Size: b.Size(), Round: b.Round, Time: b.Time,
		Parents: b.Parents, Entries: entries, Acts: b.Acts(),
	}
}

func markOf(b *wire.Batch) mark {
	return mark{
		signed: wire.Signed{Size: b.Size(), Root: b.Root, Time: b.CosignTime, Sig: b.Cosignature},
		epoch:  b.Epoch,
		round:  b.Round,
		time:   b.Time,
	}
}

// logState is what a member knows of one log.
type logState struct {
	id   protocol.MemberID
	tail *merkle.Tail
	// chain holds the ends of the stored batches in order, from at latest the
	// certified one on. The last is the head. An empty log has a zero mark.
	chain []mark
	cert  *quorum.Certificate
	// durable is the size up to which the log is known to be durable.
	durable uint64
	// released is the size up to which the order has been told.
	released uint64
	// tallies count votes by size, for batch ends from the certified one on.
	tallies map[uint64]*quorum.Tally
	// early are votes for sizes behind the head, by voter, the newest last.
	early map[protocol.MemberID][]wire.Vote
	// later are batches that cannot be taken yet, by their old size. The
	// author's signature of each tree head has been verified.
	later map[uint64]heldBatch
	// holdUntil is when the batch that is next was dated, if it lies ahead of
	// this member's clock.
	holdUntil protocol.Micros
	// missing names the log that the next batch waits for a certificate of.
	missing *protocol.Parent
	fetch   fetch
	// evidence against the author: the log is frozen.
	evidence *wire.Evidence
	// claim is the newest certificate that the author told, not verified yet,
	// and claimAt when it will be.
	claim   quorum.Claim
	claimAt protocol.Micros
	// appealAt is when this member tells its votes to all, if no certificate
	// has come by then.
	appealAt protocol.Micros
	// appeals counts how often that was in vain.
	appeals int
	// votedAt is when this member voted first since the newest certificate, and
	// answer the smoothed time from there to a certificate.
	votedAt, answer protocol.Micros
	// revoted is when this member last sent its votes again, by receiver.
	revoted map[protocol.MemberID]protocol.Micros
	// targets are heads that this member was told of when the epoch began and does
	// not store yet, by size, and bound is the largest that it was told of or had.
	targets []wire.Signed
	bound   uint64
	// spoiled says that the author has signed more heads than an honest one can
	// have: nobody is asked any more what there is to know of the log.
	spoiled bool
	// holders is how much of the log, as it is stored here, others are known to
	// store, where there are batches of earlier epochs without a certificate.
	holders map[protocol.MemberID]uint64
	// knows is the newest epoch for which enough members have told what this one has
	// to know of the log.
	knows uint64
}

// heldBatch is a batch and who delivered it. The author's signature covers what
// the batch leads to, not the batch: somebody else may have changed it.
type heldBatch struct {
	*wire.Batch
	from protocol.MemberID
}

func newLog(id protocol.MemberID) *logState {
	return &logState{
		id:      id,
		tail:    &merkle.Tail{},
		chain:   []mark{{signed: wire.Signed{Root: merkle.EmptyRoot}}},
		tallies: map[uint64]*quorum.Tally{},
		early:   map[protocol.MemberID][]wire.Vote{},
		later:   map[uint64]heldBatch{},
		revoted: map[protocol.MemberID]protocol.Micros{},
		holders: map[protocol.MemberID]uint64{},
	}
}

func (l *logState) head() mark   { return l.chain[len(l.chain)-1] }
func (l *logState) size() uint64 { return l.head().signed.Size }

// certifiedRound is the round that the newest certified batch claims.
func (l *logState) certifiedRound() uint64 {
	if i, ok := l.find(l.cert.Size()); ok {
		return l.chain[i].round
	}
	return 0
}

// release returns the batches that have become both certified and durable.
func (l *logState) release() []protocol.Extension {
	end := min(l.cert.Size(), l.durable)
	if end <= l.released {
		return nil
	}
	var out []protocol.Extension
	i, _ := l.find(l.released + 1)
	for ; i < len(l.chain) && l.chain[i].signed.Size <= end; i++ {
		if b := l.chain[i].batch; b != nil {
			out = append(out, *b)
			l.chain[i].batch = nil
		}
	}
	l.released = end
	return out
}

// find returns the place in chain of the batch end at size.
func (l *logState) find(size uint64) (int, bool) {
	i := sort.Search(len(l.chain), func(i int) bool { return l.chain[i].signed.Size >= size })
	return i, i < len(l.chain) && l.chain[i].signed.Size == size
}

// uncertified is the number of stored batches without a certificate.
func (l *logState) uncertified() int {
	i, _ := l.find(l.cert.Size())
	return len(l.chain) - 1 - i
}

// undurable is the number of batches that are not known to be durable.
func (l *logState) undurable() int {
	i := sort.Search(len(l.chain), func(i int) bool { return l.chain[i].signed.Size > l.durable })
	return len(l.chain) - i
}

// durableHead is where the durable part of the log ends.
func (l *logState) durableHead() mark {
	if i := len(l.chain) - l.undurable(); i > 0 {
		return l.chain[i-1]
	}
	return mark{signed: wire.Signed{Root: merkle.EmptyRoot}}
}

// full reports whether no further batch may be taken for now.
func (l *logState) full() bool {
	return l.uncertified() >= maxUncertified || l.undurable() >= maxUndurable
}

// certify makes cert the log's newest certificate and forgets what only
// smaller sizes needed.
func (l *logState) certify(cert *quorum.Certificate) error {
	l.cert = cert
	i, ok := l.find(cert.Size())
	if !ok {
		return fmt.Errorf("log %d: certificate at %d, where no batch ends", l.id, cert.Size())
	}
	if drop := i - maxChain; drop > maxChain {
		l.chain = append([]mark(nil), l.chain[drop:]...)
	}
	if l.tail.Leaves() > rebaseLeaves {
		return l.tail.Rebase(cert.Size())
	}
	return nil
}

// keepEarly remembers a vote for a batch that has not come yet.
func (l *logState) keepEarly(voter protocol.MemberID, v wire.Vote) {
	votes := l.early[voter]
	for _, w := range votes {
		if w.Size == v.Size && w.Root == v.Root {
			return
		}
	}
	if len(votes) >= maxEarly {
		votes = append(votes[:0], votes[1:]...)
	}
	l.early[voter] = append(votes, v)
}

// takeEarly returns and forgets the early votes for a size, in member order,
// and forgets all smaller ones.
func (l *logState) takeEarly(size uint64, members []protocol.MemberID) []earlyVote {
	var out []earlyVote
	for _, id := range members {
		votes := l.early[id]
		if len(votes) == 0 {
			continue
		}
		keep := votes[:0]
		for _, v := range votes {
			switch {
			case v.Size == size:
				out = append(out, earlyVote{id, v})
			case v.Size > size:
				keep = append(keep, v)
			}
		}
		l.early[id] = keep
	}
	return out
}

type earlyVote struct {
	voter protocol.MemberID
	vote  wire.Vote
}

// appendLeaves adds a batch's leaves to a tree and returns its entries.
func appendLeaves(t *merkle.Tail, b *wire.Batch, hashes []protocol.Hash) []protocol.Entry {
	buf := b.Header().Append(make([]byte, 0, 256))
	t.Append(recordHash(buf))
	entries := make([]protocol.Entry, len(b.Items))
	for i := range b.Items {
		it := &b.Items[i]
		entries[i] = protocol.Entry{Kind: it.Kind, Hash: hashes[i], Time: b.Time, TTL: it.TTL}
		leaf, scratch := entries[i].LeafHash(buf)
		buf = scratch
		t.Append(leaf)
	}
	return entries
}

// errStorage marks errors of what is stored: the host must stop the node.
var errStorage = errors.New("stored log is damaged")

// load restores a log from storage: the tree from the newest certificate on,
// and the batches behind it.
func (m *Machine) load(id protocol.MemberID) (*logState, error) {
	l := newLog(id)
	fail := func(err error) (*logState, error) {
		return nil, fmt.Errorf("%w: %s: %w", errStorage, m.committee.Origin(id), err)
	}
	size, err := m.store.Size(id)
	if err != nil {
		return fail(err)
	}
	if l.evidence, err = m.store.Evidence(id); err != nil {
		return fail(err)
	}
	claim, ok, err := m.store.Certificate(id, Latest)
	if err != nil {
		return fail(err)
	}
	if ok && claim.Size <= size {
		if err := m.loadCertified(l, claim); err != nil {
			return fail(err)
		}
	}
	for l.size() < size {
		if err := m.loadBatch(l); err != nil {
			return fail(err)
		}
	}
	l.durable, l.released = size, l.cert.Size()
	return l, nil
}

// loadCertified starts a log at its newest certificate.
func (m *Machine) loadCertified(l *logState, claim quorum.Claim) error {
	cert, err := m.epochs.Verify(claim)
	if err != nil {
		return err
	}
	frontier, err := merkle.Frontier(claim.Size, m.store.Hashes(l.id))
	if err != nil {
		return err
	}
	if l.tail, err = merkle.NewTail(claim.Size, frontier); err != nil {
		return err
	}
	if l.tail.Root() != claim.Root {
		return fmt.Errorf("the tree of %d leaves has another root than its certificate", claim.Size)
	}
	mk, ok, err := m.storedMark(l.id, claim.Size)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("no batch ends at the certified size %d", claim.Size)
	}
	l.chain = []mark{mk}
	l.cert = cert
	return nil
}

// loadBatch reads the batch behind the head.
func (m *Machine) loadBatch(l *logState) error {
	encoded, err := m.store.BatchAt(l.id, l.size())
	if err != nil {
		return err
	}
	b, err := wire.DecodeBatch(encoded, maxStored)
	if err != nil {
		return err
	}
	if b.Old != l.size() {
		return fmt.Errorf("the batch behind %d begins at %d", l.size(), b.Old)
	}
	entries := appendLeaves(l.tail, b, bodyHashes(b))
	if l.tail.Root() != b.Root {
		return fmt.Errorf("the tree of %d leaves has another root than its batch", b.Size())
	}
	mk := markOf(b)
	mk.batch = extensionOf(b, entries)
	l.chain = append(l.chain, mk)
	m.openTally(l, b)
	return nil
}

// storedMark looks up the end of a stored batch.
func (m *Machine) storedMark(log protocol.MemberID, size uint64) (mark, bool, error) {
	if size == 0 {
		return mark{}, false, nil
	}
	encoded, err := m.store.BatchAt(log, size-1)
	if err != nil || encoded == nil {
		return mark{}, false, err
	}
	b, err := wire.DecodeBatch(encoded, maxStored)
	if err != nil {
		return mark{}, false, err
	}
	return markOf(b), b.Size() == size, nil
}

// markAt returns the end of a batch at size, from memory or storage.
func (m *Machine) markAt(l *logState, size uint64) (mark, bool, error) {
	if size >= l.chain[0].signed.Size {
		i, ok := l.find(size)
		if !ok {
			return mark{}, false, nil
		}
		return l.chain[i], true, nil
	}
	return m.storedMark(l.id, size)
}
