package chaos

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echoes starts servers that say again what they hear, and a mesh before them.
func echoes(t *testing.T, n int) *Mesh {
	t.Helper()
	var targets []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		targets = append(targets, l.Addr().String())
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { io.Copy(c, c); c.Close() }()
			}
		}()
	}
	m, err := NewMesh(targets)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

type client struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dial(t *testing.T, m *Mesh, from, to int) *client {
	t.Helper()
	c, err := net.Dial("tcp", m.Addr(from, to).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) hear(within time.Duration) (string, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		c.t.Fatal(err)
	}
	line, err := c.in.ReadString('\n')
	return strings.TrimSpace(line), err
}

func (c *client) mustHear(want string) {
	c.t.Helper()
	if got, err := c.hear(20 * time.Second); err != nil || got != want {
		c.t.Fatalf("hears %q, %v; want %q", got, err, want)
	}
}

func TestMesh(t *testing.T) {
	m := echoes(t, 3)
	a, b := dial(t, m, 0, 1), dial(t, m, 0, 2)
	a.say("one")
	a.mustHear("one")

	m.Partition([]int{1})
	a.say("two")
	if got, err := a.hear(100 * time.Millisecond); err == nil {
		t.Fatalf("a cut link carries %q", got)
	}
	b.say("others go on")
	b.mustHear("others go on")
	m.Heal()
	a.mustHear("two") // TCP sends it again

	m.Cut(1, 0) // the answers only
	a.say("three")
	if got, err := a.hear(100 * time.Millisecond); err == nil {
		t.Fatalf("a cut direction carries %q", got)
	}
	if !strings.Contains(m.String(), "1 of 6 directions cut") {
		t.Error(m)
	}
	m.Heal()
	a.mustHear("three")

	const delay = 150 * time.Millisecond
	m.Delay([]int{0}, delay, 0)
	begin := time.Now()
	a.say("four")
	a.mustHear("four")
	if took := time.Since(begin); took < delay {
		t.Errorf("takes %v, want at least %v", took, delay)
	}
}

func TestMeshEndsWhileCut(t *testing.T) {
	m := echoes(t, 2)
	a := dial(t, m, 0, 1)
	a.say("one")
	a.mustHear("one")
	m.Partition([]int{0})
	a.say("never")
}

func TestTargetIsDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := l.Addr().String()
	l.Close()
	m, err := NewMesh([]string{target, target})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := dial(t, m, 0, 1).hear(10 * time.Second); err == nil {
		t.Error("a node that is down answers")
	}
}
