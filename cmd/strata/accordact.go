package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/cmd/strata/internal/term"
)

// actFlags are those of commands by which a node's member does something about a
// proposal.
type actFlags struct {
	*target
	node    string
	timeout time.Duration
	asJSON  bool
}

func addAct(cmd *cobra.Command) *actFlags {
	a := &actFlags{target: addTarget(cmd)}
	f := cmd.Flags()
	f.StringVar(&a.node, "node", "", "with a local network: whose node (default the first one)")
	f.DurationVar(&a.timeout, "timeout", time.Second, "how long to wait until it is in the ledger, up to 5s")
	f.BoolVar(&a.asJSON, "json", false, "print the answer as it came")
	return a
}

// act has a node do something about a proposal. It asks one node only: another one
// would do it for another member.
func (a *actFlags) act(cmd *cobra.Command, id, what string, fields map[string]any, said string) error {
	fields["timeout_ms"] = a.timeout.Milliseconds()
	body, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	answer, err := call(cmd.Context(), "POST", strings.TrimSuffix(a.urls[0], "/")+storyPath(id)+"/"+what, a.token, body, nil)
	if err != nil {
		return err
	}
	if a.asJSON {
		_, err = cmd.OutOrStdout().Write(answer)
		return err
	}
	c, err := parseCase(answer)
	if err != nil {
		return err
	}
	p := term.NewPrinter(cmd.OutOrStdout())
	p.Printf("%s at position %d; the proposal is %s\n", said, *c.Position, statusIn(p, c.Status))
	return nil
}

func newAccordVote() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "vote ID accept|reject",
		Short: "Vote on a proposal, for the member whose node it is",
		Long: `Votes on a proposal for the member whose node is asked, and waits until the vote
is in the ledger. The token needs the scope vote. A member votes once; what its
rules have voted stands.`,
		Example: `  strata accord vote 0x3c33… accept --reason 'within the budget'
  strata accord vote 0x3c33… reject --node node-2
  strata accord vote 0x3c33… accept --url https://node-2.example --token "$TOKEN"`,
		Args:      cobra.ExactArgs(2),
		ValidArgs: []string{"accept", "reject"},
	}
	a := addAct(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why; everybody can read it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if args[1] != "accept" && args[1] != "reject" {
			return fmt.Errorf("the vote is %q, want accept or reject", args[1])
		}
		if err := a.resolveNode(a.node); err != nil {
			return err
		}
		fields := map[string]any{"vote": args[1]}
		if reason != "" {
			fields["reason"] = reason
		}
		return a.act(cmd, args[0], "vote", fields, "voted "+args[1])
	}
	return cmd
}

func newAccordWithdraw() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "withdraw ID",
		Short: "Take a proposal back that is not decided yet",
		Long: `Takes back a proposal of the member whose node is asked. In a local network that
is the proposer's, if --node names no other.`,
		Args: cobra.ExactArgs(1),
	}
	a := addAct(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := a.resolveProposer(cmd.Context(), args[0]); err != nil {
			return err
		}
		return a.act(cmd, args[0], "withdraw", map[string]any{}, "withdrawn")
	}
	return cmd
}

// resolveProposer finds the node of a local network that has proposed something.
func (a *actFlags) resolveProposer(ctx context.Context, id string) error {
	if a.node != "" {
		return a.resolveNode(a.node)
	}
	d, err := a.resolve()
	if err != nil || d == nil {
		return err
	}
	text, err := a.ask(ctx, storyPath(id))
	if err != nil {
		return err
	}
	c, err := parseCase(text)
	if err != nil {
		return err
	}
	return a.narrow(d, c.Proposer)
}

func newAccordReport() *cobra.Command {
	var note string
	cmd := &cobra.Command{
		Use:     "report ID done|failed",
		Short:   "Say what came of an accepted proposal at this member's",
		Example: `  strata accord report 0x3c33… failed --note 'no space left'`,
		Args:    cobra.ExactArgs(2),
	}
	a := addAct(cmd)
	cmd.Flags().StringVar(&note, "note", "", "what there is to say; everybody can read it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if args[1] != "done" && args[1] != "failed" {
			return fmt.Errorf("the report is %q, want done or failed", args[1])
		}
		if err := a.resolveNode(a.node); err != nil {
			return err
		}
		fields := map[string]any{"status": args[1]}
		if note != "" {
			fields["note"] = note
		}
		return a.act(cmd, args[0], "report", fields, "reported "+args[1])
	}
	return cmd
}
