package proof_test

import (
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

// TestForeignVerifier checks a proof with libraries that are not ours alone:
// the pinned tlog-proof, the leaf's bytes and the policy are all they read.
func TestForeignVerifier(t *testing.T) {
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join("..", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	var p fproof.TLogProof
	if err := p.Unmarshal(read("proof.tlog-proof")); err != nil {
		t.Fatal(err)
	}
	policy := read("policy")
	group, err := witness.ParsePolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	if !group.Satisfied(p.Checkpoint) {
		t.Fatal("the policy is not satisfied")
	}
	cp := openCheckpoint(t, string(policy), p.Checkpoint)
	path := make(tlog.RecordProof, len(p.Hashes))
	for i, h := range p.Hashes {
		path[i] = h
	}
	leaf := tlog.RecordHash(read("entry"))
	if err := tlog.CheckRecord(path, int64(cp.Size), tlog.Hash(cp.Hash), int64(p.Index), leaf); err != nil {
		t.Fatal(err)
	}
	if tlog.CheckRecord(path, int64(cp.Size), tlog.Hash(cp.Hash), int64(p.Index), tlog.RecordHash([]byte("other"))) == nil {
		t.Error("another leaf is in the tree too")
	}
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
