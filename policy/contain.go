package policy

import (
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/scope"
)

// denyList is the list of rights that rules deny to a principal.
type denyList struct {
	all      []Right
	registry string // "": all registries
	// left is the number of comparisons left. After that, rights are listed as allowed with
	// exceptions, without checking whether denies cover them or overlap with them.
	left int
}

// subtract returns the actions of a right that remain without those that unconditional denies
// cover completely, and one of the rules that deny the others.
func (ds *denyList) subtract(from *Right) (left scope.Actions, by *Rule) {
	left = from.Actions
	for i := range ds.all {
		d := &ds.all[i]
		if d.Actions&left == 0 || d.Rule.When != nil || d.Type != from.Type || !d.everywhere(from, ds.registry) {
			continue
		}
		if ds.left--; ds.left < 0 {
			break
		}
		if d.contains(from) {
			left &^= d.Actions
			by = d.Rule
		}
	}
	return left, by
}

// overlapping returns the denies that may remove something from one of the rights.
func (ds *denyList) overlapping(rights []Right) (some []Right) {
	for i := range ds.all {
		d := &ds.all[i]
		for k := range rights {
			if ds.left--; ds.left < 0 || d.overlaps(&rights[k]) {
				some = append(some, *d)
				break
			}
		}
	}
	return some
}

// everywhere reports whether the right applies at each registry where the other applies.
func (a *Right) everywhere(other *Right, registry string) bool {
	if registry != "" || len(a.Rule.Registries) == 0 {
		return true
	}
	missing := func(service string) bool { return !slices.Contains(a.Rule.Registries, service) }
	return len(other.Rule.Registries) > 0 && !slices.ContainsFunc(other.Rule.Registries, missing)
}

// contains reports whether the right covers each name that the other covers. It may be false
// where only several patterns together cover a name. It is never true by mistake.
func (a *Right) contains(other *Right) bool {
	var buf, otherBuf [maxParts]part
	for _, text := range other.Names {
		inner, _ := parsePattern(otherBuf[:0], text)
		found := false
		for _, text := range a.Names {
			outer, _ := parsePattern(buf[:0], text)
			if found = outer.contains(inner); found {
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// overlaps reports whether both rights may cover the same name, registry and action. It may be
// true by mistake, never false.
func (a *Right) overlaps(other *Right) bool {
	if a.Actions&other.Actions == 0 || a.Type != other.Type {
		return false
	}
	at := func(service string) bool { return slices.Contains(a.Rule.Registries, service) }
	if len(a.Rule.Registries) > 0 && len(other.Rule.Registries) > 0 && !slices.ContainsFunc(other.Rule.Registries, at) {
		return false
	}
	var buf, otherBuf [maxParts]part
	for _, text := range a.Names {
		left, _ := parsePattern(buf[:0], text)
		for _, text := range other.Names {
			right, _ := parsePattern(otherBuf[:0], text)
			if left.overlaps(right) {
				return true
			}
		}
	}
	return false
}

// contains reports whether p matches each name that inner matches. It compares the patterns part
// by part, and is false where that is not enough to decide.
func (p pattern) contains(inner pattern) bool {
	// now[j]: the parts of p so far match everything that the first j parts of inner match.
	var now [maxParts + 1]bool
	now[0] = true
	for k, part := range p {
		var next [maxParts + 1]bool
		for j := range inner {
			switch {
			case !now[j]:
			case part.kind != doubleStar:
				next[j+1] = next[j+1] || part.contains(inner[j])
			default:
				for to := j + 1; to <= len(inner); to++ {
					next[to] = true
				}
			}
		}
		if part.kind == doubleStar && k < len(p)-1 { // it also matches no part
			for j := range now {
				next[j] = next[j] || now[j]
			}
		}
		now = next
	}
	return now[len(inner)]
}

// overlaps reports whether there may be a name that both patterns match.
func (p pattern) overlaps(other pattern) bool {
	// row[j]: the rest of p and the parts of other from j on may match the same.
	var row [maxParts + 1]bool
	row[len(other)] = true
	for j := len(other) - 1; j >= 0 && other[j].wide(); j-- {
		row[j] = true
	}
	for k := len(p) - 1; k >= 0; k-- {
		var above [maxParts + 1]bool // with part k
		above[len(other)] = p[k].wide() && row[len(other)]
		for j := len(other) - 1; j >= 0; j-- {
			if p[k].wide() || other[j].wide() {
				above[j] = row[j] || above[j+1]
			} else {
				above[j] = row[j+1] && p[k].overlaps(other[j])
			}
		}
		row = above
	}
	return row[0]
}

// wide reports whether the part can match several parts of a name.
func (p part) wide() bool { return p.kind == doubleStar || p.kind == claimPlaceholder }

// contains reports whether the part matches everything that the other matches.
func (p part) contains(other part) bool {
	switch {
	case other.kind == doubleStar:
		return false
	case p == other:
		return true
	case p.kind == star:
		return other.kind != claimPlaceholder // which can be several parts
	case p.kind == glob && other.kind == literal:
		return matchGlob(p.text, other.text)
	}
	return false
}

// overlaps reports whether there may be a part of a name that both match.
func (p part) overlaps(other part) bool {
	switch {
	case p.kind == literal && other.kind == literal:
		return p.text == other.text
	case p.kind == glob && other.kind == literal:
		return matchGlob(p.text, other.text)
	case p.kind == literal && other.kind == glob:
		return matchGlob(other.text, p.text)
	case p.kind == glob && other.kind == glob:
		before, after, _ := cutGlob(p.text)
		otherBefore, otherAfter, _ := cutGlob(other.text)
		return (strings.HasPrefix(before, otherBefore) || strings.HasPrefix(otherBefore, before)) &&
			(strings.HasSuffix(after, otherAfter) || strings.HasSuffix(otherAfter, after))
	}
	return true
}
