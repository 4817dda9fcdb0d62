package actors

import "sync"

// dispatcher runs the turns of one actor on one goroutine that lives as long
// as it does. A goroutine for each turn, which is the library's default, would
// grow its stack anew every time.
type dispatcher struct {
	turns chan func()
	done  sync.WaitGroup

	mu     sync.Mutex
	closed bool
}

// throughput is how many messages an actor takes before others may run. The
// actors here have goroutines of their own, so that it matters little.
const throughput = 300

func newDispatcher() *dispatcher {
	// A mailbox schedules a turn only when none is scheduled or running.
	d := &dispatcher{turns: make(chan func(), 1)}
	d.done.Go(d.run)
	return d
}

func (d *dispatcher) run() {
	for turn := range d.turns {
		turn()
	}
}

// Schedule implements actor.Dispatcher.
func (d *dispatcher) Schedule(turn func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		go turn() // what still reaches an actor that was stopped
		return
	}
	d.turns <- turn
}

// Throughput implements actor.Dispatcher.
func (d *dispatcher) Throughput() int { return throughput }

// close ends the goroutine after the turns that are scheduled.
func (d *dispatcher) close() {
	d.mu.Lock()
	d.closed = true
	close(d.turns)
	d.mu.Unlock()
	d.done.Wait()
}
