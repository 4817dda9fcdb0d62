package policy

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strataos/strataos/node/webhook"
	"github.com/strataos/strataos/protocol"
)

const secretText = "0123456789abcdef0123456789abcdef"

var now = time.Unix(1_700_000_000, 0)

// stillClock never advances, and does not wait: it notes what it was to wait.
func stillClock(waits *[]time.Duration) webhook.Clock {
	var mu sync.Mutex
	return webhook.Clock{
		Now:    func() time.Time { return now },
		Random: func() float64 { return 0 },
		Sleep: func(ctx context.Context, d time.Duration) error {
			mu.Lock()
			defer mu.Unlock()
			if waits != nil {
				*waits = append(*waits, d)
			}
			return ctx.Err()
		},
	}
}

// proposal is one whose deadline is an hour ahead.
func proposal(action, proposer string) *protocol.Proposal {
	text := []byte(`{"action":{"payload":{"html":"<b>&\u2028"},"type":"` + action + `"},"proposer":"` + proposer + `"}`)
	return &protocol.Proposal{
		ID: sha256.Sum256(text), Proposer: proposer, Action: protocol.Action{Type: action}, Canonical: text,
		Deadline: protocol.Micros(now.Add(time.Hour).UnixMicro()),
	}
}

// service is a webhook that a test is, and a Voter whose only rule asks it.
type service struct {
	*Voter
	waits []time.Duration
	tries atomic.Int64
}

// newService has each try answered by a function that is told the number of the
// try, from 1 on.
func newService(t *testing.T, change func(*Webhook), answer func(try int64, w http.ResponseWriter, r *http.Request)) *service {
	t.Helper()
	s := &service{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(s.tries.Add(1), w, r)
	}))
	t.Cleanup(server.Close)
	w := hook()
	w.URL, w.TimeoutMS, w.SecretFile = server.URL, 10_000, filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(w.SecretFile, []byte(secretText+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(w)
	}
	var err error
	s.Voter, err = New(Config{
		Network: "strata.example/test", Member: "node-1", Clock: stillClock(&s.waits),
		Rules: []Rule{{Action: "ask.**", Vote: "webhook", Webhook: w}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func (s *service) expect(t *testing.T, want Verdict, tries int64) {
	t.Helper()
	got, err := s.Decide(t.Context(), proposal("ask.this", "node-2"))
	note := got.Note
	got.Note = ""
	expectNote := want.Note
	want.Note = ""
	if err != nil || got != want || (expectNote == "") != (note == "") || !strings.Contains(note, expectNote) {
		t.Errorf("%+v, note %q, %v; want %+v, note %q", got, note, err, want, expectNote)
	}
	if n := s.tries.Load(); n != tries {
		t.Errorf("asked %d times, want %d", n, tries)
	}
}

func TestFirstMatchWins(t *testing.T) {
	v, err := New(Config{Clock: stillClock(nil), Rules: []Rule{
		{Action: "membership.*", Vote: "manual"},
		{Action: "config.*", Proposer: "acme", Vote: "accept"},
		{Action: "config.drop", Vote: "reject"},
		{Action: "**", Proposer: "globex-*", Vote: "accept"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for _, c := range []struct {
		action, proposer string
		want             Verdict
	}{
		{"membership.add", "globex-1", Verdict{Vote: Manual, Rule: 0}},
		{"config.drop", "acme", Verdict{Vote: Accept, Rule: 1}},
		{"config.drop", "globex-1", Verdict{Vote: Reject, Rule: 2}},
		{"config.set", "globex-1", Verdict{Vote: Accept, Rule: 3}},
		{"config.set", "globex", Verdict{Vote: Manual, Rule: NoRule}},
		{"membership.a.b", "acme", Verdict{Vote: Manual, Rule: NoRule}},
	} {
		got, err := v.Decide(t.Context(), proposal(c.action, c.proposer))
		if err != nil || got != c.want {
			t.Errorf("%s by %s: %+v %v, want %+v", c.action, c.proposer, got, err, c.want)
		}
	}
}

func TestNoRulesIsManual(t *testing.T) {
	v, err := New(Config{Clock: stillClock(nil)})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Decide(t.Context(), proposal("a", "b")); err != nil || got != (Verdict{Rule: NoRule}) {
		t.Errorf("%+v %v", got, err)
	}
}

// TestQuestion holds what is posted to what is promised.
func TestQuestion(t *testing.T) {
	secret, err := webhook.NewSecret([]byte(secretText))
	if err != nil {
		t.Fatal(err)
	}
	p := proposal("ask.this", "node-2")
	s := newService(t, nil, func(_ int64, w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if err := secret.Verify(r.Header.Get(webhook.SignatureHeader), body, now, 0); err != nil {
			t.Error(err)
		}
		var q question
		if err := json.Unmarshal(body, &q); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		if q.Type != "accord.vote" || q.ID != p.ID || q.Member != "node-1" || q.Network != "strata.example/test" || q.Test ||
			q.Delivery != r.Header.Get(webhook.DeliveryHeader) || len(q.Delivery) != 32 {
			t.Errorf("asked %s", body)
		}
		if sha256.Sum256(q.Proposal) != p.ID {
			t.Errorf("the proposal in %s does not have its id", body)
		}
		io.WriteString(w, `{"vote":"reject","reason":"too dear"}`)
	})
	s.expect(t, Verdict{Vote: Reject, Reason: "too dear"}, 1)
}

func TestRetriesAndSilence(t *testing.T) {
	status := func(code int) func(int64, http.ResponseWriter, *http.Request) {
		return func(_ int64, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	silence := func(vote string) func(*Webhook) { return func(w *Webhook) { w.Silence = vote } }
	for _, c := range []struct {
		name   string
		change func(*Webhook)
		answer func(int64, http.ResponseWriter, *http.Request)
		want   Verdict
		tries  int64
	}{
		{"comes round", nil, func(try int64, w http.ResponseWriter, _ *http.Request) {
			if try < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			io.WriteString(w, `{"vote":"accept"}`)
		}, Verdict{Vote: Accept}, 3},
		{"down, accept", silence("accept"), status(500), Verdict{Vote: Accept, Note: "(tries: 3): answered 500"}, 3},
		{"down, reject", silence("reject"), status(502), Verdict{Vote: Reject, Note: "silence is reject"}, 3},
		{"down, manual", nil, status(429), Verdict{Vote: Manual, Note: "answered 429"}, 3},
		{"no retries", func(w *Webhook) { w.Retries = 0 }, status(500), Verdict{Note: "(tries: 1)"}, 1},
		{"refuses", silence("accept"), status(401), Verdict{Vote: Accept, Note: "answered 401"}, 1},
		{"redirects", nil, func(_ int64, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusPermanentRedirect)
		}, Verdict{Note: "answered 308"}, 1},
		{"babbles", silence("reject"), func(_ int64, w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "<html>")
		}, Verdict{Vote: Reject, Note: "not an object"}, 1},
		{"endless", nil, func(_ int64, w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"vote":"accept","x":"`+strings.Repeat("x", webhook.MaxAnswerBytes)+`"}`)
		}, Verdict{Note: "more than"}, 1},
		{"hangs", func(w *Webhook) { w.TimeoutMS, w.Retries, w.Silence = MinTimeoutMS, 1, "reject" }, func(_ int64, _ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}, Verdict{Vote: Reject, Note: "no answer within 10ms"}, 2},
	} {
		t.Run(c.name, func(t *testing.T) { newService(t, c.change, c.answer).expect(t, c.want, c.tries) })
	}
}

func TestBackoffGrows(t *testing.T) {
	s := newService(t, func(w *Webhook) { w.Retries = MaxRetries }, func(_ int64, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
	})
	s.expect(t, Verdict{Note: "(tries: 11)"}, 11)
	if len(s.waits) != MaxRetries || s.waits[0] != backoff.First/2 || s.waits[1] != backoff.First || s.waits[9] != backoff.Most/2 {
		t.Errorf("waited %v", s.waits)
	}
}

// TestSilenceComesInTime asks one that hangs about a proposal that is soon over,
// and one about a proposal that is over already.
func TestSilenceComesInTime(t *testing.T) {
	s := newService(t, func(w *Webhook) { w.TimeoutMS, w.Silence = MaxTimeoutMS, "accept" }, func(_ int64, _ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	p := proposal("ask.this", "node-2")
	for _, left := range []time.Duration{20 * time.Millisecond, 0, -time.Hour} {
		p.Deadline = protocol.Micros(now.Add(left).UnixMicro())
		got, err := s.Decide(t.Context(), p)
		if err != nil || got.Vote != Accept || !strings.Contains(got.Note, "deadline") {
			t.Errorf("%v left: %+v %v", left, got, err)
		}
	}
	if n := s.tries.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestStoppingIsNotSilence ends the context while a webhook is asked whose silence
// accepts: that must not become a vote.
func TestStoppingIsNotSilence(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	s := newService(t, func(w *Webhook) { w.Silence = "accept" }, func(_ int64, _ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		stop()
		<-r.Context().Done()
	})
	if got, err := s.Decide(ctx, proposal("ask.this", "node-2")); err == nil {
		t.Errorf("a node that stops decided: %+v", got)
	}
}

// TestAskingIsBounded asks about more than is allowed at a time.
func TestAskingIsBounded(t *testing.T) {
	var now, most atomic.Int64
	full := make(chan struct{})
	s := newService(t, nil, func(try int64, w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if try == maxAsking {
			close(full)
		}
		<-full
		io.WriteString(w, `{"vote":"accept"}`)
	})
	var wg sync.WaitGroup
	for range 5 * maxAsking {
		wg.Go(func() {
			if v, err := s.Decide(t.Context(), proposal("ask.this", "node-2")); err != nil || v.Vote != Accept {
				t.Errorf("%+v %v", v, err)
			}
		})
	}
	wg.Wait()
	if most.Load() != maxAsking {
		t.Errorf("%d were asked about at a time, want %d", most.Load(), maxAsking)
	}
}
