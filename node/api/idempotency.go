package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/protocol"
)

// keyRecord is what is kept of a request with an Idempotency-Key. It is put
// before the event is submitted, without an answer, and again before the
// answer is sent, so that a retry never attests twice: not after an answer was
// lost, and not after a crash or a timeout in between.
type keyRecord struct {
	Body  [32]byte        `json:"body"` // SHA-256 of the request's path and body
	Start protocol.Micros `json:"start"`
	// Size is the size that this node's log had: what is the request's lies
	// behind it, and what lies before it is another request's.
	Size uint64 `json:"size"`
	// Made is what the request was made into, where that has more in it than the
	// request says.
	Made   []byte `json:"made,omitempty"`
	Answer []byte `json:"answer,omitempty"`
}

// made is a recordable that is made into something with more in it than the
// request says: a retry must be made into the same.
type made interface {
	recordable
	// body is what it was made into.
	body() []byte
	// remake makes it into what an earlier request was made into.
	remake(body []byte) error
	// over reports whether nothing can come of that any more.
	over(now protocol.Micros) bool
}

// recordOnce answers a request with an Idempotency-Key.
func (s *Server) recordOnce(ctx context.Context, x *exchange, key string, body []byte, req recordable) error {
	if !validToken(key, 255) {
		return invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
	}
	key = x.principal.ID + "/" + key
	if err := s.keys.lock(ctx, key); err != nil {
		rec, found, err := s.loadKey(x, key)
		if m, ok := req.(made); ok && found && err == nil && m.remake(rec.Made) != nil {
			return errors.New("stored idempotency key: what the request was made into is damaged")
		}
		return req.pending().whereabouts(errorf(codeInterrupted, "a request with the same Idempotency-Key is still under way"))
	}
	defer s.keys.unlock(key)

	sum := sha256.Sum256(append([]byte(x.r.URL.Path+"\n"), body...))
	rec, found, err := s.loadKey(x, key)
	if err != nil {
		return err
	}
	if found && rec.Body != sum {
		return errorf(codeConflict, "this Idempotency-Key was used with another body; use a new key for a new request")
	}
	if found && rec.Answer != nil {
		x.Header().Set("Idempotent-Replayed", "true")
		s.writeBytes(x, http.StatusOK, rec.Answer)
		return nil
	}
	if !found {
		size, err := s.ownSize()
		if err != nil {
			return err
		}
		rec = &keyRecord{Body: sum, Start: s.now(), Size: size}
		if m, ok := req.(made); ok {
			rec.Made = m.body()
		}
		if err := s.saveKey(x, key, rec); err != nil {
			return err
		}
	}
	answer, err := s.recordOrResume(ctx, x, key, req, rec, found)
	if err != nil {
		return err
	}
	if answer.elsewhere == "" { // else a retry is told of what has come of it since
		rec.Answer = bytes.Clone(*answer.body)
		if err := s.saveKey(x, key, rec); err != nil {
			return err
		}
	}
	s.send(x, answer)
	return nil
}

// recordOrResume submits what the request has, unless an earlier request with the key has
// put it into this node's log already: then it waits for what the request asks
// for, as the earlier one has.
func (s *Server) recordOrResume(ctx context.Context, x *exchange, key string, req recordable, rec *keyRecord, again bool) (reply, error) {
	if !again {
		return req.submit(ctx, s, x, 0)
	}
	f, ok, err := s.findEarlier(x, key, req, rec)
	if err != nil {
		return reply{}, err
	}
	if !ok {
		return req.submit(ctx, s, x, 0)
	}
	answer, err := req.submit(ctx, s, x, f.Index)
	var e *apiError
	if errors.As(err, &e) {
		// Whatever this attempt came to, the event is in the log.
		err = req.pending().whereabouts(e).with("definite", false)
	}
	return answer, err
}

// findEarlier finds what an earlier request with the key has put into this node's
// log. It makes the request into the same, if something can still come of that.
func (s *Server) findEarlier(x *exchange, key string, req recordable, rec *keyRecord) (store.Found, bool, error) {
	m, isMade := req.(made)
	if !isMade {
		return s.Lookup.FindOwn(s.Self(), req.pending().entry, rec.Size)
	}
	anew := m.body()
	if err := m.remake(rec.Made); err != nil {
		return store.Found{}, false, fmt.Errorf("stored idempotency key: %w", err)
	}
	f, ok, err := s.Lookup.FindOwn(s.Self(), req.pending().entry, rec.Size)
	if err != nil || ok || !m.over(s.now()) {
		return f, ok, err
	}
	rec.Made = anew
	return f, false, errors.Join(m.remake(anew), s.saveKey(x, key, rec))
}

// ownSize is the size of this node's log: what is sealed, which the status may
// be a moment late to tell, and what is stored, among which is all that anybody
// has had an answer about.
func (s *Server) ownSize() (uint64, error) {
	size, err := s.Lookup.Size(s.Self())
	if logs := s.Status().Logs; int(s.Self()) < len(logs) {
		size = max(size, logs[s.Self()].Stored)
	}
	return size, err
}

func (s *Server) loadKey(x *exchange, key string) (*keyRecord, bool, error) {
	text, ok, err := s.Records.Get(x.r.Context(), key)
	if err != nil || !ok {
		return nil, false, err
	}
	rec, err := parseKey(text)
	if err != nil {
		return nil, false, err
	}
	if s.now()-rec.Start > protocol.Micros(IdempotencyLife/time.Microsecond) {
		return nil, false, nil
	}
	return rec, true, nil
}

func parseKey(text []byte) (*keyRecord, error) {
	var rec keyRecord
	if err := json.Unmarshal(text, &rec); err != nil {
		return nil, fmt.Errorf("stored idempotency key: %w", err)
	}
	return &rec, nil
}

func (s *Server) saveKey(x *exchange, key string, rec *keyRecord) error {
	text, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	// The request may have been given up, its record may not.
	return s.Records.Put(context.WithoutCancel(x.r.Context()), key, text, s.Now())
}
