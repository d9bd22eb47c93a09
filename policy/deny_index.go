package policy

// denyIndex finds the unconditional deny rules that apply to a grantee. Rules are keyed by the
// least common subject that they require, so a lookup scans few candidates.
type denyIndex struct {
	bySubject map[subject][]*Grantee
	left      int // comparisons left; after that, denied grantees are listed in Except
}

func newDenyIndex(denied []Grantee) denyIndex {
	b := denyIndex{make(map[subject][]*Grantee), 10_000_000}
	for i := range denied {
		if g := &denied[i]; g.Rule.When == nil && g.Pattern == "" {
			rarest := g.subjects[len(g.subjects)-1]
			b.bySubject[rarest] = append(b.bySubject[rarest], g)
		}
	}
	return b
}

// covering returns a rule that denies the action to everybody in g, or nil if it finds none.
func (b *denyIndex) covering(g *Grantee) *Rule {
	if len(b.bySubject) == 0 {
		return nil
	}
	try := func(s subject) *Rule {
		for _, bar := range b.bySubject[s] {
			if b.left--; b.left < 0 {
				return nil
			}
			if bar.contains(g) {
				return bar.Rule
			}
		}
		return nil
	}
	for _, s := range append([]subject{{kind: anyone}, {kind: signedIn}}, g.subjects...) {
		if by := try(s); by != nil {
			return by
		}
	}
	return nil
}

// contains reports whether everybody in other is in g too.
func (g *Grantee) contains(other *Grantee) bool {
	for _, s := range g.subjects {
		if !other.implies(s) {
			return false
		}
	}
	for _, held := range g.Claims {
		found := false
		for _, has := range other.Claims {
			found = found || has == held
		}
		if !found {
			return false
		}
	}
	return true
}

// implies reports whether everybody in g has the subject.
func (g *Grantee) implies(s subject) bool {
	if s.kind == anyone {
		return true
	}
	for _, own := range g.subjects {
		if own == s || s.kind == signedIn && own.kind > signedIn {
			return true
		}
	}
	return false
}

// granteeSummary is what mayOverlap needs to know of a list of grantees.
type granteeSummary struct {
	anonymous, signedIn bool // the list may have principals of this kind that named does not list
	named               map[subject]bool
}

func summarize(grantees []Grantee) granteeSummary {
	c := granteeSummary{named: make(map[subject]bool)}
	for i := range grantees {
		switch s := grantees[i].subjects[0]; s.kind {
		case anyone:
			c.anonymous, c.signedIn = true, true
		case anonymous:
			c.anonymous = true
		case user, robot, workload:
			c.named[s] = true
		default:
			c.signedIn = true
		}
	}
	return c
}

// mayOverlap reports whether somebody in g may be among the grantees.
func (c granteeSummary) mayOverlap(g *Grantee) bool {
	switch s := g.subjects[0]; s.kind {
	case anyone:
		return c.anonymous || c.signedIn || len(c.named) > 0
	case anonymous:
		return c.anonymous
	case user, robot, workload:
		return c.signedIn || c.named[s]
	}
	return c.signedIn || len(c.named) > 0
}
