package htpasswd

import (
	"fmt"
	"maps"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/spelling"
)

// strangers returns a problem for each member of a group, and each name with claims, that has no line.
func (f *File) strangers(named map[string]place) Problems {
	var problems Problems
	for _, group := range slices.Sorted(maps.Keys(f.groups)) {
		for _, name := range f.groups[group] {
			if _, ok := named[name]; ok || len(problems) == maxProblems {
				continue
			}
			problems = append(problems, Problem{
				Group: group, Member: name, Text: fmt.Sprintf("there is no entry for its member %q", name), Suggestion: nearest(name, named),
			})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.claims)) {
		if _, ok := named[name]; !ok && len(problems) < maxProblems {
			problems = append(problems, Problem{Claims: name, Text: "there is no entry for it", Suggestion: nearest(name, named)})
		}
	}
	return problems
}

// nearest returns the name that is fewest edits away, if those are at most a third of it; of several,
// the first in the alphabet. Among very many names it does not look: that would take minutes.
func nearest(name string, named map[string]place) string {
	if len(named) > 10_000 {
		return ""
	}
	best, least := "", max(1, len(name)/3)+1
	for candidate := range named {
		if len(candidate)-len(name) > least || len(name)-len(candidate) > least { // at least as many edits
			continue
		}
		if d := spelling.Distance(name, candidate); d < least || d == least && best != "" && candidate < best {
			best, least = candidate, d
		}
	}
	return best
}
