package simulation

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strataos/strataos/protocol"
)

func named(t testing.TB, name string, change ...func(*Scenario)) *Scenario {
	t.Helper()
	s, err := Named(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(s)
	}
	return s
}

func run(t testing.TB, s *Scenario, seed uint64) *Result {
	t.Helper()
	r, err := Run(context.Background(), s, seed, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustBeGood(t testing.TB, r *Result) {
	t.Helper()
	for _, v := range r.Violations {
		t.Errorf("%s, seed %d, %d nodes: at %.6f s %s: %s", r.Scenario, r.Seed, r.Nodes, seconds(v.At), v.Rule, v.Detail)
	}
}

// TestScenarios runs every scenario that ships, with a few seeds.
func TestScenarios(t *testing.T) {
	seeds := 6
	if testing.Short() {
		seeds = 1
	}
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range seeds {
				r := run(t, named(t, name), uint64(seed))
				mustBeGood(t, r)
				if r.Stats.Acknowledged == 0 {
					t.Error("nothing was attested")
				}
			}
		})
	}
}

// TestCalm has nothing fail where nothing goes wrong.
func TestCalm(t *testing.T) {
	r := run(t, named(t, "calm"), 1)
	mustBeGood(t, r)
	s := r.Stats
	if s.Acknowledged != s.Submitted || s.TimedOut+s.Interrupted+s.Blames+s.Rejected+s.Accusations > 0 || len(s.Faults) > 0 {
		t.Errorf("%+v", s)
	}
	// One round trip of 0.3 ms, two syncs of 0.4 ms, and what processors need.
	if s.Latency.P50 > 2.5 || s.Latency.P99 > 25 {
		t.Errorf("latency %+v", s.Latency)
	}
}

// TestDeterminism runs seeds twice and compares the hashes of all that
// happened.
func TestDeterminism(t *testing.T) {
	seeds := 50
	if testing.Short() {
		seeds = 6
	}
	names := Names()
	for seed := range seeds {
		s := named(t, names[seed%len(names)], func(s *Scenario) { s.Duration = Duration(4 * time.Second) })
		t.Run(fmt.Sprintf("%s-%d", s.Name, seed), func(t *testing.T) {
			t.Parallel()
			a, b := run(t, s, uint64(seed)), run(t, s, uint64(seed))
			if a.TraceHash != b.TraceHash || a.Events != b.Events {
				t.Errorf("two runs differ: %s after %d events, %s after %d", a.TraceHash, a.Events, b.TraceHash, b.Events)
			}
			if c := run(t, s, uint64(seed)+1000); c.TraceHash == a.TraceHash {
				t.Error("another seed, the same run")
			}
		})
	}
}

// TestTraceChangesNothing reads a run's log, which must not change the run.
func TestTraceChangesNothing(t *testing.T) {
	s := named(t, "storm")
	var log bytes.Buffer
	told := 0
	a, err := Run(context.Background(), s, 3, Options{Trace: &log, Progress: func(done float64) {
		told++
		if done < 0 || done > 1 {
			t.Errorf("%v done", done)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if b := run(t, s, 3); a.TraceHash != b.TraceHash {
		t.Error("a run that is watched differs")
	}
	for _, want := range []string{"starts", "fault: ", "everything heals", "holds a certificate"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	if told == 0 {
		t.Error("no progress is told")
	}
}

// TestBeyondTheBound has more members lie than the protocol tolerates: then,
// and only then, safety breaks, and the checker says how.
func TestBeyondTheBound(t *testing.T) {
	t.Parallel()
	s := named(t, "calm", func(s *Scenario) { s.Liars.Members = 2 })
	if err := s.Validate(); err == nil {
		t.Error("more liars than f are allowed without saying so")
	}
	s.Duration = Duration(10 * time.Second)
	s.Liars = LiarSettings{Members: 2, Behaviours: []string{"equivocate", "double-vote"}, BeyondBound: true}
	for seed := range uint64(60) {
		two := false
		for _, v := range run(t, s, seed).Violations {
			if v.Rule == "vote" {
				t.Errorf("seed %d: the lies have an honest member vote twice: %s", seed, v.Detail)
			}
			two = two || v.Rule == "certificate" && strings.Contains(v.Detail, "has certificates of")
		}
		if two {
			return
		}
	}
	t.Error("two liars of four never get two certificates of different roots for a size")
}

// TestWithinTheBound has as many members make the same attack as the protocol
// tolerates: they are found out, and nothing breaks.
func TestWithinTheBound(t *testing.T) {
	t.Parallel()
	accused := 0
	for seed := range uint64(20) {
		s := named(t, "calm", func(s *Scenario) {
			s.Duration = Duration(5 * time.Second)
			s.Liars = LiarSettings{Members: 1, Behaviours: []string{"equivocate", "double-vote"}}
		})
		r := run(t, s, seed)
		mustBeGood(t, r)
		if r.Stats.Accusations > 0 {
			accused++
		}
	}
	if accused < 10 {
		t.Errorf("evidence is found in %d of 20 runs", accused)
	}
}

// TestFaultsLast has faults last as long as they say, and end when all heals.
func TestFaultsLast(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"freeze", "stalled-disk", "stalled-link"} {
		// Asked once all is well, at 1 s, every member answers within 5 s: none
		// is stopped for the minute that the fault was to last.
		s := named(t, "calm", func(s *Scenario) {
			s.Duration, s.Faults = Duration(time.Second), []Fault{{Kind: kind, At: Duration(500 * time.Millisecond), For: Duration(time.Minute), Nodes: []int{1}}}
		})
		for seed := range uint64(4) {
			r := run(t, s, seed)
			mustBeGood(t, r)
			if r.ConvergedSeconds > 5 {
				t.Errorf("%s goes on for %.1f s after all has healed", kind, r.ConvergedSeconds)
			}
		}
	}
	s := named(t, "calm", func(s *Scenario) {
		s.Load.Anchors = 0
		s.Duration, s.Faults = Duration(20*time.Second), []Fault{{Kind: "freeze", At: Duration(time.Second), For: Duration(15 * time.Second), Nodes: []int{1}}}
	})
	// A quarter of the events is for node-1, which is there for a quarter of the
	// time, if its timeouts are what they are.
	if r := run(t, s, 1); r.Stats.TimedOut < r.Stats.Submitted/8 {
		t.Errorf("%d of %d time out at a member that is frozen for 15 of 20 s", r.Stats.TimedOut, r.Stats.Submitted)
	}
}

// TestLossyMembers has one member at least that loses messages.
func TestLossyMembers(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		if r := run(t, named(t, "one-percent-loss"), seed); r.Stats.Faults["loss"] == 0 {
			t.Errorf("seed %d: nothing is lost", seed)
		}
	}
}

// TestClockSet has a clock that is put right go on to drift.
func TestClockSet(t *testing.T) {
	c := clock{offset: 5 * protocol.Second, drift: 1e-3}
	c.set(epoch)
	if got := c.read(epoch); got != epoch {
		t.Errorf("%d is shown at %d", got, epoch)
	}
	if got := c.read(epoch+protocol.Second) - epoch; got != protocol.Second+protocol.Millisecond {
		t.Errorf("after a second, %d µs are shown", got)
	}
}

func TestContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, named(t, "storm"), 1, Options{}); err == nil {
		t.Error("a run goes on without its context")
	}
}

// TestAnHour runs an hour of virtual time. How long that takes is told, not
// demanded: machines differ.
func TestAnHour(t *testing.T) {
	if testing.Short() {
		return
	}
	t.Parallel()
	s := named(t, "calm", func(s *Scenario) {
		s.Nodes, s.Duration, s.Load.Rate = 7, Duration(time.Hour), 2
	})
	r := run(t, s, 1)
	mustBeGood(t, r)
	t.Logf("%.0f s of virtual time, %d events, in %.1f s", r.VirtualSeconds, r.Events, r.WallSeconds)
}
