package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/cmd/strata/internal/load"
	"github.com/strataos/strataos/cmd/strata/internal/term"
)

// benchResult is what strata bench tells.
type benchResult struct {
	*load.Result
	Nodes *nodesCPU `json:"nodes_cpu,omitempty"`
}

// nodesCPU is what the nodes of a local network used meanwhile.
type nodesCPU struct {
	Seconds        float64 `json:"seconds"`
	PercentOfCore  float64 `json:"percent_of_core"`
	MicrosPerEvent float64 `json:"us_per_event"`
}

func newBench() *cobra.Command {
	var (
		cfg     load.Config
		arrival string
		asJSON  bool
		out     string
		procs   int
	)
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how long attestations, anchors or decisions take at a rate",
		Long: `Sends attestations, anchors or proposals to nodes and measures how long they take.

With --rate the loop is open: events arrive at that rate whatever the nodes do,
and latency counts from when an event was meant to be sent, so that waiting in
line shows. Without, --clients each send one event after the other.`,
		Example: `  strata bench --rate 1000 --for 30s
  strata bench --propose --rate 200
  strata bench --propose --subject bench/one --clients 32
  strata bench --clients 64 --json
  strata bench --url http://127.0.0.1:8401 --token "$TOKEN" --rate 500`,
		Args: cobra.NoArgs,
	}
	to := addTarget(cmd)
	f := cmd.Flags()
	f.Float64Var(&cfg.Rate, "rate", 0, "events a second; 0 sends one after the other")
	f.StringVar(&arrival, "arrival", string(load.Constant), "with --rate: constant or poisson")
	f.IntVar(&cfg.Clients, "clients", 0, "connections (with --rate: at most, to each node)")
	f.DurationVar(&cfg.Duration, "for", 10*time.Second, "how long to measure")
	f.DurationVar(&cfg.Warmup, "warmup", 2*time.Second, "how long to send before measuring")
	f.IntVar(&cfg.EventBytes, "event-bytes", load.DefaultEventBytes, "size of an event")
	f.BoolVar(&cfg.Anchor, "anchor", false, "send anchors and wait until they are ordered, instead of attesting events")
	f.BoolVar(&cfg.Propose, "propose", false, "send proposals and wait until they are decided; the nodes must accept "+load.ProposedType+", as those of strata dev do")
	f.StringVar(&cfg.Subject, "subject", "", "with --propose: what all proposals are about, so that one of those that are open at once wins")
	f.DurationVar(&cfg.Timeout, "timeout", time.Second, "how long to wait for a quorum, a place or a decision, up to 5s")
	f.Uint64Var(&cfg.Seed, "seed", 0, "makes events reproducible; 0 draws one")
	f.IntVar(&cfg.Verify, "verify", 0, "check every Nth answer")
	f.IntVar(&procs, "procs", 1, "processors to use; few leave more to nodes on the same machine")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.StringVarP(&out, "out", "o", "", "file to write the JSON to")
	completeWords(cmd, "arrival", string(load.Constant), string(load.Poisson))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := to.resolve()
		if err != nil {
			return err
		}
		cfg.URLs, cfg.Token, cfg.Arrival = to.urls, to.token, load.Arrival(arrival)
		runtime.GOMAXPROCS(max(procs, 1))
		r, err := measure(cmd.Context(), cfg, d, term.NewPrinter(cmd.ErrOrStderr()))
		if r == nil {
			return err
		}
		if err := errors.Join(err, tellBench(cmd, r, asJSON, out)); err != nil {
			return err
		}
		if r.Sent > 0 && r.OK == 0 {
			return failedf("none of %d requests was answered well", r.Sent)
		}
		return nil
	}
	return cmd
}

// measure runs the load, and measures what the nodes of a local network use.
func measure(ctx context.Context, cfg load.Config, d *devInfo, p *term.Printer) (*benchResult, error) {
	var pids []int
	if d != nil {
		for _, n := range d.Nodes {
			pids = append(pids, n.PID)
		}
	}
	before, known := cpuSeconds(pids)
	start := time.Now()
	progress := term.NewProgress(p)
	result, err := load.Run(ctx, cfg, func(s load.Snapshot) {
		if p.Terminal() {
			progress.Update("%v of %v, %d answered", s.Elapsed.Round(time.Second), s.Total.Round(time.Second), s.OK)
		}
	})
	progress.Stop()
	if result == nil {
		return nil, err
	}
	r := &benchResult{Result: result}
	if after, ok := cpuSeconds(pids); ok && known && len(pids) > 0 {
		took := time.Since(start).Seconds()
		events := result.RateAchieved * took // those of the warm-up, too
		r.Nodes = &nodesCPU{Seconds: after - before, PercentOfCore: 100 * (after - before) / took, MicrosPerEvent: 1e6 * (after - before) / max(events, 1)}
	}
	if errors.Is(err, context.Canceled) {
		err = nil // interrupted: what there is, is told
	}
	return r, err
}

func tellBench(cmd *cobra.Command, r *benchResult, asJSON bool, out string) error {
	if out != "" {
		file, err := os.Create(out)
		if err != nil {
			return err
		}
		if err := errors.Join(printJSON(file, r), file.Close()); err != nil {
			return err
		}
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), r)
	}
	if err := r.Table(cmd.OutOrStdout()); err != nil {
		return err
	}
	if r.Nodes != nil {
		fmt.Fprintf(cmd.OutOrStdout(), "nodes' CPU  %.1f s, %.0f %% of a core, %.0f µs an event\n", r.Nodes.Seconds, r.Nodes.PercentOfCore, r.Nodes.MicrosPerEvent)
	}
	return nil
}
