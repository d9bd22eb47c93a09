// Package tree is the Merkle tree of the journal: an append-only tree of hashes as in RFC 6962.
//
// Leaves are added at the end of a tree. Adding a leaf requires only the frontier of the tree. A
// tree consists of complete subtrees, at most one of each size. The frontier is the list of their
// roots. Complete subtrees with 2^StoredLevel leaves or more are stored. The hashes of smaller
// subtrees are computed from the leaves when they are needed.
package tree

import (
	"crypto/sha256"
	"fmt"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// StoredLevel is the level of the smallest subtrees whose hashes are stored. GroupSize is the
// number of their leaves.
const (
	StoredLevel = 8
	GroupSize   = 1 << StoredLevel
)

// Hash is the hash of a leaf or of a subtree.
type Hash = tlog.Hash

// LeafPrefix is the first byte of the input of LeafHash. It distinguishes leaves from nodes.
const LeafPrefix = 0x00

// LeafHash returns the hash of a leaf whose data follows LeafPrefix in b. The result equals that
// of tlog.RecordHash(b[1:]), but LeafHash does not allocate.
func LeafHash(b []byte) Hash { return sha256.Sum256(b) }

// Node is a complete subtree. Subtree n of a level begins with leaf n<<level.
type Node struct {
	Level  int
	Number int64
	Hash   Hash
}

// Frontier is a tree to which leaves can be added. The zero value is the empty tree.
type Frontier struct {
	size int64
	// hashes are the hashes of the complete subtrees, the largest first. There is one for each bit
	// that is set in size.
	hashes []Hash
}

// ParseFrontier returns the tree of the given size. The frontier of the tree must be encoded as
// AppendTo encodes it.
func ParseFrontier(size int64, encoded []byte) (Frontier, error) {
	f := Frontier{size: size}
	if size < 0 || len(encoded) != bits.OnesCount64(uint64(size))*tlog.HashSize {
		return Frontier{}, fmt.Errorf("a frontier of %d bytes does not belong to a tree of %d leaves", len(encoded), size)
	}
	for ; len(encoded) > 0; encoded = encoded[tlog.HashSize:] {
		f.hashes = append(f.hashes, Hash(encoded))
	}
	return f, nil
}

// AppendTo appends the hashes of the frontier to b.
func (f *Frontier) AppendTo(b []byte) []byte {
	for i := range f.hashes {
		b = append(b, f.hashes[i][:]...)
	}
	return b
}

// Clone returns a copy.
func (f *Frontier) Clone() Frontier { return Frontier{f.size, slices.Clone(f.hashes)} }

// Size returns the number of leaves.
func (f *Frontier) Size() int64 { return f.size }

// Append adds a complete subtree of the given level. A leaf has level 0. The size of the tree must
// be a multiple of the size of the subtree. The new complete subtrees are the added subtree and
// the subtrees that it completes. Append appends those of StoredLevel or a higher level to the
// list nodes.
func (f *Frontier) Append(nodes []Node, level int, h Hash) []Node {
	size := f.size + 1<<level
	for ; ; level++ {
		number := f.size >> level
		if level >= StoredLevel {
			nodes = append(nodes, Node{level, number, h})
		}
		if number&1 == 0 {
			break
		}
		last := len(f.hashes) - 1
		h = tlog.NodeHash(f.hashes[last], h)
		f.hashes = f.hashes[:last]
	}
	f.hashes = append(f.hashes, h)
	f.size = size
	return nodes
}

// Fits reports whether a complete subtree of the given level can be added.
func (f *Frontier) Fits(level int) bool {
	return level >= 0 && level < 62 && f.size&(1<<level-1) == 0
}

// Root returns the hash of the tree.
func (f *Frontier) Root() Hash {
	if f.size == 0 {
		return sha256.Sum256(nil) // as RFC 6962 defines it
	}
	last := len(f.hashes) - 1
	h := f.hashes[last]
	for i := last - 1; i >= 0; i-- {
		h = tlog.NodeHash(f.hashes[i], h)
	}
	return h
}

// Subtrees returns the complete subtrees that make up a tree of the given size. The largest
// subtree comes first.
func Subtrees(size int64) (nodes []Node) {
	for level := bits.Len64(uint64(size)) - 1; level >= 0; level-- {
		if size>>level&1 == 1 {
			nodes = append(nodes, Node{Level: level, Number: size>>level - 1})
		}
	}
	return nodes
}
