package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/strataos/strataos/actors"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/jcs"
	"github.com/strataos/strataos/protocol/proof"
)

// Bounds of how long a proposal may be open, in milliseconds.
const (
	defaultDeadline = 30_000
	minDeadline     = 100
	maxDeadline     = 30 * 24 * 3600 * 1000
)

// proposeRequest is the body of POST /v1/accord/propose.
type proposeRequest struct {
	action, subject []byte // as they were sent
	participants    []string
	threshold       int
	expected        *uint64
	deadline        int // ms from now
	timeout         time.Duration
	decided         bool // is waited for
	quorum          int  // of the network
	maxBytes        int
	// proposal is what all that is made into.
	proposal protocol.Proposal
}

// propose answers POST /v1/accord/propose.
func (s *Server) propose(x *exchange) error {
	body, err := readBody(x, s.Committee().Params().MaxEventBytes+bodyMargin)
	if err != nil {
		return err
	}
	defer bodies.Put(body)
	req, err := s.parsePropose(*body)
	if err != nil {
		return err
	}
	return s.record(x, *body, req)
}

// parsePropose reads the body of a proposal strictly, and makes the proposal.
func (s *Server) parsePropose(body []byte) (*proposeRequest, error) {
	req := &proposeRequest{
		deadline: defaultDeadline, timeout: defaultTimeout * time.Millisecond, decided: true,
		quorum: s.Committee().Quorum(), maxBytes: s.Committee().Params().MaxEventBytes,
	}
	if jcs.KindOf(body) != jcs.Object {
		return nil, invalid("body", "must be a JSON object")
	}
	err := jcs.Members(body, func(key, value []byte) (err error) {
		var n int
		switch string(key) {
		case "action":
			req.action = slices.Clone(value)
		case "subject":
			req.subject = slices.Clone(value)
		case "participants":
			req.participants, err = s.parseParticipants(value)
		case "threshold":
			req.threshold, err = wholeNumber("threshold", value, 1, protocol.MaxMembers)
		case "expected_version":
			n, err = wholeNumber("expected_version", value, 0, int(protocol.MaxMicros))
			version := uint64(n)
			req.expected = &version
		case "deadline_ms":
			if req.deadline, err = wholeNumber("deadline_ms", value, minDeadline, maxDeadline); err != nil {
				err = invalid("deadline_ms", "must be a whole number of milliseconds from now, from %d to %d", minDeadline, maxDeadline)
			}
		case "timeout_ms":
			n, err = wholeNumber("timeout_ms", value, 1, maxTimeout)
			req.timeout = time.Duration(n) * time.Millisecond
		case "wait":
			req.decided, err = parseChoice("wait", value, "ordered", "decided")
		default:
			err = invalid(printable(key), "is not a field of this request (action, subject, participants, threshold, deadline_ms, expected_version, timeout_ms, wait)")
		}
		return err
	})
	if err != nil {
		return nil, fromParser(err)
	}
	if req.action == nil {
		return nil, invalid("action", "is missing; it must be an object with type and payload")
	}
	s.fillIn(req)
	if err := req.make(s.Name, s.now()); err != nil {
		return nil, fromParser(err)
	}
	return req, s.checkNetwork(req)
}

// fillIn gives a request what it does not say.
func (s *Server) fillIn(req *proposeRequest) {
	if req.participants == nil {
		req.participants = s.memberNames()
	}
	if req.threshold == 0 {
		req.threshold = protocol.DefaultThreshold(len(req.participants))
	}
}

// memberNames are the names of all members, ascending.
func (s *Server) memberNames() []string {
	c := s.Committee()
	var names []string
	for _, id := range c.Members() {
		names = append(names, c.Name(id))
	}
	slices.Sort(names)
	return names
}

// parseParticipants reads a list of members, and puts it in order.
func (s *Server) parseParticipants(value []byte) ([]string, error) {
	names, err := stringList(value, protocol.MaxMembers)
	if err != nil || len(names) == 0 {
		return nil, invalid("participants", "must be a list of 1 to %d names of members; leave it out for all", protocol.MaxMembers)
	}
	all := s.memberNames()
	for i, name := range names {
		field := "participants[" + strconv.Itoa(i) + "]"
		if !slices.Contains(all, name) {
			return nil, invalid(field, "%.64q is not a member; GET /v1/network names them", name)
		}
		if slices.Contains(names[:i], name) {
			return nil, invalid(field, "%q is named twice", name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// parseChoice reads one of two words, and reports whether it is the second.
func parseChoice(field string, value []byte, first, second string) (bool, error) {
	text, err := jcs.Unquote(value)
	if err != nil {
		text = ""
	}
	return readChoice(field, text, first, second)
}

// make makes the proposal, with a deadline from now on and a nonce of its own.
func (req *proposeRequest) make(proposer string, now protocol.Micros) error {
	var nonce [16]byte
	rand.Read(nonce[:])
	fields := map[string]any{
		"action": json.RawMessage(req.action), "proposer": proposer, "participants": req.participants, "threshold": req.threshold,
		"deadline": now.Millis() + int64(req.deadline), "nonce": hex.EncodeToString(nonce[:]),
	}
	if req.subject != nil {
		fields["subject"] = json.RawMessage(req.subject)
	}
	if req.expected != nil {
		fields["expected_version"] = *req.expected
	}
	raw := []byte{'{'}
	for name, value := range fields {
		if len(raw) > 1 {
			raw = append(raw, ',')
		}
		raw = append(strconv.AppendQuote(raw, name), ':')
		if text, ok := value.(json.RawMessage); ok {
			raw = append(raw, text...) // as it was sent, for a stricter reader
			continue
		}
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		raw = append(raw, text...)
	}
	var err error
	req.proposal, err = protocol.ParseProposal(append(raw, '}'), req.maxBytes)
	return err
}

// checkNetwork refuses what changes the network itself and every member would
// reject.
func (s *Server) checkNetwork(req *proposeRequest) error {
	if !req.proposal.Action.IsNetwork() {
		return nil
	}
	all := s.memberNames()
	if !slices.Equal(req.participants, all) {
		return invalid("participants", "must be all members for %s; leave it out", req.proposal.Action.Type)
	}
	if least := protocol.DefaultThreshold(len(all)); req.threshold < least {
		return invalid("threshold", "is %d; %s takes at least %d of %d members", req.threshold, req.proposal.Action.Type, least, len(all))
	}
	change, err := req.proposal.Action.Change()
	if err != nil {
		return fromParser(err)
	}
	return checkPeer(change.Member)
}

// checkPeer reports whether nodes can connect with who is to be a member: for the
// decision itself an address is any text.
func checkPeer(m *protocol.Member) error {
	if m == nil {
		return nil
	}
	if _, err := peer.Decode(m.PeerID); err != nil {
		return invalid("action.payload.member.peer_id", "is no libp2p peer ID: %v", err)
	}
	for i, a := range m.Addrs {
		if _, err := multiaddr.NewMultiaddr(a); err != nil {
			return invalid(fmt.Sprintf("action.payload.member.addrs[%d]", i), "%q is not a multiaddr such as /ip4/10.0.0.7/tcp/9401", a)
		}
	}
	return nil
}

// body implements made.
func (req *proposeRequest) body() []byte { return req.proposal.Canonical }

// remake implements made.
func (req *proposeRequest) remake(body []byte) (err error) {
	req.proposal, err = protocol.CheckProposal(slices.Clone(body), len(body))
	return err
}

// over implements made.
func (req *proposeRequest) over(now protocol.Micros) bool { return req.proposal.Deadline < now }

func (req *proposeRequest) pending() pending {
	return pending{
		entry:    protocol.Entry{Kind: protocol.KindPropose, Hash: req.proposal.ID},
		find:     "GET " + proposalPath(req.proposal.ID),
		required: req.quorum, timeout: req.timeout,
	}
}

// submit puts the proposal on record, behind what its client has seen, and waits
// for what comes of it.
func (req *proposeRequest) submit(ctx context.Context, s *Server, x *exchange, at uint64) (reply, error) {
	after, err := s.seenByClient(x)
	if err != nil {
		return reply{}, err
	}
	out, err := s.putInOrder(ctx, actors.Submission{
		Kind: protocol.KindPropose, Body: req.proposal.Canonical, Hash: req.proposal.ID,
		After: after, Ordered: true, At: at,
	})
	var unordered *actors.OrderError
	if errors.As(err, &unordered) {
		return s.proposed(x, req, unordered.Outcome, nil)
	}
	if err != nil {
		return reply{}, s.submitError(x, err, req.pending())
	}
	c, known, err := s.awaitCase(ctx, req.proposal.ID, req.decided)
	if err != nil {
		return reply{}, err
	}
	if !known {
		return s.proposed(x, req, out, nil)
	}
	return s.proposed(x, req, out, &c)
}

// proposed answers with what has come of a proposal; c is nil where that is not
// known yet.
func (s *Server) proposed(x *exchange, req *proposeRequest, out *actors.Outcome, c *accord.Case) (reply, error) {
	seen := token(s.Self(), out.Batch)
	if c != nil && c.Status != accord.Open {
		here, err := s.seenBehind(x.r.Context(), c.DecidedAt)
		if err != nil {
			return reply{}, err
		}
		seen = string(appendToken(nil, here))
	}
	if c != nil && c.Status == accord.Conflict {
		return reply{}, conflict(c, seen)
	}
	p, err := s.prove(out)
	if err != nil {
		return reply{}, err
	}
	r := reply{body: bodies.Get().(*[]byte)}
	if c == nil || c.Status == accord.Open {
		r.elsewhere = proposalPath(req.proposal.ID)
	}
	*r.body = s.appendProposed((*r.body)[:0], x, req, out, c, seen, p)
	return r, nil
}

// conflict says which proposal has won, and where the subject stands.
func conflict(c *accord.Case, seen string) *apiError {
	e := errorf(codeRival, "%q has version %d: %s", c.Proposal.Subject, c.Decision.Version, c.Decision.Reason).
		with("id", c.Proposal.ID.String()).with("subject", c.Proposal.Subject).with("version", c.Decision.Version).
		with("position", c.Position).with("decision_position", c.DecidedAt).with("decided_at", c.DecidedOn.Millis()).
		with("reason", c.Decision.Reason).with("causal_token", seen)
	if w := c.Decision.Winner; w != (protocol.Hash{}) {
		e = e.with("winner", w.String())
		e.message += ", " + w.String()
	}
	return e
}

// appendProposed appends the answer to a proposal.
func (s *Server) appendProposed(b []byte, x *exchange, req *proposeRequest, out *actors.Outcome, c *accord.Case, seen string, p *proof.Proof) []byte {
	a := struct {
		ID               protocol.Hash   `json:"id"`
		Status           string          `json:"status"`
		Version          *uint64         `json:"version,omitempty"`
		Position         *uint64         `json:"position,omitempty"`
		Timestamp        int64           `json:"timestamp"`
		Votes            []ballotAnswer  `json:"votes"`
		DecidedAt        *int64          `json:"decided_at,omitempty"`
		DecisionPosition *uint64         `json:"decision_position,omitempty"`
		Reason           string          `json:"reason,omitempty"`
		LatencyMS        float64         `json:"latency_ms"`
		CausalToken      string          `json:"causal_token"`
		Body             json.RawMessage `json:"body"` // the proposal, whose hash is the id
	}{LatencyMS: x.latency(s.Now()), CausalToken: seen, Body: req.proposal.Canonical}
	shown := proposalOf(&req.proposal, out.Entry.Time)
	if c != nil {
		shown = caseOf(c)
	} else if out.Ordered {
		shown.Position = &out.Position
	}
	a.ID, a.Status, a.Version, a.Position, a.Timestamp, a.Votes = shown.ID, shown.Status, shown.Version, shown.Position, shown.Timestamp, shown.Votes
	a.DecidedAt, a.DecisionPosition, a.Reason = shown.DecidedAt, shown.DecisionPosition, shown.Reason
	text, err := json.Marshal(a)
	if err != nil {
		panic(err) // texts and numbers can be written
	}
	b = append(append(b, text[:len(text)-1]...), `,"proof":`...)
	return append(p.AppendJSON(b), '}', '\n')
}
