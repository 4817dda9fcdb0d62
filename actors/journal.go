package actors

import (
	"fmt"
	"sync"

	"github.com/strataos/strataos/protocol/witness"
)

// Journal makes Persist effects durable in their order. While one fsync is
// under way the next effects gather, and share the next one.
type Journal struct {
	store Store
	done  func(seq uint64)
	fatal func(error)

	mu      sync.Mutex
	changed *sync.Cond
	queue   []witness.Persist
	busy    bool
	closed  bool
	failed  bool
	stopped chan struct{}
}

// NewJournal starts a journal. It calls done with the number of each newest
// Persist that has become durable, and fatal, once, when the store fails.
func NewJournal(store Store, done func(seq uint64), fatal func(error)) *Journal {
	j := &Journal{store: store, done: done, fatal: fatal, stopped: make(chan struct{})}
	j.changed = sync.NewCond(&j.mu)
	go j.run()
	return j
}

// Append queues a Persist. The machine's bounds bound the queue: it has few
// batches of its own under way, and of each other log too.
func (j *Journal) Append(p witness.Persist) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.queue = append(j.queue, p)
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
func (j *Journal) next() ([]witness.Persist, bool) {
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

func (j *Journal) commit(group []witness.Persist) error {
	var records []witness.Record
	sync := false
	var seq uint64
	for _, p := range group {
		records = append(records, p.Records...)
		if !p.Lazy {
			sync, seq = true, p.Seq
		}
	}
	if err := j.store.Write(records, sync); err != nil {
		return err
	}
	if sync {
		j.done(seq)
	}
	return nil
}
