package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/cmd/strata/internal/term"
)

// caseView is a proposal and what has come of it, as the API tells it.
type caseView struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Proposer string `json:"proposer"`
	Action   struct {
		Type    string          `json:"type"`
		Payload json.RawMessage `json:"payload"`
	} `json:"action"`
	Subject          string     `json:"subject"`
	Participants     []string   `json:"participants"`
	Threshold        int        `json:"threshold"`
	Deadline         int64      `json:"deadline"`
	ExpectedVersion  *uint64    `json:"expected_version"`
	Timestamp        int64      `json:"timestamp"`
	Position         *uint64    `json:"position"`
	Version          *uint64    `json:"version"`
	Votes            []voteView `json:"votes"`
	DecidedAt        *int64     `json:"decided_at"`
	DecisionPosition *uint64    `json:"decision_position"`
	Reason           string     `json:"reason"`
	Winner           string     `json:"winner"`
	LatencyMS        float64    `json:"latency_ms"`
	// Of a whole story.
	LedgerStatus string       `json:"ledger_status"`
	Reports      []reportView `json:"reports"`
}

type voteView struct {
	Member   string `json:"member"`
	Vote     string `json:"vote"`
	Reason   string `json:"reason"`
	Mark     string `json:"mark"`
	Position uint64 `json:"position"`
}

type reportView struct {
	Member   string `json:"member"`
	Status   string `json:"status"`
	Note     string `json:"note"`
	Position uint64 `json:"position"`
}

func newAccord() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accord",
		Short: "Propose, vote, and see what is decided",
		Long: `Multi-party decisions: a member proposes, the participants vote, and all nodes
come to the same decision at the same place of the ledger.`,
	}
	cmd.AddCommand(
		newAccordPropose(), newAccordList(), newAccordShow(), newAccordSubject(),
		newAccordVote(), newAccordWithdraw(), newAccordReport(), newAccordWatch(), newAccordPolicy(),
	)
	return cmd
}

// maxAsked is how long one request may wait for a decision.
const maxAsked = 5 * time.Second

func newAccordPropose() *cobra.Command {
	var (
		actionType, payload, subject, key, out, node string
		participants                                 []string
		threshold                                    int
		expected                                     uint64
		deadline, wait                               time.Duration
		asJSON                                       bool
	)
	cmd := &cobra.Command{
		Use:   "propose [ACTION.json]",
		Short: "Propose something, and wait for the decision",
		Long: `Proposes an action to members and waits until it is decided. The action is a file,
or standard input (-), or given by --type and --payload.

It exits with 0 if the proposal is accepted, or, with --wait 0, is in the ledger;
with 1 if it came to something else, or to nothing in time.`,
		Example: `  strata accord propose --type config.set --payload '{"limit":5}' --subject config/limits
  strata accord propose --type deploy.run --payload '{"build":"1.2"}' --participants node-1,node-2 --threshold 2
  strata accord propose --type lease.take --subject lease/printer --expected-version 4 --deadline 2s`,
		Args: cobra.MaximumNArgs(1),
	}
	to := addTarget(cmd)
	f := cmd.Flags()
	f.StringVar(&actionType, "type", "", "the action's type, a dotted name")
	f.StringVar(&payload, "payload", "{}", "the action's payload, a JSON object")
	f.StringVar(&subject, "subject", "", "what it is about: one proposal on it is open at a time")
	f.StringSliceVar(&participants, "participants", nil, "members that vote (default all)")
	f.IntVar(&threshold, "threshold", 0, "how many of them must accept (default more than two thirds)")
	f.DurationVar(&deadline, "deadline", 30*time.Second, "how long it may be open, 100ms to 720h")
	f.Uint64Var(&expected, "expected-version", 0, "the version that the subject must have")
	f.DurationVar(&wait, "wait", maxAsked, "how long to wait for the decision; 0 waits for its place in the ledger only")
	f.StringVar(&key, "idempotency-key", "", "repeating the command with the same key asks for the same proposal")
	f.StringVar(&node, "node", "", "with a local network: through which node")
	f.BoolVar(&asJSON, "json", false, "print the answer as it came")
	f.StringVarP(&out, "out", "o", "", "file to write the answer to")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		action, err := eventOf(cmd, args, actionType, payload, "")
		if err != nil {
			return err
		}
		if err := to.resolveNode(node); err != nil {
			return err
		}
		req := map[string]any{"action": action, "deadline_ms": deadline.Milliseconds(), "timeout_ms": askedMS(wait), "wait": "decided"}
		if wait <= 0 {
			req["wait"], req["timeout_ms"] = "ordered", maxAsked.Milliseconds()
		}
		for name, value := range map[string]any{"subject": subject, "participants": participants, "threshold": threshold, "expected_version": expected} {
			if cmd.Flags().Changed(strings.ReplaceAll(name, "_", "-")) {
				req[name] = value
			}
		}
		body, err := json.Marshal(req)
		if err != nil {
			return fmt.Errorf("the action is not JSON: %w", err)
		}
		headers := map[string]string{}
		if key != "" {
			headers["Idempotency-Key"] = key
		}
		end := time.Now().Add(wait)
		answer, err := askAny(cmd.Context(), to, "/v1/accord/propose", body, headers)
		if err != nil {
			return err
		}
		if wait > 0 {
			if answer, err = to.awaitDecision(cmd.Context(), answer, end); err != nil {
				return err
			}
		}
		return tellProposed(cmd.OutOrStdout(), answer, wait > 0, asJSON, out)
	}
	return cmd
}

// askedMS is how many milliseconds one request waits of a longer time.
func askedMS(wait time.Duration) int64 {
	return min(max(wait, time.Millisecond), maxAsked).Milliseconds()
}

// awaitDecision asks for a proposal until it is decided or the time is over. An
// answer that has a decision is returned as it is.
func (t *target) awaitDecision(ctx context.Context, answer []byte, end time.Time) ([]byte, error) {
	for {
		c, err := parseCase(answer)
		left := time.Until(end)
		if err != nil || c.Status != "open" || left < time.Millisecond {
			return answer, err
		}
		if answer, err = t.ask(ctx, storyPath(c.ID)+fmt.Sprintf("?wait=decided&timeout_ms=%d", askedMS(left))); err != nil {
			return nil, err
		}
	}
}

func storyPath(id string) string { return "/v1/accord/proposals/" + url.PathEscape(id) }

func parseCase(text []byte) (*caseView, error) {
	var c caseView
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, failedf("the node's answer cannot be read: %v", err)
	}
	return &c, nil
}

// tellProposed says what has come of a proposal.
func tellProposed(w io.Writer, answer []byte, waited, asJSON bool, out string) error {
	c, err := parseCase(answer)
	if err != nil {
		return err
	}
	if out != "" {
		if err := os.WriteFile(out, answer, 0o644); err != nil {
			return err
		}
	}
	p := term.NewPrinter(w)
	switch {
	case asJSON:
		if _, err := w.Write(answer); err != nil {
			return err
		}
	default:
		p.Printf("%s  %s%s\n", statusIn(p, c.Status), c.ID, decidedWords(c))
		for _, v := range c.Votes {
			p.Printf("  %s\n", voteWords(p, v))
		}
	}
	switch {
	case c.Status == "accepted" || c.Status == "open" && !waited:
		return nil
	case c.Status == "open":
		return failedf("it is not decided yet; go on waiting with: strata accord watch %s", c.ID)
	}
	return &exitError{code: exitFailed}
}

// statusIn is a status in its colour.
func statusIn(p *term.Printer, status string) string {
	switch status {
	case "accepted", "done":
		return p.Green(status)
	case "open":
		return p.Yellow(status)
	}
	return p.Red(status)
}

// decidedWords says where and when something was decided.
func decidedWords(c *caseView) string {
	var b strings.Builder
	if c.Version != nil {
		fmt.Fprintf(&b, ", version %d", *c.Version)
	}
	if c.Position != nil {
		fmt.Fprintf(&b, ", at position %d", *c.Position)
	}
	if c.DecisionPosition != nil {
		fmt.Fprintf(&b, ", decided at %d", *c.DecisionPosition)
	}
	if c.LatencyMS > 0 {
		fmt.Fprintf(&b, ", after %.1f ms", c.LatencyMS)
	}
	if c.Reason != "" {
		fmt.Fprintf(&b, ": %s", c.Reason)
	}
	return b.String()
}

func voteWords(p *term.Printer, v voteView) string {
	words := fmt.Sprintf("%s %s at position %d", v.Member, voteIn(p, v.Vote), v.Position)
	if v.Reason != "" {
		words += fmt.Sprintf(": %q", v.Reason)
	}
	if v.Mark != "" && v.Mark != "counted" {
		words += p.Dim(fmt.Sprintf(" (%s: does not count)", v.Mark))
	}
	return words
}

func voteIn(p *term.Printer, vote string) string {
	if vote == "accept" {
		return p.Green(vote)
	}
	return p.Red(vote)
}

// resolveNode resolves a target, and narrows a local network down to one of its
// nodes, if one is named.
func (t *target) resolveNode(name string) error {
	d, err := t.resolve()
	if err != nil || name == "" {
		return err
	}
	if d == nil {
		return errors.New("--node is for local networks; --url names the node already")
	}
	return t.narrow(d, name)
}

// narrow leaves one node of a local network.
func (t *target) narrow(d *devInfo, name string) error {
	i := slices.IndexFunc(d.Nodes, func(n devNode) bool { return n.Name == name })
	if i < 0 {
		return fmt.Errorf("%q is no node of the local network in %s", name, t.dev)
	}
	t.urls = []string{d.Nodes[i].URL}
	return nil
}
