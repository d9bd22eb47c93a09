package policy

import "hash/maphash"

// literalIndex is the hash table of all literal edges of a tree. A literal edge leads from one
// node to another, and its label is the text of a part. In a large policy, most lookups in this
// table miss the processor's caches. So that a lookup reads little memory, the table is one array
// with two words for each entry. The source node and the label of an edge are stored in the edge's
// target node, because the caller reads the target node next in any case. A map whose key is a
// node and a text would read uncached memory more often (see BenchmarkDecideAllOver).
type literalIndex struct {
	slots []slot // its length is a power of two; at least half the slots are free
	used  int
}

type slot struct {
	key uint64
	to  *node // nil: free
}

func newLiteralIndex(expected int) literalIndex {
	size := 8
	for size < 2*expected {
		size *= 2
	}
	return literalIndex{slots: make([]slot, size)}
}

// hashOf returns the hash of a part. The method find needs it.
func hashOf(part string) uint64 { return maphash.String(seed, part) }

func key(from *node, hash uint64) uint64 {
	return hash + uint64(from.number)*0x9e3779b97f4a7c15
}

// find returns the node that a part leads to, or nil. The parameter hash is the hash of the part.
func (e *literalIndex) find(from *node, part string, hash uint64) *node {
	if !from.hasLiterals {
		return nil
	}
	key := key(from, hash)
	for i := key; ; i++ {
		s := &e.slots[i&uint64(len(e.slots)-1)]
		if s.to == nil {
			return nil
		}
		if s.key == key && s.to.from == from && s.to.part == part {
			return s.to
		}
	}
}

// add adds an edge. The index must not have this edge yet.
func (e *literalIndex) add(from, to *node, part string, hash uint64) {
	to.from, to.part = from, part
	from.hasLiterals = true
	e.used++
	if 2*e.used > len(e.slots) {
		before := e.slots
		e.slots = make([]slot, 2*len(before))
		for _, s := range before {
			if s.to != nil {
				e.put(s)
			}
		}
	}
	e.put(slot{key(from, hash), to})
}

func (e *literalIndex) put(s slot) {
	for i := s.key; ; i++ {
		if free := &e.slots[i&uint64(len(e.slots)-1)]; free.to == nil {
			*free = s
			return
		}
	}
}
