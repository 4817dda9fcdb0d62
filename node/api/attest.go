package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/actors"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/proof"
)

// attest answers POST /v1/witness/attest.
func (s *Server) attest(x *exchange) error {
	body, err := readBody(x, s.Committee().Params().MaxEventBytes+bodyMargin)
	if err != nil {
		return err
	}
	defer bodies.Put(body)
	req, err := s.parseAttest(*body)
	if err != nil {
		return err
	}
	return s.record(x, *body, req)
}

// recordable is a request to put something on record.
type recordable interface {
	// pending is what an error says of the request's outcome.
	pending() pending
	// submit puts it on record, or waits again for the leaf of this node's log,
	// if not 0, that it is already.
	submit(ctx context.Context, s *Server, x *exchange, at uint64) (reply, error)
}

// reply is the answer to a recordable.
type reply struct {
	body *[]byte // of the pool
	// elsewhere, if not empty, is where the outcome will be found that the request
	// has asked for and that is open still.
	elsewhere string
}

// send answers with a reply, and gives its buffer back.
func (s *Server) send(x *exchange, r reply) {
	status := http.StatusOK
	if r.elsewhere != "" {
		status = http.StatusAccepted
		x.Header()["Location"] = []string{r.elsewhere}
	}
	s.writeBytes(x, status, *r.body)
	bodies.Put(r.body)
}

// maxUnordered bounds the certified entries that wait to be ordered: a node takes
// nothing more while the order stands still.
const maxUnordered = 1 << 18

// record answers a request to put something on record.
func (s *Server) record(x *exchange, body []byte, req recordable) error {
	ctx, cancel := context.WithTimeout(x.r.Context(), req.pending().timeout)
	defer cancel()
	if s.Order().Unordered > maxUnordered {
		x.Header().Set("Retry-After", "1")
		return errorf(codeOverloaded, "more entries wait to be ordered than this node takes; try again later")
	}
	if keys := x.r.Header["Idempotency-Key"]; len(keys) > 0 {
		return s.recordOnce(ctx, x, keys[0], body, req)
	}
	answer, err := req.submit(ctx, s, x, 0)
	if err != nil {
		return err
	}
	s.send(x, answer)
	return nil
}

// submit attests an event, behind what its client has seen.
func (req *attestRequest) submit(ctx context.Context, s *Server, x *exchange, at uint64) (reply, error) {
	after, err := s.seenByClient(x)
	if err != nil {
		return reply{}, err
	}
	out, err := s.Submitter.Submit(ctx, actors.Submission{
		Kind: protocol.KindAttest, Body: req.event.Canonical, Hash: req.event.Hash,
		Need: req.required, Attestors: req.attestors, After: after, At: at,
	})
	if err != nil {
		return reply{}, s.submitError(x, err, req.pending())
	}
	p, err := s.prove(out)
	if err != nil {
		return reply{}, err
	}
	return reply{body: s.attestAnswer(x, req, out.Entry, out.Batch, p)}, nil
}

// prove makes the proof of an outcome, from the tree in memory if it reaches
// back so far. The certificate is the outcome's in any case: the stored ones may
// have fewer cosignatures.
func (s *Server) prove(out *actors.Outcome) (*proof.Proof, error) {
	var tree tlog.HashReader = out.Tree
	if out.Index < out.Tree.Base() {
		tree = s.Lookup.Hashes(s.Self())
	}
	path, err := tlog.ProveRecord(int64(out.Cert.Size()), int64(out.Index), tree)
	if err != nil {
		return nil, fmt.Errorf("prove leaf %d: %w", out.Index, err)
	}
	cp, err := s.Lookup.SignedByAuthor(out.Checkpoint, out.Cert)
	if err != nil {
		return nil, err
	}
	return cp.Prove(out.Entry, out.Index, path), nil
}

// attestAnswer writes the answer to an attestation.
func (s *Server) attestAnswer(x *exchange, req *attestRequest, e protocol.Entry, batch uint64, p *proof.Proof) *[]byte {
	buf := bodies.Get().(*[]byte)
	b := append((*buf)[:0], `{"timestamp":`...)
	b = strconv.AppendInt(b, e.Time.Millis(), 10)
	b = append(b, `,"hash":"`...)
	b = e.Hash.Append(b)
	b = append(b, `","quorum":"`...)
	b = strconv.AppendInt(b, int64(len(p.Witnesses)), 10)
	b = append(b, '/')
	b = strconv.AppendInt(b, int64(req.required), 10)
	b = append(b, `","latency_ms":`...)
	b = strconv.AppendFloat(b, float64(s.Now().Sub(x.start).Microseconds())/1000, 'f', 3, 64)
	b = append(b, `,"causal_token":"`...)
	b = append(b, token(s.Self(), batch)...)
	b = append(b, `","proof":`...)
	b = p.AppendJSON(b)
	*buf = append(b, '}', '\n')
	return buf
}

// pending is a submission whose outcome is not known, for the error that says so.
type pending struct {
	entry     protocol.Entry // without its time
	find      string         // the request that tells more
	required  int
	attestors []protocol.MemberID
	timeout   time.Duration
}

func (req *attestRequest) pending() pending {
	return pending{
		entry: protocol.Entry{Kind: protocol.KindAttest, Hash: req.event.Hash}, find: "GET /v1/witness/verify/" + req.event.Hash.String(),
		required: req.required, attestors: req.attestors, timeout: req.timeout,
	}
}

// submitError says what became of something that was not certified in time.
func (s *Server) submitError(x *exchange, err error, p pending) error {
	var timeout *actors.TimeoutError
	switch {
	case errors.As(err, &timeout):
		return s.timeoutError(p, timeout)
	case errors.Is(err, actors.ErrBehind):
		return behind(err)
	case errors.Is(err, actors.ErrOverloaded):
		x.Header().Set("Retry-After", "1")
		return errorf(codeOverloaded, "more waits to be certified than this node takes; try again, or another node")
	case errors.Is(err, actors.ErrNotMember):
		return errorf(codeNotMember, "%s; use another node", s.standing()).with("epoch", s.Committee().Epoch())
	case errors.Is(err, actors.ErrTooLarge):
		return errorf(codeTooLarge, "%v", err).with("limit_bytes", s.Committee().Params().MaxEventBytes)
	case errors.Is(err, actors.ErrLogStopped):
		return errorf(codeLogStopped, "%v; use another node", err)
	case errors.Is(err, actors.ErrClosed):
		return p.whereabouts(errorf(codeInterrupted, "the node is stopping; what was sent may or may not be in its log"))
	case errors.Is(err, actors.ErrInterrupted):
		return p.whereabouts(errorf(codeInterrupted, "%v", err))
	}
	return err
}

func (s *Server) timeoutError(p pending, t *actors.TimeoutError) error {
	e := errorf(codeQuorumTimeout, "%d of %d cosignatures came within %d ms", len(t.Signers), p.required, p.timeout.Milliseconds()).
		with("required", p.required).with("achieved", len(t.Signers)).
		with("timeout_ms", p.timeout.Milliseconds()).with("definite", !t.InLog)
	var missing []string
	for _, id := range p.attestors {
		if !slices.Contains(t.Signers, id) {
			missing = append(missing, s.Committee().Name(id))
		}
	}
	if missing != nil {
		e = e.with("missing_attestors", missing)
	}
	if t.InLog {
		return p.whereabouts(e)
	}
	return e
}

// whereabouts tells how to find out what became of a submission.
func (p pending) whereabouts(e *apiError) *apiError {
	return e.with("hash", p.entry.Hash.String()).with("find", p.find)
}

// keyLocks lets requests with the same idempotency key wait for each other.
type keyLocks struct {
	mu   sync.Mutex
	held map[string]chan struct{}
}

// lock waits until nobody else holds the key.
func (l *keyLocks) lock(ctx context.Context, key string) error {
	for {
		l.mu.Lock()
		if l.held == nil {
			l.held = map[string]chan struct{}{}
		}
		other := l.held[key]
		if other == nil {
			l.held[key] = make(chan struct{})
			l.mu.Unlock()
			return nil
		}
		l.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *keyLocks) unlock(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.held[key])
	delete(l.held, key)
}

// now is the server's time in the protocol's unit.
func (s *Server) now() protocol.Micros { return protocol.Micros(s.Now().UnixMicro()) }

// IdempotencyLife is for how long a key gives the same answer.
const IdempotencyLife = 24 * time.Hour
