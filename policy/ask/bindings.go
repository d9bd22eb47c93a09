package ask

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/policy/internal/match"
)

// requirement has the properties that a principal needs so that a pattern matches a name: a user
// name, groups and claims. For example, ${user}/app matches ann/app only for the user ann. Every
// principal meets the zero requirement.
type requirement struct {
	user   string       // the user must have this name; "": any principal
	groups []string     // the principal must be in all of these; sorted, each once
	claims []ClaimValue // the principal must have all of these; sorted, each once
}

// ClaimValue is the name of a claim and a text. A principal meets a ClaimValue if the principal's
// claim is this text, or a list that contains this text.
type ClaimValue struct {
	Claim string `json:"claim"`
	Value string `json:"value"`
}

// maxBindings is the maximum number of requirements that bindingsOf returns for one pattern. A
// pattern with two claims and a ** between them can match a long name in very many ways. Nobody
// would read such a long answer.
const maxBindings = 64

// bindingsOf returns the requirements under which the pattern matches the name. There is one
// requirement for each way in which the pattern's placeholders can stand for parts of the name.
// If the pattern cannot match, the list is empty. If there are more than maxBindings
// requirements, the list is nil and ok is false.
func bindingsOf(p match.Pattern, name *match.Path) (bindings []requirement, ok bool) {
	if !slices.ContainsFunc(p, match.Part.IsPlaceholder) {
		if p.Match(name, nil) {
			bindings = []requirement{{}}
		}
		return bindings, true
	}
	// Bit i of open[k] is set if the parts of the pattern from index k on can match the parts
	// of the name from index i on.
	var open [match.MaxParts + 1]uint64
	end := uint64(1) << name.Parts
	open[len(p)] = end
	for k := len(p) - 1; k >= 0; k-- {
		for i := range name.Parts + 1 {
			if transitions(p, k, name, i)&open[k+1] != 0 {
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
			for rest := transitions(p, k, name, i) & open[k+1]; rest != 0; rest &= rest - 1 {
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
	return at[name.Parts], true
}

// transitions returns the positions of the name at which part k of the pattern can end if the
// part begins at position i. The result has a position if the part can end there for at least one
// principal. The result is a bit set.
func transitions(p match.Pattern, k int, name *match.Path, i int) (positions uint64) {
	end := uint64(1) << name.Parts
	switch part := p[k]; {
	case part.Kind == match.DoubleStar:
		positions = -(uint64(1) << i) & (end<<1 - 1)
		if k == len(p)-1 {
			positions &^= 1 << i
		}
	case i == name.Parts:
	case part.Kind == match.UserPlaceholder || part.Kind == match.GroupPlaceholder:
		if match.ValidPart(name.Part(i)) {
			return 1 << (i + 1)
		}
	case part.Kind == match.ClaimPlaceholder:
		for to := i; to < name.Parts && match.ValidPart(name.Part(to)); to++ {
			positions |= 1 << (to + 1)
		}
	default:
		return part.MatchAt(name, i, nil)
	}
	return positions
}

// bind returns n with the additional requirement that the pattern part p stands for the parts of
// the name with the indexes in [from, to). If p is ${user} and n already requires another user
// name, possible is false.
func (n requirement) bind(p match.Part, name *match.Path, from, to int) (_ requirement, possible bool) {
	switch p.Kind {
	case match.UserPlaceholder:
		user := name.Part(from)
		if n.user != "" && n.user != user {
			return n, false
		}
		n.user = user
	case match.GroupPlaceholder:
		own := name.Part(from)
		if at, there := slices.BinarySearch(n.groups, own); !there {
			n.groups = slices.Insert(slices.Clone(n.groups), at, own)
		}
	case match.ClaimPlaceholder:
		held := ClaimValue{p.Text, name.Between(from, to)}
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
	return cmp.Or(
		strings.Compare(n.user, other.user), slices.Compare(n.groups, other.groups), slices.CompareFunc(n.claims, other.claims, ClaimValue.compare),
	)
}

func (h ClaimValue) compare(other ClaimValue) int {
	return cmp.Or(strings.Compare(h.Claim, other.Claim), strings.Compare(h.Value, other.Value))
}
