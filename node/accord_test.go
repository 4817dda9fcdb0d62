package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/strataos/strataos/actors"
	"github.com/strataos/strataos/node/policy"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
)

// newAgreeing starts a network whose nodes accept what is demo.
func newAgreeing(t testing.TB, n int) *cluster {
	t.Helper()
	c := newClusterOf(t, n, 0)
	for i := range n {
		c.configs[i].Policies = []policy.Rule{{Action: "demo.**", Vote: "accept"}, {Action: "bad.*", Vote: "reject"}}
		c.start(i)
	}
	for i := range n {
		c.waitReady(i)
	}
	return c
}

// propose has a node propose something to all, and returns what comes of it.
func (c *cluster) propose(i, number int, action, subject string) accord.Case {
	c.t.Helper()
	id := c.put(i, number, action, subject)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return c.decided(ctx, i, id)
}

// put has a node propose something to all.
func (c *cluster) put(i, number int, action, subject string) protocol.Hash {
	c.t.Helper()
	var names []string
	for _, m := range c.genesis.Members {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	fields := map[string]any{
		"action": map[string]any{"type": action, "payload": map[string]any{"n": number}}, "participants": names,
		"threshold": protocol.DefaultThreshold(len(names)), "deadline": time.Now().Add(time.Minute).UnixMilli(),
		"proposer": c.genesis.Members[i].Name, "nonce": fmt.Sprint(number),
	}
	if subject != "" {
		fields["subject"] = subject
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		c.t.Fatal(err)
	}
	p, err := protocol.ParseProposal(raw, 1<<16)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := c.nodes[i].machines.Gateway().Submit(ctx, actors.Submission{Kind: protocol.KindPropose, Body: p.Canonical, Hash: p.ID}); err != nil {
		c.t.Fatal(err)
	}
	return p.ID
}

// decided waits until a node knows what a proposal has come to.
func (c *cluster) decided(ctx context.Context, i int, id protocol.Hash) (out accord.Case) {
	c.t.Helper()
	err := c.nodes[i].machines.Wait(ctx, func() bool {
		got, ok, err := c.nodes[i].store.Case(id)
		if err != nil {
			c.t.Error(err)
		}
		out = got
		return ok && got.Status != accord.Open
	})
	if err != nil {
		c.t.Fatalf("node %d: proposal %s: %v", i+1, id, err)
	}
	return out
}

// TestAccord has nodes decide by their rules, and compares what each of them has
// come to.
func TestAccord(t *testing.T) {
	c := newAgreeing(t, 4)
	for n := range 12 {
		action, want := "demo.try", accord.Accepted
		if n%3 == 2 {
			action, want = "bad.try", accord.Rejected
		}
		first := c.propose(n%4, n, action, "a subject")
		if first.Status != want {
			t.Errorf("proposal %d is %s, want %s: %+v", n, first.Status, want, first.Decision)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		for i := range 4 {
			got := c.decided(ctx, i, first.Proposal.ID)
			if got.DecidedAt != first.DecidedAt || got.Decision.Hash() != first.Decision.Hash() {
				t.Errorf("proposal %d: node %d decides %+v, node %d %+v", n, i+1, got.Decision, n%4+1, first.Decision)
			}
		}
		cancel()
	}
	subject, ok, err := c.nodes[2].store.Subject("a subject")
	if err != nil || !ok || subject.Version != 8 {
		t.Errorf("the subject is %+v: %v", subject, err)
	}
}

// BenchmarkPropose has four nodes in one process decide one proposal after the
// other. Its ratio to BenchmarkAnchor is what votes cost beside an order.
func BenchmarkPropose(b *testing.B) {
	c := newAgreeing(b, 4)
	n := 0
	for b.Loop() {
		n++
		if got := c.propose(n%4, n, "demo.try", ""); got.Status != accord.Accepted {
			b.Fatalf("%+v", got.Decision)
		}
	}
}
