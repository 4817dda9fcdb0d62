package node

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/strataos/strataos/node/deliver"
	"github.com/strataos/strataos/node/policy"
)

// figures are what a node's /metrics says, by name and labels.
func (c *cluster) figures(i int) map[string]float64 {
	c.t.Helper()
	status, text := c.call("GET", i, "/metrics", nil)
	if status != http.StatusOK {
		c.t.Fatalf("%d %s", status, text)
	}
	out := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				c.t.Fatalf("%s: %v", line, err)
			}
			out[name] = v
		}
	}
	return out
}

// TestAccordFigures holds the figures to what four nodes have decided, and has one
// of them tell two handlers, of which one takes nothing.
func TestAccordFigures(t *testing.T) {
	services := map[string]*httptest.Server{}
	for name, status := range map[string]int{"willing": http.StatusOK, "down": http.StatusServiceUnavailable} {
		services[name] = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		defer services[name].Close()
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("s", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newClusterOf(t, 4, 0)
	for i := range 4 {
		c.configs[i].Policies = []policy.Rule{{Action: "demo.**", Vote: "accept"}, {Action: "bad.*", Vote: "reject"}}
	}
	for name, s := range services {
		c.configs[0].Handlers = append(c.configs[0].Handlers, deliver.Handler{
			Name: name, Action: "**", URL: s.URL, SecretFile: secret, TimeoutMS: 10_000, From: deliver.FromStart,
		})
	}
	for i := range 4 {
		c.start(i)
	}
	for i := range 4 {
		c.waitReady(i)
	}
	const waits = "other.try" // for persons
	c.propose(0, 1, "demo.try", "")
	c.propose(1, 2, "bad.try", "")
	c.put(0, 3, waits, "a subject")
	conflict := c.propose(2, 4, waits, "a subject")
	want := map[string]float64{
		"strata_accord_open": 1,
		`strata_accord_decisions_total{status="accepted"}`:         1,
		`strata_accord_decisions_total{status="rejected"}`:         1,
		`strata_accord_decisions_total{status="conflict"}`:         1,
		`strata_accord_decisions_total{status="expired"}`:          0,
		`strata_accord_decisions_total{status="withdrawn"}`:        0,
		`strata_accord_votes_total{mark="counted",vote="accept"}`:  3,
		`strata_accord_votes_total{mark="counted",vote="reject"}`:  2,
		`strata_accord_votes_total{mark="outsider",vote="accept"}`: 0,
		`strata_accord_decide_seconds_count`:                       1, // of its own proposals
		`strata_accord_handler_position{handler="willing"}`:        float64(conflict.DecidedAt),
		`strata_accord_handler_failures{handler="willing"}`:        0,
		`strata_accord_handler_position{handler="down"}`:           0,
	}
	var got map[string]float64
	c.eventually("the figures are those of what was decided", 20*time.Second, func() bool {
		got = c.figures(0)
		for name, v := range want {
			if g, ok := got[name]; !ok || g != v {
				return false
			}
		}
		return got[`strata_accord_handler_failures{handler="down"}`] > 0
	})
	if sum := got["strata_accord_decide_seconds_sum"]; sum <= 0 || sum > 20 {
		t.Errorf("a decision took %v s", sum)
	}
	c.expectDocumented(got)
}

// expectDocumented demands that the operators' handbook has all figures of Accord.
func (c *cluster) expectDocumented(figures map[string]float64) {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "operations.md"))
	if err != nil {
		c.t.Fatal(err)
	}
	found := 0
	for name := range figures {
		if !strings.HasPrefix(name, "strata_accord_") {
			continue
		}
		found++
		name, _, _ = strings.Cut(name, "{")
		for _, part := range []string{"_bucket", "_sum", "_count"} { // of a histogram
			name = strings.TrimSuffix(name, part)
		}
		if !strings.Contains(string(text), "`"+name) {
			c.t.Errorf("%s is not in docs/operations.md", name)
		}
	}
	if found == 0 {
		c.t.Error("there are no figures of Accord")
	}
}
