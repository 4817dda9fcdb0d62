package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/cmd/strata/internal/term"
	"github.com/strataos/strataos/simulation"
)

func newSim() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Run networks on a virtual clock, with faults and liars",
		Long: `Runs whole networks, with the machines that real nodes run, on a virtual clock
with a network, disks, clocks and members that fail as a scenario says. A run is
a function of its scenario and its seed: what goes wrong once can be repeated.

To try your own topology before you trust it, write a scenario file; the ones
that ship are examples: strata sim list --show storm`,
	}
	cmd.AddCommand(newSimRun(), newSimSweep(), newSimScale(), newSimList())
	return cmd
}

// simChoice is a scenario and what is to be changed about it.
type simChoice struct {
	nodes, liars int
	length       time.Duration
	without      []string
	given        func(flag string) bool
}

func (c *simChoice) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	c.given = f.Changed
	f.IntVar(&c.nodes, "nodes", 0, "number of members (default: the scenario's)")
	f.IntVar(&c.liars, "byzantine", 0, "how many of them lie (default: the scenario's)")
	f.DurationVar(&c.length, "for", 0, "how long faults come, in virtual time (default: the scenario's)")
	f.StringSliceVar(&c.without, "without", nil, "leave out kinds of faults, or loss, duplicate, reorder, corrupt, drift, offset, liars")
}

func (c *simChoice) load(name string) (*simulation.Scenario, error) {
	s, err := simulation.Load(name)
	if err != nil {
		return nil, err
	}
	switch {
	case c.given("nodes") && c.nodes < 1:
		return nil, fmt.Errorf("--nodes is %d: want 1 or more", c.nodes)
	case c.given("byzantine") && c.liars < 0:
		return nil, fmt.Errorf("--byzantine is %d: want 0 or more", c.liars)
	case c.given("for") && c.length <= 0:
		return nil, fmt.Errorf("--for is %v: want a time, such as 30s", c.length)
	}
	if c.given("nodes") {
		s.Resize(c.nodes)
	}
	if c.given("byzantine") {
		s.Liars.Members = c.liars
	}
	if c.given("for") {
		s.Duration = simulation.Duration(c.length)
	}
	if s, err = s.Without(c.without...); err != nil {
		return nil, err
	}
	return s, s.Validate()
}

// again is the command line that repeats a run.
func (c *simChoice) again(s *simulation.Scenario, file string, seed uint64, length time.Duration, without []string) string {
	line := fmt.Sprintf("strata sim run --scenario %s --seed %d --nodes %d --byzantine %d --for %s", file, seed, s.Nodes, s.Liars.Members, length)
	if all := leftOut(c.without, without); len(all) > 0 {
		line += " --without " + strings.Join(all, ",")
	}
	return line
}

// leftOut lists what is left out, each once.
func leftOut(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

func newSimRun() *cobra.Command {
	var (
		choice        simChoice
		scenario      string
		seed          uint64
		trace, report string
		asJSON        bool
	)
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run one scenario with one seed",
		Long:  "Runs one scenario with one seed. It exits with 1 if something is violated.",
		Example: `  strata sim run --scenario byzantine --report report.html
  strata sim run --seed 7 --nodes 7 --byzantine 2 --scenario partition --for 1h
  strata sim run --scenario mine.toml --trace -`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&scenario, "scenario", "storm", "name of a scenario that ships, or a TOML file")
	completeWords(cmd, "scenario", simulation.Names()...)
	f.Uint64Var(&seed, "seed", 1, "decides all that is left to chance")
	f.StringVar(&trace, "trace", "", "file to write a readable log to; - is standard output")
	f.StringVar(&report, "report", "", "file to write a page with plots to")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	choice.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if report == "-" {
			return fmt.Errorf("--report - : want the name of a file, since the verdict is on standard output")
		}
		s, err := choice.load(scenario)
		if err != nil {
			return err
		}
		out := term.NewPrinter(cmd.OutOrStdout())
		r, err := runTraced(cmd, s, seed, trace, out, asJSON)
		if errors.Is(err, context.Canceled) {
			return failedf("interrupted")
		}
		if err != nil {
			return err
		}
		if report != "" {
			again := choice.again(s, scenario, seed, time.Duration(s.Duration), nil)
			if err := writeReport(report, s, r, again); err != nil {
				return err
			}
		}
		if asJSON {
			if err := printJSON(out, r); err != nil {
				return err
			}
		} else {
			tellRun(out, s, r, report)
		}
		if !r.Good() {
			if !asJSON {
				tellReplay(cmd.Context(), out, &choice, scenario, s, r)
			}
			return &exitError{code: exitFailed}
		}
		return nil
	}
	return cmd
}

// runTraced runs a scenario with a progress bar and, if asked for, a log.
func runTraced(cmd *cobra.Command, s *simulation.Scenario, seed uint64, trace string, out *term.Printer, quiet bool) (*simulation.Result, error) {
	var o simulation.Options
	var log *bufio.Writer
	if trace != "" {
		w := cmd.OutOrStdout()
		if trace != "-" {
			file, err := os.Create(trace)
			if err != nil {
				return nil, err
			}
			defer file.Close()
			w = file
		}
		log = bufio.NewWriter(w)
		o.Trace = log
	}
	var progress *term.Progress
	if out.Terminal() && !quiet && trace != "-" {
		progress = term.NewProgress(out)
		o.Progress = func(done float64) { progress.Update("%s %3.0f %%", bar(done), 100*done) }
	}
	r, err := simulation.Run(cmd.Context(), s, seed, o)
	if progress != nil {
		progress.Stop()
	}
	if log != nil && err == nil {
		err = log.Flush()
	}
	return r, err
}

// bar draws how much is done.
func bar(done float64) string {
	const width = 30
	n := min(max(int(done*width), 0), width)
	return strings.Repeat("█", n) + strings.Repeat("░", width-n)
}

func writeReport(name string, s *simulation.Scenario, r *simulation.Result, again string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(simulation.WriteReport(file, s, r, again), file.Close())
}

// counts writes how often there was what, in order.
func counts(of map[string]int) string {
	var kinds []string
	for _, kind := range simulation.SortedKinds(of) {
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, of[kind]))
	}
	if len(kinds) == 0 {
		return "none"
	}
	return strings.Join(kinds, ", ")
}

// tellRun prints the verdict on a run.
func tellRun(p *term.Printer, s *simulation.Scenario, r *simulation.Result, report string) {
	p.Printf("%s: %s\n", p.Bold(s.Name), s.Description)
	p.Printf("  %d nodes, %d lying, seed %d\n", r.Nodes, r.Liars, r.Seed)
	p.Printf("  %.1f s of virtual time in %.2f s, %s events, trace %.16s…\n", r.VirtualSeconds, r.WallSeconds, term.Number(int64(r.Events)), r.TraceHash)
	st := r.Stats
	p.Printf("  attested %s of %s; %d timed out, %d refused, %d interrupted; %d certificates\n",
		term.Number(int64(st.Acknowledged)), term.Number(int64(st.Submitted)), st.TimedOut, st.Refused, st.Interrupted, st.Certificates)
	p.Printf("  ordered %s anchors in a ledger of %s entries with %d checkpoints\n",
		term.Number(int64(st.Ordered)), term.Number(int64(st.Ledger)), st.Checkpoints)
	p.Printf("  %s proposals of clients; decided: %s\n", term.Number(int64(st.Proposed)), counts(st.Decided))
	tellLatency(p, "certified", st.Latency)
	tellLatency(p, "ordered", st.OrderLatency)
	p.Printf("  converged %.2f s after the last fault\n", r.ConvergedSeconds)
	if len(st.Faults) > 0 {
		p.Printf("  faults: %s\n", counts(st.Faults))
	}
	if report != "" {
		p.Printf("  report: %s\n", report)
	}
	if r.Good() {
		p.Printf("%s nothing was violated\n", p.Green("✓"))
		return
	}
	for _, v := range r.Violations {
		p.Printf("%s at %.6f s, %s: %s\n", p.Red("✗"), float64(v.At)/1e6, p.Bold(v.Rule), v.Detail)
	}
}

func tellLatency(p *term.Printer, what string, l simulation.Percentiles) {
	p.Printf("  %-9s in p50 %.2f, p95 %.2f, p99 %.2f ms\n", what, l.P50, l.P95, l.P99)
}

// tellReplay looks for a smaller run that fails in the same way, and prints the
// command that repeats it.
func tellReplay(ctx context.Context, p *term.Printer, c *simChoice, file string, s *simulation.Scenario, r *simulation.Result) {
	small, err := simulation.Shrink(ctx, s, r)
	if err != nil {
		p.Printf("  again: %s\n", c.again(s, file, r.Seed, time.Duration(s.Duration), nil))
		return
	}
	p.Printf("  shortest found: %s events\n  again: %s --trace -\n", term.Number(int64(small.Result.Events)),
		p.Cyan(c.again(s, file, r.Seed, small.For, small.Without)))
}

func newSimList() *cobra.Command {
	var show string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the scenarios that ship, or show one's file",
		Args:  cobra.NoArgs,
	}
	cmd.Flags().StringVar(&show, "show", "", "scenario to print the file of")
	completeWords(cmd, "show", simulation.Names()...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if show != "" {
			text, err := simulation.Source(show)
			if err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), text)
			return err
		}
		rows := [][]string{{"SCENARIO", "NODES", "WHAT IT IS"}}
		for _, name := range simulation.Names() {
			s, err := simulation.Named(name)
			if err != nil {
				return err
			}
			rows = append(rows, []string{name, fmt.Sprint(s.Nodes), s.Description})
		}
		return printTable(cmd.OutOrStdout(), rows)
	}
	return cmd
}
