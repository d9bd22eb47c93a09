package rulebook

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Conflicts are the reasons why files and database cannot be compiled into one policy. Each reason
// is a sentence.
type Conflicts []string

func (c Conflicts) Error() string {
	return "files and database contradict each other: " + strings.Join(c, "; ")
}

// merge combines the rules of files and database. First come the rules of files in the order of
// the files, then the rules of the database by name, then the rules of namespaces by name, and
// then the built-in rules. So all replicas with the same files have the same policy.
func merge(files policy.Source, c *contents) (policy.Source, error) {
	var wrong Conflicts
	builtIn := admin.BuiltIn()
	source := policy.Source{
		Roles: maps.Clone(files.Roles),
		Rules: make([]policy.Rule, 0, len(files.Rules)+len(c.rules)+len(c.namespaceRules)+len(builtIn)),
	}
	if source.Roles == nil {
		source.Roles = make(roles)
	}
	for _, name := range slices.Sorted(maps.Keys(c.roles)) {
		if _, taken := files.Roles[name]; taken {
			wrong = append(wrong, fmt.Sprintf("the role %q is defined in the files and in the database", name))
			continue
		}
		source.Roles[name] = c.roles[name]
	}
	taken := make(map[string]*policy.Rule, cap(source.Rules))
	for i := range files.Rules {
		taken[files.Rules[i].Name] = &files.Rules[i]
	}
	source.Rules = append(source.Rules, files.Rules...)
	for i := range c.rules {
		r := &c.rules[i]
		if other, ok := taken[r.Name]; ok {
			wrong = append(wrong, fmt.Sprintf("%s: the rule %q is also in the database", other.Origin, r.Name))
			continue
		}
		taken[r.Name] = r
		source.Rules = append(source.Rules, *r)
	}
	if len(wrong) > 0 {
		return policy.Source{}, wrong
	}
	// If the name of a rule of a namespace or of a built-in rule is taken, the rule gets another
	// name. Otherwise an owner could create a namespace with such a name that a new policy would be
	// rejected.
	for _, list := range [...][]policy.Rule{c.namespaceRules, builtIn} {
		for _, r := range list {
			for name, n := r.Name, 2; taken[r.Name] != nil; n++ {
				r.Name = fmt.Sprintf("%s (%d)", name, n)
			}
			source.Rules = append(source.Rules, r)
		}
	}
	return source, nil
}

// conflictsOf converts the problems of a policy to Conflicts. The sentence for a problem of a
// rule names the rule and the place where it is written.
func conflictsOf(source policy.Source, problems policy.Problems) error {
	wrong := make(Conflicts, len(problems))
	for i, p := range problems {
		if p.Rule < 0 || p.Rule >= len(source.Rules) {
			wrong[i] = p.String()
			continue
		}
		r := &source.Rules[p.Rule]
		wrong[i] = fmt.Sprintf("%s: rule %q: %s", r.Origin, r.Name, p.Text)
	}
	return wrong
}
