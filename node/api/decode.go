package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/jcs"
)

const (
	defaultTimeout = 1000 // ms
	maxTimeout     = 5000 // ms
	// bodyMargin is how much longer than an event a body may be.
	bodyMargin = 16 << 10
)

// attestRequest is the body of an attestation.
type attestRequest struct {
	event     protocol.Event
	required  int // cosignatures asked for, at least a quorum
	attestors []protocol.MemberID
	timeout   time.Duration
}

var bodies = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// readBody reads a JSON body of at most limit bytes into a buffer of the pool,
// which the caller gives back.
func readBody(x *exchange, limit int) (*[]byte, error) {
	if ct := x.r.Header.Get("Content-Type"); !isJSON(ct) {
		return nil, errorf(codeMediaType, "the body must be application/json, not %.100q", ct)
	}
	tooLarge := errorf(codeTooLarge, "the body is longer than %d bytes", limit).with("limit_bytes", limit)
	if x.r.ContentLength > int64(limit) {
		return nil, tooLarge
	}
	body := bodies.Get().(*[]byte)
	buf := (*body)[:0]
	r := http.MaxBytesReader(x.ResponseWriter, x.r.Body, int64(limit))
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, cap(buf))
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == nil {
			continue
		}
		*body = buf
		var max *http.MaxBytesError
		switch {
		case errors.Is(err, io.EOF):
			return body, nil
		case errors.As(err, &max):
			err = tooLarge
		default:
			err = errorf(codeInvalid, "the body could not be read: %v", err).with("field", "body")
		}
		bodies.Put(body)
		return nil, err
	}
}

// isJSON reports whether a body may be JSON. What curl -d says of every body
// counts too; a page in a browser cannot use that, as it has no token.
func isJSON(contentType string) bool {
	switch contentType {
	case "", "application/json", "application/x-www-form-urlencoded":
		return true
	}
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && t == "application/json"
}

// parseAttest reads the body of an attestation strictly: unknown fields, wrong
// types and values out of range are errors that name the field.
func (s *Server) parseAttest(body []byte) (*attestRequest, error) {
	c := s.Committee()
	q := c.Quorum()
	req := &attestRequest{required: q, timeout: defaultTimeout * time.Millisecond}
	if jcs.KindOf(body) != jcs.Object {
		return nil, invalid("body", "must be a JSON object")
	}
	seen := false
	err := jcs.Members(body, func(key, value []byte) (err error) {
		switch string(key) {
		case "event":
			seen = true
			req.event, err = protocol.ParseEvent(value, c.Params().MaxEventBytes)
			return err
		case "quorum_requirement":
			n, err := wholeNumber("quorum_requirement", value, 1, 1<<20)
			if err != nil {
				return err
			}
			if n > c.N() {
				return errorf(codeUnsatisfiable, "quorum_requirement: %d cosignatures are asked for, the network has %d members", n, c.N()).
					with("field", "quorum_requirement").with("members", c.N())
			}
			req.required = max(n, q)
			return nil
		case "timeout_ms":
			n, err := wholeNumber("timeout_ms", value, 1, maxTimeout)
			req.timeout = time.Duration(n) * time.Millisecond
			return err
		case "attestors":
			req.attestors, err = s.parseAttestors(value)
			return err
		}
		return invalid(printable(key), "is not a field of this request (event, quorum_requirement, timeout_ms, attestors)")
	})
	if err != nil {
		return nil, fromParser(err)
	}
	if !seen {
		return nil, invalid("event", "is missing; it must be an object with type and payload")
	}
	req.required = max(req.required, len(req.attestors))
	return req, nil
}

func wholeNumber(field string, value []byte, least, most int) (int, error) {
	n, err := strconv.Atoi(string(value))
	if jcs.KindOf(value) != jcs.Number || err != nil || n < least || n > most {
		return 0, invalid(field, "must be a whole number from %d to %d", least, most)
	}
	return n, nil
}

func (s *Server) parseAttestors(value []byte) ([]protocol.MemberID, error) {
	names, err := stringList(value, protocol.MaxMembers)
	if err != nil {
		return nil, invalid("attestors", "must be a list of at most %d member names", protocol.MaxMembers)
	}
	var out []protocol.MemberID
	for i, name := range names {
		field := "attestors[" + strconv.Itoa(i) + "]"
		id, ok := s.memberOf(name)
		if !ok {
			return nil, invalid(field, "%.64q is not a member; GET /v1/network names them", name)
		}
		if !s.Committee().Has(id) {
			return nil, invalid(field, "%q has left the network; GET /v1/network names its members", name)
		}
		if slices.Contains(out, id) {
			return nil, invalid(field, "%q is named twice", name)
		}
		out = append(out, id)
	}
	return out, nil
}

// printable makes a name from a client fit for an error.
func printable(key []byte) string {
	if len(key) > 64 {
		key = key[:64]
	}
	q := strconv.QuoteToASCII(string(key))
	return q[1 : len(q)-1]
}
