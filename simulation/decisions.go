package simulation

import (
	"fmt"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/accord/plain"
	"github.com/strataos/strataos/protocol/chronos"
)

// endBound is within what time of its deadline, or of when all has converged, a
// proposal must have come to an end.
const endBound = 5 * protocol.Second

// decisionCheck is what proposals have come to, as whoever came first has told it.
type decisionCheck struct {
	ended map[protocol.Hash]accord.Status
	// plainly are the decisions by proposal, as the dumb twin has them in the end.
	plainly map[protocol.Hash]plain.Decision
	order   []protocol.Hash // of plainly
	// times are those of all batches that are certified.
	times map[protocol.Micros]bool
}

func newDecisionCheck() decisionCheck {
	return decisionCheck{
		ended: map[protocol.Hash]accord.Status{}, plainly: map[protocol.Hash]plain.Decision{}, times: map[protocol.Micros]bool{},
	}
}

// settled sees what an honest member makes of a proposal. It answers true if that
// has come to an end, and nobody has told so before.
func (c *checker) settled(n *node, ch accord.Change) bool {
	p := ch.Proposal
	if ch.Status == accord.Open {
		c.w.trace.say(c.w.sched.now, int(n.id), "has proposal %s open", p.ID)
		return false
	}
	old, again := c.decisions.ended[p.ID]
	if again && old != ch.Status {
		c.fail("decision", "proposal %s is %s at node-%d, and was %s before", p.ID, ch.Status, n.id+1, old)
	}
	if healed := c.w.convergedAt; healed > 0 && c.w.sched.now > max(healed, p.Deadline)+endBound {
		c.fail("ends", "proposal %s comes to an end at node-%d %s behind its deadline", p.ID, n.id+1, text(c.w.sched.now-p.Deadline))
	}
	if ch.Status == accord.Expired && p.Deadline > c.latest()+c.w.params.MaxFuture() {
		c.fail("ends", "proposal %s expires at node-%d %s before its deadline, which nobody's clock is near to", p.ID, n.id+1, text(p.Deadline-c.w.sched.now))
	}
	c.w.trace.say(c.w.sched.now, int(n.id), "has proposal %s %s", p.ID, ch.Status)
	if !again {
		c.decisions.ended[p.ID] = ch.Status
		c.w.stats.Decided[ch.Status.String()]++
	}
	return !again
}

// latest is the latest time that the clock of a member which does not lie has shown.
func (c *checker) latest() protocol.Micros {
	var t protocol.Micros
	for _, n := range c.w.nodes {
		if n.liar == nil {
			t = max(t, n.latest)
		}
	}
	return t
}

// checkDecisions has the dumb twin read the ledger of a member, and compares what
// it comes to with what the ledger says, entry for entry; and the stored decisions
// of all others with that member's.
func (c *checker) checkDecisions() {
	var first *node
	for _, n := range c.w.nodes {
		switch {
		case !c.w.expected(n) || !n.up:
		case first == nil:
			first = n
			c.readPlainly(n)
		default:
			c.compareDecisions(first, n)
		}
	}
	c.checkPetitions()
}

func (c *checker) readPlainly(n *node) {
	twin := &plain.Ledger{}
	next := c.turnTwin(twin, 0, 0)
	var due []plain.Decision // what the ledger must have next
	var at protocol.Micros
	for _, r := range n.disk.ledger.Runs() {
		if next = c.turnTwin(twin, next, r.Position); r.LedgerTime < max(at, r.Time) || !c.decisions.times[r.LedgerTime] {
			c.fail("decision", "the ledger's time is %d at place %d, which is no batch's, or not the largest", r.LedgerTime, r.Position)
			return
		}
		at = r.LedgerTime
		entries, err := c.actsOf(n, &r, twin)
		var more []plain.Decision
		if err == nil && (r.Log != protocol.Accord || len(due) == 0) {
			more, err = twin.Add(c.nameOf(r.Log), at, entries)
		}
		if err != nil {
			c.fail("codec", "node-%d has at place %d what cannot be read: %v", n.id+1, r.Position, err)
			return
		}
		if r.Log != protocol.Accord && len(due) > 0 {
			c.fail("decision", "the ledger lacks the decision %s at place %d", due[0].Body, due[0].Position)
			return
		}
		if due = append(due, more...); r.Log != protocol.Accord {
			if len(due) > 0 && due[0].Position <= r.Position {
				c.fail("decision", "the ledger lacks the decision %s at place %d", due[0].Body, due[0].Position)
				return
			}
			continue
		}
		if due = c.matchDecisions(n, &r, due); len(c.violations) > 0 {
			return
		}
	}
	if len(due) > 0 {
		c.fail("decision", "the ledger ends without the decision %s", due[0].Body)
	}
}

// actsOf are the entries of a run as the twin reads them. An honest member's vote
// is never in the ledger before what it is about.
func (c *checker) actsOf(n *node, r *chronos.Run, twin *plain.Ledger) ([]plain.Entry, error) {
	if r.Log == protocol.Accord {
		return nil, nil
	}
	entries := make([]plain.Entry, len(r.Entries))
	for i, e := range r.Entries {
		if entries[i].Kind = e.Kind.String(); !e.Kind.IsAccord() {
			continue
		}
		encoded, err := n.disk.MemoryStorage.BatchAt(r.Log, r.Old)
		if err != nil {
			return nil, err
		}
		b, err := c.w.decoded.batch(encoded, c.w.maxMessage)
		if err != nil {
			return nil, err
		}
		if b.Old != r.Old || len(b.Items) != len(r.Entries) {
			return nil, fmt.Errorf("the batch that begins at %d has %d entries", b.Old, len(b.Items))
		}
		entries[i].Body = b.Items[i].Body
		if v, err := protocol.CheckVote(b.Items[i].Body); e.Kind == protocol.KindVote && err == nil && c.w.nodes[r.Log].liar == nil && !twin.Has(v.Proposal.String()) {
			c.fail("decision", "node-%d's vote on proposal %s is at place %d, where there is no such proposal yet", r.Log+1, v.Proposal, r.Position)
		}
	}
	return entries, nil
}

// matchDecisions compares a run of decisions with those that are due, and returns
// what of these is due behind it.
func (c *checker) matchDecisions(n *node, r *chronos.Run, due []plain.Decision) []plain.Decision {
	b, err := c.w.decoded.batch(n.disk.ledger.Decision(r.Old), c.w.maxMessage)
	if err != nil || b.Old != r.Old || len(b.Items) != len(r.Entries) {
		c.fail("decision", "node-%d does not store the decisions at place %d: %v", n.id+1, r.Position, err)
		return nil
	}
	for i, e := range r.Entries {
		at := r.Position + uint64(i)
		switch body := b.Items[i].Body; {
		case len(due) == 0 || due[0].Position != at || string(due[0].Body) != string(body):
			want := "none"
			if len(due) > 0 {
				want = fmt.Sprintf("%s at place %d", due[0].Body, due[0].Position)
			}
			c.fail("decision", "the ledger has at place %d the decision %s; what was said comes to %s", at, body, want)
			return nil
		case b.Items[i].Entry(b.Time) != e:
			c.fail("decision", "the entry at place %d is not that of the decision that node-%d stores", at, n.id+1)
		}
		id, err := protocol.ParseHash(due[0].ID)
		if err != nil {
			c.fail("decision", "%v", err)
			return nil
		}
		if stored, ok, err := n.disk.ledger.Case(id); err != nil || !ok || stored.DecidedAt != at || string(stored.Decision.Append(nil)) != string(due[0].Body) {
			c.fail("decision", "node-%d keeps of proposal %s that it was decided at place %d: %s", n.id+1, id, stored.DecidedAt, stored.Decision.Append(nil))
		}
		c.decisions.plainly[id], c.decisions.order = due[0], append(c.decisions.order, id)
		due = due[1:]
	}
	return due
}

// compareDecisions compares what two members store of decisions.
func (c *checker) compareDecisions(a, b *node) {
	for _, r := range a.disk.ledger.Runs() {
		if r.Log == protocol.Accord && string(a.disk.ledger.Decision(r.Old)) != string(b.disk.ledger.Decision(r.Old)) {
			c.fail("decision", "node-%d and node-%d store other decisions at place %d", a.id+1, b.id+1, r.Position)
			return
		}
	}
}

// checkPetitions compares what clients have been told with the ledger: decisions
// are linearizable too, and what is in no log is in no ledger.
func (c *checker) checkPetitions() {
	all := c.w.council.petitions
	for _, id := range c.decisions.order {
		d := c.decisions.plainly[id]
		if c.w.council.petition[id] == nil && d.Subject != "" && d.Status == accord.Accepted.String() { // a liar's
			c.w.stats.changes = append(c.w.stats.changes, change{client: -1, subject: d.Subject, expected: -1, accepted: true, version: d.Version})
		}
	}
	for _, p := range all {
		d, decided := c.decisions.plainly[p.proposal.ID]
		switch {
		case p.answered > 0 && (!decided || d.Status != p.status.String()):
			c.fail("decision", "the client of proposal %s was told %s, the ledger has %q", p.proposal.ID, p.status, d.Status)
		case p.never && decided:
			c.fail("answers", "the client of proposal %s was told that it is in no log, and it is %s", p.proposal.ID, d.Status)
		case !decided:
			continue
		}
		c.changed(p, d)
		for _, before := range all {
			if b, ok := c.decisions.plainly[before.proposal.ID]; ok && before.answered > 0 && before.answered < p.called && b.Position >= d.Position {
				c.fail("linearizable", "proposal %s was decided at place %d, though proposal %s had been answered, with place %d, before it was made",
					p.proposal.ID, d.Position, before.proposal.ID, b.Position)
				return
			}
		}
	}
}

// changed notes what became of a client's proposal on a subject.
func (c *checker) changed(p *petition, d plain.Decision) {
	accepted := d.Status == accord.Accepted.String()
	if p.proposal.Subject == "" || p.answered == 0 && !accepted {
		return
	}
	ch := change{client: int(p.node), subject: d.Subject, called: p.called, answered: p.answered, expected: -1, accepted: accepted, version: d.Version}
	if p.proposal.Conditional {
		ch.expected = int64(p.proposal.ExpectedVersion)
	}
	c.w.stats.changes = append(c.w.stats.changes, ch)
}

func (c *checker) nameOf(log protocol.MemberID) string { return c.w.committee.Name(log) }
