package simulation

import (
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// Bounds of what a forger keeps.
const (
	maxHistories = 5
	maxBatches   = 60
)

// forgery is the histories of its own log that a liar has signed. The first is
// the one of its machine.
type forgery struct {
	histories []*history
	made      int
}

type history struct {
	tree    merkle.Tail
	batches []*wire.Batch
}

func (h *history) add(b *wire.Batch) {
	h.tree.Append(tlog.RecordHash(b.Header().Append(nil)))
	for _, it := range b.Items {
		// Items of honest machines are canonical, and so are the forger's.
		hash, err := protocol.CheckBody(it.Kind, it.Body, len(it.Body))
		if err != nil {
			return
		}
		h.tree.Append(recordHash(protocol.Entry{Kind: it.Kind, Hash: hash, Time: b.Time}))
	}
	h.batches = append(h.batches, b)
}

// follow keeps the beginning of what the liar's own machine signs.
func (f *forgery) follow(b *wire.Batch) {
	if len(f.histories) == 0 {
		f.histories = []*history{{}}
	}
	if main := f.histories[0]; b.Old == main.tree.Size() && len(main.batches) < maxBatches {
		main.add(b)
	}
}

// fork begins a history that shares a part of another.
func (f *forgery) fork(h *history, keep int) *history {
	out := &history{}
	for _, b := range h.batches[:keep] {
		out.add(b)
	}
	if len(f.histories) >= maxHistories {
		f.histories = append(f.histories[:1], f.histories[2:]...)
	}
	f.histories = append(f.histories, out)
	return out
}

// sign signs a batch at the end of a history.
func (l *liar) sign(h *history, parents []protocol.Parent) *wire.Batch {
	at := l.n.clock.read(l.w.sched.now)
	if k := len(h.batches); k > 0 {
		at = max(at, h.batches[k-1].Time+1)
	}
	return l.signAt(h, at, parents)
}

// signAt signs a batch at the end of a history with a time.
func (l *liar) signAt(h *history, at protocol.Micros, parents []protocol.Parent) *wire.Batch {
	var round uint64
	if k := len(h.batches); k > 0 {
		round = h.batches[k-1].Round
	}
	return l.signRound(h, at, round, parents)
}

// signRound signs a batch at the end of a history with a time and a round.
func (l *liar) signRound(h *history, at protocol.Micros, round uint64, parents []protocol.Parent) *wire.Batch {
	l.forgery.made++
	e, err := protocol.ParseEvent(fmt.Appendf(nil, `{"type":"sim.forged","payload":{"n":%d}}`, l.forgery.made), l.w.params.MaxEventBytes)
	if err != nil {
		return nil
	}
	b := &wire.Batch{
		Author: l.n.id, Old: h.tree.Size(), Epoch: l.epoch(h), Round: round, Time: at, Parents: parents,
		Items: []wire.Item{{Kind: protocol.KindAttest, Body: e.Canonical}}, Cert: quorum.Claim{Log: l.n.id},
	}
	h.add(b)
	b.Root = h.tree.Root()
	sig := l.w.signers[l.n.id].Cosign(l.w.committee.Checkpoint(l.n.id, b.Size(), b.Root), b.Time.Seconds())
	b.CosignTime, b.Cosignature = sig.Time, sig.Bytes
	return b
}

// epoch is the one that a batch at the end of a history can name: the liar's, or the
// one before it, which is over.
func (l *liar) epoch(h *history) uint64 {
	e := l.n.standing().Epoch()
	if k := len(h.batches); k > 0 && e > 0 && l.w.scenario.Members.Changes > 0 && l.rng.IntN(4) == 0 {
		e = max(h.batches[k-1].Epoch, e-1)
	}
	return e
}

// equivocate extends one of the histories, or begins one, and shows a batch of
// it to some members.
func (l *liar) equivocate() {
	f := &l.forgery
	if len(f.histories) == 0 {
		f.histories = []*history{{}}
	}
	if l.rng.IntN(2) == 0 {
		l.split()
		return
	}
	h := f.histories[l.rng.IntN(len(f.histories))]
	if h == f.histories[0] || len(h.batches) >= maxBatches || l.rng.IntN(8) == 0 {
		h = f.fork(h, l.rng.IntN(len(h.batches)+1))
	}
	b := l.sign(h, nil)
	if l.rng.IntN(3) == 0 {
		b = h.batches[l.rng.IntN(len(h.batches))]
	}
	l.tell(b, func(protocol.MemberID) bool { return l.rng.IntN(2) == 0 })
}

// split signs two batches at the end of its machine's history, shows one to
// some and the other to the rest, and both to fellow liars.
func (l *liar) split() {
	main := l.forgery.histories[0]
	a := l.sign(l.forgery.fork(main, len(main.batches)), nil)
	b := l.sign(l.forgery.fork(main, len(main.batches)), nil)
	for i, n := range l.w.nodes {
		first := l.rng.IntN(2) == 0
		for _, batch := range []*wire.Batch{a, b} {
			if i != int(l.n.id) && (n.liar != nil || (batch == a) == first) {
				l.w.send(l.n.id, batch, n.id)
			}
		}
	}
}

// badParents signs a batch at the end of its log that names wrong parents.
func (l *liar) badParents() {
	h := l.ownHistory()
	var parents []protocol.Parent
	if l.rng.IntN(3) == 0 { // all is right but the root
		p := protocol.Parent{Member: l.someone()}
		p.Size = l.n.machine.Status()[p.Member].Certified
		if root, err := durableRoot(l.n, p.Member, p.Size); err == nil && p.Size > 0 {
			root[0] ^= 1
			p.Root = root
			l.tell(l.sign(h, []protocol.Parent{p}), everybody)
			return
		}
	}
	for range 1 + l.rng.IntN(3) {
		p := protocol.Parent{Member: l.someone(), Size: l.rng.Uint64N(200)}
		if head := l.n.machine.Status()[p.Member]; l.rng.IntN(2) == 0 {
			p.Size = head.Stored + l.rng.Uint64N(3)
		}
		if root, err := durableRoot(l.n, p.Member, p.Size); err == nil {
			p.Root = root
		}
		p.Root[0] ^= byte(l.rng.IntN(2))
		parents = append(parents, p)
	}
	l.tell(l.sign(h, parents), everybody)
}

// ownHistory is a copy of what the liar's machine has signed.
func (l *liar) ownHistory() *history {
	l.forgery.follow(&wire.Batch{Old: ^uint64(0)}) // there is a first history
	return l.forgery.fork(l.forgery.histories[0], len(l.forgery.histories[0].batches))
}

// backwards signs a batch at the end of its log that is earlier than the one
// before it.
func (l *liar) backwards() {
	h := l.ownHistory()
	if k := len(h.batches); k > 0 {
		l.tell(l.signAt(h, h.batches[k-1].Time-protocol.Micros(l.rng.IntN(2)), nil), everybody)
	}
}

// forge tells what others never said: a certificate of a log, or a member's
// vote, for what is there or for what is not.
func (l *liar) forge() {
	log := l.someone()
	if l.rng.IntN(2) == 0 {
		log = l.n.id
	}
	status := l.n.machine.Status()[log]
	size := status.Certified + l.rng.Uint64N(status.Stored-status.Certified+4)
	root, err := durableRoot(l.n, log, size)
	if err != nil || l.rng.IntN(2) == 0 {
		root[0] ^= 1
	}
	if l.rng.IntN(2) == 0 {
		c := l.madeUp(l.someone())
		l.tell(&wire.Votes{Voter: c.Member, Votes: []wire.Vote{{Log: log, Size: size, Root: root, Time: c.Time, Sig: c.Sig}}}, everybody)
		return
	}
	l.tell(&wire.Certificate{Claim: l.madeUpClaim(log, size, root)}, everybody)
}

// forgeRange gives the last batch of a range a certificate that it has not.
func (l *liar) forgeRange(r *wire.Range) wire.Message {
	if len(r.Items) == 0 {
		return r
	}
	out := *r
	out.Items = slices.Clone(r.Items)
	last := &out.Items[len(out.Items)-1]
	if b, err := wire.DecodeBatch(last.Batch, l.w.maxMessage); err == nil {
		last.Cert = l.madeUpClaim(b.Author, b.Size(), b.Root)
	}
	return &out
}

func (l *liar) madeUpClaim(log protocol.MemberID, size uint64, root protocol.Hash) quorum.Claim {
	claim := quorum.Claim{Log: log, Epoch: l.n.standing().Epoch(), Size: size, Root: root}
	for _, id := range l.n.standing().Members()[:l.n.standing().Quorum()] {
		claim.Cosigs = append(claim.Cosigs, l.madeUp(id))
	}
	return claim
}

// madeUp is a cosignature that its signer never made.
func (l *liar) madeUp(id protocol.MemberID) quorum.Cosignature {
	c := quorum.Cosignature{Member: id, Time: l.n.clock.read(l.w.sched.now).Seconds()}
	for i := range c.Sig {
		c.Sig[i] = byte(l.rng.Uint32())
	}
	return c
}
