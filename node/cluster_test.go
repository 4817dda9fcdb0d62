package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/strataos/strataos/node/auth"
	"github.com/strataos/strataos/node/config"
	"github.com/strataos/strataos/node/setup"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/proof"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Process-wide workers of libraries, which end with the process.
		goleak.IgnoreTopFunction("github.com/ipfs/go-log/v2/writer.(*MirrorWriter).logRoutine"),
		// Counts dead letters for a while after one, and then ends by itself.
		goleak.IgnoreAnyFunction("github.com/asynkron/protoactor-go/actor.NewDeadLetter.NewThrottle.func4.1"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
	)
}

// cluster is a network of real nodes on loopback, in this process.
type cluster struct {
	t       testing.TB
	dir     string
	genesis *protocol.Genesis
	policy  *proof.Policy
	token   string
	configs []*config.Config
	nodes   []*Node // nil while stopped
	client  *http.Client
}

// given are the ports that tests have.
var given = map[int]bool{}

// freePort finds a port that nobody listens on, below those that systems give to
// outgoing connections: a node that is stopped finds its own free again.
func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 10_000 + rand.IntN(20_000)
		if given[port] {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			l.Close()
			given[port] = true
			return port
		}
	}
	t.Fatal("there is no free port")
	return 0
}

func newCluster(t testing.TB, n int) *cluster {
	t.Helper()
	return newClusterOf(t, n, n)
}

// newClusterOf starts the first nodes of a network only.
func newClusterOf(t testing.TB, n, started int) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: filepath.Join(t.TempDir(), "net"), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	var plan []setup.Node
	for i := range n {
		plan = append(plan, setup.Node{
			Name:       fmt.Sprintf("node-%d", i+1),
			PeerAddr:   fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", freePort(t)),
			HTTPListen: fmt.Sprintf("127.0.0.1:%d", freePort(t)),
		})
	}
	var err error
	if c.genesis, err = setup.Create(c.dir, "strata.example/test", plan); err != nil {
		t.Fatal(err)
	}
	policy, err := os.ReadFile(filepath.Join(c.dir, setup.PolicyFile))
	if err != nil {
		t.Fatal(err)
	}
	if c.policy, err = proof.ParsePolicy(policy); err != nil {
		t.Fatal(err)
	}
	tokens := filepath.Join(c.dir, "tokens.json")
	if c.token, _, err = auth.Create(tokens, auth.Spec{Name: "test", Tier: auth.Production, Scopes: []auth.Scope{auth.Read, auth.Write, auth.Vote}}); err != nil {
		t.Fatal(err)
	}
	c.nodes = make([]*Node, n)
	for i := range n {
		cfg, _, err := config.Load(filepath.Join(c.dir, plan[i].Name, setup.ConfigFile), nil, map[string]string{"tokens": tokens})
		if err != nil {
			t.Fatal(err)
		}
		c.configs = append(c.configs, cfg)
		if i < started {
			c.start(i)
		}
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.stop(i)
		}
		c.client.CloseIdleConnections()
	})
	for i := range started {
		c.waitReady(i)
	}
	return c
}

func (c *cluster) start(i int) {
	c.t.Helper()
	out := io.Discard
	if testing.Verbose() && os.Getenv("STRATA_TEST_LOG") != "" {
		out = os.Stderr
	}
	logger := slog.New(slog.NewTextHandler(out, nil)).With("node", i+1)
	n, err := New(c.configs[i], logger)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := n.Start(context.Background()); err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i] = n
}

func (c *cluster) stop(i int) {
	c.t.Helper()
	if n := c.nodes[i]; n != nil {
		c.nodes[i] = nil
		if err := n.Close(); err != nil {
			c.t.Errorf("node %d: close: %v", i+1, err)
		}
		select {
		case err := <-n.Failed():
			c.t.Errorf("node %d failed: %v", i+1, err)
		default:
		}
	}
}

// eventually waits until a condition holds.
func (c *cluster) eventually(what string, d time.Duration, ok func() bool) {
	c.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.Now().Add(d)
	for !ok() {
		if time.Now().After(end) {
			c.t.Fatalf("not within %v: %s", d, what)
		}
		<-tick.C
	}
}

func (c *cluster) waitReady(i int) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("node %d is ready", i+1), 20*time.Second, func() bool {
		status, _ := c.call("GET", i, "/readyz", nil)
		return status == 200
	})
}

// call asks a node and returns the status and the body.
func (c *cluster) call(method string, i int, path string, body []byte, headers ...string) (int, []byte) {
	c.t.Helper()
	req, err := http.NewRequest(method, "http://"+c.configs[i].HTTPListen+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	for h := 0; h+1 < len(headers); h += 2 {
		req.Header.Set(headers[h], headers[h+1])
	}
	res, err := c.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil
	}
	return res.StatusCode, text
}

func eventBody(n int) []byte { return eventWithin(n, 1000) }

func eventWithin(n, ms int) []byte {
	return fmt.Appendf(nil, `{"event":{"type":"test.event","payload":{"n":%d}},"timeout_ms":%d}`, n, ms)
}

type answer struct {
	Hash   string       `json:"hash"`
	Quorum string       `json:"quorum"`
	Valid  bool         `json:"valid"`
	Count  int          `json:"count"`
	Proof  *proof.Proof `json:"proof"`
	Error  struct {
		Code    string         `json:"code"`
		Details map[string]any `json:"details"`
	} `json:"error"`
}

func (c *cluster) attest(i, n int) (int, answer, []byte) { return c.attestWithin(i, n, 1000) }

func (c *cluster) attestWithin(i, n, ms int) (int, answer, []byte) {
	c.t.Helper()
	status, text := c.call("POST", i, "/v1/witness/attest", eventWithin(n, ms))
	var a answer
	if status != 0 {
		if err := json.Unmarshal(text, &a); err != nil {
			c.t.Fatalf("%s: %v", text, err)
		}
	}
	return status, a, text
}

// mustAttest attests an event, however long that takes on a busy machine, verifies
// the answer offline and returns its hash.
func (c *cluster) mustAttest(i, n int) string {
	c.t.Helper()
	status, a, text := c.attestWithin(i, n, 5000)
	if status != 200 {
		c.t.Fatalf("node %d: %d %s", i+1, status, text)
	}
	c.verifyOffline(text)
	return a.Hash
}

func (c *cluster) verifyOffline(text []byte) {
	c.t.Helper()
	proofs, claims, err := proof.ParseProofs(text)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := proof.VerifyAll(c.policy, proofs, claims); err != nil {
		c.t.Fatalf("%v: %s", err, text)
	}
}

// waitVerified waits until a node verifies an event.
func (c *cluster) waitVerified(i int, hash string) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("node %d verifies %s", i+1, hash), 20*time.Second, func() bool {
		status, text := c.call("GET", i, "/v1/witness/verify/"+hash, nil)
		var a answer
		return status == 200 && json.Unmarshal(text, &a) == nil && a.Valid
	})
}
