package policy

import (
	"math/bits"
	"slices"
	"strings"
)

// need is what a principal must be, and have, for a pattern to match a name. The zero need asks
// for nothing.
type requirement struct {
	user   string       // it is the user of this name; "": whoever
	groups []string     // it is in all of these, in order and each once
	claims []ClaimValue // it has all of these, in order and each once
}

var noRequirement = []requirement{{}}

// asks reports whether the part looks at who asks.
func (p part) isPlaceholder() bool {
	return p.kind == userPlaceholder || p.kind == groupPlaceholder || p.kind == claimPlaceholder
}

// Held is a claim and a text that it holds: as itself, or as one of its list.
type ClaimValue struct {
	Claim string `json:"claim"`
	Value string `json:"value"`
}

// maxNeeds bounds the needs of one pattern. Two claims and a ** between them may meet in a long
// name in very many ways, of which nobody would read more.
const maxBindings = 64

// needs returns the ways in which the pattern matches the name, by what its placeholders would
// have to stand for: none if it cannot match at all. Ok is false if there are more ways than
// anybody would read.
func (p pattern) bindings(name *path) (bindings []requirement, ok bool) {
	if !slices.ContainsFunc(p, part.isPlaceholder) {
		if p.match(name, nil) {
			return noRequirement, true
		}
		return nil, true
	}
	var open [maxParts + 1]uint64 // bit i of open[k]: the parts from k on may match the name from place i on
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

// leads returns the set of positions to which part k may lead from place i, whoever asks.
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

// and returns the need with that of a part that leads from one place to another. It is not
// possible if a placeholder would have to stand for two names at once.
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
