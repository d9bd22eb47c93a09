package policy

import (
	"hash/maphash"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/dn"
	"github.com/tidewaiter/tidewaiter/policy/internal/claim"
	"github.com/tidewaiter/tidewaiter/policy/internal/match"
)

// seed is the seed of every hash in this package. It is the same for the whole process, so that
// the hashed subjects of a principal stay valid when the policy is replaced. It is secret, so
// that nobody can choose names whose hashes collide.
var seed = maphash.MakeSeed()

// hashFactor spreads the few subject kinds over all bits of a hash.
const hashFactor = 0x9e3779b9

// hashOffset makes the hashes of a kind differ from the hashes of other kinds.
func hashOffset(k match.SubjectKind) uint32 { return uint32(k) * hashFactor }

// groupHash returns the hash of a group from the hash of its name (see hashOf).
func groupHash(name uint64) uint32 { return uint32(name) + hashOffset(match.Group) }

// hashOfSubject returns the hash of a subject. A lookup compares hashes first and then subjects.
func hashOfSubject(s match.Subject) uint32 {
	if !s.Kind.Named() {
		return (uint32(s.Kind) + 1) * hashFactor
	}
	return uint32(hashOf(s.Name)) + hashOffset(s.Kind)
}

// properties returns the properties of the principal that rules depend on.
func (who *Principal) properties() match.Who {
	return match.Who{Kind: match.SubjectKind(who.Kind), Name: who.Name, Groups: who.Groups, Claims: who.Claims}
}

// subjectSet is the set of subjects of a principal. The time of a lookup does not depend on the
// number of the principal's groups.
type subjectSet struct {
	hashes []uint32 // in the order of match.Who.Subject
	// slots is a hash table. A slot is 0 if it is free. Otherwise it is 1 plus an index into
	// hashes. The number of slots is a power of two, and at least a quarter of the slots are free.
	slots []uint32
}

// newSubjectSet returns the subjects of a principal.
func newSubjectSet(who *match.Who) *subjectSet {
	n, size := who.Count(), 8
	for 3*size < 4*n {
		size *= 2
	}
	h := &subjectSet{make([]uint32, n), make([]uint32, size)}
	hashSubjects(who, h.hashes, h.slots)
	return h
}

// hashSubjects fills two slices: hashes, and the hash table in slots. The slice hashes has one
// element for each subject of the principal. All elements of slots must be zero before the call.
func hashSubjects(who *match.Who, hashes, slots []uint32) {
	for i := range hashes {
		hashes[i] = hashOfSubject(who.Subject(i))
		at := hashes[i]
		for slots[at&uint32(len(slots)-1)] != 0 {
			at++
		}
		slots[at&uint32(len(slots)-1)] = uint32(i + 1)
	}
}

// index is a subject set that was built in advance, with the values from which it was built.
type index struct {
	subjectSet
	kind   match.SubjectKind
	name   string
	groups []string

	canonical []string // groups in their canonical spelling
}

// Indexed returns a copy of the principal with hashed subjects, so that decisions need not hash
// them. Indexing saves time if the principal is in many groups and is used for many requests.
//
// The copy may be copied and changed like any other principal. After a change of the kind, the
// name or the list of groups, the index is ignored.
func (who *Principal) Indexed() *Principal {
	c := *match.OrZero(who)
	c.Groups = slices.Clone(c.Groups)
	facts := c.properties()
	c.index = &index{*newSubjectSet(&facts), facts.Kind, c.Name, c.Groups, canonicalNames(c.Groups)}
	return &c
}

// CanonicalGroups returns the groups, with distinguished names in canonical spelling. Rules and
// conditions compare this spelling. The result must not be changed.
func (who *Principal) CanonicalGroups() []string {
	who = match.OrZero(who)
	if facts := who.properties(); who.index.fits(&facts) {
		return who.index.canonical
	}
	return canonicalNames(who.Groups)
}

// canonicalNames returns names in canonical spelling. If all names are canonical already, it
// returns the list itself. Names from identity sources are canonical.
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

// fits reports whether the index was built for the principal's current kind, name and groups.
func (x *index) fits(who *match.Who) bool {
	return x != nil && x.kind == who.Kind && x.name == who.Name && len(x.groups) == len(who.Groups) &&
		(len(x.groups) == 0 || &x.groups[0] == &who.Groups[0])
}

// Equal reports whether two principals are equal. It ignores whether they are Indexed. An empty
// list is equal to a nil list.
func (who Principal) Equal(other Principal) bool {
	return who.Kind == other.Kind && who.Name == other.Name && who.Source == other.Source && who.ID == other.ID &&
		slices.Equal(who.Groups, other.Groups) &&
		claim.Equal(who.Claims, other.Claims) &&
		slices.EqualFunc(who.Limits, other.Limits, func(a, b Limit) bool {
			return a.Type == b.Type && a.Actions == b.Actions && slices.Equal(a.Names, b.Names)
		})
}
