package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strataos/strataos/node/setup"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
	"golang.org/x/mod/sumdb/tlog"
)

// TestStrictTime checks a proof whose author was ten seconds ahead of its only
// witness: only --strict-time refuses it.
func TestStrictTime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	g, err := setup.Create(dir, "strata.example/test", []setup.Node{{Name: "acme", PeerAddr: "/ip4/127.0.0.1/tcp/1", HTTPListen: "127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "proof.json")
	if err := os.WriteFile(file, skewedProof(t, dir, g), 0o600); err != nil {
		t.Fatal(err)
	}
	policy := filepath.Join(dir, setup.PolicyFile)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 0, "only this time is vouched for"},
		{[]string{"--strict-time"}, exitFailed, "time: "},
		{[]string{"--strict-time", "--json"}, exitFailed, `"step": "time"`},
	} {
		var out strings.Builder
		args := append([]string{"verify", "--policy", policy, file}, c.args...)
		if code := run(args, &out, io.Discard); code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%v: exit %d, want %d\n%s", c.args, code, c.code, out.String())
		}
	}
}

func skewedProof(t *testing.T, dir string, g *protocol.Genesis) []byte {
	t.Helper()
	committee, err := quorum.NewCommittee(g)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := setup.LoadSigner(filepath.Join(dir, "acme", setup.SigningKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	const start = 1_700_000_000 * protocol.Second
	entry := protocol.Entry{Kind: protocol.KindAttest, Hash: protocol.Hash{1}, Time: start + 10*protocol.Second}
	var tree merkle.Tail
	tree.Append(tlog.RecordHash(entry.Append(nil)))
	cp := committee.Checkpoint(0, 1, protocol.Hash(tree.Root()))
	sig := signer.Cosign(cp, start.Seconds())
	cert, err := committee.Verify(quorum.Claim{Size: 1, Root: cp.Root, Cosigs: []quorum.Cosignature{{Time: sig.Time, Sig: sig.Bytes}}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(proof.NewCheckpoint(committee, cert).Prove(entry, 0, nil))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestVerifyLedger checks the pinned proof of the ledger, and one whose answer
// says another position.
func TestVerifyLedger(t *testing.T) {
	data := filepath.Join("..", "..", "protocol", "testdata")
	bare, err := os.ReadFile(filepath.Join(data, "ledger-proof.json"))
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(data, "proof.json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, c := range []struct {
		text string
		code int
		want string
	}{
		{string(bare), 0, "position 2 of 5"},
		{`{"position":2,"proof":` + string(log) + `,"ledger_proof":` + string(bare) + `}`, 0, "the proofs are valid"},
		{`{"position":3,"proof":` + string(log) + `,"ledger_proof":` + string(bare) + `}`, exitFailed, "the position is given as 3"},
		{strings.Replace(string(bare), `"index":3`, `"index":4`, 1), exitFailed, "inclusion"},
	} {
		file := filepath.Join(dir, "proof.json")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		export := filepath.Join(dir, "out")
		if code := run([]string{"verify", "--policy", filepath.Join(data, "policy"), "--export", export, file}, &out, io.Discard); code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("exit %d, want %d %q\n%s", code, c.code, c.want, out.String())
		}
	}
	for _, name := range []string{"ledger-proof.tlog-proof", "ledger-entry", "proof.tlog-proof", "entry"} {
		if _, err := os.Stat(filepath.Join(dir, "out", name)); err != nil {
			t.Error(err)
		}
	}
}

// TestVerifyEpochs checks the pinned proofs of three epochs, by the policy that
// knows them and by the one that knows the first.
func TestVerifyEpochs(t *testing.T) {
	data := filepath.Join("..", "..", "protocol", "testdata")
	text, err := os.ReadFile(filepath.Join(data, "proof-epochs.json"))
	if err != nil {
		t.Fatal(err)
	}
	var proofs []struct{ Proof json.RawMessage }
	if err := json.Unmarshal(text, &proofs); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		proof int
		args  []string
		code  int
		want  string
	}{
		{0, []string{"--policy", "policy"}, 0, "quorum      3/3\n"},
		{0, []string{"--policy", "policy-epochs"}, 0, "quorum      3/3\n"},
		{0, []string{"--policy", "policy-epochs", "--epoch-from", "1"}, exitFailed, "the committee of epoch 0 vouches, and none of epoch 1 or later"},
		{1, []string{"--policy", "policy-epochs", "--epoch-from", "1"}, 0, "quorum      4/4 of epoch 1\n"},
		{1, []string{"--policy", "policy"}, exitFailed, "the policy knows epochs up to 0, and what is newer is in /v1/network/policy"},
		{2, []string{"--policy", "policy-epochs", "--json"}, 0, `"epoch": 2`},
	} {
		file := filepath.Join(t.TempDir(), "proof.json")
		if err := os.WriteFile(file, proofs[c.proof].Proof, 0o600); err != nil {
			t.Fatal(err)
		}
		c.args[1] = filepath.Join(data, c.args[1])
		var out strings.Builder
		if code := run(append([]string{"verify", file}, c.args...), &out, io.Discard); code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%d, %v: exit %d, want %d %q\n%s", c.proof, c.args, code, c.code, c.want, out.String())
		}
	}
}
