package actors

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/quorum"
)

// epochs notes what a host tells of epochs.
type epochs struct {
	mu    sync.Mutex
	begun []uint64
}

func (e *epochs) note(s *Standing) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.begun = append(e.begun, s.Committee().Epoch())
}

func (e *epochs) told() []uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.begun)
}

// TestEpochs has the only member of a network change its parameters, and its actors
// die where an epoch has begun: all go on in the newest one.
func TestEpochs(t *testing.T) {
	store, seen := &memory{}, &epochs{}
	var h *Host
	agree := func(c *Config) {
		c.Begun = seen.note
		c.Consult = func(p protocol.Proposal) { h.Vote(accord.Verdict{Proposal: p.ID, Accept: true}) }
	}
	h = newHost(t, store, noFatal(t), agree)
	for n := range 3 {
		setParams(t, h, 1000+n)
		if n == 2 { // while the epoch begins
			h.system.Root.Send(h.chronos.pid.Load(), func() { panic("injected") })
		}
		want := uint64(n + 1)
		waitFor(t, h, func() bool { return h.Committee().Epoch() == want && h.Status().Ready })
		if h.Committee().Params().MaxBatchEntries != 1000+n || h.Standing().Self != 0 || !h.Standing().Member() {
			t.Errorf("epoch %d: %+v", want, h.Standing())
		}
		mustAttest(t, h, 3*n)
		for _, kill := range []func(func()){
			func(f func()) { h.system.Root.Send(h.chronos.pid.Load(), f) },
			func(f func()) { h.system.Root.Send(h.witness.pid.Load(), f) },
		} {
			if n < 2 { // more would stop the node
				kill(func() { panic("injected") })
			}
		}
		waitFor(t, h, func() bool { _, err := attest(h, 3*n+1); return err == nil })
	}
	if got := seen.told(); !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("epochs %v are told of", got)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = newHost(t, store, noFatal(t), agree)
	if h.Committee().Epoch() != 3 {
		t.Errorf("it goes on in epoch %d", h.Committee().Epoch())
	}
	mustAttest(t, h, 100)
	setParams(t, h, 2000)
	waitFor(t, h, func() bool { return h.Committee().Epoch() == 4 })
	mustAttest(t, h, 101)
	if got := seen.told(); !slices.Equal(got, []uint64{1, 2, 3, 4}) {
		t.Errorf("epochs %v are told of", got)
	}
}

func waitFor(t *testing.T, h *Host, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := h.Wait(ctx, ok); err != nil {
		t.Fatal(err)
	}
}

// setParams has the network decide another parameter.
func setParams(t *testing.T, h *Host, entries int) {
	t.Helper()
	p, err := protocol.ParseProposal(fmt.Appendf(nil, `{"action":{"type":"params.set","payload":{"max_batch_entries":%d}},"subject":"network",
		"participants":["only"],"threshold":1,"deadline":%d,"proposer":"only","nonce":"%d"}`, entries, time.Now().Add(time.Minute).UnixMilli(), entries), 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := h.Gateway().Submit(ctx, Submission{Kind: protocol.KindPropose, Body: p.Canonical, Hash: p.ID}); err != nil {
		t.Fatal(err)
	}
}

// TestVotesOfTheLeft has a member that has left try no more to cast its votes.
func TestVotesOfTheLeft(t *testing.T) {
	h := newHost(t, &memory{}, noFatal(t))
	mustAttest(t, h, 1)
	member := h.Standing()
	others := append(slices.Clone(member.Committee().Roster()), protocol.Member{Name: "other", PeerID: "q", VKey: otherKey(t)})
	next, err := quorum.NewEpoch(member.Committee().Network(), others, protocol.Epoch{
		Number: 1, Members: []protocol.MemberID{1}, Params: member.Committee().Params(), Since: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	epochs := member.Epochs.Clone()
	if err := epochs.Add(next); err != nil {
		t.Fatal(err)
	}
	h.standing.Store(&Standing{epochs, member.Self})
	submitted := h.gateway.next
	h.cast(accord.Cast{Proposal: protocol.Hash{1}, Body: protocol.Vote{Proposal: protocol.Hash{1}, Accept: true}.Append(nil)})
	if !h.Standing().Left() || h.gateway.next != submitted {
		t.Error("it has tried to vote")
	}
}

func otherKey(t *testing.T) string {
	t.Helper()
	seed := sha256.Sum256([]byte("other"))
	signer, err := cosign.NewSigner("strata.example/test/other", seed[:])
	if err != nil {
		t.Fatal(err)
	}
	return signer.Verifier().String()
}
