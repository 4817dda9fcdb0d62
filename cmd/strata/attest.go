package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func newAttest() *cobra.Command {
	var (
		eventType, payload, metadata string
		attestors                    []string
		quorum                       int
		timeout                      time.Duration
		key, out                     string
	)
	cmd := &cobra.Command{
		Use:   "attest [EVENT.json]",
		Short: "Have an event witnessed, and print the answer with its proof",
		Long: `Has an event witnessed by a quorum of the network. The event is a file, or
standard input (-), or given by --type and --payload. The nodes are asked in
turn: the next one if it is certain that the event is not in the log of the one
before.`,
		Example: `  strata attest --type order.created --payload '{"amount":1000}' --out proof.json
  strata attest event.json --attestors node-1,node-2,node-3
  echo '{"type":"a.b","payload":{}}' | strata attest --url http://127.0.0.1:8401 --token "$TOKEN" -`,
		Args: cobra.MaximumNArgs(1),
	}
	to := addTarget(cmd)
	f := cmd.Flags()
	f.StringVar(&eventType, "type", "", "the event's type, a dotted name")
	f.StringVar(&payload, "payload", "{}", "the event's payload, a JSON object")
	f.StringVar(&metadata, "metadata", "", "the event's metadata, a JSON object")
	f.StringSliceVar(&attestors, "attestors", nil, "members whose cosignatures must be among them")
	f.IntVar(&quorum, "quorum", 0, "cosignatures to ask for (default and least: more than two thirds)")
	f.DurationVar(&timeout, "timeout", time.Second, "how long to wait for them, up to 5s")
	f.StringVar(&key, "idempotency-key", "", "repeating the command with the same key and event gives the same answer")
	f.StringVarP(&out, "out", "o", "", "file to write the answer to")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		event, err := eventOf(cmd, args, eventType, payload, metadata)
		if err != nil {
			return err
		}
		if _, err := to.resolve(); err != nil {
			return err
		}
		req := map[string]any{"event": event, "timeout_ms": timeout.Milliseconds()}
		if quorum > 0 {
			req["quorum_requirement"] = quorum
		}
		if len(attestors) > 0 {
			req["attestors"] = attestors
		}
		body, err := json.Marshal(req)
		if err != nil {
			return fmt.Errorf("the event is not JSON: %w", err)
		}
		headers := map[string]string{}
		if key != "" {
			headers["Idempotency-Key"] = key
		}
		answer, err := askAny(cmd.Context(), to, "/v1/witness/attest", body, headers)
		if err != nil {
			return err
		}
		if out != "" {
			return os.WriteFile(out, answer, 0o644)
		}
		_, err = cmd.OutOrStdout().Write(answer)
		return err
	}
	return cmd
}

// askAny asks the nodes in turn, for as long as it is certain that what is to be
// put on record is in none of their logs.
func askAny(ctx context.Context, to *target, path string, body []byte, headers map[string]string) (answer []byte, err error) {
	for _, url := range to.urls {
		answer, err = call(ctx, "POST", url+path, to.token, body, headers)
		if err == nil || !elsewhere(err) {
			break
		}
	}
	return answer, err
}

// elsewhere reports whether another node may do what one has not: the one was
// not reached, or cannot attest now and says that it has not.
func elsewhere(err error) bool {
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return true
	}
	var refused *apiError
	return errors.As(err, &refused) && refused.Status == http.StatusServiceUnavailable && refused.Details["definite"] == true
}

// eventOf puts an event, or an action, together from a file or from flags.
func eventOf(cmd *cobra.Command, args []string, eventType, payload, metadata string) (json.RawMessage, error) {
	switch {
	case len(args) == 1 && eventType != "":
		return nil, errors.New("give a file or --type, not both")
	case len(args) == 1:
		return readInput(args[0], cmd.InOrStdin())
	case eventType == "":
		return nil, errors.New("give a file, or --type and --payload")
	}
	event := map[string]any{"type": eventType, "payload": json.RawMessage(payload)}
	if metadata != "" {
		event["metadata"] = json.RawMessage(metadata)
	}
	text, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("--payload or --metadata is not JSON: %w", err)
	}
	return text, nil
}
