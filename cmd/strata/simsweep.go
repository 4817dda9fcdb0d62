package main

import (
	"context"
	"errors"
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
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
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
	if len(sum.Failures) > 0 || err != nil {
		return &exitError{code: exitFailed}
	}
	return nil
}

func tellSweep(p *term.Printer, sweep *simulation.Sweep, s *simulation.Summary) {
	p.Printf("%s seeds over %d scenarios, %s of virtual time in %.0f s (%.0f times faster), %s events\n",
		term.Number(int64(s.Runs)), len(sweep.Scenarios), term.Duration(time.Duration(s.VirtualSeconds*1e9)), s.WallSeconds,
		s.VirtualSeconds/max(s.WallSeconds, 1e-9), term.Number(int64(s.Events)))
	p.Printf("%s acknowledged, %s certificates\n", term.Number(int64(s.Acknowledged)), term.Number(int64(s.Certificates)))
	table := term.NewTable(term.Left, term.Right)
	for _, kind := range simulation.SortedKinds(s.Faults) {
		table.Row("  "+kind, term.Number(int64(s.Faults[kind])))
	}
	_, _ = table.WriteTo(p) // a printer that cannot be written to cannot be told so
	p.Printf("pairs of faults at work at once: %d of %d possible\n", len(s.FaultPairs), sweep.PossiblePairs())
	if len(s.Failures) == 0 {
		p.Printf("%s nothing was violated\n", p.Green("✓"))
	}
}
