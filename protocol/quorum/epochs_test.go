package quorum_test

import (
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/internal/fixture"
	"github.com/strataos/strataos/protocol/quorum"
)

// shared is the least number of parties that a quorum of n and one of next
// share, of union parties altogether, by trying how many of each quorum can be
// outside of what both committees have in common.
func shared(n, next, union int) int {
	common := n + next - union
	least := common
	for outside := 0; outside <= n-common; outside++ {
		for outsideNext := 0; outsideNext <= next-common; outsideNext++ {
			in, inNext := quorum.Size(n)-outside, quorum.Size(next)-outsideNext
			if in < 0 || inNext < 0 || in > common || inNext > common {
				continue
			}
			least = min(least, max(in+inNext-common, 0))
		}
	}
	return least
}

// TestNeighboursShare tries every change of one member in committees of up to
// 100: quorums before and after it have an honest member in common.
func TestNeighboursShare(t *testing.T) {
	for n := 1; n <= protocol.MaxMembers; n++ {
		for what, c := range map[string]struct{ next, union int }{
			"add": {n + 1, n + 1}, "remove": {n - 1, n}, "replace": {n, n},
		} {
			if c.next < 1 || c.next > protocol.MaxMembers {
				continue
			}
			if !quorum.Overlaps(n, c.next, c.union) {
				t.Errorf("%s in %d: quorums of %d and %d need not share an honest member", what, n, quorum.Size(n), quorum.Size(c.next))
			}
			if least, f := shared(n, c.next, c.union), max(quorum.Faults(n), quorum.Faults(c.next)); least <= f {
				t.Errorf("%s in %d: quorums share %d members at least, and %d may be faulty", what, n, least, f)
			}
		}
	}
	if quorum.Overlaps(4, 2, 4) || shared(4, 2, 4) > 1 {
		t.Error("two of four can be removed at once")
	}
}

// epochs is a network of four members with the epochs that follow: one joins,
// the first leaves, and the second goes on under another key.
func epochs(t *testing.T) (*quorum.Epochs, []*cosign.Signer, []protocol.Member) {
	t.Helper()
	w := fixture.New(t, 4)
	e, roster, signers := quorum.NewEpochs(w.Committee), slices.Clone(w.Genesis.Members), slices.Clone(w.Signers)
	for i, members := range [][]protocol.MemberID{{0, 1, 2, 3, 4}, {1, 2, 3, 4}, {2, 3, 4, 5}} {
		for len(roster) <= int(slices.Max(members)) {
			m, s := joiner(t, len(roster)+1)
			roster, signers = append(roster, m), append(signers, s)
		}
		c, err := quorum.NewEpoch(w.Genesis.Network, slices.Clone(roster), protocol.Epoch{
			Number: uint64(i + 1), Members: members, Params: protocol.DefaultParams(), Since: fixture.Start + protocol.Micros(i)*protocol.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Add(c); err != nil {
			t.Fatal(err)
		}
	}
	return e, signers, roster
}

func joiner(t *testing.T, i int) (protocol.Member, *cosign.Signer) {
	t.Helper()
	w := fixture.New(t, i)
	return w.Genesis.Members[i-1], w.Signers[i-1]
}

func at(t *testing.T, e *quorum.Epochs, number uint64) *quorum.Committee {
	t.Helper()
	c, ok := e.At(number)
	if !ok {
		t.Fatalf("there is no epoch %d", number)
	}
	return c
}

func TestEpochs(t *testing.T) {
	e, _, roster := epochs(t)
	for number, want := range []struct {
		n, quorum, logs int
		has, not        protocol.MemberID
	}{{4, 3, 4, 0, 4}, {5, 4, 5, 4, 5}, {4, 3, 5, 4, 0}, {4, 3, 6, 5, 1}} {
		c := at(t, e, uint64(number))
		if c.N() != want.n || c.Quorum() != want.quorum || c.Logs() != want.logs || len(c.Members()) != want.n ||
			c.Epoch() != uint64(number) || !c.Has(want.has) || c.Has(want.not) {
			t.Errorf("epoch %d: %d members, a quorum of %d, %d logs", number, c.N(), c.Quorum(), c.Logs())
		}
	}
	last := e.Latest()
	if last.Has(0) || !last.Known(0) || !last.HasLog(0) || last.Origin(0) != "strata.example/test/node-1" || last.Name(0) != "node-1" || last.Known(6) || last.HasLog(6) {
		t.Error("a member that has left is not known any more, or one that never was is")
	}
	if _, ok := e.At(4); ok {
		t.Error("there is an epoch that has not begun")
	}
	good := protocol.Epoch{Number: 4, Members: []protocol.MemberID{2, 3, 4}, Params: protocol.DefaultParams(), Since: fixture.Start + protocol.Second*9}
	for name, change := range map[string]func(*protocol.Epoch, *[]protocol.Member, *string){
		"does not follow": func(e *protocol.Epoch, _ *[]protocol.Member, _ *string) { e.Number = 5 },
		"begins before":   func(e *protocol.Epoch, _ *[]protocol.Member, _ *string) { e.Since = fixture.Start },
		"of network":      func(_ *protocol.Epoch, _ *[]protocol.Member, n *string) { *n = "strata.example/other" },
		"knows 5 members": func(_ *protocol.Epoch, r *[]protocol.Member, _ *string) { *r = (*r)[:5] },
		"to another":      func(_ *protocol.Epoch, r *[]protocol.Member, _ *string) { (*r)[0], (*r)[1] = (*r)[1], (*r)[0] },
		"changes so much": func(e *protocol.Epoch, _ *[]protocol.Member, _ *string) { e.Members = []protocol.MemberID{2, 3} },
		"members[2]":      func(e *protocol.Epoch, _ *[]protocol.Member, _ *string) { e.Members[2] = 6 },
		"members[1]":      func(e *protocol.Epoch, _ *[]protocol.Member, _ *string) { e.Members[1] = 2 },
		"members: there":  func(e *protocol.Epoch, _ *[]protocol.Member, _ *string) { e.Members = nil },
		"max_event_bytes": func(e *protocol.Epoch, _ *[]protocol.Member, _ *string) { e.Params.MaxEventBytes = 1 },
		"since":           func(e *protocol.Epoch, _ *[]protocol.Member, _ *string) { e.Since = -1 },
		"":                func(*protocol.Epoch, *[]protocol.Member, *string) {},
		"members: the netwo": func(_ *protocol.Epoch, r *[]protocol.Member, _ *string) {
			*r = make([]protocol.Member, protocol.MaxRoster+1)
		},
	} {
		next, members, network := good, slices.Clone(roster), "strata.example/test"
		next.Members = slices.Clone(good.Members)
		change(&next, &members, &network)
		c, err := quorum.NewEpoch(network, members, next)
		if err == nil {
			err = e.Clone().Add(c)
		}
		if name == "" && err != nil || name != "" && (err == nil || !strings.Contains(err.Error(), name)) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if e.Latest() != last {
		t.Error("adding to a clone changes the original")
	}
}

// TestLens verifies the same cosignatures by the committees of several epochs.
func TestLens(t *testing.T) {
	e, signers, _ := epochs(t)
	root := protocol.Hash(sha256.Sum256([]byte("root")))
	since := fixture.Start.Seconds()
	claim := func(epoch, time uint64, voters ...protocol.MemberID) quorum.Claim {
		c := quorum.Claim{Log: 0, Epoch: epoch, Size: 7, Root: root}
		for _, v := range voters {
			sig := signers[v].Cosign(e.Latest().Checkpoint(0, 7, root), time)
			c.Cosigs = append(c.Cosigs, quorum.Cosignature{Member: v, Time: sig.Time, Sig: sig.Bytes})
		}
		return c
	}
	for name, c := range map[string]struct {
		claim quorum.Claim
		want  string
	}{
		"founding":               {claim(0, 5, 0, 1, 2), ""},
		"three of five":          {claim(1, since, 1, 2, 3), "a quorum is 4"},
		"four of five":           {claim(1, since, 1, 2, 3, 4), ""},
		"who has not joined":     {claim(0, since, 1, 2, 4), "unknown"},
		"who has left":           {claim(2, since+1, 0, 1, 2), "unknown"},
		"a left member's log":    {claim(2, since+1, 1, 2, 4), ""},
		"just in time":           {claim(1, since-2, 1, 2, 3, 4), ""},
		"too old":                {claim(1, since-3, 1, 2, 3, 4), "older than epoch 1"},
		"too old for the second": {claim(2, since-2, 1, 2, 3), "older than epoch 2"},
		"of no epoch":            {claim(4, since, 2, 3, 4), "has not begun"},
		"the replaced key":       {claim(3, since+2, 1, 2, 3), "unknown"},
		"the new key":            {claim(3, since+2, 2, 3, 5), ""},
	} {
		cert, err := e.Verify(c.claim)
		if c.want == "" && (err != nil || cert.Epoch() != c.claim.Epoch) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
		committee, ok := e.At(c.claim.Epoch)
		if !ok {
			continue
		}
		if err := committee.NewTally(0, 7, root).Take(c.claim); (err == nil) != (c.want == "") {
			t.Errorf("%s: taken: %v", name, err)
		}
	}
	old := claim(1, since-3, 1).Cosigs[0]
	tally := at(t, e, 1).NewTally(0, 7, root)
	if tally.AddVerified(old); tally.Add(old) || tally.Len() != 0 {
		t.Error("a vote that is older than the epoch is counted")
	}
	if _, err := at(t, e, 1).Verify(claim(0, since, 1, 2, 3)); err == nil {
		t.Error("a committee verifies a claim of another epoch")
	}
}

// TestFrom has votes count from the beginning of an epoch on though its ledger is as
// far ahead of the voters' clocks as its batches may be.
func TestFrom(t *testing.T) {
	e, _, _ := epochs(t)
	for ms, want := range map[int64]uint64{250: 2, 1000: 2, 60_000: 120} {
		epoch := protocol.Epoch{Number: 1, Members: at(t, e, 1).Members(), Params: protocol.DefaultParams(), Since: fixture.Start}
		epoch.Params.MaxFutureMS = ms
		c, err := quorum.NewEpoch(e.Latest().Network(), e.Latest().Roster(), epoch)
		if err != nil {
			t.Fatal(err)
		}
		if got := fixture.Start.Seconds() - c.From(); got != want {
			t.Errorf("with %d ms: cosignatures count from %d s before, want %d", ms, got, want)
		}
	}
}
