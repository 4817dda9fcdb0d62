package policy

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestExplainWithoutWebhook(t *testing.T) {
	v, err := New(Config{Clock: stillClock(nil), Rules: []Rule{
		{Action: "a.*", Vote: "reject"},
		{Action: "b.*", Proposer: "acme", Vote: "accept"},
		{Action: "b.*", Proposer: "node-*", Vote: "accept"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := v.Explain(t.Context(), proposal("b.set", "node-2"), true)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(e)
	const want = `{"rules":[{"rule":0,"matches":false,"why":"the action b.set is not a.*"},` +
		`{"rule":1,"matches":false,"why":"the proposer node-2 is not acme"},` +
		`{"rule":2,"matches":true,"why":"the action b.set is b.*, and the proposer node-2 is node-*"}],` +
		`"rule":2,"vote":"accept","verdict":{"vote":"accept","rule":2}}`
	if err != nil || string(got) != want {
		t.Errorf("%s %v, want %s", got, err, want)
	}
	e, err = v.Explain(t.Context(), proposal("c", "node-2"), false)
	if err != nil || e.Rule != NoRule || e.Vote != "manual" || len(e.Rules) != 3 || e.Verdict == nil || e.Verdict.Vote != Manual {
		t.Errorf("%+v %v", e, err)
	}
}

// TestExplainNetwork has a rule for everything say why that is not the committee.
func TestExplainNetwork(t *testing.T) {
	v, err := New(Config{Clock: stillClock(nil), Rules: []Rule{
		{Action: "config.*", Vote: "accept"}, {Action: "**", Vote: "accept"}, {Action: "membership.*", Vote: "reject"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := v.Explain(t.Context(), proposal("membership.add", "node-2"), false)
	if err != nil || e.Rule != 2 || e.Verdict.Vote != Reject || len(e.Rules) != 3 {
		t.Fatalf("%+v %v", e, err)
	}
	if e.Rules[0].Why != "the action membership.add is not config.*" ||
		e.Rules[1].Why != "the action membership.add changes the network: ** would have to begin with membership. or params." {
		t.Errorf("%+v", e.Rules)
	}
}

func TestExplainAsksOnlyIfTold(t *testing.T) {
	asked := ""
	s := newService(t, nil, func(_ int64, w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		asked = string(body)
		io.WriteString(w, `{"vote":"accept","reason":"fine"}`)
	})
	p := proposal("ask.this", "node-2")
	dry, err := s.Explain(t.Context(), p, false)
	if err != nil || s.tries.Load() != 0 || dry.Verdict != nil || dry.Vote != "webhook" {
		t.Fatalf("%+v %v, asked %d times", dry, err, s.tries.Load())
	}
	q := dry.Question
	if q == nil || q.TimeoutMS != 10_000 || q.Retries != 2 || q.WithinMS != 1_800_000 || q.Silence != Manual || strings.Contains(string(q.Body), `"test"`) {
		t.Errorf("%+v", q)
	}
	if text, err := json.Marshal(dry); err != nil || strings.Contains(string(text), secretText) {
		t.Errorf("%s %v", text, err)
	}
	real, err := s.Explain(t.Context(), p, true)
	if err != nil || s.tries.Load() != 1 || real.Verdict == nil || *real.Verdict != (Verdict{Vote: Accept, Reason: "fine"}) {
		t.Fatalf("%+v %v", real, err)
	}
	if !strings.Contains(asked, `"test":true`) || asked != string(real.Question.Body) || real.Question.Delivery == q.Delivery {
		t.Errorf("asked %s, would have asked %s", asked, q.Body)
	}
}
