package policy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strataos/strataos/protocol"
)

// hook is a webhook that nothing is wrong with.
func hook() *Webhook {
	return &Webhook{URL: "https://rules.example/vote", SecretFile: "secret", TimeoutMS: 2000, Retries: 2, Silence: "manual"}
}

func TestCheck(t *testing.T) {
	asks := func(change func(*Webhook)) []Rule {
		w := hook()
		change(w)
		return []Rule{{Action: "a.*", Vote: "accept"}, {Action: "b.*", Vote: "webhook", Webhook: w}}
	}
	for _, c := range []struct {
		rules []Rule
		field string // "" is good
		want  string
	}{
		{nil, "", ""},
		{[]Rule{{Action: "test.*", Vote: "accept"}, {Action: "**", Vote: "reject"}}, "", ""},
		{[]Rule{{Action: "**", Proposer: "node-*", Vote: "manual"}, {Action: "**", Vote: "reject"}}, "", ""},
		{[]Rule{{Action: "**", Vote: "accept"}, {Action: "membership.*", Vote: "reject"}}, "", ""},
		{[]Rule{{Action: "**", Vote: "accept"}, {Action: "params.**", Proposer: "acme", Vote: "accept"}}, "", ""},
		{asks(func(*Webhook) {}), "", ""},
		{asks(func(w *Webhook) { w.URL, w.AllowHTTP = "http://rules.internal", true }), "", ""},
		{asks(func(w *Webhook) { w.Retries = 0 }), "", ""},

		{make([]Rule, MaxRules+1), "accord.policies", "257"},
		{[]Rule{{Vote: "accept"}}, "accord.policies[0].action", "1 to 256"},
		{[]Rule{{Action: "**.a", Vote: "accept"}}, "accord.policies[0].action", "last segment"},
		{[]Rule{{Action: "a", Proposer: "node 1", Vote: "accept"}}, "accord.policies[0].proposer", "node 1"},
		{[]Rule{{Action: "a"}}, "accord.policies[0].vote", "accept, reject, manual or webhook"},
		{[]Rule{{Action: "a", Vote: "yes"}}, "accord.policies[0].vote", `"yes"`},
		{[]Rule{{Action: "a", Vote: "webhook"}}, "accord.policies[0].webhook", "missing"},
		{[]Rule{{Action: "a", Vote: "accept", Webhook: hook()}}, "accord.policies[0].webhook", "never be asked"},
		{[]Rule{{Action: "**", Vote: "accept"}, {Action: "a", Vote: "reject"}}, "accord.policies[1]", "accord.policies[0]"},
		{[]Rule{{Action: "a", Proposer: "x", Vote: "accept"}, {Action: "a", Proposer: "x", Vote: "reject"}}, "accord.policies[1]", "never reached"},
		{[]Rule{{Action: "a", Vote: "accept"}, {Action: "a", Proposer: "x", Vote: "reject"}}, "accord.policies[1]", "never reached"},
		{[]Rule{{Action: "**", Vote: "accept"}, {Action: "membership", Vote: "reject"}}, "accord.policies[1]", "never reached"},
		{[]Rule{{Action: "**", Vote: "accept"}, {Action: "m*.add", Vote: "reject"}}, "accord.policies[1]", "never reached"},
		{[]Rule{{Action: "membership.*", Vote: "accept"}, {Action: "membership.*", Proposer: "x", Vote: "reject"}}, "accord.policies[1]", "never reached"},

		{asks(func(w *Webhook) { w.URL = "" }), "accord.policies[1].webhook.url", "missing"},
		{asks(func(w *Webhook) { w.URL = "http://rules.internal" }), "accord.policies[1].webhook.url", "allow_http"},
		{asks(func(w *Webhook) { w.SecretFile = "" }), "accord.policies[1].webhook.secret_file", "missing"},
		{asks(func(w *Webhook) { w.TimeoutMS = 0 }), "accord.policies[1].webhook.timeout_ms", "10 to 30000"},
		{asks(func(w *Webhook) { w.TimeoutMS = MaxTimeoutMS + 1 }), "accord.policies[1].webhook.timeout_ms", "30001"},
		{asks(func(w *Webhook) { w.Retries = -1 }), "accord.policies[1].webhook.retries", "0 to 10"},
		{asks(func(w *Webhook) { w.Retries = 11 }), "accord.policies[1].webhook.retries", "0 to 10"},
		{asks(func(w *Webhook) { w.Silence = "" }), "accord.policies[1].webhook.silence", "accept, reject or manual"},
		{asks(func(w *Webhook) { w.Silence = "webhook" }), "accord.policies[1].webhook.silence", `"webhook"`},
	} {
		expectField(t, Check(c.rules), c.field, c.want)
	}
}

// TestNetworkIsNamed demands that only rules that name actions of the network
// match these.
func TestNetworkIsNamed(t *testing.T) {
	for _, c := range []struct {
		pattern, action string
		want            bool
	}{
		{"**", "config.set", true},
		{"**", "membership", true}, // a name that is not kept for the network
		{"**", "memberships.add", true},
		{"*.add", "config.add", true},
		{"membership.*", "membership.add", true},
		{"membership.**", "membership.add", true},
		{"membership.add", "membership.add", true},
		{"params.set", "params.set", true},
		{"params.s*", "params.set", true},

		{"**", "membership.add", false},
		{"**", "membership.x.y", false},
		{"**", "params.set", false},
		{"*.*", "membership.remove", false},
		{"*.**", "membership.remove", false},
		{"*.set", "params.set", false},
		{"membership*.add", "membership.add", false},
		{"m*.replace", "membership.replace", false},
		{"param*.set", "params.set", false},
		{"membership.*", "params.set", false},
	} {
		v, err := New(Config{Clock: stillClock(nil), Rules: []Rule{{Action: c.pattern, Vote: "accept"}}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.Decide(t.Context(), proposal(c.action, "acme"))
		if err != nil || (got.Vote == Accept) != c.want {
			t.Errorf("%s accepted by %s: %+v %v, want %v", c.action, c.pattern, got, err, c.want)
		}
		e, err := v.Explain(t.Context(), proposal(c.action, "acme"), false)
		if err != nil || *e.Verdict != got || (e.Rule == 0) != c.want {
			t.Errorf("%s by %s: explained as %+v %v, decided as %+v", c.action, c.pattern, e, err, got)
		}
	}
}

func expectField(t *testing.T, err error, field, want string) {
	t.Helper()
	if field == "" {
		if err != nil {
			t.Errorf("good rules: %v", err)
		}
		return
	}
	var f *protocol.FieldError
	if !errors.As(err, &f) || f.Field != field || !strings.Contains(f.Problem, want) {
		t.Errorf("%v, want an error of %s about %s", err, field, want)
	}
}

func TestNewReadsSecrets(t *testing.T) {
	w := hook()
	w.SecretFile = filepath.Join(t.TempDir(), "secret")
	rules := []Rule{{Action: "a", Vote: "webhook", Webhook: w}}
	_, err := New(Config{Rules: rules, Clock: stillClock(nil)})
	expectField(t, err, "accord.policies[0].webhook.secret_file", "openssl")
	if err := os.WriteFile(w.SecretFile, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = New(Config{Rules: rules, Clock: stillClock(nil)})
	expectField(t, err, "accord.policies[0].webhook.secret_file", "5 bytes")
}
