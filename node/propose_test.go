package node

import (
	"encoding/json"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/strataos/strataos/protocol/proof"
)

// proposed is an answer about a proposal.
type proposed struct {
	ID           string  `json:"id"`
	Status       string  `json:"status"`
	Version      uint64  `json:"version"`
	LatencyMS    float64 `json:"latency_ms"`
	LedgerStatus string  `json:"ledger_status"`
	CausalToken  string  `json:"causal_token"`
	Error        struct {
		Code    string         `json:"code"`
		Details map[string]any `json:"details"`
	} `json:"error"`
}

// ask asks a node about proposals.
func (c *cluster) ask(method string, i int, path, body string, headers ...string) (int, proposed, []byte) {
	c.t.Helper()
	status, text := c.call(method, i, path, []byte(body), headers...)
	var a proposed
	if err := json.Unmarshal(text, &a); err != nil {
		c.t.Fatalf("%d %s: %v", status, text, err)
	}
	return status, a, text
}

// told is the story of a proposal as a node tells it to who has seen so much.
func (c *cluster) told(i int, id, seen string) proposed {
	c.t.Helper()
	status, a, text := c.ask("GET", i, "/v1/accord/proposals/"+id+"?timeout_ms=5000", "", "Strata-Causality", seen)
	if status != 200 {
		c.t.Fatalf("node %d: %d %s", i+1, status, text)
	}
	return a
}

// TestProposeByHTTP has decisions made over the API, by rules and by hand, and
// verifies them offline.
func TestProposeByHTTP(t *testing.T) {
	c := newAgreeing(t, 4)
	const path = "/v1/accord/propose"
	status, first, text := c.ask("POST", 0, path, `{"action":{"type":"demo.try","payload":{"n":1}},"subject":"s","timeout_ms":5000}`)
	if status != 200 || first.Status != "accepted" || first.Version != 1 {
		t.Fatalf("%d %s", status, text)
	}
	c.verifyOffline(text)
	for i := range 4 {
		if got := c.told(i, first.ID, first.CausalToken); got.Status != "accepted" {
			t.Errorf("node %d tells %+v to who has seen the decision", i+1, got)
		}
	}
	var story []byte
	c.eventually("a checkpoint covers the decision", 10*time.Second, func() bool {
		var a proposed
		_, a, story = c.ask("GET", 2, "/v1/accord/proposals/"+first.ID, "")
		var decision struct {
			Decision struct {
				Proof json.RawMessage `json:"ledger_proof"`
			}
		}
		return json.Unmarshal(story, &decision) == nil && decision.Decision.Proof != nil && a.LedgerStatus == "checkpointed"
	})
	parsed, err := proof.ParseStory(story)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := proof.VerifyStory(c.policy, parsed, proof.Claims{}); err != nil || r.Status != "accepted" || len(r.Votes) < 3 {
		t.Errorf("%+v %v", r, err)
	}

	// What no rule decides, people do.
	status, open, text := c.ask("POST", 1, path, `{"action":{"type":"by.hand","payload":{}},"subject":"s","wait":"ordered","timeout_ms":5000}`)
	if status != 202 || open.Status != "open" {
		t.Fatalf("%d %s", status, text)
	}
	vote := "/v1/accord/proposals/" + open.ID + "/vote"
	for _, i := range []int{3, 0, 2} {
		status, a, text := c.ask("POST", i, vote, `{"vote":"accept","reason":"by hand","timeout_ms":5000}`, "Strata-Causality", open.CausalToken)
		if status != 200 || (a.Status == "accepted") != (i == 2) {
			t.Fatalf("node %d: %d %s", i+1, status, text)
		}
		c.verifyOffline(text)
	}
	if status, a, text := c.ask("POST", 1, vote, `{"vote":"accept"}`); status != 409 || a.Error.Code != "DECIDED" && a.Error.Code != "ALREADY_VOTED" {
		t.Errorf("%d %s", status, text)
	}
	status, subject := c.call("GET", 1, "/v1/accord/subjects/s", nil)
	if want := `{"subject":"s","version":2,"value":{"type":"by.hand","payload":{}},"proposal":"` + open.ID; status != 200 || len(subject) < len(want) || string(subject[:len(want)]) != want {
		t.Errorf("%d %s", status, subject)
	}
}

// TestOneWinner has many propose the next version of one subject at once, through
// all nodes: one wins, and the others are told who.
func TestOneWinner(t *testing.T) {
	c := newAgreeing(t, 4)
	const clients, rounds = 32, 3
	for version := range rounds {
		var mu sync.Mutex
		winner, rivals := "", map[string]int{}
		var all sync.WaitGroup
		for n := range clients {
			all.Go(func() {
				body := fmt.Sprintf(`{"action":{"type":"demo.try","payload":{"n":%d}},"subject":"lease/x","expected_version":%d,"timeout_ms":5000}`, n, version)
				status, a, text := c.ask("POST", n%4, "/v1/accord/propose", body)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case status == 200 && a.Status == "accepted" && winner == "":
					winner = a.ID
				case status == 409 && a.Error.Code == "CONFLICT":
					rivals[a.Error.Details["winner"].(string)]++
				default:
					t.Errorf("%d %s (won before: %q)", status, text, winner)
				}
			})
		}
		all.Wait()
		if winner == "" || rivals[winner] != clients-1 {
			t.Errorf("version %d: %s has won, the others were told of %v", version+1, winner, rivals)
		}
	}
	if status, text := c.call("GET", 3, "/v1/accord/proposals?"+url.Values{"status": {"accepted"}, "subject": {"lease/x"}}.Encode(), nil); status != 200 {
		t.Errorf("%d %s", status, text)
	}
}
