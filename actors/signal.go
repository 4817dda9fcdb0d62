package actors

import (
	"context"
	"sync"
)

// signal tells those who wait that something may have changed.
type signal struct {
	mu      sync.Mutex
	changed chan struct{} // nil while nobody waits
}

// raise wakes those who wait.
func (s *signal) raise() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// wait returns once the condition holds, or the context ends.
func (s *signal) wait(ctx context.Context, condition func() bool) error {
	for {
		s.mu.Lock()
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		// Looked at after the channel was taken, so that no change is missed.
		if condition() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
