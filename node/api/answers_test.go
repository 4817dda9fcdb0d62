package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/strataos/strataos/actors"
	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

func (f *fixture) policy() *proof.Policy {
	f.t.Helper()
	a := f.do("GET", "/v1/network/policy", "")
	if a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
		f.t.Fatalf("%d %s", a.status, a.body)
	}
	p, err := proof.ParsePolicy(a.body)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func TestAttest(t *testing.T) {
	f := newFixture(t)
	a := f.mustAttest(`{"event":{"type":"a.b","payload":{"n":1},"metadata":{"m":2}},"quorum_requirement":1,"timeout_ms":5000,"attestors":["node-1","node-3"]}`)
	var got map[string]any
	if err := json.Unmarshal(a.body, &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 6 || got["causal_token"] != "0:2" || got["quorum"] != "3/3" || got["timestamp"] == nil || got["latency_ms"].(float64) < 0 {
		t.Errorf("%s", a.body)
	}
	p, claims, err := proof.ParseAnswer(a.body)
	if err != nil {
		t.Fatal(err)
	}
	claims.Event = []byte(`{"metadata":{"m":2},"payload":{"n":1},"type":"a.b"}`)
	if _, err := proof.Verify(f.policy(), p, claims); err != nil {
		t.Error(err)
	}
	for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "application/x-www-form-urlencoded", ""} {
		f.mustAttest(eventBody(2), "Content-Type", contentType)
	}
}

func TestVerifyByHash(t *testing.T) {
	f := newFixture(t)
	first := decode[struct {
		Hash      string `json:"hash"`
		Timestamp int64  `json:"timestamp"`
	}](t, f.mustAttest(eventBody(1)))
	f.mustAttest(eventBody(1))
	got := decode[verifyAnswer](t, f.do("GET", "/v1/witness/verify/"+first.Hash, ""))
	if !got.Valid || got.Status != "certified" || got.Count != 2 || got.Timestamp != first.Timestamp ||
		got.Quorum != "3/3" || got.WitnessedAt == 0 || !got.TimestampVouched || got.Hash.String() != first.Hash {
		t.Errorf("%+v", got)
	}
	if _, err := proof.Verify(f.policy(), got.Proof, proof.Claims{Hash: first.Hash, Timestamp: first.Timestamp}); err != nil {
		t.Error(err)
	}
	// One that is in the log and not certified.
	f.fail, f.failAfter = &actors.TimeoutError{InLog: true}, true
	a := f.do("POST", attestPath, eventBody(2))
	hash, _ := a.failure(t).Error.Details["hash"].(string)
	got = decode[verifyAnswer](t, f.do("GET", "/v1/witness/verify/"+hash, ""))
	if got.Valid || got.Status != "pending" || got.Proof != nil || got.Count != 1 {
		t.Errorf("%+v", got)
	}
}

func TestVerifyProof(t *testing.T) {
	f := newFixture(t)
	a := f.mustAttest(eventBody(1))
	verify := func(body string) map[string]any {
		return decode[map[string]any](t, f.do("POST", "/v1/witness/verify", body))
	}
	if got := verify(string(a.body)); got["valid"] != true || got["quorum"] != "3/3" {
		t.Errorf("%v", got)
	}
	body := string(a.body)
	if got := verify(strings.Replace(body, `"size":2`, `"size":3`, 1)); got["valid"] != false || got["step"] != "checkpoint" {
		t.Errorf("%v", got)
	}
	p, _, err := proof.ParseAnswer(a.body)
	if err != nil {
		t.Fatal(err)
	}
	bare := `{"proof":` + string(p.AppendJSON(nil)) + `,"event":{"type":"test.event","payload":{"n":2}}}`
	if got := verify(bare); got["valid"] != false || got["step"] != "hash" {
		t.Errorf("%v", got)
	}
}

func TestNetworkAndHealth(t *testing.T) {
	f := newFixture(t)
	f.status.Logs[1] = witness.LogStatus{Log: 1, Stored: 9, Certified: 7, Frozen: true}
	f.reachable[3] = false
	got := decode[networkAnswer](t, f.do("GET", "/v1/network", ""))
	id, err := f.genesis.ID()
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != id || got.Quorum != 3 || got.Node.Name != "node-1" || !got.Node.Ready || got.Node.Version != "test" ||
		len(got.Members) != 4 || got.Members[3].Reachable || got.Members[1].Stored != 9 || got.Members[1].Certified != 7 || !got.Members[1].Frozen {
		t.Errorf("%+v", got)
	}
	again, err := protocol.ParseGenesis(mustJSON(t, got.Genesis))
	if err != nil {
		t.Fatal(err)
	}
	if other, err := again.ID(); err != nil || other != id {
		t.Error("the genesis in the answer founds another network")
	}
	if a := f.do("GET", "/healthz", "", "Authorization", ""); a.status != 200 {
		t.Errorf("%d", a.status)
	}
	for _, c := range []struct {
		ready  bool
		reason string
		change func()
	}{
		{true, "", func() {}},
		{false, "quorum", func() { f.reachable[2] = false }},
		{false, "own log", func() { f.reachable[2], f.status.Recovered = true, false }},
		{false, "evidence", func() { f.status.Stopped = true }},
	} {
		c.change()
		a := f.do("GET", "/readyz", "", "Authorization", "")
		r := decode[readiness](t, a)
		if r.Ready != c.ready || (a.status == 200) != c.ready || !strings.Contains(r.Reason, c.reason) {
			t.Errorf("%d %+v, want %v %q", a.status, r, c.ready, c.reason)
		}
	}
	if a := f.do("GET", "/metrics", "", "Authorization", ""); a.status != 200 || !strings.Contains(string(a.body), "strata_http_requests_total") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestEvidence(t *testing.T) {
	f := newFixture(t)
	if a := f.do("GET", "/v1/witness/evidence", ""); string(a.body) != "{\"evidence\":[]}\n" {
		t.Errorf("%s", a.body)
	}
	sign := func(root byte) wire.Signed {
		cp := f.com.Checkpoint(2, 5, protocol.Hash{root})
		sig := f.signers[2].Cosign(cp, 100)
		return wire.Signed{Size: 5, Root: protocol.Hash{root}, Time: sig.Time, Sig: sig.Bytes}
	}
	e := &wire.Evidence{Author: 2, Low: sign(1), High: sign(2), Prefix: protocol.Hash{2}}
	if err := f.store.Write([]witness.Record{witness.PutEvidence{Evidence: e}}, true); err != nil {
		t.Fatal(err)
	}
	got := decode[struct{ Evidence []evidenceAnswer }](t, f.do("GET", "/v1/witness/evidence", ""))
	if len(got.Evidence) != 1 || got.Evidence[0].Author != "node-3" || got.Evidence[0].Origin != "strata.example/test/node-3" ||
		!strings.Contains(got.Evidence[0].Checkpoints[0], "— strata.example/test/node-3 ") || got.Evidence[0].Checkpoints[0] == got.Evidence[0].Checkpoints[1] {
		t.Errorf("%+v", got)
	}
}

func TestRequestID(t *testing.T) {
	f := newFixture(t)
	if a := f.do("GET", "/healthz", "", "X-Request-Id", "mine-1"); a.header.Get("X-Request-Id") != "mine-1" {
		t.Errorf("%v", a.header)
	}
	seen := map[string]bool{}
	for _, given := range []string{"", "has space", strings.Repeat("x", 129)} {
		id := f.do("GET", "/healthz", "", "X-Request-Id", given).header.Get("X-Request-Id")
		if id == "" || id == given || seen[id] {
			t.Errorf("%q gives %q", given, id)
		}
		seen[id] = true
	}
}

func FuzzAttestBody(f *testing.F) {
	f.Add(eventBody(1))
	f.Add(`{"event":{"type":"a","payload":{}},"timeout_ms":1,"quorum_requirement":4,"attestors":["node-1"]}`)
	x := newFixture(f)
	f.Fuzz(func(t *testing.T, body string) {
		x.t = t
		a := x.do("POST", attestPath, body)
		if a.status != 200 {
			a.failure(t)
		}
		if a.status >= 500 {
			t.Errorf("%q: %d %s", body, a.status, a.body)
		}
	})
}

func FuzzVerifyBody(f *testing.F) {
	x := newFixture(f)
	f.Add(string(x.mustAttest(eventBody(1)).body))
	f.Fuzz(func(t *testing.T, body string) {
		x.t = t
		a := x.do("POST", "/v1/witness/verify", body)
		if a.status != 200 {
			a.failure(t)
		}
		if a.status >= 500 {
			t.Errorf("%q: %d %s", body, a.status, a.body)
		}
	})
}

func TestPatience(t *testing.T) {
	f := newFixture(t)
	for more, want := range map[string]time.Duration{
		"": time.Second, `,"timeout_ms":5000`: 5 * time.Second, `,"timeout_ms":200`: 200 * time.Millisecond,
	} {
		f.mustAttest(strings.Replace(eventBody(1), "}}}", "}}"+more+"}", 1))
		if f.patience > want || f.patience < want-want/4 {
			t.Errorf("%q waits for %v, want %v", more, f.patience, want)
		}
	}
}

func TestManyAttestations(t *testing.T) {
	f := newFixture(t)
	hash := decode[struct{ Hash string }](t, f.mustAttest(eventBody(1))).Hash
	for found, want := range map[int]verifyAnswer{
		1: {Count: 1}, store.MaxCounted: {Count: store.MaxCounted}, store.MaxCounted + 1: {Count: store.MaxCounted, CountIsLowerBound: true},
	} {
		f.found = found
		a := f.do("GET", "/v1/witness/verify/"+hash, "")
		got := decode[verifyAnswer](t, a)
		if got.Count != want.Count || got.CountIsLowerBound != want.CountIsLowerBound {
			t.Errorf("of %d: %d, %v", found, got.Count, got.CountIsLowerBound)
		}
		if _, _, err := proof.ParseAnswer(a.body); err != nil {
			t.Errorf("%s: %v", a.body, err)
		}
	}
}
