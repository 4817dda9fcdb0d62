package simulation

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// Sweep is a range of seeds over scenarios.
type Sweep struct {
	// Scenarios are taken in turn: seed s runs the one at s modulo their number.
	Scenarios []*Scenario
	First     uint64
	Seeds     int
	// Workers is how many run at once; 0 means one a processor.
	Workers int
	// FailFast ends the sweep at the first run with a violation.
	FailFast bool
	// Progress is called after every run, one call at a time.
	Progress func(done int, summary *Summary)
}

// Summary is what a sweep has found.
type Summary struct {
	Runs           int            `json:"runs"`
	VirtualSeconds float64        `json:"virtual_seconds"`
	WallSeconds    float64        `json:"wall_seconds"`
	Events         uint64         `json:"events"`
	Acknowledged   int            `json:"acknowledged"`
	Certificates   int            `json:"certificates"`
	Decided        map[string]int `json:"decided"` // proposals, by what they came to
	ByScenario     map[string]int `json:"runs_by_scenario"`
	Faults         map[string]int `json:"faults"`
	FaultPairs     map[string]int `json:"fault_pairs"`
	// Failures are the runs with violations, in the order of their seeds.
	Failures []*Result `json:"failures"`
}

// maxFailures bounds the failures that a sweep keeps.
const maxFailures = 100

// Run runs the sweep. An error says that it could not be run to its end; the
// summary is of what was run.
func (s *Sweep) Run(ctx context.Context) (*Summary, error) {
	if len(s.Scenarios) == 0 || s.Seeds < 1 {
		return nil, fmt.Errorf("a sweep needs scenarios and seeds")
	}
	started := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := s.Workers
	if workers < 0 {
		return nil, fmt.Errorf("a sweep with %d workers", workers)
	}
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	seeds, results := make(chan uint64), make(chan *Result)
	var failed error
	var once sync.Once
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for seed := range seeds {
				r, err := Run(ctx, s.Scenarios[seed%uint64(len(s.Scenarios))], seed, Options{})
				if err != nil {
					once.Do(func() { failed = err; cancel() })
					return
				}
				results <- r
			}
		})
	}
	go func() {
		defer close(results)
		defer running.Wait()
		defer close(seeds)
		for i := range s.Seeds {
			select {
			case seeds <- s.First + uint64(i):
			case <-ctx.Done():
				return
			}
		}
	}()
	sum := &Summary{ByScenario: map[string]int{}, Decided: map[string]int{}, Faults: map[string]int{}, FaultPairs: map[string]int{}, Failures: []*Result{}}
	enough := false
	for r := range results {
		if enough {
			continue
		}
		sum.add(r)
		sum.WallSeconds = time.Since(started).Seconds()
		if s.Progress != nil {
			s.Progress(sum.Runs, sum)
		}
		if s.FailFast && !r.Good() {
			cancel() // what others have begun does not count
			enough = true
		}
	}
	if enough {
		return sum, nil
	}
	return sum, failed
}

func (s *Summary) add(r *Result) {
	s.Runs++
	s.VirtualSeconds += r.VirtualSeconds
	s.Events += r.Events
	s.Acknowledged += r.Stats.Acknowledged
	s.Certificates += r.Stats.Certificates
	s.ByScenario[r.Scenario]++
	for status, n := range r.Stats.Decided {
		s.Decided[status] += n
	}
	for kind, n := range r.Stats.Faults {
		s.Faults[kind] += n
	}
	for kinds, n := range r.Stats.FaultPairs {
		s.FaultPairs[kinds] += n
	}
	if !r.Good() && len(s.Failures) < maxFailures {
		i := len(s.Failures)
		for i > 0 && s.Failures[i-1].Seed > r.Seed {
			i--
		}
		s.Failures = append(s.Failures, nil)
		copy(s.Failures[i+1:], s.Failures[i:])
		s.Failures[i] = r
	}
}
