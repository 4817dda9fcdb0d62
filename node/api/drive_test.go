package api

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/time/rate"

	"github.com/strataos/strataos/actors"
	"github.com/strataos/strataos/node/auth"
	"github.com/strataos/strataos/protocol"
)

// request is one that a route takes.
type request struct{ method, path, body string }

const nowhere = "0x0000000000000000000000000000000000000000000000000000000000000000"

// TestContract drives every route, and demands that whatever the document has of
// answers and errors occurs. That nothing else does is what every test of this
// package demands; see contractOf.
func TestContract(t *testing.T) {
	seen := newCoverage(t)
	d := newDeciding(t)
	d.seen = seen
	limited := spec(d, "slow", auth.Spec{Tier: auth.Enterprise, Rate: 0.001, Burst: 1, Scopes: []auth.Scope{auth.Read, auth.Write, auth.Vote}})
	reader := spec(d, "reader", auth.Spec{Tier: auth.Production, Scopes: []auth.Scope{auth.Read}})
	voter := spec(d, "voter", auth.Spec{Tier: auth.Production, Scopes: []auth.Scope{auth.Vote}})
	var err error
	if d.server.Tokens, err = auth.Open(d.tokenFile(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	driveEmpty(d)
	open := d.propose(202, proposal(`,"subject":"s"`)).ID
	d.votes = allAccept
	done := d.propose(200, proposal(`,"subject":"t","expected_version":0`)).ID
	d.votes = nil
	routes := driveTaken(d, open, done)
	for _, r := range routes {
		driveRefusals(d, r, limited, reader, voter)
	}
	driveFailures(d, open, done)
	driveAccord(d)
	driveKeys(d)
	driveBroken(d, routes)
	for _, name := range seen.missing() {
		if strings.Contains(name, " answers ") {
			t.Errorf("nothing here has shown it, and the document has it: %s", name)
		}
	}
}

// spec makes a token.
func spec(d *deciding, name string, s auth.Spec) string {
	d.t.Helper()
	s.Name = name
	token, _, err := auth.Create(d.tokenFile(), s)
	if err != nil {
		d.t.Fatal(err)
	}
	return token
}

// expect demands an answer.
func (d *deciding) expect(status int, code string, r request, headers ...string) answer {
	d.t.Helper()
	a := d.do(r.method, r.path, r.body, headers...)
	got := ""
	if a.status >= 400 && code != "" {
		got = a.failure(d.t).Error.Code
	}
	if a.status != status || got != code {
		d.t.Errorf("%s %s %.200s %v: %d %.300s, want %d %s", r.method, r.path, r.body, headers, a.status, a.body, status, code)
	}
	return a
}

func get(path string) request        { return request{"GET", path, ""} }
func post(path, body string) request { return request{"POST", path, body} }

// driveEmpty asks for what an empty ledger has not.
func driveEmpty(d *deciding) {
	for _, path := range []string{
		"/v1/witness/verify/" + nowhere, "/v1/chronos/query?before=" + nowhere, "/v1/chronos/anchors/" + nowhere,
		"/v1/chronos/relation?a=" + nowhere + "&b=" + nowhere, "/v1/chronos/checkpoint", "/v1/accord/proposals/" + nowhere,
		"/ledger/checkpoint", "/ledger/tile/0/000", "/v1/network/policy?epoch=9", "/v2",
	} {
		d.expect(404, "NOT_FOUND", get(path))
	}
	for _, act := range []request{post("vote", `{"vote":"accept"}`), post("withdraw", `{}`), post("report", `{"status":"done"}`)} {
		act.path = "/v1/accord/proposals/" + nowhere + "/" + act.path
		d.expect(404, "NOT_FOUND", act)
	}
	d.expect(405, "METHOD_NOT_ALLOWED", post("/metrics", ""))
}

// driveTaken has every route answer what it is there for, and returns the requests.
// Votes and the like are on a proposal that stays open, or is accepted, and are not
// carried out here.
func driveTaken(d *deciding, open, done protocol.Hash) map[string]request {
	routes := map[string]request{
		"attest": post(attestPath, eventBody(7)),
		"anchor": post("/v1/chronos/anchor", `{"data":{"n":1},"anchor_type":"state","metadata":{"key":"k"},"timeout_ms":20}`),
	}
	attested := d.expect(200, "", routes["attest"])
	d.settle()
	hash := decode[struct{ Hash string }](d.t, attested).Hash
	maps.Copy(routes, map[string]request{
		"propose":      post(proposePath, proposal("")),
		"verify":       post("/v1/witness/verify", string(attested.body)),
		"verifyByHash": get("/v1/witness/verify/" + hash),
		"evidence":     get("/v1/witness/evidence"),
		"query":        get("/v1/chronos/query"),
		"anchorByHash": get("/v1/chronos/anchors/" + hash),
		"relation":     get("/v1/chronos/relation?a=" + open.String() + "&b=" + hash),
		"checkpoint":   get("/v1/chronos/checkpoint"),
		"proposals":    get("/v1/accord/proposals"),
		"proposal":     get(proposalPath(open)),
		"subject":      get("/v1/accord/subjects/a/b"),
		"notes":        get("/ledger/checkpoint"),
		"tile":         get("/ledger/tile/0/000.p/1"),
		"network":      get("/v1/network"),
		"genesis":      get("/v1/network/genesis"),
		"policy":       get("/v1/network/policy?epoch=0"),
		"readyz":       get("/readyz"),
		"healthz":      get("/healthz"),
		"metrics":      get("/metrics"),
		"openapi":      get("/v1/openapi.json"),
		"docs":         get("/docs"),
	})
	for name, r := range routes {
		status := 200
		if name == "propose" {
			status = 202
		}
		d.expect(status, "", r)
	}
	reachable := d.reachable
	d.reachable = make([]bool, 4)
	d.expect(503, "", get("/readyz"))
	d.reachable = reachable
	d.expect(200, "", post("/v1/witness/verify", string(d.do("GET", proposalPath(done), "").body)))
	routes["vote"] = post(proposalPath(open)+"/vote", `{"vote":"accept"}`)
	routes["withdraw"] = post(proposalPath(open)+"/withdraw", `{"timeout_ms":20}`)
	routes["report"] = post(proposalPath(done)+"/report", `{"status":"done","timeout_ms":20}`)
	return routes
}

// unchecked are the routes that read nothing which could be wrong.
var unchecked = []string{"evidence", "network", "genesis"}

// driveRefusals has a route refuse what all refuse.
func driveRefusals(d *deciding, r request, limited, reader, voter string) {
	if d.do(r.method, r.path, r.body, "Authorization", "").status != http.StatusUnauthorized {
		return // it asks for no token
	}
	lacks := voter
	if r.method == "POST" && r.path != "/v1/witness/verify" {
		lacks = reader
	}
	d.expect(403, "FORBIDDEN", r, "Authorization", "Bearer "+lacks)
	d.do("GET", "/v1/network", "", "Authorization", "Bearer "+limited)
	d.expect(429, "RATE_LIMITED", r, "Authorization", "Bearer "+limited)
	if r.method == "POST" {
		d.expect(415, "UNSUPPORTED_MEDIA_TYPE", r, "Content-Type", "text/plain")
		d.expect(400, "INVALID_REQUEST", request{r.method, r.path, `{"colour":1}`})
		d.expect(413, "PAYLOAD_TOO_LARGE", request{r.method, r.path, strings.Repeat(" ", 8<<20)})
		return
	}
	for _, name := range unchecked {
		if strings.HasSuffix(r.path, "/"+name) {
			return
		}
	}
	if path, _, _ := strings.Cut(r.path, "?"); path == "/v1/network/policy" {
		d.expect(400, "INVALID_REQUEST", get(path+"?epoch=x"))
		return
	}
	d.expect(400, "INVALID_REQUEST", r, causalityHeader, "x")
	if !strings.HasPrefix(r.path, "/v1/witness/") {
		sign := "?"
		if strings.Contains(r.path, "?") {
			sign = "&"
		}
		r.path += sign + "timeout_ms=1"
	}
	d.expect(504, "CAUSALITY_TIMEOUT", r, causalityHeader, "0:999999")
}

// driveFailures has what is put on record fail in every way.
func driveFailures(d *deciding, open, done protocol.Hash) {
	writes := []request{
		post(attestPath, eventBody(8)), post("/v1/chronos/anchor", `{"data":{"n":2},"anchor_type":"event"}`), post(proposePath, proposal("")),
		post(proposalPath(open)+"/vote", `{"vote":"accept"}`), post(proposalPath(open)+"/withdraw", `{}`), post(proposalPath(done)+"/report", `{"status":"done"}`),
	}
	failures := map[string]error{
		"503 OVERLOADED": actors.ErrOverloaded, "503 LOG_STOPPED": actors.ErrLogStopped, "503 NOT_A_MEMBER": actors.ErrNotMember,
		"503 INTERRUPTED": actors.ErrInterrupted, "504 CAUSALITY_TIMEOUT": actors.ErrBehind,
		"504 QUORUM_TIMEOUT": &actors.TimeoutError{InLog: true, Signers: []protocol.MemberID{0}},
		"504 ORDER_TIMEOUT":  &actors.OrderError{Outcome: &actors.Outcome{Batch: 2}}, "500 INTERNAL": errors.New("boom"),
	}
	for i, r := range writes {
		for name, err := range failures {
			var status int
			var code string
			fmt.Sscan(name, &status, &code)
			if code == "ORDER_TIMEOUT" && (r.path == attestPath || r.path == proposePath) {
				continue
			}
			d.fail = err
			d.expect(status, code, r, "Idempotency-Key", fmt.Sprint("fails-", i))
		}
		other := strings.Replace(r.body, "{", `{ `, 1)
		d.expect(409, "IDEMPOTENCY_CONFLICT", request{r.method, r.path, other}, "Idempotency-Key", fmt.Sprint("fails-", i))
	}
	d.fail = nil
	d.expect(422, "QUORUM_UNSATISFIABLE", post(attestPath, `{"event":{"type":"a","payload":{}},"quorum_requirement":5}`))
}

// driveAccord has members propose, vote and report, and be told that they may not.
func driveAccord(d *deciding) {
	others := d.propose(202, proposal(`,"participants":["node-2","node-3"]`)).ID
	d.expect(403, "NOT_PARTICIPANT", post(proposalPath(others)+"/vote", `{"vote":"accept"}`))
	d.expect(403, "NOT_PARTICIPANT", post(proposalPath(others)+"/report", `{"status":"done"}`))
	foreign := d.foreign(`{"type":"a.b","payload":{}}`)
	d.expect(403, "NOT_PROPOSER", post(proposalPath(foreign)+"/withdraw", ``))

	open := d.propose(202, proposal(`,"subject":"one"`)).ID
	d.expect(409, "CONFLICT", post(proposePath, proposal(`,"subject":"one"`)))
	d.expect(409, "NOT_ACCEPTED", post(proposalPath(open)+"/report", `{"status":"done"}`))
	d.expect(200, "", post(proposalPath(open)+"/vote", `{"vote":"accept","reason":"why not"}`))
	d.expect(409, "ALREADY_VOTED", post(proposalPath(open)+"/vote", `{"vote":"reject"}`))
	d.expect(200, "", post(proposalPath(open)+"/withdraw", `{}`))
	d.expect(409, "DECIDED", post(proposalPath(open)+"/withdraw", `{}`))

	d.votes = allAccept
	done := d.propose(200, proposal(`,"subject":"two"`)).ID
	d.votes = nil
	d.expect(409, "DECIDED", post(proposalPath(done)+"/vote", `{"vote":"accept"}`))
	d.expect(200, "", post(proposalPath(done)+"/report", `{"status":"failed","note":"no space"}`))
	for _, path := range []string{"/v1/accord/subjects/two", proposalPath(done), "/v1/accord/proposals?status=conflict&limit=1", "/v1/chronos/query?kind=accord"} {
		d.expect(200, "", get(path))
	}
}

// driveKeys has requests sent again.
func driveKeys(d *deciding) {
	r := post(attestPath, eventBody(9))
	d.expect(200, "", r, "Idempotency-Key", "again")
	if a := d.expect(200, "", r, "Idempotency-Key", "again"); a.header.Get("Idempotent-Replayed") != "true" {
		d.t.Errorf("%v", a.header)
	}
}

// driveBroken has the node fail at whatever it does, and tiles be asked for too
// often.
func driveBroken(d *deciding, routes map[string]request) {
	d.server.tiles = rate.NewLimiter(0.0001, 1)
	d.do("GET", "/ledger/checkpoint", "")
	d.expect(429, "RATE_LIMITED", get("/ledger/checkpoint"))
	d.expect(429, "RATE_LIMITED", get("/ledger/tile/0/000.p/1"))
	s := d.server
	s.tiles = newTilesLimiter()
	s.Lookup, s.Ledger, s.Accord, s.Status, s.Order, s.Epochs = nil, nil, nil, nil, nil, nil
	for _, name := range slices.Sorted(maps.Keys(routes)) {
		if !slices.Contains([]string{"genesis", "healthz", "metrics", "openapi", "docs"}, name) {
			d.expect(500, "INTERNAL", routes[name])
		}
	}
}
