package simulation

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/witness"
)

// council is who uses Accord: clients that propose at any member, on a few subjects
// that they contend for, and operators, who vote where no rule does.
type council struct {
	w        *world
	rng      *rand.Rand
	made     int // proposals
	errands  map[uint64]*errand
	petition map[protocol.Hash]*petition
	// petitions are those of clients, in the order in which they were made.
	petitions []*petition
	// versions are those of the subjects, as clients are told of them.
	versions map[string]uint64
}

// errand is an entry for Accord on its way into a member's log.
type errand struct {
	node     *node
	life     int
	kind     protocol.Kind
	hash     protocol.Hash
	proposal protocol.Hash
}

// petition is a client's proposal, and what the client sees of it.
type petition struct {
	proposal protocol.Proposal
	node     protocol.MemberID
	life     int
	called   protocol.Micros
	until    protocol.Micros // when the client stops waiting
	answered protocol.Micros // when it was told the decision; 0 for never
	status   accord.Status
	// never says that the member has told that it is in no log.
	never bool
	probe bool
}

// castTimeout is how long a vote may take to come into the log before it is cast
// again.
const castTimeout = 10 * protocol.Second

// sides are the actions that members' rules tell apart.
var sides = []string{"sim.red", "sim.green", "sim.blue"}

// probeAction is what every member accepts.
const probeAction = "sim.probe"

func newCouncil(w *world) *council {
	return &council{
		w: w, rng: newStream(w.seed, streamCouncil), errands: map[uint64]*errand{},
		petition: map[protocol.Hash]*petition{}, versions: map[string]uint64{},
	}
}

func (c *council) start() {
	if l := &c.w.scenario.Load; l.Rate*l.Proposals > 0 {
		c.gather()
	}
}

// gather waits for the next occasion to propose something.
func (c *council) gather() {
	l := c.w.load
	mean := protocol.Micros(float64(protocol.Second) / (c.w.scenario.Load.Rate * c.w.scenario.Load.Proposals * min(l.factor, maxFactor)))
	l.w.sched.after(exponential(c.rng, max(mean, 1)), func() {
		if l.stopped {
			return
		}
		c.occasion()
		c.gather()
	})
}

// occasion has clients propose: half of the time several at once, on one subject.
func (c *council) occasion() {
	subject, rivals := "", 1
	switch c.rng.IntN(4) {
	case 0, 1:
		rivals = 2 + c.rng.IntN(3)
		fallthrough
	case 2:
		subject = fmt.Sprintf("subject-%d", c.rng.IntN(3))
	}
	members := c.w.members()
	first := c.rng.IntN(len(members))
	for i := range rivals {
		c.ask(members[(first+i)%len(members)], subject)
	}
}

// ask has a client propose something to a member.
func (c *council) ask(n *node, subject string) {
	if !n.up || n.liar != nil && n.liar.deaf() {
		return
	}
	t := c.term(n, subject)
	if c.rng.IntN(32) == 0 {
		t.participants = append(t.participants, "stranger")
	}
	p := c.propose(n, t)
	if p == nil {
		return
	}
	c.w.stats.Proposed++
	id, anybody := p.proposal.ID, c.w.nodes[c.rng.IntN(len(c.w.nodes))]
	switch c.rng.IntN(12) {
	case 0:
		c.interfere(n, id, protocol.KindWithdraw, protocol.Withdrawal{Proposal: id}.Append(nil))
	case 1: // who has not proposed it
		c.interfere(anybody, id, protocol.KindWithdraw, protocol.Withdrawal{Proposal: id}.Append(nil))
	case 2, 3, 4: // who may not be asked, or votes by a rule too
		c.interfere(anybody, id, protocol.KindVote, protocol.Vote{Proposal: id, Accept: true, Reason: "by hand"}.Append(nil))
	}
}

// interfere has a member's operator say something about a proposal, once the ledger
// there has it.
func (c *council) interfere(n *node, id protocol.Hash, kind protocol.Kind, body []byte) {
	c.w.sched.after(between(c.rng, 0, 500*protocol.Millisecond), func() {
		if _, known, err := n.disk.ledger.Case(id); known && err == nil && !c.w.load.stopped {
			c.submit(n, kind, body, nil)
		}
	})
}

// terms are what a proposal says.
type terms struct {
	action, subject, proposer string
	participants              []string
	threshold                 int
	deadline                  protocol.Micros
	expected                  int64 // or −1
}

// term makes the terms of a client's proposal: mostly such as have a chance.
func (c *council) term(n *node, subject string) terms {
	t := terms{action: sides[c.rng.IntN(len(sides))], subject: subject, proposer: c.w.committee.Name(n.id), expected: -1}
	members := c.w.members()
	for _, i := range c.rng.Perm(len(members)) {
		t.participants = append(t.participants, c.w.committee.Name(members[i].id))
	}
	if c.rng.IntN(3) == 0 {
		t.participants = t.participants[:1+c.rng.IntN(len(t.participants))]
	}
	t.threshold = protocol.DefaultThreshold(len(t.participants))
	if c.rng.IntN(3) == 0 {
		t.threshold = 1 + c.rng.IntN(len(t.participants))
	}
	at := n.clock.read(c.w.sched.now)
	if c.rng.IntN(5) < 2 {
		t.deadline = at + between(c.rng, 50*protocol.Millisecond, 800*protocol.Millisecond)
	} else {
		t.deadline = at + between(c.rng, 2*protocol.Second, 8*protocol.Second)
	}
	if subject != "" && c.rng.IntN(8) > 0 {
		t.expected = int64(c.versions[subject])
		if c.rng.IntN(8) == 0 {
			t.expected = max(0, t.expected-1+2*c.rng.Int64N(2))
		}
	}
	return t
}

// body is the proposal that has the terms, or nil with a violation if there can be
// none.
func (c *council) body(t terms) *protocol.Proposal {
	c.made++
	slices.Sort(t.participants)
	more := ""
	if t.subject != "" {
		more += fmt.Sprintf(`,"subject":%q`, t.subject)
	}
	if t.expected >= 0 {
		more += fmt.Sprintf(`,"expected_version":%d`, t.expected)
	}
	p, err := protocol.ParseProposal(fmt.Appendf(nil,
		`{"action":{"type":%q,"payload":{}},"proposer":%q,"participants":["%s"],"threshold":%d,"deadline":%d,"nonce":"%x"%s}`,
		t.action, t.proposer, strings.Join(t.participants, `","`), t.threshold, max(1, t.deadline.Millis()), c.made, more), c.w.params.MaxEventBytes)
	if err != nil {
		c.w.check.fail("codec", "a proposal cannot be read: %v", err)
		return nil
	}
	return &p
}

// propose submits a proposal for a client, who waits for what it comes to.
func (c *council) propose(n *node, t terms) *petition {
	p := c.body(t)
	if p == nil {
		return nil
	}
	now := c.w.sched.now
	ask := &petition{proposal: *p, node: n.id, life: n.life, called: now, until: now + between(c.rng, protocol.Second, 10*protocol.Second)}
	c.petition[p.ID] = ask
	c.petitions = append(c.petitions, ask)
	c.submit(n, protocol.KindPropose, p.Canonical, nil)
	return ask
}

// submit has a member put an entry for Accord into its log.
func (c *council) submit(n *node, kind protocol.Kind, body []byte, after []protocol.Seen) {
	if !n.up || n.liar != nil && n.liar.deaf() {
		return
	}
	hash, err := protocol.CheckBody(kind, body, c.w.params.MaxEventBytes)
	if err != nil {
		c.w.check.fail("codec", "a %s cannot be read: %v", kind, err)
		return
	}
	e := &errand{node: n, life: n.life, kind: kind, hash: hash}
	wait := c.w.scenario.Load.Timeout.micros()
	switch kind {
	case protocol.KindPropose:
		e.proposal = hash
		if ask := c.petition[hash]; ask != nil && ask.probe {
			wait = anchorBound
		}
	case protocol.KindVote:
		if v, err := protocol.CheckVote(body); err == nil {
			e.proposal = v.Proposal
		}
		wait = castTimeout
	}
	l := c.w.load
	l.next++
	id := l.next
	l.open++
	c.errands[id] = e
	n.witness.post(&n.witness.submits, witness.Submit{ID: id, Kind: kind, Body: body, Hash: hash, After: after})
	c.w.sched.after(wait, func() {
		if c.errands[id] == e && n.life == e.life {
			n.witness.post(&n.witness.submits, witness.Withdraw{ID: id})
		}
	})
}

// take returns an errand that is over now, or nil.
func (c *council) take(id uint64) *errand {
	e := c.errands[id]
	if e != nil {
		delete(c.errands, id)
		c.w.load.open--
	}
	return e
}

// resolved sees that an entry is certified. It answers false if it is not one of
// Accord's.
func (c *council) resolved(n *node, e witness.Resolved, it witness.ResolvedItem) bool {
	errand := c.take(it.ID)
	if errand == nil {
		return false
	}
	if it.Entry.Hash != errand.hash || it.Entry.Kind != errand.kind {
		c.w.check.fail("answers", "submission %d is answered with another entry", it.ID)
	}
	c.w.trace.note(c.w.sched.now, traceResolve, int(n.id), nil, it.ID, it.Index)
	c.w.check.acknowledged(n, e, it)
	return true
}

// refused sees that an entry is in no log, and never will be.
func (c *council) refused(id uint64) bool {
	e := c.take(id)
	if e != nil {
		c.missed(e)
	}
	return e != nil
}

// withdrawn sees that the time of an entry is over.
func (c *council) withdrawn(w witness.Withdrawn) bool {
	e := c.take(w.ID)
	if e != nil && !w.InLog {
		c.missed(e)
	}
	return e != nil
}

// missed has a vote that is in no log be cast again.
func (c *council) missed(e *errand) {
	if ask := c.petition[e.proposal]; ask != nil && e.kind == protocol.KindPropose && e.node.liar == nil {
		ask.never = true
	}
	if e.kind == protocol.KindVote && e.node.liar == nil {
		e.node.accord.post(&e.node.accord.internal, accord.Unvoted{Proposal: e.proposal})
	}
}

// interrupted forgets what was on its way at a member that has stopped.
func (c *council) interrupted(id protocol.MemberID) {
	for k, e := range c.errands {
		if e.node.id == id {
			c.take(k)
		}
	}
}

// cast puts a vote into its member's log.
func (c *council) cast(n *node, e accord.Cast) {
	if n.liar == nil || !n.liar.does["withhold"] {
		c.w.stats.Votes++
		c.submit(n, protocol.KindVote, e.Body, e.After)
	}
}

// consulted has a member's rules decide on a proposal, now, later or never.
func (c *council) consulted(n *node, p protocol.Proposal) {
	if p.Action.IsNetwork() {
		c.w.reform.consulted(n, &p)
		return
	}
	rule := c.rule(n, p.Action.Type)
	accept := rule%3 > 0
	switch {
	case p.Action.Type == probeAction || rule < 60:
		c.decide(n, &p, 0, true)
	case rule < 72:
		c.decide(n, &p, 0, false)
	case rule < 78: // nobody answers
	case rule < 90: // its operator does, and says something else later
		c.decide(n, &p, between(c.rng, 100*protocol.Millisecond, 2*protocol.Second), accept)
		c.decide(n, &p, between(c.rng, 2*protocol.Second, 3*protocol.Second), !accept)
	default: // a webhook does, slowly
		c.decide(n, &p, between(c.rng, 20*protocol.Millisecond, 3*protocol.Second), accept)
	}
}

// rule is a number below 100 for each member and action, which the seed chooses.
func (c *council) rule(n *node, action string) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %d %s", c.w.seed, n.id, action) // a hash takes everything
	return h.Sum64() % 100
}

// decide has a member vote after some time.
func (c *council) decide(n *node, p *protocol.Proposal, after protocol.Micros, accept bool) {
	life := n.life
	verdict := accord.Verdict{Proposal: p.ID, Accept: accept}
	c.w.sched.after(after, func() {
		if n.life == life {
			n.accord.post(&n.accord.internal, verdict)
		}
	})
}

// settled tells clients, and who takes part, what has become of proposals.
func (c *council) settled(n *node, changes []accord.Change) {
	if n.liar != nil {
		return
	}
	for _, ch := range changes {
		first := c.w.check.settled(n, ch)
		if ch.Status == accord.Open {
			continue
		}
		p := ch.Proposal
		if first {
			c.w.reform.settled(p, ch.Status)
		}
		if first && ch.Status == accord.Accepted {
			c.versions[p.Subject]++
		}
		ask := c.petition[p.ID]
		if ask != nil && ask.node == n.id && ask.life == n.life && ask.answered == 0 && c.w.sched.now <= ask.until {
			ask.answered, ask.status = c.w.sched.now, ch.Status
		}
		if ch.Status == accord.Accepted && c.rng.IntN(4) == 0 && !c.w.load.stopped {
			r := protocol.Report{Proposal: p.ID, Failed: c.rng.IntN(3) == 0}
			c.submit(n, protocol.KindReport, r.Append(nil), nil)
		}
	}
}

// probe has something be proposed that all who are well must accept.
func (c *council) probe() {
	var well []string
	var first *node
	for _, n := range c.w.nodes {
		if c.w.expected(n) && n.member() && !c.w.stopped(n) {
			well = append(well, c.w.committee.Name(n.id))
			if first == nil {
				first = n
			}
		}
	}
	if first == nil || c.w.scenario.Load.Proposals == 0 {
		return
	}
	p := c.body(terms{
		action: probeAction, proposer: c.w.committee.Name(first.id), participants: well, threshold: len(well),
		deadline: first.clock.read(c.w.sched.now) + 2*anchorBound, expected: -1,
	})
	if p == nil {
		return
	}
	ask := &petition{proposal: *p, node: first.id, life: first.life, called: c.w.sched.now, until: c.w.sched.now + 2*anchorBound, probe: true}
	c.petition[p.ID] = ask
	c.petitions = append(c.petitions, ask)
	c.submit(first, protocol.KindPropose, p.Canonical, nil)
}

// probed returns a probe that waits for its decision, or nil.
func (c *council) probed() *petition {
	if k := len(c.petitions); k > 0 && c.petitions[k-1].probe && c.petitions[k-1].answered == 0 {
		return c.petitions[k-1]
	}
	return nil
}
