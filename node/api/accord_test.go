package api

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strataos/strataos/actors"
	"github.com/strataos/strataos/node/auth"
	"github.com/strataos/strataos/node/internal/scribe"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/wire"
)

const proposePath = "/v1/accord/propose"

// deciding is a fixture whose submissions are ordered at once, with what others do
// about them.
type deciding struct {
	*fixture
	s *scribe.Scribe
	// votes says how other members vote on a proposal, before it is ordered.
	votes map[protocol.MemberID]bool
	// hold leaves submissions certified, and not ordered.
	hold bool
}

func newDeciding(t testing.TB) *deciding {
	t.Helper()
	f := newFixture(t)
	var err error
	all := auth.Spec{Name: "all", Tier: auth.Production, Scopes: []auth.Scope{auth.Read, auth.Write, auth.Vote}}
	if f.token, _, err = auth.Create(f.tokenFile(), all); err != nil {
		t.Fatal(err)
	}
	f.restart()
	d := &deciding{fixture: f, s: scribe.New(t, f.com, f.genesis.Params, f.signers, f.store, protocol.Micros(f.clock.UnixMicro()))}
	f.submit = d.record
	return d
}

// record puts a submission into the log of node-1, has others vote, and has all of
// it ordered. The lock is held.
func (d *deciding) record(sub actors.Submission) (*actors.Outcome, error) {
	index := sub.At
	if index == 0 {
		var parents []protocol.MemberID
		for _, p := range sub.After {
			parents = append(parents, p.Member)
		}
		b := d.s.Append(0, []wire.Item{{Kind: sub.Kind, Body: sub.Body}}, parents...)
		index = b.Old + 1
		if sub.Kind == protocol.KindPropose {
			d.voteFor(sub.Hash, d.votes)
		}
	}
	if !d.hold {
		d.settle()
	}
	claim, _, err := d.store.Certificate(0, index+1)
	if err != nil {
		return nil, err
	}
	cert, err := d.com.Verify(claim)
	if err != nil {
		return nil, err
	}
	row, _, err := d.store.LogRow(0, index)
	if err != nil {
		return nil, err
	}
	view := d.s.Tails[0].Snapshot()
	out := &actors.Outcome{Entry: row.Entry, Index: index, Batch: index + 1, Cert: cert, Checkpoint: proof.NewCheckpoint(d.com, cert), Tree: &view}
	out.Position, out.Ordered, err = d.store.Position(0, index)
	if err == nil && sub.Ordered && !out.Ordered {
		err = &actors.OrderError{Outcome: out}
	}
	return out, err
}

// voteFor has members vote on a proposal that is in the log of node-1.
func (d *deciding) voteFor(id protocol.Hash, votes map[protocol.MemberID]bool) {
	d.t.Helper()
	for m := range protocol.MemberID(4) {
		if accept, ok := votes[m]; ok {
			v := protocol.Vote{Proposal: id, Accept: accept, Reason: fmt.Sprintf("says node-%d", m+1)}
			d.s.Append(m, []wire.Item{scribe.Act(d.t, protocol.KindVote, v.Append(nil))}, 0)
		}
	}
}

// settle has everything ordered, and lets the clock follow.
func (d *deciding) settle() {
	d.t.Helper()
	d.s.Settle()
	if now := time.UnixMicro(int64(d.s.Now)); now.After(d.clock) {
		d.clock = now
	}
}

var (
	allAccept = map[protocol.MemberID]bool{1: true, 2: true, 3: true}
	allReject = map[protocol.MemberID]bool{1: false, 2: false, 3: false}
)

// proposed is the answer to a proposal as clients read it.
type proposedAnswer struct {
	ID               protocol.Hash  `json:"id"`
	Status           string         `json:"status"`
	Version          *uint64        `json:"version"`
	Position         *uint64        `json:"position"`
	Votes            []ballotAnswer `json:"votes"`
	DecidedAt        *int64         `json:"decided_at"`
	DecisionPosition *uint64        `json:"decision_position"`
	Reason           string         `json:"reason"`
	CausalToken      string         `json:"causal_token"`
}

func proposal(more string) string {
	return `{"action":{"type":"config.set","payload":{"limit":5}},"timeout_ms":20` + more + `}`
}

func (d *deciding) propose(status int, body string, headers ...string) proposedAnswer {
	d.t.Helper()
	a := d.do("POST", proposePath, body, headers...)
	if a.status != status {
		d.t.Fatalf("%d %s, want %d", a.status, a.body, status)
	}
	got := decode[proposedAnswer](d.t, a)
	if (a.header.Get("Location") == proposalPath(got.ID)) != (status == 202) {
		d.t.Errorf("%d: Location %q", status, a.header.Get("Location"))
	}
	// The proof is of the proposal, which the answer has.
	proofs, claims, err := proof.ParseProofs(a.body)
	if err != nil {
		d.t.Fatalf("%v: %s", err, a.body)
	}
	if _, err := proof.VerifyAll(d.policy(), proofs, claims); err != nil || claims.Event == nil {
		d.t.Errorf("%v: %s", err, a.body)
	}
	return got
}

func (d *deciding) story(id protocol.Hash) storyAnswer {
	d.t.Helper()
	a := d.do("GET", proposalPath(id), "")
	if a.status != 200 {
		d.t.Fatalf("%d %s", a.status, a.body)
	}
	return decode[storyAnswer](d.t, a)
}

func TestPropose(t *testing.T) {
	for name, c := range map[string]struct {
		votes  map[protocol.MemberID]bool
		more   string
		status string
		http   int
		votesN int
	}{
		"accepted":          {allAccept, "", "accepted", 200, 3},
		"accepted by some":  {allAccept, `,"participants":["node-3","node-2"],"threshold":2`, "accepted", 200, 2},
		"by one":            {allAccept, `,"participants":["node-3","node-2"],"threshold":1`, "accepted", 200, 1},
		"rejected":          {allReject, "", "rejected", 200, 2},
		"expired":           {nil, `,"deadline_ms":100`, "expired", 200, 0},
		"open":              {nil, "", "open", 202, 0},
		"open with votes":   {map[protocol.MemberID]bool{1: true, 2: false}, "", "open", 202, 2},
		"ordered, accepted": {allAccept, `,"wait":"ordered"`, "accepted", 200, 3},
		"with a subject":    {allAccept, `,"subject":"a/b","expected_version":0,"deadline_ms":2592000000`, "accepted", 200, 3},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeciding(t)
			d.votes = c.votes
			got := d.propose(c.http, proposal(c.more))
			if got.Status != c.status || len(got.Votes) != c.votesN || got.Position == nil || got.CausalToken == "" ||
				(got.DecidedAt != nil) != (c.status != "open") || (got.DecisionPosition != nil) != (c.status != "open") {
				t.Errorf("%+v", got)
			}
			if c.status != "open" && *got.DecisionPosition <= *got.Position {
				t.Errorf("decided at %d, proposed at %d", *got.DecisionPosition, *got.Position)
			}
			if !d.last.Ordered || d.last.TTL != 0 {
				t.Errorf("%+v", d.last)
			}
			p, err := protocol.CheckProposal(d.last.Body, 1<<16)
			if err != nil || p.Proposer != "node-1" || p.ID != got.ID || p.Deadline <= protocol.Micros(d.clock.UnixMicro())-10*protocol.Second {
				t.Errorf("%s: %v", d.last.Body, err)
			}
			if name == "accepted" && (p.Threshold != 3 || len(p.Participants) != 4 || got.Version != nil) {
				t.Errorf("by default: %s", d.last.Body)
			}
			if p.Subject != "" && (got.Version == nil || *got.Version != 1) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestProposeUnordered answers with what is known while a proposal is certified
// only, and shows it at its place.
func TestProposeUnordered(t *testing.T) {
	d := newDeciding(t)
	d.hold = true
	got := d.propose(202, proposal(""))
	if got.Status != "open" || got.Position != nil || len(got.Votes) != 0 {
		t.Errorf("%+v", got)
	}
	if s := d.story(got.ID); s.LedgerStatus != "certified" || s.Status != "open" || s.Proof == nil || s.Position != nil || s.Action.Type != "config.set" {
		t.Errorf("%+v", s)
	}
	a := d.do("POST", proposalPath(got.ID)+"/vote", `{"vote":"accept","timeout_ms":20}`)
	if e := a.failure(t).Error; a.status != 504 || e.Code != "ORDER_TIMEOUT" || e.Details["find"] != "GET "+proposalPath(got.ID) {
		t.Errorf("%d %s", a.status, a.body)
	}
	d.settle()
	if s := d.story(got.ID); s.LedgerStatus != "checkpointed" || s.Position == nil || len(s.Votes) != 1 {
		t.Errorf("%+v", s)
	}
}

// TestManyWait has many requests wait for decisions that come in between: all are
// told, each of its own, and nobody looks any more in the end.
func TestManyWait(t *testing.T) {
	d := newDeciding(t)
	var ids []protocol.Hash
	for range 3 {
		ids = append(ids, d.propose(202, proposal(`,"deadline_ms":600000`)).ID)
	}
	answers := make([]answer, 24)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = d.do("GET", proposalPath(ids[i%3])+"?wait=decided&timeout_ms=2000", "") })
	}
	waiting := func() int {
		d.server.decisions.mu.Lock()
		defer d.server.decisions.mu.Unlock()
		return d.server.decisions.count
	}
	for waiting() < len(answers) {
		runtime.Gosched()
	}
	for _, id := range ids[:2] {
		d.mu.Lock()
		d.voteFor(id, allAccept)
		d.settle()
		d.mu.Unlock()
	}
	all.Wait()
	for i, a := range answers {
		want := "accepted"
		if i%3 == 2 {
			want = "open"
		}
		if got := decode[storyAnswer](t, a); a.status != 200 || got.ID != ids[i%3] || got.Status != want {
			t.Errorf("%d: %d %s", i, a.status, got.Status)
		}
	}
	if waiting() != 0 || len(d.server.decisions.waiting) != 0 {
		t.Errorf("%d still wait", waiting())
	}
	// With no room, an answer comes at once.
	d.server.decisions.count = maxDeciding
	if a := d.do("GET", proposalPath(ids[2])+"?wait=decided&timeout_ms=5000", ""); a.status != 200 || decode[storyAnswer](t, a).Status != "open" {
		t.Errorf("%d %s", a.status, a.body)
	}
	d.server.decisions.count = 0
}

func TestConflict(t *testing.T) {
	d := newDeciding(t)
	first := d.propose(202, proposal(`,"subject":"s"`))
	conflict := func(more, winner string, version float64) {
		t.Helper()
		a := d.do("POST", proposePath, proposal(`,"subject":"s"`+more))
		e := a.failure(t).Error
		if a.status != 409 || e.Code != "CONFLICT" || e.Details["winner"] != winner && winner != "" || e.Details["subject"] != "s" ||
			e.Details["version"] != version || e.Details["position"] == nil || e.Details["definite"] != true {
			t.Errorf("%d %s", a.status, a.body)
		}
		id, err := protocol.ParseHash(e.Details["id"].(string))
		if err != nil {
			t.Fatal(err)
		}
		if s := d.story(id); s.Status != "conflict" || s.Reason == "" {
			t.Errorf("%+v", s)
		}
	}
	conflict("", first.ID.String(), 0)
	conflict(`,"wait":"ordered"`, first.ID.String(), 0)
	d.voteFor(first.ID, allAccept)
	d.settle()
	conflict(`,"expected_version":0`, first.ID.String(), 1)
	conflict(`,"expected_version":7`, first.ID.String(), 1)
	d.votes = allAccept
	if got := d.propose(200, proposal(`,"subject":"s","expected_version":1`)); *got.Version != 2 {
		t.Errorf("%+v", got)
	}
}

func TestProposeRefuses(t *testing.T) {
	d := newDeciding(t)
	with := func(action, more string) string { return `{"action":` + action + more + `}` }
	const a, network = `{"type":"a.b","payload":{}}`, `{"type":"params.set","payload":{"max_future_ms":300}}`
	long := strings.Repeat("x", 257)
	for name, c := range map[string]struct{ body, field string }{
		"no object":             {`[]`, "body"},
		"no JSON":               {`{"action"`, "body"},
		"no action":             {`{}`, "action"},
		"action no object":      {with(`1`, ""), "action"},
		"action without type":   {with(`{"payload":{}}`, ""), "action.type"},
		"type no name":          {with(`{"type":"a b","payload":{}}`, ""), "action.type"},
		"long type":             {with(`{"type":"`+long+`","payload":{}}`, ""), "action.type"},
		"no payload":            {with(`{"type":"a.b"}`, ""), "action.payload"},
		"payload no object":     {with(`{"type":"a.b","payload":[]}`, ""), "action.payload"},
		"unknown in action":     {with(`{"type":"a.b","payload":{},"x":1}`, ""), "action.x"},
		"inexact number":        {with(`{"type":"a.b","payload":{"n":12345678901234567890}}`, ""), "proposal"},
		"unknown field":         {with(a, `,"x":1`), "x"},
		"nonce is the node's":   {with(a, `,"nonce":"00"`), "nonce"},
		"proposer too":          {with(a, `,"proposer":"node-2"`), "proposer"},
		"twice":                 {with(a, `,"subject":"a","subject":"b"`), "body"},
		"empty subject":         {with(a, `,"subject":""`), "subject"},
		"subject no text":       {with(a, `,"subject":1`), "subject"},
		"long subject":          {with(a, `,"subject":"`+long+`"`), "subject"},
		"control in subject":    {with(a, `,"subject":"a\u0000"`), "subject"},
		"participants no list":  {with(a, `,"participants":"node-1"`), "participants"},
		"nobody":                {with(a, `,"participants":[]`), "participants"},
		"participants no names": {with(a, `,"participants":[1]`), "participants"},
		"a stranger":            {with(a, `,"participants":["node-1","node-9"]`), "participants[1]"},
		"named twice":           {with(a, `,"participants":["node-1","node-1"]`), "participants[1]"},
		"too many participants": {with(a, `,"participants":["node-1"`+strings.Repeat(`,"node-1"`, 100)+`]`), "participants"},
		"threshold 0":           {with(a, `,"threshold":0`), "threshold"},
		"threshold above all":   {with(a, `,"threshold":5`), "threshold"},
		"above participants":    {with(a, `,"participants":["node-1"],"threshold":2`), "threshold"},
		"threshold a text":      {with(a, `,"threshold":"3"`), "threshold"},
		"deadline in the past":  {with(a, `,"deadline_ms":-5`), "deadline_ms"},
		"deadline now":          {with(a, `,"deadline_ms":0`), "deadline_ms"},
		"deadline too near":     {with(a, `,"deadline_ms":99`), "deadline_ms"},
		"deadline too far":      {with(a, `,"deadline_ms":2592000001`), "deadline_ms"},
		"deadline of a clock":   {with(a, `,"deadline_ms":1795561613753`), "deadline_ms"},
		"version of nothing":    {with(a, `,"expected_version":1`), "expected_version"},
		"negative version":      {with(a, `,"subject":"s","expected_version":-1`), "expected_version"},
		"version a text":        {with(a, `,"subject":"s","expected_version":"1"`), "expected_version"},
		"wait":                  {with(a, `,"wait":"certified"`), "wait"},
		"timeout":               {with(a, `,"timeout_ms":5001`), "timeout_ms"},
		"network, by itself":    {with(network, ""), "subject"},
		"subject of network":    {with(a, `,"subject":"network"`), "subject"},
		"network, unknown":      {with(`{"type":"params.drop","payload":{}}`, `,"subject":"network"`), "action.type"},
		"network, nothing":      {with(`{"type":"params.set","payload":{}}`, `,"subject":"network"`), "action.payload"},
		"network, some":         {with(network, `,"subject":"network","participants":["node-1","node-2","node-3"]`), "participants"},
		"network, too few":      {with(network, `,"subject":"network","threshold":2`), "threshold"},
	} {
		a := d.do("POST", proposePath, c.body)
		e := a.failure(t)
		if a.status != 400 || e.Error.Code != "INVALID_REQUEST" || e.Error.Details["field"] != c.field || e.Error.Details["definite"] != true {
			t.Errorf("%s: %d %s, want field %s", name, a.status, a.body, c.field)
		}
	}
	big := with(`{"type":"a.b","payload":{"x":"`+strings.Repeat("x", d.genesis.Params.MaxEventBytes)+`"}}`, "")
	if a := d.do("POST", proposePath, big); a.status != 413 || a.failure(t).Error.Code != "PAYLOAD_TOO_LARGE" {
		t.Errorf("too large: %d %s", a.status, a.body)
	}
	if d.calls != 0 {
		t.Errorf("%d were submitted", d.calls)
	}
	if got := d.propose(202, with(network, `,"subject":"network","timeout_ms":20`)); got.Status != "open" {
		t.Errorf("%+v", got)
	}
}

// TestProposeOnce sends a proposal again with the same key: it is the same one, in
// the log once, and what has come of it meanwhile is told.
func TestProposeOnce(t *testing.T) {
	d := newDeciding(t)
	key := []string{"Idempotency-Key", "k"}
	first := d.propose(202, proposal(`,"subject":"s"`), key...)
	if again := d.propose(202, proposal(`,"subject":"s"`), key...); again.ID != first.ID || *again.Position != *first.Position {
		t.Errorf("%+v, before %+v", again, first)
	}
	d.voteFor(first.ID, allAccept)
	d.settle()
	decided := d.propose(200, proposal(`,"subject":"s"`), key...)
	if decided.ID != first.ID || decided.Status != "accepted" {
		t.Errorf("%+v, before %+v", decided, first)
	}
	if a := d.do("POST", proposePath, proposal(`,"subject":"s"`), key...); a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := d.do("POST", proposePath, proposal(`,"subject":"t"`), key...); a.status != 409 || a.failure(t).Error.Code != "IDEMPOTENCY_CONFLICT" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if other := d.propose(202, proposal(`,"subject":"s"`)); other.ID == first.ID {
		t.Error("two proposals have one id")
	}
	// A conflict stays one.
	for range 2 {
		a := d.do("POST", proposePath, proposal(`,"subject":"s"`), "Idempotency-Key", "rival")
		if a.status != 409 || a.failure(t).Error.Code != "CONFLICT" {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	var list proposalsAnswer = decode[proposalsAnswer](t, d.do("GET", "/v1/accord/proposals", ""))
	if len(list.Proposals) != 3 {
		t.Errorf("there are %d proposals", len(list.Proposals))
	}
}

// TestProposeAnew retries a proposal that did not come into the log: as long as
// something can come of it, the same one.
func TestProposeAnew(t *testing.T) {
	d := newDeciding(t)
	d.fail = &actors.TimeoutError{}
	ids := map[protocol.Hash]bool{}
	try := func() {
		t.Helper()
		a := d.do("POST", proposePath, proposal(""), "Idempotency-Key", "k")
		if a.status != 504 || a.failure(t).Error.Code != "QUORUM_TIMEOUT" {
			t.Fatalf("%d %s", a.status, a.body)
		}
		ids[d.last.Hash] = true
	}
	try()
	try()
	if len(ids) != 1 {
		t.Errorf("a retry has made %d proposals", len(ids))
	}
	d.clock = d.clock.Add(time.Minute)
	try()
	if len(ids) != 2 {
		t.Error("what is over was proposed again")
	}
	try()
	d.fail = nil
	if got := d.propose(202, proposal(""), "Idempotency-Key", "k"); len(ids) != 2 || !ids[got.ID] {
		t.Errorf("%v is none of %v", got.ID, ids)
	}
}

func TestVote(t *testing.T) {
	d := newDeciding(t)
	d.votes = map[protocol.MemberID]bool{1: true, 2: true}
	open := d.propose(202, proposal(`,"subject":"s"`))
	path := proposalPath(open.ID) + "/vote"
	a := d.do("POST", path, `{"vote":"accept","reason":"it is good"}`)
	var got struct {
		ID, Vote, Reason, Status string
		Hash                     protocol.Hash
		Version, Position        uint64
		DecidedAt                int64  `json:"decided_at"`
		CausalToken              string `json:"causal_token"`
	}
	if err := json.Unmarshal(a.body, &got); err != nil || a.status != 200 || got.ID != open.ID.String() || got.Vote != "accept" || got.Reason != "it is good" ||
		got.Status != "accepted" || got.Version != 1 || got.DecidedAt == 0 || got.CausalToken == "" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if len(d.last.After) != 1 || d.last.After[0].Member != 0 || !d.last.Ordered || d.last.Kind != protocol.KindVote {
		t.Errorf("%+v", d.last)
	}
	// The answer has all that its proof is about.
	proofs, claims, err := proof.ParseProofs(a.body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proof.VerifyAll(d.policy(), proofs, claims); err != nil {
		t.Error(err)
	}
	for _, change := range [][2]string{{`"accept"`, `"reject"`}, {`it is good`, `it is bad`}, {`"reason":"it is good",`, ``}} {
		proofs, claims, err := proof.ParseProofs([]byte(strings.Replace(string(a.body), change[0], change[1], 1)))
		if err == nil {
			_, err = proof.VerifyAll(d.policy(), proofs, claims)
		}
		if err == nil {
			t.Errorf("%s may be %s", change[0], change[1])
		}
	}
	refused := func(path, body string, status int, code string, details map[string]any) {
		t.Helper()
		a := d.do("POST", path, body)
		e := a.failure(t).Error
		if a.status != status || e.Code != code || e.Details["definite"] != true {
			t.Errorf("%d %s, want %d %s", a.status, a.body, status, code)
		}
		for name, want := range details {
			if e.Details[name] != want {
				t.Errorf("%s is %v, want %v", name, e.Details[name], want)
			}
		}
	}
	calls := d.calls
	refused(path, `{"vote":"reject"}`, 409, "ALREADY_VOTED", map[string]any{"vote": "accept", "status": "accepted", "position": float64(got.Position)})
	refused(proposalPath(protocol.Hash{1})+"/vote", `{"vote":"accept"}`, 404, "NOT_FOUND", nil)
	refused("/v1/accord/proposals/0x1/vote", `{"vote":"accept"}`, 400, "INVALID_REQUEST", map[string]any{"field": "id"})
	for body, field := range map[string]string{
		``: "vote", `{}`: "vote", `[]`: "body", `{"vote":"maybe"}`: "vote", `{"vote":1}`: "vote", `{"vote":"accept","x":1}`: "x",
		`{"vote":"accept","reason":""}`: "reason", `{"vote":"accept","reason":7}`: "reason", `{"vote":"accept","timeout_ms":0}`: "timeout_ms",
		`{"vote":"accept","reason":"` + strings.Repeat("r", 1025) + `"}`: "reason", `{"vote":"accept","reason":"\u0007"}`: "reason",
	} {
		refused(path, body, 400, "INVALID_REQUEST", map[string]any{"field": field})
	}
	refused(path, `{"vote":"accept","reason":"`+strings.Repeat("r", maxActBody)+`"}`, 413, "PAYLOAD_TOO_LARGE", nil)
	if d.calls != calls {
		t.Error("what was refused was submitted")
	}
	d.votes = nil
	others := d.propose(202, proposal(`,"participants":["node-2","node-3"]`))
	refused(proposalPath(others.ID)+"/vote", `{"vote":"accept"}`, 403, "NOT_PARTICIPANT", nil)
	d.votes = allReject
	over := d.propose(200, proposal(`,"subject":"s"`))
	refused(proposalPath(over.ID)+"/vote", `{"vote":"accept"}`, 409, "DECIDED", map[string]any{"status": "rejected", "decision_position": float64(*over.DecisionPosition), "version": 1.})
}

// TestLateVote has a vote ordered behind the decision: the answer says so.
func TestLateVote(t *testing.T) {
	d := newDeciding(t)
	open := d.propose(202, proposal(""))
	d.voteFor(open.ID, allAccept) // certified, and not ordered yet
	a := d.do("POST", proposalPath(open.ID)+"/vote", `{"vote":"reject"}`)
	if e := a.failure(t).Error; a.status != 409 || e.Code != "DECIDED" || e.Details["status"] != "accepted" {
		t.Errorf("%d %s", a.status, a.body)
	}
	s := d.story(open.ID)
	if n := len(s.Votes); n != 4 || s.Votes[3].Mark != "late" || s.Votes[3].Member != "node-1" {
		t.Errorf("%+v", s.Votes)
	}
}

func TestVoteOnce(t *testing.T) {
	d := newDeciding(t)
	open := d.propose(202, proposal(""))
	path := proposalPath(open.ID) + "/vote"
	first := d.do("POST", path, `{"vote":"accept"}`, "Idempotency-Key", "v")
	again := d.do("POST", path, `{"vote":"accept"}`, "Idempotency-Key", "v")
	if first.status != 200 || string(first.body) != string(again.body) || len(d.story(open.ID).Votes) != 1 {
		t.Errorf("%d %s, %d %s", first.status, first.body, again.status, again.body)
	}
}

// TestVoteScope demands a scope of its own for what the member itself says.
func TestVoteScope(t *testing.T) {
	d := newDeciding(t)
	open := d.propose(202, proposal(""))
	for scope, want := range map[auth.Scope]map[string]int{
		auth.Read:  {"vote": 403, "withdraw": 403, "report": 403, "propose": 403, "read": 200},
		auth.Write: {"vote": 403, "report": 409, "propose": 202, "read": 403},
		auth.Vote:  {"report": 403, "withdraw": 403, "propose": 403, "vote": 200, "read": 403},
	} {
		token, _, err := auth.Create(d.tokenFile(), auth.Spec{Name: string(scope), Tier: auth.Production, Scopes: []auth.Scope{scope}})
		if err != nil {
			t.Fatal(err)
		}
		if d.server.Tokens, err = auth.Open(d.tokenFile(), nil); err != nil {
			t.Fatal(err)
		}
		for what, status := range want {
			method, path, body := "POST", proposalPath(open.ID)+"/"+what, ``
			switch what {
			case "vote":
				body = `{"vote":"accept"}`
			case "report":
				body = `{"status":"done"}`
			case "propose":
				path, body = proposePath, proposal("")
			case "read":
				method, path = "GET", proposalPath(open.ID)
			}
			a := d.do(method, path, body, "Authorization", "Bearer "+token)
			if a.status != status || status == 403 && a.failure(t).Error.Code != "FORBIDDEN" {
				t.Errorf("%s with the scope %s: %d %s", what, scope, a.status, a.body)
			}
		}
	}
}

func TestWithdrawAndReport(t *testing.T) {
	d := newDeciding(t)
	open := d.propose(202, proposal(""))
	path := proposalPath(open.ID)
	code := func(path, body string, status int, code string) {
		t.Helper()
		a := d.do("POST", path, body)
		got := ""
		if a.status != 200 {
			got = a.failure(t).Error.Code
		}
		if a.status != status || got != code {
			t.Errorf("%s: %d %s, want %d %s", path, a.status, a.body, status, code)
		}
		if a.status == 200 {
			proofs, claims, err := proof.ParseProofs(a.body)
			if err == nil {
				_, err = proof.VerifyAll(d.policy(), proofs, claims)
			}
			if err != nil {
				t.Errorf("%v: %s", err, a.body)
			}
		}
	}
	code(path+"/report", `{"status":"done"}`, 409, "NOT_ACCEPTED")
	code(path+"/withdraw", `{"x":1}`, 400, "INVALID_REQUEST")
	code(path+"/withdraw", ``, 200, "")
	code(path+"/withdraw", `{}`, 409, "DECIDED")
	code(path+"/report", `{"status":"done"}`, 409, "NOT_ACCEPTED")
	if s := d.story(open.ID); s.Status != "withdrawn" {
		t.Errorf("%+v", s)
	}
	// One of node-2.
	p := d.foreign(`{"type":"a.b","payload":{}}`)
	code(proposalPath(p)+"/withdraw", ``, 403, "NOT_PROPOSER")

	d.votes = allAccept
	done := d.propose(200, proposal(""))
	path = proposalPath(done.ID) + "/report"
	code(path, `{"status":"failed","note":"no disk"}`, 200, "")
	code(path, `{"status":"done"}`, 200, "")
	code(path, `{"status":"so so"}`, 400, "INVALID_REQUEST")
	code(path, `{}`, 400, "INVALID_REQUEST")
	code(path, `{"status":"done","note":"`+strings.Repeat("n", 4097)+`"}`, 400, "INVALID_REQUEST")
	s := d.story(done.ID)
	if len(s.Reports) != 2 || s.Reports[0].Status != "failed" || s.Reports[0].Note != "no disk" || s.Reports[1].Status != "done" {
		t.Errorf("%+v", s.Reports)
	}
	others := d.propose(200, proposal(`,"participants":["node-2","node-3"],"threshold":2`))
	code(proposalPath(others.ID)+"/report", `{"status":"done"}`, 403, "NOT_PARTICIPANT")
}

// foreign has node-2 propose something.
func (d *deciding) foreign(action string) protocol.Hash {
	d.t.Helper()
	p, err := protocol.ParseProposal(fmt.Appendf(nil, `{"action":%s,"deadline":%d,"nonce":"0","participants":["node-1","node-2"],"proposer":"node-2","threshold":2}`,
		action, d.clock.UnixMilli()+60_000), 1<<16)
	if err != nil {
		d.t.Fatal(err)
	}
	d.s.Append(1, []wire.Item{scribe.Act(d.t, protocol.KindPropose, p.Canonical)})
	d.settle()
	return p.ID
}

// TestStory verifies the whole story of a proposal offline, and that nothing in it
// may be changed.
func TestStory(t *testing.T) {
	d := newDeciding(t)
	d.votes = map[protocol.MemberID]bool{1: true, 2: false, 3: true}
	open := d.propose(202, proposal(`,"subject":"s"`))
	if a := d.do("POST", proposalPath(open.ID)+"/vote", `{"vote":"accept"}`); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	d.voteFor(open.ID, map[protocol.MemberID]bool{1: false})
	d.settle()
	d.do("POST", proposalPath(open.ID)+"/report", `{"status":"done","note":"n"}`)
	a := d.do("GET", proposalPath(open.ID)+"?wait=decided", "")
	s := decode[storyAnswer](t, a)
	if s.Status != "accepted" || *s.Version != 1 || s.LedgerStatus != "checkpointed" || len(s.Votes) != 5 || s.Votes[4].Mark != "double" ||
		s.Decision.Status != "accepted" || s.Decision.Position != *s.DecisionPosition || len(s.Reports) != 1 || s.Proposer != "node-1" ||
		s.Votes[0].Reason != "says node-2" || s.CausalToken == "" || s.Truncated {
		t.Fatalf("%s", a.body)
	}
	verify := func(text []byte) (*proof.StoryReport, error) {
		st, err := proof.ParseStory(text)
		if err != nil {
			return nil, err
		}
		return proof.VerifyStory(d.policy(), st, proof.Claims{})
	}
	if !proof.IsStory(a.body) {
		t.Error("it is no story")
	}
	r, err := verify(a.body)
	if err != nil || r.Status != "accepted" || r.Version != 1 || len(r.Votes) != 4 || r.Unproved != 0 || r.Decision.Log != "accord" {
		t.Fatalf("%+v %v", r, err)
	}
	verdict := decode[map[string]any](t, d.do("POST", "/v1/witness/verify", string(a.body)))
	if verdict["valid"] != true {
		t.Errorf("%v", verdict)
	}
	free := map[string]bool{"causal_token": true, "ledger_status": true}
	text := string(a.body)
	for i := 0; i < len(text); i += 11 { // proofs by themselves are held to every byte
		changed := []byte(text)
		changed[i] ^= 1
		if _, err := verify(changed); err == nil && !inFree(text, i, free) {
			t.Errorf("byte %d, of %s, may be %q", i, text[max(0, i-30):i+1], changed[i])
		}
	}
	for old, new := range map[string]string{
		`"mark":"double"`: `"mark":"late"`, `"mark":"counted"`: `"mark":"double"`,
		`"status":"accepted","proposer"`: `"status":"rejected","proposer"`, `"threshold":3,"deadline"`: `"threshold":2,"deadline"`,
		`"version":1,"decided_at"`: `"version":2,"decided_at"`, `"member":"node-3"`: `"member":"node-4"`,
	} {
		changed := strings.Replace(text, old, new, 1)
		if _, err := verify([]byte(changed)); err == nil || changed == text {
			t.Errorf("%s may be %s", old, new)
		}
	}
	// The decision alone is enough to prove it.
	alone := fmt.Appendf(nil, `{"ledger_proof":%s,"body":%s,"kind":"decide","author":"accord","position":%d}`,
		mustJSON(t, s.Decision.LedgerProof), s.Decision.Body, s.Decision.Position)
	proofs, claims, err := proof.ParseProofs(alone)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proof.VerifyAll(d.policy(), proofs, claims); err != nil {
		t.Error(err)
	}
	claims.Event = []byte(strings.Replace(string(s.Decision.Body), "accepted", "rejected", 1))
	if _, err := proof.VerifyAll(d.policy(), proofs, claims); err == nil {
		t.Error("another decision is proved")
	}
	for params, field := range map[string]string{"wait=ordered": "wait", "timeout_ms=0": "timeout_ms", "x=1": "x"} {
		if a := d.do("GET", proposalPath(open.ID)+"?"+params, ""); a.status != 400 || a.failure(t).Error.Details["field"] != field {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

// inFree reports whether a byte of a text is in the value of a field that nothing
// can be held to, or between fields.
func inFree(text string, at int, free map[string]bool) bool {
	before := text[:at]
	for name := range free {
		begin := strings.LastIndex(before, `"`+name+`":"`)
		if begin >= 0 && !strings.Contains(before[begin+len(name)+4:], `"`) {
			return true
		}
	}
	return text[at] == '\n'
}

func TestProposals(t *testing.T) {
	d := newDeciding(t)
	var ids []protocol.Hash // the oldest first
	for i, c := range []struct {
		votes map[protocol.MemberID]bool
		body  string
		http  int
	}{
		{allAccept, `{"action":{"type":"a.one","payload":{}},"subject":"s","timeout_ms":20}`, 200},
		{allReject, `{"action":{"type":"a.two","payload":{}},"subject":"s","timeout_ms":20}`, 200},
		{nil, `{"action":{"type":"b.one","payload":{}},"deadline_ms":600000,"timeout_ms":20}`, 202},
		{nil, `{"action":{"type":"a.one.x","payload":{}},"subject":"t","deadline_ms":600000,"timeout_ms":20}`, 202},
	} {
		d.votes = c.votes
		got := d.propose(c.http, c.body)
		if ids = append(ids, got.ID); i == 3 {
			ids = append(ids, d.foreign(`{"type":"c.d","payload":{}}`))
		}
	}
	list := func(params string) proposalsAnswer {
		t.Helper()
		a := d.do("GET", "/v1/accord/proposals?"+params, "")
		if a.status != 200 {
			t.Fatalf("%s: %d %s", params, a.status, a.body)
		}
		return decode[proposalsAnswer](t, a)
	}
	numbers := func(a proposalsAnswer) []int {
		out := []int{}
		for _, p := range a.Proposals {
			out = append(out, slices.Index(ids, p.ID))
		}
		return out
	}
	for params, want := range map[string][]int{
		"":                           {4, 3, 2, 1, 0},
		"status=open":                {4, 3, 2},
		"status=accepted":            {0},
		"status=withdrawn":           {},
		"subject=s":                  {1, 0},
		"subject=s&status=rejected":  {1},
		"subject=t&status=open":      {3},
		"subject=u":                  {},
		"action=a.one":               {0},
		"action=a.*":                 {1, 0},
		"action=a.**":                {3, 1, 0},
		"action=b.*&status=open":     {2},
		"action=b.*&status=accepted": {},
	} {
		if got := numbers(list(params)); !slices.Equal(got, want) {
			t.Errorf("%s gives %v, want %v", params, got, want)
		}
		// Page by page it is the same.
		var paged []int
		for cursor := ""; ; {
			page := list(params + "&limit=1" + cursor)
			if len(page.Proposals) > 1 {
				t.Errorf("%d on a page of one", len(page.Proposals))
			}
			paged = append(paged, numbers(page)...)
			if !page.More {
				break
			}
			cursor = "&cursor=" + page.Cursor
		}
		if !slices.Equal(paged, want) {
			t.Errorf("%s gives %v page by page, want %v", params, paged, want)
		}
	}
	p := list("status=accepted").Proposals[0]
	if p.Proposer != "node-1" || *p.Version != 1 || p.Threshold != 3 || len(p.Votes) != 3 || p.DecidedAt == nil || p.Subject != "s" {
		t.Errorf("%+v", p)
	}
	cursor := list("limit=1").Cursor
	for params, field := range map[string]string{
		"status=done": "status", "subject=": "subject", "subject=" + strings.Repeat("s", 257): "subject", "action=a..b": "action", "limit=0": "limit",
		"limit=1001": "limit", "cursor=x": "cursor", "cursor=" + cursor + "&status=open": "cursor", "proposer=node-1": "proposer",
	} {
		if a := d.do("GET", "/v1/accord/proposals?"+params, ""); a.status != 400 || a.failure(t).Error.Details["field"] != field {
			t.Errorf("%s: %d %s", params, a.status, a.body)
		}
	}
}

func TestSubject(t *testing.T) {
	d := newDeciding(t)
	read := func(path string) subjectAnswer {
		t.Helper()
		a := d.do("GET", "/v1/accord/subjects/"+path, "")
		if a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		return decode[subjectAnswer](t, a)
	}
	if s := read("config/limits"); s.Version != 0 || s.Value != nil || s.Proposal != nil || s.Subject != "config/limits" {
		t.Errorf("%+v", s)
	}
	d.votes = allAccept
	d.propose(200, proposal(`,"subject":"config/limits"`))
	last := d.propose(200, `{"action":{"type":"config.set","payload":{"limit":6}},"subject":"config/limits","expected_version":1}`)
	d.votes = nil
	d.propose(202, proposal(`,"subject":"config/limits"`))
	for _, path := range []string{"config/limits", "config%2Flimits"} {
		s := read(path)
		if s.Version != 2 || s.Value.Type != "config.set" || string(s.Value.Payload) != `{"limit":6}` || *s.Proposal != last.ID || *s.DecidedAt != *last.DecidedAt ||
			*s.Position != *last.Position || *s.DecisionPosition != *last.DecisionPosition || s.CausalToken == "" {
			t.Errorf("%+v", s)
		}
	}
	if s := read("a%20%C3%A4"); s.Subject != "a ä" {
		t.Errorf("%+v", s)
	}
	for path, status := range map[string]int{strings.Repeat("s", 257): 400, "": 404, "s?x=1": 400} {
		if a := d.do("GET", "/v1/accord/subjects/"+path, ""); a.status != status {
			t.Errorf("%q: %d %s", path, a.status, a.body)
		}
	}
}

// TestDecisionsInTheLedger reads what Accord has put into the ledger as everything
// else in there.
func TestDecisionsInTheLedger(t *testing.T) {
	d := newDeciding(t)
	d.votes = allAccept
	first := d.propose(200, proposal(""))
	d.votes = nil
	d.propose(202, proposal(""))
	for params, want := range map[string]int{
		"kind=accord": 6, "kind=propose": 2, "kind=vote": 3, "kind=decide": 1, "kind=withdraw": 0, "kind=report": 0,
		"author=accord": 1, "author=node-2": 1, "kind=decide&author=node-1": 0, "kind=attest": 0, "order=time&kind=decide": 1,
		"after=" + first.ID.String(): 4, "before=" + first.ID.String(): 0, "concurrent=" + first.ID.String(): 0,
	} {
		if got := d.query(params); len(got.Entries) != want {
			t.Errorf("%s gives %d entries, want %d", params, len(got.Entries), want)
		}
	}
	decision := d.query("kind=decide").Entries[0]
	if decision.Author != "accord" || *decision.Position != *first.DecisionPosition || decision.Erased || decision.Retention != "permanent" {
		t.Errorf("%+v", decision)
	}
	hash := decision.Hash.String()
	if got := d.query("hash=" + hash); len(got.Entries) != 1 {
		t.Errorf("%+v", got)
	}
	a := d.do("GET", "/v1/chronos/anchors/"+hash, "")
	got := decode[anchorsAnswer](t, a)
	if a.status != 200 || got.LedgerStatus != "checkpointed" || got.LedgerProof == nil || got.Proof != nil || got.CausalToken == "" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	proofs, claims, err := proof.ParseProofs(a.body)
	if err != nil {
		t.Fatal(err)
	}
	reports, err := proof.VerifyAll(d.policy(), proofs, claims)
	if err != nil || reports[0].Kind != "decide" || *reports[0].Position != *first.DecisionPosition {
		t.Errorf("%+v %v", reports, err)
	}
	if v := decode[map[string]any](t, d.do("POST", "/v1/witness/verify", string(a.body))); v["valid"] != true {
		t.Errorf("%v", v)
	}
	for _, h := range []string{hash, first.ID.String()} {
		if v := decode[verifyAnswer](t, d.do("GET", "/v1/witness/verify/"+h, "")); !v.Valid || v.Status != "certified" || v.Position == nil || v.Count != 1 {
			t.Errorf("%+v", v)
		}
	}
	vote := d.query("kind=vote").Entries[0].Hash.String()
	if r := decode[relationAnswer](t, d.do("GET", "/v1/chronos/relation?a="+first.ID.String()+"&b="+vote, "")); r.Relation != "before" {
		t.Errorf("%+v", r)
	}
	for _, path := range []string{"/v1/chronos/relation?a=" + hash + "&b=" + vote, "/v1/chronos/query?after=" + hash} {
		if a := d.do("GET", path, ""); a.status != 400 || !strings.Contains(string(a.body), "is a decision") {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	// What names a decision comes after all that it follows from.
	if a := d.do("POST", anchorPath, `{"data":{},"anchor_type":"event","after":["`+hash+`"]}`); a.status != 200 || len(d.last.After) != 4 {
		t.Errorf("%d %s: %+v", a.status, a.body, d.last.After)
	}
	bundle := d.do("GET", "/ledger/tile/entries/000.p/5", "")
	if bundle.status != 200 || !strings.Contains(string(bundle.body), `"kind":"decide","log":"accord"`) {
		t.Errorf("%d %q", bundle.status, bundle.body)
	}
}

// TestTokensOfDecisions demands that a node with less of the ledger does not
// answer who has seen a decision.
func TestTokensOfDecisions(t *testing.T) {
	d := newDeciding(t)
	d.votes = allAccept
	first := d.propose(200, proposal(""))
	empty := newDeciding(t)
	for _, path := range []string{"/v1/accord/proposals?", proposalPath(first.ID) + "?", "/v1/accord/subjects/s?"} {
		a := empty.do("GET", path+"timeout_ms=5", "", causalityHeader, first.CausalToken)
		if a.status != 504 || a.failure(t).Error.Code != "CAUSALITY_TIMEOUT" {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := d.do("GET", path+"timeout_ms=5", "", causalityHeader, first.CausalToken); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

func TestProposeErrors(t *testing.T) {
	for _, c := range []struct {
		fail     error
		status   int
		code     string
		definite bool
	}{
		{actors.ErrBehind, 504, "CAUSALITY_TIMEOUT", true},
		{&actors.TimeoutError{InLog: true}, 504, "QUORUM_TIMEOUT", false},
		{&actors.TimeoutError{}, 504, "QUORUM_TIMEOUT", true},
		{actors.ErrOverloaded, 503, "OVERLOADED", true},
		{actors.ErrLogStopped, 503, "LOG_STOPPED", true},
		{actors.ErrInterrupted, 503, "INTERRUPTED", false},
	} {
		d := newDeciding(t)
		d.fail = c.fail
		a := d.do("POST", proposePath, proposal(""))
		e := a.failure(t)
		if a.status != c.status || e.Error.Code != c.code || e.Error.Details["definite"] != c.definite {
			t.Errorf("%v: %d %s", c.fail, a.status, a.body)
		}
	}
}

func FuzzParsePropose(f *testing.F) {
	x := newFixture(f)
	f.Add([]byte(proposal("")))
	f.Add([]byte(proposal(`,"subject":"s","participants":["node-2"],"threshold":1,"deadline_ms":100,"expected_version":3,"wait":"ordered"`)))
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := x.server.parsePropose(body)
		if err != nil {
			return
		}
		again, err := protocol.CheckProposal(req.proposal.Canonical, x.genesis.Params.MaxEventBytes)
		if err != nil || again.ID != req.proposal.ID {
			t.Errorf("%s: %v", req.proposal.Canonical, err)
		}
	})
}
