package setup

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
)

// Node is what a new network's plan says of a node.
type Node struct {
	Name string
	// PeerAddr is the multiaddr that the others dial.
	PeerAddr string
	// PeerListen are the multiaddrs that the node listens on, if it is not
	// PeerAddr: that may be a name, or the address of a router before the node.
	PeerListen []string
	// HTTPListen is the address and port of the node's API.
	HTTPListen string
	// URL is where others find the API, if they are meant to.
	URL string
	// Tokens is the token file, relative to the node's folder; "" means
	// TokensFile there.
	Tokens string
	// Accept are patterns of the actions that the node votes for. Other votes are
	// left to persons.
	Accept []string
}

// Names of the files in a network's folder, and in a node's.
const (
	GenesisFile    = "genesis.json"
	PolicyFile     = "policy"
	ConfigFile     = "config.toml"
	SigningKeyFile = "signing.key"
	PeerKeyFile    = "peer.key"
	TokensFile     = "tokens.json"
)

// Create makes the files of a new network in dir, which must not exist yet or
// be empty: genesis.json, policy, and a folder a node. It makes all of them or none.
func Create(dir, network string, nodes []Node) (g *protocol.Genesis, err error) {
	err = makeFolder(dir, func(tmp string) (err error) {
		g, err = write(tmp, network, nodes)
		return err
	})
	return g, err
}

// makeFolder has a folder written that must not exist yet or be empty: all of it
// or nothing.
func makeFolder(dir string, write func(tmp string) error) error {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty: name a folder that does not exist yet", dir)
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(parent, ".strata-init-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) // what has been renamed is no longer there
	if err := write(tmp); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	_ = os.Remove(dir) // an empty folder; Rename says so if it is another thing
	return os.Rename(tmp, dir)
}

func write(dir, network string, nodes []Node) (*protocol.Genesis, error) {
	g := &protocol.Genesis{Network: network, Params: protocol.DefaultParams()}
	if err := protocol.CheckNetworkName(network); err != nil {
		return nil, err
	}
	for i, n := range nodes {
		m, err := newMember(dir, fmt.Sprintf("members[%d]", i), network, n)
		if err != nil {
			return nil, err
		}
		g.Members = append(g.Members, *m)
	}
	if err := g.Validate(); err != nil {
		return nil, err
	}
	if err := writeJSON(filepath.Join(dir, GenesisFile), g); err != nil {
		return nil, err
	}
	text, err := foundingPolicy(g)
	if err != nil {
		return nil, err
	}
	return g, os.WriteFile(filepath.Join(dir, PolicyFile), []byte(text), 0o644)
}

// foundingPolicy is the trust policy of a network in its first epoch.
func foundingPolicy(g *protocol.Genesis) (string, error) {
	c, err := quorum.NewCommittee(g)
	if err != nil {
		return "", err
	}
	return proof.EpochPolicyText(c), nil
}

func writeJSON(file string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// newMember makes a node's keys and its folder in dir, and returns what the others
// are to know of it.
func newMember(dir, field, network string, n Node) (*protocol.Member, error) {
	// Names become folders.
	if err := protocol.CheckMemberName(field+".name", n.Name); err != nil {
		return nil, err
	}
	k, err := newKeys(network + "/" + n.Name)
	if err != nil {
		return nil, err
	}
	return &protocol.Member{
		Name: n.Name, PeerID: k.id.String(), Addrs: []string{n.PeerAddr},
		VKey: k.signer.Verifier().String(), URL: n.URL,
	}, writeNode(filepath.Join(dir, n.Name), n, k)
}

func writeNode(dir string, n Node, k *keys) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	peerKey, err := k.peerSecret()
	if err != nil {
		return err
	}
	for _, f := range []struct{ name, text string }{
		{SigningKeyFile, k.signer.Secret() + "\n"},
		{PeerKeyFile, peerKey + "\n"},
		{ConfigFile, configText(n)},
	} {
		if err := os.WriteFile(filepath.Join(dir, f.name), []byte(f.text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func configText(n Node) string {
	var b strings.Builder
	b.WriteString("# `strata config --config FILE` prints what is in force, and whence.\n")
	fmt.Fprintf(&b, "member = %q\n", n.Name)
	fmt.Fprintf(&b, "data = %q\n", "data")
	fmt.Fprintf(&b, "genesis = %q\n", "../"+GenesisFile)
	fmt.Fprintf(&b, "signing_key = %q\n", SigningKeyFile)
	fmt.Fprintf(&b, "peer_key = %q\n", PeerKeyFile)
	tokens := n.Tokens
	if tokens == "" {
		tokens = TokensFile
	}
	fmt.Fprintf(&b, "tokens = %q\n\n", tokens)
	listen := n.PeerListen
	if len(listen) == 0 {
		listen = []string{n.PeerAddr}
	}
	quoted := make([]string, len(listen))
	for i, a := range listen {
		quoted[i] = strconv.Quote(a)
	}
	fmt.Fprintf(&b, "[p2p]\nlisten = [%s]\n\n", strings.Join(quoted, ", "))
	fmt.Fprintf(&b, "[http]\nlisten = %q\n", n.HTTPListen)
	for _, action := range n.Accept {
		fmt.Fprintf(&b, "\n[[accord.policies]]\naction = %q\nvote = \"accept\"\n", action)
	}
	if len(n.Accept) == 0 {
		b.WriteString(policyExample)
	}
	return b.String()
}

// policyExample is what a configuration says of rules until its owner writes some.
const policyExample = `
# How this node votes by itself: the first rule that matches counts. Without one a
# person votes. "strata accord policy test --config FILE --action demo.try" says
# which rule decides.
#
# [[accord.policies]]
# action = "demo.*"   # ** is everything but membership.* and params.*
# vote = "accept"     # or reject, manual, webhook
`
