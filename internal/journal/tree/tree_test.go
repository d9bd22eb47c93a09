package tree_test

import (
	"fmt"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
)

// storedTree is a tree of package tlog that stores all hashes.
type storedTree []tlog.Hash

func (s storedTree) ReadHashes(indexes []int64) (hashes []tlog.Hash, err error) {
	for _, i := range indexes {
		hashes = append(hashes, s[i])
	}
	return hashes, nil
}

func (s *storedTree) add(t *rapid.T, number int64, data []byte) {
	hashes, err := tlog.StoredHashes(number, data, s)
	if err != nil {
		t.Fatal(err)
	}
	*s = append(*s, hashes...)
}

func (s storedTree) hash(level int, number int64) tlog.Hash {
	return s[tlog.StoredHashIndex(level, number)]
}

// A tree that grows in batches equals the tree of package tlog. Between the batches, its frontier
// is encoded and decoded.
func TestPropertyATreeIsThatOfTlog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all storedTree
		var f tree.Frontier
		var nodes, want []tree.Node
		for _, batch := range rapid.SliceOfN(rapid.IntRange(0, 700), 1, 6).Draw(t, "batches") {
			for range batch {
				number := f.Size()
				data := fmt.Append(nil, number)
				nodes = f.Append(nodes, 0, tree.LeafHash(append([]byte{tree.LeafPrefix}, data...)))
				all.add(t, number, data)
			}
			root, err := tlog.TreeHash(f.Size(), all)
			if err != nil || f.Root() != root {
				t.Fatalf("with %d leaves, the root is %v, want %v, %v", f.Size(), f.Root(), root, err)
			}
			if f, err = tree.ParseFrontier(f.Size(), f.AppendTo(nil)); err != nil || f.Root() != root {
				t.Fatalf("read again: %v, %v", f.Root(), err)
			}
			var encoded []byte
			for _, n := range tree.Subtrees(f.Size()) {
				h := all.hash(n.Level, n.Number)
				encoded = append(encoded, h[:]...)
			}
			if !slices.Equal(encoded, f.AppendTo(nil)) {
				t.Fatalf("with %d leaves, the frontier does not match the result of Subtrees", f.Size())
			}
		}
		for number := range f.Size() {
			for level := tree.StoredLevel; (number+1)&(1<<level-1) == 0; level++ {
				want = append(want, tree.Node{Level: level, Number: number >> level, Hash: all.hash(level, number>>level)})
			}
		}
		if !slices.Equal(nodes, want) {
			t.Fatalf("nodes: %v, want %v", nodes, want)
		}
	})
}

// A tree that is built from subtrees equals a tree that is built from the leaves of these
// subtrees.
func TestPropertyATreeCanBeBuiltOfSubtrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all storedTree
		size := rapid.Int64Range(0, 1500).Draw(t, "size")
		var whole, parts tree.Frontier
		var nodes, partNodes []tree.Node
		for number := range size {
			all.add(t, number, fmt.Append(nil, number))
			nodes = whole.Append(nodes, 0, all.hash(0, number))
		}
		for parts.Size() < size {
			level := rapid.IntRange(0, 10).Draw(t, "level")
			for !parts.Fits(level) || parts.Size()+1<<level > size {
				level--
			}
			partNodes = parts.Append(partNodes, level, all.hash(level, parts.Size()>>level))
		}
		if parts.Root() != whole.Root() {
			t.Fatalf("the root is %v, want %v", parts.Root(), whole.Root())
		}
		for _, n := range partNodes {
			if !slices.Contains(nodes, n) {
				t.Fatalf("%v is not a node of the tree", n)
			}
		}
	})
}

func TestAFrontierBelongsToItsSize(t *testing.T) {
	for _, tt := range []struct {
		size  int64
		bytes int
	}{{-1, 0}, {0, 1}, {1, 0}, {1, 31}, {1, 64}, {3, 32}, {4, 64}} {
		if f, err := tree.ParseFrontier(tt.size, make([]byte, tt.bytes)); err == nil {
			t.Errorf("%d bytes were accepted as a frontier of %d leaves: %v", tt.bytes, tt.size, f)
		}
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	var f tree.Frontier
	nodes := make([]tree.Node, 0, 64)
	leaf := append([]byte{tree.LeafPrefix}, "data"...)
	for range 1023 {
		nodes = f.Append(nodes[:0], 0, tree.LeafHash(leaf))
	}
	if n := testing.AllocsPerRun(1000, func() { nodes = f.Append(nodes[:0], 0, tree.LeafHash(leaf)) }); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}
