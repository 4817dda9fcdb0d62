package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/cmd/strata/internal/term"
)

func newAccordList() *cobra.Command {
	var (
		status, subject, action string
		limit                   int
		asJSON                  bool
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List proposals, the newest first",
		Example: `  strata accord list --status open
  strata accord list --subject config/limits --limit 5
  strata accord list --action 'membership.*' --json`,
		Args: cobra.NoArgs,
	}
	to := addTarget(cmd)
	f := cmd.Flags()
	f.StringVar(&status, "status", "", "open, accepted, rejected, expired, conflict or withdrawn")
	f.StringVar(&subject, "subject", "", "what they are about")
	f.StringVar(&action, "action", "", "pattern of the action's type, such as config.* or config.**")
	f.IntVar(&limit, "limit", 20, "at most so many")
	f.BoolVar(&asJSON, "json", false, "print a JSON object for each proposal")
	completeWords(cmd, "status", "open", "accepted", "rejected", "expired", "conflict", "withdrawn")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := to.resolve(); err != nil {
			return err
		}
		q := url.Values{}
		for name, value := range map[string]string{"status": status, "subject": subject, "action": action} {
			if value != "" {
				q.Set(name, value)
			}
		}
		rows := [][]string{{"POSITION", "STATUS", "TIME", "PROPOSER", "ACTION", "SUBJECT", "VOTES", "ID"}}
		err := to.eachProposal(cmd, q, limit, func(raw json.RawMessage) error {
			if asJSON {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", raw)
				return err
			}
			c, err := parseCase(raw)
			if err == nil {
				rows = append(rows, listRow(term.NewPrinter(cmd.OutOrStdout()), c))
			}
			return err
		})
		if err != nil || asJSON {
			return err
		}
		return printTable(cmd.OutOrStdout(), rows)
	}
	return cmd
}

// eachProposal calls fn with the proposals that a query finds, up to a limit, page
// by page.
func (t *target) eachProposal(cmd *cobra.Command, q url.Values, limit int, fn func(json.RawMessage) error) error {
	for left := limit; left > 0; {
		q.Set("limit", strconv.Itoa(min(left, maxPage)))
		text, err := t.ask(cmd.Context(), "/v1/accord/proposals?"+q.Encode())
		if err != nil {
			return err
		}
		var page struct {
			Proposals []json.RawMessage `json:"proposals"`
			Cursor    string            `json:"cursor"`
			More      bool              `json:"more"`
		}
		if err := json.Unmarshal(text, &page); err != nil {
			return failedf("the node's answer cannot be read: %v", err)
		}
		for _, raw := range page.Proposals {
			if err := fn(raw); err != nil {
				return err
			}
		}
		if left -= len(page.Proposals); !page.More {
			return nil
		}
		q.Set("cursor", page.Cursor)
	}
	return nil
}

func listRow(p *term.Printer, c *caseView) []string {
	subject := strconv.Quote(c.Subject)
	subject = subject[1 : len(subject)-1]
	if c.Version != nil {
		subject += fmt.Sprintf(" v%d", *c.Version)
	}
	return []string{
		strconv.FormatUint(*c.Position, 10), statusIn(p, c.Status), clock(c.Timestamp), c.Proposer, c.Action.Type, subject,
		fmt.Sprintf("%d/%d of %d", accepts(c), c.Threshold, len(c.Participants)), c.ID,
	}
}

func accepts(c *caseView) int {
	n := 0
	for _, v := range c.Votes {
		if v.Vote == "accept" && (v.Mark == "" || v.Mark == "counted") {
			n++
		}
	}
	return n
}

// clock is a time in Unix milliseconds in words.
func clock(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05.000") }

func newAccordShow() *cobra.Command {
	var (
		asJSON bool
		out    string
	)
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a proposal, how members voted, and the decision",
		Long: `Shows the whole story of a proposal. With --out, it is written as it came, with all
of its proofs; strata verify checks it offline.`,
		Example: `  strata accord show 0x3c33… --out story.json
  strata verify --policy policy story.json`,
		Args: cobra.ExactArgs(1),
	}
	to := addTarget(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVarP(&out, "out", "o", "", "file to write the JSON to")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if _, err := to.resolve(); err != nil {
			return err
		}
		text, err := to.ask(cmd.Context(), storyPath(args[0]))
		switch {
		case err != nil:
			return err
		case out != "":
			return os.WriteFile(out, text, 0o644)
		case asJSON:
			_, err = cmd.OutOrStdout().Write(text)
			return err
		}
		return tellStory(term.NewPrinter(cmd.OutOrStdout()), text)
	}
	return cmd
}

// tellStory tells the story of a proposal in words.
func tellStory(p *term.Printer, text []byte) error {
	c, err := parseCase(text)
	if err != nil {
		return err
	}
	p.Printf("%s  %s\n", p.Bold(c.ID), statusIn(p, c.Status))
	p.Printf("%-9s %s %s\n", "action", c.Action.Type, shorten(string(c.Action.Payload), 200))
	if c.Subject != "" {
		p.Printf("%-9s %q\n", "subject", c.Subject)
	}
	if c.ExpectedVersion != nil {
		p.Printf("%-9s %d of the subject\n", "expects", *c.ExpectedVersion)
	}
	where := "no place in the ledger yet"
	if c.Position != nil {
		where = fmt.Sprintf("position %d", *c.Position)
	}
	p.Printf("%-9s by %s, %s, %s\n", "proposed", c.Proposer, clock(c.Timestamp), where)
	p.Printf("%-9s %d of %s must accept, until %s\n", "asks", c.Threshold, strings.Join(c.Participants, ", "), clock(c.Deadline))
	for _, v := range c.Votes {
		p.Printf("%-9s %s\n", "vote", voteWords(p, v))
	}
	if c.DecisionPosition != nil {
		words := fmt.Sprintf("%s, %s, position %d", statusIn(p, c.Status), clock(*c.DecidedAt), *c.DecisionPosition)
		if c.Version != nil {
			words += fmt.Sprintf(", version %d", *c.Version)
		}
		if c.Reason != "" {
			words += ": " + c.Reason
		}
		if c.Winner != "" {
			words += ", " + c.Winner
		}
		p.Printf("%-9s %s\n", "decision", words)
	}
	for _, r := range c.Reports {
		words := fmt.Sprintf("%s %s, position %d", r.Member, statusIn(p, r.Status), r.Position)
		if r.Note != "" {
			words += fmt.Sprintf(": %q", r.Note)
		}
		p.Printf("%-9s %s\n", "report", words)
	}
	return nil
}

// shorten cuts a text to a number of bytes, about.
func shorten(s string, limit int) string {
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit-3], "") + "…"
	}
	return s
}

func newAccordSubject() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "subject NAME",
		Short:   "Show a subject's version and value",
		Example: "  strata accord subject config/limits",
		Args:    cobra.ExactArgs(1),
	}
	to := addTarget(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if _, err := to.resolve(); err != nil {
			return err
		}
		text, err := to.ask(cmd.Context(), "/v1/accord/subjects/"+url.PathEscape(args[0]))
		if err != nil {
			return err
		}
		_, err = cmd.OutOrStdout().Write(text)
		return err
	}
	return cmd
}
