package protocol_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/strataos/strataos/protocol"
)

// proposalOf is a proposal in canonical form, with some of its fields given
// otherwise, or left out where they are empty.
func proposalOf(change map[string]string) string {
	fields := map[string]string{
		"action": `{"payload":{},"type":"config.set"}`, "deadline": "1700000000000", "nonce": `"01"`,
		"participants": `["node-1","node-2","node-3"]`, "proposer": `"node-1"`, "threshold": "2",
	}
	for name, value := range change {
		fields[name] = value
	}
	var names, parts []string
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if fields[name] != "" {
			parts = append(parts, fmt.Sprintf("%q:%s", name, fields[name]))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func members(n int) string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf(`"m%03d"`, i))
	}
	return "[" + strings.Join(names, ",") + "]"
}

// TestReadsProposals has every field come to where it belongs.
func TestReadsProposals(t *testing.T) {
	text := proposalOf(map[string]string{
		"subject": `"flags/\"new\"\n\tü"`, "expected_version": "7", "action": `{"payload":{"a":[1,"b"]},"type":"config.set"}`,
	})
	p, err := protocol.CheckProposal([]byte(text), len(text))
	if err != nil {
		t.Fatal(err)
	}
	want := protocol.Proposal{
		ID: sha256.Sum256([]byte(text)), Proposer: "node-1", Subject: "flags/\"new\"\n\tü",
		Threshold: 2, Deadline: 1_700_000_000 * protocol.Second, ExpectedVersion: 7, Conditional: true,
	}
	if p.ID != want.ID || p.Proposer != want.Proposer || p.Subject != want.Subject || p.Threshold != want.Threshold ||
		p.Deadline != want.Deadline || p.ExpectedVersion != want.ExpectedVersion || !p.Conditional {
		t.Errorf("%+v, want %+v", p, want)
	}
	if p.Action.Type != "config.set" || string(p.Action.Payload) != `{"a":[1,"b"]}` {
		t.Errorf("action %s %s", p.Action.Type, p.Action.Payload)
	}
	if !slices.Equal(p.Participants, []string{"node-1", "node-2", "node-3"}) {
		t.Errorf("participants %q", p.Participants)
	}
	bare, err := protocol.CheckProposal([]byte(proposalOf(nil)), 1000)
	if err != nil || bare.Subject != "" || bare.Conditional || bare.ExpectedVersion != 0 {
		t.Errorf("%+v, %v", bare, err)
	}
	zero, err := protocol.CheckProposal([]byte(proposalOf(map[string]string{"subject": `"s"`, "expected_version": "0"})), 1000)
	if err != nil || !zero.Conditional {
		t.Errorf("version 0 is no version to expect: %+v, %v", zero, err)
	}
}

// TestHashIsOfTheProposal has every way to write a proposal give the same id.
func TestHashIsOfTheProposal(t *testing.T) {
	want := proposalOf(nil)
	loose := ` { "threshold":2.0, "proposer":"node-1" , "participants":["node-1","node-2","node-3"],
		"nonce":"0\u0031", "deadline":17e11, "action":{"type":"config.set","payload":{}}}`
	p, err := protocol.ParseProposal([]byte(loose), 1000)
	if err != nil {
		t.Fatal(err)
	}
	if string(p.Canonical) != want || p.ID != sha256.Sum256([]byte(want)) {
		t.Errorf("%s, want %s", p.Canonical, want)
	}
	if _, err := protocol.CheckProposal([]byte(loose), 1000); err == nil {
		t.Error("a proposal that is not in canonical form is taken")
	}
}

func TestProposalRefuses(t *testing.T) {
	long := func(n int) string { return `"` + strings.Repeat("a", n) + `"` }
	for _, c := range []struct {
		is     string
		change map[string]string
		field  string
	}{
		{"without an action", map[string]string{"action": ""}, "action"},
		{"an action that is none", map[string]string{"action": `"config.set"`}, "action"},
		{"an action without a type", map[string]string{"action": `{"payload":{}}`}, "action.type"},
		{"an action without a payload", map[string]string{"action": `{"type":"a.b"}`}, "action.payload"},
		{"an action with something else", map[string]string{"action": `{"payload":{},"type":"a.b","why":1}`}, "action.why"},
		{"an action whose type is no name", map[string]string{"action": `{"payload":{},"type":"a b"}`}, "action.type"},
		{"an action whose type is long", map[string]string{"action": `{"payload":{},"type":` + long(protocol.MaxTypeBytes+1) + `}`}, "action.type"},
		{"an action whose payload is a list", map[string]string{"action": `{"payload":[],"type":"a.b"}`}, "action.payload"},
		{"without a proposer", map[string]string{"proposer": ""}, "proposer"},
		{"a proposer that cannot be", map[string]string{"proposer": `"Node 1"`}, "proposer"},
		{"a proposer that is a number", map[string]string{"proposer": "1"}, "proposer"},
		{"an empty subject", map[string]string{"subject": `""`}, "subject"},
		{"a long subject", map[string]string{"subject": long(protocol.MaxSubjectBytes + 1)}, "subject"},
		{"a subject with a control character", map[string]string{"subject": `"a\u0000b"`}, "subject"},
		{"the network's subject", map[string]string{"subject": `"network"`}, "subject"},
		{"the network's action", map[string]string{"action": `{"payload":{"name":"node-1"},"type":"membership.remove"}`}, "subject"},
		{"an action with a name kept for the network", map[string]string{"action": `{"payload":{},"type":"params.get"}`, "subject": `"network"`}, "action.type"},
		{"without participants", map[string]string{"participants": ""}, "participants"},
		{"nobody takes part", map[string]string{"participants": "[]"}, "participants"},
		{"participants are no list", map[string]string{"participants": `{"node-1":1}`}, "participants"},
		{"participants are no names", map[string]string{"participants": "[1,2]"}, "participants"},
		{"a participant is null", map[string]string{"participants": "[null]"}, "participants[0]"},
		{"a participant cannot be", map[string]string{"participants": `["a","b c"]`}, "participants[1]"},
		{"participants are out of order", map[string]string{"participants": `["node-2","node-1"]`}, "participants"},
		{"a participant is there twice", map[string]string{"participants": `["node-1","node-1"]`}, "participants"},
		{"too many participants", map[string]string{"participants": members(protocol.MaxMembers + 1)}, "participants"},
		{"without a threshold", map[string]string{"threshold": ""}, "threshold"},
		{"a threshold of nobody", map[string]string{"threshold": "0"}, "threshold"},
		{"a threshold of less", map[string]string{"threshold": "-1"}, "threshold"},
		{"half a threshold", map[string]string{"threshold": "1.5"}, "threshold"},
		{"a threshold above the participants", map[string]string{"threshold": "4"}, "threshold"},
		{"a threshold above all", map[string]string{"threshold": "101", "participants": members(protocol.MaxMembers)}, "threshold"},
		{"without a deadline", map[string]string{"deadline": ""}, "deadline"},
		{"a deadline at the beginning of time", map[string]string{"deadline": "0"}, "deadline"},
		{"a deadline that is no number in JSON", map[string]string{"deadline": `"soon"`}, "deadline"},
		{"a deadline that microseconds cannot hold", map[string]string{"deadline": "9007199254741"}, "deadline"},
		{"without a nonce", map[string]string{"nonce": ""}, "nonce"},
		{"an empty nonce", map[string]string{"nonce": `""`}, "nonce"},
		{"a long nonce", map[string]string{"nonce": long(65)}, "nonce"},
		{"a version without a subject", map[string]string{"expected_version": "0"}, "expected_version"},
		{"a version that is none", map[string]string{"expected_version": `"1"`, "subject": `"s"`}, "expected_version"},
		{"a field that nobody knows", map[string]string{"wait": "1"}, "wait"},
		{"more bytes than are allowed", map[string]string{"action": `{"payload":{"x":` + long(4000) + `},"type":"a.b"}`}, "proposal"},
	} {
		_, err := protocol.CheckProposal([]byte(proposalOf(c.change)), 4000)
		var field *protocol.FieldError
		if !errors.As(err, &field) || field.Field != c.field {
			t.Errorf("%s: %v, want an error of %s", c.is, err, c.field)
		}
	}
	for _, text := range []string{`[]`, `null`, `1`, `"x"`} {
		var field *protocol.FieldError
		if _, err := protocol.CheckProposal([]byte(text), 1000); !errors.As(err, &field) || field.Field != "proposal" {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, change := range []map[string]string{
		{"participants": members(protocol.MaxMembers), "threshold": "100"}, {"deadline": "9007199254740"},
		{"subject": long(protocol.MaxSubjectBytes)}, {"nonce": long(64)},
	} {
		if _, err := protocol.CheckProposal([]byte(proposalOf(change)), 10_000); err != nil {
			t.Errorf("at a bound: %v", err)
		}
	}
}

const someID = "0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// TestShortBodies reads votes, withdrawals and reports, and writes them as they
// were.
func TestShortBodies(t *testing.T) {
	for _, text := range []string{
		`{"proposal":"` + someID + `","vote":"accept"}`,
		`{"proposal":"` + someID + `","reason":"too \"late\"\né","vote":"reject"}`,
	} {
		v, err := protocol.CheckVote([]byte(text))
		if got := string(v.Append(nil)); err != nil || got != text {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{
		`{"proposal":"` + someID + `","status":"done"}`, `{"note":"exit 1","proposal":"` + someID + `","status":"failed"}`,
	} {
		r, err := protocol.CheckReport([]byte(text))
		if got := string(r.Append(nil)); err != nil || got != text || r.Failed != strings.Contains(text, "failed") {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	text := `{"proposal":"` + someID + `"}`
	w, err := protocol.CheckWithdrawal([]byte(text))
	if got := string(w.Append(nil)); err != nil || got != text || w.Proposal.String() != someID {
		t.Errorf("%s: %s, %v", text, got, err)
	}
}

func TestShortBodiesRefuse(t *testing.T) {
	read := map[string]func([]byte) error{
		"vote":     func(b []byte) error { _, err := protocol.CheckVote(b); return err },
		"withdraw": func(b []byte) error { _, err := protocol.CheckWithdrawal(b); return err },
		"report":   func(b []byte) error { _, err := protocol.CheckReport(b); return err },
	}
	long := strings.Repeat("a", protocol.MaxReasonBytes+1)
	for _, c := range []struct{ kind, text, field string }{
		{"vote", `[]`, "vote"},
		{"vote", `{"vote":"accept"}`, "proposal"},
		{"vote", `{"proposal":"0x01","vote":"accept"}`, "proposal"},
		{"vote", `{"proposal":"` + strings.ToUpper(someID) + `","vote":"accept"}`, "proposal"},
		{"vote", `{"proposal":1,"vote":"accept"}`, "proposal"},
		{"vote", `{"proposal":"` + someID + `"}`, "vote"},
		{"vote", `{"proposal":"` + someID + `","vote":"yes"}`, "vote"},
		{"vote", `{"proposal":"` + someID + `","vote":true}`, "vote"},
		{"vote", `{"proposal":"` + someID + `","reason":"","vote":"accept"}`, "reason"},
		{"vote", `{"proposal":"` + someID + `","reason":"` + long + `","vote":"accept"}`, "reason"},
		{"vote", `{"member":"node-2","proposal":"` + someID + `","vote":"accept"}`, "member"},
		{"withdraw", `{}`, "proposal"},
		{"withdraw", `{"proposal":"` + someID + `","why":"x"}`, "why"},
		{"report", `{"proposal":"` + someID + `"}`, "status"},
		{"report", `{"proposal":"` + someID + `","status":"open"}`, "status"},
		{"report", `{"note":"` + strings.Repeat(long, 5) + `","proposal":"` + someID + `","status":"done"}`, "note"},
		{"report", `{"note":"\u0007","proposal":"` + someID + `","status":"done"}`, "note"},
	} {
		var field *protocol.FieldError
		if err := read[c.kind]([]byte(c.text)); !errors.As(err, &field) || field.Field != c.field {
			t.Errorf("%s %.100s: %v, want an error of %s", c.kind, c.text, err, c.field)
		}
	}
	for kind, check := range read {
		for _, text := range []string{``, `{`, `{"proposal": "` + someID + `","status":"done","vote":"accept"}`, "{\"proposal\":\"\xff\"}"} {
			if check([]byte(text)) == nil {
				t.Errorf("%s %q is taken", kind, text)
			}
		}
	}
}

// TestActsHaveTheirHash has the hash of an entry for Accord be that of its body,
// which is also the proposal's id, and bounds what members vote for.
func TestActsHaveTheirHash(t *testing.T) {
	for kind, text := range map[protocol.Kind]string{
		protocol.KindPropose: proposalOf(nil), protocol.KindVote: `{"proposal":"` + someID + `","vote":"accept"}`,
		protocol.KindWithdraw: `{"proposal":"` + someID + `"}`, protocol.KindReport: `{"proposal":"` + someID + `","status":"done"}`,
	} {
		if hash, err := protocol.CheckBody(kind, []byte(text), len(text)); err != nil || hash != sha256.Sum256([]byte(text)) {
			t.Errorf("%s: %s, %v", kind, hash, err)
		}
		if _, err := protocol.CheckBody(kind, []byte(text), len(text)-1); err == nil {
			t.Errorf("%s: one byte too many is taken", kind)
		}
		for other := range protocol.KindDecide + 2 {
			if _, err := protocol.CheckBody(other, []byte(text), 1000); other != kind && err == nil {
				t.Errorf("a %s is taken for a %s", kind, other)
			}
		}
	}
	if _, err := protocol.CheckBody(protocol.KindDecide, []byte(`{}`), 1000); err == nil {
		t.Error("a decision of somebody's own is taken")
	}
}

func TestDefaultThreshold(t *testing.T) {
	for k, want := range map[int]int{1: 1, 2: 2, 3: 3, 4: 3, 5: 4, 6: 5, 7: 5, 10: 7, 100: 67} {
		if got := protocol.DefaultThreshold(k); got != want || got > k {
			t.Errorf("%d of %d, want %d", got, k, want)
		}
	}
}

// FuzzProposal has a proposal be read, or not, whatever it is: never with a panic,
// and what is read is what was written.
func FuzzProposal(f *testing.F) {
	f.Add([]byte(proposalOf(nil)))
	f.Add([]byte(proposalOf(map[string]string{"subject": `"s\n"`, "expected_version": "3"})))
	f.Add([]byte(proposalOf(map[string]string{"subject": `"network"`, "action": `{"payload":{"max_future_ms":1},"type":"params.set"}`})))
	f.Add([]byte(` {"participants":["a",null],"threshold":1e2}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := protocol.ParseProposal(text, 1<<16)
		if err != nil {
			if _, err := protocol.CheckProposal(text, 1<<16); err == nil {
				t.Fatal("is refused, and taken as it is")
			}
			return
		}
		again, err := protocol.CheckProposal(p.Canonical, 1<<16)
		if err != nil || again.ID != p.ID || p.ID != sha256.Sum256(p.Canonical) {
			t.Fatalf("canonical form %s: %v", p.Canonical, err)
		}
		if _, err := protocol.CheckProposal(text, 1<<16); (err == nil) != bytes.Equal(text, p.Canonical) {
			t.Fatalf("%q and its canonical form %q: %v", text, p.Canonical, err)
		}
		if p.Threshold < 1 || p.Threshold > len(p.Participants) || p.Deadline < 1 || p.Deadline > protocol.MaxMicros {
			t.Fatalf("%+v", p)
		}
		if !slices.IsSorted(p.Participants) || p.Conditional && p.Subject == "" {
			t.Fatalf("%+v", p)
		}
		if hash, err := protocol.CheckBody(protocol.KindPropose, p.Canonical, 1<<16); err != nil || hash != p.ID {
			t.Fatalf("an entry of it: %s, %v", hash, err)
		}
	})
}

// FuzzShortBodies does the same for votes, withdrawals and reports.
func FuzzShortBodies(f *testing.F) {
	f.Add([]byte(`{"proposal":"` + someID + `","vote":"accept"}`))
	f.Add([]byte(`{"proposal":"` + someID + `","reason":"\"\\\u001f","vote":"reject"}`))
	f.Add([]byte(`{"proposal":"` + someID + `"}`))
	f.Add([]byte(`{"note":"é\t","proposal":"` + someID + `","status":"failed"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if v, err := protocol.CheckVote(text); err == nil && !bytes.Equal(v.Append(nil), text) {
			t.Errorf("a vote %q is written %q", text, v.Append(nil))
		}
		if w, err := protocol.CheckWithdrawal(text); err == nil && !bytes.Equal(w.Append(nil), text) {
			t.Errorf("a withdrawal %q is written %q", text, w.Append(nil))
		}
		if r, err := protocol.CheckReport(text); err == nil && !bytes.Equal(r.Append(nil), text) {
			t.Errorf("a report %q is written %q", text, r.Append(nil))
		}
	})
}
