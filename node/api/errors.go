package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/jcs"
)

// code is a stable name of an error, with its status and whether the outcome
// of the request is definite: whether nothing of it has taken effect.
type code struct {
	name     string
	status   int
	definite bool
}

var (
	codeInvalid          = code{"INVALID_REQUEST", http.StatusBadRequest, true}
	codeUnauthorized     = code{"UNAUTHORIZED", http.StatusUnauthorized, true}
	codeForbidden        = code{"FORBIDDEN", http.StatusForbidden, true}
	codeNotFound         = code{"NOT_FOUND", http.StatusNotFound, true}
	codeMethodNotAllowed = code{"METHOD_NOT_ALLOWED", http.StatusMethodNotAllowed, true}
	codeConflict         = code{"IDEMPOTENCY_CONFLICT", http.StatusConflict, true}
	codeNotParticipant   = code{"NOT_PARTICIPANT", http.StatusForbidden, true}
	codeNotProposer      = code{"NOT_PROPOSER", http.StatusForbidden, true}
	codeRival            = code{"CONFLICT", http.StatusConflict, true}
	codeDecided          = code{"DECIDED", http.StatusConflict, true}
	codeVoted            = code{"ALREADY_VOTED", http.StatusConflict, true}
	codeNotAccepted      = code{"NOT_ACCEPTED", http.StatusConflict, true}
	codeTooLarge         = code{"PAYLOAD_TOO_LARGE", http.StatusRequestEntityTooLarge, true}
	codeMediaType        = code{"UNSUPPORTED_MEDIA_TYPE", http.StatusUnsupportedMediaType, true}
	codeUnsatisfiable    = code{"QUORUM_UNSATISFIABLE", http.StatusUnprocessableEntity, true}
	codeRateLimited      = code{"RATE_LIMITED", http.StatusTooManyRequests, true}
	codeInternal         = code{"INTERNAL", http.StatusInternalServerError, false}
	codeOverloaded       = code{"OVERLOADED", http.StatusServiceUnavailable, true}
	codeLogStopped       = code{"LOG_STOPPED", http.StatusServiceUnavailable, true}
	codeNotMember        = code{"NOT_A_MEMBER", http.StatusServiceUnavailable, true}
	codeInterrupted      = code{"INTERRUPTED", http.StatusServiceUnavailable, false}
	codeBehind           = code{"CAUSALITY_TIMEOUT", http.StatusGatewayTimeout, true}
	codeOrderTimeout     = code{"ORDER_TIMEOUT", http.StatusGatewayTimeout, false}
	codeQuorumTimeout    = code{"QUORUM_TIMEOUT", http.StatusGatewayTimeout, false}
)

// apiError is an error as the client sees it.
type apiError struct {
	code    code
	message string
	details map[string]any
}

// Error implements error.
func (e *apiError) Error() string { return e.code.name + ": " + e.message }

func errorf(c code, format string, args ...any) *apiError {
	return &apiError{code: c, message: fmt.Sprintf(format, args...), details: map[string]any{"definite": c.definite}}
}

// with returns the error with one more detail.
func (e *apiError) with(key string, value any) *apiError {
	details := maps.Clone(e.details)
	details[key] = value
	return &apiError{e.code, e.message, details}
}

// invalid is an error about a field of the request.
func invalid(field, format string, args ...any) *apiError {
	e := errorf(codeInvalid, "%s: %s", field, fmt.Sprintf(format, args...))
	return e.with("field", field)
}

// fromParser turns the error of a parser into one about the request's body.
func fromParser(err error) error {
	var field *protocol.FieldError
	var syntax *jcs.SyntaxError
	var own *apiError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &field) && field.Limit > 0:
		return errorf(codeTooLarge, "%v", field).with("field", field.Field).with("limit_bytes", field.Limit)
	case errors.As(err, &field):
		return invalid(field.Field, "%s", field.Problem)
	case errors.As(err, &syntax):
		return errorf(codeInvalid, "the body is not the JSON that is wanted: %v", syntax).with("field", "body").with("offset", syntax.Offset)
	}
	return errorf(codeInvalid, "%v", err).with("field", "body")
}

// fail answers with an error.
func (s *Server) fail(x *exchange, err error) {
	var e *apiError
	if !errors.As(err, &e) {
		s.Logger.Error("a request failed", "path", x.r.URL.Path, "request_id", x.id, "error", err)
		e = errorf(codeInternal, "the node could not do this; its log has the reason under this request_id")
	}
	if x.status != 0 {
		return // the answer has begun
	}
	var body struct {
		Error struct {
			Code      string         `json:"code"`
			Message   string         `json:"message"`
			Details   map[string]any `json:"details"`
			RequestID string         `json:"request_id"`
			Timestamp int64          `json:"timestamp"`
		} `json:"error"`
	}
	body.Error.Code, body.Error.Message, body.Error.Details = e.code.name, e.message, e.details
	body.Error.RequestID, body.Error.Timestamp = x.id, s.Now().UnixMilli()
	s.writeJSON(x, e.code.status, body)
}

var jsonType = []string{"application/json"}

func (s *Server) writeJSON(x *exchange, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		s.Logger.Error("an answer cannot be written as JSON", "path", x.r.URL.Path, "error", err)
		status, text = http.StatusInternalServerError, []byte(`{}`)
	}
	s.writeBytes(x, status, append(text, '\n'))
}

func (s *Server) writeBytes(x *exchange, status int, text []byte) {
	x.Header()["Content-Type"] = jsonType
	x.WriteHeader(status)
	_, _ = x.Write(text) // the client may have gone
}
