package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
)

// twoEpochs is a network of four that a fifth member has joined, and all their
// keys.
func twoEpochs(t *testing.T) (*quorum.Epochs, []*cosign.Signer) {
	t.Helper()
	g := &protocol.Genesis{Network: "strata.example/test", Params: protocol.DefaultParams()}
	var signers []*cosign.Signer
	for i := range 5 {
		name := fmt.Sprintf("node-%d", i+1)
		seed := sha256.Sum256([]byte(name))
		s, err := cosign.NewSigner(g.Network+"/"+name, seed[:])
		if err != nil {
			t.Fatal(err)
		}
		signers = append(signers, s)
		g.Members = append(g.Members, protocol.Member{Name: name, PeerID: name, VKey: s.Verifier().String()})
	}
	roster := g.Members
	g.Members = roster[:4]
	founding, err := quorum.NewCommittee(g)
	if err != nil {
		t.Fatal(err)
	}
	next, err := quorum.NewEpoch(g.Network, roster, protocol.Epoch{
		Number: 1, Members: []protocol.MemberID{0, 1, 2, 3, 4}, Params: g.Params, Since: 1000 * protocol.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	e := quorum.NewEpochs(founding)
	if err := e.Add(next); err != nil {
		t.Fatal(err)
	}
	return e, signers
}

// TestMirrorEpochs reads a ledger over tiles that the committee of the second
// epoch has cosigned, by the policy that knows it and by one that does not.
func TestMirrorEpochs(t *testing.T) {
	epochs, signers := twoEpochs(t)
	var tree merkle.Tail
	var bundle []byte
	for i := range uint64(3) {
		e := protocol.LedgerEntry{Entry: protocol.Entry{Kind: protocol.KindAttest, Hash: protocol.Hash{byte(i)}, Time: 5}, Log: "node-5", Index: i + 1}
		leaf, _ := e.LeafHash(nil)
		tree.Append(leaf)
		text := e.Append(nil)
		bundle = append(binary.BigEndian.AppendUint16(bundle, uint16(len(text))), text...)
	}
	cp := epochs.Latest().Checkpoint(protocol.Ledger, tree.Size(), protocol.Hash(tree.Root()))
	note := append(cp.Append(nil), '\n')
	for _, id := range []protocol.MemberID{0, 1, 2, 4} {
		note = epochs.Latest().Verifier(id).AppendLine(note, signers[id].Cosign(cp, 1001))
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ledger/checkpoint":
			_, _ = w.Write(note)
		case "/ledger/tile/entries/000.p/3":
			_, _ = w.Write(bundle)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	founding, _ := epochs.At(0)
	for name, c := range map[string]struct {
		policy string
		code   int
		want   string
	}{
		"of both epochs": {proof.PolicyText(epochs), 0, "cosigned as the policy asks, by 4/4 of epoch 1\n✓ 3 entries of 1 logs"},
		"of the second":  {proof.EpochPolicyText(epochs.Latest()), 0, "by 4/4 of epoch 1"},
		"of the first":   {proof.EpochPolicyText(founding), exitFailed, "not cosigned as the policy asks: checkpoint: signature 4: is of no witness that the policy names; the policy knows epochs up to 0, and what is newer is in /v1/network/policy"},
	} {
		file := filepath.Join(t.TempDir(), "policy")
		if err := os.WriteFile(file, []byte(c.policy), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs strings.Builder
		code := run([]string{"ledger", "verify", "--url", server.URL, "--policy", file}, io.Writer(&out), &errs)
		if code != c.code || !strings.Contains(out.String()+errs.String(), c.want) {
			t.Errorf("%s: exit %d, want %d %q\n%s%s", name, code, c.code, c.want, out.String(), errs.String())
		}
	}
}
