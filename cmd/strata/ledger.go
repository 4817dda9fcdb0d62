package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/cmd/strata/internal/term"
)

// ledgerEntry is an entry of the ledger as the API tells it.
type ledgerEntry struct {
	Position   uint64          `json:"position"`
	Hash       string          `json:"hash"`
	Kind       string          `json:"kind"`
	AnchorType string          `json:"anchor_type"`
	Type       string          `json:"type"`
	Key        string          `json:"key"`
	Author     string          `json:"author"`
	Index      uint64          `json:"index"`
	Timestamp  int64           `json:"timestamp"`
	Erased     bool            `json:"erased"`
	Payload    json.RawMessage `json:"payload"`
}

// ledgerPage is an answer to a query.
type ledgerPage struct {
	Entries []json.RawMessage `json:"entries"`
	Cursor  string            `json:"cursor"`
	More    bool              `json:"more"`
	Ledger  struct {
		Size uint64 `json:"size"`
	} `json:"ledger"`
}

func newLedger() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "Read, follow and check the ledger",
		Long: `Reads the ledger: everything that the network has witnessed, in the one order
that all of its members come to.`,
	}
	cmd.AddCommand(newLedgerTail(), newLedgerQuery(), newLedgerGet(), newLedgerExport(), newLedgerVerify())
	return cmd
}

// ask asks the first node that answers.
func (t *target) ask(ctx context.Context, path string) ([]byte, error) {
	var last error
	for _, u := range t.urls {
		text, err := call(ctx, "GET", u+path, t.token, nil, nil)
		if err == nil {
			return text, nil
		}
		last = err
		if _, refused := err.(*apiError); refused {
			break // another node would say the same
		}
	}
	return nil, failed(last)
}

func (t *target) page(ctx context.Context, q url.Values) (*ledgerPage, error) {
	text, err := t.ask(ctx, "/v1/chronos/query?"+q.Encode())
	if err != nil {
		return nil, err
	}
	var p ledgerPage
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, failedf("the node's answer cannot be read: %v", err)
	}
	return &p, nil
}

// queryFlags are the flags that choose entries: the parameters of the API.
var queryFlags = []struct{ name, usage string }{
	{"from", "from this time on: Unix milliseconds or RFC 3339"},
	{"to", "up to this time, without it"},
	{"from-position", "from this place on"},
	{"to-position", "up to this place, without it"},
	{"type", "type of an event; order.* means all that begin so"},
	{"anchor-type", "event, state or proof"},
	{"kind", "attest, anchor, or anchor.event and so on; accord, propose, vote, withdraw, report or decide"},
	{"hash", "hash of the event or anchor"},
	{"key", "key of a state"},
	{"author", "member that put it on record; decisions are of accord"},
	{"before", "what is in the causal past of the entry with this hash"},
	{"after", "what has the entry with this hash in its causal past"},
	{"concurrent", "what is neither before nor after the entry with this hash"},
	{"order", "ledger or time"},
	{"direction", "asc or desc"},
}

func addQuery(cmd *cobra.Command) map[string]*string {
	given := map[string]*string{}
	for _, f := range queryFlags {
		given[f.name] = cmd.Flags().String(f.name, "", f.usage)
	}
	completeWords(cmd, "order", "ledger", "time")
	completeWords(cmd, "direction", "asc", "desc")
	completeWords(cmd, "anchor-type", "event", "state", "proof")
	return given
}

func queryOf(given map[string]*string) url.Values {
	q := url.Values{}
	for name, value := range given {
		if *value != "" {
			param := []byte(name)
			for i := range param {
				if param[i] == '-' {
					param[i] = '_'
				}
			}
			q.Set(string(param), *value)
		}
	}
	return q
}

func newLedgerQuery() *cobra.Command {
	var (
		asJSON bool
		limit  int
		latest bool
	)
	cmd := &cobra.Command{
		Use:   "query",
		Short: "Show entries of the ledger",
		Example: `  strata ledger query --kind anchor --direction desc --limit 10
  strata ledger query --key config/limits --latest --json
  strata ledger query --after 0x3c33… --author node-2`,
		Args: cobra.NoArgs,
	}
	to := addTarget(cmd)
	given := addQuery(cmd)
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many entries")
	cmd.Flags().BoolVar(&latest, "latest", false, "of each state the newest only")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each entry")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := to.resolve(); err != nil {
			return err
		}
		q := queryOf(given)
		if latest {
			q.Set("latest", "true")
		}
		show := newEntryPrinter(cmd.OutOrStdout(), asJSON)
		return to.each(cmd.Context(), q, limit, show.print)
	}
	return cmd
}

// maxPage is how many entries one request asks for.
const maxPage = 1000

// each calls fn with the entries that a query finds, up to a limit, page by page.
func (t *target) each(ctx context.Context, q url.Values, limit int, fn func(json.RawMessage) error) error {
	for left := limit; left > 0; {
		q.Set("limit", strconv.Itoa(min(left, maxPage)))
		p, err := t.page(ctx, q)
		if err != nil {
			return err
		}
		for _, e := range p.Entries {
			if err := fn(e); err != nil {
				return err
			}
		}
		if left -= len(p.Entries); !p.More || p.Cursor == "" {
			return nil
		}
		q.Set("cursor", p.Cursor)
	}
	return nil
}

// entryPrinter prints entries, a line each.
type entryPrinter struct {
	p      *term.Printer
	asJSON bool
}

func newEntryPrinter(w io.Writer, asJSON bool) *entryPrinter {
	return &entryPrinter{term.NewPrinter(w), asJSON}
}

func (e *entryPrinter) print(raw json.RawMessage) error {
	if e.asJSON {
		_, err := fmt.Fprintf(e.p, "%s\n", raw)
		return err
	}
	var x ledgerEntry
	if err := json.Unmarshal(raw, &x); err != nil {
		return failedf("the node's answer cannot be read: %v", err)
	}
	what := x.Type
	switch {
	case x.Key != "":
		what = "state " + x.Key
	case x.AnchorType != "":
		what = "anchor " + x.AnchorType
	case what == "" && x.Kind != "attest":
		what = x.Kind
	}
	rest := string(x.Payload)
	if x.Erased {
		rest = "(erased)"
	}
	rest = shorten(rest, 96)
	_, err := fmt.Fprintf(e.p, "%s  %s  %-8s %s  %s  %s\n",
		e.p.Bold(fmt.Sprintf("%8d", x.Position)),
		time.UnixMilli(x.Timestamp).UTC().Format("2006-01-02 15:04:05.000"),
		x.Author, e.p.Dim(short(x.Hash)), e.p.Green(what), rest)
	return err
}

// short is the beginning of a hash.
func short(hash string) string { return hash[:min(len(hash), 12)] }

func newLedgerTail() *cobra.Command {
	var (
		asJSON bool
		last   uint64
	)
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Follow the ledger as it grows",
		Long:  "Shows the newest entries of the ledger and then what comes, until it is interrupted.",
		Args:  cobra.NoArgs,
	}
	to := addTarget(cmd)
	given := addQuery(cmd)
	cmd.Flags().Uint64VarP(&last, "lines", "n", 10, "how many places to begin before the end")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each entry")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := to.resolve(); err != nil {
			return err
		}
		q := queryOf(given)
		if q.Get("from_position") == "" {
			from, err := to.beforeEnd(cmd.Context(), last)
			if err != nil {
				return err
			}
			q.Set("from_position", from)
		}
		return to.follow(cmd.Context(), q, newEntryPrinter(cmd.OutOrStdout(), asJSON).print)
	}
	return cmd
}

// followEvery is how often tail looks for what is new.
const followEvery = 250 * time.Millisecond

// follow shows what a query finds now and later. It goes on from the cursor that
// it was given, and so misses nothing.
func (t *target) follow(ctx context.Context, q url.Values, show func(json.RawMessage) error) error {
	q.Set("limit", strconv.Itoa(maxPage))
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		p, err := t.page(ctx, q)
		if ctx.Err() != nil {
			return nil // interrupted
		}
		if err != nil {
			return err
		}
		for _, e := range p.Entries {
			if err := show(e); err != nil {
				return err
			}
		}
		if p.Cursor != "" {
			q.Set("cursor", p.Cursor)
		}
		if p.More {
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func newLedgerGet() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "get HASH",
		Short: "Show an entry with its proofs",
		Long: `Prints what the network has of a hash as JSON, with the proof of its author's
log and, once a quorum has cosigned the ledger so far, that of the ledger;
strata verify checks them.`,
		Args: cobra.ExactArgs(1),
	}
	to := addTarget(cmd)
	cmd.Flags().StringVarP(&out, "out", "o", "", "file to write to, instead of standard output")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if _, err := to.resolve(); err != nil {
			return err
		}
		text, err := to.ask(cmd.Context(), "/v1/chronos/anchors/"+url.PathEscape(args[0]))
		if err != nil {
			return err
		}
		if out != "" {
			return os.WriteFile(out, text, 0o644)
		}
		_, err = cmd.OutOrStdout().Write(text)
		return err
	}
	return cmd
}

func newLedgerExport() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the ledger as JSON lines",
		Long: `Writes every entry that the flags choose, without any the whole ledger, as a
JSON object a line.`,
		Args: cobra.NoArgs,
	}
	to := addTarget(cmd)
	given := addQuery(cmd)
	cmd.Flags().StringVarP(&out, "out", "o", "", "file to write to, instead of standard output")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if _, err := to.resolve(); err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		if out != "" {
			file, err := os.Create(out)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, file.Close()) }()
			w = file
		}
		buf := bufio.NewWriter(w)
		show := newEntryPrinter(buf, true)
		return errors.Join(to.each(cmd.Context(), queryOf(given), math.MaxInt, show.print), buf.Flush())
	}
	return cmd
}
