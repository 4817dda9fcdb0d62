// Package jcs writes and checks the JSON Canonicalization Scheme (RFC 8785):
// the one form of a JSON value that is hashed.
//
// It reads I-JSON (RFC 7493) strictly: a text with a key given twice, a lone
// surrogate, invalid UTF-8, a number out of range or anything behind the value
// is an error, and so is nesting deeper than MaxDepth. It works on bytes in one
// pass, without reflection, because every member of a network checks every
// event.
package jcs

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deeply objects and lists may be nested.
const MaxDepth = 64

// SyntaxError says where and why a text is not the JSON that is wanted.
type SyntaxError struct {
	Offset int // in bytes from the beginning of the text
	Reason string
}

// Error implements error.
func (e *SyntaxError) Error() string { return fmt.Sprintf("at byte %d: %s", e.Offset, e.Reason) }

func fail(offset int, reason string) error { return &SyntaxError{offset, reason} }

// Append appends the canonical form of the JSON value src to dst. Errors are
// SyntaxErrors.
func Append(dst, src []byte) ([]byte, error) { return canonical(writer{src: src, dst: dst}) }

// AppendExact is Append for values that nothing may be lost of: it refuses
// integers that are too large to be exact; see InexactInteger.
func AppendExact(dst, src []byte) ([]byte, error) {
	return canonical(writer{src: src, dst: dst, exact: true})
}

func canonical(w writer) ([]byte, error) {
	src, dst := w.src, w.dst
	pos, err := w.value(skipSpace(src, 0), 0)
	if err != nil {
		return dst, err
	}
	if pos = skipSpace(src, pos); pos != len(src) {
		return dst, fail(pos, "there is text behind the value")
	}
	return w.dst, nil
}

// writer turns one text into its canonical form.
type writer struct {
	src, dst []byte
	exact    bool
	// members are the members written of the objects that are open.
	members []member
	scratch []byte
}

// member is where a member of an object stands in the output.
type member struct {
	start, keyEnd, end int
	plain              bool // the key is ASCII without escapes
}

// value writes the value at pos and returns where it ends.
func (w *writer) value(pos, depth int) (int, error) {
	if pos >= len(w.src) {
		return pos, fail(pos, "a value is missing")
	}
	if depth > MaxDepth {
		return pos, fail(pos, "nested too deeply")
	}
	switch c := w.src[pos]; c {
	case '{':
		return w.object(pos, depth)
	case '[':
		return w.array(pos, depth)
	case '"':
		_, end, err := w.string(pos)
		return end, err
	default:
		if c == '-' || c >= '0' && c <= '9' {
			return w.number(pos)
		}
		end, err := scanWord(w.src, pos)
		if err == nil {
			w.dst = append(w.dst, w.src[pos:end]...)
		}
		return end, err
	}
}

func (w *writer) array(pos, depth int) (int, error) {
	w.dst = append(w.dst, '[')
	pos = skipSpace(w.src, pos+1)
	if pos < len(w.src) && w.src[pos] == ']' {
		w.dst = append(w.dst, ']')
		return pos + 1, nil
	}
	for {
		var err error
		if pos, err = w.value(pos, depth+1); err != nil {
			return pos, err
		}
		more, next, err := separator(w.src, skipSpace(w.src, pos), ']')
		if err != nil {
			return next, err
		}
		w.dst = append(w.dst, w.src[next-1])
		if !more {
			return next, nil
		}
		pos = skipSpace(w.src, next)
	}
}

func (w *writer) object(pos, depth int) (int, error) {
	w.dst = append(w.dst, '{')
	pos = skipSpace(w.src, pos+1)
	if pos < len(w.src) && w.src[pos] == '}' {
		w.dst = append(w.dst, '}')
		return pos + 1, nil
	}
	begin, first, sorted := len(w.dst), len(w.members), true
	for {
		m := member{start: len(w.dst)}
		plain, end, err := w.string(pos)
		if err != nil {
			return end, err
		}
		m.plain, m.keyEnd = plain, len(w.dst)
		keyAt := pos
		if pos = skipSpace(w.src, end); pos >= len(w.src) || w.src[pos] != ':' {
			return pos, fail(pos, "a colon is missing behind the key")
		}
		w.dst = append(w.dst, ':')
		if pos, err = w.value(skipSpace(w.src, pos+1), depth+1); err != nil {
			return pos, err
		}
		m.end = len(w.dst)
		w.members = append(w.members, m)
		if n := len(w.members) - 1; sorted && n > first {
			order := w.compare(w.members[n-1], m)
			if order == 0 {
				return keyAt, fail(keyAt, "the key is given twice")
			}
			sorted = order < 0
		}
		more, next, err := separator(w.src, skipSpace(w.src, pos), '}')
		if err != nil {
			return next, err
		}
		w.dst = append(w.dst, w.src[next-1])
		if !more {
			if !sorted {
				err = w.sort(begin, w.members[first:], next)
			}
			w.members = w.members[:first]
			return next, err
		}
		pos = skipSpace(w.src, next)
	}
}

// compare orders two keys of the output by their UTF-16 code units (RFC 8785 §3.2.3).
func (w *writer) compare(a, b member) int {
	ka, kb := w.dst[a.start+1:a.keyEnd-1], w.dst[b.start+1:b.keyEnd-1]
	if a.plain && b.plain {
		return bytes.Compare(ka, kb)
	}
	return compareKeys(ka, kb)
}

// sort brings the members of an object, which ends the output, in order.
func (w *writer) sort(begin int, members []member, pos int) error {
	slices.SortFunc(members, w.compare)
	w.scratch = append(w.scratch[:0], w.dst[begin:]...)
	out := w.dst[:begin]
	for i, m := range members {
		if i > 0 {
			if w.compareScratch(begin, members[i-1], m) == 0 {
				return fail(pos-1, "the object has a key twice")
			}
			out = append(out, ',')
		}
		out = append(out, w.scratch[m.start-begin:m.end-begin]...)
	}
	w.dst = append(out, '}')
	return nil
}

// compareScratch is compare where the output is being overwritten.
func (w *writer) compareScratch(begin int, a, b member) int {
	return compareKeys(w.scratch[a.start+1-begin:a.keyEnd-1-begin], w.scratch[b.start+1-begin:b.keyEnd-1-begin])
}

// compareKeys orders the contents of two canonical strings by UTF-16 code units.
func compareKeys(a, b []byte) int { return slices.Compare(units(a), units(b)) }

func units(content []byte) []uint16 {
	var out []uint16
	for i := 0; i < len(content); {
		if content[i] == '\\' {
			r, end, _ := scanEscape(content, i)
			out, i = utf16.AppendRune(out, r), end
			continue
		}
		r, n := utf8.DecodeRune(content[i:])
		out, i = utf16.AppendRune(out, r), i+n
	}
	return out
}

// string writes the string at pos. It answers whether it is plain: ASCII
// without escapes.
func (w *writer) string(pos int) (plain bool, end int, err error) {
	end, kind, err := scanString(w.src, pos)
	if err != nil {
		return false, end, err
	}
	if kind&escaped == 0 {
		w.dst = append(w.dst, w.src[pos:end]...)
	} else {
		w.dst = appendString(w.dst, w.src[pos:end])
	}
	return kind == 0, end, nil
}

// appendString writes a valid string with the escapes that RFC 8785 asks for.
func appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	for i := 1; i < len(s)-1; {
		if s[i] != '\\' {
			dst = append(dst, s[i])
			i++
			continue
		}
		r, end, _ := scanEscape(s, i)
		i = end
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20:
			dst = appendControl(dst, byte(r))
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// AppendString appends the JSON string of a valid UTF-8 text, in RFC 8785 form.
func AppendString(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = appendControl(dst, c)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

func appendControl(dst []byte, c byte) []byte {
	switch c {
	case '\b':
		return append(dst, `\b`...)
	case '\t':
		return append(dst, `\t`...)
	case '\n':
		return append(dst, `\n`...)
	case '\f':
		return append(dst, `\f`...)
	case '\r':
		return append(dst, `\r`...)
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

func (w *writer) number(pos int) (int, error) {
	end, small, err := scanNumber(w.src, pos)
	if err != nil {
		return end, err
	}
	if small {
		w.dst = append(w.dst, w.src[pos:end]...)
		return end, nil
	}
	begin := len(w.dst)
	if w.dst, err = appendNumber(w.dst, w.src[pos:end], pos); err != nil {
		return end, err
	}
	// What is sent may be rounded, and what comes of it may be such an integer.
	if w.exact && (inexact(w.src[pos:end]) || inexact(w.dst[begin:])) {
		return end, fail(pos, InexactInteger)
	}
	return end, nil
}
