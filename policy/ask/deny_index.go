package ask

import (
	"slices"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/internal/match"
)

// denyIndex finds unconditional deny rules that apply to all principals of a grantee. Each of
// these principals must have certain subjects. The index stores a denied grantee under one of
// these subjects: the subject that the fewest principals are likely to have. So a lookup scans
// few candidates.
type denyIndex struct {
	bySubject map[match.Subject][]*Grantee
	left      int // comparisons left; after the last one, denied grantees are listed in Except
}

func newDenyIndex(denied []Grantee) denyIndex {
	b := denyIndex{make(map[match.Subject][]*Grantee), 10_000_000}
	for i := range denied {
		if g := &denied[i]; g.Rule.When == nil && g.Pattern == "" {
			rarest := g.subjects[len(g.subjects)-1]
			b.bySubject[rarest] = append(b.bySubject[rarest], g)
		}
	}
	return b
}

// findCovering returns a rule that denies the action to all principals of g, or nil if it finds no
// such rule.
func (b *denyIndex) findCovering(g *Grantee) *policy.Rule {
	for _, s := range append([]match.Subject{{Kind: match.Anyone}, {Kind: match.SignedIn}}, g.subjects...) {
		for _, denied := range b.bySubject[s] {
			if b.left--; b.left < 0 {
				return nil
			}
			if denied.contains(g) {
				return denied.Rule
			}
		}
	}
	return nil
}

// contains reports whether g includes all principals of the other grantee.
func (g *Grantee) contains(other *Grantee) bool {
	for _, s := range g.subjects {
		if !other.implies(s) {
			return false
		}
	}
	return !slices.ContainsFunc(g.Claims, func(c ClaimValue) bool { return !slices.Contains(other.Claims, c) })
}

// implies reports whether all principals of g have the subject s.
func (g *Grantee) implies(s match.Subject) bool {
	return s.Kind == match.Anyone || slices.ContainsFunc(g.subjects, func(own match.Subject) bool {
		return own == s || s.Kind == match.SignedIn && own.Kind.Named()
	})
}

// granteeSummary records which kinds of principals, and which named principals, a list of grantees
// includes. With it, mayOverlap need not read the whole list.
type granteeSummary struct {
	anonymous, signedIn bool // the list may have principals of this kind that are not in the map
	named               map[match.Subject]bool
}

func summarize(grantees []Grantee) granteeSummary {
	c := granteeSummary{named: make(map[match.Subject]bool)}
	for i := range grantees {
		switch s := grantees[i].subjects[0]; s.Kind {
		case match.Anyone:
			c.anonymous, c.signedIn = true, true
		case match.Anonymous:
			c.anonymous = true
		case match.User, match.Robot, match.Workload:
			c.named[s] = true
		default:
			c.signedIn = true
		}
	}
	return c
}

// mayOverlap reports whether a principal of g could be among the summarized grantees.
func (c granteeSummary) mayOverlap(g *Grantee) bool {
	switch s := g.subjects[0]; s.Kind {
	case match.Anyone:
		return c.anonymous || c.signedIn || len(c.named) > 0
	case match.Anonymous:
		return c.anonymous
	case match.User, match.Robot, match.Workload:
		return c.signedIn || c.named[s]
	}
	return c.signedIn || len(c.named) > 0
}
