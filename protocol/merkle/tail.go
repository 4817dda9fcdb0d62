// Package merkle keeps the growing end of RFC 6962 / RFC 9162 Merkle trees in
// memory. Hashing, numbering of stored hashes and proofs are those of
// golang.org/x/mod/sumdb/tlog; what is added is an incremental append that
// costs no lookups, and views that can be read while the tree grows on.
package merkle

import (
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// Tail is the right end of a tree: the roots of the complete subtrees that
// cover its first base leaves, and every stored hash since then. It grows by
// Append and is trimmed by Rebase. The zero value is an empty tree.
type Tail struct {
	View
	// stack holds the roots of the complete subtrees that cover the whole
	// tree, the largest first: the binary digits of its size.
	stack []tlog.Hash
}

// View is an immutable picture of a tree at one size. It answers for every
// stored hash that a proof needs about leaves from its base on.
type View struct {
	base, size int64
	left       []tlog.Hash // complete subtrees that cover [0, base), the largest first
	hashes     []tlog.Hash // stored hashes from tlog.StoredHashCount(base) on
}

// NewTail returns the tail of a tree of the given size, from the roots of its
// complete subtrees, the largest first.
func NewTail(size uint64, frontier []tlog.Hash) (*Tail, error) {
	if bits.OnesCount64(size) != len(frontier) {
		return nil, fmt.Errorf("merkle: a tree of %d leaves has %d complete subtrees, got %d", size, bits.OnesCount64(size), len(frontier))
	}
	left := append([]tlog.Hash(nil), frontier...)
	return &Tail{
		View:  View{base: int64(size), size: int64(size), left: left},
		stack: append([]tlog.Hash(nil), frontier...),
	}, nil
}

// Size is the number of leaves.
func (v *View) Size() uint64 { return uint64(v.size) }

// Base is the first leaf for which the view can prove inclusion.
func (v *View) Base() uint64 { return uint64(v.base) }

// Append adds a leaf by its RFC 6962 leaf hash.
func (t *Tail) Append(leaf tlog.Hash) {
	h := leaf
	t.hashes = append(t.hashes, h)
	// Each trailing one bit of the old size is a complete subtree that the new
	// leaf joins to a larger one.
	for n := t.size; n&1 == 1; n >>= 1 {
		top := len(t.stack) - 1
		h = tlog.NodeHash(t.stack[top], h)
		t.stack = t.stack[:top]
		t.hashes = append(t.hashes, h)
	}
	t.stack = append(t.stack, h)
	t.size++
}

// Root is the RFC 6962 root of the whole tree.
func (t *Tail) Root() [32]byte { return fold(t.stack) }

// Frontier returns the roots of the complete subtrees, the largest first.
func (t *Tail) Frontier() []tlog.Hash { return append([]tlog.Hash(nil), t.stack...) }

// Snapshot returns an immutable view of the tree as it is now. It shares
// memory with the tail, which only ever writes behind it.
func (t *Tail) Snapshot() View {
	v := t.View
	v.hashes = v.hashes[:len(v.hashes):len(v.hashes)]
	return v
}

// HashesFrom returns the stored hashes that the leaves from size on added, in
// the order of tlog.StoredHashIndex. It shares memory with the tail.
func (t *Tail) HashesFrom(size uint64) []tlog.Hash {
	return t.hashes[tlog.StoredHashCount(int64(size))-tlog.StoredHashCount(t.base):]
}

// Rewind drops every leaf from size on. The size must not lie below Base.
func (t *Tail) Rewind(size uint64) error {
	stack, err := t.FrontierAt(size)
	if err != nil {
		return err
	}
	keep := tlog.StoredHashCount(int64(size)) - tlog.StoredHashCount(t.base)
	// Views may still read the dropped hashes: they must not be overwritten.
	t.hashes = t.hashes[:keep:keep]
	t.size = int64(size)
	t.stack = stack
	return nil
}

// Rebase forgets the hashes that only proofs about leaves before size need.
func (t *Tail) Rebase(size uint64) error {
	left, err := t.FrontierAt(size)
	if err != nil {
		return err
	}
	drop := tlog.StoredHashCount(int64(size)) - tlog.StoredHashCount(t.base)
	t.hashes = append([]tlog.Hash(nil), t.hashes[drop:]...)
	t.base = int64(size)
	t.left = left
	return nil
}

// Leaves is the number of leaves the view holds hashes of: Size − Base.
func (v *View) Leaves() int { return int(v.size - v.base) }

// FrontierAt returns the complete subtrees of the tree when it had size
// leaves; Base ≤ size ≤ Size.
func (v *View) FrontierAt(size uint64) ([]tlog.Hash, error) {
	n := int64(size)
	if n < v.base || n > v.size {
		return nil, fmt.Errorf("merkle: size %d is outside the tail [%d, %d]", size, v.base, v.size)
	}
	return v.ReadHashes(frontierIndexes(n))
}

// RootAt is the root the tree had at size leaves; Base ≤ size ≤ Size.
func (v *View) RootAt(size uint64) ([32]byte, error) {
	f, err := v.FrontierAt(size)
	if err != nil {
		return [32]byte{}, err
	}
	return fold(f), nil
}

// ReadHashes implements tlog.HashReader.
func (v *View) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	start := tlog.StoredHashCount(v.base)
	var left []int64
	for i, x := range indexes {
		if x >= start {
			if x-start >= int64(len(v.hashes)) {
				return nil, fmt.Errorf("merkle: stored hash %d lies behind the tree", x)
			}
			out[i] = v.hashes[x-start]
			continue
		}
		if left == nil {
			left = frontierIndexes(v.base)
		}
		found := false
		for j, y := range left {
			if x == y {
				out[i], found = v.left[j], true
			}
		}
		if !found {
			return nil, fmt.Errorf("merkle: stored hash %d lies before the tail", x)
		}
	}
	return out, nil
}

// Inclusion proves that the leaf at index is in the view's tree.
func (v *View) Inclusion(index uint64) (tlog.RecordProof, error) {
	return tlog.ProveRecord(v.size, int64(index), v)
}

// frontierIndexes returns the stored-hash numbers of the complete subtrees of
// a tree with n leaves, the largest first.
func frontierIndexes(n int64) []int64 {
	out := make([]int64, 0, bits.OnesCount64(uint64(n)))
	for level := bits.Len64(uint64(n)) - 1; level >= 0; level-- {
		if n>>level&1 == 1 {
			out = append(out, tlog.StoredHashIndex(level, n>>level-1))
		}
	}
	return out
}

// Frontier reads the complete subtrees of a tree of the given size from r,
// the largest first.
func Frontier(size uint64, r tlog.HashReader) ([]tlog.Hash, error) {
	if size == 0 {
		return nil, nil
	}
	return r.ReadHashes(frontierIndexes(int64(size)))
}

// EmptyRoot is the root of a tree without leaves (RFC 6962 §2.1).
var EmptyRoot = func() [32]byte { h, _ := tlog.TreeHash(0, nil); return h }()

func fold(subtrees []tlog.Hash) [32]byte {
	if len(subtrees) == 0 {
		return EmptyRoot
	}
	h := subtrees[len(subtrees)-1]
	for i := len(subtrees) - 2; i >= 0; i-- {
		h = tlog.NodeHash(subtrees[i], h)
	}
	return h
}
