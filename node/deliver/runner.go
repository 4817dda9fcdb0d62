package deliver

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/strataos/strataos/node/glob"
	"github.com/strataos/strataos/node/webhook"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
)

// backoff is the time between tries: there is no last one.
var backoff = webhook.Backoff{First: 500 * time.Millisecond, Most: time.Minute}

// runner takes one handler through the decisions.
type runner struct {
	handler Handler
	action  glob.Pattern
	hook    webhook.Hook
	wake    chan struct{}
	// since is when the handler was met, if it begins there, by the ledger's time:
	// a ledger that is yet to be caught up with has what was decided before.
	since protocol.Micros

	mu    sync.Mutex // guards state
	state Status
}

func (r *runner) status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// change changes the state that Status tells.
func (r *runner) change(fn func(*Status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fn(&r.state)
}

// insist tries something until it succeeds, and answers false if the context ends
// before.
func (d *Deliverer) insist(ctx context.Context, r *runner, what string, try func() error) bool {
	for failures := 1; ctx.Err() == nil; failures++ {
		err := try()
		if err == nil {
			r.change(func(s *Status) { s.Failures, s.Since, s.Error = 0, time.Time{}, "" })
			return true
		}
		if ctx.Err() != nil {
			break
		}
		wait := backoff.After(failures, d.cfg.Clock.Random())
		r.change(func(s *Status) {
			if failures == 1 {
				s.Since = d.cfg.Clock.Now()
			}
			s.Failures, s.Error = failures, what+": "+err.Error()
		})
		d.cfg.Logger.Warn("a handler of decisions waits", "handler", r.handler.Name, "what", what, "error", err, "failures", failures, "again_in", wait)
		if d.cfg.Clock.Sleep(ctx, wait) != nil {
			break
		}
	}
	return false
}

// follow takes a handler from decision to decision until the context ends.
func (d *Deliverer) follow(ctx context.Context, r *runner) {
	at, ok := d.begin(ctx, r)
	for ok {
		var page []accord.Case
		if !d.insist(ctx, r, "decisions cannot be read", func() (err error) {
			page, err = d.next(ctx, at)
			return err
		}) {
			return
		}
		if len(page) > 0 {
			at, ok = d.take(ctx, r, at, page)
			continue
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			return
		}
	}
}

// begin returns where a handler goes on, or false if the context ends before that
// is known. Where a new one begins is kept at once, so that a restart does not move
// it behind what is decided meanwhile.
func (d *Deliverer) begin(ctx context.Context, r *runner) (at uint64, ok bool) {
	ok = d.insist(ctx, r, "its position cannot be read", func() error {
		position, since, known, err := d.cfg.Positions.Position(ctx, r.handler.Name)
		if err == nil && !known && r.handler.From == FromEnd {
			since = protocol.Micros(d.cfg.Clock.Now().UnixMicro())
			position, err = d.cfg.Source.End(ctx)
		}
		if err == nil && !known {
			err = d.cfg.Positions.SetPosition(ctx, r.handler.Name, position, since)
		}
		at, r.since = position, since
		return err
	})
	r.change(func(s *Status) { s.Position = at })
	return at, ok
}

// next reads decisions, and holds the source to their order.
func (d *Deliverer) next(ctx context.Context, after uint64) ([]accord.Case, error) {
	page, err := d.cfg.Source.Next(ctx, after)
	if err != nil {
		return nil, err
	}
	for i := range page {
		if page[i].DecidedAt <= after {
			return nil, fmt.Errorf("the decision at %d is not behind %d", page[i].DecidedAt, after)
		}
		after = page[i].DecidedAt
	}
	return page, nil
}

// take goes through decisions, and returns where the handler is then, or false if
// the context ends before. The position moves behind a decision when the handler
// has taken it, and at the end of the page behind those that are not its own.
func (d *Deliverer) take(ctx context.Context, r *runner, at uint64, page []accord.Case) (uint64, bool) {
	for i := range page {
		c := &page[i]
		if c.Status == accord.Accepted && c.DecidedOn >= r.since && r.action.Match(c.Proposal.Action.Type) {
			if !d.deliver(ctx, r, c) || !d.keep(ctx, r, c.DecidedAt) {
				return at, false
			}
			at = c.DecidedAt
		}
	}
	if last := page[len(page)-1].DecidedAt; last != at {
		return last, d.keep(ctx, r, last)
	}
	return at, true
}

// keep keeps a handler's position.
func (d *Deliverer) keep(ctx context.Context, r *runner, position uint64) bool {
	ok := d.insist(ctx, r, "its position cannot be kept", func() error {
		return d.cfg.Positions.SetPosition(ctx, r.handler.Name, position, r.since)
	})
	if ok {
		r.change(func(s *Status) { s.Position = position })
	}
	return ok
}
