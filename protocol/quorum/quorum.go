// Package quorum holds the arithmetic of Byzantine quorums, and the
// certificates that prove one.
package quorum

// Faults is f, the number of Byzantine members that n members tolerate:
// ⌊(n−1)/3⌋.
func Faults(n int) int { return (n - 1) / 3 }

// Size is q, the number of members in a quorum of n: ⌊2n/3⌋+1. Any two quorums
// share at least f+1 members, hence an honest one.
func Size(n int) int { return 2*n/3 + 1 }

// Overlaps reports whether any quorum of n members and any quorum of next
// members share an honest one, where both together are union different parties.
func Overlaps(n, next, union int) bool {
	return Size(n)+Size(next)-union > max(Faults(n), Faults(next))
}

// Shares reports whether any quorums of two neighbouring committees share an
// honest member. Where one joins and one leaves they count as one party: a
// member that goes on under another key.
func Shares(c, next *Committee) bool {
	common := 0
	for _, id := range next.Members() {
		if c.Has(id) {
			common++
		}
	}
	left, joined := c.N()-common, next.N()-common
	union := common + left + joined
	if left == 1 && joined == 1 {
		union--
	}
	return Overlaps(c.N(), next.N(), union)
}
