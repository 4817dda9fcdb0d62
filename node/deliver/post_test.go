package deliver

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/strataos/strataos/node/webhook"
	"github.com/strataos/strataos/protocol"
)

func TestReadAnswer(t *testing.T) {
	for _, c := range []struct {
		body string
		want string // "" is no report
		note string
		err  string
	}{
		{`{"report":"done"}`, "done", "", ""},
		{`{"note":"no\u0007 space\n","report":"failed","more":[]}`, "failed", "no space\n", ""},
		{`{"report":"done","note":"` + strings.Repeat("ä", protocol.MaxNoteBytes) + `"}`, "done", strings.Repeat("ä", protocol.MaxNoteBytes/2), ""},
		{``, "", "", ""},
		{`OK`, "", "", ""},
		{`"done"`, "", "", ""},
		{`{}`, "", "", ""},
		{`{"ok":true}`, "", "", ""},
		{`{"report":"Done"}`, "", "", `"Done"`},
		{`{"report":null}`, "", "", "null"},
		{`{"report":"done","note":1}`, "", "", "note"},
		{`{"report":"done","report":"failed"}`, "", "", "twice"},
		{`{"report":"done"`, "", "", "byte"},
	} {
		r, ok, err := readAnswer(&webhook.Answer{Body: []byte(c.body)}, protocol.Hash{1})
		switch {
		case c.err != "":
			if err == nil || ok || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v %v, want an error about %s", c.body, ok, err, c.err)
			}
		case err != nil || ok != (c.want != ""):
			t.Errorf("%.40s: %v %v", c.body, ok, err)
		case ok && (r.Status() != c.want || r.Note != c.note || r.Proposal != protocol.Hash{1}):
			t.Errorf("%.40s: %s %q", c.body, r.Status(), r.Note)
		}
	}
	if _, ok, err := readAnswer(&webhook.Answer{Body: []byte(`{"report":"done"}`), Cut: true}, protocol.Hash{}); ok || err != nil {
		t.Errorf("an answer that was cut reports: %v", err)
	}
}

// FuzzAnswer demands that whatever is a report is one to every JSON reader, and to
// the ledger.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"report":"done","note":"so"}`))
	f.Add([]byte(`{"report":"failed","note":"\ud83d\ude00\u0000\u2028\u007f"}`))
	f.Add([]byte(`{"report":"done","report":"failed"}`))
	f.Add([]byte(`OK`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, ok, err := readAnswer(&webhook.Answer{Body: body}, protocol.Hash{1})
		if !ok {
			return
		}
		var fields map[string]json.RawMessage
		var word string
		if jsonErr := json.Unmarshal(body, &fields); err != nil || jsonErr != nil || json.Unmarshal(fields["report"], &word) != nil || word != r.Status() {
			t.Errorf("%q is %s to us, %q to others: %v %v", body, r.Status(), word, err, jsonErr)
		}
		if got, err := protocol.CheckReport(r.Append(nil)); err != nil || got != r {
			t.Errorf("%q: the ledger reads %+v of %+v: %v", body, got, r, err)
		}
	})
}
