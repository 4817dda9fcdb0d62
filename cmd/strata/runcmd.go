package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/node"
	"github.com/strataos/strataos/node/config"
)

// gcPercent lets the heap of a node, which is small, grow more before it is
// collected: collections cost more than the memory is worth.
const gcPercent = 400

func newRun() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run a node until it is interrupted",
		Long: `Runs a node with the configuration of a file, STRATA_* environment variables
and flags, the later ones being the stronger. SIGINT and SIGTERM stop it: it
answers the requests under way, makes durable what it has, and ends.`,
		Example: "  strata run --config node-1/config.toml",
		Args:    cobra.NoArgs,
	}
	settings := addSettings(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, _, err := settings.load(cmd)
		if err != nil {
			return err
		}
		debug.SetGCPercent(gcPercent)
		n, err := startNode(cmd.Context(), cfg, newLogger(cfg, cmd.ErrOrStderr()))
		if err != nil {
			return failed(err)
		}
		return waitNode(cmd.Context(), n)
	}
	return cmd
}

func startNode(ctx context.Context, cfg *config.Config, logger *slog.Logger) (*node.Node, error) {
	n, err := node.New(cfg, logger)
	if err != nil {
		return nil, err
	}
	if err := n.Start(ctx); err != nil {
		_ = n.Close() // the first error is the one that matters
		return nil, err
	}
	return n, nil
}

// waitNode closes a node when it fails or the context ends.
func waitNode(ctx context.Context, n *node.Node) error {
	var cause error
	select {
	case <-ctx.Done():
	case cause = <-n.Failed():
	}
	err := n.Close()
	if cause != nil {
		err = cause
	}
	if err != nil {
		return failed(err)
	}
	return nil
}

func newLogger(cfg *config.Config, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.LogLevel)) // checked when it was read
	o := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

func newConfig() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the configuration in force, and where each value comes from",
		Long: `Prints the configuration in force, and where each value comes from. It exits
with 2 if no node can run with it.`,
		Example: "  strata config --config node-1/config.toml\n  STRATA_LOG_LEVEL=debug strata config --json",
		Args:    cobra.NoArgs,
	}
	settings := addSettings(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, values, err := settings.load(cmd)
		if err != nil {
			return err
		}
		if asJSON {
			return errors.Join(printJSON(cmd.OutOrStdout(), values), cfg.Validate())
		}
		rows := [][]string{{"SETTING", "VALUE", "FROM"}}
		for _, v := range values {
			rows = append(rows, []string{v.Key, v.Value, string(v.Source)})
		}
		return errors.Join(printTable(cmd.OutOrStdout(), rows), cfg.Validate())
	}
	return cmd
}
