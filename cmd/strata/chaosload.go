package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/strataos/strataos/cmd/strata/internal/term"
	"github.com/strataos/strataos/protocol/proof"
)

// chaosTimeout is how long a node may take to answer before its client tries
// the next one.
const chaosTimeout = time.Second

// chaosLoad attests events at a rate, each at one node and, if that does not
// answer, at the others in turn, and keeps what was acknowledged.
type chaosLoad struct {
	nodes   []devNode
	token   string
	client  *http.Client
	policy  *proof.Policy
	cancel  context.CancelFunc
	running sync.WaitGroup
	started time.Time

	mu        sync.Mutex
	sent      int
	lost      int // answered by no node
	retries   int
	took      []time.Duration
	hashes    []string
	roots     map[string]string // by origin and size
	conflicts []string
}

func startChaosLoad(info *devInfo, rate float64) (*chaosLoad, error) {
	text, err := os.ReadFile(info.Policy)
	if err != nil {
		return nil, err
	}
	policy, err := proof.ParsePolicy(text)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &chaosLoad{
		nodes: slices.Clone(info.Nodes), token: info.Token, policy: policy, cancel: cancel, started: time.Now(), roots: map[string]string{}, conflicts: []string{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	l.running.Go(func() { l.run(ctx, rate) })
	return l, nil
}

// maxChaosOpen bounds the events that wait for an answer.
const maxChaosOpen = 512

func (l *chaosLoad) run(ctx context.Context, rate float64) {
	ticker := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer ticker.Stop()
	slots := make(chan struct{}, maxChaosOpen)
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		select {
		case slots <- struct{}{}:
			l.running.Go(func() {
				l.attest(ctx, n)
				<-slots
			})
		default: // all wait: this event is not sent
		}
	}
}

// attest sends an event to one node after the other until one acknowledges it.
func (l *chaosLoad) attest(ctx context.Context, n int) {
	body := fmt.Appendf(nil, `{"event":{"type":"chaos.event","payload":{"n":%d,"run":"%d"}},"timeout_ms":%d}`,
		n, l.started.UnixNano(), chaosTimeout.Milliseconds())
	begin := time.Now()
	for try := range len(l.nodes) {
		node := l.nodes[(n+try)%len(l.nodes)]
		text, err := l.ask(ctx, http.MethodPost, node.URL+"/v1/witness/attest", body)
		if ctx.Err() != nil {
			return // nobody waits for it
		}
		l.mu.Lock()
		if try > 0 {
			l.retries++
		}
		l.mu.Unlock()
		if err == nil {
			l.acknowledged(text, time.Since(begin))
			return
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	l.lost++
}

func (l *chaosLoad) ask(ctx context.Context, method, url string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, chaosTimeout+500*time.Millisecond)
	defer cancel()
	return callWith(ctx, l.client, method, url, l.token, body, nil)
}

// acknowledged checks an answer offline and keeps it.
func (l *chaosLoad) acknowledged(text []byte, took time.Duration) {
	hash, err := l.note(text)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	l.took = append(l.took, took)
	if err != nil {
		l.conflicts = append(l.conflicts, err.Error())
		return
	}
	l.hashes = append(l.hashes, hash)
}

// note verifies an answer, and compares the tree head that it shows with what
// others have shown.
func (l *chaosLoad) note(text []byte) (string, error) {
	p, claims, err := proof.ParseAnswer(text)
	if err != nil {
		return "", err
	}
	report, err := proof.Verify(l.policy, p, claims)
	if err != nil {
		return "", err
	}
	_, note, _ := strings.Cut(p.TLogProof, "\n\n")
	lines := strings.SplitN(note, "\n", 4)
	if len(lines) < 4 {
		return "", fmt.Errorf("a proof without a checkpoint: %.100s", p.TLogProof)
	}
	key := fmt.Sprintf("%s at size %s", lines[0], lines[1])
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, ok := l.roots[key]; ok && old != lines[2] {
		return "", fmt.Errorf("%s there are two roots, %s and %s", key, old, lines[2])
	}
	l.roots[key] = lines[2]
	return report.Hash.String(), nil
}

func (l *chaosLoad) summary() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%6.1f s  %d acknowledged, %d not", time.Since(l.started).Seconds(), len(l.hashes), l.lost)
}

func (l *chaosLoad) stop() {
	l.cancel()
	l.running.Wait()
}

// chaosVerdict is what strata chaos finds.
type chaosVerdict struct {
	Good         bool    `json:"good"`
	Seconds      float64 `json:"seconds"`
	Commands     int     `json:"commands"`
	Sent         int     `json:"sent"`
	Acknowledged int     `json:"acknowledged"`
	// Unanswered events were acknowledged by no node in time, and Retries is
	// how often a client had to go on to another node.
	Unanswered int     `json:"unanswered"`
	Retries    int     `json:"retries"`
	Available  float64 `json:"availability_percent"`
	P50        float64 `json:"p50_ms"`
	P95        float64 `json:"p95_ms"`
	P99        float64 `json:"p99_ms"`
	// HealedSeconds is how long it took until every node verified everything.
	HealedSeconds float64 `json:"healed_seconds"`
	// Lost events were acknowledged and are not verified by a node.
	Lost      []string `json:"lost"`
	Conflicts []string `json:"conflicts"`
}

// judgeTime is how long a node may take to verify all that was acknowledged.
const judgeTime = time.Minute

// judge ends the load and the faults, and has every node verify every event
// that was acknowledged.
func (c *chaosNetwork) judge(ctx context.Context) (*chaosVerdict, error) {
	l := c.load
	seconds := time.Since(l.started).Seconds()
	l.stop()
	begin := time.Now()
	if err := c.heal(ctx); err != nil {
		return nil, err
	}
	v := &chaosVerdict{
		Seconds: seconds, Commands: c.done, Sent: l.sent, Acknowledged: len(l.hashes),
		Unanswered: l.lost, Retries: l.retries, Conflicts: l.conflicts, Lost: []string{},
	}
	ctx, cancel := context.WithTimeout(ctx, judgeTime)
	defer cancel()
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, n := range l.nodes {
		asking.Go(func() {
			lost, conflict := l.examine(ctx, n)
			mu.Lock()
			defer mu.Unlock()
			v.Lost = append(v.Lost, lost...)
			if conflict != nil {
				v.Conflicts = append(v.Conflicts, conflict.Error())
			}
		})
	}
	asking.Wait()
	v.HealedSeconds = time.Since(begin).Seconds()
	slices.Sort(l.took)
	at := func(q float64) float64 {
		if len(l.took) == 0 {
			return 0
		}
		return float64(l.took[min(int(q*float64(len(l.took))), len(l.took)-1)].Microseconds()) / 1000
	}
	v.P50, v.P95, v.P99 = at(0.5), at(0.95), at(0.99)
	v.Available = 100 * float64(v.Acknowledged) / float64(max(v.Sent, 1))
	v.Good = len(v.Lost) == 0 && len(v.Conflicts) == 0 && v.Acknowledged > 0
	return v, nil
}

// examine asks a node for every event, and for evidence against others.
func (l *chaosLoad) examine(ctx context.Context, n devNode) (lost []string, conflict error) {
	for _, hash := range l.hashes {
		if err := l.verified(ctx, n, hash); err != nil {
			lost = append(lost, fmt.Sprintf("%s at %s: %v", hash, n.Name, err))
		}
	}
	return lost, l.noEvidence(ctx, n)
}

// verified waits until a node verifies an event.
func (l *chaosLoad) verified(ctx context.Context, n devNode, hash string) error {
	for {
		text, err := l.ask(ctx, http.MethodGet, n.URL+"/v1/witness/verify/"+hash, nil)
		var a struct {
			Valid bool `json:"valid"`
		}
		if err == nil && json.Unmarshal(text, &a) == nil && a.Valid {
			_, err = l.note(text)
			return err
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return fmt.Errorf("not verified: %s, %w", text, err)
		}
	}
}

// noEvidence demands that a node has evidence against nobody: all are honest.
func (l *chaosLoad) noEvidence(ctx context.Context, n devNode) error {
	text, err := l.ask(ctx, http.MethodGet, n.URL+"/v1/witness/evidence", nil)
	if err != nil {
		return err
	}
	var a struct {
		Evidence []json.RawMessage `json:"evidence"`
	}
	if err := json.Unmarshal(text, &a); err != nil || len(a.Evidence) > 0 {
		return fmt.Errorf("%s has evidence: %s", n.Name, text)
	}
	return nil
}

func (v *chaosVerdict) tell(p *term.Printer) {
	p.Printf("\n%.1f s, %d commands\n", v.Seconds, v.Commands)
	p.Printf("%d of %d events acknowledged (%.2f %%), %d times by another node than asked first\n", v.Acknowledged, v.Sent, v.Available, v.Retries)
	p.Printf("latency p50 %.2f, p95 %.2f, p99 %.2f ms, waiting for nodes that do not answer included\n", v.P50, v.P95, v.P99)
	p.Printf("every node had verified everything %.1f s after the last fault\n", v.HealedSeconds)
	const most = 10
	for _, list := range [][]string{v.Lost, v.Conflicts} {
		for _, text := range list[:min(len(list), most)] {
			p.Printf("%s %s\n", p.Red("✗"), text)
		}
	}
	switch {
	case v.Good:
		p.Printf("%s nothing acknowledged is lost, and no two nodes contradict each other\n", p.Green("✓"))
	case v.Acknowledged == 0:
		p.Printf("%s nothing was acknowledged\n", p.Red("✗"))
	default:
		p.Printf("%s %d lost, %d contradictions\n", p.Red("✗"), len(v.Lost), len(v.Conflicts))
	}
}
