package jcs

import (
	"bytes"
)

// Valid reports, by a nil error, that src is canonical: byte for byte what
// Append makes of it. Errors are SyntaxErrors.
func Valid(src []byte) error {
	pos, err := check(src, 0, 0)
	if err == nil && pos != len(src) {
		err = fail(pos, "there is text behind the value")
	}
	return err
}

// check checks the canonical value at pos and returns where it ends.
func check(src []byte, pos, depth int) (int, error) {
	if pos >= len(src) {
		return pos, fail(pos, "a value is missing")
	}
	if depth > MaxDepth {
		return pos, fail(pos, "nested too deeply")
	}
	switch c := src[pos]; c {
	case '{':
		return checkObject(src, pos, depth)
	case '[':
		return checkArray(src, pos, depth)
	case '"':
		end, _, err := checkString(src, pos)
		return end, err
	default:
		if c == '-' || c >= '0' && c <= '9' {
			return checkNumber(src, pos)
		}
		return scanWord(src, pos)
	}
}

func checkArray(src []byte, pos, depth int) (int, error) {
	pos++
	if pos < len(src) && src[pos] == ']' {
		return pos + 1, nil
	}
	for {
		var err error
		if pos, err = check(src, pos, depth+1); err != nil {
			return pos, err
		}
		more, next, err := separator(src, pos, ']')
		if err != nil || !more {
			return next, err
		}
		pos = next
	}
}

func checkObject(src []byte, pos, depth int) (int, error) {
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
		if pos, err = check(src, end+1, depth+1); err != nil {
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

func checkNumber(src []byte, pos int) (int, error) {
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
	return end, nil
}
