package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
	body, err := readBody(x, s.Genesis.Params.MaxEventBytes+bodyMargin)
	if err != nil {
		return err
	}
	defer bodies.Put(body)
	req, err := s.parseAttest(*body)
	if err != nil {
		return err
	}
	if keys := x.r.Header["Idempotency-Key"]; len(keys) > 0 {
		return s.attestOnce(x, keys[0], *body, req)
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), req.timeout)
	defer cancel()
	answer, err := s.submit(ctx, x, req)
	if err != nil {
		return err
	}
	s.writeBytes(x, http.StatusOK, *answer)
	bodies.Put(answer)
	return nil
}

// submit attests an event and returns the answer in a buffer of the pool.
func (s *Server) submit(ctx context.Context, x *exchange, req *attestRequest) (*[]byte, error) {
	out, err := s.Attester.Attest(ctx, actors.Submission{
		Kind: protocol.KindAttest, Event: req.event, Need: req.required, Attestors: req.attestors, At: req.at,
	})
	if err != nil {
		return nil, s.attestError(x, req, err)
	}
	p, err := s.prove(out)
	if err != nil {
		return nil, err
	}
	return s.attestAnswer(x, req, out.Entry, p), nil
}

// prove makes the proof of an outcome, from the tree in memory if it reaches
// back so far. The certificate is the outcome's in any case: the stored ones may
// have fewer cosignatures.
func (s *Server) prove(out *actors.Outcome) (*proof.Proof, error) {
	var tree tlog.HashReader = out.Tree
	if out.Index < out.Tree.Base() {
		tree = s.Lookup.Hashes(s.Self)
	}
	path, err := tlog.ProveRecord(int64(out.Cert.Size()), int64(out.Index), tree)
	if err != nil {
		return nil, fmt.Errorf("prove leaf %d: %w", out.Index, err)
	}
	return out.Checkpoint.Prove(out.Entry, out.Index, path), nil
}

// attestAnswer writes the answer to an attestation.
func (s *Server) attestAnswer(x *exchange, req *attestRequest, e protocol.Entry, p *proof.Proof) *[]byte {
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
	b = append(b, `,"proof":`...)
	b = p.AppendJSON(b)
	*buf = append(b, '}', '\n')
	return buf
}

// attestError says what became of an event that was not certified in time.
func (s *Server) attestError(x *exchange, req *attestRequest, err error) error {
	var timeout *actors.TimeoutError
	switch {
	case errors.As(err, &timeout):
		return s.timeoutError(req, timeout)
	case errors.Is(err, actors.ErrOverloaded):
		x.Header().Set("Retry-After", "1")
		return errorf(codeOverloaded, "more events wait to be certified than this node takes; try again, or another node")
	case errors.Is(err, actors.ErrLogStopped):
		return errorf(codeLogStopped, "%v; use another node", err)
	case errors.Is(err, actors.ErrClosed):
		return whereabouts(errorf(codeInterrupted, "the node is stopping; the event may or may not be in its log"), req)
	case errors.Is(err, actors.ErrInterrupted):
		return whereabouts(errorf(codeInterrupted, "%v", err), req)
	}
	return err
}

func (s *Server) timeoutError(req *attestRequest, t *actors.TimeoutError) error {
	e := errorf(codeQuorumTimeout, "%d of %d cosignatures came within %d ms", len(t.Signers), req.required, req.timeout.Milliseconds()).
		with("required", req.required).with("achieved", len(t.Signers)).
		with("timeout_ms", req.timeout.Milliseconds()).with("definite", !t.InLog)
	var missing []string
	for _, id := range req.attestors {
		signed := false
		for _, signer := range t.Signers {
			signed = signed || signer == id
		}
		if !signed {
			missing = append(missing, s.Committee.Name(id))
		}
	}
	if missing != nil {
		e = e.with("missing_attestors", missing)
	}
	if t.InLog {
		return whereabouts(e, req)
	}
	return e
}

// whereabouts tells how to find out what became of an event.
func whereabouts(e *apiError, req *attestRequest) *apiError {
	hash := req.event.Hash.String()
	return e.with("hash", hash).with("find", "GET /v1/witness/verify/"+hash)
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
