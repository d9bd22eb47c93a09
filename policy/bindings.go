package policy

import (
	"math/bits"
	"slices"
	"strings"
)

// requirement is what a principal must be and have for a pattern to match a name. The zero
// requirement is met by everybody.
type requirement struct {
	user   string       // the user must have this name; "": any principal
	groups []string     // the principal must be in all of these; sorted, each once
	claims []ClaimValue // the principal must have all of these; sorted, each once
}

var noRequirement = []requirement{{}}

// isPlaceholder reports whether the part depends on the principal.
func (p part) isPlaceholder() bool {
	return p.kind == userPlaceholder || p.kind == groupPlaceholder || p.kind == claimPlaceholder
}

// ClaimValue is a claim and a text that it holds, as its value or as an item of its list.
type ClaimValue struct {
	Claim string `json:"claim"`
	Value string `json:"value"`
}

// maxBindings is the maximum number of bindings of one pattern. Two claims with a ** between
// them can match a long name in so many ways that nobody would read them.
const maxBindings = 64

// bindings returns the requirements under which the pattern matches the name: one for each way
// to bind its placeholders, none if it cannot match. Ok is false if there are more than
// maxBindings.
func (p pattern) bindings(name *path) (bindings []requirement, ok bool) {
	if !slices.ContainsFunc(p, part.isPlaceholder) {
		if p.match(name, nil) {
			return noRequirement, true
		}
		return nil, true
	}
	// Bit i of open[k]: the pattern from part k on may match the name from position i on.
	var open [maxParts + 1]uint64
	end := uint64(1) << name.parts
	open[len(p)] = end
	for k := len(p) - 1; k >= 0; k-- {
		for i := range name.parts + 1 {
			if p.transitions(k, name, i)&open[k+1] != 0 {
				open[k] |= 1 << i
			}
		}
		if open[k] == 0 {
			return nil, true
		}
	}
	if open[0]&1 == 0 {
		return nil, true
	}
	at := map[int][]requirement{0: {{}}}
	for k := range p {
		next := make(map[int][]requirement, len(at))
		for i, bindings := range at {
			for rest := p.transitions(k, name, i) & open[k+1]; rest != 0; rest &= rest - 1 {
				to := bits.TrailingZeros64(rest)
				for _, binding := range bindings {
					binding, possible := binding.bind(p[k], name, i, to)
					if possible && !slices.ContainsFunc(next[to], binding.equal) {
						next[to] = append(next[to], binding)
					}
				}
				if len(next[to]) > maxBindings {
					return nil, false
				}
			}
		}
		at = next
	}
	return at[name.parts], true
}

// transitions returns the set of positions that part k can reach from position i, for any
// principal.
func (p pattern) transitions(k int, name *path, i int) (positions uint64) {
	end := uint64(1) << name.parts
	switch part := p[k]; {
	case part.kind == doubleStar:
		positions = -(uint64(1) << i) & (end<<1 - 1)
		if k == len(p)-1 {
			positions &^= 1 << i
		}
	case i == name.parts:
	case part.kind == userPlaceholder || part.kind == groupPlaceholder:
		if validPart(name.part(i)) {
			return 1 << (i + 1)
		}
	case part.kind == claimPlaceholder:
		for to := i; to < name.parts && validPart(name.part(to)); to++ {
			positions |= 1 << (to + 1)
		}
	default:
		return part.matchAt(name, i, nil)
	}
	return positions
}

// bind returns the requirement with part p bound to the name's parts from one position to
// another. It is not possible if ${user} would have to be two names at once.
func (n requirement) bind(p part, name *path, from, to int) (_ requirement, possible bool) {
	switch p.kind {
	case userPlaceholder:
		user := name.part(from)
		if n.user != "" && n.user != user {
			return n, false
		}
		n.user = user
	case groupPlaceholder:
		own := name.part(from)
		if at, there := slices.BinarySearch(n.groups, own); !there {
			n.groups = slices.Insert(slices.Clone(n.groups), at, own)
		}
	case claimPlaceholder:
		held := ClaimValue{p.text, name.name[name.starts[from] : name.starts[to]-1]}
		if at, there := slices.BinarySearchFunc(n.claims, held, ClaimValue.compare); !there {
			n.claims = slices.Insert(slices.Clone(n.claims), at, held)
		}
	}
	return n, true
}

func (n requirement) isEmpty() bool { return n.user == "" && len(n.groups) == 0 && len(n.claims) == 0 }

func (n requirement) equal(other requirement) bool {
	return n.user == other.user && slices.Equal(n.groups, other.groups) && slices.Equal(n.claims, other.claims)
}

func (n requirement) compare(other requirement) int {
	if by := strings.Compare(n.user, other.user); by != 0 {
		return by
	}
	if by := slices.Compare(n.groups, other.groups); by != 0 {
		return by
	}
	return slices.CompareFunc(n.claims, other.claims, ClaimValue.compare)
}

func (h ClaimValue) compare(other ClaimValue) int {
	if by := strings.Compare(h.Claim, other.Claim); by != 0 {
		return by
	}
	return strings.Compare(h.Value, other.Value)
}
