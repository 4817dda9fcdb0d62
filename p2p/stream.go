package p2p

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// A frame is a message behind its length in four bytes, big-endian.

func writeFrame(w io.Writer, data []byte) error {
	var head [4]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(data)))
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// readFrame reads a message of 1 to limit bytes.
func readFrame(r io.Reader, limit int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || int64(n) > int64(limit) {
		return nil, fmt.Errorf("%w: %d bytes, want 1 to %d", errFrame, n, limit)
	}
	// A length is no promise: memory is taken as the bytes come.
	buf := make([]byte, 0, min(int(n), 64<<10))
	for len(buf) < int(n) {
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, min(int(n), 4*cap(buf))), buf...)
		}
		m, err := io.ReadFull(r, buf[len(buf):min(cap(buf), int(n))])
		buf = buf[:len(buf)+m]
		if err != nil {
			return nil, err
		}
	}
	return buf, nil
}

var errFrame = errors.New("p2p: a frame is malformed")

// serveDirect reads the messages of a peer's direct stream. A peer has one
// such stream at a time; a new one takes the place of the old.
func (h *Host) serveDirect(s network.Stream) {
	from := s.Conn().RemotePeer()
	if l := h.peers.Load().link(h.member(from)); l != nil {
		l.replaceInbound(s)
	}
	in := h.metrics.topic("in", "direct")
	r := bufio.NewReaderSize(s, 64<<10)
	for {
		data, err := readFrame(r, h.cfg.MaxMessage)
		if errors.Is(err, errFrame) {
			h.blameFrame(h.member(from))
		}
		if err != nil {
			_ = s.Reset()
			return
		}
		in.add(len(data))
		// Looked up each time: peers join, and leave, while their streams last.
		if member := h.member(from); h.handler.Direct(member, data) == Reject {
			h.Blame(member)
		}
	}
}

func (h *Host) blameFrame(member int) {
	h.metrics.drops.WithLabelValues("bad_frame").Inc()
	h.Blame(member)
}

func (l *link) replaceInbound(s network.Stream) {
	l.mu.Lock()
	old := l.inbound
	l.inbound = s
	l.mu.Unlock()
	if old != nil {
		_ = old.Reset()
	}
}

// echoSize is the size of an echo request and of its answer in bytes.
const echoSize = 8

// serveEcho sends back what it reads, as long as it comes.
func (h *Host) serveEcho(s network.Stream) {
	var buf [echoSize]byte
	for {
		_ = s.SetDeadline(time.Now().Add(10 * h.cfg.EchoEvery))
		if _, err := io.ReadFull(s, buf[:]); err != nil {
			break
		}
		if _, err := s.Write(buf[:]); err != nil {
			break
		}
	}
	_ = s.Reset()
}

// echoes asks for an echo again and again, until one fails. It answers whether
// there was any.
func (l *link) echoes(ctx context.Context) (any bool) {
	s := l.open(ctx, "echo")
	if s == nil {
		return false
	}
	defer func() { _ = s.Reset() }()
	for ; ; any = true {
		start := time.Now()
		if !echo(s, 3*l.h.cfg.EchoEvery) {
			return any
		}
		l.answeredIn(time.Since(start))
		select {
		case <-time.After(l.h.cfg.EchoEvery):
		case <-l.gone:
			return true
		case <-ctx.Done():
			return true
		}
	}
}

func echo(s network.Stream, timeout time.Duration) bool {
	var sent, got [echoSize]byte
	rand.Read(sent[:])
	_ = s.SetDeadline(time.Now().Add(timeout))
	if _, err := s.Write(sent[:]); err != nil {
		return false
	}
	_, err := io.ReadFull(s, got[:])
	return err == nil && sent == got
}

// answeredIn notes an echo.
func (l *link) answeredIn(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.retired {
		return
	}
	l.answered = time.Now()
	if l.rtt == 0 {
		l.rtt = d
	}
	l.rtt += (d - l.rtt) / 8
	l.h.metrics.rtt.WithLabelValues(l.name).Set(l.rtt.Seconds())
}
