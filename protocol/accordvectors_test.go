package protocol_test

import (
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/internal/fixture"
)

// accordVector pins what members put before each other, and what it comes to.
type accordVector struct {
	Proposals []proposalVector `json:"proposals"`
	Bodies    []bodyVector     `json:"bodies"`
	Decisions []bodyVector     `json:"decisions"`
}

// proposalVector is a proposal as somebody wrote it, its canonical form and its
// id, or the field that it is refused for.
type proposalVector struct {
	Proposal  string         `json:"proposal"`
	Canonical string         `json:"canonical,omitempty"`
	ID        *protocol.Hash `json:"id,omitempty"`
	Field     string         `json:"field,omitempty"`
}

// bodyVector is a body, and the leaf of its entry in its log or, of a decision, in
// the ledger.
type bodyVector struct {
	Kind string        `json:"kind"`
	Body string        `json:"body"`
	Hash protocol.Hash `json:"hash"`
	Leaf string        `json:"leaf"`
}

func TestAccordVectors(t *testing.T) {
	var out accordVector
	for _, text := range []string{
		`{"action":{"type":"config.set","payload":{"flag":"on"}},"proposer":"node-1","participants":["node-1","node-2","node-3","node-4"],"threshold":3,"deadline":1700000030000,"nonce":"0c1f"}`,
		`{"action":{"type":"config.set","payload":{"n":1.0}},"subject":"flags/\u00e9","expected_version":0,"proposer":"node-2","participants":["node-1","node-2"],"threshold":2,"deadline":1.70000003e12,"nonce":"1"}`,
		`{"action":{"type":"params.set","payload":{"checkpoint_ms":200}},"subject":"network","proposer":"node-1","participants":["node-1","node-2","node-3","node-4"],"threshold":3,"deadline":1700000030000,"nonce":"2"}`,
		`{"action":{"type":"membership.remove","payload":{"name":"node-4"}},"subject":"network","proposer":"node-1","participants":["node-1","node-2","node-3","node-4"],"threshold":3,"deadline":1700000030000,"nonce":"3"}`,
		`{"action":{"type":"membership.remove","payload":{"name":"node-4"}},"proposer":"node-1","participants":["node-1"],"threshold":1,"deadline":1700000030000,"nonce":"3"}`,
		`{"action":{"type":"config.set","payload":{}},"proposer":"node-1","participants":["node-2","node-1"],"threshold":1,"deadline":1700000030000,"nonce":"4"}`,
		`{"action":{"type":"config.set","payload":{}},"proposer":"node-1","participants":["node-1","node-2"],"threshold":3,"deadline":1700000030000,"nonce":"4"}`,
		`{"action":{"type":"config.set","payload":{}},"proposer":"node-1","participants":["node-1"],"threshold":1,"deadline":1700000030000,"nonce":"4","expected_version":1}`,
	} {
		v := proposalVector{Proposal: text}
		p, err := protocol.ParseProposal([]byte(text), 1<<16)
		var field *protocol.FieldError
		switch {
		case err == nil:
			v.Canonical, v.ID = string(p.Canonical), &p.ID
		case errors.As(err, &field):
			v.Field = field.Field
		default:
			t.Fatal(err)
		}
		out.Proposals = append(out.Proposals, v)
	}
	id := *out.Proposals[0].ID
	const at = fixture.Start + protocol.Second
	for _, b := range []struct {
		kind protocol.Kind
		body []byte
	}{
		{protocol.KindPropose, []byte(out.Proposals[0].Canonical)},
		{protocol.KindVote, protocol.Vote{Proposal: id, Accept: true}.Append(nil)},
		{protocol.KindVote, protocol.Vote{Proposal: id, Reason: "not \"today\"\né"}.Append(nil)},
		{protocol.KindWithdraw, protocol.Withdrawal{Proposal: id}.Append(nil)},
		{protocol.KindReport, protocol.Report{Proposal: id}.Append(nil)},
		{protocol.KindReport, protocol.Report{Proposal: id, Failed: true, Note: "exit 1"}.Append(nil)},
	} {
		hash, err := protocol.CheckBody(b.kind, b.body, 1<<16)
		if err != nil {
			t.Fatal(err)
		}
		leaf := protocol.Entry{Kind: b.kind, Hash: hash, Time: at}.Append(nil)
		if _, err := protocol.ParseEntry(leaf); err != nil {
			t.Error(err)
		}
		out.Bodies = append(out.Bodies, bodyVector{b.kind.String(), string(b.body), hash, string(leaf)})
	}
	votes := []accord.Ballot{{Member: "node-1", Accept: true, Position: 12}, {Member: "node-3", Position: 14}}
	for i, d := range []accord.Decision{
		{ID: id, Position: 10, Status: accord.Accepted, Votes: votes},
		{ID: *out.Proposals[1].ID, Position: 11, Status: accord.Accepted, Subject: "flags/é", Version: 1, Votes: votes[:1]},
		{ID: id, Position: 10, Status: accord.Rejected, Reason: "node-9 is not a member"},
		{ID: id, Position: 10, Status: accord.Expired, Votes: votes},
		{ID: id, Position: 10, Status: accord.Conflict, Subject: "a", Winner: *out.Proposals[1].ID, Reason: "the subject has another version"},
		{ID: id, Position: 10, Status: accord.Withdrawn},
	} {
		body := d.Append(nil)
		if err := protocol.CheckCanonical("decision", body); err != nil || d.Hash() != sha256.Sum256(body) {
			t.Errorf("%s: %v", body, err)
		}
		leaf := protocol.LedgerEntry{
			Entry: protocol.Entry{Kind: protocol.KindDecide, Hash: d.Hash(), Time: at}, Log: protocol.AccordName, Index: 1 + uint64(i),
		}.Append(nil)
		out.Decisions = append(out.Decisions, bodyVector{protocol.KindDecide.String(), string(body), d.Hash(), string(leaf)})
	}
	goldenJSON(t, "accord.json", out)
}
