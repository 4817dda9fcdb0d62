package simulation

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
)

// injector makes faults as a scenario asks for them, until it is stopped.
type injector struct {
	w       *world
	stopped bool
	active  []*activeFault
}

// activeFault is a fault at work and what ends it.
type activeFault struct {
	kind string
	span int // in Stats.spans
	end  func()
}

// fault begins and returns what ends it, or nil if it cannot be now. It hits
// the member victim, if it hits one, and ends after lasts at the latest.
type fault func(w *world, rng *rand.Rand, victim *node, lasts protocol.Micros) (end func())

// faultKinds are the faults by name, and whether each hits one member.
var faultKinds = map[string]struct {
	begin  fault
	member bool
}{
	"partition":    {partition, false},
	"one-way":      {oneWay, true},
	"isolate":      {isolate, true},
	"slow-link":    {slowLink, true},
	"stalled-link": {stalledLink, true},
	"crash":        {crashFault, true},
	"freeze":       {freeze, true},
	"lose-disk":    {loseDisk, true},
	"bit-rot":      {bitRot, true},
	"slow-disk":    {slowDisk, true},
	"stalled-disk": {stalledDisk, true},
	"full-disk":    {fullDisk, true},
	"clock-jump":   {clockJump, true},
	"clock-set":    {clockSet, true},
	"overload":     {overload, false},
}

func newInjector(w *world) *injector {
	return &injector{w: w}
}

func (j *injector) start() {
	j.w.stats.stand(j.w.scenario.standing())
	for i := range j.w.scenario.Faults {
		f := &j.w.scenario.Faults[i]
		rng := newStream(j.w.seed^j.chanceOf(f, i), streamFaults)
		if f.At > 0 {
			j.w.sched.after(f.At.micros(), func() { j.begin(f, rng, f.For.micros()) })
		} else {
			j.again(f, rng)
		}
	}
}

// chanceOf gives each fault chance of its own, so that leaving one out does not
// move the others.
func (j *injector) chanceOf(f *Fault, i int) uint64 {
	same := 0
	for k := range i {
		if j.w.scenario.Faults[k].Kind == f.Kind {
			same++
		}
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d", f.Kind, same) // a hash takes everything
	return h.Sum64()
}

func (j *injector) again(f *Fault, rng *rand.Rand) {
	j.w.sched.after(exponential(rng, f.Every.micros()), func() {
		if !j.stopped {
			j.begin(f, rng, exponential(rng, f.For.micros()))
			j.again(f, rng)
		}
	})
}

func (j *injector) begin(f *Fault, rng *rand.Rand, lasts protocol.Micros) {
	if j.stopped {
		return
	}
	kind := faultKinds[f.Kind]
	victim, node := j.victim(f, rng), -1
	if kind.member {
		node = int(victim.id)
	}
	end := kind.begin(j.w, rng, victim, lasts)
	if end == nil {
		return
	}
	s := j.w.stats
	s.begin(f.Kind)
	s.spans = append(s.spans, Span{Kind: f.Kind, Node: node, From: j.w.sched.now - epoch, To: -1})
	j.w.trace.note(j.w.sched.now, traceFault, node, []byte(f.Kind))
	j.w.trace.say(j.w.sched.now, node, "fault: %s for %v", f.Kind, text(lasts))
	a := &activeFault{kind: f.Kind, span: len(s.spans) - 1, end: end}
	j.active = append(j.active, a)
	j.w.sched.after(lasts, func() { j.finish(a) })
}

func (j *injector) victim(f *Fault, rng *rand.Rand) *node {
	if len(f.Nodes) > 0 {
		return j.w.nodes[f.Nodes[rng.IntN(len(f.Nodes))]-1]
	}
	return j.w.nodes[rng.IntN(len(j.w.nodes))]
}

// finish ends a fault, once.
func (j *injector) finish(a *activeFault) {
	i := slices.Index(j.active, a)
	if i < 0 {
		return
	}
	j.active = slices.Delete(j.active, i, i+1)
	a.end()
	s := j.w.stats
	s.end(a.kind)
	s.spans[a.span].To = j.w.sched.now - epoch
	j.w.trace.say(j.w.sched.now, s.spans[a.span].Node, "end of %s", a.kind)
}

// heal ends all faults, sets everything right and starts who is down.
func (j *injector) heal() {
	j.stopped = true
	for len(j.active) > 0 {
		j.finish(j.active[0])
	}
	j.w.net.calm()
	for _, n := range j.w.nodes {
		if n.liar == nil {
			n.clock.set(j.w.sched.now)
		}
		if !n.up {
			n.restart()
		}
	}
	j.w.net.reconnect()
}

// restart starts a member that is down, with a new disk if its own is damaged.
func (n *node) restart() {
	switch {
	case n.up || n.gone:
	case n.disk.rotten:
		n.replaceDisk()
	default:
		n.boot()
	}
}

func partition(w *world, rng *rand.Rand, _ *node, _ protocol.Micros) func() {
	side := make([]bool, len(w.net.links))
	for i := range side {
		side[i] = rng.IntN(2) == 0
	}
	return w.net.cut(func(i, j int) bool { return side[i] != side[j] })
}

// oneWay cuts what a member says, or what it hears, or one of its links.
func oneWay(w *world, rng *rand.Rand, victim *node, _ protocol.Micros) func() {
	v, other := int(victim.id), rng.IntN(len(w.nodes))
	switch rng.IntN(3) {
	case 0:
		return w.net.cut(func(i, _ int) bool { return i == v })
	case 1:
		return w.net.cut(func(_, j int) bool { return j == v })
	}
	return w.net.cut(func(i, j int) bool { return i == v && j == other })
}

func isolate(w *world, _ *rand.Rand, victim *node, _ protocol.Micros) func() {
	v := int(victim.id)
	return w.net.cut(func(i, j int) bool { return i == v || j == v })
}

func slowLink(w *world, rng *rand.Rand, victim *node, _ protocol.Micros) func() {
	factor := 5 + 95*rng.Float64()
	row := w.net.links[victim.id]
	for i := range row {
		row[i].slow *= factor
	}
	return func() {
		for i := range row {
			row[i].slow = max(row[i].slow/factor, 1)
		}
	}
}

// stalledLink delivers nothing for a while, and then everything.
func stalledLink(w *world, rng *rand.Rand, victim *node, _ protocol.Micros) func() {
	to := rng.IntN(len(w.nodes))
	l := &w.net.links[victim.id][to]
	if to == int(victim.id) || l.stalled {
		return nil
	}
	l.stalled = true
	return func() { w.net.flow(l) }
}

func crashFault(_ *world, _ *rand.Rand, victim *node, _ protocol.Micros) func() {
	if !victim.up {
		return nil
	}
	victim.crash("killed")
	return victim.restart
}

func freeze(w *world, _ *rand.Rand, victim *node, lasts protocol.Micros) func() {
	if !victim.up || victim.frozenUntil > w.sched.now {
		return nil
	}
	victim.frozenUntil = w.sched.now + lasts
	return func() {
		victim.frozenUntil = min(victim.frozenUntil, w.sched.now)
		victim.goOn()
	}
}

// mayForget reports whether another member may lose what it has stored. It
// then counts as one of the f members that may do wrong.
func mayForget(w *world, victim *node) bool {
	return victim.liar == nil && (victim.lostDisk || w.faulty() < quorum.Faults(w.scenario.fewest()))
}

func loseDisk(w *world, _ *rand.Rand, victim *node, _ protocol.Micros) func() {
	if !victim.up || !mayForget(w, victim) {
		return nil
	}
	victim.crash("its disk is lost")
	victim.forget()
	return victim.restart
}

// bitRot damages what is stored. The member notices when it reads that, at the
// latest when it is started again.
func bitRot(w *world, _ *rand.Rand, victim *node, _ protocol.Micros) func() {
	if !victim.up || !mayForget(w, victim) {
		return nil
	}
	victim.disk.rotten = true
	victim.lostDisk = true // as good as
	return func() {
		if victim.up && victim.disk.rotten {
			victim.crash("restarted by its operator")
		}
		victim.restart()
	}
}

func slowDisk(_ *world, rng *rand.Rand, victim *node, _ protocol.Micros) func() {
	factor := 5 + 200*rng.Float64()
	victim.disk.slow *= factor
	return func() { victim.disk.slow = max(victim.disk.slow/factor, 1) }
}

func stalledDisk(w *world, _ *rand.Rand, victim *node, lasts protocol.Micros) func() {
	until := w.sched.now + lasts
	victim.disk.stalledUntil = max(victim.disk.stalledUntil, until)
	return func() {
		if victim.disk.stalledUntil == until { // else another stall goes on, or its disk is a new one
			victim.disk.stalledUntil = 0
			victim.goOn()
		}
	}
}

// fullDisk makes writes fail, which stops the member; when there is space
// again, it is started.
func fullDisk(_ *world, _ *rand.Rand, victim *node, _ protocol.Micros) func() {
	if !victim.up || victim.disk.full {
		return nil
	}
	victim.disk.full = true
	return func() {
		victim.disk.full = false
		victim.restart()
	}
}

// clockJump moves a clock by up to ten seconds, and back when it ends.
func clockJump(_ *world, rng *rand.Rand, victim *node, _ protocol.Micros) func() {
	by := between(rng, -10*protocol.Second, 10*protocol.Second)
	if rng.IntN(2) == 0 {
		by /= 100
	}
	victim.clock.jump(by)
	return func() { victim.clock.jump(-by) }
}

// clockSet puts a clock right, as NTP does.
func clockSet(w *world, _ *rand.Rand, victim *node, _ protocol.Micros) func() {
	victim.clock.set(w.sched.now)
	return func() {}
}

func overload(w *world, rng *rand.Rand, _ *node, _ protocol.Micros) func() {
	factor := 5 + 20*rng.Float64()
	w.load.factor *= factor
	return func() { w.load.factor /= factor }
}

// text writes a time as seconds.
func text(d protocol.Micros) string {
	return fmt.Sprintf("%.3fs", float64(d)/float64(protocol.Second))
}
