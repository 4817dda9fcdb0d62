package simulation

import (
	"context"
	"testing"
	"time"
)

func TestSweep(t *testing.T) {
	sw := &Sweep{First: 100, Seeds: 24}
	for _, name := range Names() {
		sw.Scenarios = append(sw.Scenarios, named(t, name, func(s *Scenario) { s.Duration = Duration(3 * time.Second) }))
	}
	calls := 0
	sw.Progress = func(done int, _ *Summary) {
		if calls++; done != calls {
			t.Errorf("%d done after %d calls", done, calls)
		}
	}
	sum, err := sw.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range sum.Failures {
		mustBeGood(t, r)
	}
	if sum.Runs != 24 || calls != 24 || len(sum.ByScenario) != len(Names()) || len(sum.Faults) < 10 || sum.VirtualSeconds < 24*3 {
		t.Errorf("%+v", sum)
	}
	lasting, standing := Pairs(sum.FaultPairs)
	if most, all := PossiblePairs(); most != 120 || all != 105 || lasting < 20 || lasting > most || standing < 20 || standing > all {
		t.Errorf("%d of %d pairs of faults, %d of %d with what is there all the time", lasting, most, standing, all)
	}
}

func TestSweepStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	sw := &Sweep{Scenarios: []*Scenario{named(t, "calm")}, Seeds: 1_000_000, Progress: func(done int, _ *Summary) {
		if done == 3 {
			cancel()
		}
	}}
	if sum, err := sw.Run(ctx); sum.Runs < 3 || sum.Runs > 100 {
		t.Errorf("%d runs, %v", sum.Runs, err)
	}
	for _, sw := range []*Sweep{{}, {Scenarios: sw.Scenarios, Seeds: 1, Workers: -1}} {
		if _, err := sw.Run(context.Background()); err == nil {
			t.Errorf("a sweep of nothing, or by nobody: %+v", sw)
		}
	}
}

// TestShrink breaks safety among needless faults, and has them left out.
func TestShrink(t *testing.T) {
	for seed := range uint64(40) {
		s := named(t, "calm", func(s *Scenario) {
			s.Duration = Duration(10 * time.Second)
			s.Liars = LiarSettings{Members: 2, Behaviours: []string{"equivocate", "double-vote"}, BeyondBound: true}
			s.Faults = []Fault{{Kind: "slow-disk", Every: Duration(time.Second), For: Duration(time.Second)}}
			s.Network.Duplicate = 0.1
		})
		r := run(t, s, seed)
		if r.Good() || r.Violations[0].Rule != "certificate" {
			continue
		}
		small, err := Shrink(context.Background(), s, r)
		if err != nil {
			t.Fatal(err)
		}
		if small.Result.Good() || small.Result.Violations[0].Rule != "certificate" || small.For >= 10*time.Second || len(small.Without) == 0 {
			t.Errorf("%+v", small)
		}
		again, err := s.Without(small.Without...)
		if err != nil {
			t.Fatal(err)
		}
		again.Duration = Duration(small.For)
		if got := run(t, again, seed); got.TraceHash != small.Result.TraceHash {
			t.Error("the smaller run cannot be repeated")
		}
		return
	}
	t.Error("no seed breaks safety")
}
