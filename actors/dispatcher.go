package actors

import "sync"

// dispatcher runs the turns of one actor on one goroutine that lives as long
// as it does. A goroutine for each turn, which is the library's default, would
// grow its stack anew every time.
type dispatcher struct {
	turns chan func()
	stop  chan struct{}
	done  sync.WaitGroup
}

// throughput is how many messages an actor takes before others may run. The
// actors here have goroutines of their own, so that it matters little.
const throughput = 300

func newDispatcher() *dispatcher {
	// A mailbox schedules a turn only when none is scheduled or running.
	d := &dispatcher{turns: make(chan func(), 1), stop: make(chan struct{})}
	d.done.Go(d.run)
	return d
}

func (d *dispatcher) run() {
	for {
		select {
		case turn := <-d.turns:
			turn()
		case <-d.stop:
			return
		}
	}
}

// Schedule implements actor.Dispatcher.
func (d *dispatcher) Schedule(turn func()) {
	select {
	case d.turns <- turn:
	case <-d.stop:
		go turn() // what still reaches an actor that was stopped
	}
}

// Throughput implements actor.Dispatcher.
func (d *dispatcher) Throughput() int { return throughput }

// close ends the goroutine after the turn under way.
func (d *dispatcher) close() {
	close(d.stop)
	d.done.Wait()
}
