package simulation

import (
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// puppet is a log that a liar authors with its own hands, since its machine
// would name all parents that it should. Its batches are such as others must
// vote for; the liar counts the votes, and tells of the certificates.
type puppet struct {
	log   history
	tally *quorum.Tally
	last  *wire.Batch
	// heads are what the liar has seen certified of the others' logs.
	heads []namedHead
}

type namedHead struct {
	protocol.Parent
	time protocol.Micros
}

// maxNamed bounds the heads that a liar remembers.
const maxNamed = 512

// hideParents seals a batch that names few parents, none, or old ones, and
// claims a round that it does not show the past for. As long as that has no
// certificate, it is sent again.
func (l *liar) hideParents() {
	p := &l.puppet
	l.lookAround()
	if p.tally != nil && p.tally.Certificate() == nil {
		l.tell(p.last, everybody)
		return
	}
	at := l.n.clock.read(l.w.sched.now)
	var parents []protocol.Parent
	for id := range l.w.nodes {
		if h, ok := l.choose(protocol.MemberID(id)); ok {
			parents, at = append(parents, h.Parent), max(at, h.time+1)
		}
	}
	var round uint64
	if p.last != nil {
		at, round = max(at, p.last.Time+1), p.last.Round
	}
	round = max(round, l.n.order.Status().Round+l.rng.Uint64N(4))
	b := l.signRound(&p.log, at, round, parents)
	p.last, p.tally = b, l.n.standing().NewTally(l.n.id, b.Size(), b.Root)
	p.tally.AddVerified(b.AuthorVote())
	l.tell(b, everybody)
}

// lookAround remembers the certified heads of the others' logs.
func (l *liar) lookAround() {
	for i, st := range l.n.machine.Status() {
		id := protocol.MemberID(i)
		root, err := durableRoot(l.n, id, st.Certified)
		if id == l.n.id || st.Certified == 0 || err != nil {
			continue
		}
		if b := l.w.check.durableBatch(l.n, id, st.Certified); b != nil && b.Size() == st.Certified {
			l.puppet.heads = append(l.puppet.heads, namedHead{protocol.Parent{Member: id, Size: st.Certified, Root: root}, b.Time})
		}
	}
	if drop := len(l.puppet.heads) - maxNamed; drop > 0 {
		l.puppet.heads = l.puppet.heads[drop:]
	}
}

// choose returns any head of a log, or none.
func (l *liar) choose(id protocol.MemberID) (namedHead, bool) {
	var of []namedHead
	for _, h := range l.puppet.heads {
		if h.Member == id {
			of = append(of, h)
		}
	}
	if len(of) == 0 || l.rng.IntN(3) == 0 {
		return namedHead{}, false
	}
	return of[l.rng.IntN(len(of))], true
}

// count counts votes for the liar's own batch, and tells of its certificate.
func (l *liar) count(votes *wire.Votes) {
	t := l.puppet.tally
	if t == nil || t.Certificate() != nil {
		return
	}
	for _, v := range votes.Votes {
		if v.Log == l.n.id && v.Size == t.Size() && v.Root == t.Root() {
			t.Add(quorum.Cosignature{Member: votes.Voter, Time: v.Time, Sig: v.Sig})
		}
	}
	if cert := t.Certificate(); cert != nil {
		l.tell(&wire.Certificate{Claim: cert.Claim()}, everybody)
	}
}
