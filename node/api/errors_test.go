package api

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/strataos/strataos/actors"
	"github.com/strataos/strataos/node/auth"
	"github.com/strataos/strataos/protocol"
)

func TestInvalidRequests(t *testing.T) {
	f := newFixture(t)
	const event = `"event":{"type":"a.b","payload":{}}`
	for _, c := range []struct{ name, body, field string }{
		{"nothing", ``, "body"},
		{"no JSON", `hello`, "body"},
		{"not an object", `[]`, "body"},
		{"cut", `{` + event, "body"},
		{"text behind", `{` + event + `} x`, "body"},
		{"a field twice", `{` + event + `,` + event + `}`, "body"},
		{"invalid UTF-8", "{\"event\":{\"type\":\"a\xff\",\"payload\":{}}}", "body"},
		{"too deep", `{"event":{"type":"a","payload":{"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}}}`, "body"},
		{"unknown field", `{` + event + `,"colour":1}`, "colour"},
		{"no event", `{}`, "event"},
		{"event no object", `{"event":1}`, "event"},
		{"no type", `{"event":{"payload":{}}}`, "event.type"},
		{"type no name", `{"event":{"type":"a b","payload":{}}}`, "event.type"},
		{"type no text", `{"event":{"type":1,"payload":{}}}`, "event.type"},
		{"no payload", `{"event":{"type":"a"}}`, "event.payload"},
		{"payload no object", `{"event":{"type":"a","payload":[]}}`, "event.payload"},
		{"metadata no object", `{"event":{"type":"a","payload":{},"metadata":"x"}}`, "event.metadata"},
		{"unknown in event", `{"event":{"type":"a","payload":{},"x":1}}`, "event.x"},
		{"timeout 0", `{` + event + `,"timeout_ms":0}`, "timeout_ms"},
		{"timeout too long", `{` + event + `,"timeout_ms":5001}`, "timeout_ms"},
		{"timeout no whole number", `{` + event + `,"timeout_ms":1.5}`, "timeout_ms"},
		{"timeout a text", `{` + event + `,"timeout_ms":"1000"}`, "timeout_ms"},
		{"quorum 0", `{` + event + `,"quorum_requirement":0}`, "quorum_requirement"},
		{"quorum a text", `{` + event + `,"quorum_requirement":"3"}`, "quorum_requirement"},
		{"attestors no list", `{` + event + `,"attestors":"node-1"}`, "attestors"},
		{"attestors no names", `{` + event + `,"attestors":[1]}`, "attestors"},
		{"attestor unknown", `{` + event + `,"attestors":["node-1","nobody"]}`, "attestors[1]"},
		{"attestor twice", `{` + event + `,"attestors":["node-1","node-1"]}`, "attestors[1]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := f.do("POST", attestPath, c.body)
			e := a.failure(t).Error
			if a.status != 400 || e.Code != "INVALID_REQUEST" || e.Details["field"] != c.field || e.Details["definite"] != true {
				t.Errorf("%d %s, want field %q", a.status, a.body, c.field)
			}
		})
	}
	if f.calls != 0 {
		t.Errorf("%d invalid requests were attested", f.calls)
	}
}

func TestOtherErrors(t *testing.T) {
	f := newFixture(t)
	limit := f.genesis.Params.MaxEventBytes + bodyMargin
	long := `{"event":{"type":"a","payload":{"x":"` + strings.Repeat("x", limit) + `"}}}`
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		code                     string
		header                   string // that must be there
	}{
		{"body too large", "POST", attestPath, long, nil, 413, "PAYLOAD_TOO_LARGE", ""},
		{"event too large", "POST", attestPath, long[:limit-bodyMargin+100] + `"}}}`, nil, 413, "PAYLOAD_TOO_LARGE", ""},
		{"not JSON by name", "POST", attestPath, eventBody(1), []string{"Content-Type", "text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE", ""},
		{"quorum of five", "POST", attestPath, `{"event":{"type":"a","payload":{}},"quorum_requirement":5}`, nil, 422, "QUORUM_UNSATISFIABLE", ""},
		{"method", "GET", attestPath, "", nil, 405, "METHOD_NOT_ALLOWED", "Allow"},
		{"path", "GET", "/v2/nothing", "", nil, 404, "NOT_FOUND", ""},
		{"a slash too many", "GET", "//v1/network", "", nil, 404, "NOT_FOUND", "X-Request-Id"},
		{"a slash behind it", "GET", "/v1/network/", "", nil, 404, "NOT_FOUND", "X-Request-Id"},
		{"a way round", "POST", "/v1/x/../witness/attest", eventBody(1), nil, 404, "NOT_FOUND", "X-Request-Id"},
		{"no path", "OPTIONS", "*", "", nil, 404, "NOT_FOUND", "X-Request-Id"},
		{"no such event", "GET", "/v1/witness/verify/0x" + strings.Repeat("0", 64), "", nil, 404, "NOT_FOUND", ""},
		{"no hash", "GET", "/v1/witness/verify/0x12", "", nil, 400, "INVALID_REQUEST", ""},
		{"no proof", "POST", "/v1/witness/verify", `{}`, nil, 400, "INVALID_REQUEST", ""},
		{"no token", "POST", attestPath, eventBody(1), []string{"Authorization", ""}, 401, "UNAUTHORIZED", "Www-Authenticate"},
		{"no bearer", "POST", attestPath, eventBody(1), []string{"Authorization", "Basic x"}, 401, "UNAUTHORIZED", "Www-Authenticate"},
		{"unknown token", "POST", attestPath, eventBody(1), []string{"Authorization", "Bearer roxy_sk_test_" + strings.Repeat("0", 64)}, 401, "UNAUTHORIZED", "Www-Authenticate"},
		{"bad key", "POST", attestPath, eventBody(1), []string{"Idempotency-Key", strings.Repeat("k", 256)}, 400, "INVALID_REQUEST", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := f.do(c.method, c.path, c.body, c.headers...)
			e := a.failure(t).Error
			if a.status != c.status || e.Code != c.code || e.Details["definite"] != true {
				t.Errorf("%d %s, want %d %s", a.status, a.body, c.status, c.code)
			}
			if c.header != "" && a.header.Get(c.header) == "" {
				t.Errorf("there is no %s header", c.header)
			}
		})
	}
	t.Run("body too large without a length", func(t *testing.T) {
		r := httptest.NewRequest("POST", attestPath, struct{ *strings.Reader }{strings.NewReader(long)})
		r.ContentLength = -1
		r.Header.Set("Authorization", "Bearer "+f.token)
		w := httptest.NewRecorder()
		f.server.ServeHTTP(w, r)
		if w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
	if f.calls != 0 {
		t.Errorf("%d of these were attested", f.calls)
	}
}

func TestAttestErrors(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		name     string
		err      error
		status   int
		code     string
		definite bool
	}{
		{"overloaded", actors.ErrOverloaded, 503, "OVERLOADED", true},
		{"stopped", actors.ErrLogStopped, 503, "LOG_STOPPED", true},
		{"too large by now", actors.ErrTooLarge, 413, "PAYLOAD_TOO_LARGE", true},
		{"interrupted", actors.ErrInterrupted, 503, "INTERRUPTED", false},
		{"closing", actors.ErrClosed, 503, "INTERRUPTED", false},
		{"timeout before the log", &actors.TimeoutError{Signers: []protocol.MemberID{0}}, 504, "QUORUM_TIMEOUT", true},
		{"timeout in the log", &actors.TimeoutError{InLog: true, Signers: []protocol.MemberID{0, 2}}, 504, "QUORUM_TIMEOUT", false},
		{"anything else", errors.New("boom"), 500, "INTERNAL", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.fail = c.err
			a := f.do("POST", attestPath, `{"event":{"type":"a","payload":{}},"timeout_ms":700,"attestors":["node-2","node-3"]}`)
			e := a.failure(t).Error
			if a.status != c.status || e.Code != c.code || e.Details["definite"] != c.definite {
				t.Errorf("%d %s, want %d %s", a.status, a.body, c.status, c.code)
			}
			if strings.Contains(e.Message, "boom") {
				t.Error("the inner error leaks")
			}
			if find, _ := e.Details["find"].(string); c.code != "INTERNAL" && !c.definite && !strings.HasPrefix(find, "GET /v1/witness/verify/0x") {
				t.Errorf("an open outcome does not say how to find out: %s", a.body)
			}
			if c.code == "OVERLOADED" && a.header.Get("Retry-After") == "" {
				t.Error("there is no Retry-After")
			}
		})
	}
	f.fail = &actors.TimeoutError{InLog: true, Signers: []protocol.MemberID{0, 2}}
	d := f.do("POST", attestPath, `{"event":{"type":"a","payload":{}},"timeout_ms":700,"attestors":["node-2","node-3"]}`).failure(t).Error.Details
	missing, _ := d["missing_attestors"].([]any)
	if d["required"] != 3.0 || d["achieved"] != 2.0 || d["timeout_ms"] != 700.0 || len(missing) != 1 || missing[0] != "node-2" {
		t.Errorf("details %v", d)
	}
}

func TestBrokenNode(t *testing.T) {
	f := newFixture(t)
	f.broken = true
	for _, a := range []answer{
		f.do("GET", "/v1/witness/verify/0x"+strings.Repeat("0", 64), ""),
		f.do("POST", attestPath, eventBody(1), "Idempotency-Key", "k"), // panics
	} {
		if e := a.failure(t).Error; a.status != 500 || e.Code != "INTERNAL" || e.Details["definite"] != false {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	f.broken = false
	f.mustAttest(eventBody(1)) // the server goes on
}

func TestScopesAndLimits(t *testing.T) {
	f := newFixture(t)
	reader, _, err := auth.Create(f.tokenFile(), auth.Spec{Name: "reader", Tier: auth.Development, Scopes: []auth.Scope{auth.Read}})
	if err != nil {
		t.Fatal(err)
	}
	gone, _, err := auth.Create(f.tokenFile(), auth.Spec{Name: "gone", Tier: auth.Development})
	if err != nil {
		t.Fatal(err)
	}
	slow, _, err := auth.Create(f.tokenFile(), auth.Spec{Name: "slow", Tier: auth.Enterprise, Rate: 1, Burst: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := auth.Revoke(f.tokenFile(), "gone"); err != nil {
		t.Fatal(err)
	}
	f.restart() // reads the tokens
	a := f.do("POST", attestPath, eventBody(1), "Authorization", "Bearer "+reader)
	if e := a.failure(t).Error; a.status != 403 || e.Code != "FORBIDDEN" || e.Details["scope"] != "write" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := f.do("GET", "/v1/network", "", "Authorization", "Bearer "+reader); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := f.do("GET", "/v1/network", "", "Authorization", "Bearer "+gone); a.status != 401 {
		t.Errorf("a revoked token: %d %s", a.status, a.body)
	}
	for range 2 {
		if a := f.do("GET", "/v1/network", "", "Authorization", "Bearer "+slow); a.status != 200 || a.header.Get("RateLimit-Limit") != "2" {
			t.Errorf("%d %v", a.status, a.header)
		}
	}
	a = f.do("GET", "/v1/network", "", "Authorization", "Bearer "+slow)
	e := a.failure(t).Error
	if a.status != 429 || e.Code != "RATE_LIMITED" || a.header.Get("Retry-After") == "" ||
		a.header.Get("RateLimit-Remaining") != "0" || a.header.Get("RateLimit-Reset") == "" || e.Details["retry_after_ms"] == nil {
		t.Errorf("%d %s %v", a.status, a.body, a.header)
	}
}
