package jcs

import (
	"bytes"
)

// Valid reports, by a nil error, that src is canonical: byte for byte what
// Append makes of it. Errors are SyntaxErrors.
func Valid(src []byte) error { return validate(checker{src: src}) }

// ValidExact is Valid for what AppendExact makes.
func ValidExact(src []byte) error { return validate(checker{src: src, exact: true}) }

func validate(c checker) error {
	pos, err := c.value(0, 0)
	if err == nil && pos != len(c.src) {
		err = fail(pos, "there is text behind the value")
	}
	return err
}

// checker checks one text.
type checker struct {
	src   []byte
	exact bool
}

// value checks the canonical value at pos and returns where it ends.
func (k *checker) value(pos, depth int) (int, error) {
	src := k.src
	if pos >= len(src) {
		return pos, fail(pos, "a value is missing")
	}
	if depth > MaxDepth {
		return pos, fail(pos, "nested too deeply")
	}
	switch c := src[pos]; c {
	case '{':
		return k.object(pos, depth)
	case '[':
		return k.array(pos, depth)
	case '"':
		end, _, err := checkString(src, pos)
		return end, err
	default:
		if c == '-' || c >= '0' && c <= '9' {
			return k.number(pos)
		}
		return scanWord(src, pos)
	}
}

func (k *checker) array(pos, depth int) (int, error) {
	src := k.src
	pos++
	if pos < len(src) && src[pos] == ']' {
		return pos + 1, nil
	}
	for {
		var err error
		if pos, err = k.value(pos, depth+1); err != nil {
			return pos, err
		}
		more, next, err := separator(src, pos, ']')
		if err != nil || !more {
			return next, err
		}
		pos = next
	}
}

func (k *checker) object(pos, depth int) (int, error) {
	src := k.src
	pos++
	if pos < len(src) && src[pos] == '}' {
		return pos + 1, nil
	}
	var last []byte
	var lastKind int
	for first := true; ; first = false {
		end, kind, err := checkString(src, pos)
		if err != nil {
			return end, err
		}
		key := src[pos+1 : end-1]
		if !first && !before(last, lastKind, key, kind) {
			return pos, fail(pos, "the keys are not in order")
		}
		last, lastKind = key, kind
		if end >= len(src) || src[end] != ':' {
			return end, fail(end, "a colon is missing behind the key")
		}
		if pos, err = k.value(end+1, depth+1); err != nil {
			return pos, err
		}
		more, next, err := separator(src, pos, '}')
		if err != nil || !more {
			return next, err
		}
		pos = next
	}
}

func before(a []byte, kindA int, b []byte, kindB int) bool {
	if kindA|kindB == 0 {
		return bytes.Compare(a, b) < 0
	}
	return compareKeys(a, b) < 0
}

func checkString(src []byte, pos int) (int, int, error) {
	end, kind, err := scanString(src, pos)
	if err != nil || kind&escaped == 0 {
		return end, kind, err
	}
	var buf [128]byte
	if !bytes.Equal(appendString(buf[:0], src[pos:end]), src[pos:end]) {
		return pos, kind, fail(pos, "an escape is not the canonical one")
	}
	return end, kind, nil
}

func (k *checker) number(pos int) (int, error) {
	src := k.src
	end, small, err := scanNumber(src, pos)
	if err != nil || small {
		return end, err
	}
	var buf [32]byte
	canonical, err := appendNumber(buf[:0], src[pos:end], pos)
	if err != nil {
		return pos, err
	}
	if !bytes.Equal(canonical, src[pos:end]) {
		return pos, fail(pos, "a number is not in canonical form")
	}
	if k.exact && inexact(canonical) {
		return pos, fail(pos, InexactInteger)
	}
	return end, nil
}
