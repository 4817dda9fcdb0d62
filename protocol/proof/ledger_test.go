package proof_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/internal/fixture"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
)

const anchor = `{"anchor_type":"state","data":{"n":1},"metadata":{"key":"k"}}`

// anchored is the proof of an anchor in its author's log and in the ledger, the
// policy, and the answer that an API would give.
func anchored(t testing.TB, voters ...protocol.MemberID) (log, ledger *proof.Proof, policy *proof.Policy, answer []byte) {
	t.Helper()
	w := fixture.New(t, 4)
	a, err := protocol.ParseAnchor([]byte(anchor), 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	entry := protocol.Entry{Kind: a.Kind, Hash: a.Hash, Time: fixture.Start + 5, TTL: 60}
	prove := func(id protocol.MemberID, leaf proof.Leaf, index int) *proof.Proof {
		var tree merkle.Tail
		for i := range 6 {
			tree.Append(tlog.RecordHash([]byte{byte(i)}))
			if i == index-1 {
				tree.Append(tlog.RecordHash(leaf.Append(nil)))
			}
		}
		claim := quorum.Claim{Log: id, Size: tree.Size(), Root: tree.Root()}
		for _, v := range voters {
			claim.Cosigs = append(claim.Cosigs, w.Vote(v, id, claim.Size, claim.Root, fixture.Start.Seconds()))
		}
		cert, err := w.Committee.Verify(claim)
		if err != nil {
			t.Fatal(err)
		}
		path, err := tree.Inclusion(uint64(index))
		if err != nil {
			t.Fatal(err)
		}
		return proof.NewCheckpoint(w.Committee, cert).Prove(leaf, uint64(index), path)
	}
	log = prove(1, entry, 3)
	ledger = prove(protocol.Ledger, protocol.LedgerEntry{Entry: entry, Log: "node-2", Index: 3}, 5)
	if policy, err = proof.ParsePolicy([]byte(proof.EpochPolicyText(w.Committee))); err != nil {
		t.Fatal(err)
	}
	answer = []byte(`{"timestamp":1700000000000,"position":5,"hash":"` + a.Hash.String() + `","payload":` + anchor + `,"proof":`)
	answer = append(log.AppendJSON(answer), `,"ledger_proof":`...)
	return log, ledger, policy, append(ledger.AppendJSON(answer), '}')
}

func TestVerifyLedger(t *testing.T) {
	_, ledger, policy, answer := anchored(t, 0, 1, 3)
	proofs, claims, err := proof.ParseProofs(answer)
	if err != nil || len(proofs) != 2 {
		t.Fatalf("%d proofs, %v", len(proofs), err)
	}
	reports, err := proof.VerifyAll(policy, proofs, claims)
	if err != nil {
		t.Fatal(err)
	}
	if r := reports[0]; r.Position != nil || r.Log != "node-2" || r.Index != 3 || r.Kind != "anchor.state" {
		t.Errorf("%+v", r)
	}
	r := reports[1]
	if r.Position == nil || *r.Position != 5 || r.Log != "node-2" || r.Index != 3 || r.Size != 7 ||
		r.Origin != "strata.example/test/ledger" || r.Quorum != "3/3" || !r.TimestampVouched {
		t.Errorf("%+v", r)
	}
	bare, err := json.Marshal(ledger)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := verify(policy, bare, []byte(anchor)); err != nil || *r.Position != 5 {
		t.Errorf("a bare proof of the ledger: %+v, %v", r, err)
	}
}

// TestLedgerWithoutAuthor shows that nobody's signature in particular is asked
// for: three that the author is not among will do.
func TestLedgerWithoutAuthor(t *testing.T) {
	w := fixture.New(t, 4)
	leaf := protocol.LedgerEntry{Entry: protocol.Entry{Kind: protocol.KindAttest, Time: fixture.Start}, Log: "node-2", Index: 1}
	var tree merkle.Tail
	tree.Append(tlog.RecordHash(leaf.Append(nil)))
	claim := quorum.Claim{Log: protocol.Ledger, Size: 1, Root: tree.Root()}
	for _, v := range []protocol.MemberID{0, 2, 3} {
		claim.Cosigs = append(claim.Cosigs, w.Vote(v, protocol.Ledger, 1, claim.Root, fixture.Start.Seconds()))
	}
	cert, err := w.Committee.Verify(claim)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := proof.ParsePolicy([]byte(proof.EpochPolicyText(w.Committee)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proof.Verify(policy, proof.NewCheckpoint(w.Committee, cert).Prove(leaf, 0, nil), proof.Claims{}); err != nil {
		t.Error(err)
	}
}

// TestLedgerEveryByte changes every byte of a proof of the ledger.
func TestLedgerEveryByte(t *testing.T) {
	_, p, policy, _ := anchored(t, 0, 1, 3)
	for i := range p.TLogProof {
		for _, x := range []byte{1, 2, 4, 0x20, 0x80} {
			bad := *p
			text := []byte(p.TLogProof)
			text[i] ^= x
			bad.TLogProof = string(text)
			if _, err := proof.Verify(policy, &bad, proof.Claims{}); err == nil {
				t.Errorf("byte %d (%q) changed to %q is accepted", i, p.TLogProof[i], text[i])
			}
		}
	}
	for i := range p.Entry {
		bad := *p
		bad.Entry = append([]byte(nil), p.Entry...)
		bad.Entry[i] ^= 1
		if _, err := proof.Verify(policy, &bad, proof.Claims{}); err == nil {
			t.Errorf("byte %d of the entry (%q) changed is accepted", i, p.Entry[i])
		}
	}
}

func TestLedgerSteps(t *testing.T) {
	log, ledger, policy, _ := anchored(t, 0, 1, 3)
	sigs := strings.Index(ledger.TLogProof, "— ")
	first := strings.SplitAfter(ledger.TLogProof[sigs:], "\n")[0]
	other, wrong := *log, uint64(6)
	other.Entry = append(json.RawMessage(nil), ledger.Entry...)
	twoOfThree := *ledger
	twoOfThree.TLogProof = strings.Replace(ledger.TLogProof, first, "", 1)
	twoOfThree.Witnesses = ledger.Witnesses[1:]
	swapped := *ledger
	swapped.Entry = append(json.RawMessage(nil), log.Entry...)
	for _, c := range []struct {
		name   string
		step   proof.Step
		proofs []*proof.Proof
		claims proof.Claims
	}{
		{"a leaf of the ledger in a log", proof.StepEntry, []*proof.Proof{&other}, proof.Claims{}},
		{"a leaf of a log in the ledger", proof.StepEntry, []*proof.Proof{&swapped}, proof.Claims{}},
		{"two of four", proof.StepQuorum, []*proof.Proof{&twoOfThree}, proof.Claims{}},
		{"another position", proof.StepEntry, []*proof.Proof{log, ledger}, proof.Claims{Position: &wrong}},
		{"an event for an anchor", proof.StepEvent, []*proof.Proof{ledger}, proof.Claims{Event: []byte(event)}},
		{"another anchor", proof.StepHash, []*proof.Proof{ledger}, proof.Claims{Event: []byte(strings.Replace(anchor, "1", "2", 1))}},
		{"proofs of two entries", proof.StepEntry, []*proof.Proof{otherEntry(t), ledger}, proof.Claims{}},
	} {
		var failed *proof.StepError
		if _, err := proof.VerifyAll(policy, c.proofs, c.claims); !errors.As(err, &failed) || failed.Step != c.step {
			t.Errorf("%s: %v, want step %s", c.name, err, c.step)
		}
	}
}

func otherEntry(t *testing.T) *proof.Proof {
	p, _, _ := attested(t)
	return p
}

// TestLedgerOfPolicy finds the ledger by its logs' network, and none where
// there are several networks.
func TestLedgerOfPolicy(t *testing.T) {
	text := proof.EpochPolicyText(fixture.New(t, 4).Committee)
	policy, err := proof.ParsePolicy([]byte(text))
	if err != nil || policy.Ledger() != "strata.example/test/ledger" {
		t.Errorf("%q, %v", policy.Ledger(), err)
	}
	stranger, err := cosign.NewSigner("elsewhere.example/x", make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	text += "log " + stranger.Verifier().String() + " https://elsewhere.example\n"
	other, err := proof.ParsePolicy([]byte(text))
	if err != nil || other.Ledger() != "" {
		t.Errorf("a policy of two networks has the ledger %q, %v", other.Ledger(), err)
	}
}
