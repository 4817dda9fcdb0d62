package accord

import (
	"cmp"
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/quorum"
)

// MaxOpen bounds the proposals of one member that are open at a time, and
// MaxOpenBytes how long they are together, unless there is one only: everybody has
// them in memory. What it proposes beyond is rejected.
const (
	MaxOpen      = 1024
	MaxOpenBytes = 4 << 20
)

// Storage reads what a Book's records have written. An error stops the node.
type Storage interface {
	// Case returns what is kept of a proposal, and false if nothing is.
	Case(id protocol.Hash) (Case, bool, error)
	// OpenCases returns the cases whose status is Open.
	OpenCases() ([]Case, error)
	// Subject returns what is kept of a subject, and false if nothing is.
	Subject(name string) (Subject, bool, error)
}

// Book keeps the proposals of a network. It is a pure function of the ledger's
// entries, in their order. It is not safe for concurrent use.
type Book struct {
	store Storage
	// committee is the present one, and members its names, ascending.
	committee *quorum.Committee
	members   []string
	// pending changes the network at the next turn.
	pending *pendingChange
	open    map[protocol.Hash]*Case
	// subjects has the open proposal of each subject that has one.
	subjects map[string]protocol.Hash
	// proposed is how much of each member's is open.
	proposed map[string]share
	// now is the ledger's time, and size that of the log of decisions.
	now  protocol.Micros
	size uint64
	// due is the earliest deadline of all that are open, or 0.
	due protocol.Micros
	// recent has what was written and may not be read from storage yet.
	recent  recent
	records []machine.Record
	changes []Change
}

// share is how many proposals of a member are open, and how long they are together.
type share struct{ count, bytes int }

// fits reports whether there is room for another proposal.
func (s share) fits(p *protocol.Proposal) bool {
	return s.count == 0 || s.count < MaxOpen && s.bytes+len(p.Canonical) <= MaxOpenBytes
}

// State is from where a Book goes on, beside what is stored.
type State struct {
	// Time is the ledger's: the largest of all ordered batches.
	Time protocol.Micros
	// Size is that of the log of decisions.
	Size uint64
	// Pending is the accepted proposal that changes the network at the end of the
	// round, or zero.
	Pending protocol.Hash
}

// entry is an entry for Accord at its place in the ledger.
type entry struct {
	kind     protocol.Kind
	author   string
	position uint64
	time     protocol.Micros // its batch's
	body     []byte
}

// Change is what an entry has made of a case: it is new, or has come to an end.
type Change struct {
	Proposal *protocol.Proposal
	Status   Status
	// Time is that of the proposal's batch.
	Time protocol.Micros
}

// NewBook returns a Book that goes on from a state and from what is stored, under
// the committee there.
func NewBook(store Storage, st State, c *quorum.Committee) (*Book, error) {
	b := &Book{
		store: store, now: st.Time, size: st.Size, open: map[protocol.Hash]*Case{}, subjects: map[string]protocol.Hash{},
		proposed: map[string]share{}, recent: newRecent(),
	}
	b.elect(c)
	if err := b.resume(st.Pending); err != nil {
		return nil, err
	}
	cases, err := store.OpenCases()
	if err != nil {
		return nil, err
	}
	for _, c := range cases {
		b.admit(&c)
	}
	return b, nil
}

// State is from where the Book goes on.
func (b *Book) State() State {
	st := State{Time: b.now, Size: b.size}
	if b.pending != nil {
		st.Pending = b.pending.id
	}
	return st
}

// apply takes the next entry for Accord of the ledger, and returns the decision
// that it leads to, if it does to one. An entry that means nothing is ignored.
func (b *Book) apply(e entry) (*Decision, error) {
	switch e.kind {
	case protocol.KindPropose:
		return b.propose(e)
	case protocol.KindVote:
		return b.vote(e)
	case protocol.KindWithdraw:
		return b.withdraw(e)
	case protocol.KindReport:
		return nil, b.report(e)
	}
	return nil, nil
}

// expire goes on to the time of a batch, and ends what is open and has its deadline
// before the ledger's time then: the earliest deadline first, and of equal ones the
// earlier proposal.
func (b *Book) expire(t protocol.Micros) ([]*Decision, error) {
	b.now = max(b.now, t)
	if b.due == 0 || b.due >= b.now {
		return nil, nil
	}
	var over []*Case
	for _, c := range b.open {
		if c.Proposal.Deadline < b.now {
			over = append(over, c)
		}
	}
	slices.SortFunc(over, func(x, y *Case) int {
		return cmp.Or(cmp.Compare(x.Proposal.Deadline, y.Proposal.Deadline), cmp.Compare(x.Position, y.Position))
	})
	out := make([]*Decision, len(over))
	for i, c := range over {
		var err error
		if out[i], err = b.close(c, Expired); err != nil {
			return nil, err
		}
	}
	b.findDue()
	return out, nil
}

// Due is the earliest deadline of all that is open, or 0 if nothing is.
func (b *Book) Due() protocol.Micros { return b.due }

// Open is how many proposals are open.
func (b *Book) Open() int { return len(b.open) }

// decided notes where a decision has its place in the ledger.
func (b *Book) decided(d *Decision, position uint64) {
	c := b.recent.cases[d.ID]
	c.Decision, c.DecidedAt, c.DecidedOn = *d, position, b.now
	if c.Status == Accepted && d.Subject != "" {
		b.records = append(b.records, PutSubject{b.elevate(d, position)})
	}
	b.put(c)
}

// elevate makes a decision its subject's newest version.
func (b *Book) elevate(d *Decision, position uint64) Subject {
	s := Subject{Name: d.Subject, Version: d.Version, Proposal: d.ID, DecidedAt: position}
	b.recent.putSubject(s)
	return s
}

// put has a case stored as it is now.
func (b *Book) put(c *Case) {
	b.recent.putCase(c)
	stored := *c
	stored.Votes = slices.Clone(c.Votes)
	b.records = append(b.records, PutCase{stored})
}

// Take returns the records to persist, and what has changed, since the last call.
func (b *Book) Take() ([]machine.Record, []Change) {
	records, changes := b.records, b.changes
	b.records, b.changes = nil, nil
	return records, changes
}

// Written says that what was taken until now is persisted under a number.
func (b *Book) Written(seq uint64) { b.recent.written(seq) }

// Durable says that everything persisted up to a number can be read from storage.
func (b *Book) Durable(seq uint64) { b.recent.durable(seq) }

func (b *Book) propose(e entry) (*Decision, error) {
	p, err := protocol.CheckProposal(e.body, len(e.body))
	if err != nil {
		return nil, err // no voter lets such an entry pass
	}
	if p.Proposer != e.author {
		return nil, nil
	}
	if _, known, err := b.find(p.ID); known || err != nil {
		return nil, err
	}
	c := &Case{Proposal: p, Position: e.position, Time: e.time}
	d, err := b.admissible(&p)
	if err != nil {
		return nil, err
	}
	c.Version = d.Version
	if d.Status == Open {
		b.admit(c)
		b.put(c)
		b.changes = append(b.changes, Change{Proposal: &c.Proposal, Status: Open, Time: c.Time})
		return nil, nil
	}
	return b.end(c, d), nil
}

// admissible says what becomes of a proposal: Open, or why it is over at once.
func (b *Book) admissible(p *protocol.Proposal) (Decision, error) {
	var subject Subject
	if p.Subject != "" {
		var err error
		if subject, err = b.subject(p.Subject); err != nil {
			return Decision{}, err
		}
		if rival, taken := b.subjects[p.Subject]; taken {
			return Decision{Status: Conflict, Winner: rival, Version: subject.Version, Reason: "another proposal on the subject is open"}, nil
		}
	}
	d := Decision{Status: Rejected, Version: subject.Version}
	for _, name := range p.Participants {
		if _, ok := slices.BinarySearch(b.members, name); !ok {
			d.Reason = name + " is not a member"
			return d, nil
		}
	}
	switch {
	case p.Conditional && p.ExpectedVersion != subject.Version:
		d.Status, d.Winner, d.Reason = Conflict, subject.Proposal, "the subject has another version"
	case p.Action.IsNetwork() && b.pending != nil:
		d.Status, d.Winner, d.Reason = Conflict, b.pending.id, "another change of the network is about to begin"
	case p.Deadline < b.now:
		d.Status = Expired
	case !b.proposed[p.Proposer].fits(p):
		d.Reason = "too many proposals of the proposer are open"
	default:
		d.Status = Open
	}
	if d.Status == Open && p.Action.IsNetwork() {
		var err error
		if d.Reason, err = b.objection(p); err != nil {
			return Decision{}, err
		}
		if d.Reason != "" {
			d.Status = Rejected
		}
	}
	return d, nil
}

// subject returns a subject as it is now. One that nothing was decided on has
// version 0.
func (b *Book) subject(name string) (Subject, error) {
	if s, ok := b.recent.subjects[name]; ok {
		return s, nil
	}
	s, _, err := b.store.Subject(name)
	return s, err
}

// admit opens a case.
func (b *Book) admit(c *Case) {
	b.open[c.Proposal.ID] = c
	of := b.proposed[c.Proposal.Proposer]
	b.proposed[c.Proposal.Proposer] = share{of.count + 1, of.bytes + len(c.Proposal.Canonical)}
	if c.Proposal.Subject != "" {
		b.subjects[c.Proposal.Subject] = c.Proposal.ID
	}
	if b.due == 0 || c.Proposal.Deadline < b.due {
		b.due = c.Proposal.Deadline
	}
}

func (b *Book) vote(e entry) (*Decision, error) {
	v, err := protocol.CheckVote(e.body)
	if err != nil {
		return nil, err
	}
	c, known, err := b.find(v.Proposal)
	if err != nil {
		return nil, err
	}
	ballot := Ballot{Member: e.author, Accept: v.Accept, Position: e.position}
	mark := Early
	if known {
		mark = c.mark(e.author)
	}
	b.records = append(b.records, PutVote{Proposal: v.Proposal, Ballot: ballot, Mark: mark, Reason: v.Reason, Time: e.time})
	if mark != Counted {
		return nil, nil
	}
	c.Votes = append(c.Votes, ballot)
	switch accepts, rejects := c.count(); {
	case accepts >= c.Proposal.Threshold:
		return b.close(c, Accepted)
	case rejects > len(c.Proposal.Participants)-c.Proposal.Threshold:
		return b.close(c, Rejected)
	}
	b.put(c)
	return nil, nil
}

// mark says whether a member's vote counts.
func (c *Case) mark(voter string) Mark {
	voted := func(v Ballot) bool { return v.Member == voter }
	switch {
	case !slices.Contains(c.Proposal.Participants, voter):
		return Outsider
	case slices.ContainsFunc(c.Votes, voted):
		return Double
	case c.Status != Open:
		return Late
	}
	return Counted
}

// count counts the votes for and against.
func (c *Case) count() (accepts, rejects int) {
	for _, v := range c.Votes {
		if v.Accept {
			accepts++
		}
	}
	return accepts, len(c.Votes) - accepts
}

func (b *Book) withdraw(e entry) (*Decision, error) {
	w, err := protocol.CheckWithdrawal(e.body)
	if err != nil {
		return nil, err
	}
	c := b.open[w.Proposal]
	if c == nil || c.Proposal.Proposer != e.author {
		return nil, nil
	}
	return b.close(c, Withdrawn)
}

func (b *Book) report(e entry) error {
	r, err := protocol.CheckReport(e.body)
	if err != nil {
		return err
	}
	c, known, err := b.find(r.Proposal)
	if err != nil || !known || c.Status != Accepted || !slices.Contains(c.Proposal.Participants, e.author) {
		return err
	}
	b.records = append(b.records, PutReport{Proposal: r.Proposal, Member: e.author, Position: e.position, Time: e.time, Report: r})
	return nil
}

// close ends an open case.
func (b *Book) close(c *Case, s Status) (*Decision, error) {
	p := &c.Proposal
	delete(b.open, p.ID)
	if of := b.proposed[p.Proposer]; of.count > 1 {
		b.proposed[p.Proposer] = share{of.count - 1, of.bytes - len(p.Canonical)}
	} else {
		delete(b.proposed, p.Proposer)
	}
	d := Decision{Status: s, Version: c.Version}
	if p.Subject != "" {
		delete(b.subjects, p.Subject)
		if s == Accepted {
			d.Version++
		}
	}
	if s == Accepted && p.Action.IsNetwork() {
		if err := b.plan(p); err != nil {
			return nil, err
		}
	}
	if p.Deadline == b.due && p.Deadline >= b.now { // else expire looks when it has ended all
		b.findDue()
	}
	return b.end(c, d), nil
}

// findDue looks for the earliest deadline of what is open.
func (b *Book) findDue() {
	b.due = 0
	for _, c := range b.open {
		if b.due == 0 || c.Proposal.Deadline < b.due {
			b.due = c.Proposal.Deadline
		}
	}
}

// end gives a case its end. The decision's place in the ledger follows, by
// decided.
func (b *Book) end(c *Case, d Decision) *Decision {
	d.ID, d.Position, d.Subject, d.Votes = c.Proposal.ID, c.Position, c.Proposal.Subject, c.Votes
	if d.Status == Accepted && d.Subject != "" {
		b.elevate(&d, 0) // the next entry may be about it
	}
	c.Status = d.Status
	b.recent.cases[d.ID] = c // decided has it stored
	b.changes = append(b.changes, Change{Proposal: &c.Proposal, Status: d.Status, Time: c.Time})
	return &d
}

// find returns the case of a proposal, and whether there is one.
func (b *Book) find(id protocol.Hash) (*Case, bool, error) {
	if c := b.open[id]; c != nil {
		return c, true, nil
	}
	if c := b.recent.cases[id]; c != nil {
		return c, true, nil
	}
	c, ok, err := b.store.Case(id)
	return &c, ok, err
}
