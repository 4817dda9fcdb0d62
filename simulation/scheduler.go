package simulation

import (
	"container/heap"
	"math/rand/v2"

	"github.com/strataos/strataos/protocol"
)

// scheduler runs what is due, in the order of virtual time. What is due at the
// same moment runs in an order that the seed chooses.
type scheduler struct {
	now   protocol.Micros
	queue eventQueue
	rng   *rand.Rand
	order uint64
	count uint64 // events run
}

type event struct {
	at    protocol.Micros
	tie   uint32
	order uint64
	run   func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }

func (q eventQueue) Less(i, j int) bool {
	a, b := &q[i], &q[j]
	if a.at != b.at {
		return a.at < b.at
	}
	if a.tie != b.tie {
		return a.tie < b.tie
	}
	return a.order < b.order
}

func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }

func (q *eventQueue) Pop() any {
	old := *q
	last := len(old) - 1
	e := old[last]
	old[last] = event{}
	*q = old[:last]
	return e
}

// at runs something at a time, or now if that is over.
func (s *scheduler) at(t protocol.Micros, run func()) {
	s.order++
	heap.Push(&s.queue, event{max(t, s.now), s.rng.Uint32(), s.order, run})
}

// after runs something some time from now.
func (s *scheduler) after(d protocol.Micros, run func()) { s.at(s.now+d, run) }

// run goes on until a time, or until done answers true, which is asked every
// few events.
func (s *scheduler) run(until protocol.Micros, done func() bool) {
	const askEvery = 64
	for n := 0; len(s.queue) > 0 && s.queue[0].at <= until; n++ {
		if n%askEvery == 0 && done() {
			return
		}
		e := heap.Pop(&s.queue).(event)
		s.now = e.at
		s.count++
		e.run()
	}
	if !done() {
		s.now = max(s.now, until)
	}
}
