package setup

import (
	"path/filepath"

	"github.com/strataos/strataos/protocol"
)

// MemberFile has the action that is to be proposed for a node to become a member.
const MemberFile = "member.json"

// Join makes the files of a node that is to become a member of a network, in dir,
// which must not exist yet or be empty: genesis.json, member.json, and the node's
// folder. It makes all of them or none. The network's policy is the node's to tell,
// once it has followed the network to its present epoch.
func Join(dir string, g *protocol.Genesis, n Node) (m *protocol.Member, err error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	err = makeFolder(dir, func(tmp string) (err error) {
		m, err = writeJoiner(tmp, g, n)
		return err
	})
	return m, err
}

func writeJoiner(dir string, g *protocol.Genesis, n Node) (*protocol.Member, error) {
	m, err := newMember(dir, "member", g.Network, n)
	if err != nil {
		return nil, err
	}
	// Who has come and gone since the founding is for the members to know, who
	// check it again.
	if err := g.CheckNew("member", m); err != nil {
		return nil, err
	}
	if err := writeJSON(filepath.Join(dir, GenesisFile), g); err != nil {
		return nil, err
	}
	payload := map[string]any{"member": m}
	return m, writeJSON(filepath.Join(dir, MemberFile), map[string]any{"type": protocol.ActionMembershipAdd, "payload": payload})
}
