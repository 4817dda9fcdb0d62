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
	// Interrupted says that faults and load ended before their time.
	Interrupted bool `json:"interrupted"`
	// Examined is how many events every node was asked for.
	Examined int `json:"examined"`
	// Lost events were acknowledged, and a node says that it has them not.
	Lost []string `json:"lost"`
	// Open events are those that a node has not answered for in time.
	Open      []string `json:"open"`
	Conflicts []string `json:"conflicts"`
}

const (
	// judgeTime is how long a node may take to verify all that it is asked for,
	// and eventTime how long for one event.
	judgeTime = 2 * time.Minute
	eventTime = 30 * time.Second
	// maxExamined is up to how many events every node is asked for. Of more, it
	// is asked for as many that are spread evenly.
	maxExamined = 5_000
	// examiners is how many of them a node is asked for at once.
	examiners = 8
)

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
	hashes := sample(l.hashes, maxExamined)
	v := &chaosVerdict{
		Examined: len(hashes), Open: []string{}, Seconds: seconds, Commands: c.done, Sent: l.sent, Acknowledged: len(l.hashes),
		Unanswered: l.lost, Retries: l.retries, Conflicts: l.conflicts, Lost: []string{},
	}
	ctx, cancel := context.WithTimeout(ctx, judgeTime)
	defer cancel()
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, n := range l.nodes {
		asking.Go(func() {
			found := l.examine(ctx, n, hashes)
			mu.Lock()
			defer mu.Unlock()
			v.Lost = append(v.Lost, found.lost...)
			v.Open = append(v.Open, found.open...)
			v.Conflicts = append(v.Conflicts, found.conflicts...)
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
	v.Good = len(v.Lost)+len(v.Open)+len(v.Conflicts) == 0 && v.Acknowledged > 0
	return v, nil
}

// sample returns at most a number of strings, spread evenly.
func sample(all []string, most int) []string {
	if len(all) <= most {
		return all
	}
	out := make([]string, most)
	for i := range out {
		out[i] = all[i*len(all)/most]
	}
	return out
}

// findings are what is wrong with a node.
type findings struct {
	mu                    sync.Mutex
	lost, open, conflicts []string
}

func (f *findings) add(list *[]string, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*list = append(*list, fmt.Sprintf(format, args...))
}

// examine asks a node for events, some at once, and for evidence against
// others.
func (l *chaosLoad) examine(ctx context.Context, n devNode, hashes []string) *findings {
	f := &findings{}
	todo := make(chan string)
	var asking sync.WaitGroup
	for range examiners {
		asking.Go(func() {
			for hash := range todo {
				l.verified(ctx, n, hash, f)
			}
		})
	}
	for _, hash := range hashes {
		todo <- hash
	}
	close(todo)
	asking.Wait()
	if err := l.noEvidence(ctx, n); err != nil {
		f.add(&f.conflicts, "%v", err)
	}
	return f
}

// verified waits until a node verifies an event. One that says to the end that
// it has not got the event has lost it; one that says nothing may have it.
func (l *chaosLoad) verified(ctx context.Context, n devNode, hash string, f *findings) {
	ctx, cancel := context.WithTimeout(ctx, eventTime)
	defer cancel()
	for said := ""; ; {
		text, err := l.ask(ctx, http.MethodGet, n.URL+"/v1/witness/verify/"+hash, nil)
		var a struct {
			Valid bool `json:"valid"`
		}
		answered := err == nil && json.Unmarshal(text, &a) == nil
		switch {
		case answered && a.Valid:
			if _, err := l.note(text); err != nil {
				f.add(&f.conflicts, "%s at %s: %v", hash, n.Name, err)
			}
			return
		case answered:
			said = string(text)
		case ctx.Err() == nil:
			said = "" // what it said before may be over
		}
		if sleep(ctx, 50*time.Millisecond) {
			continue
		}
		if said != "" {
			f.add(&f.lost, "%s at %s: not verified: %s", hash, n.Name, said)
		} else {
			f.add(&f.open, "%s at %s: no answer in time: %v", hash, n.Name, err)
		}
		return
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
	if v.Interrupted {
		p.Printf("interrupted: this is about what was done until then\n")
	}
	if v.Examined < v.Acknowledged {
		p.Printf("every node was asked for %d of the events, spread evenly\n", v.Examined)
	}
	if v.Good {
		p.Printf("every node had verified what it was asked for %.1f s after the last fault\n", v.HealedSeconds)
	}
	const most = 10
	for _, list := range [][]string{v.Lost, v.Conflicts, v.Open} {
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
		p.Printf("%s %d lost, %d contradictions, %d without an answer in time\n", p.Red("✗"), len(v.Lost), len(v.Conflicts), len(v.Open))
	}
}
