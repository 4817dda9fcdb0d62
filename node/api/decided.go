package api

import (
	"context"
	"sync"

	"github.com/strataos/strataos/protocol"
)

// maxDeciding bounds the requests that wait for decisions. Further ones are
// answered at once with what there is.
const maxDeciding = 4096

// decisions wakes requests when what they wait for is decided. A node makes
// something durable a thousand times a second, and hundreds of requests may wait
// for people to vote: so one goroutine looks for all of them, as long as any waits,
// and wakes those only whose proposals are decided.
type decisions struct {
	mu      sync.Mutex
	waiting map[protocol.Hash]map[chan struct{}]bool
	count   int
	stop    context.CancelFunc // of who looks, if anybody does
}

// enter notes who waits for a decision. Its channel is closed by a decision that
// comes from then on. It answers false if too many wait.
func (s *Server) enter(id protocol.Hash) (chan struct{}, bool, error) {
	d := &s.decisions
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.count >= maxDeciding {
		return nil, false, nil
	}
	if d.count == 0 {
		st, _, err := s.Ledger.State()
		if err != nil {
			return nil, false, err
		}
		var ctx context.Context
		ctx, d.stop = context.WithCancel(context.Background())
		go s.lookForDecisions(ctx, st.Size, st.Accord.Size)
		d.waiting = map[protocol.Hash]map[chan struct{}]bool{}
	}
	if d.waiting[id] == nil {
		d.waiting[id] = map[chan struct{}]bool{}
	}
	done := make(chan struct{})
	d.waiting[id][done] = true
	d.count++
	return done, true, nil
}

// leave forgets who has waited. With the last one, nobody looks any more.
func (s *Server) leave(id protocol.Hash, done chan struct{}) {
	d := &s.decisions
	d.mu.Lock()
	defer d.mu.Unlock()
	if delete(d.waiting[id], done); len(d.waiting[id]) == 0 {
		delete(d.waiting, id)
	}
	if d.count--; d.count == 0 {
		d.stop()
	}
}

// wake wakes who waits for a decision.
func (d *decisions) wake(id protocol.Hash) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for done := range d.waiting[id] {
		close(done)
	}
	clear(d.waiting[id]) // they still leave
}

// lookForDecisions wakes requests as decisions come behind a place in the ledger,
// at which there are so many leaves of their log.
func (s *Server) lookForDecisions(ctx context.Context, from, leaves uint64) {
	for {
		err := s.Wait(ctx, func() bool {
			st, _, err := s.Ledger.State()
			if err != nil || st.Accord.Size == leaves {
				return err != nil
			}
			leaves = st.Accord.Size
			return true
		})
		if err != nil {
			return // nobody waits
		}
		err = s.Accord.Decided(from, func(id protocol.Hash, position uint64) (bool, error) {
			s.decisions.wake(id)
			from = position + 1
			return true, nil
		})
		if err != nil {
			s.Logger.Error("decisions cannot be read; requests that wait for some are answered when their time is over", "error", err)
			return
		}
	}
}

// awaitDecided waits until a proposal is decided, or the context ends.
func (s *Server) awaitDecided(ctx context.Context, id protocol.Hash) error {
	done, ok, err := s.enter(id)
	if err != nil || !ok {
		return err
	}
	defer s.leave(id, done)
	// What was decided before is stored already.
	if c, known, err := s.Accord.Case(id); err != nil || known && isOver(&c) {
		return err
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
	return nil
}
