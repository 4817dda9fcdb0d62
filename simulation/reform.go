package simulation

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
)

// reform is how the network changes: its operators have agreed on what comes next,
// one of them has it proposed, and all have their nodes accept it.
type reform struct {
	w   *world
	rng *rand.Rand
	// left is how many changes are to come, and grows whether there are to be more
	// members.
	left  int
	grows bool
	// agreed is what is proposed now, and attempt how often there was something.
	agreed  protocol.Hash
	attempt int
	// leavers are those that have left and may be shut down.
	leavers []*node
}

// Bounds of what operators are patient with.
const (
	reformDeadline = 3 * protocol.Second
	// reformGrace is how much later than that it may be before they try something else.
	reformGrace = protocol.Second
)

func newReform(w *world) *reform {
	return &reform{w: w, rng: newStream(w.seed, streamReform), left: w.scenario.Members.Changes, grows: true}
}

func (r *reform) start() {
	if r.left > 0 {
		r.next()
	}
}

// finished reports whether all changes are made.
func (r *reform) finished() bool { return r.left == 0 && r.w.scenario.Members.Changes > 0 }

// next has something be proposed after a while.
func (r *reform) next() {
	r.agreed = protocol.Hash{}
	r.attempt++
	attempt := r.attempt
	r.w.sched.after(exponential(r.rng, r.w.scenario.Members.Every.micros()), func() {
		if attempt == r.attempt && !r.w.load.stopped && r.left > 0 {
			r.propose()
		}
	})
}

// propose has a member propose a change, and waits for what becomes of it.
func (r *reform) propose() {
	r.retire()
	members := r.w.members()
	n := members[r.rng.IntN(len(members))]
	if !n.up || n.standing().Epoch() != r.w.epochs.Latest().Epoch() || n.liar != nil && n.liar.deaf() {
		r.next()
		return
	}
	kind, payload := r.change()
	p := r.body(n, kind, payload)
	if p == nil {
		return
	}
	r.agreed = p.ID
	r.w.trace.say(r.w.sched.now, int(n.id), "is asked to propose %s, %s", kind, p.ID)
	r.w.council.submit(n, protocol.KindPropose, p.Canonical, nil)
	attempt := r.attempt
	r.w.sched.after(reformDeadline+reformGrace, func() {
		if attempt == r.attempt && !r.w.load.stopped {
			r.next()
		}
	})
}

func (r *reform) body(n *node, kind string, payload any) *protocol.Proposal {
	c := n.standing()
	participants := make([]string, 0, c.N())
	for _, id := range c.Members() {
		participants = append(participants, c.Name(id))
	}
	slices.Sort(participants)
	text, err := json.Marshal(map[string]any{
		"action":   map[string]any{"type": kind, "payload": payload},
		"proposer": c.Name(n.id), "participants": participants, "threshold": protocol.DefaultThreshold(c.N()),
		"deadline": (n.clock.read(r.w.sched.now) + reformDeadline).Millis(), "nonce": fmt.Sprintf("%x", r.attempt), "subject": protocol.NetworkSubject,
	})
	if err != nil {
		r.w.check.fail("codec", "%v", err)
		return nil
	}
	p, err := protocol.ParseProposal(text, r.w.params.MaxEventBytes)
	if err != nil {
		r.w.check.fail("codec", "a proposal cannot be read: %v", err)
		return nil
	}
	return &p
}

// change chooses what is to change: the number of members goes up to the most that
// there may be, and down to the least.
func (r *reform) change() (kind string, payload any) {
	m := r.w.scenario.Members
	c := r.w.epochs.Latest()
	switch {
	case c.N() >= m.Most:
		r.grows = false
	case c.N() <= m.Least:
		r.grows = true
	}
	some := c.Members()[r.rng.IntN(c.N())]
	grows := r.grows != (r.rng.IntN(8) == 0)
	switch k := r.rng.IntN(16); {
	case k == 0:
		return protocol.ActionParamsSet, map[string]any{"checkpoint_ms": 50 + r.rng.IntN(100), "max_batch_entries": 1024 + r.rng.IntN(3000)}
	case k == 1:
		moved := c.Roster()[some]
		moved.Addrs = []string{fmt.Sprintf("/ip4/10.0.0.%d/tcp/4100", r.rng.IntN(256))}
		return protocol.ActionMembershipReplace, map[string]any{"name": moved.Name, "member": moved}
	case k < 5 || grows && c.N() >= m.Most || !grows && c.N() <= m.Least:
		return protocol.ActionMembershipReplace, map[string]any{"name": c.Name(some), "member": r.joiner()}
	case grows:
		return protocol.ActionMembershipAdd, map[string]any{"member": r.joiner()}
	}
	return protocol.ActionMembershipRemove, map[string]any{"name": c.Name(some)}
}

// joiner is who is to join next. It is there already, and follows as far as it can.
func (r *reform) joiner() protocol.Member {
	id := r.w.epochs.Latest().Logs()
	if id == len(r.w.nodes) {
		n := r.w.enrol()
		r.w.sched.after(between(n.rng, 0, 300*protocol.Millisecond), func() { n.restart() })
	}
	m := r.w.committee.Roster()[id]
	m.Addrs = []string{}
	return m
}

// consulted has a member's operator say what the operators have agreed on.
func (r *reform) consulted(n *node, p *protocol.Proposal) {
	if r.rng.IntN(16) == 0 {
		r.w.council.decide(n, p, between(r.rng, 50*protocol.Millisecond, protocol.Second), p.ID == r.agreed)
		return
	}
	r.w.council.decide(n, p, 0, p.ID == r.agreed)
}

// settled sees what has become of a proposal.
func (r *reform) settled(p *protocol.Proposal, s accord.Status) {
	if p.ID == r.agreed && s != accord.Accepted {
		r.next()
	}
}

// begun sees that a change is made.
func (r *reform) begun() {
	c := r.w.epochs.Latest()
	r.left--
	before, _ := r.w.epochs.At(c.Epoch() - 1)
	for _, id := range before.Members() {
		if n := r.w.nodes[id]; !c.Has(id) && r.rng.IntN(6) > 0 {
			r.leavers = append(r.leavers, n)
		}
	}
	r.next()
}

// retire shuts those down for good who have left, where all that is of them is in the
// hands of those who go on.
func (r *reform) retire() {
	r.leavers = slices.DeleteFunc(r.leavers, func(n *node) bool {
		if !r.passedOn(n) || r.lastFounder(n) {
			return false
		}
		n.crash("shut down for good")
		n.gone = true
		return true
	})
}

// passedOn reports whether all honest members have been handed over an epoch that a
// node is not in: none of them needs it any more.
func (r *reform) passedOn(n *node) bool {
	for _, m := range r.w.members() {
		if r.w.honest(m.id) && (m.handedOver < r.leftAt(n) || !m.up) {
			return false
		}
	}
	return true
}

// lastFounder reports whether a node is all that those who join, and know nobody else
// at first, have to hear from.
func (r *reform) lastFounder(n *node) bool {
	founder := func(m *node) bool { return int(m.id) < r.w.scenario.Nodes }
	return founder(n) && !slices.ContainsFunc(r.w.nodes, func(m *node) bool { return m != n && founder(m) && !m.gone && r.w.honest(m.id) })
}

// leftAt is the first epoch that a node has left before.
func (r *reform) leftAt(n *node) uint64 {
	number := r.w.epochs.Latest().Epoch()
	for ; number > 0; number-- {
		if c, _ := r.w.epochs.At(number - 1); c.Has(n.id) {
			break
		}
	}
	return number
}
