package jcs

import (
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

func skipSpace(src []byte, pos int) int {
	for pos < len(src) && (src[pos] == ' ' || src[pos] == '\n' || src[pos] == '\r' || src[pos] == '\t') {
		pos++
	}
	return pos
}

// separator reads a comma or the closing bracket, and answers whether more
// follows and where it ends.
func separator(src []byte, pos int, closing byte) (bool, int, error) {
	if pos < len(src) {
		switch src[pos] {
		case ',':
			return true, pos + 1, nil
		case closing:
			return false, pos + 1, nil
		}
	}
	return false, pos, fail(pos, "a comma or a closing bracket is missing")
}

func scanWord(src []byte, pos int) (int, error) {
	for _, word := range [...]string{"true", "false", "null"} {
		if end := pos + len(word); end <= len(src) && string(src[pos:end]) == word {
			return end, nil
		}
	}
	return pos, fail(pos, "this is not a value")
}

// What scanString notices of a string.
const (
	escaped  = 1 << iota // it has escapes
	nonASCII             // it has characters beyond ASCII
)

// special marks the bytes at which scanString must look closer.
var special = func() (t [256]bool) {
	for c := range t {
		t[c] = c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf
	}
	return t
}()

// scanString checks the string at pos and returns where it ends.
func scanString(src []byte, pos int) (end, kind int, err error) {
	if pos >= len(src) || src[pos] != '"' {
		return pos, 0, fail(pos, "a string is missing")
	}
	for i := pos + 1; i < len(src); {
		c := src[i]
		if !special[c] {
			i++
			continue
		}
		switch {
		case c == '"':
			return i + 1, kind, nil
		case c == '\\':
			if _, i, err = scanEscape(src, i); err != nil {
				return i, 0, err
			}
			kind |= escaped
		case c < 0x20:
			return i, 0, fail(i, "a control character must be escaped")
		default:
			r, n := utf8.DecodeRune(src[i:])
			if r == utf8.RuneError && n == 1 {
				return i, 0, fail(i, "this is not UTF-8")
			}
			kind |= nonASCII
			i += n
		}
	}
	return len(src), 0, fail(len(src), "a string has no end")
}

// scanEscape reads the escape at pos, both halves of a surrogate pair at once.
func scanEscape(src []byte, pos int) (rune, int, error) {
	if pos+1 >= len(src) {
		return 0, pos, fail(pos, "an escape has no end")
	}
	switch c := src[pos+1]; c {
	case '"', '\\', '/':
		return rune(c), pos + 2, nil
	case 'b':
		return '\b', pos + 2, nil
	case 'f':
		return '\f', pos + 2, nil
	case 'n':
		return '\n', pos + 2, nil
	case 'r':
		return '\r', pos + 2, nil
	case 't':
		return '\t', pos + 2, nil
	case 'u':
	default:
		return 0, pos, fail(pos, "there is no such escape")
	}
	r, ok := hex4(src, pos+2)
	if !ok {
		return 0, pos, fail(pos, "four hexadecimal digits are missing")
	}
	if !utf16.IsSurrogate(r) {
		return r, pos + 6, nil
	}
	if pos+7 < len(src) && src[pos+6] == '\\' && src[pos+7] == 'u' {
		if low, ok := hex4(src, pos+8); ok {
			if full := utf16.DecodeRune(r, low); full != utf8.RuneError {
				return full, pos + 12, nil
			}
		}
	}
	return 0, pos, fail(pos, "half of a surrogate pair stands alone")
}

func hex4(src []byte, pos int) (r rune, ok bool) {
	if pos+4 > len(src) {
		return 0, false
	}
	for _, c := range src[pos : pos+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// scanNumber checks the number at pos and returns where it ends, and whether
// it is a whole number so small that its text is canonical.
func scanNumber(src []byte, pos int) (end int, small bool, err error) {
	i := pos
	if src[i] == '-' {
		i++
	}
	first := i
	i = scanDigits(src, i)
	switch {
	case i == first:
		return i, false, fail(i, "a number has no digits")
	case src[first] == '0' && i > first+1:
		return i, false, fail(first, "a number begins with a zero too many")
	}
	small = i-first <= 15 && !(src[first] == '0' && first > pos)
	if i < len(src) && src[i] == '.' {
		small = false
		from := i + 1
		if i = scanDigits(src, from); i == from {
			return i, false, fail(i, "a number has no digits behind its point")
		}
	}
	if i < len(src) && (src[i] == 'e' || src[i] == 'E') {
		small = false
		i++
		if i < len(src) && (src[i] == '+' || src[i] == '-') {
			i++
		}
		from := i
		if i = scanDigits(src, from); i == from {
			return i, false, fail(i, "a number has no digits in its exponent")
		}
	}
	return i, small, nil
}

// InexactInteger is the Reason for which AppendExact and ValidExact refuse an
// integer, written without a point or an exponent, beyond ±(2^53−1): canonical
// numbers are doubles (RFC 7493 §2.2), among which it has no place of its own.
const InexactInteger = "an integer beyond ±9007199254740991 is not exact: write it as a string"

const maxExact = "9007199254740991"

// inexact reports whether a valid number is an integer beyond ±(2^53−1).
func inexact(number []byte) bool {
	if number[0] == '-' {
		number = number[1:]
	}
	if len(number) < len(maxExact) || scanDigits(number, 0) != len(number) {
		return false
	}
	return len(number) > len(maxExact) || string(number) > maxExact
}

func scanDigits(src []byte, pos int) int {
	for pos < len(src) && src[pos] >= '0' && src[pos] <= '9' {
		pos++
	}
	return pos
}

// appendNumber writes a number as ECMAScript's Number::toString does
// (RFC 8785 §3.2.2.3).
func appendNumber(dst, text []byte, pos int) ([]byte, error) {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.IsInf(f, 0) {
		return dst, fail(pos, "a number is out of range")
	}
	if f == 0 {
		return append(dst, '0'), nil // also −0
	}
	if a := math.Abs(f); a >= 1e-6 && a < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64), nil
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// Go writes at least two digits of exponent, ECMAScript as few as it can.
	if n := len(dst); dst[n-2] == '0' && (dst[n-3] == '-' || dst[n-3] == '+') {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst, nil
}
