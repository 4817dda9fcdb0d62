package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/cmd/strata/internal/term"
)

func newAccordWatch() *cobra.Command {
	var (
		asJSON bool
		last   uint64
	)
	cmd := &cobra.Command{
		Use:   "watch [ID]",
		Short: "Wait for a decision, or follow all proposals and decisions",
		Long: `With the id of a proposal, it waits until that is decided and shows its story.
Without, it shows proposals, votes and decisions as they come into the ledger,
until it is interrupted.`,
		Args: cobra.MaximumNArgs(1),
	}
	to := addTarget(cmd)
	cmd.Flags().Uint64VarP(&last, "lines", "n", 10, "without an id: how many places of the ledger to begin before its end")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if _, err := to.resolve(); err != nil {
			return err
		}
		if len(args) == 0 {
			return to.watchAll(cmd, last, asJSON)
		}
		text, err := to.ask(cmd.Context(), storyPath(args[0]))
		if err == nil {
			text, err = to.awaitDecision(cmd.Context(), text, time.Now().Add(math.MaxInt64))
		}
		if cmd.Context().Err() != nil {
			return nil // interrupted
		}
		if err != nil {
			return err
		}
		if asJSON {
			_, err = cmd.OutOrStdout().Write(text)
			return err
		}
		return tellStory(term.NewPrinter(cmd.OutOrStdout()), text)
	}
	return cmd
}

// watchAll shows what Accord puts into the ledger.
func (t *target) watchAll(cmd *cobra.Command, last uint64, asJSON bool) error {
	from, err := t.beforeEnd(cmd.Context(), last)
	if err != nil {
		return err
	}
	show := newEntryPrinter(cmd.OutOrStdout(), asJSON).print
	if !asJSON {
		p := term.NewPrinter(cmd.OutOrStdout())
		show = func(raw json.RawMessage) error { return printActs(p, raw) }
	}
	return t.follow(cmd.Context(), url.Values{"kind": {"accord"}, "from_position": {from}}, show)
}

// beforeEnd is the position so many places before the ledger's end.
func (t *target) beforeEnd(ctx context.Context, places uint64) (string, error) {
	p, err := t.page(ctx, url.Values{"limit": {"1"}})
	if err != nil {
		return "", err
	}
	return strconv.FormatUint(p.Ledger.Size-min(places, p.Ledger.Size), 10), nil
}

// printActs prints an entry of Accord in words.
func printActs(p *term.Printer, raw json.RawMessage) error {
	var x ledgerEntry
	if err := json.Unmarshal(raw, &x); err != nil {
		return failedf("the node's answer cannot be read: %v", err)
	}
	var body struct {
		caseView
		Proposal string `json:"proposal"`
		Vote     string `json:"vote"`
		Note     string `json:"note"`
	}
	if err := json.Unmarshal(x.Payload, &body); err != nil {
		return failedf("the node's answer cannot be read: %v", err)
	}
	id, words := body.Proposal, ""
	switch x.Kind {
	case "propose":
		id, words = x.Hash, fmt.Sprintf("proposes %s %s", p.Bold(body.Action.Type), shorten(string(body.Action.Payload), 60))
		if body.Subject != "" {
			words += fmt.Sprintf(" on %q", body.Subject)
		}
	case "vote":
		words = "votes " + voteIn(p, body.Vote)
		if body.Reason != "" {
			words += fmt.Sprintf(": %q", body.Reason)
		}
	case "withdraw":
		words = "withdraws it"
	case "report":
		words = "reports " + statusIn(p, body.Status)
		if body.Note != "" {
			words += fmt.Sprintf(": %q", body.Note)
		}
	case "decide":
		id, words = body.ID, statusIn(p, body.Status)
		if body.Subject != "" {
			words += fmt.Sprintf(", %q has version %d", body.Subject, *body.Version)
		}
		if body.Reason != "" {
			words += ": " + body.Reason
		}
	}
	p.Printf("%s  %s  %s  %-8s %s\n", p.Bold(fmt.Sprintf("%8d", x.Position)), clock(x.Timestamp), p.Dim(short(id)), x.Author, words)
	return nil
}
