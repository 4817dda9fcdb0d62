package p2p

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// setMembers gives running hosts another list.
func (m *mesh) setMembers(members []Member, hosts ...int) {
	m.t.Helper()
	for _, i := range hosts {
		if err := m.hosts[i].SetMembers(i, members); err != nil {
			m.t.Fatal(err)
		}
	}
}

// hears reports whether a message of a host reaches another one.
func (m *mesh) hears(to, from int, data string) func() bool {
	return func() bool {
		m.hosts[from].Send(to, []byte(data))
		return count(m.boxes[to], directed, received{from: from, data: data}) > 0
	}
}

// told is how often a handler was told that a member has come, and has gone.
func (b *box) told(member int) (up, down int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.up[member], b.down[member]
}

// TestJoins has somebody knock who is no member yet, and become one: at one
// member first, at the others later.
func TestJoins(t *testing.T) {
	m := newMesh(t, 4)
	for i := range 3 {
		m.start(i, func(c *Config) { c.Members = m.members[:3] })
	}
	began := time.Now()
	m.start(3, func(c *Config) { c.Members, c.Self = m.members[:3], -1 })
	eventually(t, "it is refused", func() bool { return figure(t, m.hosts[0].metrics.drops, "stranger") >= 4 })
	if d := time.Since(began); d < 2*minRedial {
		t.Errorf("who is refused has come back four times in %v", d)
	}
	if slices.Contains(m.hosts[3].Reachable(), true) || m.hosts[0].Send(3, []byte("x")) {
		t.Error("a stranger reaches a member")
	}
	m.setMembers(m.members, 0)
	eventually(t, "it reaches the member that knows it", func() bool { return m.hosts[3].Reachable()[0] && m.hosts[0].Reachable()[3] })
	eventually(t, "it is heard as what it is", m.hears(0, 3, "from the new one"))
	eventually(t, "it hears", m.hears(3, 0, "to the new one"))
	if m.hosts[3].Reachable()[1] {
		t.Error("a stranger reaches another member")
	}
	m.setMembers(m.members, 1, 2, 3)
	if !m.hosts[3].Reachable()[3] {
		t.Error("the new member does not know itself")
	}
	m.connected()
	for i := range 2 {
		if _, down := m.boxes[i].told(1 - i); down > 0 {
			t.Errorf("node %d has lost another member for a new one", i+1)
		}
	}
}

// TestLeaves has a member leave: it is disconnected and refused, and the others
// keep what they have.
func TestLeaves(t *testing.T) {
	m := newMesh(t, 4)
	m.startAll()
	m.setMembers(m.members[:3], 0, 1, 2)
	for i := range 3 {
		if up, down := m.boxes[i].told(3); up != down {
			t.Errorf("node %d is told that the member is here %d times and not any more %d times", i+1, up, down)
		}
		if m.hosts[i].Send(3, []byte("x")) || len(m.hosts[i].Reachable()) != 3 {
			t.Errorf("node %d still talks to it", i+1)
		}
		if labels(t, m.hosts[i].metrics.connected)["node-4"] || labels(t, m.hosts[i].metrics.rtt)["node-4"] {
			t.Errorf("node %d shows figures of a link that it has not", i+1)
		}
	}
	eventually(t, "it reaches nobody", func() bool { return slices.Equal(m.hosts[3].Reachable(), []bool{false, false, false, true}) })
	eventually(t, "it is refused", func() bool { return figure(t, m.hosts[0].metrics.drops, "stranger") > 0 })
	for i := range 3 {
		eventually(t, "the others hear each other", m.hears((i+1)%3, i, "still"))
		if _, down := m.boxes[i].told((i + 1) % 3); down > 0 {
			t.Errorf("node %d has lost another member", i+1)
		}
	}
	m.setMembers(m.members, 0, 1, 2)
	m.connected()
	m.hosts[0].Blame(7) // who has left long ago
}

// labels are the members that a figure is shown of.
func labels(t *testing.T, g *prometheus.GaugeVec) map[string]bool {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(g)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, f := range families {
		for _, metric := range f.Metric {
			out[label(metric)] = true
		}
	}
	return out
}

func label(m *dto.Metric) string { return m.Label[0].GetValue() }

// TestMoves has a member go on at another address, and then as another peer.
func TestMoves(t *testing.T) {
	m := newMesh(t, 3)
	m.startAll()
	moved := slices.Clone(m.members)
	moved[2].Addrs = []multiaddr.Multiaddr{freeAddr(t)}
	m.setMembers(moved, 0, 1)
	if _, down := m.boxes[0].told(2); down > 0 {
		t.Error("another address costs a connection that there is")
	}
	m.stop(2)
	m.members = moved
	// Only the others can dial: it has no addresses of theirs.
	m.start(2, func(c *Config) {
		c.Members = slices.Clone(c.Members)
		for i := range 2 {
			c.Members[i].Addrs = nil
		}
	})
	m.connected()

	other := slices.Clone(moved)
	key, id := newKey(t)
	other[2].ID, m.keys[2] = id, key
	m.setMembers(other, 0, 1)
	eventually(t, "who it was is disconnected", func() bool { return slices.Equal(m.hosts[2].Reachable(), []bool{false, false, true}) })
	m.stop(2)
	m.members = other
	m.start(2)
	m.connected()
}

// TestNumbers has a peer go on as another member: it is who the newest list says.
func TestNumbers(t *testing.T) {
	m := newMesh(t, 3)
	m.startAll()
	eventually(t, "it is heard", m.hears(0, 2, "old"))
	next := slices.Clone(m.members)
	next[2] = Member{Number: 5, Name: "node-6", ID: next[2].ID, Addrs: next[2].Addrs}
	m.setMembers(next, 0, 1)
	eventually(t, "it is heard under its new number", func() bool {
		m.hosts[2].Send(0, []byte("new"))
		return count(m.boxes[0], directed, received{from: 5, data: "new"}) > 0
	})
	eventually(t, "it is reached under its new number", func() bool {
		r := m.hosts[0].Reachable()
		return slices.Equal(r, []bool{true, true, false, false, false, true})
	})
	if m.hosts[0].Send(2, []byte("x")) {
		t.Error("somebody has the old number")
	}
}

// TestSetMembersRefuses demands that a list that is none changes nothing.
func TestSetMembersRefuses(t *testing.T) {
	m := newMesh(t, 3)
	m.startAll()
	twice := append(slices.Clone(m.members), m.members[1])
	if err := m.hosts[0].SetMembers(0, twice); err == nil {
		t.Error("a member is taken twice")
	}
	for i := 1; i < 3; i++ {
		eventually(t, "all is as before", m.hears(i, 0, fmt.Sprintf("to %d", i)))
	}
	m.stop(1)
	if err := m.hosts[0].SetMembers(0, m.members[:2]); err != nil {
		t.Fatal(err)
	}
	h := m.hosts[0]
	m.stop(0)
	if err := h.SetMembers(0, m.members); err != nil {
		t.Errorf("after the end: %v", err)
	}
}

// TestBothWaysOfGossip has hosts with a mesh and hosts without one hear each
// other: a network that has grown has both.
func TestBothWaysOfGossip(t *testing.T) {
	m := newMesh(t, 4)
	many := slices.Clone(m.members)
	for i := len(many); i <= floodLimit; i++ {
		_, id := newKey(t)
		many = append(many, Member{Number: i, Name: fmt.Sprintf("node-%d", i+1), ID: id})
	}
	for i := range 4 {
		h := m.start(i, func(c *Config) {
			if i < 2 {
				c.Members = many
			}
		})
		if h.cfg.Floods() != (i >= 2) {
			t.Fatalf("node %d: floods: %v", i+1, h.cfg.Floods())
		}
	}
	m.setMembers(m.members, 0, 1, 2, 3)
	m.connected()
	for i, b := range m.boxes {
		for _, r := range b.gossip {
			if r.from == i || count(b, gossiped, r) > 1 {
				t.Errorf("node %d hears %v more than once, or from itself", i+1, r)
			}
		}
	}
}
