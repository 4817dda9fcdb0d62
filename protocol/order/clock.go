package order

import (
	"slices"

	"github.com/strataos/strataos/protocol"
)

// Clock says how much of every log is in a past, in leaves, by member. Of a log
// that it is too short for, nothing is.
type Clock []uint64

// At is how much of a log is in the past.
func (c Clock) At(log protocol.MemberID) uint64 {
	if int(log) >= len(c) {
		return 0
	}
	return c[log]
}

// Covers reports whether all of the other past is in this one.
func (c Clock) Covers(other Clock) bool {
	for i, size := range other {
		if size > 0 && (i >= len(c) || size > c[i]) {
			return false
		}
	}
	return true
}

// Merge returns the union of two pasts, and leaves both as they are.
func (c Clock) Merge(other Clock) Clock {
	if len(c) < len(other) {
		c, other = other, c
	}
	out := slices.Clone(c)
	for i, size := range other {
		out[i] = max(out[i], size)
	}
	return out
}
