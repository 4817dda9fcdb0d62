// Command strata runs, sets up, uses and measures strataos networks.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/cmd/strata/internal/term"
)

// Exit codes.
const (
	exitFailed   = 1 // what was asked for did not come out well
	exitUnusable = 2 // the command line or a file cannot be used
)

// exitError is an error with an exit code of its own. One without a message
// has said all there is to say.
type exitError struct {
	code int
	err  error
}

// Error implements error.
func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

// Unwrap gives errors.Is the error behind the exit code.
func (e *exitError) Unwrap() error { return e.err }

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	code := exitUnusable
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
	}
	if msg := err.Error(); msg != "" {
		p := term.NewPrinter(stderr)
		fmt.Fprintf(p, "%s %s\n", p.Red("strata:"), msg)
	}
	return code
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "strata",
		Short: "A shared record that none of its keepers controls",
		Long: `strata runs, sets up, uses and measures strataos networks: permissioned
peer-to-peer networks that independent organisations run together to have a
shared record that none of them controls.

To see one at work, type: strata dev`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(
		newDev(), newChaos(), newInit(), newRun(), newConfig(), newToken(),
		newAttest(), newVerify(), newLedger(), newAccord(), newStatus(), newBench(), newSim(), newVersion(),
	)
	return root
}

// failed is an error of what was tried, not of how it was asked for.
func failed(err error) error { return &exitError{exitFailed, err} }

func failedf(format string, args ...any) error { return failed(fmt.Errorf(format, args...)) }
