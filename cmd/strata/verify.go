package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/cmd/strata/internal/term"
	"github.com/strataos/strataos/protocol/jcs"
	"github.com/strataos/strataos/protocol/proof"
)

// maxInput bounds a file that the command reads, in bytes.
const maxInput = 4 << 20

func newVerify() *cobra.Command {
	var (
		policyFile, eventFile, export string
		strict, asJSON                bool
		epochFrom                     uint64
	)
	cmd := &cobra.Command{
		Use:   "verify PROOF.json",
		Short: "Check a proof offline",
		Long: `Checks a proof against a network's trust policy, without asking anybody. The
proof is an answer of the API as it came, or the "proof" or "ledger_proof" in it
alone; - reads standard input. A proof against the ledger shows the entry's
position, too. Where an answer has both, both are checked, and that they are
about the same entry.

Of the story of a proposal, which strata accord show --out writes, every proof is
checked, that the votes that the decision counts are in the ledger, and that they
lead to it.

The policy of a network names the committees of all of its epochs, and any of
them may vouch. A quorum of members that have left could still make false proofs
together; --epoch-from refuses the committees of earlier epochs.

It exits with 0 if the proof is good, 1 if it is not, and 2 if a file cannot be
used.`,
		Example: `  strata verify --policy policy proof.json
  strata verify --policy policy --event event.json --strict-time proof.json
  strata verify --policy policy --export out proof.json`,
		Args: cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&policyFile, "policy", "", "the network's policy file (required)")
	f.StringVar(&eventFile, "event", "", "file of the event, the anchor or other body, to check that the proof is about it")
	f.BoolVar(&strict, "strict-time", false, "refuse a proof whose author's time the witnesses do not vouch for")
	f.Uint64Var(&epochFrom, "epoch-from", 0, "refuse a proof that only the committees of earlier epochs vouch for")
	f.StringVar(&export, "export", "", "folder to write proof.tlog-proof and the leaf's bytes, entry, to, for other verifiers; those of the ledger begin with ledger-")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("policy")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		policyText, err := readInput(policyFile, nil)
		if err != nil {
			return err
		}
		policy, err := proof.ParsePolicy(policyText)
		if err != nil {
			return fmt.Errorf("%s: %w", policyFile, err)
		}
		text, err := readInput(args[0], cmd.InOrStdin())
		if err != nil {
			return err
		}
		if proof.IsStory(text) {
			if eventFile != "" {
				return errors.New("--event is not for the story of a proposal, which has the proposal in it")
			}
			return verifyStory(cmd.OutOrStdout(), policy, args[0], text, proof.Claims{StrictTime: strict, EpochFrom: epochFrom}, export, asJSON)
		}
		proofs, claims, err := proof.ParseProofs(text)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		claims.StrictTime, claims.EpochFrom = strict, epochFrom
		if eventFile != "" {
			if claims.Event, err = readInput(eventFile, nil); err != nil {
				return err
			}
		}
		reports, err := proof.VerifyAll(policy, proofs, claims)
		if err := tellVerdict(cmd.OutOrStdout(), reports, err, claims, asJSON); err != nil {
			return err
		}
		if export != "" {
			return exportProofs(export, policy, proofs)
		}
		return nil
	}
	return cmd
}

// readInput reads a file of bounded size; - is standard input, where there is one.
func readInput(name string, stdin io.Reader) ([]byte, error) {
	r := stdin
	if name != "-" || stdin == nil {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		r = file
	}
	text, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err == nil && len(text) > maxInput {
		err = fmt.Errorf("%s has more than %d bytes", name, maxInput)
	}
	return text, err
}

// tellVerdict says how a verification went, step by step.
func tellVerdict(w io.Writer, reports []*proof.Report, err error, claims proof.Claims, asJSON bool) error {
	var failedAt *proof.StepError
	if err != nil && !errors.As(err, &failedAt) {
		return err
	}
	if asJSON {
		out := map[string]any{"valid": err == nil}
		if err == nil {
			out["report"] = reports[0]
			if len(reports) > 1 {
				out["ledger_report"] = reports[1]
			}
		} else {
			out["step"], out["reason"] = failedAt.Step, failedAt.Reason
		}
		if e := printJSON(w, out); e != nil {
			return e
		}
	} else {
		tellSteps(term.NewPrinter(w), reports, failedAt, claims)
	}
	if failedAt != nil {
		return &exitError{code: exitFailed}
	}
	return nil
}

func tellSteps(p *term.Printer, reports []*proof.Report, failedAt *proof.StepError, claims proof.Claims) {
	if failedAt != nil {
		p.Printf("%s %s: %s\n", p.Red("✗"), failedAt.Step, failedAt.Reason)
		p.Println(p.Red("the proof is not valid"))
		return
	}
	first := reports[0]
	what := bodyWord(first.Kind)
	if claims.Event != nil {
		p.Printf("%s %-11s has the hash %s\n", p.Green("✓"), what, first.Hash)
	} else {
		p.Printf("%s %-11s %s\n", p.Dim("-"), what, p.Dim("was not given; the proof is about "+first.Hash.String()))
	}
	for _, r := range reports {
		tellReport(p, r)
	}
	if first.Kind == "propose" {
		p.Printf("%s %-11s %s\n", p.Dim("-"), "decision", p.Dim("is not what this proves; see strata accord show "+first.Hash.String()+" --out story.json"))
	}
	if len(reports) > 1 {
		p.Println(p.Green("the proofs are valid"))
		return
	}
	p.Println(p.Green("the proof is valid"))
}

// bodyWord is what an entry of a kind stands for.
func bodyWord(kind string) string {
	word, ok := map[string]string{
		"attest": "event", "propose": "proposal", "vote": "vote", "withdraw": "withdrawal", "report": "report", "decide": "decision",
	}[kind]
	if !ok {
		return "anchor"
	}
	return word
}

// tellReport says what one proof shows.
func tellReport(p *term.Printer, r *proof.Report) {
	ok := p.Green("✓")
	at := time.UnixMilli(r.Timestamp).UTC().Format("2006-01-02 15:04:05.000 MST")
	if r.Position != nil {
		p.Printf("%s entry       in %s at %s, leaf %d of the log of %s\n", ok, r.Origin, at, r.Index, r.Log)
		p.Printf("%s inclusion   position %d of %d\n", ok, *r.Position, r.Size)
	} else {
		p.Printf("%s entry       by %s at %s\n", ok, r.Origin, at)
		p.Printf("%s inclusion   leaf %d of %d\n", ok, r.Index, r.Size)
	}
	names := make([]string, len(r.Witnesses))
	for i, w := range r.Witnesses {
		names[i] = w.Name
	}
	p.Printf("%s checkpoint  cosigned by %s\n", ok, strings.Join(names, ", "))
	epoch := ""
	if r.Epoch > 0 {
		epoch = fmt.Sprintf(" of epoch %d", r.Epoch)
	}
	p.Printf("%s quorum      %s%s\n", ok, r.Quorum, epoch)
	witnessed := time.Unix(int64(r.WitnessedAt), 0).UTC().Format("2006-01-02 15:04:05 MST")
	if r.TimestampVouched {
		p.Printf("%s time        witnessed at %s\n", ok, witnessed)
	} else {
		p.Printf("%s time        witnessed at %s; only this time is vouched for, not the author's\n", p.Yellow("!"), witnessed)
	}
}

// exportProofs writes the proofs of an entry. Where there is one of its author's
// log too, that of the ledger gets names of its own.
func exportProofs(dir string, policy *proof.Policy, proofs []*proof.Proof) error {
	for _, p := range proofs {
		prefix := ""
		if p.Origin == policy.Ledger() {
			prefix = "ledger-"
		}
		if err := exportProof(dir, prefix, p); err != nil {
			return err
		}
	}
	return nil
}

// exportProof writes a proof in the form that other verifiers read.
func exportProof(dir, prefix string, p *proof.Proof) error {
	entry, err := jcs.Append(nil, p.Entry)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, prefix+"proof.tlog-proof"), []byte(p.TLogProof), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, prefix+"entry"), entry, 0o644)
}
