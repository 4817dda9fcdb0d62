package audit

import (
	"context"
	"errors"

	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/order"
)

// history is what the logs lead to.
type history struct {
	order    *order.Order
	book     *accord.Book
	accord   accord.MemoryStorage
	runs     []store.Run
	position uint64
	// cuts are the ledger's checkpoints, by size, and cut the newest of them. Their
	// roots are not filled in.
	cuts map[uint64]chronos.Cut
	cut  chronos.Cut
	// stored is where the stored order stands; decisions and epoch are those there,
	// once it was reached.
	stored    order.State
	reached   bool
	decisions accord.State
	epoch     uint64
}

// noPast is asked for nothing: an audit forgets nothing.
type noPast struct{}

// Node implements order.Past.
func (noPast) Node(protocol.MemberID, uint64) (order.Node, error) {
	return order.Node{}, errors.New("audit: a batch was forgotten")
}

// replay reads and orders the logs, epoch by epoch. What is certified by the
// committee of an epoch can be read when that has been found, which is where the
// epochs before have come to an end.
func (a *auditor) replay(ctx context.Context, stored order.State) (*history, error) {
	c := a.epochs.Latest()
	past := &history{order: order.New(c.N(), noPast{}), stored: stored, cuts: map[uint64]chronos.Cut{}}
	var err error
	if past.book, err = accord.NewBook(&past.accord, accord.State{}, c); err != nil {
		return nil, err
	}
	for turned := true; turned; {
		if err := a.readLogs(ctx); err != nil {
			return nil, err
		}
		if turned, err = a.orderLogs(ctx, past); err != nil {
			return nil, err
		}
	}
	return past, a.readTails(ctx)
}

// orderLogs orders what was read, until that comes to an end or another epoch has
// begun.
func (a *auditor) orderLogs(ctx context.Context, past *history) (turned bool, err error) {
	for {
		more, err := a.insert(past.order)
		if err != nil {
			return false, err
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		for {
			decisions, err := past.order.Decide()
			if err != nil {
				return false, err
			}
			if len(decisions) == 0 {
				break
			}
			for _, d := range decisions {
				if turned, err = a.consume(past, d); err != nil {
					return false, err
				}
			}
			if turned {
				return true, nil
			}
		}
		if !more {
			return false, nil
		}
	}
}

// insert gives an order what it lacks nothing for, and reports whether that was
// anything.
func (a *auditor) insert(o *order.Order) (inserted bool, err error) {
	for _, l := range a.logs {
		for len(l.waiting) > 0 {
			b := l.waiting[0]
			if _, missing := o.Missing(b); missing {
				break
			}
			if _, err := o.Insert(b); err != nil {
				return false, &Problem{a.epochs.Latest().Origin(b.Log), b.Old, err.Error()}
			}
			l.waiting = l.waiting[1:]
			inserted = true
		}
	}
	return inserted, nil
}

// consume appends what a slot has emitted to the ledger, and begins an epoch if
// that is decided and the round ends.
func (a *auditor) consume(past *history, d order.Decision) (turned bool, err error) {
	c := a.epochs.Latest()
	for _, b := range d.Batches {
		if err := past.take(c.Name(b.Log), a.extension(b)); err != nil {
			return false, err
		}
	}
	if d.EndsRound {
		next, err := past.book.Turn()
		if err != nil {
			return false, err
		}
		past.mayCut(c.Params(), c.Epoch(), next != nil)
		if next != nil {
			if err := a.epochs.Add(next); err != nil {
				return false, &Problem{"epochs", next.Epoch(), err.Error()}
			}
			if _, err := past.order.NextEpoch(next.Members(), next.Logs()); err != nil {
				return false, err
			}
			turned = true
		}
	}
	if isBefore(d, past.stored) {
		past.reached, past.decisions, past.epoch = true, past.book.State(), a.epochs.Latest().Epoch()
	}
	return turned, nil
}

// take appends an ordered batch, and what it decides, to the ledger.
func (h *history) take(author string, e protocol.Extension) error {
	extensions, err := h.book.Extend(e, author, h.position)
	if err != nil {
		return err
	}
	for _, e := range extensions {
		count := uint64(len(e.Entries))
		h.runs = append(h.runs, store.Run{
			Position: h.position, Log: e.Log, Old: e.Old, Time: e.Time, Count: count, LedgerTime: h.book.State().Time,
		})
		h.position += count
	}
	records, _ := h.book.Take()
	for _, r := range records {
		h.accord.Apply(r)
	}
	return nil
}

// mayCut notes a checkpoint at the end of a round, which may be the last of an
// epoch, if there is one (rule C5).
func (h *history) mayCut(p protocol.Params, epoch uint64, last bool) {
	now := h.book.State().Time
	if h.position > h.cut.Size && (last || now >= h.cut.Next(p)) {
		h.cut = chronos.Cut{Size: h.position, Time: now, Epoch: epoch}
		h.cuts[h.position] = h.cut
	}
}

// isBefore reports whether a decision is the last one before an order stands where
// it does.
func isBefore(d order.Decision, st order.State) bool {
	if d.EndsRound {
		return st.Round == d.Round+1 && st.Index == 0
	}
	return st.Round == d.Round && st.Index == d.Index+1
}

// extension is what the order takes of a batch. Only bodies that Accord reads are
// there.
func (a *auditor) extension(b order.Batch) protocol.Extension {
	if e, ok := a.acts[place{b.Log, b.Old}]; ok {
		return e
	}
	return protocol.Extension{Log: b.Log, Old: b.Old, Size: b.Size, Time: b.Time, Entries: make([]protocol.Entry, b.Size-b.Old-1)}
}
