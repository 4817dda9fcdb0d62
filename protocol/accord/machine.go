package accord

import (
	"fmt"
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/machine"
)

const (
	// maxWatched bounds the proposals that are known before they are ordered.
	// What is seen beyond is voted on when it is ordered.
	maxWatched = 4096
	// retryEvery is how often a vote is tried again that the member's own log
	// had no room for.
	retryEvery = 50 * protocol.Millisecond
)

// Config is what a machine is made of.
type Config struct {
	// Name is this member's, also before it is one.
	Name string
	// NameOf is the name of the member that authors a log.
	NameOf func(log protocol.MemberID) string
}

// Machine votes for a member. It asks how to as soon as a proposal is certified,
// not only when it is ordered, so that a decision takes one pass of the order (rule
// A6). It is not safe for concurrent use, and does nothing but in Step.
type Machine struct {
	Config
	cases map[protocol.Hash]*ballot
	// early are the cases that are certified and, as far as is known, not ordered.
	early []protocol.Hash
	// seen is how much of each log is ordered.
	seen  []uint64
	now   protocol.Micros
	timer protocol.Micros
	// retries are the votes to try again.
	retries []protocol.Hash
	effects []machine.Effect
}

// ballot is a proposal that this member may vote on.
type ballot struct {
	proposal protocol.Proposal
	// place is the part of the proposer's log that ends with the proposal.
	place protocol.Seen
	// ordered says that it is open in the ledger.
	ordered bool
	// verdict is how this member votes, once it is known.
	verdict *Verdict
	// voted says that the vote is in this member's log, or on its way there.
	voted bool
}

// Input is something that happened to the machine: one of the types below.
type Input interface{ input() }

// Start is the first input, and comes again when the order begins anew: what it
// would have told may be lost. Open are the proposals that are open in the ledger,
// with the votes that it has.
type Start struct{ Open []Case }

// Tick tells the machine that the time of its last Timer effect has come.
type Tick struct{}

// Extended says that logs have grown by batches that are certified, and durable
// here.
type Extended struct{ Batches []protocol.Extension }

// Settled says what the ledger has made of proposals. Seen is how much of each log
// is ordered by now. It comes also where proposals were ordered that nothing has
// become of.
type Settled struct {
	Changes []Change
	Seen    []uint64
}

// Verdict says how this member votes, by its rules or its operator.
type Verdict struct {
	Proposal protocol.Hash
	Accept   bool
	Reason   string
}

// Unvoted says that a vote did not come into this member's log.
type Unvoted struct{ Proposal protocol.Hash }

func (Start) input()    {}
func (Tick) input()     {}
func (Extended) input() {}
func (Settled) input()  {}
func (Verdict) input()  {}
func (Unvoted) input()  {}

// Consult asks the host how this member votes on a proposal. It answers with a
// Verdict, at any time, or never: then somebody else decides, or nobody.
type Consult struct{ Proposal protocol.Proposal }

// Cast asks the host to put a vote into this member's log, behind what it comes
// after.
type Cast struct {
	Proposal protocol.Hash
	Body     []byte
	After    []protocol.Seen
}

// Effect implements machine.Effect.
func (Consult) Effect() {}

// Effect implements machine.Effect.
func (Cast) Effect() {}

// New returns a machine.
func New(cfg Config) *Machine {
	return &Machine{Config: cfg, cases: map[protocol.Hash]*ballot{}}
}

// Step takes inputs that came in this order, at a time in Unix microseconds, and
// returns what the host must do; see package machine. The effects are valid until
// the next Step.
func (m *Machine) Step(now protocol.Micros, inputs ...Input) ([]machine.Effect, error) {
	m.now = now
	m.effects = m.effects[:0]
	for _, in := range inputs {
		if err := m.dispatch(in); err != nil {
			return nil, err
		}
	}
	m.schedule()
	return m.effects, nil
}

func (m *Machine) dispatch(in Input) error {
	switch in := in.(type) {
	case Start:
		clear(m.cases)
		m.retries, m.early, m.seen = nil, nil, nil
		for i := range in.Open {
			m.resume(&in.Open[i])
		}
	case Tick:
		m.timer = 0
		m.retry()
	case Extended:
		return m.extended(in.Batches)
	case Settled:
		m.seen = in.Seen
		for _, c := range in.Changes {
			m.settled(c)
		}
		m.forgetVoid()
	case Verdict:
		if b := m.cases[in.Proposal]; b != nil && b.verdict == nil && !b.voted {
			b.verdict = &in
			m.cast(b)
		}
	case Unvoted:
		if b := m.cases[in.Proposal]; b != nil {
			b.voted = false
			m.retries = append(m.retries, in.Proposal)
		}
	default:
		return fmt.Errorf("unknown input %T", in)
	}
	return nil
}

// resume takes up a proposal that was open in the ledger when the machine started.
func (m *Machine) resume(c *Case) {
	b := m.watch(c.Proposal, true)
	if b == nil {
		return
	}
	for _, v := range c.Votes {
		b.voted = b.voted || v.Member == m.Name
	}
	if !b.voted {
		m.effects = append(m.effects, Consult{Proposal: c.Proposal})
	}
}

// watch notes a proposal that this member may vote on, and returns nil for others.
func (m *Machine) watch(p protocol.Proposal, ordered bool) *ballot {
	b := m.cases[p.ID]
	if b == nil {
		if !slices.Contains(p.Participants, m.Name) || !ordered && len(m.cases) >= maxWatched {
			return nil
		}
		b = &ballot{proposal: p}
		m.cases[p.ID] = b
	}
	b.ordered = b.ordered || ordered
	return b
}

// Acting are those among batches that have entries for Accord.
func Acting(batches []protocol.Extension) []protocol.Extension {
	var out []protocol.Extension
	for _, e := range batches {
		if len(e.Acts) > 0 {
			out = append(out, e)
		}
	}
	return out
}

// extended looks for proposals in batches, and for votes of this member's own that
// an earlier life has cast.
func (m *Machine) extended(batches []protocol.Extension) error {
	for _, e := range batches {
		for _, act := range e.Acts {
			switch kind := e.Entries[act.Item].Kind; {
			case kind == protocol.KindPropose:
				p, err := protocol.CheckProposal(act.Body, len(act.Body))
				if err != nil {
					return err
				}
				// A copy in another log is not it: a vote that comes behind
				// the copy could come before the proposal, and not count.
				if place := (protocol.Seen{Member: e.Log, Size: e.Size}); p.Proposer == m.NameOf(e.Log) && !m.ordered(place) {
					m.proposed(p, place)
				}
			case kind == protocol.KindVote && m.NameOf(e.Log) == m.Name:
				v, err := protocol.CheckVote(act.Body)
				if err != nil {
					return err
				}
				if b := m.cases[v.Proposal]; b != nil {
					b.voted = true
				}
			}
		}
	}
	return nil
}

// proposed has a proposal voted on that has been certified.
func (m *Machine) proposed(p protocol.Proposal, place protocol.Seen) {
	known := m.cases[p.ID] != nil
	b := m.watch(p, false)
	if b == nil || known {
		return
	}
	b.place = place
	m.early = append(m.early, p.ID)
	m.effects = append(m.effects, Consult{Proposal: p})
}

// ordered reports whether the ledger has come past a place. What there is to say
// of proposals there, Settled says.
func (m *Machine) ordered(place protocol.Seen) bool {
	return int(place.Member) < len(m.seen) && m.seen[place.Member] >= place.Size
}

// forgetVoid forgets proposals that were ordered and that nothing has become of,
// such as those that are in the ledger a second time.
func (m *Machine) forgetVoid() {
	m.early = slices.DeleteFunc(m.early, func(id protocol.Hash) bool {
		b := m.cases[id]
		if b == nil || !m.ordered(b.place) {
			return b == nil
		}
		if !b.ordered {
			delete(m.cases, id)
		}
		return true
	})
}

// settled takes what the ledger has made of a proposal.
func (m *Machine) settled(c Change) {
	if c.Status != Open {
		delete(m.cases, c.Proposal.ID)
		return
	}
	known := m.cases[c.Proposal.ID] != nil
	if b := m.watch(*c.Proposal, true); b != nil && !known {
		m.effects = append(m.effects, Consult{Proposal: b.proposal})
	}
}

func (m *Machine) cast(b *ballot) {
	v := protocol.Vote{Proposal: b.proposal.ID, Accept: b.verdict.Accept, Reason: b.verdict.Reason}
	c := Cast{Proposal: b.proposal.ID, Body: v.Append(nil)}
	if b.place.Size > 0 && m.NameOf(b.place.Member) != m.Name {
		c.After = []protocol.Seen{b.place}
	}
	b.voted = true
	m.effects = append(m.effects, c)
}

// retry casts again what there was no room for.
func (m *Machine) retry() {
	ids := m.retries
	m.retries = nil
	for _, id := range ids {
		if b := m.cases[id]; b != nil && !b.voted && b.verdict != nil {
			m.cast(b)
		}
	}
}

func (m *Machine) schedule() {
	if len(m.retries) > 0 && m.timer == 0 {
		m.timer = m.now + retryEvery
		m.effects = append(m.effects, machine.Timer{At: m.timer})
	}
}

// CheckBounds reports what the machine holds more of than its bounds allow. An
// error is a bug; simulation looks for it.
func (m *Machine) CheckBounds() error {
	if len(m.early) > maxWatched {
		return fmt.Errorf("%d proposals are watched before they are ordered, at most %d may be", len(m.early), maxWatched)
	}
	return nil
}

// Waiting are the proposals that are open in the ledger and that this member has
// not voted on, in no order.
func (m *Machine) Waiting() []protocol.Hash {
	var out []protocol.Hash
	for id, b := range m.cases {
		if b.ordered && !b.voted {
			out = append(out, id)
		}
	}
	return out
}
