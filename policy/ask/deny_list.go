package ask

import (
	"slices"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/internal/match"
	"github.com/tidewaiter/tidewaiter/scope"
)

// denyList is the list of rights that deny rules take from a principal.
type denyList struct {
	all      []Right
	registry string // "": all registries
	// remaining is the number of comparisons that are still allowed. When none is left, all
	// further rights are listed as allowed with exceptions, without a check whether a deny covers
	// the right or overlaps with it.
	remaining int
}

// subtract returns the actions of the given right, without the actions that an unconditional deny
// rule denies on all names of the right. It also returns one of the rules that deny the removed
// actions, or nil if no action was removed.
func (ds *denyList) subtract(right *Right) (left scope.Actions, by *policy.Rule) {
	left = right.Actions
	for i := range ds.all {
		d := &ds.all[i]
		if d.Actions&left == 0 || d.Rule.When != nil || d.Type != right.Type || !d.appliesWherever(right, ds.registry) {
			continue
		}
		if ds.remaining--; ds.remaining < 0 {
			break
		}
		if d.contains(right) {
			left &^= d.Actions
			by = d.Rule
		}
	}
	return left, by
}

// overlappingRights returns the denied rights that could take something from one of the given
// rights.
func (ds *denyList) overlappingRights(rights []Right) (some []Right) {
	for i := range ds.all {
		d := &ds.all[i]
		for k := range rights {
			if ds.remaining--; ds.remaining < 0 || d.overlaps(&rights[k]) {
				some = append(some, *d)
				break
			}
		}
	}
	return some
}

// appliesWherever reports whether the right a applies at each registry where the right b
// applies. If registry is not empty, the list contains only rights that apply at this
// registry, so the result is true.
func (a *Right) appliesWherever(b *Right, registry string) bool {
	if registry != "" || len(a.Rule.Registries) == 0 {
		return true
	}
	missing := func(service string) bool { return !slices.Contains(a.Rule.Registries, service) }
	return len(b.Rule.Registries) > 0 && !slices.ContainsFunc(b.Rule.Registries, missing)
}

// contains reports whether the right a covers each name that the other right covers. The result
// true is always correct. The result false can be wrong, because several patterns of a can
// together cover one pattern of the other right.
func (a *Right) contains(other *Right) bool {
	var buf, otherBuf [match.MaxParts]match.Part
	for _, text := range other.Names {
		inner, _ := match.Parse(otherBuf[:0], text)
		found := false
		for _, text := range a.Names {
			outer, _ := match.Parse(buf[:0], text)
			if found = outer.Contains(inner); found {
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// overlaps reports whether both rights could cover the same name, registry and action. The result
// false is always correct. The result true can be wrong.
func (a *Right) overlaps(other *Right) bool {
	if a.Actions&other.Actions == 0 || a.Type != other.Type {
		return false
	}
	at := func(service string) bool { return slices.Contains(a.Rule.Registries, service) }
	if len(a.Rule.Registries) > 0 && len(other.Rule.Registries) > 0 && !slices.ContainsFunc(other.Rule.Registries, at) {
		return false
	}
	var buf, otherBuf [match.MaxParts]match.Part
	for _, text := range a.Names {
		left, _ := match.Parse(buf[:0], text)
		for _, text := range other.Names {
			right, _ := match.Parse(otherBuf[:0], text)
			if left.Overlaps(right) {
				return true
			}
		}
	}
	return false
}
