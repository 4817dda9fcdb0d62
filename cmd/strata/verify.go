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
	)
	cmd := &cobra.Command{
		Use:   "verify PROOF.json",
		Short: "Check a proof offline",
		Long: `Checks a proof against a network's trust policy, without asking anybody. The
proof is an answer to an attestation or a verification as it came, or its
"proof" alone; - reads standard input.

It exits with 0 if the proof is good, 1 if it is not, and 2 if a file cannot be
used.`,
		Example: `  strata verify --policy policy proof.json
  strata verify --policy policy --event event.json --strict-time proof.json
  strata verify --policy policy --export out proof.json`,
		Args: cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&policyFile, "policy", "", "the network's policy file (required)")
	f.StringVar(&eventFile, "event", "", "file of the event, to check that the proof is about it")
	f.BoolVar(&strict, "strict-time", false, "refuse a proof whose author's time the witnesses do not vouch for")
	f.StringVar(&export, "export", "", "folder to write proof.tlog-proof and the leaf's bytes, entry, to, for other verifiers")
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
		p, claims, err := proof.ParseAnswer(text)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		claims.StrictTime = strict
		if eventFile != "" {
			if claims.Event, err = readInput(eventFile, nil); err != nil {
				return err
			}
		}
		report, err := proof.Verify(policy, p, claims)
		if err := tellVerdict(cmd.OutOrStdout(), report, err, claims, asJSON); err != nil {
			return err
		}
		if export != "" {
			return exportProof(export, p)
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
func tellVerdict(w io.Writer, r *proof.Report, err error, claims proof.Claims, asJSON bool) error {
	var failedAt *proof.StepError
	if err != nil && !errors.As(err, &failedAt) {
		return err
	}
	if asJSON {
		out := map[string]any{"valid": err == nil}
		if err == nil {
			out["report"] = r
		} else {
			out["step"], out["reason"] = failedAt.Step, failedAt.Reason
		}
		if e := printJSON(w, out); e != nil {
			return e
		}
	} else {
		tellSteps(term.NewPrinter(w), r, failedAt, claims)
	}
	if failedAt != nil {
		return &exitError{code: exitFailed}
	}
	return nil
}

func tellSteps(p *term.Printer, r *proof.Report, failedAt *proof.StepError, claims proof.Claims) {
	if failedAt != nil {
		p.Printf("%s %s: %s\n", p.Red("✗"), failedAt.Step, failedAt.Reason)
		p.Println(p.Red("the proof is not valid"))
		return
	}
	ok := p.Green("✓")
	if claims.Event != nil {
		p.Printf("%s event       has the hash %s\n", ok, r.Hash)
	} else {
		p.Printf("%s event       %s\n", p.Dim("-"), p.Dim("was not given; the proof is about "+r.Hash.String()))
	}
	p.Printf("%s entry       by %s at %s\n", ok, r.Origin, time.UnixMilli(r.Timestamp).UTC().Format("2006-01-02 15:04:05.000 MST"))
	p.Printf("%s inclusion   leaf %d of %d\n", ok, r.Index, r.Size)
	names := make([]string, len(r.Witnesses))
	for i, w := range r.Witnesses {
		names[i] = w.Name
	}
	p.Printf("%s checkpoint  cosigned by %s\n", ok, strings.Join(names, ", "))
	p.Printf("%s quorum      %s\n", ok, r.Quorum)
	witnessed := time.Unix(int64(r.WitnessedAt), 0).UTC().Format("2006-01-02 15:04:05 MST")
	if r.TimestampVouched {
		p.Printf("%s time        witnessed at %s\n", ok, witnessed)
	} else {
		p.Printf("%s time        witnessed at %s; only this time is vouched for, not the author's\n", p.Yellow("!"), witnessed)
	}
	p.Println(p.Green("the proof is valid"))
}

// exportProof writes a proof in the form that other verifiers read.
func exportProof(dir string, p *proof.Proof) error {
	entry, err := jcs.Append(nil, p.Entry)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "proof.tlog-proof"), []byte(p.TLogProof), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "entry"), entry, 0o644)
}
