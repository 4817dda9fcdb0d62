package simulation

import (
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// otherLedger gives a member another view of the liar's ledger than it has: a
// root or a size that nobody came to, cosigned, or somebody's certificate.
func (l *liar) otherLedger(msg wire.Message) wire.Message {
	head, ok := msg.(*wire.LedgerHead)
	if !ok || !l.does["ledger"] || l.rng.IntN(3) == 0 {
		return msg
	}
	out := *head
	out.Voter = l.n.id
	switch l.rng.IntN(4) {
	case 0:
		out.Head = l.cosignLedger(head.Head.Size, l.madeUpRoot())
	case 1:
		out.Head = l.cosignLedger(head.Head.Size+l.rng.Uint64N(50), head.Head.Root)
	case 2:
		out.Head = wire.Signed{}
	case 3:
		out.Cert = quorum.Claim{Log: protocol.Ledger}
	}
	return &out
}

// forkLedger tells some members of a ledger that there is not: with its own
// cosignature, with one of another member's that it made up, or with a
// certificate that it made up.
func (l *liar) forkLedger() {
	st := l.n.order.Status()
	size := st.Size/2 + l.rng.Uint64N(st.Size+10)
	root := l.madeUpRoot()
	if cut, ok, err := l.n.disk.State(); err == nil && ok && l.rng.IntN(2) == 0 {
		size = cut.Cut.Size // where all others are sure to cosign
	}
	msg := &wire.LedgerHead{Voter: l.n.id, Cert: quorum.Claim{Log: protocol.Ledger}, Want: l.rng.IntN(2) == 0}
	switch l.rng.IntN(3) {
	case 0:
		msg.Head = l.cosignLedger(size, root)
	case 1:
		msg.Voter = l.someone()
		c := l.madeUp(msg.Voter)
		msg.Head = wire.Signed{Size: size, Root: root, Time: c.Time, Sig: c.Sig}
	case 2:
		msg.Cert = l.madeUpClaim(protocol.Ledger, size+1, root)
	}
	l.tell(msg, func(protocol.MemberID) bool { return l.rng.IntN(2) == 0 })
}

func (l *liar) cosignLedger(size uint64, root protocol.Hash) wire.Signed {
	sig := l.w.signers[l.n.id].Cosign(l.w.committee.Checkpoint(protocol.Ledger, size, root), l.n.clock.read(l.w.sched.now).Seconds())
	return wire.Signed{Size: size, Root: root, Time: sig.Time, Sig: sig.Bytes}
}

func (l *liar) madeUpRoot() (root protocol.Hash) {
	root[0], root[1] = byte(l.rng.Uint32()), 1
	return root
}
