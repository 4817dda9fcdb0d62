// Package glob matches dotted names, such as the types of actions.
package glob

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// MaxBytes bounds the length of a pattern.
const MaxBytes = 256

// rest is the last segment of a pattern that takes all that follows.
const rest = "**"

var segmentPattern = regexp.MustCompile(`^[A-Za-z0-9_*-]+$`)

// Pattern is a dotted name in which a star stands for any characters but dots,
// so that a segment which is a star is any one segment. Two stars, as the last
// segment, are all segments that follow, at least one. The zero Pattern matches
// the empty name only.
type Pattern struct{ text string }

// Parse reads a pattern.
func Parse(text string) (Pattern, error) {
	if text == "" || len(text) > MaxBytes {
		return Pattern{}, fmt.Errorf("want 1 to %d bytes, such as config.* or membership.**", MaxBytes)
	}
	for segment, more := range segments(text) {
		switch {
		case segment == rest && more:
			return Pattern{}, errors.New("two stars stand for all that follows: they are the last segment")
		case segment != rest && strings.Contains(segment, rest):
			return Pattern{}, errors.New("two stars are a segment of their own, as in config.**")
		case !segmentPattern.MatchString(segment):
			return Pattern{}, fmt.Errorf("%q is not a segment of letters, digits, dashes, underscores and stars, with dots between segments", segment)
		}
	}
	return Pattern{text}, nil
}

// segments goes through what lies between the dots, and tells of each whether
// another one follows.
func segments(text string) func(yield func(string, bool) bool) {
	return func(yield func(string, bool) bool) {
		for more := true; more; {
			var segment string
			segment, text, more = strings.Cut(text, ".")
			if !yield(segment, more) {
				return
			}
		}
	}
}

// String is the pattern as it was parsed.
func (p Pattern) String() string { return p.text }

// Any reports whether the pattern matches every name.
func (p Pattern) Any() bool { return p.text == rest }

// Match reports whether a name matches as a whole.
func (p Pattern) Match(name string) bool {
	pattern, left := p.text, name
	for {
		want, patternTail, patternMore := strings.Cut(pattern, ".")
		if want == rest {
			return true
		}
		got, nameTail, nameMore := strings.Cut(left, ".")
		if patternMore != nameMore || !matchSegment(want, got) {
			return false
		}
		if !patternMore {
			return true
		}
		pattern, left = patternTail, nameTail
	}
}

// matchSegment matches with stars. A star takes as little as it can, and where
// that leads nowhere only the last one takes more: all before it match anyway.
func matchSegment(pattern, name string) bool {
	p, n := 0, 0
	star, from := -1, 0 // the last star, and the first byte behind what it takes
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, n
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			p, n = p+1, n+1
		case star >= 0:
			from++
			p, n = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
