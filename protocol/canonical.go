package protocol

import (
	"errors"
	"fmt"

	"github.com/strataos/strataos/protocol/jcs"
)

// Canonical returns the RFC 8785 form of what a client sends under the name of
// a field. An integer that this form cannot hold exactly is a FieldError: it
// would have the hash of another one. Other errors are those of package jcs.
func Canonical(field string, raw []byte) ([]byte, error) {
	text, err := jcs.AppendExact(make([]byte, 0, len(raw)), raw)
	return text, inexactError(field, err)
}

// CheckCanonical reports, by a nil error, that a text is what Canonical makes.
func CheckCanonical(field string, text []byte) error {
	return inexactError(field, jcs.ValidExact(text))
}

// inexactError makes a FieldError of a syntax error about an inexact integer.
func inexactError(field string, err error) error {
	var syntax *jcs.SyntaxError
	if errors.As(err, &syntax) && syntax.Reason == jcs.InexactInteger {
		return fieldErrorf(field, "at byte %d: %s", syntax.Offset, syntax.Reason)
	}
	return err
}

// tooLong is the error of a text that has more bytes in canonical form than
// are allowed.
func tooLong(field string, n, limit int) error {
	return &FieldError{
		Field: field, Limit: limit,
		Problem: fmt.Sprintf("has %d bytes in canonical form, at most %d are allowed", n, limit),
	}
}
