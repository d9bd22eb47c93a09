// Package index defines the interface of an index of the journal's entries. An index finds entries
// by their terms, so that a search reads few blocks. An index is optional. Without an index, or if
// the index fails, the journal finds the same entries. It reads all blocks in the time range of
// the query.
package index

import (
	"context"
	"time"
)

// Reader finds entries.
type Reader interface {
	// Find returns the entries that have a term of each list and whose times are in the range. The
	// lists that select the fewest entries come first. The parameter lists can be empty. A zero
	// time does not limit the range.
	Find(ctx context.Context, lists [][]Term, since, until time.Time) (Candidates, error)
}

// Candidates are the result of Find: all entries that match, and perhaps others. Positions have
// the meaning of journal.Position.
type Candidates interface {
	// Covers returns the position up to which entries are indexed, and the position and id of the
	// last entry that was indexed. If the journal has a different id at that position, the index
	// belongs to another journal.
	Covers() (upTo, last int64, id [16]byte)
	// Next returns the last group that begins at or before a position. It can return an empty
	// group after some time, so that a search can be interrupted. A group with First < 0 is the
	// end.
	Next(ctx context.Context, from int64) (Group, error)
	Close()
}

// Term is a property by which entries are found. The journal defines the fields.
type Term struct {
	Field byte
	Value string
}

// GroupSize is the number of positions in a Group.
const GroupSize = 256

// Group selects some of the entries at GroupSize consecutive positions.
type Group struct {
	First   int64 // a multiple of GroupSize
	Entries Set   // the entry at First+i is a candidate if i is in the set
}

// Set is a set of numbers below GroupSize.
type Set [GroupSize / 64]uint64

// Has reports whether a number is in the set.
func (s *Set) Has(i uint8) bool { return s[i/64]>>(i%64)&1 != 0 }

// Add adds a number.
func (s *Set) Add(i uint8) { s[i/64] |= 1 << (i % 64) }
