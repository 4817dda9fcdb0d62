package merkle_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol/merkle"
)

// naiveRoot is RFC 6962 §2.1 as it is written.
func naiveRoot(leaves [][]byte) [32]byte {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	default:
		k := 1
		for k*2 < n {
			k *= 2
		}
		l, r := naiveRoot(leaves[:k]), naiveRoot(leaves[k:])
		return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
	}
}

func leaf(i int) []byte { return fmt.Appendf(nil, "leaf %d", i) }

func TestRootsAgainstNaive(t *testing.T) {
	var tail merkle.Tail
	var leaves [][]byte
	for n := range 130 {
		if got, want := tail.Root(), naiveRoot(leaves); got != want {
			t.Fatalf("root of %d leaves is %x, want %x", n, got, want)
		}
		leaves = append(leaves, leaf(n))
		tail.Append(tlog.RecordHash(leaf(n)))
	}
	for n := uint64(0); n <= tail.Size(); n++ {
		if got, err := tail.RootAt(n); err != nil || got != naiveRoot(leaves[:n]) {
			t.Fatalf("root at %d: %x, %v", n, got, err)
		}
	}
}

// TestRandomWalk grows, rewinds, rebases and reopens a tail at random and holds
// it to the naive tree and to proofs.
func TestRandomWalk(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		tail := &merkle.Tail{}
		var leaves [][]byte
		var views []merkle.View
		var roots [][32]byte
		for range 60 {
			switch rng.IntN(6) {
			case 0:
				size := tail.Base() + rng.Uint64N(tail.Size()-tail.Base()+1)
				if err := tail.Rewind(size); err != nil {
					t.Fatal(err)
				}
				leaves = leaves[:size:size]
			case 1:
				if err := tail.Rebase(tail.Base() + rng.Uint64N(tail.Size()-tail.Base()+1)); err != nil {
					t.Fatal(err)
				}
			case 2:
				again, err := merkle.NewTail(tail.Size(), tail.Frontier())
				if err != nil {
					t.Fatal(err)
				}
				tail = again
			default:
				for range rng.IntN(9) {
					l := fmt.Appendf(nil, "%d", rng.Uint64())
					leaves = append(leaves, l)
					tail.Append(tlog.RecordHash(l))
				}
			}
			if tail.Root() != naiveRoot(leaves) {
				t.Fatalf("seed %d: wrong root at %d", seed, len(leaves))
			}
			views, roots = append(views, tail.Snapshot()), append(roots, tail.Root())
			proveAll(t, tail.Snapshot(), leaves)
		}
		for i := range views {
			if got, err := views[i].RootAt(views[i].Size()); err != nil || got != roots[i] {
				t.Fatalf("seed %d: view %d changed: %v", seed, i, err)
			}
		}
	}
}

func proveAll(t *testing.T, v merkle.View, leaves [][]byte) {
	t.Helper()
	root := naiveRoot(leaves)
	for i := v.Base(); i < v.Size(); i++ {
		p, err := v.Inclusion(i)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckRecord(p, int64(v.Size()), root, int64(i), tlog.RecordHash(leaves[i])); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHashesFrom(t *testing.T) {
	var tail merkle.Tail
	var all []tlog.Hash
	for i := range 40 {
		tail.Append(tlog.RecordHash(leaf(i)))
		all = append(all, tail.HashesFrom(uint64(i))...)
	}
	reader := tlog.HashReaderFunc(func(idx []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(idx))
		for i, x := range idx {
			out[i] = all[x]
		}
		return out, nil
	})
	want, err := tlog.TreeHash(40, reader)
	if err != nil || want != tlog.Hash(tail.Root()) {
		t.Errorf("%v, %v", want, err)
	}
	frontier, err := merkle.Frontier(40, reader)
	if err != nil {
		t.Fatal(err)
	}
	again, err := merkle.NewTail(40, frontier)
	if err != nil || again.Root() != tail.Root() {
		t.Error(err)
	}
}

func TestBounds(t *testing.T) {
	var tail merkle.Tail
	for i := range 10 {
		tail.Append(tlog.RecordHash(leaf(i)))
	}
	if err := tail.Rebase(6); err != nil {
		t.Fatal(err)
	}
	for _, size := range []uint64{5, 11} {
		if err := tail.Rewind(size); err == nil {
			t.Errorf("rewinds to %d", size)
		}
		if err := tail.Rebase(size); err == nil {
			t.Errorf("rebases to %d", size)
		}
	}
	if _, err := tail.Inclusion(3); err == nil {
		t.Error("proves a forgotten leaf")
	}
	if _, err := tail.ReadHashes([]int64{1 << 40}); err == nil {
		t.Error("reads behind the tree")
	}
	if _, err := merkle.NewTail(3, nil); err == nil {
		t.Error("takes a frontier of the wrong length")
	}
}

func BenchmarkAppend(b *testing.B) {
	var tail merkle.Tail
	h := tlog.RecordHash([]byte("x"))
	for b.Loop() {
		tail.Append(h)
		if tail.Leaves() > 8192 {
			if err := tail.Rebase(tail.Size()); err != nil {
				b.Fatal(err)
			}
		}
	}
}
