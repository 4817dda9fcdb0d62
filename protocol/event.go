package protocol

import (
	"crypto/sha256"
	"regexp"

	"github.com/strataos/strataos/protocol/jcs"
)

// MaxTypeBytes bounds the length of an event's type.
const MaxTypeBytes = 128

// Event is what a client has witnessed, in its canonical form.
type Event struct {
	// Type is a dotted name such as "order.created".
	Type string
	// Canonical is the event's RFC 8785 form. It must not be changed.
	Canonical []byte
	// Hash is the SHA-256 of Canonical.
	Hash Hash
}

var typePattern = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// ParseEvent reads an event, a JSON object with the members "type" (a dotted
// name), "payload" (an object) and, optionally, "metadata" (an object), and
// nothing else. maxBytes bounds its canonical form. Errors are FieldErrors
// below "event", or of package jcs where the text is no JSON.
func ParseEvent(raw []byte, maxBytes int) (Event, error) {
	canonical, err := Canonical("event", raw)
	if err != nil {
		return Event{}, err
	}
	e := Event{Canonical: canonical}
	if err := e.parse(maxBytes); err != nil {
		return Event{}, err
	}
	e.Hash = sha256.Sum256(canonical)
	return e, nil
}

// CheckEvent reads an event that must be in canonical form already, as
// members send it to each other. The Event shares memory with canonical.
func CheckEvent(canonical []byte, maxBytes int) (Event, error) {
	if err := CheckCanonical("event", canonical); err != nil {
		return Event{}, err
	}
	e := Event{Canonical: canonical}
	if err := e.parse(maxBytes); err != nil {
		return Event{}, err
	}
	e.Hash = sha256.Sum256(canonical)
	return e, nil
}

func (e *Event) parse(maxBytes int) error {
	if len(e.Canonical) > maxBytes {
		return tooLong("event", len(e.Canonical), maxBytes)
	}
	if jcs.KindOf(e.Canonical) != jcs.Object {
		return fieldErrorf("event", "must be an object")
	}
	var payload bool
	err := jcs.Members(e.Canonical, func(key, value []byte) error {
		switch string(key) {
		case "type":
			t, err := jcs.Unquote(value)
			if err != nil {
				return fieldErrorf("event.type", "must be a string")
			}
			e.Type = t
		case "payload", "metadata":
			if jcs.KindOf(value) != jcs.Object {
				return fieldErrorf("event."+string(key), "must be an object")
			}
			payload = payload || string(key) == "payload"
		default:
			return fieldErrorf("event."+string(key), "is not a field of an event (type, payload, metadata)")
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !payload {
		return fieldErrorf("event.payload", "is missing; it must be an object")
	}
	if len(e.Type) > MaxTypeBytes || !typePattern.MatchString(e.Type) {
		return fieldErrorf("event.type", "must be a dotted name such as order.created, of at most %d letters, digits, dashes and underscores", MaxTypeBytes)
	}
	return nil
}
