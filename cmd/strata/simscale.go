package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/cmd/strata/internal/term"
	"github.com/strataos/strataos/simulation"
)

func newSimScale() *cobra.Command {
	var (
		names  []string
		sizes  []int
		seed   uint64
		plot   string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "scale",
		Short: "Run a scenario with more and more members",
		Long: `Runs scenarios with several numbers of members, and prints how long a certificate
and a place in the ledger take against their floor, the round trip to the
farthest member of the nearest quorum, and what each member sends for an event.`,
		Example: "  strata sim scale --scenario lan,wan-5-continents --plot scale.svg\n  strata sim scale --scenario mine.toml --nodes 4,10,40",
		Args:    cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringSliceVar(&names, "scenario", []string{"lan", "wan-5-continents"}, "scenarios, by name or file")
	completeWords(cmd, "scenario", simulation.Names()...)
	f.IntSliceVar(&sizes, "nodes", []int{4, 7, 16, 31, 64, 100}, "numbers of members")
	f.Uint64Var(&seed, "seed", 1, "decides all that is left to chance")
	f.StringVar(&plot, "plot", "", "file to write a plot to, as SVG")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		out := term.NewPrinter(cmd.OutOrStdout())
		points, err := scale(cmd, out, names, sizes, seed, asJSON)
		if err != nil {
			return err
		}
		if plot != "" {
			if err := writePlot(plot, points); err != nil {
				return err
			}
		}
		if asJSON {
			return printJSON(out, points)
		}
		rows := [][]string{{"SCENARIO", "NODES", "QUORUM", "FLOOR", "P50", "P99", "P50/FLOOR", "ORDERED P50", "P99", "P50/FLOOR", "MESSAGES", "BYTES"}}
		for _, p := range points {
			rows = append(rows, []string{
				p.Scenario, fmt.Sprint(p.Nodes), fmt.Sprint(p.Quorum), fmt.Sprintf("%.2f", p.FloorMs),
				fmt.Sprintf("%.2f", p.Latency.P50), fmt.Sprintf("%.2f", p.Latency.P99),
				fmt.Sprintf("%.2f", p.Latency.P50/max(p.FloorMs, 1e-9)),
				fmt.Sprintf("%.2f", p.OrderLatency.P50), fmt.Sprintf("%.2f", p.OrderLatency.P99),
				fmt.Sprintf("%.2f", p.OrderLatency.P50/max(p.FloorMs, 1e-9)), fmt.Sprintf("%.2f", p.Messages), term.Number(int64(p.Bytes)),
			})
		}
		if err := printTable(cmd.OutOrStdout(), rows); err != nil {
			return err
		}
		out.Printf("times in ms; messages and bytes that each node sends for an event\n")
		return nil
	}
	return cmd
}

func scale(cmd *cobra.Command, out *term.Printer, names []string, sizes []int, seed uint64, quiet bool) ([]simulation.ScalePoint, error) {
	var progress *term.Progress
	if out.Terminal() && !quiet {
		progress = term.NewProgress(out)
		defer progress.Stop()
	}
	var points []simulation.ScalePoint
	for _, name := range names {
		s, err := simulation.Load(name)
		if err != nil {
			return nil, err
		}
		more, err := simulation.Scale(cmd.Context(), s, sizes, seed, func(done int) {
			if progress != nil {
				progress.Update("%s: %d of %d sizes", name, done, len(sizes))
			}
		})
		if err != nil {
			return nil, err
		}
		points = append(points, more...)
	}
	return points, nil
}

func writePlot(name string, points []simulation.ScalePoint) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(simulation.WriteScalePlot(file, points), file.Close())
}
