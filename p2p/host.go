package p2p

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
)

// Host is one peer.
type Host struct {
	cfg     Config
	handler Handler
	host    host.Host
	pubsub  *pubsub.PubSub
	topics  [topics]*pubsub.Topic
	gossip  *gossipParams
	peers   atomic.Pointer[peers]
	metrics *metrics
	score   *scores

	// mu is held while the members change, and while the host starts or stops.
	mu      sync.Mutex
	ctx     context.Context // until the host is closed
	stop    context.CancelFunc
	started bool
	closed  bool
	workers sync.WaitGroup
}

// New returns a host that listens, and dials once it is started.
func New(cfg Config, handler Handler) (*Host, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	h := &Host{cfg: cfg, handler: handler, score: newScores()}
	h.peers.Store(&peers{})
	h.ctx, h.stop = context.WithCancel(context.Background())
	var err error
	if h.metrics, err = newMetrics(cfg.Registerer); err != nil {
		return nil, err
	}
	g := &gater{allowed: h.allows, logger: cfg.Logger, logged: map[peer.ID]bool{},
		refused: func() { h.metrics.drops.WithLabelValues("stranger").Inc() }}
	if h.host, err = newLibp2p(&cfg, g); err != nil {
		return nil, fmt.Errorf("p2p: %w", err)
	}
	if err := h.joinGossip(h.ctx); err != nil {
		h.stop()
		return nil, errors.Join(fmt.Errorf("p2p: gossip: %w", err), h.host.Close())
	}
	if err := h.SetMembers(cfg.Self, cfg.Members); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	h.host.SetStreamHandler(h.protocol("direct"), h.serveDirect)
	h.host.SetStreamHandler(h.protocol("echo"), h.serveEcho)
	h.host.Network().Notify(&network.NotifyBundle{ConnectedF: h.connection, DisconnectedF: h.connection})
	// Peers that come in find all of it: gossipsub does not try again with one
	// whose handler was missing.
	if len(cfg.Listen) > 0 {
		if err := listen(h.host.Network(), cfg.Listen); err != nil {
			return nil, errors.Join(fmt.Errorf("p2p: listen: %w", err), h.Close())
		}
	}
	return h, nil
}

// listenFor is how long a host waits for a port that somebody still has: its own
// earlier process, say.
const listenFor = 5 * time.Second

// listen listens on addresses, and waits a little for ports that are in use.
func listen(n network.Network, addrs []multiaddr.Multiaddr) error {
	for end := time.Now().Add(listenFor); ; time.Sleep(100 * time.Millisecond) {
		err := n.Listen(addrs...)
		if err == nil || !strings.Contains(err.Error(), syscall.EADDRINUSE.Error()) || time.Now().After(end) {
			return err
		}
	}
}

func newLibp2p(cfg *Config, g *gater) (host.Host, error) {
	limits, err := newLimits(cfg.MaxMembers + len(cfg.Observers))
	if err != nil {
		return nil, err
	}
	opts := []libp2p.Option{
		libp2p.Identity(cfg.Key),
		libp2p.NoListenAddrs, // not yet; see New
		libp2p.ConnectionGater(g),
		libp2p.ResourceManager(limits),
		libp2p.Transport(tcp.NewTCPTransport),
		// TLS comes first: its ciphers are the cheaper ones on most machines.
		libp2p.Security(libp2ptls.ID, libp2ptls.New),
		libp2p.Security(noise.ID, noise.New),
		libp2p.DisableRelay(),
		libp2p.Ping(false),
		libp2p.DisableMetrics(),
		libp2p.DisableIdentifyAddressDiscovery(),
		// Members know each other's addresses from their configuration, and
		// dial nowhere else.
		libp2p.AddrsFactory(func([]multiaddr.Multiaddr) []multiaddr.Multiaddr { return nil }),
		libp2p.UserAgent("strataos"),
	}
	for _, a := range cfg.Listen {
		if _, err := a.ValueForProtocol(multiaddr.P_QUIC_V1); err == nil {
			opts = append(opts, libp2p.Transport(quic.NewTransport))
			break
		}
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		return nil, errors.Join(err, limits.Close())
	}
	return h, nil
}

// newLimits bounds what peers can take up. The library's defaults are made for
// open networks: they allow eight connections from one address.
func newLimits(peers int) (network.ResourceManager, error) {
	n := rcmgr.LimitVal(peers)
	limits := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{
			Conns: 8*n + 64, ConnsInbound: 8*n + 64, ConnsOutbound: 8*n + 64, FD: 8*n + 64,
			Streams: 64*n + 64, StreamsInbound: 64*n + 64, StreamsOutbound: 64*n + 64,
		},
		Transient: rcmgr.ResourceLimits{
			Conns: 4*n + 64, ConnsInbound: 4*n + 64, ConnsOutbound: 4*n + 64, FD: 4*n + 64,
			Streams: 16*n + 64, StreamsInbound: 16*n + 64, StreamsOutbound: 16*n + 64,
		},
		PeerDefault: rcmgr.ResourceLimits{
			Conns: 8, ConnsInbound: 8, ConnsOutbound: 8,
			Streams: 64, StreamsInbound: 64, StreamsOutbound: 64,
		},
	}.Build(rcmgr.DefaultLimits.AutoScale())
	count := 8*peers + 64
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits),
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: count}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 64, ConnCount: count}}))
}

// Start begins to dial the members and to keep them connected.
func (h *Host) Start() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.started = true
	for _, l := range h.peers.Load().links {
		if l != nil {
			l.start(h.ctx)
		}
	}
}

// Close ends all connections and waits for what is under way.
func (h *Host) Close() error {
	h.mu.Lock()
	closed := h.closed
	h.closed = true
	h.mu.Unlock()
	if closed {
		return nil
	}
	h.stop()
	for _, t := range h.gossip.leave {
		t()
	}
	err := h.host.Close()
	h.workers.Wait()
	return err
}

// Addrs are the addresses that the host listens on.
func (h *Host) Addrs() []multiaddr.Multiaddr { return h.host.Network().ListenAddresses() }

// Send queues a message for one member. It answers false if it was dropped,
// because the member is not connected or its queue is full.
func (h *Host) Send(member int, data []byte) bool {
	l := h.peers.Load().link(member)
	return l != nil && len(data) <= h.cfg.MaxMessage && l.push(data)
}

// Reachable says of each member, by number, whether it answers now; this peer
// does.
func (h *Host) Reachable() []bool {
	p := h.peers.Load()
	out := make([]bool, len(p.links))
	for i, l := range p.links {
		out[i] = i == p.self || l != nil && l.reachable()
	}
	return out
}

// Blame costs a member score, for something that only the handler could see to
// be invalid.
func (h *Host) Blame(member int) {
	if l := h.peers.Load().link(member); l != nil {
		h.score.blame(l.id)
		h.metrics.reject(l.name)
	}
}

// name is a string for protocols and topics that no other network has.
func (h *Host) name(what string) string {
	return "/strata/" + hex.EncodeToString(h.cfg.NetworkID[:8]) + "/" + what + "/1"
}

// connection is told of every connection that comes or goes.
func (h *Host) connection(_ network.Network, c network.Conn) {
	if l := h.peers.Load().link(h.member(c.RemotePeer())); l != nil {
		l.tell()
	}
}
