package policy

import (
	"hash/maphash"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/dn"
)

// seed is of every hash here. It is one for the process, so that the subjects of a principal, once
// hashed, are good for each policy that is swapped in; and it is a secret, so that nobody can
// choose names that meet in one place of a table.
var seed = maphash.MakeSeed()

const hashFactor = 0x9e3779b9 // spreads the few kinds over all bits

// spread returns what tells the hashes of the kind from those of others.
func (k subjectKind) hashOffset() uint32 { return uint32(k) * hashFactor }

// groupHash returns the hash of a group, of that of its name (see hashOf).
func groupHash(name uint64) uint32 { return uint32(name) + group.hashOffset() }

// hash returns the hash of a subject. Subjects are found by hash and then compared.
func (s subject) hash() uint32 {
	if s.kind < user {
		return (uint32(s.kind) + 1) * hashFactor
	}
	return uint32(hashOf(s.name)) + s.kind.hashOffset()
}

// held is the subjects that a principal has, as a set: whether it has one takes as long for
// somebody in a thousand groups as for somebody in none.
type subjectSet struct {
	hashes []uint32 // of the principal's subjects, in the order of Principal.subject
	slots  []uint32 // a power of two of them, at least a quarter free: 1 + where in hashes; 0: free
}

// newHeld returns the set of who's subjects.
func newSubjectSet(who *Principal) *subjectSet {
	n, size := who.count(), 8
	for 3*size < 4*n {
		size *= 2
	}
	h := &subjectSet{make([]uint32, n), make([]uint32, size)}
	hashSubjects(who, h.hashes, h.slots)
	return h
}

// fill fills hashes, which is as long as who has subjects, and places, which are all free.
func hashSubjects(who *Principal, hashes, slots []uint32) {
	for i := range hashes {
		hashes[i] = who.subject(i).hash()
		at := hashes[i]
		for slots[at&uint32(len(slots)-1)] != 0 {
			at++
		}
		slots[at&uint32(len(slots)-1)] = uint32(i + 1)
	}
}

// index is a set that was made before it was needed, with what it was made of.
type index struct {
	subjectSet
	kind   Kind
	name   string
	groups []string

	canonical []string // groups, in their canonical spelling
}

// Indexed returns a copy of the principal that is decided upon faster: its subjects are hashed now
// and not for each decision, which counts for somebody in many groups. It is for who keeps a
// principal and shares it between requests.
//
// A copy of the copy may be changed as any other before it is shared. The index is used only for
// the kind, the name and the list of groups that it was made for.
func (who *Principal) Indexed() *Principal {
	who = orZero(who)
	c := *who
	c.Groups = slices.Clone(who.Groups)
	c.index = &index{*newSubjectSet(&c), c.Kind, c.Name, c.Groups, canonicalNames(c.Groups)}
	return &c
}

// CanonicalGroups returns the groups with distinguished names in their one spelling, as rules and
// conditions compare them. It must not be changed.
func (who *Principal) CanonicalGroups() []string {
	who = orZero(who)
	if who.index.fits(who) {
		return who.index.canonical
	}
	return canonicalNames(who.Groups)
}

// canonicalNames returns names in their canonical spelling: the list itself, if they are, as those
// of sources are.
func canonicalNames(names []string) []string {
	for i, name := range names {
		if c := dn.Canonical(name); c != name {
			own := slices.Clone(names)
			for k := i; k < len(own); k++ {
				own[k] = dn.Canonical(own[k])
			}
			return own
		}
	}
	return names
}

// fits reports whether the index is of what the principal is now.
func (x *index) fits(who *Principal) bool {
	return x != nil && x.kind == who.Kind && x.name == who.Name && len(x.groups) == len(who.Groups) &&
		(len(x.groups) == 0 || &x.groups[0] == &who.Groups[0])
}

// Equal reports whether the two are the same, whichever of them is Indexed. An empty list is as
// good as none.
func (who Principal) Equal(other Principal) bool {
	return who.Kind == other.Kind && who.Name == other.Name && who.Source == other.Source && who.ID == other.ID &&
		slices.Equal(who.Groups, other.Groups) &&
		equalClaims(who.Claims, other.Claims) &&
		slices.EqualFunc(who.Limits, other.Limits, func(a, b Limit) bool {
			return a.Type == b.Type && a.Actions == b.Actions && slices.Equal(a.Names, b.Names)
		})
}
