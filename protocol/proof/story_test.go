package proof_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/internal/fixture"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
)

// told is a ledger that a quorum has cosigned, whatever is in it.
type told struct {
	t      testing.TB
	w      *fixture.Network
	leaves []protocol.LedgerEntry
	bodies []string
	id     protocol.Hash
}

func newTold(t testing.TB, participants string, threshold int) *told {
	t.Helper()
	s := &told{t: t, w: fixture.New(t, 4)}
	body := fmt.Sprintf(`{"action":{"payload":{},"type":"a.b"},"deadline":1700000009000,"nonce":"0","participants":[%s],"proposer":"node-1","subject":"s","threshold":%d}`, participants, threshold)
	p, err := protocol.CheckProposal([]byte(body), 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	s.id = p.ID
	s.add(protocol.KindPropose, "node-1", body)
	return s
}

// add puts something into the ledger, of which the place follows.
func (s *told) add(kind protocol.Kind, log, body string) {
	s.t.Helper()
	e := protocol.Entry{Kind: kind, Hash: sha256.Sum256([]byte(body)), Time: fixture.Start + protocol.Micros(len(s.leaves)+1)*protocol.Millisecond}
	s.leaves = append(s.leaves, protocol.LedgerEntry{Entry: e, Log: log, Index: uint64(len(s.leaves)) + 1})
	s.bodies = append(s.bodies, body)
}

func (s *told) vote(member string, accept bool) {
	s.add(protocol.KindVote, member, string(protocol.Vote{Proposal: s.id, Accept: accept}.Append(nil)))
}

// decide puts a decision into the ledger that counts the votes at some places.
func (s *told) decide(status string, counted ...int) {
	var votes []string
	for _, at := range counted {
		v, err := protocol.CheckVote([]byte(s.bodies[at]))
		if err != nil {
			s.t.Fatal(err)
		}
		votes = append(votes, fmt.Sprintf(`{"member":"%s","position":%d,"vote":"%s"}`, s.leaves[at].Log, at, protocol.VoteName(v.Accept)))
	}
	s.add(protocol.KindDecide, "accord", fmt.Sprintf(`{"id":"%s","position":0,"status":"%s","subject":"s","version":1,"votes":[%s]}`, s.id, status, strings.Join(votes, ",")))
}

// checkpoint is the ledger's, and tree what is under it.
func (s *told) checkpoint() (*proof.Checkpoint, *merkle.Tail) {
	s.t.Helper()
	tree := &merkle.Tail{}
	for _, e := range s.leaves {
		tree.Append(tlog.RecordHash(e.Append(nil)))
	}
	claim := quorum.Claim{Log: protocol.Ledger, Size: tree.Size(), Root: tree.Root()}
	for _, v := range []protocol.MemberID{0, 1, 3} {
		claim.Cosigs = append(claim.Cosigs, s.w.Vote(v, protocol.Ledger, claim.Size, claim.Root, fixture.Start.Seconds()))
	}
	cert, err := s.w.Committee.Verify(claim)
	if err != nil {
		s.t.Fatal(err)
	}
	return proof.NewCheckpoint(s.w.Committee, cert), tree
}

// proofAt is the proof of a place in the ledger.
func (s *told) proofAt(at int) *proof.Proof {
	s.t.Helper()
	cp, tree := s.checkpoint()
	path, err := tree.Inclusion(uint64(at))
	if err != nil {
		s.t.Fatal(err)
	}
	return cp.Prove(s.leaves[at], uint64(at), path)
}

// story is what the API would tell, with proofs of the whole ledger.
func (s *told) story() []byte {
	s.t.Helper()
	story := map[string]any{"id": s.id, "action": json.RawMessage(`{"type":"a.b","payload":{}}`), "status": "open"}
	votes, reports := []any{}, []any{}
	for i, e := range s.leaves {
		p := s.proofAt(i)
		r := map[string]any{"position": i, "hash": e.Hash, "timestamp": e.Time.Millis(), "body": json.RawMessage(s.bodies[i]), "ledger_proof": p}
		switch e.Kind {
		case protocol.KindPropose:
			story["body"], story["ledger_proof"] = r["body"], p
		case protocol.KindVote:
			r["member"] = e.Log
			votes = append(votes, r)
		case protocol.KindReport:
			reports = append(reports, r)
		case protocol.KindDecide:
			story["decision"] = r
			delete(story, "status")
		}
	}
	story["votes"], story["reports"] = votes, reports
	text, err := json.Marshal(story)
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

func (s *told) policy() *proof.Policy {
	s.t.Helper()
	policy, err := proof.ParsePolicy([]byte(proof.EpochPolicyText(s.w.Committee)))
	if err != nil {
		s.t.Fatal(err)
	}
	return policy
}

func (s *told) verify(text []byte) (*proof.StoryReport, error) { return verifyStory(s.policy(), text) }

func verifyStory(policy *proof.Policy, text []byte) (*proof.StoryReport, error) {
	st, err := proof.ParseStory(text)
	if err != nil {
		return nil, err
	}
	return proof.VerifyStory(policy, st, proof.Claims{})
}

const three = `"node-1","node-2","node-3"`

// TestDecisionFollows demands of a decision that it follows from votes that are in
// the ledger, also if a quorum has cosigned another one.
func TestDecisionFollows(t *testing.T) {
	accept := func(members ...string) func(*told) {
		return func(s *told) {
			for _, m := range members {
				s.vote(m, true)
			}
		}
	}
	for name, c := range map[string]struct {
		ledger func(*told)
		step   string // that fails, or "" if it is good
	}{
		"accepted":         {func(s *told) { accept("node-1", "node-3")(s); s.decide("accepted", 1, 2) }, ""},
		"open":             {accept("node-1"), ""},
		"rejected":         {func(s *told) { s.vote("node-1", false); s.vote("node-2", false); s.decide("rejected", 1, 2) }, ""},
		"expired":          {func(s *told) { accept("node-1")(s); s.decide("expired", 1) }, ""},
		"withdrawn":        {func(s *told) { s.decide("withdrawn") }, ""},
		"with a late vote": {func(s *told) { accept("node-1", "node-3")(s); s.decide("accepted", 1, 2); s.vote("node-2", false) }, ""},
		"with an outsider": {func(s *told) { accept("node-4", "node-1", "node-3")(s); s.decide("accepted", 2, 3) }, ""},
		"too few":          {func(s *told) { accept("node-1", "node-3")(s); s.decide("accepted", 1) }, "decision"},
		"counted twice":    {func(s *told) { accept("node-1", "node-1")(s); s.decide("accepted", 1, 2) }, "decision"},
		"one place twice":  {func(s *told) { accept("node-1")(s); s.decide("accepted", 1, 1) }, "decision"},
		"by an outsider":   {func(s *told) { accept("node-1", "node-4")(s); s.decide("accepted", 1, 2) }, "decision"},
		"not accepted":     {func(s *told) { accept("node-1", "node-3")(s); s.decide("rejected", 1, 2) }, "decision"},
		"expired, though":  {func(s *told) { accept("node-1", "node-3")(s); s.decide("expired", 1, 2) }, "decision"},
		"not rejected":     {func(s *told) { s.vote("node-1", false); s.decide("rejected", 1) }, "decision"},
		"about another": {func(s *told) {
			accept("node-1", "node-3")(s)
			s.add(protocol.KindDecide, "accord", fmt.Sprintf(`{"id":"%s","position":0,"status":"withdrawn","subject":"s","version":1,"votes":[]}`, protocol.Hash{1}))
		}, "story"},
		"at another place": {func(s *told) {
			s.add(protocol.KindDecide, "accord", fmt.Sprintf(`{"id":"%s","position":7,"status":"withdrawn","subject":"s","version":1,"votes":[]}`, s.id))
		}, "story"},
		"a vote on another": {func(s *told) {
			s.add(protocol.KindVote, "node-2", string(protocol.Vote{Proposal: protocol.Hash{1}, Accept: true}.Append(nil)))
		}, "story"},
		"a report": {func(s *told) {
			s.add(protocol.KindReport, "node-2", string(protocol.Report{Proposal: s.id, Note: "n"}.Append(nil)))
		}, ""},
		"a report on another": {func(s *told) {
			s.add(protocol.KindReport, "node-2", string(protocol.Report{Proposal: protocol.Hash{1}}.Append(nil)))
		}, "story"},
	} {
		s := newTold(t, three, 2)
		c.ledger(s)
		_, err := s.verify(s.story())
		var failed *proof.StepError
		got := ""
		if errors.As(err, &failed) {
			got = string(failed.Step)
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got != c.step {
			t.Errorf("%s: %v, want the step %q to fail", name, err, c.step)
		}
	}
}

// TestStoryIsHeldToItsProofs changes what is said beside proofs that are good.
func TestStoryIsHeldToItsProofs(t *testing.T) {
	s := newTold(t, three, 2)
	s.vote("node-1", true)
	s.vote("node-3", true)
	s.decide("accepted", 1, 2)
	text := string(s.story())
	r, err := s.verify([]byte(text))
	if err != nil || r.Status != "accepted" || len(r.Votes) != 2 || r.Decision.Log != "accord" || *r.Decision.Position != 3 || r.Version != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	with := func(more string) string { return `{` + more + `,` + text[1:] }
	without := func(part string) string {
		var story map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &story); err != nil {
			t.Fatal(err)
		}
		delete(story, part)
		out, err := json.Marshal(story)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	for name, c := range map[string]struct{ text, want string }{
		"what is so":          {with(`"status":"accepted","proposer":"node-1","position":0,"version":1,"decision_position":3,"threshold":2,"ledger_status":"x","causal_token":"y"`), ""},
		"another status":      {with(`"status":"rejected"`), "story"},
		"another proposer":    {with(`"proposer":"node-2"`), "story"},
		"another place":       {with(`"position":1`), "story"},
		"another version":     {with(`"version":2`), "story"},
		"a winner":            {with(`"winner":"` + s.id.String() + `"`), "story"},
		"an expected version": {with(`"expected_version":0`), "story"},
		"another threshold":   {with(`"threshold":3`), "story"},
		"decided later":       {with(`"decided_at":1700000000005`), "story"},
		"decided elsewhere":   {with(`"decision_position":2`), "story"},
		"without the votes":   {without("votes"), "decision"},
		"no decision":         {without("decision"), ""}, // it says less, and nothing false
		"no proof":            {without("ledger_proof"), "story"},
		"no body":             {without("body"), "body"},
		"no id":               {without("id"), "body"},
		"a stranger":          {with(`"colour":"red"`), `"colour"`},
		"a field's case":      {with(`"Status":"open"`), `"Status"`},
		"a field twice":       {with(`"id":"x"`), "syntax"},
	} {
		_, err := s.verify([]byte(c.text))
		var failed *proof.StepError
		var field *protocol.FieldError
		got := ""
		switch {
		case errors.As(err, &failed):
			got = string(failed.Step)
		case errors.As(err, &field):
			got = field.Field
		case err != nil:
			got = "syntax"
		}
		if got != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if proof.IsStory([]byte(`{"id":"x"}`)) || proof.IsStory([]byte(`{"action":1,"body":`)) || !proof.IsStory([]byte(text)) {
		t.Error("stories are not known from other texts")
	}
}

// TestStoryUnproved tells a story whose last part is under no checkpoint.
func TestStoryUnproved(t *testing.T) {
	s := newTold(t, three, 2)
	s.vote("node-1", true)
	text := string(s.story())
	var story map[string]any
	if err := json.Unmarshal([]byte(text), &story); err != nil {
		t.Fatal(err)
	}
	delete(story["votes"].([]any)[0].(map[string]any), "ledger_proof")
	changed, err := json.Marshal(story)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := s.verify(changed); err != nil || r.Unproved != 1 || r.Status != "open" {
		t.Errorf("%+v %v", r, err)
	}
	s.vote("node-2", true)
	s.decide("accepted", 1, 2)
	if err := json.Unmarshal(s.story(), &story); err != nil {
		t.Fatal(err)
	}
	delete(story["decision"].(map[string]any), "ledger_proof")
	if changed, err = json.Marshal(story); err != nil {
		t.Fatal(err)
	}
	var failed *proof.StepError
	if _, err := s.verify(changed); !errors.As(err, &failed) || failed.Step != proof.StepDecision {
		t.Errorf("%v", err)
	}
}

// TestActs verifies what answers say of what members have done, without bodies.
func TestActs(t *testing.T) {
	s := newTold(t, three, 2)
	s.vote("node-1", true)
	s.add(protocol.KindWithdraw, "node-1", string(protocol.Withdrawal{Proposal: s.id}.Append(nil)))
	s.add(protocol.KindReport, "node-1", string(protocol.Report{Proposal: s.id, Failed: true, Note: "n"}.Append(nil)))
	s.decide("accepted", 1)
	policy := s.policy()
	id := s.id.String()
	for name, c := range map[string]struct {
		at   int
		said string
		good bool
	}{
		"a proposal":            {0, `"id":"` + id + `","status":"accepted","reason":"r","version":3`, true},
		"another proposal":      {0, `"id":"` + protocol.Hash{1}.String() + `"`, false},
		"no id":                 {0, `"id":"x"`, false},
		"a proposal's vote":     {0, `"id":"` + id + `","vote":"accept"`, false},
		"a vote":                {1, `"id":"` + id + `","vote":"accept"`, true},
		"another vote":          {1, `"id":"` + id + `","vote":"reject"`, false},
		"no vote":               {1, `"id":"` + id + `","vote":"x"`, false},
		"another reason":        {1, `"id":"` + id + `","vote":"accept","reason":"r"`, false},
		"a vote with a note":    {1, `"id":"` + id + `","vote":"accept","note":"n"`, false},
		"a vote on nothing":     {1, `"vote":"accept"`, false},
		"a withdrawal":          {2, `"id":"` + id + `"`, true},
		"of another":            {2, `"id":"` + protocol.Hash{1}.String() + `"`, false},
		"a withdrawal's reason": {2, `"id":"` + id + `","reason":"r"`, false},
		"a report":              {3, `"id":"` + id + `","report":"failed","note":"n"`, true},
		"a report of success":   {3, `"id":"` + id + `","report":"done","note":"n"`, false},
		"no report":             {3, `"id":"` + id + `","report":"x","note":"n"`, false},
		"a decision":            {4, `"id":"` + id + `"`, false},
	} {
		text := []byte(`{` + c.said + `,"ledger_proof":` + string(s.proofAt(c.at).AppendJSON(nil)) + `}`)
		proofs, claims, err := proof.ParseProofs(text)
		if err == nil {
			_, err = proof.VerifyAll(policy, proofs, claims)
		}
		if (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseStory(f *testing.F) {
	s := newTold(f, three, 2)
	s.vote("node-1", true)
	s.vote("node-2", true)
	s.decide("accepted", 1, 2)
	f.Add(s.story())
	f.Add([]byte(`{"id":"x","action":{},"body":{},"votes":[],"decision":{"body":1}}`))
	policy := s.policy()
	f.Fuzz(func(t *testing.T, text []byte) {
		if r, err := verifyStory(policy, text); err == nil && r.ID != s.id {
			t.Errorf("%s is verified", text)
		}
	})
}
