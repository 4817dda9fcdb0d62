package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/cmd/strata/internal/term"
	"github.com/strataos/strataos/simulation"
)

func newSimSweep() *cobra.Command {
	var (
		choice  simChoice
		names   []string
		sweep   simulation.Sweep
		asJSON  bool
		workers int
	)
	cmd := &cobra.Command{
		Use:   "sweep",
		Short: "Run many seeds over scenarios, on all processors",
		Long: `Runs many seeds over scenarios, on all processors. For each seed that fails it
prints the smallest run found and the command that repeats it, and exits with 1.`,
		Example: "  strata sim sweep --seeds 2000\n  strata sim sweep --scenario byzantine,storm --nodes 7 --seeds 500 --first-seed 10000",
		Args:    cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringSliceVar(&names, "scenario", nil, "scenarios to take in turn (default: all that ship)")
	completeWords(cmd, "scenario", simulation.Names()...)
	f.IntVar(&sweep.Seeds, "seeds", 100, "how many")
	f.Uint64Var(&sweep.First, "first-seed", 0, "the first one")
	f.IntVar(&workers, "workers", 0, "how many to run at once (default: one a processor)")
	f.BoolVar(&sweep.FailFast, "fail-fast", false, "stop at the first seed that fails")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	choice.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if len(names) == 0 {
			names = simulation.Names()
		}
		for _, name := range names {
			s, err := choice.load(name)
			if err != nil {
				return err
			}
			sweep.Scenarios = append(sweep.Scenarios, s)
		}
		if workers < 0 {
			return fmt.Errorf("--workers is %d: want 1 or more", workers)
		}
		if sweep.Seeds < 1 {
			return fmt.Errorf("--seeds is %d: want 1 or more", sweep.Seeds)
		}
		sweep.Workers = workers
		return runSweep(cmd, &sweep, &choice, names, asJSON)
	}
	return cmd
}

func runSweep(cmd *cobra.Command, sweep *simulation.Sweep, c *simChoice, names []string, asJSON bool) error {
	p := term.NewPrinter(cmd.OutOrStdout())
	var progress *term.Progress
	if p.Terminal() && !asJSON {
		progress = term.NewProgress(p)
		sweep.Progress = func(done int, s *simulation.Summary) {
			progress.Update("%s %d of %d seeds, %d failed", bar(float64(done)/float64(sweep.Seeds)), done, sweep.Seeds, len(s.Failures))
		}
	}
	sum, err := sweep.Run(cmd.Context())
	if progress != nil {
		progress.Stop()
	}
	if err != nil && (sum == nil || !errors.Is(err, context.Canceled)) {
		return err
	}
	// A context that ends between two runs is no error of a run.
	interrupted := err != nil || cmd.Context().Err() != nil
	if asJSON {
		if err := printJSON(p, sum); err != nil {
			return err
		}
	} else {
		tellSweep(p, sweep, sum)
		for _, r := range sum.Failures {
			i := r.Seed % uint64(len(names))
			p.Printf("%s seed %d of %s: %s: %s\n", p.Red("✗"), r.Seed, r.Scenario, p.Bold(r.Violations[0].Rule), r.Violations[0].Detail)
			tellReplay(cmd.Context(), p, c, names[i], sweep.Scenarios[i], r)
		}
	}
	switch {
	case interrupted:
		return failedf("interrupted after %d of %d seeds", sum.Runs, sweep.Seeds)
	case len(sum.Failures) > 0:
		return &exitError{code: exitFailed}
	case !asJSON:
		p.Printf("%s nothing was violated\n", p.Green("✓"))
	}
	return nil
}

func tellSweep(p *term.Printer, sweep *simulation.Sweep, s *simulation.Summary) {
	p.Printf("%s seeds over %d scenarios, %s of virtual time in %.0f s (%.0f times faster), %s events\n",
		term.Number(int64(s.Runs)), len(sweep.Scenarios), term.Duration(time.Duration(s.VirtualSeconds*1e9)), s.WallSeconds,
		s.VirtualSeconds/max(s.WallSeconds, 1e-9), term.Number(int64(s.Events)))
	p.Printf("%s acknowledged, %s certificates\n", term.Number(int64(s.Acknowledged)), term.Number(int64(s.Certificates)))
	p.Printf("proposals: %s\n", counts(s.Decided))
	table := term.NewTable(term.Left, term.Right)
	for _, kind := range simulation.SortedKinds(s.Faults) {
		table.Row("  "+kind, term.Number(int64(s.Faults[kind])))
	}
	_, _ = table.WriteTo(p) // a printer that cannot be written to cannot be told so
	lasting, standing := simulation.Pairs(s.FaultPairs)
	mostLasting, mostStanding := simulation.PossiblePairs()
	p.Printf("pairs of faults at work at once: %d of the %d that there are; %d of %d with loss, duplicate, reorder, corrupt, drift or liars\n",
		lasting, mostLasting, standing, mostStanding)
}
