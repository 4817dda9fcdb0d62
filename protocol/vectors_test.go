package protocol_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/internal/fixture"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// The vectors in testdata pin the formats: other implementations can be held
// to them, and a change that would break stored data or proofs shows.
var update = flag.Bool("update", false, "write the golden vectors")

// golden compares text with a file of testdata, or writes the file.
func golden(t *testing.T, name string, text []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, want) {
		t.Errorf("%s differs from what is made now:\n%s", file, text)
	}
}

func goldenJSON(t *testing.T, name string, value any) {
	t.Helper()
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(value); err != nil {
		t.Fatal(err)
	}
	golden(t, name, buf.Bytes())
}

type eventVector struct {
	Event     string         `json:"event"`
	Canonical string         `json:"canonical,omitempty"`
	Hash      *protocol.Hash `json:"hash,omitempty"`
	Field     string         `json:"field,omitempty"` // of the error
}

func TestEventVectors(t *testing.T) {
	var vectors []eventVector
	for _, text := range []string{
		`{"type":"order.created","payload":{}}`,
		`{"payload":{"amount":1000,"to":"bob"},"type":"user.action"}`,
		`{"type":"a.b","payload":{"é":"\u20ac\n","n":[1e21,0.000001,-0,4.50],"z":null},"metadata":{"salt":"x"}}`,
		`{"type":"a.b"}`,
		`{"type":"a b","payload":{}}`,
		`{"type":"a.b","payload":[]}`,
		`{"type":"a.b","payload":{},"extra":true}`,
		`{"type":"a.b","payload":{},"payload":{}}`,
		`{"type":"a.b","payload":{"n":[9007199254740991,-9007199254740991,0.1,1e21,1e-7]}}`,
		`{"type":"a.b","payload":{"n":9007199254740992}}`,
		`{"type":"a.b","payload":{"n":-9007199254740992}}`,
		`{"type":"a.b","payload":{"n":12345678901234567890}}`,
		`{"type":"a.b","payload":{"n":1000000000000000000001}}`,
		`{"type":"a.b","payload":{"n":1e20}}`,
	} {
		v := eventVector{Event: text}
		e, err := protocol.ParseEvent([]byte(text), 1<<16)
		var field *protocol.FieldError
		switch {
		case err == nil:
			v.Canonical, v.Hash = string(e.Canonical), &e.Hash
		case errors.As(err, &field):
			v.Field = field.Field
		default:
			v.Field = "body"
		}
		vectors = append(vectors, v)
	}
	goldenJSON(t, "events.json", vectors)
}

// logVector is a log of three batches with everything that is derived of it.
type logVector struct {
	Origin  string        `json:"origin"`
	Batches []batchVector `json:"batches"`
	Votes   []voteVector  `json:"votes"`
}

type batchVector struct {
	Wire       string        `json:"wire"` // the message, in hexadecimal
	Events     []string      `json:"events"`
	Leaves     []string      `json:"leaves"`
	Root       protocol.Hash `json:"root"`
	Checkpoint string        `json:"checkpoint"`
}

type voteVector struct {
	VKey string `json:"vkey"`
	Line string `json:"line"`
	Wire string `json:"wire"`
}

func TestLogVectors(t *testing.T) {
	w := fixture.New(t, 4)
	genesis, err := json.MarshalIndent(w.Genesis, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "genesis.json", append(genesis, '\n'))
	golden(t, "policy", []byte(proof.EpochPolicyText(w.Committee)))
	id, err := w.Genesis.ID()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "network-id", []byte(id.String()+"\n"))

	log := w.Log(1)
	out := logVector{Origin: w.Committee.Origin(1)}
	events := [][]string{
		{`{"type":"order.created","payload":{}}`},
		{`{"payload":{"amount":1000,"to":"bob"},"type":"user.action"}`, `{"type":"a.b","payload":{"n":1}}`},
		nil,
	}
	for i, texts := range events {
		out.Batches = append(out.Batches, appendBatch(t, w, log, i, texts))
	}
	size, root := log.Tree.Size(), protocol.Hash(log.Tree.Root())
	for voter := range protocol.MemberID(4) {
		v := w.Vote(voter, 1, size, root, fixture.Start.Seconds()+uint64(voter))
		msg := &wire.Votes{Voter: voter, Votes: []wire.Vote{{Log: 1, Size: size, Root: root, Time: v.Time, Sig: v.Sig}}}
		out.Votes = append(out.Votes, voteVector{
			VKey: w.Committee.Verifier(voter).String(),
			Line: string(w.Committee.Verifier(voter).AppendLine(nil, v.Signature())),
			Wire: encodeHex(t, msg),
		})
	}
	cert := log.Certify(t, fixture.Start.Seconds(), 0, 1, 3)

	goldenJSON(t, "log.json", out)

	const index = 3
	path, err := log.Tree.Inclusion(index)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := protocol.ParseEntry(log.Leaves[index])
	if err != nil {
		t.Fatal(err)
	}
	p := proof.NewCheckpoint(w.Committee, cert).Prove(entry, index, path)
	golden(t, "proof.tlog-proof", []byte(p.TLogProof))
	golden(t, "entry", p.Entry)
	golden(t, "proof.json", append(p.AppendJSON(nil), '\n'))
	golden(t, "event", []byte(events[1][0]))
	ledgerVector(t, w, entry, index)
}

// ledgerVector pins the proof of the same entry in the ledger, as its third.
func ledgerVector(t *testing.T, w *fixture.Network, entry protocol.Entry, index uint64) {
	t.Helper()
	const position = 2
	leaf := protocol.LedgerEntry{Entry: entry, Log: w.Committee.Name(1), Index: index}
	var tree merkle.Tail
	for i := range uint64(5) {
		e := leaf
		if i != position {
			e = protocol.LedgerEntry{Entry: protocol.Entry{Kind: protocol.KindAnchorEvent, Hash: protocol.Hash{byte(i)}, Time: entry.Time, TTL: 60}, Log: w.Committee.Name(0), Index: 1 + i}
		}
		hash, _ := e.LeafHash(nil)
		tree.Append(hash)
	}
	claim := quorum.Claim{Log: protocol.Ledger, Size: tree.Size(), Root: tree.Root()}
	for _, v := range []protocol.MemberID{0, 2, 3} { // its author need not be among them
		claim.Cosigs = append(claim.Cosigs, w.Vote(v, protocol.Ledger, claim.Size, claim.Root, fixture.Start.Seconds()+1))
	}
	cert, err := w.Committee.Verify(claim)
	if err != nil {
		t.Fatal(err)
	}
	path, err := tree.Inclusion(position)
	if err != nil {
		t.Fatal(err)
	}
	p := proof.NewCheckpoint(w.Committee, cert).Prove(leaf, position, path)
	golden(t, "ledger-proof.json", append(p.AppendJSON(nil), '\n'))
}

// epochVector is a proof by the committee of an epoch, and what a policy beside
// this file makes of it.
type epochVector struct {
	Name   string        `json:"name"`
	Policy string        `json:"policy"`
	Proof  *proof.Proof  `json:"proof"`
	Report *proof.Report `json:"report,omitempty"`
	// Step is where the verification fails.
	Step proof.Step `json:"step,omitempty"`
}

// TestEpochVectors pins the policy of a network that node-5 has joined and node-1
// has left since, and proofs of the same entry in node-1's log.
func TestEpochVectors(t *testing.T) {
	epochs, in := fixture.NewEpochs(t, 4,
		fixture.Turn{Since: fixture.Start + 100*protocol.Second, Members: []protocol.MemberID{0, 1, 2, 3, 4}},
		fixture.Turn{Since: fixture.Start + 200*protocol.Second, Members: []protocol.MemberID{1, 2, 3, 4}})
	policies := map[string]*proof.Policy{}
	for name, text := range map[string]string{
		"policy": proof.EpochPolicyText(in[0].Committee), "policy-epochs": proof.PolicyText(epochs),
	} {
		golden(t, name, []byte(text))
		var err error
		if policies[name], err = proof.ParsePolicy([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	log := in[0].Log(0)
	e := fixture.Event(t, `{"type":"order.created","payload":{}}`)
	b := log.Append(fixture.Start, e)
	path, err := log.Tree.Inclusion(1)
	if err != nil {
		t.Fatal(err)
	}
	start := fixture.Start.Seconds()
	var vectors []epochVector
	for _, c := range []struct {
		name   string
		epoch  int
		time   uint64
		voters []protocol.MemberID
		policy string
	}{
		{"of the founders", 0, start, []protocol.MemberID{0, 1, 3}, "policy-epochs"},
		{"of five", 1, start + 98, []protocol.MemberID{0, 1, 2, 4}, "policy-epochs"},
		{"of the four without the author, who has left and signed beside them", 2, start + 200, []protocol.MemberID{1, 2, 4}, "policy-epochs"},
		{"of an epoch that is not known yet", 2, start + 200, []protocol.MemberID{1, 2, 4}, "policy"},
	} {
		log.Enter(in[c.epoch])
		cp := proof.NewCheckpoint(in[c.epoch].Committee, log.Certify(t, c.time, c.voters...))
		cp = cp.SignedBy(in[c.epoch].Committee.Verifier(0), b.AuthorVote().Signature())
		v := epochVector{Name: c.name, Policy: c.policy, Proof: cp.Prove(protocol.Entry{Kind: protocol.KindAttest, Hash: e.Hash, Time: fixture.Start}, 1, path)}
		var failed *proof.StepError
		if v.Report, err = proof.Verify(policies[c.policy], v.Proof, proof.Claims{}); errors.As(err, &failed) {
			v.Step = failed.Step
		}
		vectors = append(vectors, v)
	}
	goldenJSON(t, "proof-epochs.json", vectors)
}

func appendBatch(t *testing.T, w *fixture.Network, log *fixture.Log, i int, texts []string) batchVector {
	v := batchVector{Events: []string{}}
	var events []protocol.Event
	for _, text := range texts {
		e := fixture.Event(t, text)
		events = append(events, e)
		v.Events = append(v.Events, string(e.Canonical))
	}
	before := len(log.Leaves)
	b := log.Append(fixture.Start+protocol.Micros(i)*protocol.Second, events...)
	for _, leaf := range log.Leaves[before:] {
		v.Leaves = append(v.Leaves, string(leaf))
	}
	note := append(w.Committee.Checkpoint(1, b.Size(), b.Root).Append(nil), '\n')
	v.Checkpoint = string(w.Committee.Verifier(1).AppendLine(note, b.AuthorVote().Signature()))
	v.Root, v.Wire = b.Root, encodeHex(t, b)
	return v
}

func encodeHex(t *testing.T, m wire.Message) string {
	t.Helper()
	data, err := wire.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(data)
}

// refusedVector is something that must be refused.
type refusedVector struct {
	Name string `json:"name"`
	// Wire is a message in hexadecimal, Policy a policy file, Proof an answer;
	// Step is where the verification of that fails, against the policy file
	// beside this one.
	Wire   string          `json:"wire,omitempty"`
	Policy string          `json:"policy,omitempty"`
	Proof  json.RawMessage `json:"proof,omitempty"`
	Step   proof.Step      `json:"step,omitempty"`
}

// TestRefusedVectors holds the readers to a file that is written by hand.
func TestRefusedVectors(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "refused.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []refusedVector
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	policyText, err := os.ReadFile(filepath.Join("testdata", "policy"))
	if err != nil {
		t.Fatal(err)
	}
	policy, err := proof.ParsePolicy(policyText)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		switch {
		case v.Wire != "":
			data, err := hex.DecodeString(v.Wire)
			if err != nil {
				t.Fatal(err)
			}
			if m, err := wire.Decode(data, 1<<20); err == nil {
				t.Errorf("%s: decodes as %+v", v.Name, m)
			}
		case v.Policy != "":
			if _, err := proof.ParsePolicy([]byte(v.Policy)); err == nil {
				t.Errorf("%s: is read", v.Name)
			}
		default:
			checkRefusedProof(t, policy, v)
		}
	}
}

func checkRefusedProof(t *testing.T, policy *proof.Policy, v refusedVector) {
	p, claims, err := proof.ParseAnswer(v.Proof)
	if err == nil {
		_, err = proof.Verify(policy, p, claims)
	}
	var failed *proof.StepError
	if !errors.As(err, &failed) || failed.Step != v.Step {
		t.Errorf("%s: %v, want step %s", v.Name, err, v.Step)
	}
}

// TestVotesVerify reads the pinned signature lines back.
func TestVotesVerify(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "log.json"))
	if err != nil {
		t.Fatal(err)
	}
	var log logVector
	if err := json.Unmarshal(text, &log); err != nil {
		t.Fatal(err)
	}
	head := strings.SplitN(log.Batches[len(log.Batches)-1].Checkpoint, "\n", 4)
	root, err := base64.StdEncoding.DecodeString(head[2])
	if err != nil {
		t.Fatal(err)
	}
	cp := cosign.Checkpoint{Origin: head[0], Size: 6, Root: [32]byte(root)}
	for _, v := range log.Votes {
		verifier, err := cosign.ParseVerifier(v.VKey)
		if err != nil {
			t.Fatal(err)
		}
		sig, ok, err := verifier.ParseLine(v.Line)
		if err != nil || !ok || !verifier.Verify(cp, sig) {
			t.Errorf("%s: %v %v", v.Line, ok, err)
		}
	}
}
