package p2p

import (
	"bufio"
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
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
	place  int
	member Member
	queue  chan []byte
	bytes  atomic.Int64
	poke   chan struct{} // the connection has gone

	mu       sync.Mutex
	up       bool
	answered time.Time     // the last echo
	rtt      time.Duration // smoothed
	inbound  network.Stream
}

func newLink(h *Host, place int, m Member) *link {
	h.host.Peerstore().AddAddrs(m.ID, m.Addrs, peerstore.PermanentAddrTTL)
	return &link{h: h, place: place, member: m, queue: make(chan []byte, h.cfg.QueueMessages), poke: make(chan struct{}, 1)}
}

// refresh looks whether the member is connected, and answers whether that has
// changed. It looks under the lock: connections come and go at once, where both
// sides dial, and what was seen before may be over.
func (l *link) refresh() (up, changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	up = l.h.host.Network().Connectedness(l.member.ID) == network.Connected
	if l.up == up {
		return up, false
	}
	l.up = up
	l.h.metrics.connected.WithLabelValues(l.member.Name).Set(boolValue(up))
	if !up {
		l.answered = time.Time{}
		select {
		case l.poke <- struct{}{}:
		default:
		}
	}
	return up, true
}

// tell tells the handler if the member has come or gone.
func (l *link) tell() {
	switch up, changed := l.refresh(); {
	case changed && up:
		l.h.handler.PeerUp(l.place)
	case changed:
		l.h.handler.PeerDown(l.place)
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
	if member < 0 || member >= len(h.links) || h.links[member] == nil {
		return 0, false
	}
	l := h.links[member]
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
	s, err := l.h.host.NewStream(ctx, l.member.ID, l.h.protocol(what))
	if err != nil {
		return nil
	}
	return s
}

func (h *Host) protocol(what string) protocol.ID { return protocol.ID(h.name(what)) }

// keep keeps the member connected and asks it for echoes.
func (l *link) keep(ctx context.Context) {
	backoff := minRedial
	for ctx.Err() == nil {
		var wait time.Duration
		l.tell() // of who connected before the host was told of connections
		switch {
		case l.h.host.Network().Connectedness(l.member.ID) == network.Connected:
			backoff = minRedial
			l.echoes(ctx)
			wait = minRedial
		case l.dial(ctx) != nil:
			wait = backoff + rand.N(backoff/2)
			backoff = min(2*backoff, maxRedial)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

func (l *link) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return l.h.host.Connect(ctx, peer.AddrInfo{ID: l.member.ID, Addrs: l.member.Addrs})
}
