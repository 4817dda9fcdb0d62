package protocol

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/strataos/strataos/protocol/jcs"
)

// fields reads the members of a JSON object, of which it holds to exactly those
// that are asked for. The first error is the one that stays.
type fields struct {
	name   string
	object []byte
	values map[string][]byte
	err    error
}

func newFields(name string, object []byte) *fields {
	f := &fields{name: name, object: object, values: map[string][]byte{}}
	if f.err = wantObject(name, object); f.err == nil {
		f.err = jcs.Members(object, func(key, value []byte) error {
			f.values[string(key)] = bytes.Clone(value)
			return nil
		})
	}
	return f
}

// path is the name of a field in errors: those of an entry's own body stand for
// themselves.
func (f *fields) path(key string) string {
	if f.name == "action" {
		return "action." + key
	}
	return key
}

// take has a field read, and answers whether it is there.
func (f *fields) take(key string, required bool, read func(value []byte) error) bool {
	value, ok := f.values[key]
	delete(f.values, key)
	switch {
	case f.err != nil:
	case ok:
		f.err = read(value)
	case required:
		f.err = fieldErrorf(f.path(key), "is missing")
	}
	return ok
}

func (f *fields) text(key string, required bool, limit int, to *string) {
	f.take(key, required, func(value []byte) error {
		text, err := jcs.Unquote(value)
		if err != nil || text == "" || len(text) > limit || !utf8.ValidString(text) || strings.ContainsFunc(text, isControl) {
			return fieldErrorf(f.path(key), "must be a text of 1 to %d bytes without control characters", limit)
		}
		*to = text
		return nil
	})
}

// isControl reports whether a character is none that is written: line ends and
// tabs are.
func isControl(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }

func (f *fields) number(key string, required bool, least, most uint64, to *uint64) bool {
	return f.take(key, required, func(value []byte) error {
		n, err := strconv.ParseUint(string(value), 10, 64)
		if err != nil || n < least || n > most {
			return fieldErrorf(f.path(key), "must be a whole number from %d to %d", least, most)
		}
		*to = n
		return nil
	})
}

func (f *fields) hash(key string, to *Hash) {
	f.take(key, true, func(value []byte) error {
		text, err := jcs.Unquote(value)
		if err == nil {
			*to, err = ParseHash(text)
		}
		if err != nil {
			return fieldErrorf(f.path(key), "must be a hash: 0x and 64 lower-case hexadecimal digits")
		}
		return nil
	})
}

// choice reads a field that is one of some words, and tells which.
func (f *fields) choice(key string, chosen func(int), words ...string) {
	f.take(key, true, func(value []byte) error {
		text, err := jcs.Unquote(value)
		for i, word := range words {
			if err == nil && text == word {
				chosen(i)
				return nil
			}
		}
		return fieldErrorf(f.path(key), "must be %s", strings.Join(words, " or "))
	})
}

// done returns the first error, also that of a field which nobody asked for.
// maxBytes bounds the length of the object.
func (f *fields) done(maxBytes int) error {
	switch {
	case f.err != nil:
		return f.err
	case len(f.object) > maxBytes:
		return tooLong(f.name, len(f.object), maxBytes)
	case len(f.values) > 0:
		unknown := slices.Min(slices.Collect(maps.Keys(f.values)))
		return fieldErrorf(f.path(unknown), "is not a field of a %s", f.name)
	}
	return nil
}
