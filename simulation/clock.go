package simulation

import "github.com/strataos/strataos/protocol"

// clock is a member's own: it has an offset, runs too fast or too slow, and
// may jump.
type clock struct {
	offset protocol.Micros
	drift  float64 // of a second a second; 1e-6 is 1 ppm
	since  protocol.Micros
}

// read is what the clock shows at a moment of true time.
func (c *clock) read(now protocol.Micros) protocol.Micros {
	return now + c.offset + protocol.Micros(c.drift*float64(now-c.since))
}

// wait is how much true time passes until the clock shows a time, unless it
// jumps: timers count what passes, not what the clock shows.
func (c *clock) wait(now, at protocol.Micros) protocol.Micros {
	return max(protocol.Micros(float64(at-c.read(now))/(1+c.drift)), 0)
}

// jump moves the clock.
func (c *clock) jump(by protocol.Micros) { c.offset += by }

// set puts the clock right, as NTP does. It goes on to drift.
func (c *clock) set(now protocol.Micros) { *c = clock{drift: c.drift, since: now} }
