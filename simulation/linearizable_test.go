package simulation

import (
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// appends is the model of the ledger: a log that an operation appends to, which
// answers with how many of the answered operations the log had before. What was
// never answered has its places between them and makes no difference: positions
// are total, so a history is linearizable if and only if the order of positions
// is an order of appends that agrees with who was answered before whom was called.
var appends = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, _, output any) (bool, any) { return state == output, state.(int) + 1 },
}

// linearizable has porcupine check a history.
func linearizable(history []operation) porcupine.CheckResult {
	byPlace := slices.Clone(history)
	slices.SortStableFunc(byPlace, func(a, b operation) int { return int(int64(a.position) - int64(b.position)) })
	ops := make([]porcupine.Operation, len(byPlace))
	for rank, op := range byPlace {
		if rank > 0 && op.position == byPlace[rank-1].position {
			return porcupine.Illegal // two have one place
		}
		ops[rank] = porcupine.Operation{ClientId: op.client, Call: int64(op.called), Output: rank, Return: int64(op.answered)}
	}
	return porcupine.CheckOperationsTimeout(appends, ops, time.Minute)
}

// TestLinearizable checks what clients have seen of the ledger, in every
// scenario and with liars and faults of every kind.
func TestLinearizable(t *testing.T) {
	seeds := 2
	if testing.Short() {
		seeds = 1
	}
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answered := 0
			for seed := range seeds {
				s := named(t, name, func(s *Scenario) {
					s.Load.Anchors, s.Load.Rate = 0.8, max(s.Load.Rate, 40)
					s.Resize(4 + seed%2*3)
				})
				r := run(t, s, uint64(1000+seed))
				mustBeGood(t, r)
				answered += r.Stats.Ordered
				if got := linearizable(r.Stats.history); got != porcupine.Ok {
					t.Errorf("seed %d: the history of %d anchors is %s", r.Seed, len(r.Stats.history), got)
				}
			}
			if answered == 0 {
				t.Error("nothing was ordered: the test proves nothing")
			}
		})
	}
}

// TestLinearizableCanFail changes a history that is linearizable: it exchanges
// two answers, or gives one place to two.
func TestLinearizableCanFail(t *testing.T) {
	history := run(t, named(t, "wan-3-regions"), 1).Stats.history
	if got := linearizable(history); got != porcupine.Ok || len(history) < 20 {
		t.Fatalf("the history of %d anchors is %s", len(history), got)
	}
	first := history[0]
	later := slices.IndexFunc(history, func(op operation) bool { return op.called > first.answered })
	changed := slices.Clone(history)
	changed[0].position, changed[later].position = changed[later].position, changed[0].position
	if got := linearizable(changed); got != porcupine.Illegal {
		t.Errorf("with two answers exchanged it is %s", got)
	}
	twice := slices.Clone(history)
	twice[later].position = twice[0].position
	if got := linearizable(twice); got != porcupine.Illegal {
		t.Errorf("with one place for two it is %s", got)
	}
	// Those that were on their way at once may have come in either order.
	both := []operation{{0, 0, 10, 5}, {1, 5, 15, 4}}
	if got := linearizable(both); got != porcupine.Ok {
		t.Errorf("two at once are %s", got)
	}
	both[1].called = 11
	if got := linearizable(both); got != porcupine.Illegal {
		t.Errorf("one behind the other, with a lower place, is %s", got)
	}
}
