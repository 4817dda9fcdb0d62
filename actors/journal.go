package actors

import (
	"fmt"
	"sync"

	"github.com/strataos/strataos/protocol/machine"
)

// owner numbers the machines whose records a journal writes.
type owner int

const (
	ownerWitness owner = iota
	ownerChronos
	owners
	// ownerNobody is that of a machine that persists nothing.
	ownerNobody owner = -1
)

// Journal makes the Persist effects of a node's machines durable in their
// order. While one fsync is under way the next effects gather, and share the
// next one.
type Journal struct {
	store   Store
	done    [owners]func(seq uint64)
	written func()
	fatal   func(error)

	mu      sync.Mutex
	changed *sync.Cond
	queue   []entry
	busy    bool
	closed  bool
	failed  bool
	stopped chan struct{}
}

// entry is a Persist and whose it is.
type entry struct {
	machine.Persist
	owner owner
}

// NewJournal starts a journal. It calls an owner's done with the number of each
// newest Persist of its that has become durable, written after every write, and
// fatal, once, when the store fails.
func NewJournal(store Store, done [owners]func(seq uint64), written func(), fatal func(error)) *Journal {
	j := &Journal{store: store, done: done, written: written, fatal: fatal, stopped: make(chan struct{})}
	j.changed = sync.NewCond(&j.mu)
	go j.run()
	return j
}

// Append queues a Persist. The machine's bounds bound the queue: it has few
// batches of its own under way, and of each other log too.
func (j *Journal) Append(o owner, p machine.Persist) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.queue = append(j.queue, entry{p, o})
	j.changed.Broadcast()
}

// Barrier returns when all that was appended before is durable or lost to a
// failure of the store.
func (j *Journal) Barrier() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for (len(j.queue) > 0 || j.busy) && !j.failed {
		j.changed.Wait()
	}
}

// Close makes durable what is queued and stops the journal.
func (j *Journal) Close() {
	j.mu.Lock()
	j.closed = true
	j.changed.Broadcast()
	j.mu.Unlock()
	<-j.stopped
}

func (j *Journal) run() {
	defer close(j.stopped)
	for {
		group, ok := j.next()
		if !ok {
			return
		}
		err := j.commit(group)
		j.mu.Lock()
		j.busy = false
		j.failed = err != nil
		j.changed.Broadcast()
		j.mu.Unlock()
		if err != nil {
			j.fatal(fmt.Errorf("journal: %w", err))
			return
		}
	}
}

// next takes everything that is queued.
func (j *Journal) next() ([]entry, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.queue) == 0 {
		if j.closed {
			return nil, false
		}
		j.changed.Wait()
	}
	group := j.queue
	j.queue, j.busy = nil, true
	return group, true
}

func (j *Journal) commit(group []entry) error {
	var records []machine.Record
	sync := false
	var newest [owners]uint64
	for _, p := range group {
		records = append(records, p.Records...)
		if !p.Lazy {
			sync, newest[p.owner] = true, p.Seq
		}
	}
	if err := j.store.Write(records, sync); err != nil {
		return err
	}
	for o, seq := range newest {
		if seq != 0 {
			j.done[o](seq)
		}
	}
	j.written()
	return nil
}
