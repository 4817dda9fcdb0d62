package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	fproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/formats/witness"
	"golang.org/x/mod/sumdb/tlog"
)

// foreignVerify checks the files of strata verify --export with libraries that
// are not ours: foreign POLICY DIR [PREFIX]. Another leaf must be refused.
func foreignVerify(ts *testscript.TestScript, _ bool, args []string) {
	policy, prefix := ts.ReadFile(args[0]), ""
	if len(args) > 2 {
		prefix = args[2]
	}
	text := ts.ReadFile(filepath.Join(args[1], prefix+"proof.tlog-proof"))
	entry := ts.ReadFile(filepath.Join(args[1], prefix+"entry"))
	ts.Check(foreignCheck(policy, text, entry))
	if foreignCheck(policy, text, entry+" ") == nil {
		ts.Fatalf("another entry is proved, too")
	}
}

func foreignCheck(policy, text, entry string) error {
	var p fproof.TLogProof
	if err := p.Unmarshal([]byte(text)); err != nil {
		return err
	}
	group, err := witness.ParsePolicy([]byte(policy))
	if err != nil {
		return err
	}
	if !group.Satisfied(p.Checkpoint) {
		return errors.New("the policy is not satisfied")
	}
	origin, _, _ := strings.Cut(string(p.Checkpoint), "\n")
	vkey := ""
	for line := range strings.Lines(policy) {
		f := strings.Fields(line)
		switch {
		case len(f) > 1 && f[0] == "log" && strings.HasPrefix(f[1], origin+"+"):
			vkey = f[1]
		case vkey == "" && len(f) > 2 && f[0] == "witness" && strings.HasSuffix(origin, "/ledger"):
			// The ledger has no key: any witness's opens it.
			if name, _, _ := strings.Cut(f[2], "+"); strings.Contains(string(p.Checkpoint), "\n— "+name+" ") {
				vkey = f[2]
			}
		}
	}
	v, err := fnote.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		return fmt.Errorf("the log %s: %w", origin, err)
	}
	cp, _, _, err := log.ParseCheckpoint(p.Checkpoint, origin, v)
	if err != nil {
		return err
	}
	path := make(tlog.RecordProof, len(p.Hashes))
	for i, h := range p.Hashes {
		path[i] = h
	}
	return tlog.CheckRecord(path, int64(cp.Size), tlog.Hash(cp.Hash), int64(p.Index), tlog.RecordHash([]byte(entry)))
}
