package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/strataos/strataos/cmd/strata/internal/term"
	"github.com/strataos/strataos/protocol/proof"
)

// verifyStory checks the story of a proposal, and says how that went.
func verifyStory(w io.Writer, policy *proof.Policy, file string, text []byte, demands proof.Claims, export string, asJSON bool) error {
	story, err := proof.ParseStory(text)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	r, err := proof.VerifyStory(policy, story, demands)
	var failedAt *proof.StepError
	if err != nil && !errors.As(err, &failedAt) {
		return err
	}
	switch {
	case asJSON && failedAt != nil:
		err = printJSON(w, map[string]any{"valid": false, "step": failedAt.Step, "reason": failedAt.Reason})
	case asJSON:
		err = printJSON(w, map[string]any{"valid": true, "story": r})
	case failedAt != nil:
		tellSteps(term.NewPrinter(w), nil, failedAt, proof.Claims{})
		err = nil
	default:
		tellVerified(term.NewPrinter(w), r)
	}
	if err != nil {
		return err
	}
	if failedAt != nil {
		return &exitError{code: exitFailed}
	}
	if p := story.Decision(); export != "" && p != nil {
		return exportProof(export, "decision-", p)
	}
	return nil
}

// tellVerified says what a good story shows.
func tellVerified(p *term.Printer, r *proof.StoryReport) {
	ok := p.Green("✓")
	p.Printf("%s %-11s %s by %s is %s\n", ok, "proposal", r.Action, r.Proposer, r.ID)
	tellReport(p, r.Proposal)
	for _, v := range r.Votes {
		p.Printf("%s %-11s %s %s, in the ledger at position %d\n", ok, "vote", v.Member, voteIn(p, v.Vote), v.Position)
	}
	if r.Unproved > 0 {
		p.Printf("%s %-11s no checkpoint covers %d of the votes and reports yet\n", p.Yellow("!"), "ledger", r.Unproved)
	}
	if r.Decision == nil {
		p.Printf("%s %-11s there is none yet\n", p.Dim("-"), "decision")
		p.Println(p.Green("the story is valid"))
		return
	}
	words := statusIn(p, r.Status)
	if r.Subject != "" {
		words += fmt.Sprintf(", %q has version %d", r.Subject, r.Version)
	}
	p.Printf("%s %-11s %s\n", ok, "decision", words)
	tellReport(p, r.Decision)
	p.Println(p.Green("the story is valid, and the votes lead to the decision"))
}
