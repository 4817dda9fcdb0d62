package api

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/strataos/strataos/actors"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/jcs"
	"github.com/strataos/strataos/protocol/proof"
)

// anchorRequest is the body of POST /v1/chronos/anchor.
type anchorRequest struct {
	anchor  protocol.Anchor
	ttl     uint32 // seconds; 0 means forever
	timeout time.Duration
	ordered bool
	quorum  int // of the network
}

// anchor answers POST /v1/chronos/anchor.
func (s *Server) anchor(x *exchange) error {
	body, err := readBody(x, s.Committee().Params().MaxEventBytes+bodyMargin)
	if err != nil {
		return err
	}
	defer bodies.Put(body)
	req, err := s.parseAnchor(*body)
	if err != nil {
		return err
	}
	return s.record(x, *body, req)
}

func (req *anchorRequest) pending() pending {
	return pending{
		entry: protocol.Entry{Kind: req.anchor.Kind, Hash: req.anchor.Hash, TTL: req.ttl}, find: "GET /v1/chronos/anchors/" + req.anchor.Hash.String(),
		required: req.quorum, timeout: req.timeout,
	}
}

// submit puts the anchor on record, behind what its client has seen.
func (req *anchorRequest) submit(ctx context.Context, s *Server, x *exchange, at uint64) (reply, error) {
	after, err := s.comesAfter(ctx, x, req)
	if err != nil {
		return reply{}, err
	}
	out, err := s.putInOrder(ctx, actors.Submission{
		Kind: req.anchor.Kind, Body: req.anchor.Canonical, Hash: req.anchor.Hash, TTL: req.ttl,
		After: after, Ordered: req.ordered, At: at,
	})
	if err != nil {
		return reply{}, s.orderError(x, "the anchor", req.pending(), err)
	}
	p, err := s.prove(out)
	if err != nil {
		return reply{}, err
	}
	return reply{body: s.anchorAnswer(x, req, out, p)}, nil
}

// putInOrder submits something that may have its place in the ledger already.
func (s *Server) putInOrder(ctx context.Context, sub actors.Submission) (*actors.Outcome, error) {
	var position uint64
	placed := false
	if sub.At != 0 {
		// An earlier request with the same key may have been ordered long ago.
		var err error
		if position, placed, err = s.Ledger.Position(s.Self(), sub.At); err != nil {
			return nil, err
		}
	}
	sub.Ordered = sub.Ordered && !placed
	out, err := s.Submitter.Submit(ctx, sub)
	if err == nil && placed {
		out.Position, out.Ordered = position, true
	}
	return out, err
}

// parseAnchor reads the body of an anchor strictly. What is hashed are its data,
// anchor_type, metadata and after.
func (s *Server) parseAnchor(body []byte) (*anchorRequest, error) {
	req := &anchorRequest{timeout: defaultTimeout * time.Millisecond, ordered: true, quorum: s.Committee().Quorum()}
	if jcs.KindOf(body) != jcs.Object {
		return nil, invalid("body", "must be a JSON object")
	}
	hashed := append(make([]byte, 0, len(body)), '{')
	err := jcs.Members(body, func(key, value []byte) (err error) {
		switch string(key) {
		case "data", "anchor_type", "metadata", "after":
			if len(hashed) > 1 {
				hashed = append(hashed, ',')
			}
			hashed = append(append(append(hashed, '"'), key...), `":`...)
			hashed = append(hashed, value...)
		case "retention":
			req.ttl, err = parseRetention(value)
		case "timeout_ms":
			var n int
			n, err = wholeNumber("timeout_ms", value, 1, maxTimeout)
			req.timeout = time.Duration(n) * time.Millisecond
		case "wait":
			req.ordered, err = parseWait(value)
		default:
			err = invalid(printable(key), "is not a field of this request (data, anchor_type, retention, metadata, timeout_ms, wait, after)")
		}
		return err
	})
	if err != nil {
		return nil, fromParser(err)
	}
	req.anchor, err = protocol.ParseAnchor(append(hashed, '}'), s.Committee().Params().MaxEventBytes)
	if err != nil {
		return nil, fromParser(err)
	}
	return req, nil
}

func parseRetention(value []byte) (uint32, error) {
	if jcs.KindOf(value) == jcs.Number {
		n, err := wholeNumber("retention", value, 1, protocol.MaxTTL)
		return uint32(n), err
	}
	if text, err := jcs.Unquote(value); err != nil || text != "permanent" {
		return 0, invalid("retention", "must be \"permanent\" or a number of seconds from 1 to %d", int64(protocol.MaxTTL))
	}
	return 0, nil
}

func parseWait(value []byte) (ordered bool, err error) {
	switch text, err := jcs.Unquote(value); {
	case err == nil && text == "ordered":
		return true, nil
	case err == nil && text == "certified":
		return false, nil
	}
	return false, invalid("wait", "must be ordered or certified")
}

// comesAfter is what an anchor comes after: what its client has seen, and the
// anchors that it names, which this node waits for.
func (s *Server) comesAfter(ctx context.Context, x *exchange, req *anchorRequest) ([]protocol.Seen, error) {
	after, err := s.seenByClient(x)
	if err != nil {
		return nil, err
	}
	for i, hash := range req.anchor.After {
		part, err := s.locate(ctx, x, hash)
		if err != nil {
			return nil, err
		}
		if part == nil {
			return nil, errorf(codeBehind, "after[%d]: this node has not seen %s in time", i, hash).
				with("field", "after["+strconv.Itoa(i)+"]").with("hash", hash.String())
		}
		after = append(after, part...)
	}
	return after, nil
}

// lookEvery is how often a request looks for what it comes after, and
// maxLooking bounds the requests that do at once.
const (
	lookEvery  = 10 * time.Millisecond
	maxLooking = 64
)

// locate waits until this node holds a certificate of an entry, and returns the
// parts of logs that whoever comes after it has seen, or nil if the context ends
// before.
func (s *Server) locate(ctx context.Context, x *exchange, hash protocol.Hash) ([]protocol.Seen, error) {
	part, err := s.look(hash)
	if part != nil || err != nil {
		return part, err
	}
	select {
	case s.looking <- struct{}{}:
		defer func() { <-s.looking }()
	default:
		x.Header().Set("Retry-After", "1")
		return nil, errorf(codeOverloaded, "more requests wait for what they come after than this node takes; try again later")
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil, ctx.Err()
			}
			return nil, nil
		}
		if part, err := s.look(hash); part != nil || err != nil {
			return part, err
		}
	}
}

// look returns the part of a log that ends with a certified entry, or nil. A
// decision is in no member's log: who comes after it has seen what is ordered.
func (s *Server) look(hash protocol.Hash) ([]protocol.Seen, error) {
	found, ok, err := s.Lookup.First(hash)
	if err != nil || !ok || !found.Certified {
		return nil, err
	}
	if found.Log == protocol.Accord {
		return s.seenHere()
	}
	return []protocol.Seen{{Member: found.Log, Size: found.Index + 1}}, nil
}

// anchorAnswer writes the answer to an anchor.
func (s *Server) anchorAnswer(x *exchange, req *anchorRequest, out *actors.Outcome, p *proof.Proof) *[]byte {
	buf := bodies.Get().(*[]byte)
	b := append((*buf)[:0], `{"hash":"`...)
	b = out.Entry.Hash.Append(b)
	b = append(b, `","timestamp":`...)
	b = strconv.AppendInt(b, out.Entry.Time.Millis(), 10)
	if out.Ordered {
		b = append(b, `,"position":`...)
		b = strconv.AppendUint(b, out.Position, 10)
	}
	b = append(b, `,"anchor_type":"`...)
	b = append(b, req.anchor.Kind.AnchorType()...)
	b = append(b, `","retention":`...)
	if at, ok := out.Entry.Expires(); ok {
		b = strconv.AppendUint(b, uint64(req.ttl), 10)
		b = append(b, `,"expires_at":`...)
		b = strconv.AppendInt(b, at.Millis(), 10)
	} else {
		b = append(b, `"permanent"`...)
	}
	b = append(b, `,"causal_token":"`...)
	b = append(b, token(s.Self(), out.Batch)...)
	b = append(b, `","latency_ms":`...)
	b = strconv.AppendFloat(b, float64(s.Now().Sub(x.start).Microseconds())/1000, 'f', 3, 64)
	b = append(b, `,"proof":`...)
	b = p.AppendJSON(b)
	*buf = append(b, '}', '\n')
	return buf
}

// orderError says what became of something that was not answered in time.
func (s *Server) orderError(x *exchange, what string, p pending, err error) error {
	var unordered *actors.OrderError
	if errors.As(err, &unordered) {
		return errorf(codeOrderTimeout, "%s is certified and was not ordered within %d ms; it will be", what, p.timeout.Milliseconds()).
			with("hash", p.entry.Hash.String()).with("timeout_ms", p.timeout.Milliseconds()).
			with("causal_token", token(s.Self(), unordered.Outcome.Batch)).with("find", p.find)
	}
	return s.submitError(x, err, p)
}
