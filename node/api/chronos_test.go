package api

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/strataos/strataos/node/internal/scribe"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/wire"
)

// newLedger is a fixture whose logs and ledger a scribe writes.
func newLedger(t testing.TB) (*fixture, *scribe.Scribe) {
	t.Helper()
	f := newFixture(t)
	return f, scribe.New(t, f.com, f.genesis.Params, f.signers, f.store, protocol.Micros(f.clock.UnixMicro()))
}

// small is a ledger of a few entries, which says what is where:
//
//	0 event a.one by node-1   1 state k=1 by node-1   2 event a.two by node-2
//	3 anchor event, 5 s       4 state k=2 by node-3   5 state q=1, 5 s
func small(t testing.TB) (*fixture, *scribe.Scribe) {
	f, s := newLedger(t)
	s.Append(0, []wire.Item{
		scribe.Attest(t, `{"type":"a.one","payload":{}}`),
		scribe.Anchor(t, `{"anchor_type":"state","data":{"n":1},"metadata":{"key":"k"}}`, 0),
	})
	s.Append(1, []wire.Item{
		scribe.Attest(t, `{"type":"a.two","payload":{}}`),
		scribe.Anchor(t, `{"anchor_type":"event","data":{"n":1}}`, 5),
	}, 0)
	s.Append(2, []wire.Item{
		scribe.Anchor(t, `{"anchor_type":"state","data":{"n":2},"metadata":{"key":"k"}}`, 0),
		scribe.Anchor(t, `{"anchor_type":"state","data":{"n":1},"metadata":{"key":"q"}}`, 5),
	}, 1)
	s.Settle()
	return f, s
}

func (f *fixture) query(params string) queryAnswer {
	f.t.Helper()
	a := f.do("GET", "/v1/chronos/query?"+params, "")
	if a.status != 200 {
		f.t.Fatalf("%s: %d %s", params, a.status, a.body)
	}
	return decode[queryAnswer](f.t, a)
}

func positions(a queryAnswer) []uint64 {
	out := []uint64{}
	for _, e := range a.Entries {
		out = append(out, *e.Position)
	}
	return out
}

func TestQueryFilters(t *testing.T) {
	f, _ := small(t)
	all := f.query("")
	hash := func(i int) string { return all.Entries[i].Hash.String() }
	at := func(i int) string { return fmt.Sprint(all.Entries[i].Timestamp) }
	if all.Ledger.Size != 6 || all.Ledger.Time == 0 || all.More || all.Cursor == "" {
		t.Errorf("%+v", all)
	}
	for params, want := range map[string][]uint64{
		"":                                {0, 1, 2, 3, 4, 5},
		"direction=desc&limit=2":          {5, 4},
		"order=time&direction=desc":       {5, 4, 3, 2, 1, 0},
		"from_position=2&to_position=4":   {2, 3},
		"kind=attest":                     {0, 2},
		"kind=anchor":                     {1, 3, 4, 5},
		"kind=anchor.event":               {3},
		"anchor_type=state":               {1, 4, 5},
		"type=a.two":                      {2},
		"type=a.*":                        {0, 2},
		"type=a":                          {},
		"key=k":                           {1, 4},
		"key=k&latest=true":               {4},
		"key=k&latest=true&to_position=4": {1},
		"latest=true":                     {4, 5},
		"latest=false&key=q":              {5},
		"author=node-2":                   {2, 3},
		"hash=" + hash(3):                 {3},
		"before=" + hash(3):               {0, 1, 2},
		"after=" + hash(2):                {3, 4, 5},
		"concurrent=" + hash(2):           {},
		"after=" + hash(1) + "&before=" + hash(4) + "&kind=anchor": {3},
		"from=" + at(5) + "&to=" + at(5):                           {},
		"from=2023-11-14T22:13:20Z":                                {0, 1, 2, 3, 4, 5},
		"to=2023-11-14T22:13:20Z":                                  {},
		"to=2023-11-14T23:13:21%2B01:00":                           {0, 1, 2, 3, 4, 5},
		"to=2023-11-14T23:13:21+01:00":                             {0, 1, 2, 3, 4, 5},
	} {
		if got := positions(f.query(params)); !slices.Equal(got, want) {
			t.Errorf("%s gives %v, want %v", params, got, want)
		}
	}
	e := all.Entries[4]
	if e.Kind != "anchor.state" || e.AnchorType != "state" || e.Key != "k" || e.Author != "node-3" || e.Index != 1 ||
		e.Retention != "permanent" || e.ExpiresAt != nil || e.Erased || string(e.Payload) != `{"anchor_type":"state","data":{"n":2},"metadata":{"key":"k"}}` ||
		*e.LedgerTime < e.Timestamp {
		t.Errorf("%+v", e)
	}
	e = all.Entries[3]
	if e.Retention != 5.0 || e.ExpiresAt == nil || *e.ExpiresAt != e.Timestamp+5000 || all.Entries[0].Type != "a.one" {
		t.Errorf("%+v", e)
	}
}

// TestQueryRefused demands that what is wrong with a parameter is said of it.
func TestQueryRefused(t *testing.T) {
	f, _ := small(t)
	all := f.query("limit=2")
	hash := all.Entries[0].Hash.String()
	unknown := "0x" + strings.Repeat("0", 64)
	for _, c := range []struct{ params, field string }{
		{"colour=red", "colour"},
		{"limit=5&limit=6", "limit"},
		{"limit=", "limit"},
		{"limit=0", "limit"},
		{"limit=1001", "limit"},
		{"limit=05", "limit"},
		{"from=yesterday", "from"},
		{"from=0", "from"},
		{"to=-1", "to"},
		{"to=2023-11-14", "to"},
		{"to=99999999999999999", "to"},
		{"from=2000&to=1000", "to"},
		{"from_position=x", "from_position"},
		{"to_position=0", "to_position"},
		{"from_position=3&to_position=2", "to_position"},
		{"type=a..b", "type"},
		{"type=*", "type"},
		{"anchor_type=thing", "anchor_type"},
		{"kind=batch", "kind"},
		{"kind=attest&anchor_type=state", "anchor_type"},
		{"kind=attest&key=k", "key"},
		{"kind=anchor&type=a", "type"},
		{"hash=abc", "hash"},
		{"key=" + strings.Repeat("k", 257), "key"},
		{"latest=yes", "latest"},
		{"latest=true&author=node-1", "latest"},
		{"author=nobody", "author"},
		{"before=1", "before"},
		{"order=size", "order"},
		{"direction=up", "direction"},
		{"cursor=abc", "cursor"},
		{"kind=attest&cursor=" + all.Cursor, "cursor"},
		{"cursor=" + all.Cursor + "A", "cursor"},
		{"limit=%zz", "query"},
		{"timeout_ms=0", "timeout_ms"},
	} {
		e := f.do("GET", "/v1/chronos/query?"+c.params, "")
		if got := e.failure(t); e.status != 400 || got.Error.Details["field"] != c.field || got.Error.Code != "INVALID_REQUEST" {
			t.Errorf("%s: %d %s, want one of %s", c.params, e.status, e.body, c.field)
		}
	}
	for _, params := range []string{"before=" + unknown, "after=" + unknown + "&hash=" + hash} {
		if e := f.do("GET", "/v1/chronos/query?"+params, ""); e.status != 404 || e.failure(t).Error.Details["field"] == nil {
			t.Errorf("%s: %d %s", params, e.status, e.body)
		}
	}
}

// TestQueryPages follows cursors to the end, and on when the ledger has grown.
func TestQueryPages(t *testing.T) {
	f, s := small(t)
	for _, base := range []string{"", "order=time", "direction=desc", "order=time&direction=desc", "kind=anchor", "key=k"} {
		want := positions(f.query(base))
		got, cursor := []uint64{}, ""
		for n := 0; ; n++ {
			a := f.query(base + "&limit=1" + cursor)
			got = append(got, positions(a)...)
			if !a.More {
				break
			}
			if cursor = "&cursor=" + a.Cursor; n > 10 {
				t.Fatalf("%s does not end", base)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s in pages gives %v, want %v", base, got, want)
		}
	}
	if a := f.query("direction=desc"); a.Cursor != "" {
		t.Errorf("there is something before the beginning: %+v", a)
	}
	end := f.query("kind=attest")
	s.Append(3, []wire.Item{scribe.Attest(t, `{"type":"b","payload":{}}`)})
	s.Settle()
	if more := f.query("kind=attest&cursor=" + end.Cursor); !slices.Equal(positions(more), []uint64{6}) || more.Ledger.Size != 7 {
		t.Errorf("%+v", more)
	}
	// Another limit is the same query.
	if more := f.query("limit=7&kind=attest&cursor=" + end.Cursor); len(more.Entries) != 1 {
		t.Errorf("%+v", more)
	}
}

func TestAnchorByHash(t *testing.T) {
	f, s := small(t)
	policy := f.policy()
	for _, e := range f.query("").Entries {
		a := f.do("GET", "/v1/chronos/anchors/"+e.Hash.String(), "")
		got := decode[anchorsAnswer](t, a)
		if a.status != 200 || got.LedgerStatus != "checkpointed" || *got.Position != *e.Position || got.CausalToken == "" {
			t.Errorf("%d %s", a.status, a.body)
		}
		proofs, claims, err := proof.ParseProofs(a.body)
		if err != nil || len(proofs) != 2 || claims.Event == nil {
			t.Fatalf("%d proofs, %v", len(proofs), err)
		}
		reports, err := proof.VerifyAll(policy, proofs, claims)
		if err != nil || *reports[1].Position != *e.Position || reports[1].Log != e.Author || reports[1].Index != e.Index {
			t.Errorf("%+v, %v", reports, err)
		}
		verdict := decode[map[string]any](t, f.do("POST", "/v1/witness/verify", string(a.body)))
		if ledger, _ := verdict["ledger"].(map[string]any); verdict["valid"] != true || ledger["position"] != float64(*e.Position) {
			t.Errorf("%v", verdict)
		}
		byHash := decode[verifyAnswer](t, f.do("GET", "/v1/witness/verify/"+e.Hash.String(), ""))
		if byHash.Position == nil || *byHash.Position != *e.Position {
			t.Errorf("%+v", byHash)
		}
	}
	// One that is certified and not ordered, and then ordered without a quorum
	// for the ledger.
	item := scribe.Anchor(t, `{"anchor_type":"proof","data":{"late":true}}`, 0)
	hash := item.Hash().String()
	s.Append(3, []wire.Item{item})
	got := decode[anchorsAnswer](t, f.do("GET", "/v1/chronos/anchors/"+hash, ""))
	if got.LedgerStatus != "certified" || got.Position != nil || got.Proof == nil || got.LedgerProof != nil || got.Payload == nil {
		t.Errorf("%+v", got)
	}
	s.Silent[1], s.Silent[2] = true, true
	s.Settle()
	got = decode[anchorsAnswer](t, f.do("GET", "/v1/chronos/anchors/"+hash, ""))
	if got.LedgerStatus != "ordered" || *got.Position != 6 || got.LedgerProof != nil {
		t.Errorf("%+v", got)
	}
	for path, status := range map[string]int{"0x" + strings.Repeat("0", 64): 404, "abc": 400} {
		if a := f.do("GET", "/v1/chronos/anchors/"+path, ""); a.status != status {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

// TestErasedAnswers lets bodies expire: answers say so, before the sweeper comes
// and after it, and the proofs stay good.
func TestErasedAnswers(t *testing.T) {
	f, s := small(t)
	entry := f.query("from_position=3&to_position=4").Entries[0]
	f.clock = f.clock.Add(6e9)
	for range 2 {
		e := f.query("from_position=3&to_position=4").Entries[0]
		if !e.Erased || e.Payload != nil || e.Hash != entry.Hash || *e.ExpiresAt != *entry.ExpiresAt {
			t.Errorf("%+v", e)
		}
		if got := positions(f.query("key=q")); len(got) != 0 {
			t.Errorf("the key of an erased state leads to %v", got)
		}
		a := f.do("GET", "/v1/chronos/anchors/"+entry.Hash.String(), "")
		got := decode[anchorsAnswer](t, a)
		if !got.Erased || strings.Contains(string(a.body), "payload") {
			t.Errorf("%s", a.body)
		}
		proofs, claims, err := proof.ParseProofs(a.body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := proof.VerifyAll(f.policy(), proofs, claims); err != nil {
			t.Error(err)
		}
		if _, err := f.store.Erase(t.Context(), protocol.Micros(f.now().UnixMicro())); err != nil {
			t.Fatal(err)
		}
	}
	if st, _, err := f.store.State(); err != nil || st.Size != 6 || s.Now == 0 {
		t.Errorf("%+v %v", st, err)
	}
}

func TestRelation(t *testing.T) {
	f, s := small(t)
	s.Append(3, []wire.Item{scribe.Attest(t, `{"type":"alone","payload":{}}`)})
	late := scribe.Attest(t, `{"type":"late","payload":{}}`)
	s.Append(2, []wire.Item{late})
	s.Settle()
	all := f.query("").Entries
	for _, c := range []struct {
		a, b     int
		relation string
		authors  string
		via      string
	}{
		{0, 5, "before", "node-1 node-2 node-3", "- parent parent"},
		{5, 0, "after", "node-1 node-2 node-3", "- parent parent"},
		{0, 1, "before", "node-1", "-"},
		{3, 2, "after", "node-2", "-"},
		{4, 4, "same", "", ""},
		{6, 7, "concurrent", "", ""},
	} {
		r := f.do("GET", "/v1/chronos/relation?"+url.Values{"a": {all[c.a].Hash.String()}, "b": {all[c.b].Hash.String()}}.Encode(), "")
		got := decode[relationAnswer](t, r)
		var authors, via []string
		for _, l := range got.Chain {
			authors = append(authors, l.Author)
			if l.Via == "" {
				l.Via = "-"
			}
			via = append(via, l.Via)
			var header struct {
				Kind    string            `json:"kind"`
				Parents []json.RawMessage `json:"parents"`
			}
			if err := json.Unmarshal(l.Header, &header); err != nil || header.Kind != "batch" || l.Via == "parent" && len(header.Parents) == 0 {
				t.Errorf("%s: %v", l.Header, err)
			}
		}
		if got.Relation != c.relation || strings.Join(authors, " ") != c.authors || strings.Join(via, " ") != c.via ||
			got.A.Position != uint64(c.a) || got.B.Position != uint64(c.b) {
			t.Errorf("%d to %d: %s", c.a, c.b, r.body)
		}
	}
	for params, status := range map[string]int{"a=1&b=2": 400, "a=" + all[0].Hash.String(): 400, "c=1": 400,
		"a=" + all[0].Hash.String() + "&b=0x" + strings.Repeat("0", 64): 404} {
		if r := f.do("GET", "/v1/chronos/relation?"+params, ""); r.status != status {
			t.Errorf("%s: %d %s", params, r.status, r.body)
		}
	}
}

func FuzzQueryParams(f *testing.F) {
	x, _ := small(f)
	hash := x.query("").Entries[0].Hash.String()
	for _, seed := range []string{
		"from=1&to=2&from_position=0&to_position=9&type=a.*&kind=attest&author=node-1&order=time&direction=desc&limit=3",
		"key=k&latest=true&anchor_type=state", "hash=" + hash + "&before=" + hash, "concurrent=" + hash + "&after=" + hash,
		"limit=1&cursor=" + x.query("limit=1").Cursor, "from=2023-11-14T22:13:20.5%2B01:00", "a=%zz;b", "limit=1&limit=2",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, params string) {
		r, err := url.Parse("/v1/chronos/query")
		if err != nil {
			t.Fatal(err)
		}
		r.RawQuery = params
		if _, err := url.Parse(r.String()); err != nil || strings.ContainsAny(params, " \r\n\t\x00#") {
			return // no request line holds it
		}
		x.t = t
		a := x.do("GET", r.String(), "")
		switch a.status {
		case 200:
			if got := decode[queryAnswer](t, a); len(got.Entries) > 6 {
				t.Errorf("%q: %s", params, a.body)
			}
		case 400, 404:
			if e := a.failure(t); e.Error.Details["field"] == nil {
				t.Errorf("%q: %s names no field", params, a.body)
			}
		case 429:
		default:
			t.Errorf("%q: %d %s", params, a.status, a.body)
		}
	})
}

func FuzzCursor(f *testing.F) {
	params := map[string]string{"kind": "attest", "limit": "5"}
	f.Add("")
	f.Add("AQ")
	f.Add(strings.Repeat("A", 34))
	x, _ := small(f)
	f.Add(x.query("kind=attest&limit=1").Cursor)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseCursor(text, params)
		if err == nil && cursorText(p, params) != text {
			t.Errorf("%q is read as %+v, which is written %q", text, p, cursorText(p, params))
		}
		if err == nil {
			x.t = t
			if a := x.do("GET", "/v1/chronos/query?kind=attest&cursor="+text, ""); a.status != 200 && a.status != 429 {
				t.Errorf("%q: %d %s", text, a.status, a.body)
			}
		}
	})
}

// TestReadAfterWrite sends what a client has seen: a node whose ledger has not
// come so far says so.
func TestReadAfterWrite(t *testing.T) {
	f, s := small(t)
	hash := f.query("limit=1").Entries[0].Hash.String()
	late := s.Append(3, []wire.Item{scribe.Attest(t, `{"type":"late","payload":{}}`)})
	seen := token(3, late.Size())
	paths := []string{"/v1/chronos/query?timeout_ms=5", "/v1/chronos/anchors/" + hash + "?timeout_ms=5", "/v1/chronos/relation?timeout_ms=5&a=" + hash + "&b=" + hash}
	for _, path := range paths {
		if a := f.do("GET", path, "", causalityHeader, seen); a.status != 504 || a.failure(t).Error.Code != "CAUSALITY_TIMEOUT" {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	s.Settle()
	for _, path := range paths {
		if a := f.do("GET", path, "", causalityHeader, seen); a.status != 200 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}
