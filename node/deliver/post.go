package deliver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/strataos/strataos/node/webhook"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/jcs"
)

// notice is what a handler is told of a decision. The decision's position in the
// ledger tells notices apart, and which is the later one.
type notice struct {
	DecidedAt int64 `json:"decided_at"` // Unix milliseconds, of the ledger
	// Decision is the body of the decision's entry, whose SHA-256 is that entry's
	// hash.
	Decision json.RawMessage `json:"decision"`
	Delivery string          `json:"delivery"`
	Handler  string          `json:"handler"`
	ID       protocol.Hash   `json:"id"` // the proposal's
	Member   string          `json:"member"`
	Network  string          `json:"network"`
	Position uint64          `json:"position"`
	// Proposal is in canonical form: its SHA-256 is the id.
	Proposal json.RawMessage `json:"proposal"`
	Type     string          `json:"type"`
}

// noticeType tells a notice from other posts.
const noticeType = "accord.decision"

// notice returns what a handler is told of a decision, with its delivery's id.
func (d *Deliverer) notice(r *runner, c *accord.Case) (string, []byte, error) {
	id := webhook.DeliveryID(noticeType, d.cfg.Network, d.cfg.Member, r.handler.Name, strconv.FormatUint(c.DecidedAt, 10))
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // else the bytes were not those of the hashes
	err := enc.Encode(notice{
		DecidedAt: c.DecidedOn.Millis(), Decision: c.Decision.Append(nil), Delivery: id, Handler: r.handler.Name,
		ID: c.Proposal.ID, Member: d.cfg.Member, Network: d.cfg.Network, Position: c.DecidedAt,
		Proposal: c.Proposal.Canonical, Type: noticeType,
	})
	return id, bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// deliver tells a handler of a decision until it has taken it, and reports what it
// answers. It answers false if the context ends before.
func (d *Deliverer) deliver(ctx context.Context, r *runner, c *accord.Case) bool {
	var a *webhook.Answer
	if !d.insist(ctx, r, fmt.Sprintf("the decision at %d cannot be delivered", c.DecidedAt), func() error {
		id, body, err := d.notice(r, c)
		if err == nil {
			a, err = d.client.Post(ctx, &r.hook, id, body)
		}
		return err
	}) {
		return false
	}
	r.change(func(s *Status) { s.Delivered++ })
	logger := d.cfg.Logger.With("handler", r.handler.Name, "position", c.DecidedAt, "proposal", c.Proposal.ID)
	report, ok, err := readAnswer(a, c.Proposal.ID)
	switch {
	case err != nil:
		logger.Warn("a decision was delivered, and the handler's report cannot be read", "error", err)
		return true
	case !ok:
		logger.Info("a decision was delivered")
		return true
	case !slices.Contains(c.Proposal.Participants, d.cfg.Member):
		logger.Info("a decision was delivered; only participants report", "report", report.Status())
		return true
	}
	logger.Info("a decision was delivered", "report", report.Status())
	return d.insist(ctx, r, "its report cannot be put on record", func() error { return d.cfg.Report(ctx, report) })
}

// readAnswer reads {"report":"done|failed","note":"…"}, and answers whether there
// is a report: any other text is an answer without one. The note may be missing,
// and is cut if it is too long for the ledger. What else the object has does not
// count.
func readAnswer(a *webhook.Answer, id protocol.Hash) (protocol.Report, bool, error) {
	if a.Cut || jcs.KindOf(a.Body) != jcs.Object {
		return protocol.Report{}, false, nil
	}
	report, reported := protocol.Report{Proposal: id}, false
	// A key that is there twice, which could be read either way, is an error.
	err := jcs.Members(a.Body, func(key, value []byte) error {
		switch string(key) {
		case "report":
			word, err := jcs.Unquote(value)
			if err != nil || word != "done" && word != "failed" {
				return fmt.Errorf("the report is %.40s, want done or failed", value)
			}
			report.Failed, reported = word == "failed", true
		case "note":
			note, err := jcs.Unquote(value)
			if err != nil {
				return errors.New("the note is not a text")
			}
			report.Note = webhook.Text(note, protocol.MaxNoteBytes)
		}
		return nil
	})
	if err != nil || !reported {
		return protocol.Report{}, false, err
	}
	return report, true, nil
}
