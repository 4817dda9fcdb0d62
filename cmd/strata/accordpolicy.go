package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/cmd/strata/internal/term"
	"github.com/strataos/strataos/node/config"
	"github.com/strataos/strataos/node/policy"
	"github.com/strataos/strataos/node/webhook"
	"github.com/strataos/strataos/protocol"
)

func newAccordPolicy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "See how a node votes by itself",
	}
	cmd.AddCommand(newAccordPolicyTest())
	return cmd
}

// testDeadline is how far the deadline of a proposal lies ahead that is only to be
// tested.
const testDeadline = time.Hour

// policyTest is a proposal that is only to be tested.
type policyTest struct {
	action, payload, proposer, subject string
	participants                       []string
	ask, asJSON                        bool
}

// policyAnswer is what a test of policies comes to.
type policyAnswer struct {
	Proposal json.RawMessage `json:"proposal"`
	// Participant says whether the node has a vote on it at all.
	Participant bool `json:"participant"`
	*policy.Explanation
}

func newAccordPolicyTest() *cobra.Command {
	var t policyTest
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Say how a node would vote on a proposal, and by which rule",
		Long: `Says how a node would vote on a proposal by the rules of its configuration, which
of them decides, and why those before it don't. Nothing is proposed, and no node
has to run. Where a webhook is to decide, it is told what that would be asked; with
--ask it is asked, by a question that says that it is a test.

It exits with 1 if a webhook was asked and did not vote, and with 2 if no node
could run with the rules.`,
		Example: `  strata accord policy test --config acme/config.toml --action config.set --payload '{"limit":10}'
  strata accord policy test --config acme/config.toml --action payment.send --payload @payment.json --proposer globex --ask
  strata accord policy test --config acme/config.toml --action membership.add`,
		Args: cobra.NoArgs,
	}
	settings := addSettings(cmd)
	f := cmd.Flags()
	f.StringVar(&t.action, "action", "", "type of the action, a dotted name (required)")
	f.StringVar(&t.payload, "payload", "", "the action's payload, a JSON object, or @FILE (default {}, or one that fits an action of the network)")
	f.StringVar(&t.proposer, "proposer", "", "member who proposes (default the node)")
	f.StringVar(&t.subject, "subject", "", "what it is about (default none, or what actions of the network are about)")
	f.StringSliceVar(&t.participants, "participants", nil, "members who vote (default all of the genesis)")
	f.BoolVar(&t.ask, "ask", false, "ask the webhook, if one is to decide")
	f.BoolVar(&t.asJSON, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("action")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, _, err := settings.load(cmd)
		if err != nil {
			return err
		}
		if err := cfg.Validate(); err != nil {
			return err
		}
		return t.run(cmd.Context(), cfg, cmd.InOrStdin(), cmd.OutOrStdout())
	}
	return cmd
}

func (t *policyTest) run(ctx context.Context, cfg *config.Config, stdin io.Reader, out io.Writer) error {
	text, err := os.ReadFile(cfg.Genesis)
	if err != nil {
		return fmt.Errorf("genesis: %w", err)
	}
	g, err := protocol.ParseGenesis(text)
	if err != nil {
		return fmt.Errorf("%s: %w", cfg.Genesis, err)
	}
	clock := webhook.SystemClock()
	p, err := t.proposal(cfg.Member, g, clock.Now(), stdin)
	if err != nil {
		return err
	}
	v, err := policy.New(policy.Config{Network: g.Network, Member: cfg.Member, Rules: cfg.Policies, Clock: clock})
	if err != nil {
		return err
	}
	defer v.Close()
	e, err := v.Explain(ctx, p, t.ask)
	if err != nil {
		return failed(err)
	}
	answer := policyAnswer{p.Canonical, slices.Contains(p.Participants, cfg.Member), e}
	if t.asJSON {
		err = printJSON(out, answer)
	} else {
		err = answer.print(out, p, cfg)
	}
	if err == nil && e.Verdict != nil && e.Verdict.Note != "" {
		err = failed(nil) // what it prints says so
	}
	return err
}

// proposal is the one to test, as a member of a network would get it.
func (t *policyTest) proposal(self string, g *protocol.Genesis, now time.Time, stdin io.Reader) (*protocol.Proposal, error) {
	payload, err := t.readPayload(g, stdin)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, 16)
	rand.Read(nonce)
	subject, proposer, participants := t.subject, t.proposer, t.participants
	if action := (protocol.Action{Type: t.action}); subject == "" && action.IsNetwork() {
		subject = protocol.NetworkSubject
	}
	if proposer == "" {
		proposer = self
	}
	if len(participants) == 0 {
		for i := range g.Members {
			participants = append(participants, g.Members[i].Name)
		}
	}
	fields := map[string]any{
		"action":   map[string]any{"type": t.action, "payload": payload},
		"proposer": proposer, "participants": slices.Sorted(slices.Values(participants)),
		"threshold": protocol.DefaultThreshold(len(participants)),
		"deadline":  now.Add(testDeadline).UnixMilli(), "nonce": hex.EncodeToString(nonce),
	}
	if subject != "" {
		fields["subject"] = subject
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("--payload is not JSON: %w", err)
	}
	p, err := protocol.ParseProposal(raw, g.Params.MaxEventBytes)
	return &p, err
}

func (t *policyTest) readPayload(g *protocol.Genesis, stdin io.Reader) (json.RawMessage, error) {
	if file, ok := strings.CutPrefix(t.payload, "@"); ok {
		return readInput(file, stdin)
	}
	if t.payload != "" {
		return json.RawMessage(t.payload), nil
	}
	var payload any = struct{}{}
	first := &g.Members[0]
	switch t.action {
	case protocol.ActionParamsSet:
		payload = g.Params
	case protocol.ActionMembershipAdd:
		payload = map[string]any{"member": first}
	case protocol.ActionMembershipRemove:
		payload = map[string]any{"name": first.Name}
	case protocol.ActionMembershipReplace:
		payload = map[string]any{"name": first.Name, "member": first}
	}
	return json.Marshal(payload)
}

// print says which rules were looked at, and what they come to.
func (a *policyAnswer) print(w io.Writer, p *protocol.Proposal, cfg *config.Config) error {
	out := term.NewPrinter(w)
	rows := [][]string{{"RULE", "SAYS", "MATCHES", "WHY"}}
	for _, r := range a.Rules {
		matches := "no"
		if r.Matches {
			matches = out.Green("yes")
		}
		rows = append(rows, []string{ruleName(r.Rule), cfg.Policies[r.Rule].String(), matches, r.Why})
	}
	if len(a.Rules) > 0 {
		if err := printTable(w, rows); err != nil {
			return err
		}
		out.Println()
	}
	if !a.Participant {
		out.Printf("%s is no participant: it does not vote on this. Were it one:\n", cfg.Member)
	}
	if q := a.Question; q != nil {
		a.printQuestion(out, q)
	}
	v := a.Verdict
	switch {
	case v == nil:
	case v.Rule == policy.NoRule:
		out.Printf("%s: no rule matches %s by %s, so a person votes\n", out.Bold(v.Vote.String()), p.Action.Type, p.Proposer)
	default:
		out.Printf("%s by %s\n", out.Bold(v.Vote.String()), ruleName(v.Rule))
		if v.Reason != "" {
			out.Printf("  reason  %s\n", v.Reason)
		}
		if v.Note != "" {
			out.Printf("  %s    %s\n", out.Yellow("note"), v.Note)
		}
	}
	return nil
}

func (a *policyAnswer) printQuestion(out *term.Printer, q *policy.Question) {
	did, hint := "was asked", ""
	if a.Verdict == nil {
		did, hint = "would be asked", "; --ask asks it"
	}
	out.Printf("%s %s by %s%s\n", out.Bold(q.URL), did, ruleName(a.Rule), hint)
	out.Printf("  tries   %d, of at most %s each, and within %s\n", q.Retries+1,
		time.Duration(q.TimeoutMS)*time.Millisecond, (time.Duration(q.WithinMS) * time.Millisecond).Round(time.Second))
	out.Printf("  silence %s\n  body    %s\n", q.Silence, q.Body)
}

// ruleName is the name of a rule in the configuration, as errors have it too.
func ruleName(i int) string { return fmt.Sprintf("accord.policies[%d]", i) }
