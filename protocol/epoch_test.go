package protocol_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/internal/fixture"
)

// TestCheckJoin has somebody join four members, of which the first has left.
func TestCheckJoin(t *testing.T) {
	w := fixture.New(t, 6)
	network, roster, joiner := w.Genesis.Network, w.Genesis.Members[:4], w.Genesis.Members[4]
	epoch := protocol.Epoch{Number: 1, Members: []protocol.MemberID{1, 2, 3}, Params: protocol.DefaultParams()}
	one, two := protocol.MemberID(0), protocol.MemberID(1)
	for name, c := range map[string]struct {
		change   func(*protocol.Member)
		replaced *protocol.MemberID
		field    string
	}{
		"joins":                     {func(*protocol.Member) {}, nil, ""},
		"replaces":                  {func(*protocol.Member) {}, &two, ""},
		"peer of one that left":     {func(m *protocol.Member) { m.PeerID = roster[0].PeerID }, nil, ""},
		"peer of one that replaces": {func(m *protocol.Member) { m.PeerID = roster[1].PeerID }, &two, ""},
		"peer of another":           {func(m *protocol.Member) { m.PeerID = roster[2].PeerID }, &two, "payload.member"},
		"name of one that left":     {func(m *protocol.Member) { *m = roster[0] }, nil, "payload.member"},
		"own name":                  {func(m *protocol.Member) { *m = roster[1] }, &two, "payload.member"},
		"replaces one that left":    {func(*protocol.Member) {}, &one, "payload.member"},
		"a bad name":                {func(m *protocol.Member) { m.Name = "Node" }, nil, "payload.member.name"},
		"no peer":                   {func(m *protocol.Member) { m.PeerID = "" }, nil, "payload.member.peer_id"},
		"another's key":             {func(m *protocol.Member) { m.VKey = roster[1].VKey }, nil, "payload.member.vkey"},
	} {
		m := joiner
		c.change(&m)
		checkField(t, name, protocol.CheckJoin("payload.member", network, roster, &epoch, &m, c.replaced), c.field)
	}
	full := protocol.Epoch{Members: make([]protocol.MemberID, protocol.MaxMembers)}
	checkField(t, "a full committee", protocol.CheckJoin("m", network, roster, &full, &joiner, nil), "m")
	checkField(t, "a full roster", protocol.CheckJoin("m", network, make([]protocol.Member, protocol.MaxRoster), &epoch, &joiner, nil), "m")
}

func TestCheckMove(t *testing.T) {
	w := fixture.New(t, 5)
	network, roster := w.Genesis.Network, w.Genesis.Members[:4]
	epoch := protocol.Epoch{Number: 1, Members: []protocol.MemberID{1, 2, 3}, Params: protocol.DefaultParams()}
	for name, c := range map[string]struct {
		id     protocol.MemberID
		change func(*protocol.Member)
		field  string
	}{
		"moves":              {1, func(m *protocol.Member) { m.Addrs, m.URL = []string{"/ip4/192.0.2.9/tcp/1"}, "https://new.example" }, ""},
		"another peer":       {1, func(m *protocol.Member) { m.PeerID = "new" }, ""},
		"one that left":      {0, func(*protocol.Member) {}, "m"},
		"one that never was": {4, func(*protocol.Member) {}, "m"},
		"another's peer":     {1, func(m *protocol.Member) { m.PeerID = roster[2].PeerID }, "m"},
		"another's name":     {1, func(m *protocol.Member) { *m = roster[2] }, "m.name"},
		"no address":         {1, func(m *protocol.Member) { m.Addrs = []string{""} }, "m.addrs[0]"},
	} {
		m := w.Genesis.Members[c.id]
		c.change(&m)
		checkField(t, name, protocol.CheckMove("m", network, roster, &epoch, c.id, &m), c.field)
	}
}

func TestEpochValidate(t *testing.T) {
	w := fixture.New(t, 4)
	for name, c := range map[string]struct {
		change func(*protocol.Epoch)
		field  string
	}{
		"founding":       {func(*protocol.Epoch) {}, ""},
		"nobody":         {func(e *protocol.Epoch) { e.Members = nil }, "members"},
		"too many":       {func(e *protocol.Epoch) { e.Members = make([]protocol.MemberID, protocol.MaxMembers+1) }, "members"},
		"somebody twice": {func(e *protocol.Epoch) { e.Members[1] = 0 }, "members[1]"},
		"an unknown one": {func(e *protocol.Epoch) { e.Members[3] = 4 }, "members[3]"},
		"time":           {func(e *protocol.Epoch) { e.Since = protocol.MaxMicros + 1 }, "since"},
		"parameters":     {func(e *protocol.Epoch) { e.Params.CheckpointMS = 1 }, "params.checkpoint_ms"},
	} {
		e := w.Genesis.Founding()
		e.Members = slices.Clone(e.Members)
		c.change(&e)
		checkField(t, name, e.Validate(4), c.field)
	}
	e := w.Genesis.Founding()
	if !e.Has(3) || e.Has(4) || e.Number != 0 || e.Since != 0 {
		t.Errorf("the founding epoch is %+v", e)
	}
	checkField(t, "a long roster", e.Validate(protocol.MaxRoster+1), "members")
}

func checkField(t *testing.T, name string, err error, field string) {
	t.Helper()
	var bad *protocol.FieldError
	if field == "" && err != nil || field != "" && (!errors.As(err, &bad) || bad.Field != field) {
		t.Errorf("%s: %s", name, fmt.Sprint(err))
	}
}
