package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/cmd/strata/internal/term"
	"github.com/strataos/strataos/node/audit"
	"github.com/strataos/strataos/node/config"
	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/node/store/pebbleds"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
)

func newLedgerVerify() *cobra.Command {
	var (
		asJSON bool
		mirror mirrorFlags
	)
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check the whole ledger",
		Long: `Checks every hash, the order and the cosignatures of the ledger.

With --config, it reads the data folder of a node that is stopped: every batch
of every log, its author's signature and its certificate, and it orders the logs
anew and compares the ledger with that. Which committees there have been it works
out from the genesis and the ledger's decisions.

With --url and --policy, it reads the ledger over the tiles that every node
serves (https://c2sp.org/tlog-tiles), without a token: every entry, the tree,
and the quorum's cosignatures. The policy must know the present committee: get the
newer one from a node, /v1/network/policy, when the network has changed.

It exits with 1 if something is not as it must be.`,
		Example: `  strata ledger verify --config .strata/node-1/config.toml
  strata ledger verify --url http://127.0.0.1:8401 --policy .strata/policy`,
		Args: cobra.NoArgs,
	}
	settings := addSettings(cmd)
	mirror.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		progress := newShare(term.NewPrinter(cmd.ErrOrStderr()))
		var report any
		var err error
		if mirror.url != "" {
			report, err = mirror.verify(cmd.Context(), progress)
		} else {
			cfg, _, e := settings.load(cmd)
			if e != nil {
				progress.Stop()
				return e
			}
			report, err = auditFolder(cmd.Context(), cfg, progress)
		}
		progress.Stop()
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), report)
		}
		_, err = fmt.Fprintln(term.NewPrinter(cmd.OutOrStdout()), report)
		return err
	}
	return cmd
}

// share shows on a terminal how much of something is done.
type share struct {
	*term.Progress
	terminal bool
	percent  uint64
}

func newShare(p *term.Printer) *share {
	return &share{term.NewProgress(p), p.Terminal(), 101}
}

func (s *share) show(done, all uint64) {
	if now := 100 * done / max(all, 1); s.terminal && now != s.percent {
		s.percent = now
		s.Update("%s %d %% of %d", bar(float64(now)/100), now, all)
	}
}

// auditReport is what was found to be true of a folder, in words.
type auditReport struct{ *audit.Report }

// String says it.
func (r auditReport) String() string {
	return fmt.Sprintf("✓ %d batches with %d entries in the logs (%d bodies erased, %d batches without a certificate yet)\n"+
		"✓ %d entries in the ledger, as the order of the logs puts them, up to round %d\n"+
		"✓ its decisions lead to the committee of epoch %d, as it is stored\n"+
		"✓ a quorum has cosigned %d of them\nthe root is %s",
		r.Batches, r.Entries, r.Erased, r.Uncertified, r.Ledger, r.Rounds, r.Epoch, r.Checkpoint, r.Root)
}

// auditFolder audits a node's data folder.
func auditFolder(ctx context.Context, cfg *config.Config, progress *share) (_ any, err error) {
	text, err := os.ReadFile(cfg.Genesis)
	if err != nil {
		return nil, fmt.Errorf("genesis: %w; --config names the node's configuration", err)
	}
	g, err := protocol.ParseGenesis(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Genesis, err)
	}
	committee, err := quorum.NewCommittee(g)
	if err != nil {
		return nil, err
	}
	id, err := g.ID()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cfg.Data, "store")
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("there is no data folder of a node: %w", err)
	}
	db, err := pebbleds.Open(dir, pebbleds.Options{})
	if err != nil {
		return nil, fmt.Errorf("%w; stop the node first", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s, err := store.Open(db, committee, id, cfg.Member)
	if err != nil {
		return nil, err
	}
	report, err := audit.Check(ctx, s, committee, progress.show)
	var problem *audit.Problem
	if errors.As(err, &problem) {
		return nil, failed(err)
	}
	if err != nil {
		return nil, err
	}
	return auditReport{report}, nil
}
