package setup

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/strataos/strataos/node/config"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/proof"
)

var plan = []Node{
	{Name: "acme", PeerAddr: "/ip4/127.0.0.1/tcp/9401", HTTPListen: "127.0.0.1:8401"},
	{Name: "globex", PeerAddr: "/dns/globex.example/tcp/9402", PeerListen: []string{"/ip4/0.0.0.0/tcp/9402", "/ip6/::/tcp/9402"},
		HTTPListen: "127.0.0.1:8402", URL: "https://globex.example", Tokens: "../tokens.json"},
}

// TestCreate makes a network and reads everything back.
func TestCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "net")
	made, err := Create(dir, "ledger.example/test", plan)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, GenesisFile))
	if err != nil {
		t.Fatal(err)
	}
	g, err := protocol.ParseGenesis(text)
	if err != nil {
		t.Fatal(err)
	}
	a, err := made.ID()
	b, err2 := g.ID()
	if err != nil || err2 != nil || a != b {
		t.Errorf("%s %s %v %v", a, b, err, err2)
	}
	policy, err := os.ReadFile(filepath.Join(dir, PolicyFile))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := proof.ParsePolicy(policy); err != nil || p.Required() != 2 {
		t.Errorf("%v", err)
	}
	for i, n := range plan {
		cfg, _, err := config.Load(filepath.Join(dir, n.Name, ConfigFile), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := cfg.Validate(); err != nil || cfg.Member != n.Name || cfg.Genesis != filepath.Join(dir, GenesisFile) {
			t.Errorf("%+v %v", cfg, err)
		}
		listen, tokens := n.PeerListen, filepath.Join(dir, TokensFile)
		if i == 0 {
			listen, tokens = []string{n.PeerAddr}, filepath.Join(dir, n.Name, TokensFile)
		}
		if !slices.Equal(cfg.P2PListen, listen) || cfg.Tokens != tokens || g.Members[i].URL != n.URL || g.Members[i].Addrs[0] != n.PeerAddr {
			t.Errorf("%+v, %+v", cfg, g.Members[i])
		}
		signer, err := LoadSigner(cfg.SigningKey)
		if err != nil || signer.Verifier().String() != g.Members[i].VKey {
			t.Errorf("%s: another signing key than the genesis names: %v", n.Name, err)
		}
		key, err := LoadPeerKey(cfg.PeerKey)
		if err != nil {
			t.Fatal(err)
		}
		if id, err := peer.IDFromPrivateKey(key); err != nil || id.String() != g.Members[i].PeerID {
			t.Errorf("%s: another peer key than the genesis names: %v", n.Name, err)
		}
		for _, secret := range []string{SigningKeyFile, PeerKeyFile, ConfigFile} {
			info, err := os.Stat(filepath.Join(dir, n.Name, secret))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s of %s: %v %v", secret, n.Name, info.Mode(), err)
			}
		}
	}
}

// TestCreateRefuses demands that nothing is left behind where nothing is made.
func TestCreateRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		network string
		nodes   []Node
		want    string
	}{
		"network name": {"No Name", plan, "network"},
		"no members":   {"a.b", nil, "members"},
		"member name":  {"a.b", []Node{{Name: "../up", PeerAddr: "x"}}, "members[0].name"},
		"same names":   {"a.b", []Node{plan[0], plan[0]}, "members[1]"},
		"no address":   {"a.b", []Node{{Name: "x"}}, "members[0].addrs[0]"},
	} {
		parent := t.TempDir()
		_, err := Create(filepath.Join(parent, "net"), c.network, c.nodes)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error about %s", name, err, c.want)
		}
		_ = filepath.WalkDir(parent, func(path string, _ fs.DirEntry, _ error) error {
			if path != parent {
				t.Errorf("%s: %s is left behind", name, path)
			}
			return nil
		})
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, "a.b", plan); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("%v", err)
	}
}

// TestJoin makes the files of a node that is to join a network, and reads
// everything back.
func TestJoin(t *testing.T) {
	g, err := Create(filepath.Join(t.TempDir(), "net"), "ledger.example/test", plan)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "mine")
	n := Node{Name: "initech", PeerAddr: "/ip4/127.0.0.1/tcp/9403", HTTPListen: "127.0.0.1:8403", URL: "https://initech.example"}
	m, err := Join(dir, g, n)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, MemberFile))
	if err != nil {
		t.Fatal(err)
	}
	var action struct {
		Type    string
		Payload json.RawMessage
	}
	if err := json.Unmarshal(text, &action); err != nil {
		t.Fatal(err)
	}
	change, err := (&protocol.Action{Type: action.Type, Payload: action.Payload}).Change()
	if err != nil || change.Type != protocol.ActionMembershipAdd || change.Member.Name != "initech" || change.Member.VKey != m.VKey || change.Member.URL != n.URL {
		t.Errorf("%s proposes %+v: %v", text, change, err)
	}
	if text, err = os.ReadFile(filepath.Join(dir, GenesisFile)); err != nil {
		t.Fatal(err)
	}
	same, err := protocol.ParseGenesis(text)
	if err != nil {
		t.Fatal(err)
	}
	a, err := same.ID()
	b, err2 := g.ID()
	if err != nil || err2 != nil || a != b {
		t.Errorf("%s %s %v %v", a, b, err, err2)
	}
	cfg, _, err := config.Load(filepath.Join(dir, "initech", ConfigFile), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Validate(); err != nil || cfg.Genesis != filepath.Join(dir, GenesisFile) || cfg.P2PListen[0] != n.PeerAddr {
		t.Errorf("%+v %v", cfg, err)
	}
	signer, err := LoadSigner(cfg.SigningKey)
	if err != nil || signer.Verifier().String() != m.VKey {
		t.Errorf("another signing key than is proposed: %v", err)
	}
	for name, c := range map[string]struct{ name, want string }{
		"a member's name": {"acme", "name acme"},
		"no name":         {"../up", "member.name"},
	} {
		parent := t.TempDir()
		n.Name = c.name
		if _, err := Join(filepath.Join(parent, "mine"), g, n); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left behind, %v", name, left, err)
		}
	}
	if _, err := Join(dir, g, n); err == nil {
		t.Error("a folder that is not empty is written to")
	}
}

func TestDamagedKeys(t *testing.T) {
	for _, text := range []string{"", "hello", "PRIVATE+KEY+x", strings.Repeat("x", 1<<20)} {
		file := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadSigner(file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%.20q as a signing key: %v", text, err)
		}
		if _, err := LoadPeerKey(file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%.20q as a peer key: %v", text, err)
		}
	}
	if _, err := LoadSigner("/no/such/file"); err == nil {
		t.Error("a file that is not there is read")
	}
}

func FuzzParsePeerKey(f *testing.F) {
	k, err := newKeys("a.b/c")
	if err != nil {
		f.Fatal(err)
	}
	text, err := k.peerSecret()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("CAESQA==")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := parsePeerKey(text)
		if err != nil {
			return
		}
		if _, err := peer.IDFromPrivateKey(key); err != nil {
			t.Errorf("%q is a key that no peer can have: %v", text, err)
		}
	})
}
