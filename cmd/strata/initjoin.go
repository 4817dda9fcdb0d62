package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/cmd/strata/internal/term"
	"github.com/strataos/strataos/node/setup"
	"github.com/strataos/strataos/protocol"
)

// joinOptions say which network a node is to join.
type joinOptions struct {
	from, id, token string
}

// run makes the files of a node that is to join a network.
func (o *joinOptions) run(cmd *cobra.Command, out string, n setup.Node, asJSON bool) error {
	g, err := o.genesis(cmd.Context())
	if err != nil {
		return err
	}
	id, err := g.ID()
	if err != nil {
		return err
	}
	if want, err := protocol.ParseHash(o.id); o.id != "" && (err != nil || want != id) {
		return failedf("%s founds the network %s, not %s", o.from, id, o.id)
	}
	m, err := setup.Join(out, g, n)
	if err != nil {
		return err
	}
	proposal := filepath.Join(out, setup.MemberFile)
	if asJSON {
		return printJSON(cmd.OutOrStdout(), map[string]any{
			"network": g.Network, "id": id, "member": m, "proposal": proposal,
			"config": filepath.Join(out, n.Name, setup.ConfigFile),
		})
	}
	p := term.NewPrinter(cmd.OutOrStdout())
	p.Printf("%s %s, which is to join %s\n", p.Green("made"), p.Bold(n.Name), p.Bold(g.Network))
	p.Printf("  network id  %s\n  peer id     %s\n  vkey        %s\n", id, m.PeerID, m.VKey)
	if o.id == "" {
		p.Printf("\n%s is this the network that you mean? Ask one of its members for its id.\n", p.Yellow("check"))
	}
	config := filepath.Join(out, n.Name, setup.ConfigFile)
	p.Printf("\nOn the node:\n  %s\n  %s\n",
		p.Cyan(opsToken(config)), p.Cyan("strata run --config "+config))
	p.Printf("\nAt a member, with %s:\n  %s\n", proposal,
		p.Cyan("strata accord propose --subject network "+setup.MemberFile))
	return nil
}

// genesis reads the genesis from a file, or asks a node for it.
func (o *joinOptions) genesis(ctx context.Context) (*protocol.Genesis, error) {
	var text []byte
	var err error
	if strings.Contains(o.from, "://") {
		token := o.token
		if token == "" {
			token = os.Getenv("STRATA_TOKEN")
		}
		text, err = call(ctx, "GET", strings.TrimSuffix(o.from, "/")+"/v1/network/genesis", token, nil, nil)
	} else {
		text, err = os.ReadFile(o.from)
	}
	if err != nil {
		return nil, err
	}
	g, err := protocol.ParseGenesis(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.from, err)
	}
	return g, nil
}
