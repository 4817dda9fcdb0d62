package policy

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/strataos/strataos/node/webhook"
	"github.com/strataos/strataos/protocol"
)

func TestReadAnswer(t *testing.T) {
	for _, c := range []struct {
		body   string
		vote   Vote
		reason string
		err    string
	}{
		{`{"vote":"accept"}`, Accept, "", ""},
		{` {"reason":"too dear","vote":"reject"}` + "\n", Reject, "too dear", ""},
		{`{"vote":"manual","reason":"","more":{"a":[1]}}`, Manual, "", ""},
		{`{"vote":"accept","reason":"a\u0000\u001b[1mb"}`, Accept, "a[1mb", ""},
		{`{"vote":"accept","reason":"` + strings.Repeat("x", 2000) + `"}`, Accept, strings.Repeat("x", protocol.MaxReasonBytes), ""},

		{``, 0, "", "not an object"},
		{`OK`, 0, "", "not an object"},
		{`"accept"`, 0, "", "not an object"},
		{`{}`, 0, "", "no vote"},
		{`{"Vote":"accept"}`, 0, "", "no vote"},
		{`{"vote":"Accept"}`, 0, "", `"Accept"`},
		{`{"vote":"webhook"}`, 0, "", `"webhook"`},
		{`{"vote":true}`, 0, "", "true"},
		{`{"vote":"accept","reason":1}`, 0, "", "reason"},
		{`{"vote":"accept","vote":"reject"}`, 0, "", "twice"},
		{`{"vote":"accept"} {"vote":"reject"}`, 0, "", "behind"},
		{`{"vote":"accept"`, 0, "", "byte"},
	} {
		a, err := readAnswer(&webhook.Answer{Body: []byte(c.body)})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want an error about %s", c.body, err, c.err)
			}
			continue
		}
		if err != nil || a.vote != c.vote || a.reason != c.reason {
			t.Errorf("%.60s: %+v %v", c.body, a, err)
		}
	}
	if _, err := readAnswer(&webhook.Answer{Body: []byte(`{"vote":"accept"}`), Cut: true}); err == nil {
		t.Error("an answer that was cut counts")
	}
}

// FuzzAnswer demands that whatever counts as a vote is one to every JSON reader,
// and fits into the ledger.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"vote":"accept","reason":"so"}`))
	f.Add([]byte(`{"vote":"reject","more":[{"a":null}]}`))
	f.Add([]byte(`{"vote":"manual","reason":"\ud83d\ude00"}`))
	f.Add([]byte(`{"vote":"accept","vote":"reject"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := readAnswer(&webhook.Answer{Body: body})
		if err != nil {
			if a != (answer{}) {
				t.Errorf("%q: an error with an answer", body)
			}
			return
		}
		var fields map[string]json.RawMessage
		var vote string
		if err := json.Unmarshal(body, &fields); err != nil || json.Unmarshal(fields["vote"], &vote) != nil || vote != a.vote.String() {
			t.Errorf("%q is %s to us, %q to others: %v", body, a.vote, vote, err)
		}
		if len(a.reason) > protocol.MaxReasonBytes || !utf8.ValidString(a.reason) || strings.ContainsAny(a.reason, "\x00\x1b\r") {
			t.Errorf("%q: the reason is %q", body, a.reason)
		}
	})
}
