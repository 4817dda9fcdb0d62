package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/strataos/strataos/actors"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/proof"
)

const anchorPath = "/v1/chronos/anchor"

func TestAnchor(t *testing.T) {
	f := newFixture(t)
	a := f.do("POST", anchorPath, `{"data":{"b":1,"a":2},"anchor_type":"state","metadata":{"key":"k"},"retention":60,"wait":"certified","timeout_ms":100}`)
	var got map[string]any
	if err := json.Unmarshal(a.body, &got); err != nil || a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if got["anchor_type"] != "state" || got["retention"] != 60.0 || got["causal_token"] != "0:2" ||
		got["expires_at"].(float64)-got["timestamp"].(float64) != 60_000 || got["position"] != nil {
		t.Errorf("%s", a.body)
	}
	canonical := `{"anchor_type":"state","data":{"a":2,"b":1},"metadata":{"key":"k"}}`
	want, err := protocol.CheckAnchor([]byte(canonical), 1000)
	if err != nil || got["hash"] != want.Hash.String() || string(f.last.Body) != canonical {
		t.Errorf("%v: hash %v of %s", err, got["hash"], f.last.Body)
	}
	p, claims, err := proof.ParseAnswer(a.body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proof.Verify(f.policy(), p, claims); err != nil {
		t.Error(err)
	}
	if f.last.Ordered || f.last.TTL != 60 {
		t.Errorf("%+v", f.last)
	}
	f.do("POST", anchorPath, `{"data":{},"anchor_type":"event"}`)
	if !f.last.Ordered || f.last.TTL != 0 {
		t.Errorf("by default: %+v", f.last)
	}
}

func TestAnchorRefuses(t *testing.T) {
	f := newFixture(t)
	hash := "0x" + strings.Repeat("ab", 32)
	for name, c := range map[string]struct{ body, field string }{
		"no object":         {`[]`, "body"},
		"no data":           {`{"anchor_type":"event"}`, "data"},
		"data no object":    {`{"anchor_type":"event","data":[]}`, "data"},
		"no type":           {`{"data":{}}`, "anchor_type"},
		"unknown type":      {`{"data":{},"anchor_type":"thing"}`, "anchor_type"},
		"type no text":      {`{"data":{},"anchor_type":1}`, "anchor_type"},
		"state without key": {`{"data":{},"anchor_type":"state"}`, "metadata.key"},
		"empty key":         {`{"data":{},"anchor_type":"state","metadata":{"key":""}}`, "metadata.key"},
		"long key":          {`{"data":{},"anchor_type":"state","metadata":{"key":"` + strings.Repeat("k", 257) + `"}}`, "metadata.key"},
		"metadata":          {`{"data":{},"anchor_type":"event","metadata":1}`, "metadata"},
		"retention word":    {`{"data":{},"anchor_type":"event","retention":"long"}`, "retention"},
		"retention 0":       {`{"data":{},"anchor_type":"event","retention":0}`, "retention"},
		"retention part":    {`{"data":{},"anchor_type":"event","retention":1.5}`, "retention"},
		"retention ages":    {`{"data":{},"anchor_type":"event","retention":3153600001}`, "retention"},
		"wait":              {`{"data":{},"anchor_type":"event","wait":"forever"}`, "wait"},
		"timeout":           {`{"data":{},"anchor_type":"event","timeout_ms":5001}`, "timeout_ms"},
		"after no list":     {`{"data":{},"anchor_type":"event","after":"` + hash + `"}`, "after"},
		"after no hash":     {`{"data":{},"anchor_type":"event","after":["x"]}`, "after"},
		"after twice":       {`{"data":{},"anchor_type":"event","after":["` + hash + `","` + hash + `"]}`, "after"},
		"after too many":    {`{"data":{},"anchor_type":"event","after":["` + hash + strings.Repeat(`","`+hash, 64) + `"]}`, "after"},
		"unknown field":     {`{"data":{},"anchor_type":"event","x":1}`, "x"},
		"twice":             {`{"data":{},"data":{},"anchor_type":"event"}`, "body"},
		"inexact number":    {`{"data":{"n":12345678901234567890},"anchor_type":"event"}`, "data"},
	} {
		a := f.do("POST", anchorPath, c.body)
		e := a.failure(t)
		if a.status != 400 || e.Error.Code != "INVALID_REQUEST" || e.Error.Details["field"] != c.field || e.Error.Details["definite"] != true {
			t.Errorf("%s: %d %s, want field %s", name, a.status, a.body, c.field)
		}
	}
	if f.calls != 0 {
		t.Errorf("%d were submitted", f.calls)
	}
	big := fmt.Sprintf(`{"data":{"x":"%s"},"anchor_type":"event"}`, strings.Repeat("x", f.genesis.Params.MaxEventBytes))
	if a := f.do("POST", anchorPath, big); a.status != 413 {
		t.Errorf("too large: %d %s", a.status, a.body)
	}
}

func TestAnchorErrors(t *testing.T) {
	for _, c := range []struct {
		fail     error
		status   int
		code     string
		definite bool
	}{
		{&actors.OrderError{Outcome: &actors.Outcome{Batch: 7}}, 504, "ORDER_TIMEOUT", false},
		{actors.ErrBehind, 504, "CAUSALITY_TIMEOUT", true},
		{&actors.TimeoutError{InLog: true}, 504, "QUORUM_TIMEOUT", false},
		{&actors.TimeoutError{}, 504, "QUORUM_TIMEOUT", true},
		{actors.ErrOverloaded, 503, "OVERLOADED", true},
		{actors.ErrLogStopped, 503, "LOG_STOPPED", true},
		{actors.ErrInterrupted, 503, "INTERRUPTED", false},
		{errors.New("disk"), 500, "INTERNAL", false},
	} {
		f := newFixture(t)
		f.fail = c.fail
		a := f.do("POST", anchorPath, `{"data":{},"anchor_type":"event"}`)
		e := a.failure(t)
		if a.status != c.status || e.Error.Code != c.code || e.Error.Details["definite"] != c.definite {
			t.Errorf("%v: %d %s", c.fail, a.status, a.body)
		}
		if c.code == "ORDER_TIMEOUT" && e.Error.Details["causal_token"] != "0:7" {
			t.Errorf("%s", a.body)
		}
	}
}

func FuzzParseAnchor(f *testing.F) {
	x := newFixture(f)
	f.Add([]byte(`{"data":{},"anchor_type":"event"}`))
	f.Add([]byte(`{"data":{"a":[1,{}]},"anchor_type":"state","metadata":{"key":"k"},"retention":"permanent","wait":"certified","timeout_ms":7,"after":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := x.server.parseAnchor(body)
		if err != nil {
			return
		}
		again, err := protocol.CheckAnchor(req.anchor.Canonical, x.genesis.Params.MaxEventBytes)
		if err != nil || again.Hash != req.anchor.Hash || again.Kind != req.anchor.Kind || again.Key != req.anchor.Key {
			t.Errorf("%s: %v", req.anchor.Canonical, err)
		}
	})
}

func FuzzParseToken(f *testing.F) {
	f.Add("0:1,3:77")
	f.Fuzz(func(t *testing.T, text string) {
		seen, err := parseToken(text, 4)
		if err != nil {
			return
		}
		again, err := parseToken(string(appendToken(nil, seen)), 4)
		if err != nil || len(again) != len(seen) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
