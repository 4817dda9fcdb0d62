package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/proof"
)

// TestKillUnderLoad kills every node of a network with SIGKILL, one at a time
// and some twice, while clients attest. Whatever was acknowledged must be verified
// by every node afterwards, with one root for each size of each log and one
// entry for each leaf, whoever tells it.
func TestKillUnderLoad(t *testing.T) {
	net := startProcesses(t)
	load := net.load()
	victims := rand.Perm(len(net.info.Nodes))
	if !testing.Short() {
		for range 2 {
			victims = append(victims, rand.IntN(len(net.info.Nodes)))
		}
	}
	for round, i := range victims {
		load.awaitMore(50)
		net.kill(i)
		load.awaitMore(50) // three of four go on
		net.restart(i)
		t.Logf("round %d: killed and restarted %s, %d acknowledged", round, net.info.Nodes[i].Name, load.count())
	}
	acknowledged := load.stop()
	net.check(acknowledged)
}

// processes is a local network of one process a node.
type processes struct {
	t      *testing.T
	dir    string
	out    *output // of strata dev
	info   *devInfo
	policy *proof.Policy
	pids   []int
}

func startProcesses(t *testing.T) *processes {
	t.Helper()
	p := &processes{t: t, dir: filepath.Join(t.TempDir(), "net")}
	_, p.out = p.spawn("dev", "--data", p.dir, "--http-port", "0")
	// Until it has greeted, dev takes a node that stops for a failed start.
	p.await("Ctrl-C")
	var err error
	if p.info, err = readDev(p.dir); err != nil {
		t.Fatal(err)
	}
	for _, n := range p.info.Nodes {
		p.pids = append(p.pids, n.PID)
	}
	text, err := os.ReadFile(p.info.Policy)
	if err != nil {
		t.Fatal(err)
	}
	if p.policy, err = proof.ParsePolicy(text); err != nil {
		t.Fatal(err)
	}
	return p
}

// await waits until strata dev has printed a text.
func (p *processes) await(text string) {
	p.t.Helper()
	if err := poll(readyIn, func() error {
		if !strings.Contains(p.out.String(), text) {
			return fmt.Errorf("strata dev does not say %q:\n%s", text, p.out)
		}
		return nil
	}); err != nil {
		p.t.Fatal(err)
	}
}

// spawn starts the command as a process that ends with the test.
func (p *processes) spawn(args ...string) (*os.Process, *output) {
	p.t.Helper()
	cmd := exec.Command("strata", args...)
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	p.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have been killed
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			p.t.Errorf("strata %s does not end:\n%s", args[0], out.String())
			_ = cmd.Process.Kill()
		}
	})
	return cmd.Process, out
}

// output is what a process has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (p *processes) kill(i int) {
	p.t.Helper()
	if err := syscall.Kill(p.pids[i], syscall.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
}

// restart starts a node again, on the port that it had, and waits for it.
func (p *processes) restart(i int) {
	p.t.Helper()
	n := p.info.Nodes[i]
	proc, _ := p.spawn("run", "--config", filepath.Join(n.Data, "config.toml"),
		"--tokens", filepath.Join(p.dir, devTokens), "--http-listen", strings.TrimPrefix(n.URL, "http://"))
	p.pids[i] = proc.Pid
	if err := poll(readyIn, func() error { return ready(n.URL) }); err != nil {
		p.t.Fatal(err)
	}
}

// clients attest without pause, by a client at every node.
type clients struct {
	t       *testing.T
	net     *processes
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	answers [][]byte
}

func (p *processes) load() *clients {
	ctx, cancel := context.WithCancel(context.Background())
	l := &clients{t: p.t, net: p, cancel: cancel}
	for i, n := range p.info.Nodes {
		for k := range 4 {
			l.running.Go(func() {
				for j := 0; ctx.Err() == nil; j++ {
					l.attest(ctx, n.URL, fmt.Sprintf("%d-%d-%d", i, k, j))
				}
			})
		}
	}
	p.t.Cleanup(func() { cancel(); l.running.Wait() })
	return l
}

func (l *clients) attest(ctx context.Context, url, name string) {
	body := fmt.Appendf(nil, `{"event":{"type":"crash.test","payload":{"name":%q}}}`, name)
	answer, err := call(ctx, "POST", url+"/v1/witness/attest", l.net.info.Token, body, nil)
	if err != nil {
		// Its node may be down; another try comes soon, but not at once.
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers = append(l.answers, answer)
}

func (l *clients) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.answers)
}

// awaitMore waits until so many more events have been acknowledged.
func (l *clients) awaitMore(n int) {
	l.t.Helper()
	want := l.count() + n
	if err := poll(30*time.Second, func() error {
		if l.count() < want {
			return fmt.Errorf("%d of %d", l.count(), want)
		}
		return nil
	}); err != nil {
		l.t.Fatalf("attestations do not go on: %v\n%s", err, l.net.describe())
	}
}

// describe tells how every node is, for who looks for a fault.
func (p *processes) describe() string {
	var b strings.Builder
	for _, n := range p.info.Nodes {
		for _, path := range []string{"/readyz", "/v1/network"} {
			text, err := call(context.Background(), http.MethodGet, n.URL+path, p.info.Token, nil, nil)
			fmt.Fprintf(&b, "%s %s: %s %v\n", n.Name, path, text[max(0, len(text)-700):], err)
		}
		b.WriteString(logTail(n.Data))
	}
	return b.String()
}

func (l *clients) stop() [][]byte {
	l.cancel()
	l.running.Wait()
	return l.answers
}

// record notes what is said of logs, and finds contradictions.
type record struct {
	t     *testing.T
	roots map[string]string // by origin and size
	leafs map[string]string // by origin and index
}

func (r *record) note(policy *proof.Policy, text []byte) protocol.Hash {
	r.t.Helper()
	p, claims, err := proof.ParseAnswer(text)
	if err != nil {
		r.t.Fatal(err)
	}
	report, err := proof.Verify(policy, p, claims)
	if err != nil {
		r.t.Fatalf("%v: %s", err, text)
	}
	note := p.TLogProof[strings.Index(p.TLogProof, "\n\n")+2:]
	r.same(r.roots, fmt.Sprintf("%s at size %d", p.Origin, p.Size), strings.SplitN(note, "\n", 4)[2])
	r.same(r.leafs, fmt.Sprintf("%s at leaf %d", p.Origin, p.Index), string(p.Entry))
	return report.Hash
}

func (r *record) same(seen map[string]string, key, value string) {
	r.t.Helper()
	if old, ok := seen[key]; ok && old != value {
		r.t.Fatalf("%s there are %s and %s", key, old, value)
	}
	seen[key] = value
}

func (p *processes) check(acknowledged [][]byte) {
	p.t.Helper()
	r := &record{t: p.t, roots: map[string]string{}, leafs: map[string]string{}}
	for _, text := range acknowledged {
		hash := r.note(p.policy, text)
		for _, n := range p.info.Nodes {
			r.note(p.policy, p.verified(n, hash))
		}
	}
	for _, n := range p.info.Nodes {
		answer, err := call(context.Background(), http.MethodGet, n.URL+"/v1/witness/evidence", p.info.Token, nil, nil)
		if err != nil || !bytes.Contains(answer, []byte(`"evidence":[]`)) {
			p.t.Errorf("%s: %s, %v", n.Name, answer, err)
		}
	}
	p.t.Logf("%d events verified at each of %d nodes", len(acknowledged), len(p.info.Nodes))
}

// verified waits until a node, which may still be catching up, verifies an
// event, and returns its answer.
func (p *processes) verified(n devNode, hash protocol.Hash) []byte {
	p.t.Helper()
	var text []byte
	err := poll(20*time.Second, func() (err error) {
		text, err = call(context.Background(), http.MethodGet, n.URL+"/v1/witness/verify/"+hash.String(), p.info.Token, nil, nil)
		if err != nil {
			return err
		}
		var a struct {
			Valid bool `json:"valid"`
		}
		if err := json.Unmarshal(text, &a); err != nil || !a.Valid {
			return fmt.Errorf("%s, %w", text, err)
		}
		return nil
	})
	if err != nil {
		p.t.Fatalf("%s: %s was acknowledged but is not verified: %v", n.Name, hash, err)
	}
	return text
}
