package proof_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	fproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/formats/witness"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// TestForeignVerifier checks proofs with libraries that are not ours alone:
// the pinned tlog-proof, the leaf's bytes and the policy are all they read.
func TestForeignVerifier(t *testing.T) {
	checkForeign(t, mustRead(t, "proof.tlog-proof"), mustRead(t, "entry"), openCheckpoint)
}

// TestForeignLedger does the same with a proof of the ledger, whose checkpoint
// no key of a log has signed: the witnesses' are opened instead.
func TestForeignLedger(t *testing.T) {
	var p struct {
		TLogProof string          `json:"tlog_proof"`
		Entry     json.RawMessage `json:"entry"`
	}
	if err := json.Unmarshal(mustRead(t, "ledger-proof.json"), &p); err != nil {
		t.Fatal(err)
	}
	checkForeign(t, []byte(p.TLogProof), p.Entry, openLedger)
}

func mustRead(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func checkForeign(t *testing.T, text, leaf []byte, open func(t *testing.T, policy string, text []byte) *log.Checkpoint) {
	t.Helper()
	var p fproof.TLogProof
	if err := p.Unmarshal(text); err != nil {
		t.Fatal(err)
	}
	policy := mustRead(t, "policy")
	group, err := witness.ParsePolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	if !group.Satisfied(p.Checkpoint) {
		t.Fatal("the policy is not satisfied")
	}
	cp := open(t, string(policy), p.Checkpoint)
	path := make(tlog.RecordProof, len(p.Hashes))
	for i, h := range p.Hashes {
		path[i] = h
	}
	if err := tlog.CheckRecord(path, int64(cp.Size), tlog.Hash(cp.Hash), int64(p.Index), tlog.RecordHash(leaf)); err != nil {
		t.Fatal(err)
	}
	if tlog.CheckRecord(path, int64(cp.Size), tlog.Hash(cp.Hash), int64(p.Index), tlog.RecordHash([]byte("other"))) == nil {
		t.Error("another leaf is in the tree too")
	}
}

// openLedger opens a checkpoint with the key of the first witness that has
// cosigned it.
func openLedger(t *testing.T, policy string, text []byte) *log.Checkpoint {
	t.Helper()
	_, name, _ := strings.Cut(string(text), "\n— ")
	name, _, _ = strings.Cut(name, " ")
	for line := range strings.Lines(policy) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "witness" || !strings.HasPrefix(f[2], name+"+") {
			continue
		}
		v, err := fnote.NewVerifierForCosignatureV1(f[2])
		if err != nil {
			t.Fatal(err)
		}
		cp, _, _, err := log.ParseCheckpoint(text, "strata.example/test/ledger", v)
		if err != nil {
			t.Fatal(err)
		}
		return cp
	}
	t.Fatalf("the policy knows no witness %s", name)
	return nil
}

// openCheckpoint opens a checkpoint with the key that the policy names for its
// origin.
func openCheckpoint(t *testing.T, policy string, text []byte) *log.Checkpoint {
	t.Helper()
	origin, _, _ := strings.Cut(string(text), "\n")
	for line := range strings.Lines(policy) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "log" || !strings.HasPrefix(f[1], origin+"+") {
			continue
		}
		var v note.Verifier
		v, err := fnote.NewVerifierForCosignatureV1(f[1])
		if err != nil {
			t.Fatal(err)
		}
		cp, _, _, err := log.ParseCheckpoint(text, origin, v)
		if err != nil {
			t.Fatal(err)
		}
		return cp
	}
	t.Fatalf("the policy knows no log %s", origin)
	return nil
}
