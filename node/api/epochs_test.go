package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/strataos/strataos/actors"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
)

// enter has the network come to an epoch of some of its members.
func (f *fixture) enter(members ...protocol.MemberID) {
	f.t.Helper()
	last := f.store.Epochs().Latest()
	c, err := quorum.NewEpoch(last.Network(), last.Roster(), protocol.Epoch{
		Number: last.Epoch() + 1, Members: members, Params: last.Params(), Since: protocol.Second,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.store.Write([]machine.Record{chronos.PutEpoch{Committee: c}}, true); err != nil {
		f.t.Fatal(err)
	}
}

func policyOf(c *quorum.Committee) string { return proof.EpochPolicyText(c) }

func TestGenesisAnswer(t *testing.T) {
	f := newFixture(t)
	g, err := protocol.ParseGenesis(f.do("GET", "/v1/network/genesis", "").body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := g.ID()
	want, err2 := f.genesis.ID()
	if err != nil || err2 != nil || got != want {
		t.Errorf("%s %s %v %v", got, want, err, err2)
	}
	if a := f.do("GET", "/v1/network/genesis", "", "Authorization", ""); a.status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", a.status)
	}
}

// TestEpochAnswers demands that answers go with the committee.
func TestEpochAnswers(t *testing.T) {
	f := newFixture(t)
	before := f.do("GET", "/v1/network/policy", "")
	f.enter(0, 1, 2)
	got := decode[networkAnswer](t, f.do("GET", "/v1/network", ""))
	if got.Epoch != 1 || got.Since != 1000 || got.Quorum != 3 || !got.Node.Member || len(got.Members) != 4 {
		t.Errorf("%+v", got)
	}
	for i, m := range got.Members {
		if want := []string{"active", "active", "active", "left"}[i]; m.Status != want || m.PeerID == "" || len(m.Addrs) == 0 {
			t.Errorf("%+v, want %s", m, want)
		}
	}
	policy := f.do("GET", "/v1/network/policy", "")
	if string(policy.body) != proof.PolicyText(f.store.Epochs()) || string(policy.body) == string(before.body) {
		t.Errorf("%s", policy.body)
	}
	if a := f.do("GET", "/v1/network/policy?epoch=0", ""); string(a.body) != string(before.body) {
		t.Errorf("%s", a.body)
	}
	for path, status := range map[string]int{"?epoch=2": 404, "?epoch=x": 400, "?epoch=": 400} {
		if a := f.do("GET", "/v1/network/policy"+path, ""); a.status != status {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if r := decode[readiness](t, f.do("GET", "/readyz", "", "Authorization", "")); !r.Ready || r.Reachable != 3 {
		t.Errorf("who has left counts as reachable: %+v", r)
	}
	a := f.do("POST", "/v1/witness/attest", `{"event":{"type":"test.event","payload":{"n":1}},"attestors":["node-4"]}`)
	if a.status != 400 || !strings.Contains(string(a.body), "has left") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := f.do("GET", "/v1/chronos/query?author=node-4", ""); a.status != 200 {
		t.Errorf("the log of who has left cannot be read: %d %s", a.status, a.body)
	}
}

// TestNotMember has the node be one that has left, and one that is to join.
func TestNotMember(t *testing.T) {
	for reason, self := range map[string]protocol.MemberID{"has left the network": 3, "a membership.add": protocol.Nobody} {
		f := newFixture(t)
		f.enter(0, 1, 2)
		f.self, f.fail = self, actors.ErrNotMember
		r := f.do("GET", "/readyz", "", "Authorization", "")
		if r.status != http.StatusServiceUnavailable || !strings.Contains(string(r.body), reason) {
			t.Errorf("%d: %d %s", self, r.status, r.body)
		}
		a := f.do("POST", "/v1/witness/attest", eventBody(1))
		if a.status != http.StatusServiceUnavailable || !strings.Contains(string(a.body), `"NOT_A_MEMBER"`) || !strings.Contains(string(a.body), reason) {
			t.Errorf("%d: %d %s", self, a.status, a.body)
		}
		if got := decode[networkAnswer](t, f.do("GET", "/v1/network", "")); got.Node.Member || got.Node.Ready || got.Node.Name != "node-1" {
			t.Errorf("%d: %+v", self, got.Node)
		}
		if a := f.do("GET", "/v1/witness/evidence", ""); a.status != 200 {
			t.Errorf("%d: a read is refused: %d", self, a.status)
		}
	}
}

// TestProposedPeers refuses to propose a member that no node could connect with.
func TestProposedPeers(t *testing.T) {
	f := newFixture(t)
	propose := func(peer, addr string) answer {
		return f.do("POST", "/v1/accord/propose", fmt.Sprintf(`{"subject":"network","action":{"type":"membership.replace","payload":{"name":"node-4","member":
			{"name":"node-4","peer_id":%q,"addrs":[%q],"vkey":%q}}}}`, peer, addr, f.genesis.Members[3].VKey))
	}
	good := f.genesis.Members[3].PeerID
	for field, a := range map[string]answer{
		"action.payload.member.peer_id":  propose("node-4", "/ip4/127.0.0.1/tcp/1"),
		"action.payload.member.addrs[0]": propose(good, "127.0.0.1:1"),
	} {
		if a.status != 400 || !strings.Contains(string(a.body), fmt.Sprintf(`"field":%q`, field)) {
			t.Errorf("%s: %d %s", field, a.status, a.body)
		}
	}
	if a := propose(good, "/ip4/127.0.0.1/tcp/1"); a.status == 400 {
		t.Errorf("%d %s", a.status, a.body)
	}
}
