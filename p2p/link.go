package p2p

import (
	"bufio"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"
)

// Times of a link.
const (
	minRedial    = 100 * time.Millisecond
	maxRedial    = 5 * time.Second
	dialTimeout  = 5 * time.Second
	writeTimeout = 10 * time.Second
)

// link is what a host knows of, and does for, one member.
type link struct {
	h      *Host
	number int
	name   string
	id     peer.ID
	queue  chan []byte
	bytes  atomic.Int64
	gone   chan struct{} // the connection has gone
	look   chan struct{} // a connection has come, or the addresses are others
	cancel context.CancelFunc

	mu       sync.Mutex
	addrs    []multiaddr.Multiaddr
	retired  bool // nothing changes any more
	up       bool
	answered time.Time     // the last echo
	rtt      time.Duration // smoothed
	inbound  network.Stream
}

func newLink(h *Host, m *Member) *link {
	l := &link{
		h: h, number: m.Number, name: m.Name, id: m.ID, queue: make(chan []byte, h.cfg.QueueMessages),
		gone: make(chan struct{}, 1), look: make(chan struct{}, 1), cancel: func() {},
	}
	h.metrics.joined(l.name)
	l.dialAt(m.Addrs)
	return l
}

// dialAt sets the addresses that the member is dialled at.
func (l *link) dialAt(addrs []multiaddr.Multiaddr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.EqualFunc(l.addrs, addrs, multiaddr.Multiaddr.Equal) {
		return
	}
	l.addrs = slices.Clone(addrs)
	l.h.host.Peerstore().ClearAddrs(l.id)
	l.h.host.Peerstore().AddAddrs(l.id, addrs, peerstore.PermanentAddrTTL)
	signal(l.look)
}

// start sets the link's workers going. The host's lock is held.
func (l *link) start(ctx context.Context) {
	ctx, l.cancel = context.WithCancel(ctx)
	l.h.workers.Go(func() { l.keep(ctx) })
	l.h.workers.Go(func() { l.send(ctx) })
}

// retire ends the link: its member has left, or goes on as another peer. The
// host's lock is held.
func (l *link) retire(left bool) {
	l.cancel()
	l.mu.Lock()
	wasUp := l.up
	l.retired, l.up = true, false
	l.h.metrics.down(l.name, left)
	l.mu.Unlock()
	if wasUp {
		l.h.handler.PeerDown(l.number)
	}
}

// signal raises a flag, if it is not raised.
func signal(flag chan struct{}) {
	select {
	case flag <- struct{}{}:
	default:
	}
}

// refresh looks whether the member is connected, and answers whether that has
// changed. It looks under the lock: connections come and go at once, where both
// sides dial, and what was seen before may be over.
func (l *link) refresh() (up, changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	up = l.h.host.Network().Connectedness(l.id) == network.Connected
	if l.up == up || l.retired {
		return l.up, false
	}
	l.up = up
	l.h.metrics.connected.WithLabelValues(l.name).Set(boolValue(up))
	if up {
		signal(l.look)
	} else {
		l.answered = time.Time{}
		signal(l.gone)
	}
	return up, true
}

// tell tells the handler if the member has come or gone.
func (l *link) tell() {
	switch up, changed := l.refresh(); {
	case changed && up:
		l.h.handler.PeerUp(l.number)
	case changed:
		l.h.handler.PeerDown(l.number)
	}
}

func boolValue(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (l *link) isUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up
}

func (l *link) reachable() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up && time.Since(l.answered) < 3*l.h.cfg.EchoEvery
}

// RTT is the smoothed round trip to a member, and false while it is unknown.
func (h *Host) RTT(member int) (time.Duration, bool) {
	l := h.peers.Load().link(member)
	if l == nil {
		return 0, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rtt, l.up && l.rtt > 0
}

// push queues a message, or drops it.
func (l *link) push(data []byte) bool {
	if !l.isUp() {
		l.h.metrics.drops.WithLabelValues("not_connected").Inc()
		return false
	}
	if l.bytes.Add(int64(len(data))) > l.h.cfg.QueueBytes {
		l.bytes.Add(-int64(len(data)))
		l.h.metrics.drops.WithLabelValues("queue_full").Inc()
		return false
	}
	select {
	case l.queue <- data:
		return true
	default:
		l.bytes.Add(-int64(len(data)))
		l.h.metrics.drops.WithLabelValues("queue_full").Inc()
		return false
	}
}

// send writes queued messages to a stream of its own, opened when the first
// message comes and again after it broke. What the stream took with it is lost.
func (l *link) send(ctx context.Context) {
	var s network.Stream
	var w *bufio.Writer
	defer func() {
		if s != nil {
			_ = s.Reset()
		}
	}()
	out := l.h.metrics.topic("out", "direct")
	for {
		select {
		case <-ctx.Done():
			return
		case data := <-l.queue:
			l.bytes.Add(-int64(len(data)))
			if s == nil {
				if s = l.open(ctx, "direct"); s == nil {
					l.h.metrics.drops.WithLabelValues("no_stream").Inc()
					continue
				}
				w = bufio.NewWriterSize(s, 64<<10)
			}
			out.add(len(data))
			if err := l.write(s, w, data); err != nil {
				_ = s.Reset()
				s = nil
			}
		}
	}
}

// write writes a message, and flushes once no other waits behind it.
func (l *link) write(s network.Stream, w *bufio.Writer, data []byte) error {
	if err := s.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if err := writeFrame(w, data); err != nil {
		return err
	}
	if len(l.queue) > 0 {
		return nil
	}
	return w.Flush()
}

// open opens a stream on the connection there is, or answers nil.
func (l *link) open(ctx context.Context, what string) network.Stream {
	ctx, cancel := context.WithTimeout(network.WithNoDial(ctx, "the link dials"), dialTimeout)
	defer cancel()
	s, err := l.h.host.NewStream(ctx, l.id, l.h.protocol(what))
	if err != nil {
		return nil
	}
	return s
}

func (h *Host) protocol(what string) protocol.ID { return protocol.ID(h.name(what)) }

// keep keeps the member connected and asks it for echoes. Who does not answer,
// or does not take this host for a member, is asked again after a while that
// grows.
func (l *link) keep(ctx context.Context) {
	backoff := minRedial
	for ctx.Err() == nil {
		l.tell() // of who connected before the host was told of connections
		if l.connect(ctx) && l.echoes(ctx) {
			backoff = minRedial
		}
		select { // the connection that was refused is no reason to look again
		case <-l.look:
		default:
		}
		select {
		case <-time.After(backoff + rand.N(backoff/2)):
		case <-l.look:
		case <-ctx.Done():
		}
		backoff = min(2*backoff, maxRedial)
	}
}

// connect dials the member, unless it is connected. It answers whether it is.
func (l *link) connect(ctx context.Context) bool {
	if l.h.host.Network().Connectedness(l.id) == network.Connected {
		return true
	}
	l.mu.Lock()
	info := peer.AddrInfo{ID: l.id, Addrs: l.addrs}
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return l.h.host.Connect(ctx, info) == nil
}
