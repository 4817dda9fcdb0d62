package simulation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// settings that Without can leave out beside kinds of faults.
var removable = map[string]func(*Scenario){
	"loss":      func(s *Scenario) { s.Network.Loss, s.Network.LossyEgress = 0, 0 },
	"duplicate": func(s *Scenario) { s.Network.Duplicate = 0 },
	"reorder":   func(s *Scenario) { s.Network.Reorder = 0 },
	"corrupt":   func(s *Scenario) { s.Network.Corrupt = 0 },
	"drift":     func(s *Scenario) { s.Clock.DriftPPM = 0 },
	"offset":    func(s *Scenario) { s.Clock.Offset = 0 },
	"liars":     func(s *Scenario) { s.Liars.Members = 0 },
}

// Without returns the scenario without some of what goes wrong in it: kinds of
// faults, or loss, duplicate, reorder, corrupt, drift, offset, liars.
func (s *Scenario) Without(names ...string) (*Scenario, error) {
	c := *s
	c.Faults = slices.Clone(s.Faults)
	for _, name := range names {
		_, fault := faultKinds[name]
		remove, setting := removable[name]
		switch {
		case setting:
			remove(&c)
		case fault:
			c.Faults = slices.DeleteFunc(c.Faults, func(f Fault) bool { return f.Kind == name })
		default:
			return nil, fmt.Errorf("without %q: it is none of %s, %s", name,
				strings.Join(sortedKeys(removable), ", "), strings.Join(sortedKeys(faultKinds), ", "))
		}
	}
	return &c, nil
}

// Shrunk is a run that breaks the same rule as another, and is smaller.
type Shrunk struct {
	// Without names what can be left out of the scenario, and For is how long
	// its first phase has to be.
	Without []string
	For     time.Duration
	Result  *Result
}

// Shrink looks for the smallest run that breaks the same rule with the same
// seed: one that ends soon after the violation, without the faults, chances
// and liars that it does not need.
func Shrink(ctx context.Context, s *Scenario, r *Result) (*Shrunk, error) {
	best := &Shrunk{For: time.Duration(s.Duration), Result: r}
	try := func(without []string, d time.Duration) error {
		c, err := s.Without(without...)
		if err != nil {
			return err
		}
		c.Duration = Duration(d)
		got, err := Run(ctx, c, r.Seed, Options{})
		if err == nil && !got.Good() && got.Violations[0].Rule == r.Violations[0].Rule {
			best = &Shrunk{without, d, got}
		}
		return err
	}
	shorten := func() error {
		at := time.Duration(best.Result.Violations[0].At)*time.Microsecond + time.Millisecond
		if at >= best.For {
			return nil
		}
		return try(best.Without, at)
	}
	if err := shorten(); err != nil {
		return nil, err
	}
	names := sortedKeys(removable)
	for _, f := range s.Faults {
		if !slices.Contains(names, f.Kind) {
			names = append(names, f.Kind)
		}
	}
	for _, name := range names {
		if err := try(append(slices.Clone(best.Without), name), best.For); err != nil {
			return nil, err
		}
	}
	return best, shorten()
}
