package p2p

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
)

func TestGossipAndDirect(t *testing.T) {
	m := newMesh(t, 4)
	m.startAll()
	for i, h := range m.hosts {
		for topic := range Topic(topics) {
			data := fmt.Sprintf("from %d on %d", i, topic)
			if err := h.Publish(topic, []byte(data)); err != nil {
				t.Fatal(err)
			}
			for j, b := range m.boxes {
				if j != i {
					eventually(t, fmt.Sprintf("node %d hears node %d on %v", j+1, i+1, topic), func() bool {
						return count(b, gossiped, received{i, topic, data}) == 1
					})
				}
			}
		}
		to := (i + 1) % 4
		data := fmt.Sprintf("to %d", to)
		if !h.Send(to, []byte(data)) {
			t.Fatal("not sent")
		}
		eventually(t, "it arrives", func() bool { return count(m.boxes[to], directed, received{from: i, data: data}) == 1 })
		for j, b := range m.boxes {
			if j != to && count(b, directed, received{from: i, data: data}) > 0 {
				t.Errorf("node %d hears what is for node %d", j+1, to+1)
			}
		}
		if rtt, ok := h.RTT(to); !ok || rtt <= 0 || rtt > time.Second {
			t.Errorf("round trip %v %v", rtt, ok)
		}
	}
	for i, b := range m.boxes {
		for _, r := range b.gossip {
			if count(b, gossiped, r) > 1 {
				t.Errorf("node %d hears %v more than once", i+1, r)
			}
		}
	}
}

func TestSendRefuses(t *testing.T) {
	m := newMesh(t, 2)
	h := m.start(0)
	for name, to := range map[string]int{"itself": 0, "nobody": 7, "before the first": -1, "who is not there": 1} {
		if h.Send(to, []byte("x")) {
			t.Errorf("sends to %s", name)
		}
	}
	if h.Send(1, make([]byte, 1<<16+1)) || h.Publish(TopicBatch, make([]byte, 1<<16+1)) == nil {
		t.Error("sends more than a message may have")
	}
	if _, ok := h.RTT(1); ok {
		t.Error("knows the round trip to who is not there")
	}
}

func TestComesAndGoes(t *testing.T) {
	m := newMesh(t, 3)
	m.startAll()
	m.stop(2)
	eventually(t, "node 3 is unreachable", func() bool { return !m.hosts[0].Reachable()[2] && !m.hosts[1].Reachable()[2] })
	eventually(t, "its end is told", func() bool {
		m.boxes[0].mu.Lock()
		defer m.boxes[0].mu.Unlock()
		return m.boxes[0].down[2] > 0
	})
	before := m.boxes[0].up[2]
	m.start(2)
	m.connected()
	eventually(t, "its return is told", func() bool {
		m.boxes[0].mu.Lock()
		defer m.boxes[0].mu.Unlock()
		return m.boxes[0].up[2] > before
	})
	eventually(t, "it hears again", func() bool {
		m.hosts[0].Send(2, []byte("again"))
		return count(m.boxes[2], directed, received{from: 0, data: "again"}) > 0
	})
}

// TestStrangers has a host connect whose key is nobody's.
func TestStrangers(t *testing.T) {
	m := newMesh(t, 2)
	m.startAll()
	key, _ := newKey(t)
	stranger, err := libp2p.New(libp2p.Identity(key), libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	info := peer.AddrInfo{ID: m.members[0].ID, Addrs: m.members[0].Addrs}
	err = stranger.Connect(ctx, info)
	if err == nil {
		// The refusal may come after the stranger believes to be connected.
		_, err = stranger.NewStream(ctx, info.ID, m.hosts[0].protocol("direct"))
	}
	if err == nil {
		t.Fatal("a stranger talks to a member")
	}
	eventually(t, "the refusal is counted", func() bool { return figure(t, m.hosts[0].metrics.drops, "stranger") > 0 })
}

// TestOtherNetwork has the same peers be members of another network.
func TestOtherNetwork(t *testing.T) {
	m := newMesh(t, 2)
	m.start(0)
	other := m.start(1, func(c *Config) { c.NetworkID = [32]byte{2} })
	eventually(t, "they are connected", func() bool { return m.hosts[0].link(1).isUp() && other.link(0).isUp() })
	for range 20 {
		m.hosts[0].Send(1, []byte("x"))
		if err := m.hosts[0].Publish(TopicBatch, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the messages are dropped", func() bool { return figure(t, m.hosts[0].metrics.drops, "no_stream") > 0 })
	m.boxes[1].mu.Lock()
	defer m.boxes[1].mu.Unlock()
	if len(m.boxes[1].direct)+len(m.boxes[1].gossip) > 0 {
		t.Error("networks talk to each other")
	}
	if other.Reachable()[0] {
		t.Error("a member of another network counts as reachable")
	}
}

func TestObserver(t *testing.T) {
	m := newMesh(t, 2)
	key, id := newKey(t)
	for i := range 2 {
		m.start(i, func(c *Config) { c.Observers = []peer.ID{id} })
	}
	seen := &box{up: map[int]int{}, down: map[int]int{}}
	cfg := m.config(0)
	cfg.Key, cfg.Self, cfg.Listen = key, -1, nil
	h, err := New(cfg, seen)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	h.Start()
	eventually(t, "the observer hears gossip", func() bool {
		if err := m.hosts[0].Publish(TopicBatch, fmt.Appendf(nil, "%d", time.Now().UnixNano())); err != nil {
			t.Fatal(err)
		}
		seen.mu.Lock()
		defer seen.mu.Unlock()
		return len(seen.gossip) > 0 && seen.gossip[0].from == 0
	})
}

// TestBadFrames writes what is no frame to a direct stream.
func TestBadFrames(t *testing.T) {
	m := newMesh(t, 2)
	m.startAll()
	for name, text := range map[string]string{
		"empty":    "\x00\x00\x00\x00",
		"too long": "\xff\xff\xff\xff",
		"one more": "\x00\x01\x00\x01",
	} {
		before := figure(t, m.hosts[0].metrics.drops, "bad_frame")
		s := m.hosts[1].link(0).open(context.Background(), "direct")
		if s == nil {
			t.Fatal("no stream")
		}
		if _, err := s.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" is counted", func() bool { return figure(t, m.hosts[0].metrics.drops, "bad_frame") > before })
	}
	if m.hosts[0].score.of(m.members[1].ID) >= 0 {
		t.Error("bad frames cost nothing")
	}
	eventually(t, "good frames still arrive", func() bool {
		m.hosts[1].Send(0, []byte("good"))
		return count(m.boxes[0], directed, received{from: 1, data: "good"}) > 0
	})
}

// TestFullQueue has a member that takes nothing: sending to it never blocks.
func TestFullQueue(t *testing.T) {
	m := newMesh(t, 2)
	m.boxes[1].block = make(chan struct{})
	m.start(0, func(c *Config) { c.QueueMessages, c.QueueBytes = 8, 1<<16 })
	m.start(1)
	m.connected()
	dropped := false
	for range 10_000 {
		if !m.hosts[0].Send(1, make([]byte, 8<<10)) {
			dropped = true
			break
		}
	}
	close(m.boxes[1].block)
	if !dropped || figure(t, m.hosts[0].metrics.drops, "queue_full") == 0 {
		t.Error("a queue has no end")
	}
}

// TestGraylist has a member send what is invalid until nobody listens to it.
func TestGraylist(t *testing.T) {
	m := newMesh(t, 2)
	m.startAll()
	m.boxes[0].mu.Lock()
	m.boxes[0].verdict = Reject
	m.boxes[0].mu.Unlock()
	n := 0
	eventually(t, "node 2 is graylisted", func() bool {
		n++
		if err := m.hosts[1].Publish(TopicVote, fmt.Appendf(nil, "bad %d", n)); err != nil {
			t.Fatal(err)
		}
		m.hosts[1].Send(0, []byte("bad"))
		return m.hosts[0].score.of(m.members[1].ID) < -50 || figure(t, m.hosts[0].metrics.rejects, "node-2") > 30
	})
	heard := func() int {
		m.boxes[0].mu.Lock()
		defer m.boxes[0].mu.Unlock()
		return len(m.boxes[0].gossip)
	}
	eventually(t, "its gossip is not heard any more", func() bool {
		before := heard()
		for range 5 {
			n++
			if err := m.hosts[1].Publish(TopicVote, fmt.Appendf(nil, "more %d", n)); err != nil {
				t.Fatal(err)
			}
		}
		// A direct message comes after the gossip, and is heard in any case.
		last := fmt.Sprintf("after %d", n)
		m.hosts[1].Send(0, []byte(last))
		eventually(t, "the direct message arrives", func() bool {
			return count(m.boxes[0], directed, received{from: 1, data: last}) > 0
		})
		return heard() == before
	})
}

func TestBlameFades(t *testing.T) {
	s := newScores()
	s.blame("a")
	s.blame("a")
	if got := s.of("a"); got > -2*blameCost+0.1 || got < -2*blameCost {
		t.Errorf("two blames cost %v", got)
	}
	if s.of("b") != 0 {
		t.Error("a blame costs another peer")
	}
	later := time.Now().Add(2 * blameHalf)
	if left := s.costs["a"].left(later); left > 0.1 {
		t.Errorf("%v is left after %v", left, 2*blameHalf)
	}
}

func TestConfigRefuses(t *testing.T) {
	m := newMesh(t, 2)
	for name, change := range map[string]func(*Config){
		"no key":           func(c *Config) { c.Key = nil },
		"too many members": func(c *Config) { c.MaxMembers = 1 },
		"two of a number":  func(c *Config) { c.Members[1].Number = 0 },
		"two of an ID":     func(c *Config) { c.Members[1].ID = c.Members[0].ID },
		"no ID":            func(c *Config) { c.Members[1].ID = "" },
		"no number":        func(c *Config) { c.Members[1].Number = -1 },
	} {
		cfg := m.config(0)
		cfg.Members = slices.Clone(cfg.Members)
		change(&cfg)
		if h, err := New(cfg, m.boxes[0]); err == nil {
			t.Errorf("%s: a host is made", name)
			_ = h.Close()
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02hi"))
	f.Add([]byte("\x00\x00\x00\x00"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1 << 12
		got, err := readFrame(bufio.NewReader(bytes.NewReader(data)), limit)
		if err != nil {
			return
		}
		if len(got) < 1 || len(got) > limit {
			t.Errorf("a frame of %d bytes", len(got))
		}
		var again strings.Builder
		if err := writeFrame(&again, got); err != nil || !strings.HasPrefix(string(data), again.String()) {
			t.Errorf("%q reads as %q", data, got)
		}
	})
}
