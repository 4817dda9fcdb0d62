package simulation

import (
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// register is the model of a subject: a number, its version. What is accepted makes
// it one more, if it was the expected one; whatever else becomes of a proposal is a
// look at it, which may also fail where the number is the expected one, as another
// proposal may have been open.
var register = porcupine.Model{
	Init: func() any { return uint64(0) },
	Step: func(state, _, output any) (bool, any) {
		version, ch := state.(uint64), output.(change)
		if !ch.accepted {
			return ch.version == version, version
		}
		expected := ch.expected < 0 || uint64(ch.expected) == version
		return expected && ch.version == version+1, version + 1
	},
}

// settable has porcupine check the histories of all subjects, each for itself.
func settable(changes []change) porcupine.CheckResult {
	bySubject := map[string][]porcupine.Operation{}
	for _, ch := range changes {
		op := porcupine.Operation{ClientId: len(bySubject[ch.subject]), Call: int64(ch.called), Output: ch, Return: int64(ch.answered)}
		if ch.answered == 0 {
			op.Return = math.MaxInt64
		}
		bySubject[ch.subject] = append(bySubject[ch.subject], op)
	}
	for _, name := range slices.Sorted(maps.Keys(bySubject)) {
		if got := porcupine.CheckOperationsTimeout(register, bySubject[name], time.Minute); got != porcupine.Ok {
			return got
		}
	}
	return porcupine.Ok
}

// contended has much put to the vote.
func contended(s *Scenario) { s.Load.Proposals = min(1, 4/s.Load.Rate) }

// TestSubjects checks what clients have seen of the subjects that they contend for,
// in every scenario.
func TestSubjects(t *testing.T) {
	t.Parallel()
	seen, accepted := 0, 0
	for i, name := range Names() {
		t.Run(name, func(t *testing.T) {
			s := named(t, name, contended)
			s.Resize(4 + i%2*3)
			if testing.Short() {
				s.Duration = Duration(5 * time.Second)
			}
			r := run(t, s, 2000+uint64(i))
			mustBeGood(t, r)
			for _, ch := range r.Stats.changes {
				if seen++; ch.accepted {
					accepted++
				}
			}
			if got := settable(r.Stats.changes); got != porcupine.Ok {
				t.Errorf("the history of %d changes is %s", len(r.Stats.changes), got)
			}
			t.Logf("%d proposed, decided %v, %d changes seen", r.Stats.Proposed, r.Stats.Decided, len(r.Stats.changes))
		})
	}
	if accepted < 40 || seen < 3*accepted/2 {
		t.Errorf("%d changes of subjects, %d accepted: the test proves little", seen, accepted)
	}
}

// TestLiarsSubjects has liars propose too, and copy what others propose.
func TestLiarsSubjects(t *testing.T) {
	t.Parallel()
	for i, name := range []string{"two-votes", "copycat", "meddle", "hurry"} {
		s := named(t, "byzantine", contended, func(s *Scenario) {
			s.Liars.Behaviours, s.Duration = []string{name}, Duration(6*time.Second)
		})
		r := run(t, s, 3000+uint64(i))
		mustBeGood(t, r)
		if got := settable(r.Stats.changes); got != porcupine.Ok {
			t.Errorf("%s: the history of %d changes is %s", name, len(r.Stats.changes), got)
		}
		t.Logf("%s: decided %v", name, r.Stats.Decided)
	}
}

// TestSubjectsCanFail changes a history: a version that is set twice, one that was
// not the expected one, an answer from the past.
func TestSubjectsCanFail(t *testing.T) {
	good := []change{
		{0, "s", 1, 5, 0, true, 1},
		{1, "s", 2, 6, 0, false, 1},
		{2, "t", 2, 6, -1, true, 1},
		{1, "s", 7, 9, 1, true, 2},
		{0, "s", 7, 0, -1, true, 3},
		{2, "s", 12, 15, 2, false, 3},
	}
	if got := settable(good); got != porcupine.Ok {
		t.Errorf("it is %s", got)
	}
	for what, spoil := range map[string]func(h []change){
		"two win":                          func(h []change) { h[1].accepted = true },
		"another version was there":        func(h []change) { h[3].expected = 0 },
		"an old version is seen":           func(h []change) { h[5].version = 1 },
		"a version is left out":            func(h []change) { h[3].version = 3 },
		"what was answered came afterward": func(h []change) { h[0].version, h[3].version, h[0].expected, h[3].expected = 2, 1, 1, 0 },
	} {
		h := slices.Clone(good)
		spoil(h)
		if got := settable(h); got != porcupine.Illegal {
			t.Errorf("%s: it is %s", what, got)
		}
	}
}
