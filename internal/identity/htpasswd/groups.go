package htpasswd

import (
	"fmt"
	"maps"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// unknownMembers returns a problem for each name that has no entry, but is a member of a group
// or has claims.
func (f *File) unknownMembers(named map[string]position) Problems {
	var problems Problems
	for _, group := range slices.Sorted(maps.Keys(f.groups)) {
		for _, name := range f.groups[group] {
			if _, ok := named[name]; ok || len(problems) == maxProblems {
				continue
			}
			problems = append(problems, Problem{
				Group: group, Member: name, Text: fmt.Sprintf("there is no entry for its member %q", name), Suggestion: text.Nearest(name, slices.Collect(maps.Keys(named))),
			})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.claims)) {
		if _, ok := named[name]; !ok && len(problems) < maxProblems {
			problems = append(problems, Problem{Claims: name, Text: "there is no entry for this name", Suggestion: text.Nearest(name, slices.Collect(maps.Keys(named)))})
		}
	}
	return problems
}
