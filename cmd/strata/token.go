package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/cmd/strata/internal/term"
	"github.com/strataos/strataos/node/auth"
)

func newToken() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Create, list and revoke the tokens of a node's API",
		Long: `Tokens are kept as hashes in a node's token file, which the node reads again
when it changes. The commands find the file by the node's configuration, or by
--tokens.`,
	}
	cmd.AddCommand(newTokenCreate(), newTokenList(), newTokenRevoke())
	return cmd
}

func newTokenCreate() *cobra.Command {
	var (
		spec   auth.Spec
		tier   string
		scopes []string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:     "create",
		Short:   "Make a token and print it: it is not shown again",
		Example: "  strata token create --config node-1/config.toml --name checkout --tier production --live",
		Args:    cobra.NoArgs,
	}
	settings := addSettings(cmd)
	f := cmd.Flags()
	f.StringVar(&spec.Name, "name", "", "whose token it is (required)")
	f.StringVar(&tier, "tier", string(auth.Development), "development (100/s), production (10,000/s) or enterprise (--rate, --burst)")
	f.StringSliceVar(&scopes, "scope", nil, "read, write, vote, admin (default read,write)")
	f.BoolVar(&spec.Live, "live", false, "make a roxy_sk_live_ token; else roxy_sk_test_")
	f.Float64Var(&spec.Rate, "rate", 0, "enterprise: requests a second")
	f.IntVar(&spec.Burst, "burst", 0, "enterprise: requests at once")
	f.DurationVar(&spec.Lifetime, "lifetime", 0, "how long it is good for, such as 720h (default until revoked)")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("name")
	completeWords(cmd, "tier", string(auth.Development), string(auth.Production), string(auth.Enterprise))
	completeWords(cmd, "scope", string(auth.Read), string(auth.Write), string(auth.Vote), string(auth.Admin))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, _, err := settings.load(cmd)
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("lifetime") && spec.Lifetime <= 0 {
			return fmt.Errorf("--lifetime is %v: want more than 0, such as 720h, or leave it out", spec.Lifetime)
		}
		spec.Tier = auth.Tier(tier)
		for _, s := range scopes {
			spec.Scopes = append(spec.Scopes, auth.Scope(s))
		}
		token, rec, err := auth.Create(cfg.Tokens, spec)
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), map[string]any{"token": token, "id": rec.ID, "file": cfg.Tokens})
		}
		p := term.NewPrinter(cmd.OutOrStdout())
		p.Println(token)
		fmt.Fprintf(cmd.ErrOrStderr(), "token %s for %s is in %s; keep it, it is not shown again\n", rec.ID, rec.Name, cfg.Tokens)
		return nil
	}
	return cmd
}

func newTokenList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: "list", Short: "List the tokens, without what is secret of them", Args: cobra.NoArgs}
	settings := addSettings(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, _, err := settings.load(cmd)
		if err != nil {
			return err
		}
		records, err := auth.List(cfg.Tokens)
		if err != nil {
			return err
		}
		if asJSON {
			if records == nil {
				records = []auth.Record{}
			}
			return printJSON(cmd.OutOrStdout(), records)
		}
		rows := [][]string{{"ID", "NAME", "TIER", "RATE", "BURST", "SCOPES", "CREATED", "STATE"}}
		for _, r := range records {
			rows = append(rows, []string{
				r.ID, r.Name, string(r.Tier), fmt.Sprint(r.Rate), fmt.Sprint(r.Burst), joinScopes(r.Scopes),
				r.Created.Format(time.DateTime), tokenState(r, time.Now()),
			})
		}
		return printTable(cmd.OutOrStdout(), rows)
	}
	return cmd
}

func joinScopes(scopes []auth.Scope) string {
	var out []string
	for _, s := range scopes {
		out = append(out, string(s))
	}
	return strings.Join(out, ",")
}

func tokenState(r auth.Record, now time.Time) string {
	switch {
	case r.Revoked != nil:
		return "revoked " + r.Revoked.Format(time.DateTime)
	case r.Expires != nil && now.After(*r.Expires):
		return "expired " + r.Expires.Format(time.DateTime)
	case r.Expires != nil:
		return "until " + r.Expires.Format(time.DateTime)
	}
	return "in force"
}

func newTokenRevoke() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "revoke ID|NAME",
		Short:   "End a token, or all with a name, within a second or two",
		Example: "  strata token revoke --config node-1/config.toml checkout",
		Args:    cobra.ExactArgs(1),
	}
	settings := addSettings(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, _, err := settings.load(cmd)
		if err != nil {
			return err
		}
		ids, err := auth.Revoke(cfg.Tokens, args[0])
		if err != nil {
			return failed(err)
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), map[string]any{"revoked": ids, "file": cfg.Tokens})
		}
		for _, id := range ids {
			fmt.Fprintf(cmd.OutOrStdout(), "revoked %s\n", id)
		}
		return nil
	}
	return cmd
}

// opsToken is the command that makes a node's operator a token: one that votes.
func opsToken(config string) string {
	return "strata token create --config " + config + " --name ops --scope read,write,vote"
}
