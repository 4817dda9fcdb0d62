package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strataos/strataos/node/config"
	"github.com/strataos/strataos/node/policy"
	"github.com/strataos/strataos/node/setup"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
)

// newChanging starts a network whose nodes accept whatever changes it.
func newChanging(t testing.TB, n int) *cluster {
	t.Helper()
	c := newClusterOf(t, n, 0)
	for i := range n {
		c.configs[i].Policies = changing
		c.start(i)
	}
	for i := range n {
		c.waitReady(i)
	}
	return c
}

var changing = []policy.Rule{{Action: "membership.*", Vote: "accept"}, {Action: "params.*", Vote: "accept"}}

// invite makes the files of a node that is to join, as strata init --join does, and
// returns the node's place in the cluster and the member that it is to be.
func (c *cluster) invite(name string) (int, *protocol.Member) {
	c.t.Helper()
	status, text := c.call("GET", 0, "/v1/network/genesis", nil)
	g, err := protocol.ParseGenesis(text)
	if status != 200 || err != nil {
		c.t.Fatalf("%d %s: %v", status, text, err)
	}
	dir := filepath.Join(filepath.Dir(c.dir), name)
	m, err := setup.Join(dir, g, setup.Node{
		Name: name, PeerAddr: fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", freePort(c.t)), HTTPListen: fmt.Sprintf("127.0.0.1:%d", freePort(c.t)),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	cfg, _, err := config.Load(filepath.Join(dir, name, setup.ConfigFile), nil, map[string]string{"tokens": c.configs[0].Tokens})
	if err != nil {
		c.t.Fatal(err)
	}
	cfg.Policies = changing
	c.configs, c.nodes = append(c.configs, cfg), append(c.nodes, nil)
	return len(c.nodes) - 1, m
}

// change has a node propose a change of the network, and waits until these nodes
// are in the epoch that it leads to.
func (c *cluster) change(i int, action string, payload any, epoch uint64, nodes ...int) {
	c.t.Helper()
	body, err := json.Marshal(map[string]any{
		"action": map[string]any{"type": action, "payload": payload}, "subject": protocol.NetworkSubject, "timeout_ms": 5000,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	status, text := c.call("POST", i, "/v1/accord/propose", body)
	var a struct{ Status string }
	if status != 200 || json.Unmarshal(text, &a) != nil || a.Status != "accepted" {
		c.t.Fatalf("%s: %d %s", action, status, text)
	}
	for _, j := range nodes {
		c.waitEpoch(j, epoch)
	}
}

func (c *cluster) waitEpoch(i int, epoch uint64) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("node %d is in epoch %d", i+1, epoch), 20*time.Second, func() bool { return c.network(i).Epoch >= epoch })
}

type networkView struct {
	Epoch   uint64
	Quorum  int
	Members []struct{ Name, Status string }
	Node    struct{ Member, Ready bool }
}

func (c *cluster) network(i int) (v networkView) {
	c.t.Helper()
	if status, text := c.call("GET", i, "/v1/network", nil); status == 200 {
		if err := json.Unmarshal(text, &v); err != nil {
			c.t.Fatal(err)
		}
	}
	return v
}

// takePolicy has answers held to the policy that a node tells.
func (c *cluster) takePolicy(i int) {
	c.t.Helper()
	status, text := c.call("GET", i, "/v1/network/policy", nil)
	if status != 200 {
		c.t.Fatalf("%d %s", status, text)
	}
	var err error
	if c.policy, err = proof.ParsePolicy(text); err != nil {
		c.t.Fatal(err)
	}
}

// audited stops nodes and demands that what each stores has led to an epoch, by the
// genesis and the logs alone.
func (c *cluster) audited(epoch uint64, nodes ...int) {
	c.t.Helper()
	for _, i := range nodes {
		c.waitCosigned(i)
		c.stop(i)
		r, err := c.audit(i, nil)
		if err != nil || r.Epoch != epoch || r.Ledger == 0 || r.Checkpoint == 0 {
			c.t.Errorf("node %d: %+v %v", i+1, r, err)
		}
	}
}

// waitCosigned waits until a node has a checkpoint of its ledger.
func (c *cluster) waitCosigned(i int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	m := c.nodes[i].machines
	if err := m.Wait(ctx, func() bool { return m.Order().Checkpoint > 0 }); err != nil {
		c.t.Errorf("node %d has no checkpoint: %v", i+1, err)
	}
}

// refuses demands that a node is no member, says so, and answers reads.
func (c *cluster) refuses(i int, reason string) {
	c.t.Helper()
	if status, text := c.call("GET", i, "/readyz", nil); status != 503 || !strings.Contains(string(text), reason) {
		c.t.Errorf("node %d: ready: %d %s, want %q", i+1, status, text, reason)
	}
	if status, a, text := c.attest(i, 1); status != 503 || a.Error.Code != "NOT_A_MEMBER" || !strings.Contains(string(text), reason) {
		c.t.Errorf("node %d: attest: %d %s", i+1, status, text)
	}
	if status, text := c.call("GET", i, "/v1/chronos/query", nil); status != 200 {
		c.t.Errorf("node %d: query: %d %s", i+1, status, text)
	}
}

// load is requests that go on while the network changes.
type load struct {
	c    *cluster
	stop chan struct{}
	done sync.WaitGroup

	mu      sync.Mutex
	answers [][]byte
	hashes  []string
}

// startLoad has nodes attest events, one after the other at each, until it is ended.
// What is refused or late is not counted; what is acknowledged is kept.
func (c *cluster) startLoad(nodes ...int) *load {
	l := &load{c: c, stop: make(chan struct{})}
	for _, i := range nodes {
		l.done.Go(func() { l.run(i) })
	}
	return l
}

func (l *load) run(i int) {
	for n := 1_000_000 * (i + 1); ; n++ {
		select {
		case <-l.stop:
			return
		default:
		}
		status, a, text := l.c.attestWithin(i, n, 2000)
		if status != 200 {
			time.Sleep(time.Millisecond) // the node may be down
			continue
		}
		l.mu.Lock()
		l.answers, l.hashes = append(l.answers, text), append(l.hashes, a.Hash)
		l.mu.Unlock()
	}
}

// acknowledged is how many events have been so far.
func (l *load) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.answers)
}

// goesOn waits until more is acknowledged.
func (l *load) goesOn(what string) {
	l.c.t.Helper()
	before := l.acknowledged()
	l.c.eventually(what, 20*time.Second, func() bool { return l.acknowledged() > before+20 })
}

func (l *load) end() {
	close(l.stop)
	l.done.Wait()
}

// TestMembersComeAndGo has a fifth node join four under load, and one of the four
// leave. Everything that was acknowledged verifies afterwards, by whom it may be.
func TestMembersComeAndGo(t *testing.T) {
	c := newChanging(t, 4)
	l := c.startLoad(0, 1, 2, 3)
	l.goesOn("four take requests")

	fifth, member := c.invite("node-5")
	c.start(fifth)
	c.refuses(fifth, "is not a member")
	c.change(1, "membership.add", map[string]any{"member": member}, 1, 0, 1, 2, 3, fifth)
	c.waitReady(fifth)
	l.goesOn("five take requests")
	c.takePolicy(fifth)
	c.mustAttest(fifth, 1)
	if v := c.network(fifth); v.Quorum != 4 || len(v.Members) != 5 || !v.Node.Member {
		t.Errorf("%+v", v)
	}

	c.stop(2)
	c.mustAttest(fifth, 2)
	l.goesOn("the new member makes the quorum")
	c.start(2)
	c.waitReady(2)

	c.change(fifth, "membership.remove", map[string]any{"name": "node-1"}, 2, 0, 1, 2, 3, fifth)
	c.refuses(0, "has left the network")
	l.goesOn("the other four go on")
	l.end()
	c.takePolicy(fifth)
	for _, text := range l.answers {
		c.verifyOffline(text)
	}
	for i := range c.nodes {
		for n := 0; n < len(l.hashes); n += 1 + len(l.hashes)/50 {
			c.waitVerified(i, l.hashes[n])
		}
		c.waitVerified(i, l.hashes[len(l.hashes)-1])
	}

	c.audited(2, 0, 1, 2, 3, fifth)
	for i := range c.nodes {
		c.start(i)
	}
	for i := 1; i < len(c.nodes); i++ {
		c.waitReady(i)
		c.mustAttest(i, 10+i)
	}
	c.refuses(0, "has left the network")
	if v := c.network(0); v.Epoch != 2 || v.Members[0].Status != "left" {
		t.Errorf("%+v", v)
	}
}

// TestMoves has a member get another address and another peer key.
func TestMoves(t *testing.T) {
	c := newChanging(t, 4)
	_, other := c.invite("node-4-moved")
	m := c.genesis.Members[3]
	m.PeerID, m.Addrs = other.PeerID, other.Addrs
	c.change(0, "membership.replace", map[string]any{"name": "node-4", "member": m}, 1, 0, 1, 2)
	c.stop(3)
	moved := c.configs[4]
	c.configs[3].PeerKey, c.configs[3].P2PListen = moved.PeerKey, moved.P2PListen
	c.start(3)
	c.waitEpoch(3, 1)
	c.waitReady(3)
	c.stop(0)
	c.takePolicy(3)
	c.mustAttest(3, 1)
	c.audited(1, 1, 2, 3)
}

// TestGoesOnUnderAnotherKey has a member be replaced by a new one, which the same
// peer is.
func TestGoesOnUnderAnotherKey(t *testing.T) {
	c := newChanging(t, 4)
	hash := c.mustAttest(3, 1)
	next, m := c.invite("node-4b")
	m.PeerID, m.Addrs = c.genesis.Members[3].PeerID, c.genesis.Members[3].Addrs
	c.configs[next].PeerKey, c.configs[next].P2PListen = c.configs[3].PeerKey, c.configs[3].P2PListen
	c.change(3, "membership.replace", map[string]any{"name": "node-4", "member": m}, 1, 0, 1, 2)
	c.stop(3)
	c.start(next)
	c.waitReady(next)
	c.stop(0)
	c.takePolicy(next)
	c.mustAttest(next, 2)
	c.waitVerified(next, hash)
	c.audited(1, 1, 2, next)
}

// TestSleepsThroughEpochs has a member be away while the network comes to other
// epochs, and one that joins be stopped again and again: both find their way.
func TestSleepsThroughEpochs(t *testing.T) {
	c := newChanging(t, 4)
	var hashes []string
	for n := range 20 {
		hashes = append(hashes, c.mustAttest(n%4, n))
	}
	c.stop(3)
	c.change(0, "params.set", map[string]any{"checkpoint_ms": 50}, 1, 0, 1, 2)
	fifth, member := c.invite("node-5")
	c.change(1, "membership.add", map[string]any{"member": member}, 2, 0, 1, 2)
	for range 3 { // it counts for the quorum, and so is not away for long
		c.start(fifth)
		c.stop(fifth)
	}
	c.start(fifth)
	c.waitReady(fifth)
	c.change(2, "params.set", map[string]any{"checkpoint_ms": 60}, 3, 0, 1, 2, fifth)
	c.takePolicy(fifth)
	for n := range 20 {
		hashes = append(hashes, c.mustAttest([]int{0, 1, 2, fifth}[n%4], 100+n))
	}
	c.start(3)
	c.waitEpoch(3, 3)
	c.waitReady(3)
	c.mustAttest(3, 200)
	for _, hash := range hashes {
		c.waitVerified(3, hash)
		c.waitVerified(fifth, hash)
	}
}

// TestDialsAnotherPeer has an address name the peer that is there.
func TestDialsAnotherPeer(t *testing.T) {
	c := newClusterOf(t, 4, 0)
	committee, err := quorum.NewCommittee(c.genesis)
	if err != nil {
		t.Fatal(err)
	}
	id := c.genesis.Members[1].PeerID
	for addr, want := range map[string]string{
		"/ip4/127.0.0.1/tcp/1":              c.genesis.Members[0].PeerID,
		"/ip4/127.0.0.1/tcp/1/p2p/" + id:    id,
		"/dns/acme.example/tcp/1/p2p/" + id: id,
	} {
		n := &Node{cfg: &config.Config{P2PDial: map[string]string{"node-1": addr}}}
		m, err := n.peerOf(committee, 0)
		if err != nil || m.ID.String() != want || len(m.Addrs) != 1 || strings.Contains(m.Addrs[0].String(), "/p2p/") {
			t.Errorf("%s: %+v %v", addr, m, err)
		}
	}
}

// TestParamsChange has the network take larger events from an epoch on.
func TestParamsChange(t *testing.T) {
	c := newChanging(t, 4)
	event := fmt.Appendf(nil, `{"event":{"type":"test.event","payload":{"text":%q}},"timeout_ms":5000}`, strings.Repeat("x", 800<<10))
	if status, text := c.call("POST", 0, "/v1/witness/attest", event); status != 413 {
		t.Errorf("%d %s", status, text)
	}
	c.change(0, "params.set", map[string]any{"max_event_bytes": 1 << 20, "max_batch_bytes": 4 << 20}, 1, 0, 1, 2, 3)
	status, text := c.call("POST", 0, "/v1/witness/attest", event)
	if status != 200 {
		t.Fatalf("%d %.300s", status, text)
	}
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatal(err)
	}
	for i := range c.nodes {
		c.waitVerified(i, a.Hash)
	}
	c.audited(1, 0, 1, 2, 3)
}

// TestWrongKeys has nodes start with keys that are not their members'.
func TestWrongKeys(t *testing.T) {
	c := newChanging(t, 4)
	fifth, _ := c.invite("node-5")
	strange, own := c.configs[fifth], c.configs[3]
	c.stop(3)
	for name, change := range map[string]func(*config.Config){
		"another's signing key": func(cfg *config.Config) { cfg.SigningKey = c.configs[0].SigningKey },
		"a stranger's":          func(cfg *config.Config) { cfg.SigningKey = strange.SigningKey },
		"another's peer key":    func(cfg *config.Config) { cfg.PeerKey = c.configs[0].PeerKey },
		"another's data":        func(cfg *config.Config) { *cfg = *strange; cfg.Data = own.Data },
		"nowhere to listen":     func(cfg *config.Config) { *cfg = *strange; cfg.P2PListen = nil },
	} {
		cfg := *own
		change(&cfg)
		if n, err := New(&cfg, slog.New(slog.NewTextHandler(io.Discard, nil))); err == nil {
			t.Errorf("%s: a node is made", name)
			_ = n.Close()
		}
	}

	// Somebody makes a key by the member's name: its members know another one.
	forged, _ := c.forge("node-4")
	if n, err := New(forged, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "not the one that the network has") {
		t.Errorf("%v", err)
		if n != nil {
			_ = n.Close()
		}
	}

	// A peer that nobody has accepted reaches nobody.
	c.start(fifth)
	c.refuses(fifth, "is not a member")
	for i, up := range c.nodes[fifth].host.Reachable() {
		if up {
			t.Errorf("a stranger reaches node %d", i+1)
		}
	}
}

// forge makes the files of a node that calls itself as a member does, with keys of
// its own.
func (c *cluster) forge(name string) (*config.Config, error) {
	c.t.Helper()
	dir := filepath.Join(c.t.TempDir(), "forged")
	_, err := setup.Create(dir, c.genesis.Network, []setup.Node{{
		Name: name, PeerAddr: fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", freePort(c.t)), HTTPListen: fmt.Sprintf("127.0.0.1:%d", freePort(c.t)),
	}})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, setup.GenesisFile)); err != nil {
		c.t.Fatal(err)
	}
	cfg, _, err := config.Load(filepath.Join(dir, name, setup.ConfigFile), nil, map[string]string{"tokens": c.configs[0].Tokens, "genesis": c.configs[0].Genesis})
	return cfg, err
}
