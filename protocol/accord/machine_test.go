package accord

import (
	"fmt"
	"slices"
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/internal/fixture"
	"github.com/strataos/strataos/protocol/machine"
)

// voter steps a machine, node-3's, beside a Book that the same batches come to.
type voter struct {
	*keeper
	m       *Machine
	now     protocol.Micros
	effects []machine.Effect
}

func newVoter(t *testing.T) *voter {
	k := newKeeper(t, 4)
	v := &voter{keeper: k, now: fixture.Start}
	v.m = New(Config{Name: "node-3", NameOf: k.committee.Name})
	v.step(Start{})
	return v
}

func (v *voter) step(in ...Input) {
	v.t.Helper()
	effects, err := v.m.Step(v.now, in...)
	if err != nil {
		v.t.Fatal(err)
	}
	v.effects = append(v.effects, effects...)
}

// certify makes a batch of a member's of a script's entries, and has the machine
// see it certified.
func (v *voter) certify(author protocol.MemberID, script ...string) protocol.Extension {
	v.t.Helper()
	e := v.makeBatch(author, script...)
	v.step(Extended{Batches: []protocol.Extension{e}})
	return e
}

func (v *voter) makeBatch(author protocol.MemberID, script ...string) protocol.Extension {
	v.t.Helper()
	b := v.batch(author, fixture.Start)
	for _, text := range script {
		it := v.item(text, v.committee.Name(author))
		if b.Entries = append(b.Entries, it.Entry(b.Time)); it.Kind.IsAccord() {
			b.Acts = append(b.Acts, protocol.Act{Item: len(b.Entries) - 1, Body: it.Body})
		}
	}
	b.Size += uint64(len(b.Entries))
	v.sizes[author] = b.Size
	return b
}

// order has the Book take batches, and the machine what comes of them.
func (v *voter) order(batches ...protocol.Extension) {
	v.t.Helper()
	in := Settled{Seen: make([]uint64, v.committee.N())}
	for _, e := range batches {
		out, err := v.book.Extend(e, v.committee.Name(e.Log), v.at)
		if err != nil {
			v.t.Fatal(err)
		}
		for _, x := range out {
			v.at += uint64(len(x.Entries))
		}
		in.Seen[e.Log] = e.Size
	}
	records, changes := v.book.Take()
	v.apply(records)
	in.Changes = changes
	v.step(in)
}

// says are the effects since the last call, in words.
func (v *voter) says() (out []string) {
	v.t.Helper()
	for _, e := range v.effects {
		switch e := e.(type) {
		case Consult:
			out = append(out, "consult "+v.names[e.Proposal.ID])
		case Cast:
			vote, err := protocol.CheckVote(e.Body)
			if err != nil || vote.Proposal != e.Proposal {
				v.t.Fatalf("%s: %v", e.Body, err)
			}
			text := protocol.VoteName(vote.Accept) + " " + v.names[e.Proposal]
			for _, s := range e.After {
				text += fmt.Sprintf(" behind %d of node-%d", s.Size, s.Member+1)
			}
			out = append(out, text)
		case machine.Timer:
			out = append(out, fmt.Sprintf("timer in %d ms", (e.At-v.now)/protocol.Millisecond))
		}
	}
	v.effects = nil
	return out
}

func (v *voter) want(words ...string) {
	v.t.Helper()
	if got := v.says(); !slices.Equal(got, words) {
		v.t.Errorf("the machine says %q, want %q", got, words)
	}
}

func (v *voter) verdict(name string, accept bool) {
	v.t.Helper()
	v.step(Verdict{Proposal: v.ids[name], Accept: accept})
}

// TestVotesOnceCertified has a vote be cast as soon as a proposal is certified, and
// come behind it.
func TestVotesOnceCertified(t *testing.T) {
	v := newVoter(t)
	a := v.certify(0, "event", "propose a")
	v.want("consult a")
	v.verdict("a", true)
	v.want("accept a behind 3 of node-1")
	v.verdict("a", false) // the first one stands
	v.order(a)
	v.want()
	if waiting := v.m.Waiting(); len(waiting) > 0 {
		t.Errorf("%d proposals wait for a vote that was cast", len(waiting))
	}
	v.certify(1, "propose b of 1,2")
	v.want() // it is not a participant
	own := v.certify(2, "propose c")
	v.want("consult c")
	v.verdict("c", false)
	v.want("reject c") // its own log has it
	v.order(own)
	v.want()
}

// TestVotesOnceOrdered has what was certified unseen be voted on from the ledger.
func TestVotesOnceOrdered(t *testing.T) {
	v := newVoter(t)
	v.order(v.makeBatch(0, "propose a", "propose b of 1,2"))
	v.want("consult a")
	if waiting := v.m.Waiting(); len(waiting) != 1 || waiting[0] != v.ids["a"] {
		t.Errorf("%v wait", waiting)
	}
	v.verdict("a", true)
	v.want("accept a")
	v.verdict("b", true)
	v.want()
}

// TestStartsAgain has a machine go on from what is open in the ledger.
func TestStartsAgain(t *testing.T) {
	v := newVoter(t)
	v.order(v.makeBatch(0, "propose a need 3", "propose b need 3", "propose c of 1,2"), v.makeBatch(2, "accept b"))
	v.says()
	open, err := v.store.OpenCases()
	if err != nil {
		t.Fatal(err)
	}
	v.m = New(Config{Name: "node-3", NameOf: v.committee.Name})
	v.step(Start{Open: open})
	v.want("consult a") // b has its vote, c does not ask for it
	v.verdict("b", true)
	v.want()
}

// TestOwnVoteComesBack has a vote of an earlier life be enough.
func TestOwnVoteComesBack(t *testing.T) {
	v := newVoter(t)
	v.certify(0, "propose a")
	v.want("consult a")
	v.certify(2, "reject a")
	v.verdict("a", true)
	v.want()
}

// TestUnvoted has a vote that the log had no room for be cast again, once a while.
func TestUnvoted(t *testing.T) {
	v := newVoter(t)
	a := v.certify(0, "propose a")
	v.verdict("a", true)
	v.want("consult a", "accept a behind 2 of node-1")
	v.step(Unvoted{Proposal: v.ids["a"]})
	v.want("timer in 50 ms")
	v.step(Unvoted{Proposal: protocol.Hash{1}}) // whatever that was
	v.now += 50 * protocol.Millisecond
	v.step(Tick{})
	v.want("accept a behind 2 of node-1")
	v.step(Unvoted{Proposal: v.ids["a"]})
	v.want("timer in 50 ms")
	v.order(a, v.makeBatch(0, "withdraw a"))
	v.now += 50 * protocol.Millisecond
	v.step(Tick{})
	v.want() // it is over
}

// TestCopiedProposal has a liar's copy of a proposal that is on its way, in the
// liar's own log, not be mistaken for it: a vote that comes behind the copy could
// come before the proposal, and would never count.
func TestCopiedProposal(t *testing.T) {
	v := newVoter(t)
	a := v.makeBatch(0, "propose a need 2")
	v.certify(3, "propose a")
	v.want()
	v.step(Extended{Batches: []protocol.Extension{a}})
	v.want("consult a")
	v.verdict("a", true)
	v.want("accept a behind 2 of node-1")
}

// TestVoidProposals has what can never be open not be kept, nor asked about: a
// liar could fill the machine with it.
func TestVoidProposals(t *testing.T) {
	v := newVoter(t)
	a := v.certify(0, "propose a need 1")
	v.verdict("a", true)
	v.order(a, v.makeBatch(2, "accept a"))
	v.says()
	again := v.certify(0, "propose a")
	v.order(again)
	if len(v.m.cases) > 0 {
		t.Errorf("%d cases are kept, and the ledger has settled all", len(v.m.cases))
	}
	// Without the ledger, the second one cannot be known to be none; but there is
	// a bound to what is known before it is ordered.
	for i := range maxWatched + 10 {
		v.certify(0, fmt.Sprintf("propose x%d", i))
	}
	if len(v.m.cases) != maxWatched {
		t.Errorf("%d cases are kept, want %d", len(v.m.cases), maxWatched)
	}
}

// TestSettledFirst has the ledger tell of a proposal before the log does, which
// then has nothing to vote on any more.
func TestSettledFirst(t *testing.T) {
	v := newVoter(t)
	a := v.makeBatch(0, "propose a need 1")
	v.order(a, v.makeBatch(0, "withdraw a"))
	v.says()
	v.step(Extended{Batches: []protocol.Extension{a}})
	v.want()
	if len(v.m.cases) > 0 {
		t.Error("a case is kept that the ledger has settled")
	}
}

// TestActing has batches without anything for Accord be left out.
func TestActing(t *testing.T) {
	v := newVoter(t)
	plain, acting := v.makeBatch(0, "event"), v.makeBatch(1, "event", "propose a")
	if got := Acting([]protocol.Extension{plain, acting}); len(got) != 1 || got[0].Log != 1 {
		t.Errorf("%+v", got)
	}
}
