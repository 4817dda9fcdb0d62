package protocol_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/internal/fixture"
	"github.com/strataos/strataos/protocol/jcs"
)

func TestParseEventRefuses(t *testing.T) {
	for _, c := range []struct{ text, field string }{
		{`[]`, "event"},
		{`"x"`, "event"},
		{`{}`, "event.payload"},
		{`{"type":"a.b"}`, "event.payload"},
		{`{"payload":{}}`, "event.type"},
		{`{"type":1,"payload":{}}`, "event.type"},
		{`{"type":null,"payload":{}}`, "event.type"},
		{`{"type":"","payload":{}}`, "event.type"},
		{`{"type":".a","payload":{}}`, "event.type"},
		{`{"type":"a..b","payload":{}}`, "event.type"},
		{`{"type":"a b","payload":{}}`, "event.type"},
		{`{"type":"é","payload":{}}`, "event.type"},
		{`{"type":"` + strings.Repeat("a", protocol.MaxTypeBytes+1) + `","payload":{}}`, "event.type"},
		{`{"type":"a","payload":[]}`, "event.payload"},
		{`{"type":"a","payload":null}`, "event.payload"},
		{`{"type":"a","payload":{},"metadata":"x"}`, "event.metadata"},
		{`{"type":"a","payload":{},"extra":1}`, "event.extra"},
		{`{"type":"a","payload":{"x":[12345678901234567890]}}`, "event"},
		{`{"type":"a","payload":{"x":-9007199254740992}}`, "event"},
		{`{"type":"a","payload":{"x":9007199254740992.5}}`, "event"}, // canonically an integer
		{`{"type":"a","payload":{"x":1e20}}`, "event"},
		{`{"type":"a","payload":{"x":1000000000000000000000001}}`, "event"}, // canonically 1e+24
		{`{"type":"a","payload":{"x":"` + strings.Repeat("a", 1000) + `"}}`, "event"},
	} {
		_, err := protocol.ParseEvent([]byte(c.text), 1000)
		var field *protocol.FieldError
		if !errors.As(err, &field) || field.Field != c.field {
			t.Errorf("%.60s: %v, want an error of %s", c.text, err, c.field)
		}
	}
	for _, text := range []string{``, `{`, `{"type":"a","type":"a","payload":{}}`, `{"type":"a","payload":{}}x`, "{\"type\":\"a\xff\",\"payload\":{}}"} {
		_, err := protocol.ParseEvent([]byte(text), 1000)
		var syntax *jcs.SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%q: %v, want a syntax error", text, err)
		}
	}
}

// TestHashIsOfTheValue has every way to write an event give the same hash.
func TestHashIsOfTheValue(t *testing.T) {
	want := fixture.Event(t, `{"metadata":{},"payload":{"a":1,"é":"\n"},"type":"a.b"}`)
	for _, text := range []string{
		" {\"type\" : \"a.b\",\n\"payload\":{\"\\u00e9\":\"\\u000a\",\"a\":1.0}, \"metadata\":{} }",
		`{"payload":{"é":"\n","a":1e0},"type":"\u0061.b","metadata":{}}`,
	} {
		got := fixture.Event(t, text)
		if got.Hash != want.Hash || got.Type != "a.b" {
			t.Errorf("%s hashes to %s, want %s", text, got.Hash, want.Hash)
		}
		if _, err := protocol.CheckEvent([]byte(text), 1000); err == nil {
			t.Errorf("%s passes for canonical", text)
		}
	}
	if e, err := protocol.CheckEvent(want.Canonical, 1000); err != nil || e.Hash != want.Hash {
		t.Error(err)
	}
}

// TestExactNumbers demands that a member takes the numbers that a client may
// send, and no others: an author whose batches are refused would be blamed.
func TestExactNumbers(t *testing.T) {
	for number, want := range map[string]string{
		"9007199254740991": "9007199254740991", "-9007199254740991": "-9007199254740991",
		"1e21": "1e+21", "1.5": "1.5", "9.007199254740991e15": "9007199254740991", "12345678901234567890e5": "1.2345678901234568e+24",
	} {
		e, err := protocol.ParseEvent([]byte(`{"type":"a","payload":{"x":`+number+`}}`), 1000)
		if err != nil || string(e.Canonical) != `{"payload":{"x":`+want+`},"type":"a"}` {
			t.Errorf("%s: %s %v", number, e.Canonical, err)
		}
		if _, err := protocol.CheckEvent(e.Canonical, 1000); err != nil {
			t.Errorf("%s: %v", number, err)
		}
	}
	for _, number := range []string{"9007199254740992", "-9007199254740992", "100000000000000000000"} {
		text := []byte(`{"payload":{"x":` + number + `},"type":"a"}`)
		_, err := protocol.CheckEvent(text, 1000)
		var field *protocol.FieldError
		if !errors.As(err, &field) || field.Field != "event" || !strings.Contains(field.Problem, "string") {
			t.Errorf("%s: %v", number, err)
		}
		if err := jcs.Valid(text); err != nil {
			t.Errorf("%s is canonical all the same: %v", number, err)
		}
	}
}

func TestEntries(t *testing.T) {
	e := protocol.Entry{Kind: protocol.KindAttest, Hash: protocol.Hash{1}, Time: fixture.Start}
	leaf := e.Append(nil)
	if err := jcs.Valid(leaf); err != nil {
		t.Errorf("an entry is not canonical: %v", err)
	}
	if got, err := protocol.ParseEntry(leaf); err != nil || got != e {
		t.Errorf("%+v, %v", got, err)
	}
	h := protocol.Header{Epoch: 1, Round: 2, Time: 3, Parents: []protocol.Parent{{Member: 1, Size: 5}, {Member: 2, Size: 6}}}
	if err := jcs.Valid(h.Append(nil)); err != nil {
		t.Errorf("a header is not canonical: %v", err)
	}
	for _, bad := range []string{
		``, `{}`, string(leaf) + " ", " " + string(leaf), strings.Replace(string(leaf), `"v":1`, `"v":2`, 1),
		strings.Replace(string(leaf), "attest", "batch", 1), strings.Replace(string(leaf), "0x01", "0xAA", 1),
		strings.Replace(string(leaf), `,"v"`, `,"u":0,"v"`, 1), string(h.Append(nil)),
	} {
		if got, err := protocol.ParseEntry([]byte(bad)); err == nil {
			t.Errorf("%s is read as %+v", bad, got)
		}
	}
}

func TestHashText(t *testing.T) {
	h := protocol.Hash{0xab, 31: 0xcd}
	if got, err := protocol.ParseHash(h.String()); err != nil || got != h {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "0x", h.String()[2:], h.String() + "0", strings.ToUpper(h.String()), strings.Replace(h.String(), "c", "g", 1)} {
		if got, err := protocol.ParseHash(bad); err == nil {
			t.Errorf("%q is read as %s", bad, got)
		}
	}
}

func TestGenesis(t *testing.T) {
	g := fixture.New(t, 4).Genesis
	text, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	again, err := protocol.ParseGenesis(text)
	if err != nil {
		t.Fatal(err)
	}
	a, err := g.ID()
	b, err2 := again.ID()
	if err != nil || err2 != nil || a != b {
		t.Errorf("%s %v, %s %v", a, err, b, err2)
	}
	again.Params.MaxEventBytes++
	if c, err := again.ID(); err != nil || c == a {
		t.Error("another parameter, the same network")
	}
}

func TestGenesisRefuses(t *testing.T) {
	for _, c := range []struct {
		field  string
		change func(*protocol.Genesis)
	}{
		{"network", func(g *protocol.Genesis) { g.Network = "" }},
		{"network", func(g *protocol.Genesis) { g.Network = "UPPER" }},
		{"network", func(g *protocol.Genesis) { g.Network = "a/b/c/d/e" }},
		{"epoch", func(g *protocol.Genesis) { g.Epoch = 1 }},
		{"members", func(g *protocol.Genesis) { g.Members = nil }},
		{"members", func(g *protocol.Genesis) { g.Members = make([]protocol.Member, protocol.MaxMembers+1) }},
		{"members[0].name", func(g *protocol.Genesis) { g.Members[0].Name = "any" }},
		{"members[0].name", func(g *protocol.Genesis) { g.Members[0].Name = "ledger" }},
		{"members[1].name", func(g *protocol.Genesis) { g.Members[1].Name = "a b" }},
		{"members[1].peer_id", func(g *protocol.Genesis) { g.Members[1].PeerID = "" }},
		{"members[1].addrs", func(g *protocol.Genesis) { g.Members[1].Addrs = make([]string, 17) }},
		{"members[1].addrs[0]", func(g *protocol.Genesis) { g.Members[1].Addrs = []string{""} }},
		{"members[1].url", func(g *protocol.Genesis) { g.Members[1].URL = strings.Repeat("x", 257) }},
		{"members[1].vkey", func(g *protocol.Genesis) { g.Members[1].VKey = "x" }},
		{"members[1].vkey", func(g *protocol.Genesis) { g.Members[1].VKey = g.Members[0].VKey }},
		{"members[1]", func(g *protocol.Genesis) { g.Members[1].PeerID = g.Members[0].PeerID }},
		{"members[1]", func(g *protocol.Genesis) { g.Members[1] = g.Members[0] }},
		{"params.max_future_ms", func(g *protocol.Genesis) { g.Params.MaxFutureMS = 0 }},
		{"params.max_batch_entries", func(g *protocol.Genesis) { g.Params.MaxBatchEntries = 1 << 20 }},
		{"params.max_batch_bytes", func(g *protocol.Genesis) { g.Params.MaxBatchBytes = 1 }},
		{"params.max_event_bytes", func(g *protocol.Genesis) { g.Params.MaxEventBytes = 1 << 30 }},
		{"params.max_event_bytes", func(g *protocol.Genesis) { g.Params.MaxEventBytes = g.Params.MaxBatchBytes + 1 }},
	} {
		g := fixture.New(t, 4).Genesis
		c.change(g)
		err := g.Validate()
		var field *protocol.FieldError
		if !errors.As(err, &field) || field.Field != c.field {
			t.Errorf("%v, want an error of %s", err, c.field)
		}
	}
	text, err := json.Marshal(fixture.New(t, 4).Genesis)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"unknown field": strings.Replace(string(text), `"epoch"`, `"x":1,"epoch"`, 1),
		"field twice":   strings.Replace(string(text), `"epoch":0`, `"epoch":0,"epoch":0`, 1),
		"text behind":   string(text) + "{}",
		"cut":           string(text[:len(text)-1]),
		"too long":      strings.Repeat(" ", protocol.MaxGenesisBytes) + string(text),
	} {
		if _, err := protocol.ParseGenesis([]byte(bad)); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(`{"type":"a.b","payload":{"n":1},"metadata":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := protocol.ParseEvent(text, 1<<16)
		if err != nil {
			return
		}
		again, err := protocol.CheckEvent(e.Canonical, 1<<16)
		if err != nil || again.Hash != e.Hash || again.Type != e.Type {
			t.Errorf("%q: its canonical form %q reads as %+v, %v", text, e.Canonical, again, err)
		}
	})
}

func FuzzParseEntry(f *testing.F) {
	f.Add(protocol.Entry{Kind: protocol.KindAttest, Time: 5}.Append(nil))
	f.Fuzz(func(t *testing.T, leaf []byte) {
		if e, err := protocol.ParseEntry(leaf); err == nil && string(e.Append(nil)) != string(leaf) {
			t.Errorf("%q reads as %+v", leaf, e)
		}
	})
}

func FuzzParseGenesis(f *testing.F) {
	text, err := json.Marshal(fixture.New(f, 2).Genesis)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		if g, err := protocol.ParseGenesis(text); err == nil {
			if _, err := g.ID(); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}
