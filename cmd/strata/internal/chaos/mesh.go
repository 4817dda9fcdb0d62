// Package chaos stands between the peers of a local network: every pair has a
// TCP proxy, and each direction of it can be cut or slowed while it is in use.
package chaos

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Mesh is the proxies between some nodes, which it knows by their place.
type Mesh struct {
	targets   []string
	listeners [][]net.Listener // by who dials and whom
	flows     [][]*flow        // by who sends and to whom
	running   sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
}

// NewMesh opens proxies before nodes that listen on the TCP addresses targets.
func NewMesh(targets []string) (*Mesh, error) {
	n := len(targets)
	m := &Mesh{targets: targets, conns: map[net.Conn]bool{}}
	for i := range n {
		m.listeners = append(m.listeners, make([]net.Listener, n))
		m.flows = append(m.flows, make([]*flow, n))
		for j := range n {
			m.flows[i][j] = newFlow()
		}
	}
	for i := range n {
		for j := range n {
			if i == j {
				continue
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return nil, errors.Join(err, m.Close())
			}
			m.listeners[i][j] = l
			m.running.Go(func() { m.accept(l, i, j) })
		}
	}
	return m, nil
}

// Addr is where node from dials node to.
func (m *Mesh) Addr(from, to int) *net.TCPAddr {
	return m.listeners[from][to].Addr().(*net.TCPAddr)
}

// Link is what one direction between two nodes is like.
type Link struct {
	// Cut says that nothing arrives. What was sent waits, as TCP has it.
	Cut bool
	// Delay is added to every piece of data, and up to Jitter more.
	Delay, Jitter time.Duration
}

// Set changes the direction between two nodes.
func (m *Mesh) Set(from, to int, l Link) { m.flows[from][to].set(l) }

// Get tells what the direction between two nodes is like.
func (m *Mesh) Get(from, to int) Link { return m.flows[from][to].get() }

// Close ends all connections and stops listening.
func (m *Mesh) Close() error {
	m.mu.Lock()
	m.closed = true
	for c := range m.conns {
		_ = c.Close() // nothing more is to come of it
	}
	m.mu.Unlock()
	var errs []error
	for _, row := range m.listeners {
		for _, l := range row {
			if l != nil {
				errs = append(errs, l.Close())
			}
		}
	}
	for _, row := range m.flows {
		for _, f := range row {
			f.end()
		}
	}
	m.running.Wait()
	return errors.Join(errs...)
}

// keep remembers a connection until it is forgotten, or answers false if the
// mesh is closed.
func (m *Mesh) keep(c net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.conns[c] = true
	}
	return !m.closed
}

func (m *Mesh) forget(c net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.conns, c)
	_ = c.Close() // whoever reads from it sees that
}

func (m *Mesh) accept(l net.Listener, from, to int) {
	for {
		in, err := l.Accept()
		if err != nil {
			return // it is closed
		}
		m.running.Go(func() { m.carry(in, from, to) })
	}
}

// carry joins a connection that node from has made to node to.
func (m *Mesh) carry(in net.Conn, from, to int) {
	if !m.keep(in) {
		_ = in.Close()
		return
	}
	defer m.forget(in)
	out, err := net.DialTimeout("tcp", m.targets[to], 5*time.Second)
	if err != nil {
		return // the node is down, and who dialled it sees the connection end
	}
	if !m.keep(out) {
		_ = out.Close()
		return
	}
	defer m.forget(out)
	var both sync.WaitGroup
	both.Go(func() { m.flows[from][to].pump(out, in) })
	both.Go(func() { m.flows[to][from].pump(in, out) })
	both.Wait()
}

// flow is one direction between two nodes, over all their connections.
type flow struct {
	mu      sync.Mutex
	link    Link
	changed chan struct{} // closed when link changes
	ended   chan struct{}
	once    sync.Once
}

func newFlow() *flow { return &flow{changed: make(chan struct{}), ended: make(chan struct{})} }

func (f *flow) set(l Link) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.link = l
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *flow) get() Link {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.link
}

func (f *flow) end() { f.once.Do(func() { close(f.ended) }) }

// open waits until the flow is not cut, and answers false when it has ended.
func (f *flow) open() bool {
	for {
		f.mu.Lock()
		cut, changed := f.link.Cut, f.changed
		f.mu.Unlock()
		if !cut {
			return true
		}
		select {
		case <-changed:
		case <-f.ended:
			return false
		}
	}
}

const (
	pieceBytes = 32 << 10
	// maxPieces bounds what is on its way on one connection; then its sender
	// has to wait, as on a slow network.
	maxPieces = 256
)

// piece is data on its way.
type piece struct {
	data []byte
	due  time.Time
}

// pump carries what src sends to dst until one of them ends.
func (f *flow) pump(dst, src net.Conn) {
	pieces := make(chan piece, maxPieces)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(pieces)
		f.read(pieces, src)
	})
	f.write(dst, pieces)
	_, _ = dst.Close(), src.Close() // an end is for both directions
	for range pieces {              // until the reader sees that
	}
	reading.Wait()
}

func (f *flow) read(pieces chan<- piece, src io.Reader) {
	for {
		buf := make([]byte, pieceBytes)
		n, err := src.Read(buf)
		if n > 0 {
			l := f.get()
			d := l.Delay
			if l.Jitter > 0 {
				d += rand.N(l.Jitter)
			}
			pieces <- piece{buf[:n], time.Now().Add(d)}
		}
		if err != nil {
			return
		}
	}
}

func (f *flow) write(dst io.Writer, pieces <-chan piece) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for p := range pieces {
		if wait := time.Until(p.due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-f.ended:
				return
			}
		}
		if !f.open() {
			return
		}
		if _, err := dst.Write(p.data); err != nil {
			return
		}
	}
}

// Partition cuts some nodes off from the others, both ways.
func (m *Mesh) Partition(apart []int) {
	in := make([]bool, len(m.targets))
	for _, i := range apart {
		in[i] = true
	}
	m.each(func(from, to int, l Link) Link { l.Cut = l.Cut || in[from] != in[to]; return l })
}

// Cut stops what one node sends to another.
func (m *Mesh) Cut(from, to int) {
	l := m.Get(from, to)
	l.Cut = true
	m.Set(from, to, l)
}

// Delay slows what some nodes send.
func (m *Mesh) Delay(nodes []int, delay, jitter time.Duration) {
	slow := make([]bool, len(m.targets))
	for _, i := range nodes {
		slow[i] = true
	}
	m.each(func(from, _ int, l Link) Link {
		if slow[from] {
			l.Delay, l.Jitter = delay, jitter
		}
		return l
	})
}

// Heal makes all links good.
func (m *Mesh) Heal() { m.each(func(int, int, Link) Link { return Link{} }) }

func (m *Mesh) each(change func(from, to int, l Link) Link) {
	for i := range m.flows {
		for j := range m.flows[i] {
			if i != j {
				m.Set(i, j, change(i, j, m.Get(i, j)))
			}
		}
	}
}

// String tells what is not as it should be.
func (m *Mesh) String() string {
	cuts, slow := 0, 0
	for i := range m.flows {
		for j := range m.flows[i] {
			l := m.Get(i, j)
			if l.Cut {
				cuts++
			} else if l.Delay > 0 {
				slow++
			}
		}
	}
	return fmt.Sprintf("%d of %d directions cut, %d slow", cuts, len(m.targets)*(len(m.targets)-1), slow)
}
