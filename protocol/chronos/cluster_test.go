package chronos

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/internal/fixture"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// A cluster hosts machines on a virtual clock. Its members author and certify
// batches as witness machines do, without the signatures: what one seals, all
// have certified a while later. The seed is its whole input.
type cluster struct {
	*fixture.Network // the founding one, with the keys of all that may ever join
	all              []protocol.Member
	t                testing.TB
	rng              *rand.Rand
	params           protocol.Params
	members          []*member
	now              protocol.Micros
	queue            eventQueue
	events           int

	// certify is how long a certificate takes, travel how long a message or a
	// certificate is on its way, and sync how long a disk takes.
	certify, travel, sync protocol.Micros
	// jitter is how much longer than that a certificate may be on its way.
	jitter   protocol.Micros
	ledger   map[uint64]stretch       // by position, as the first has told it
	epochs   *quorum.Epochs           // that anybody has come to
	proposed map[protocol.Hash]bool   // what is ordered
	signed   map[string]protocol.Hash // by voter and size
	certs    map[uint64]protocol.Hash // by size
	sent     int                      // messages
	stalled  *member                  // whose disk syncs nothing
	tamper   func(wire.Message, protocol.MemberID, protocol.MemberID) wire.Message
}

type stretch struct {
	log   protocol.MemberID
	old   uint64
	count int
}

type event struct {
	at  protocol.Micros
	n   int
	run func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].n < q[j].n
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any     { old := *q; e := old[len(old)-1]; *q = old[:len(old)-1]; return e }

func newCluster(t testing.TB, n int) *cluster { return newNetwork(t, n, n) }

// newNetwork returns a network of n members, to which others may join. These are
// there, and down.
func newNetwork(t testing.TB, n, all int) *cluster {
	whole := fixture.New(t, all)
	c := &cluster{
		Network: fixture.New(t, n), all: whole.Genesis.Members,
		t: t, rng: rand.New(rand.NewPCG(uint64(n), 1)), now: fixture.Start,
		certify: 2 * protocol.Millisecond, travel: protocol.Millisecond, sync: protocol.Millisecond,
		proposed: map[protocol.Hash]bool{},
		ledger:   map[uint64]stretch{}, signed: map[string]protocol.Hash{}, certs: map[uint64]protocol.Hash{},
	}
	c.params = c.Genesis.Params
	c.Signers, c.epochs = whole.Signers, quorum.NewEpochs(c.Committee)
	for i := range all {
		c.members = append(c.members, &member{
			c: c, id: protocol.MemberID(i), committee: c.Committee, newest: map[protocol.MemberID]protocol.Micros{},
			author: author{named: make([]uint64, all), certified: make([]uint64, all)},
		})
	}
	for _, m := range c.members[:n] {
		m.boot()
	}
	return c
}

func (c *cluster) after(d protocol.Micros, run func()) {
	c.events++
	heap.Push(&c.queue, event{c.now + d, c.events, run})
}

// run goes on for a time, or until done answers true.
func (c *cluster) run(d protocol.Micros, done func() bool) bool {
	end := c.now + d
	for len(c.queue) > 0 && c.queue[0].at <= end {
		if done != nil && done() {
			return true
		}
		e := heap.Pop(&c.queue).(event)
		c.now = max(c.now, e.at)
		e.run()
	}
	if done != nil && done() {
		return true
	}
	c.now = end
	return false
}

// must runs until something is so.
func (c *cluster) must(what string, d protocol.Micros, done func() bool) {
	c.t.Helper()
	if !c.run(d, done) {
		for _, m := range c.members {
			if m.machine != nil {
				c.t.Logf("member %d: %+v %+v", m.id, m.machine.Status(), m.author)
			}
		}
		c.t.Fatalf("not %s within %d ms", what, d/protocol.Millisecond)
	}
}

// settled reports whether all that run have the same ledger, which holds all
// that was submitted to them, under a certificate.
func (c *cluster) settled() bool {
	var first *Status
	for _, m := range c.members {
		if m.machine == nil || m.liar {
			continue
		}
		st := m.machine.Status()
		if first == nil {
			first = &st
		}
		if len(m.author.pending) > 0 || st.Unordered > 0 || st.Size != first.Size || st.Root != first.Root || st.Epoch != first.Epoch {
			return false
		}
		// Who is not known gets no answers, and so may lack the newest certificate.
		if st.Checkpoint != st.Size && m.machine.committee.Known(m.id) {
			return false
		}
	}
	return true
}

// deliver carries a message over the network, through the codec.
func (c *cluster) deliver(from, to protocol.MemberID, msg wire.Message) {
	c.t.Helper()
	if c.tamper != nil {
		if msg = c.tamper(msg, from, to); msg == nil {
			return
		}
	}
	data, err := wire.Encode(msg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.sent++
	c.after(c.travel, func() {
		decoded, err := wire.Decode(data, wire.MaxMessage(c.params))
		if err != nil {
			c.t.Fatalf("own message does not decode: %v", err)
		}
		if m := c.members[to]; m.machine != nil {
			m.step(Receive{From: from, Msg: decoded.(*wire.LedgerHead)})
		}
	})
}

// hold holds what a member says of its ledger to what it may say.
func (c *cluster) hold(m *member, head *wire.LedgerHead) {
	c.t.Helper()
	if head.Voter != m.id || head.Head.Size == 0 {
		return
	}
	key := fmt.Sprintf("%d/%d", m.id, head.Head.Size)
	if old, ok := c.signed[key]; ok && old != head.Head.Root {
		c.t.Fatalf("member %d cosigns %s and %s for the ledger at size %d", m.id, old, head.Head.Root, head.Head.Size)
	}
	c.signed[key] = head.Head.Root
	if !m.machine.committeeAt(head.Head.Size).Has(m.id) {
		c.t.Fatalf("member %d cosigns the ledger at size %d, where it does not vote", m.id, head.Head.Size)
	}
	if st, _, _ := m.store.State(); st.Size < head.Head.Size {
		c.t.Fatalf("member %d cosigns its ledger at size %d, and has it durable up to %d", m.id, head.Head.Size, st.Size)
	}
}

// ordered holds a ledger to what others have told of it.
func (c *cluster) ordered(m *member, e Ordered) {
	c.t.Helper()
	for _, r := range e.Runs {
		got := stretch{r.Log, r.Old, len(r.Entries)}
		if want, ok := c.ledger[r.Position]; ok && want != got {
			c.t.Fatalf("member %d has %+v at place %d, another %+v", m.id, got, r.Position, want)
		}
		if m.told != 0 && r.Position != m.told {
			c.t.Fatalf("member %d goes on at place %d behind %d", m.id, r.Position, m.told)
		}
		m.told = r.Position + uint64(len(r.Entries))
		c.ledger[r.Position] = got
	}
}

// carryOut does what an effect asks for.
func (c *cluster) carryOut(m *member, e machine.Effect) {
	life := m.life
	alive := func(run func()) func() {
		return func() {
			if m.life == life {
				run()
			}
		}
	}
	switch e := e.(type) {
	case machine.Persist:
		m.unsynced = append(m.unsynced, e)
		if !e.Lazy && c.stalled != m {
			c.after(c.sync, alive(func() { m.sync(e.Seq) }))
		}
	case machine.Publish:
		c.hold(m, e.Msg.(*wire.LedgerHead))
		for _, to := range c.members {
			if to.id != m.id {
				c.deliver(m.id, to.id, e.Msg)
			}
		}
	case machine.Send:
		c.hold(m, e.Msg.(*wire.LedgerHead))
		c.deliver(m.id, e.To, e.Msg)
	case machine.Timer:
		m.timers++
		timer := m.timers
		c.after(max(e.At-m.skew-c.now, 0), alive(func() {
			if m.timers == timer {
				m.ticks++
				m.step(Tick{})
			}
		}))
	case EpochBegun:
		c.begun(m, e.Committee)
	case Advance:
		if e != (Advance{}) && !m.machine.committee.Has(m.id) {
			c.t.Fatalf("member %d is told %+v and does not vote", m.id, e)
		}
		m.author.advance = e
		m.advances = append(m.advances, e)
		c.after(20, alive(m.seal))
	case Ordered:
		c.ordered(m, e)
		for _, change := range e.Changes {
			c.proposed[change.Proposal.ID] = true
		}
	case Checkpointed:
		if old, ok := c.certs[e.Cert.Size()]; ok && old != e.Cert.Root() {
			c.t.Fatalf("two certificates of the ledger at size %d", e.Cert.Size())
		}
		c.certs[e.Cert.Size()] = e.Cert.Root()
		if e.Cert.Epoch() != m.machine.committeeAt(e.Cert.Size()).Epoch() {
			c.t.Fatalf("the certificate of the ledger at size %d is of epoch %d", e.Cert.Size(), e.Cert.Epoch())
		}
		m.checkpoints = append(m.checkpoints, e)
	case Alarm:
		m.alarms = append(m.alarms, e)
	case Halted:
		m.halts = append(m.halts, e)
	case machine.Blame:
		m.blames = append(m.blames, e)
	default:
		c.t.Fatalf("unknown effect %T", e)
	}
}
