package node

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestRetryWithTheFourth asks for four cosignatures while one of four nodes is
// down, and again when it is up, also over a restart: the event is attested
// once, and the retry gets what the first request asked for.
func TestRetryWithTheFourth(t *testing.T) {
	c := newClusterOf(t, 4, 3)
	body := []byte(strings.Replace(string(eventBody(1)), `"timeout_ms":1000`, `"timeout_ms":400,"quorum_requirement":4`, 1))
	retry := func() (int, answer, []byte) {
		status, text := c.call("POST", 0, "/v1/witness/attest", body, "Idempotency-Key", "k")
		var a answer
		if err := json.Unmarshal(text, &a); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return status, a, text
	}
	for range 2 {
		if status, a, text := retry(); status != 504 || a.Error.Details["achieved"] != 3. || a.Error.Details["definite"] != false {
			t.Fatalf("%d %s", status, text)
		}
	}
	c.stop(0)
	c.start(0)
	c.waitReady(0)
	c.start(3)
	c.waitReady(3)
	var status int
	var a answer
	var text []byte
	// The fourth may have to catch up first.
	c.eventually("four have signed", 10*time.Second, func() bool {
		status, a, text = retry()
		return status != 504
	})
	if status != 200 || a.Quorum != "4/4" || len(a.Proof.Witnesses) != 4 {
		t.Fatalf("%d %s", status, text)
	}
	c.verifyOffline(text)
	if _, _, again := retry(); string(again) != string(text) {
		t.Errorf("%s\n%s", text, again)
	}
	_, text = c.call("GET", 0, "/v1/witness/verify/"+a.Hash, nil)
	if err := json.Unmarshal(text, &a); err != nil || a.Count != 1 {
		t.Errorf("%s %v", text, err)
	}
}
