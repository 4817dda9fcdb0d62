package p2p

import (
	"crypto/rand"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// A process-wide worker of the logging library.
		goleak.IgnoreTopFunction("github.com/ipfs/go-log/v2/writer.(*MirrorWriter).logRoutine"),
	)
}

// mesh is a network of hosts on loopback.
type mesh struct {
	t       *testing.T
	network [32]byte
	keys    []crypto.PrivKey
	members []Member
	hosts   []*Host
	boxes   []*box
}

// box keeps what a host receives.
type box struct {
	mu      sync.Mutex
	gossip  []received
	direct  []received
	up      map[int]int
	down    map[int]int
	verdict Verdict
	block   chan struct{} // if not nil, Direct waits for it
}

type received struct {
	from  int
	topic Topic
	data  string
}

func (b *box) Gossip(from int, topic Topic, data []byte) Verdict {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gossip = append(b.gossip, received{from, topic, string(data)})
	return b.verdict
}

func (b *box) Direct(from int, data []byte) Verdict {
	if b.block != nil {
		<-b.block
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.direct = append(b.direct, received{from: from, data: string(data)})
	return b.verdict
}

func (b *box) PeerUp(member int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.up[member]++
}

func (b *box) PeerDown(member int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down[member]++
}

// count counts what a predicate picks.
func count(b *box, list func(*box) []received, want received) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, r := range list(b) {
		if r == want {
			n++
		}
	}
	return n
}

func gossiped(b *box) []received { return b.gossip }
func directed(b *box) []received { return b.direct }

func newKey(t testing.TB) (crypto.PrivKey, peer.ID) {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, id
}

func freeAddr(t testing.TB) multiaddr.Multiaddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return multiaddr.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port))
}

// newMesh makes a network; its hosts are started one by one.
func newMesh(t *testing.T, n int) *mesh {
	m := &mesh{t: t, network: [32]byte{1}, hosts: make([]*Host, n)}
	for i := range n {
		key, id := newKey(t)
		m.keys = append(m.keys, key)
		m.members = append(m.members, Member{Number: i, Name: fmt.Sprintf("node-%d", i+1), ID: id, Addrs: []multiaddr.Multiaddr{freeAddr(t)}})
		m.boxes = append(m.boxes, &box{up: map[int]int{}, down: map[int]int{}})
	}
	t.Cleanup(func() {
		for i := range m.hosts {
			m.stop(i)
		}
	})
	return m
}

func (m *mesh) config(i int) Config {
	return Config{
		NetworkID: m.network, Key: m.keys[i], Listen: m.members[i].Addrs, Members: m.members, Self: i,
		EchoEvery: 50 * time.Millisecond, MaxMessage: 1 << 16, Registerer: prometheus.NewRegistry(),
	}
}

func (m *mesh) start(i int, change ...func(*Config)) *Host {
	m.t.Helper()
	cfg := m.config(i)
	for _, c := range change {
		c(&cfg)
	}
	h, err := New(cfg, m.boxes[i])
	if err != nil {
		m.t.Fatal(err)
	}
	m.hosts[i] = h
	h.Start()
	return h
}

func (m *mesh) stop(i int) {
	if h := m.hosts[i]; h != nil {
		m.hosts[i] = nil
		if err := h.Close(); err != nil {
			m.t.Error(err)
		}
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.Now().Add(15 * time.Second)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("it never comes true that %s", what)
		}
		<-tick.C
	}
}

// startAll starts all hosts and waits until each reaches every other.
func (m *mesh) startAll() {
	m.t.Helper()
	for i := range m.hosts {
		m.start(i)
	}
	m.connected()
}

func (m *mesh) connected() {
	m.t.Helper()
	eventually(m.t, "all hosts reach each other", func() bool {
		for _, h := range m.hosts {
			if h == nil {
				continue
			}
			for j, ok := range h.Reachable() {
				if !ok && m.hosts[j] != nil {
					return false
				}
			}
		}
		return true
	})
	m.gossips()
}

// gossips waits until every host hears gossip of every other: peers tell each
// other of their topics a little after they are connected.
func (m *mesh) gossips() {
	m.t.Helper()
	for i, h := range m.hosts {
		if h == nil {
			continue
		}
		for topic := range Topic(topics) {
			round := 0
			eventually(m.t, fmt.Sprintf("node %d gossips on %v", i+1, topic), func() bool {
				round++
				probe := fmt.Sprintf("probe %d %d", i, round)
				if err := h.Publish(topic, []byte(probe)); err != nil {
					m.t.Fatal(err)
				}
				deadline := time.Now().Add(50 * time.Millisecond)
				for {
					all := true
					for j, b := range m.boxes {
						if m.hosts[j] != nil && j != i && count(b, gossiped, received{i, topic, probe}) == 0 {
							all = false
						}
					}
					if all || time.Now().After(deadline) {
						return all
					}
				}
			})
		}
	}
}

// figure reads a counter of a host.
func figure(t *testing.T, c *prometheus.CounterVec, label string) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.WithLabelValues(label).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// link is a host's link with a member.
func (h *Host) link(member int) *link { return h.peers.Load().link(member) }
