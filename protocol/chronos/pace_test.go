package chronos

import (
	"testing"

	"github.com/strataos/strataos/protocol"
)

const (
	ms     = protocol.Millisecond
	second = protocol.Second
)

var sizes = []int{1, 4, 7}

// each runs a test with networks of several sizes.
func each(t *testing.T, test func(t *testing.T, c *cluster)) {
	for _, n := range sizes {
		t.Run(map[int]string{1: "one", 4: "four", 7: "seven"}[n], func(t *testing.T) { test(t, newCluster(t, n)) })
	}
}

// TestIdleIsSilent has a network that nobody uses: no rounds, no timers, no
// messages, neither before the first entry nor once all is under a checkpoint.
func TestIdleIsSilent(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		stirs := func() (n int) {
			for _, m := range c.members {
				n += m.ticks + len(m.advances)
			}
			return n + c.sent
		}
		quiet := func(when string) {
			t.Helper()
			c.run(3*second, nil)
			before := stirs()
			c.run(600*second, nil)
			if n := stirs() - before; n > 0 || len(c.queue) > 0 || c.members[0].author.advance.Seal {
				t.Errorf("%s, %d ticks, advances and messages, and %d events to come", when, n, len(c.queue))
			}
		}
		quiet("before the first entry")
		for _, kind := range []protocol.Kind{protocol.KindAttest, protocol.KindAnchorEvent} {
			c.members[0].submit(kind)
			c.must("settled", 2*second, c.settled)
			quiet("after " + kind.String())
		}
		if got := c.members[0].machine.Status().Size; got != 2 {
			t.Errorf("the ledger has %d entries, want 2", got)
		}
	})
}

// TestUrgentGoesAtOnce has entries that clients wait for ordered as fast as
// three rounds of certificates allow, from an idle network.
func TestUrgentGoesAtOnce(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		for range 5 {
			before := c.now
			c.members[0].submit(protocol.KindAnchorEvent)
			c.must("ordered", second, func() bool {
				return c.members[0].machine.Status().Unordered == 0 && len(c.members[0].author.pending) == 0 && c.now > before+c.certify
			})
			if took := c.now - before; took > 4*(c.certify+c.travel)+DefaultPace().MinDelay {
				t.Errorf("an anchor took %d µs", took)
			}
			c.run(second, nil)
		}
	})
}

// TestLazyWaits has entries that nobody waits for ordered with no more rounds
// than one in LazyEvery.
func TestLazyWaits(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		start := c.now
		for range 100 {
			for _, m := range c.members {
				m.submit(protocol.KindAttest)
			}
			c.run(10*ms, nil)
		}
		took := c.now - start
		c.must("settled", 2*second, c.settled)
		rounds := protocol.Micros(c.members[0].machine.Status().Round)
		if least, most := took/DefaultPace().LazyEvery/2, (c.now-start)/DefaultPace().LazyEvery+4; rounds < least || rounds > most {
			t.Errorf("%d rounds in %d ms, want %d to %d", rounds, (c.now-start)/ms, least, most)
		}
	})
}

// TestDeadMember has members go on without one that is down. They wait for it
// once, and not again in the rounds behind.
func TestDeadMember(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		if c.Committee.N() == 1 {
			t.Skip("nobody is left")
		}
		busy := func(d protocol.Micros) (rounds uint64) {
			before := c.members[0].machine.Status().Round
			for end := c.now + d; c.now < end; c.run(ms, nil) {
				c.members[0].submit(protocol.KindAnchorEvent)
			}
			return c.members[0].machine.Status().Round - before
		}
		busy(200 * ms)
		whole := busy(500 * ms)
		c.members[3].crash(0)
		lame := busy(500 * ms)
		if lame < whole*9/10 {
			t.Errorf("%d rounds without a member, %d with all", lame, whole)
		}
		c.members[3].boot()
		c.must("settled", 3*second, c.settled)
	})
}

// TestSlowMember has one member's certificates come late all the time. The
// others wait for it no longer than MaxDelay.
func TestSlowMember(t *testing.T) {
	c := newCluster(t, 4)
	slow := c.members[3]
	slow.skew = -20 * second // its clock is wrong as well
	for range 100 {
		c.members[0].submit(protocol.KindAnchorEvent)
		before := c.now
		c.certify = 2*ms + protocol.Micros(c.rng.Int64N(int64(100*ms)))
		c.must("ordered", 5*(DefaultPace().MaxDelay+c.certify), c.settled)
		c.certify = 2 * ms
		if took := c.now - before; took > 5*DefaultPace().MaxDelay {
			t.Errorf("an anchor took %d ms", took/ms)
		}
	}
}

// TestAbsurdRounds has a member claim rounds that nobody has come to, or stale
// ones. The rounds of the others follow the network, not the liar.
func TestAbsurdRounds(t *testing.T) {
	for name, claim := range map[string]func(uint64) uint64{
		"far ahead": func(r uint64) uint64 { return 1 << 62 },
		"largest":   func(r uint64) uint64 { return ^uint64(0) },
		"a little":  func(r uint64) uint64 { return r + 3 },
		"stale":     func(uint64) uint64 { return 0 },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 4)
			liar := c.members[3]
			liar.liar, liar.author.claim = true, claim
			for range 50 {
				liar.submit(protocol.KindAnchorEvent)
				c.members[0].submit(protocol.KindAttest)
				c.run(20*ms, nil)
			}
			c.must("settled", 3*second, c.settled)
			if st := c.members[0].machine.Status(); st.Size != 100 || st.Round > 400 {
				t.Errorf("%d entries in %d rounds, want 100 in a few for each", st.Size, st.Round)
			}
			c.run(second, nil) // the liar may be in a round that nobody else needs
			quiet := len(c.members[0].advances)
			c.run(60*second, nil)
			if more := len(c.members[0].advances) - quiet; more > 0 {
				t.Errorf("%d advances when all is ordered", more)
			}
		})
	}
}

// TestAbsurdHeard has a machine hear of rounds that are far ahead, without end
// and with nothing behind them. Each makes it go on by one round at most.
func TestAbsurdHeard(t *testing.T) {
	c := newCluster(t, 4)
	for range 100 {
		for _, m := range c.members {
			m.step(Heard{Round: ^uint64(0)}, Heard{Round: 1 << 40})
		}
	}
	c.run(60*second, nil)
	for _, m := range c.members {
		if st := m.machine.Status(); st.Round > 3 || m.ticks > 20 {
			t.Errorf("member %d is in round %d after %d ticks", m.id, st.Round, m.ticks)
		}
		if m.author.advance.Seal {
			t.Errorf("member %d still goes on", m.id)
		}
	}
}

// TestClockJumps has a member's clock jump back and ahead under load.
func TestClockJumps(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		for i := range 60 {
			m := c.members[i%len(c.members)]
			m.skew = protocol.Micros(c.rng.Int64N(int64(3_600*second))) - 1_800*second
			m.step(Tick{})
			for _, m := range c.members {
				m.submit(protocol.KindAnchorState)
			}
			c.must("ordered", 5*second, func() bool { return c.members[0].machine.Status().Unordered == 0 })
		}
		for _, m := range c.members {
			m.skew = 0
			m.step(Tick{})
		}
		c.run(5*second, nil)
	})
}
