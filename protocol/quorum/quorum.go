// Package quorum holds the arithmetic of Byzantine quorums, and the
// certificates that prove one.
package quorum

// Faults is f, the number of Byzantine members that n members tolerate:
// ⌊(n−1)/3⌋.
func Faults(n int) int { return (n - 1) / 3 }

// Size is q, the number of members in a quorum of n: ⌊2n/3⌋+1. Any two quorums
// share at least f+1 members, hence an honest one.
func Size(n int) int { return 2*n/3 + 1 }
