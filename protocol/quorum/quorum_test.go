package quorum_test

import (
	"slices"
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/internal/fixture"
	"github.com/strataos/strataos/protocol/quorum"
)

func TestSize(t *testing.T) {
	for n, want := range map[int]int{1: 1, 2: 2, 3: 3, 4: 3, 5: 4, 6: 5, 7: 5, 10: 7, 100: 67} {
		if got := quorum.Size(n); got != want {
			t.Errorf("Size(%d) = %d, want %d", n, got, want)
		}
	}
	for n := 1; n <= 100; n++ {
		q, f := quorum.Size(n), quorum.Faults(n)
		if 3*q <= 2*n || q > n-f {
			t.Errorf("n=%d: quorum %d is no more than two thirds, or needs one of %d faulty members", n, q, f)
		}
		if 2*q-n <= f {
			t.Errorf("n=%d: two quorums of %d need not share an honest member", n, q)
		}
	}
}

func TestVerify(t *testing.T) {
	w := fixture.New(t, 4)
	log := w.Log(1)
	log.Append(fixture.Start, fixture.Event(t, `{"type":"a","payload":{}}`))
	good := log.Certify(t, 1_700_000_000, 0, 1, 3).Claim()
	for name, change := range map[string]func(*quorum.Claim){
		"too few":         func(c *quorum.Claim) { c.Cosigs = c.Cosigs[:2] },
		"twice the same":  func(c *quorum.Claim) { c.Cosigs[1] = c.Cosigs[0] },
		"out of order":    func(c *quorum.Claim) { c.Cosigs[0], c.Cosigs[1] = c.Cosigs[1], c.Cosigs[0] },
		"unknown member":  func(c *quorum.Claim) { c.Cosigs[2].Member = 4 },
		"another member":  func(c *quorum.Claim) { c.Cosigs[2].Member = 2 },
		"another time":    func(c *quorum.Claim) { c.Cosigs[0].Time++ },
		"a flipped bit":   func(c *quorum.Claim) { c.Cosigs[2].Sig[9] ^= 1 },
		"another size":    func(c *quorum.Claim) { c.Size++ },
		"another root":    func(c *quorum.Claim) { c.Root[0] ^= 1 },
		"another log":     func(c *quorum.Claim) { c.Log = 2 },
		"an unknown log":  func(c *quorum.Claim) { c.Log = 9 },
		"more than there": func(c *quorum.Claim) { c.Cosigs = append(c.Cosigs, c.Cosigs...) },
	} {
		t.Run(name, func(t *testing.T) {
			bad := good
			bad.Cosigs = slices.Clone(good.Cosigs)
			change(&bad)
			if _, err := w.Committee.Verify(bad); err == nil {
				t.Error("is verified")
			}
			if err := w.Committee.NewTally(good.Log, good.Size, good.Root).Take(bad); err == nil {
				t.Error("is taken")
			}
		})
	}
}

func TestTally(t *testing.T) {
	w := fixture.New(t, 7)
	log := w.Log(2)
	log.Append(fixture.Start)
	size, root := log.Tree.Size(), protocol.Hash(log.Tree.Root())
	tally := w.Committee.NewTally(2, size, root)
	for i, voter := range []protocol.MemberID{2, 6, 0, 3, 5} {
		if tally.Certificate() != nil {
			t.Fatalf("%d votes make a certificate", i)
		}
		v := w.Vote(voter, 2, size, root, 100)
		if !tally.Add(v) || tally.Add(v) {
			t.Fatalf("vote %d is not counted once", i)
		}
	}
	if tally.Add(w.Vote(1, 2, size+1, root, 100)) {
		t.Error("a vote for another size is counted")
	}
	cert := tally.Certificate()
	if cert == nil {
		t.Fatal("five of seven make no certificate")
	}
	if _, err := w.Committee.Verify(cert.Claim()); err != nil {
		t.Error(err)
	}
}

// TestTakeOnlyWhatIsNeeded has a claim complete a tally whose own votes make
// most of it: what it needs not is not even verified.
func TestTakeOnlyWhatIsNeeded(t *testing.T) {
	w := fixture.New(t, 4)
	log := w.Log(0)
	log.Append(fixture.Start)
	size, root := log.Tree.Size(), protocol.Hash(log.Tree.Root())
	claim := log.Certify(t, 100, 0, 1, 2).Claim()
	claim.Cosigs = slices.Clone(claim.Cosigs)
	claim.Cosigs[2].Sig[0] ^= 1
	tally := w.Committee.NewTally(0, size, root)
	tally.AddVerified(w.Vote(0, 0, size, root, 100))
	tally.AddVerified(w.Vote(3, 0, size, root, 100))
	if err := tally.Take(claim); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Committee.Verify(tally.Certificate().Claim()); err != nil {
		t.Error(err)
	}
}
