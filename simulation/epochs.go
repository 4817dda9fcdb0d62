package simulation

import (
	"reflect"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord/plain"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

// standing is the committee of the newest epoch that the node has come to.
func (n *node) standing() *quorum.Committee { return n.epochs.Latest() }

// member reports whether the node is a member of that epoch.
func (n *node) member() bool { return n.standing().Has(n.id) }

// self is what the machines take the node for: nobody, as long as it is in no roster.
func (n *node) self() protocol.MemberID {
	if n.standing().Known(n.id) {
		return n.id
	}
	return protocol.Nobody
}

// storedEpochs are those that the node has on its disk.
func (n *node) storedEpochs() (*quorum.Epochs, error) {
	stored, err := n.disk.ledger.Epochs(n.w.founding)
	if err != nil {
		return nil, err
	}
	out := quorum.NewEpochs(n.w.founding)
	for number := uint64(1); number <= stored.Latest().Epoch(); number++ {
		c, _ := stored.At(number)
		if err := out.Add(c.WithMemo(n.w.memo)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// begin has the node go with the network to its next epoch.
func (n *node) begin(c *quorum.Committee) {
	known := n.standing().Logs()
	epochs := n.epochs.Clone()
	c = c.WithMemo(n.w.memo)
	if err := epochs.Add(c); err != nil {
		n.halt(err)
		return
	}
	n.epochs = epochs
	n.w.trace.note(n.w.sched.now, traceEpoch, int(n.id), nil, c.Epoch())
	n.w.trace.say(n.w.sched.now, int(n.id), "comes to epoch %d, of %d members", c.Epoch(), c.N())
	n.witness.post(&n.witness.internal, witness.Enter{Committee: c})
	n.w.check.begun(n, c)
	for id := known; id < c.Logs(); id++ {
		if id != int(n.id) {
			n.w.meet(n, n.w.nodes[id])
		}
	}
}

// meet connects two nodes, some time from now.
func (w *world) meet(a, b *node) {
	w.sched.after(between(a.rng, 5*protocol.Millisecond, 200*protocol.Millisecond), func() {
		if a.up && b.up {
			a.peerUp(b.id)
			b.peerUp(a.id)
		}
	})
}

// epochCheck is what is known of epochs.
type epochCheck struct {
	// places are where in the ledger they begin.
	places map[uint64]uint64
	// fences are the newest epochs that honest members have reported for: they vote
	// in none before.
	fences map[protocol.MemberID]uint64
	// told are the largest heads of logs in reports for an epoch.
	told map[report]uint64
	// proofs are those that clients were given.
	proofs []given
}

type report struct {
	log   protocol.MemberID
	epoch uint64
}

// given is a proof of a leaf.
type given struct {
	proof *proof.Proof
	hash  string
	log   protocol.MemberID
	index uint64
}

func newEpochCheck() epochCheck {
	return epochCheck{places: map[uint64]uint64{}, fences: map[protocol.MemberID]uint64{}, told: map[report]uint64{}}
}

// turned sees where a member's ledger is when it turns to another epoch.
func (c *checker) turned(n *node, records []machine.Record) {
	for _, r := range records {
		switch r := r.(type) {
		case chronos.PutRun:
			n.reach = r.Position + uint64(len(r.Entries))
		case chronos.PutEpoch:
			number := r.Committee.Epoch()
			if n.liar != nil {
				continue
			}
			if place, again := c.epochs.places[number]; again && place != n.reach {
				c.fail("epoch", "epoch %d begins at place %d for node-%d, and at place %d for others", number, n.reach, n.id+1, place)
			}
			c.epochs.places[number] = n.reach
		}
	}
}

// begun sees a member come to an epoch: the same for all.
func (c *checker) begun(n *node, e *quorum.Committee) {
	if n.liar != nil {
		return
	}
	all := c.w.epochs
	if first, again := all.At(e.Epoch()); again {
		if !reflect.DeepEqual(first.Roster(), e.Roster()) || !reflect.DeepEqual(first.Members(), e.Members()) || first.Params() != e.Params() || first.Since() != e.Since() {
			c.fail("epoch", "epoch %d has members %v from %d on for node-%d, and members %v from %d on for others",
				e.Epoch(), e.Members(), e.Since(), n.id+1, first.Members(), first.Since())
		}
		return
	}
	err := all.Add(e)
	if err == nil {
		err = c.w.trust()
	}
	if err != nil {
		c.fail("epoch", "node-%d comes to an epoch that cannot be: %v", n.id+1, err)
		return
	}
	c.w.stats.Epochs++
	c.w.reform.begun()
}

// checkQuorum demands that those who signed a certificate are a quorum of the epoch
// that it names, and signed it in time.
func (c *checker) checkQuorum(n *node, cert *quorum.Certificate) {
	e, ok := c.w.epochs.At(cert.Epoch())
	if !ok {
		c.fail("certificate", "node-%d holds a certificate of epoch %d, to which nobody has come", n.id+1, cert.Epoch())
		return
	}
	signers := map[protocol.MemberID]bool{}
	for _, s := range cert.Cosignatures() {
		signers[s.Member] = true
		if !e.Has(s.Member) {
			c.fail("certificate", "node-%d takes node-%d for a member of epoch %d", n.id+1, s.Member+1, e.Epoch())
		}
		if protocol.Micros(s.Time+2)*protocol.Second < e.Since()-protocol.Second {
			c.fail("certificate", "node-%d takes a cosignature of node-%d for one of epoch %d, which is %d s older than that", n.id+1, s.Member+1, e.Epoch(), uint64(e.Since()/protocol.Second)-s.Time)
		}
	}
	if 3*len(signers) <= 2*e.N() {
		c.fail("certificate", "node-%d takes %d of %d members for a quorum", n.id+1, len(signers), e.N())
	}
}

// reported notes for which epoch a member reports: it votes in none before.
func (c *checker) reported(n *node, msg *wire.Heads) {
	c.epochs.fences[n.id] = max(c.epochs.fences[n.id], msg.Epoch)
}

// overheard notes what is told of logs in reports, if their authors have signed it.
func (c *checker) overheard(msg *wire.Heads) {
	e := max(msg.Epoch, msg.Knows)
	if e == 0 {
		return
	}
	for _, h := range msg.Heads {
		k := report{h.Log, e}
		if h.Signed.Size <= c.epochs.told[k] || !c.w.committee.Known(h.Log) {
			continue
		}
		s := quorum.Cosignature{Member: h.Log, Time: h.Signed.Time, Sig: h.Signed.Sig}
		if c.w.committee.Verifier(h.Log).Verify(c.w.committee.Checkpoint(h.Log, h.Signed.Size, h.Signed.Root), s.Signature()) {
			c.epochs.told[k] = h.Signed.Size
		}
	}
}

// fenced holds what an honest member signs for the first time to the epochs: who is
// no member signs nothing, and a member only what it has been handed over an epoch
// for. Of a batch of an epoch that it has left behind it signs only what it may have
// been told of.
func (c *checker) fenced(n *node, log protocol.MemberID, size uint64) {
	b := c.durableBatch(n, log, size)
	if b == nil {
		return
	}
	e, ok := n.epochs.At(b.Epoch)
	switch entered, _ := n.epochs.At(n.entered); {
	case !ok || !e.Has(log):
		c.fail("left", "node-%d signs a batch of node-%d's that is of epoch %d, in which that one has no place", n.id+1, log+1, b.Epoch)
		return
	case log == n.id: // it may have been sealed before its author left
		return
	case !entered.Has(n.id):
		c.fail("left", "node-%d votes for the log of node-%d at size %d, and is no member of epoch %d", n.id+1, log+1, size, n.entered)
		return
	}
	if n.handedOver < n.entered {
		c.fail("handover", "node-%d votes in epoch %d, and is handed over epoch %d", n.id+1, n.entered, n.handedOver)
		return
	}
	if b.Epoch >= c.epochs.fences[n.id] {
		return
	}
	for number := b.Epoch + 1; number <= c.w.epochs.Latest().Epoch(); number++ {
		if size <= c.epochs.told[report{log, number}] {
			return
		}
	}
	c.fail("fence", "node-%d votes for a batch of node-%d's that ends at %d and is of epoch %d, and has reported for epoch %d, of which nobody has told it that",
		n.id+1, log+1, size, b.Epoch, c.epochs.fences[n.id])
}

// verify holds a proof to the network's policy as it is now.
func (c *checker) verify(p given) {
	if _, err := proof.Verify(c.w.policy, p.proof, proof.Claims{Hash: p.hash}); err != nil {
		c.fail("proof", "leaf %d of node-%d, by the policy of epoch %d: %v", p.index, p.log+1, c.w.epochs.Latest().Epoch(), err)
	}
}

// turnTwin has the dumb twin come to the epochs that begin up to a place of the
// ledger, from a number on, and returns the number of the one behind.
func (c *checker) turnTwin(twin *plain.Ledger, next, place uint64) uint64 {
	for ; next <= c.w.epochs.Latest().Epoch() && c.epochs.places[next] <= place; next++ {
		e, _ := c.w.epochs.At(next)
		var names []string
		for _, id := range e.Members() {
			names = append(names, e.Name(id))
		}
		twin.Turn(names)
		twin.Objects = func(body []byte) string { return objection(e, body) }
	}
	return next
}

// objection says why a committee cannot be changed as a proposal asks, or nothing.
func objection(e *quorum.Committee, body []byte) string {
	p, err := protocol.CheckProposal(body, len(body))
	if err != nil {
		return err.Error()
	}
	ch, err := p.Action.Change()
	if err != nil {
		return err.Error()
	}
	is := protocol.Epoch{Number: e.Epoch(), Members: e.Members(), Params: e.Params(), Since: e.Since()}
	var leaves *protocol.MemberID
	for _, id := range e.Members() {
		if e.Name(id) == ch.Name {
			leaves = &id
		}
	}
	switch {
	case ch.Name != "" && leaves == nil:
		return "action.payload.name: " + ch.Name + " is not a member"
	case ch.Type == protocol.ActionParamsSet:
		err = ch.Params.Apply(e.Params()).Validate()
	case ch.Member == nil:
	case ch.Member.Name == ch.Name:
		err = protocol.CheckMove("action.payload.member", e.Network(), e.Roster(), &is, *leaves, ch.Member)
	default:
		err = protocol.CheckJoin("action.payload.member", e.Network(), e.Roster(), &is, ch.Member, leaves)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}
