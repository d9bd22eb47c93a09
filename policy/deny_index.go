package policy

// barrier is whom denies without a condition reach, by the rarest subject that they must have.
type denyIndex struct {
	bySubject map[subject][]*Grantee
	left      int // comparisons; whoever is not found to be barred in so many is in Except all the same
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

// before returns a rule that denies it to all who are g; nil if none is found.
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

// contains reports whether everybody who is the other is g too.
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

// surely reports whether everybody who is g has the subject.
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

// crowd is all that is to be known of some grantees to say whether somebody else may be among
// them.
type granteeSummary struct {
	anonymous, signedIn bool // somebody who is not known by name may be
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

// mayMeet reports whether one who is g may be among them.
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
