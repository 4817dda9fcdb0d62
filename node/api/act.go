package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strataos/strataos/actors"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/jcs"
)

// actRequest is something that this node's member does about a proposal: it votes,
// takes it back, or reports on it.
type actRequest struct {
	kind    protocol.Kind
	id      protocol.Hash // the proposal's
	text    []byte        // of the entry's body, in canonical form
	timeout time.Duration
	quorum  int // of the network
	// may says why it would mean nothing.
	may func(c *candidate) error
	// came says why it has meant nothing, at its place in the ledger.
	came func(c *accord.Case, position uint64) error
	says any // what the answer begins with
}

// actAnswer is what all answers of what is done about a proposal have. What it has
// come to with that is in Status.
type actAnswer struct {
	Hash      protocol.Hash `json:"hash"` // of the entry's body
	Position  uint64        `json:"position"`
	Timestamp int64         `json:"timestamp"`
	Status    string        `json:"status"`
	// Version is the subject's, and DecidedAt and DecisionPosition are of the
	// decision, if there is one.
	Version          *uint64 `json:"version,omitempty"`
	DecidedAt        *int64  `json:"decided_at,omitempty"`
	DecisionPosition *uint64 `json:"decision_position,omitempty"`
	LatencyMS        float64 `json:"latency_ms"`
	CausalToken      string  `json:"causal_token"`
}

// maxActBody bounds the body of such a request.
const maxActBody = 64 << 10

// act has a request about a proposal read and carried out.
func (s *Server) act(x *exchange, kind protocol.Kind, read func(id protocol.Hash, fields map[string][]byte) (*actRequest, error), known ...string) error {
	id, err := proposalID(x)
	if err != nil {
		return err
	}
	body, err := readBody(x, maxActBody)
	if err != nil {
		return err
	}
	defer bodies.Put(body)
	timeout := defaultTimeout
	fields, err := readFields(*body, append(known, "timeout_ms"))
	if err != nil {
		return err
	}
	if value, ok := fields["timeout_ms"]; ok {
		if timeout, err = wholeNumber("timeout_ms", value, 1, maxTimeout); err != nil {
			return err
		}
	}
	req, err := read(id, fields)
	if err != nil {
		return fromParser(err)
	}
	req.kind, req.id, req.quorum, req.timeout = kind, id, s.Committee().Quorum(), time.Duration(timeout)*time.Millisecond
	return s.record(x, *body, req)
}

// readFields reads an object of known fields. No text at all is an empty one.
func readFields(body []byte, known []string) (map[string][]byte, error) {
	fields := map[string][]byte{}
	if len(body) == 0 {
		return fields, nil
	}
	if jcs.KindOf(body) != jcs.Object {
		return nil, invalid("body", "must be a JSON object")
	}
	err := jcs.Members(body, func(key, value []byte) error {
		if !slices.Contains(known, string(key)) {
			return invalid(printable(key), "is not a field of this request (%s)", strings.Join(known, ", "))
		}
		fields[string(key)] = slices.Clone(value)
		return nil
	})
	if err != nil {
		return nil, fromParser(err)
	}
	return fields, nil
}

// textField reads a field that is a text, and may be missing.
func textField(fields map[string][]byte, name string) (string, error) {
	value, ok := fields[name]
	if !ok {
		return "", nil
	}
	text, err := jcs.Unquote(value)
	if err != nil || text == "" {
		return "", invalid(name, "must be a text that is not empty; or leave it out")
	}
	return text, nil
}

func (req *actRequest) hash() protocol.Hash { return sha256.Sum256(req.text) }

func (req *actRequest) pending() pending {
	return pending{
		entry:    protocol.Entry{Kind: req.kind, Hash: req.hash()},
		find:     "GET " + proposalPath(req.id),
		required: req.quorum, timeout: req.timeout,
	}
}

// submit puts it on record, behind the proposal and what its client has seen, and
// waits until the ledger has it.
func (req *actRequest) submit(ctx context.Context, s *Server, x *exchange, at uint64) (reply, error) {
	c, err := s.findProposal(req.id)
	if err != nil {
		return reply{}, err
	}
	if at == 0 {
		if err := req.may(c); err != nil {
			return reply{}, err
		}
	}
	after, err := s.seenByClient(x)
	if err != nil {
		return reply{}, err
	}
	out, err := s.putInOrder(ctx, actors.Submission{
		Kind: req.kind, Body: req.text, Hash: req.hash(), After: append(after, c.place), Ordered: true, At: at,
	})
	if err != nil {
		return reply{}, s.orderError(x, "the "+req.kind.String(), req.pending(), err)
	}
	// The ledger tells of places a moment before it can be read there.
	err = s.Wait(ctx, func() bool {
		st, _, err := s.Ledger.State()
		return err != nil || st.Size > out.Position
	})
	if err != nil {
		return reply{}, s.orderError(x, "the "+req.kind.String(), req.pending(), &actors.OrderError{Outcome: out})
	}
	return req.answer(s, x, out)
}

// answer says what has come of it.
func (req *actRequest) answer(s *Server, x *exchange, out *actors.Outcome) (reply, error) {
	c, ok, err := s.Accord.Case(req.id)
	if err != nil || !ok {
		return reply{}, errors.Join(err, fmt.Errorf("proposal %s is not behind what was ordered behind it", req.id))
	}
	if err := req.came(&c, out.Position); err != nil {
		return reply{}, err
	}
	here, err := s.seenBehind(x.r.Context(), max(out.Position, c.DecidedAt))
	if err != nil {
		return reply{}, err
	}
	p, err := s.prove(out)
	if err != nil {
		return reply{}, err
	}
	shown := caseOf(&c)
	first, err := json.Marshal(req.says)
	if err != nil {
		return reply{}, err
	}
	rest, err := json.Marshal(actAnswer{
		Hash: out.Entry.Hash, Position: out.Position, Timestamp: out.Entry.Time.Millis(), Status: shown.Status, Version: shown.Version,
		DecidedAt: shown.DecidedAt, DecisionPosition: shown.DecisionPosition,
		LatencyMS: x.latency(s.Now()), CausalToken: string(appendToken(nil, here)),
	})
	if err != nil {
		return reply{}, err
	}
	r := reply{body: bodies.Get().(*[]byte)}
	b := append(append((*r.body)[:0], first[:len(first)-1]...), ',')
	b = append(append(b, rest[1:len(rest)-1]...), `,"proof":`...)
	*r.body = append(p.AppendJSON(b), '}', '\n')
	return r, nil
}
