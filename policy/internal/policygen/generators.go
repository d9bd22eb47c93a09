package policygen

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// The generators use few words, so that policies and requests often match. rapid draws the first
// items of a list more often than the last.

// constantCondition is a condition with a constant result.
type constantCondition struct {
	holds bool
	err   error
}

// Fixed returns a condition with a constant result.
func Fixed(holds bool, err error) policy.Condition { return constantCondition{holds, err} }

func (f constantCondition) Holds(*policy.Request) (bool, error) { return f.holds, f.err }
func (f constantCondition) Explain(*policy.Request) []policy.Value {
	return []policy.Value{{Expression: "x", Value: fmt.Sprint(f.holds)}}
}
func (f constantCondition) String() string { return fmt.Sprintf("fixed(%v, %v)", f.holds, f.err) }

func OneOf[T any](t *rapid.T, label string, values ...T) T {
	return rapid.SampledFrom(values).Draw(t, label)
}

func Some[T any](t *rapid.T, label string, n int, draw func(*rapid.T) T) []T {
	return rapid.SliceOfN(rapid.Custom(draw), 1, n).Draw(t, label)
}

func DrawPattern(t *rapid.T) string {
	parts := Some(t, "parts", 4, func(t *rapid.T) string {
		return OneOf(t, "part", "a", "b", "ann", "3", "*", "**", "**", "a*", "*b", "*n*", "a*b", "${user}", "${claims.team}", "${claims.teams}", "${group}", "${group}")
	})
	text := strings.Join(parts, "/")
	for strings.Contains(text, "**/**") {
		text = strings.ReplaceAll(text, "**/**", "**")
	}
	return text
}

func DrawName(t *rapid.T) string {
	odd := OneOf(t, "odd", "a", "a", "a", "a", "*", "**", "a*", "${user}", "${claims.team}", "${group}", "A", "")
	return strings.Join(Some(t, "name", 5, func(t *rapid.T) string {
		return OneOf(t, "part", "a", "a", "b", "b", "3", "ann", "aab", "true", "3.5", "g1", odd)
	}), "/")
}

func DrawRule(t *rapid.T, pattern func(*rapid.T) string) policy.Rule {
	r := policy.Rule{
		Deny: rapid.IntRange(0, 4).Draw(t, "deny") == 0,
		Subjects: Some(t, "subjects", 3, func(t *rapid.T) string {
			return OneOf(t, "subject", "group:g1", "anyone", "user:ann", "group:g2", "signed-in", "group:ann", "robot:ann", "anonymous", "user:b", "workload:ann")
		}),
		Lifetime: OneOf(t, "lifetime", 0, 0, time.Minute, time.Hour),
	}
	if OneOf(t, "registered", true, false, false) {
		r.Registries = Some(t, "registries", 2, func(t *rapid.T) string { return OneOf(t, "registry", "r1", "r2") })
	}
	if OneOf(t, "has a role", true, false) {
		r.Role = OneOf(t, "role", "reader", "writer", "all")
	}
	switch OneOf(t, "type", "", "", "", "", "repository", "registry", "tidewaiter", "other") {
	case "":
		r.Names = Some(t, "names", 2, pattern)
		r.Actions = OneOf(t, "actions", scope.Pull, scope.Push, scope.Pull|scope.Delete)
	case "repository":
		r.Type = "repository"
		r.Names = Some(t, "names", 2, pattern)
		r.Actions = OneOf(t, "actions", scope.Pull, scope.Push, scope.Pull|scope.Delete)
	case "registry":
		r.Type, r.Names, r.Role, r.Actions = "registry", []string{"catalog"}, "all", scope.All
	case "tidewaiter":
		r.Type, r.Names, r.Role, r.Actions = "tidewaiter", Some(t, "names", 2, pattern), "all", scope.Read
	case "other":
		r.Type, r.Names, r.Actions = "other", []string{DrawName(t)}, scope.Pull|scope.All
	}
	switch OneOf(t, "when", "", "", "", "true", "false", "error", "true and error") {
	case "true":
		r.When = Fixed(true, nil)
	case "false":
		r.When = Fixed(false, nil)
	case "error":
		r.When = Fixed(false, errors.New("no such key"))
	case "true and error":
		r.When = Fixed(true, errors.New("no such key"))
	}
	return r
}

func DrawSource(t *rapid.T) policy.Source {
	source := policy.Source{Roles: map[string]policy.Role{
		"reader": {Actions: scope.Pull}, "writer": {Actions: scope.Pull | scope.Push, Lifetime: 10 * time.Minute}, "all": {Actions: scope.Repository | scope.All | scope.Read},
	}}
	pattern := DrawPattern
	if rapid.Bool().Draw(t, "dense") { // many rules at few places
		pool := Some(t, "patterns", 3, DrawPattern)
		pattern = func(t *rapid.T) string { return OneOf(t, "pattern", pool...) }
	}
	rules := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) policy.Rule { return DrawRule(t, pattern) }), OneOf(t, "at least", 0, 10, 25), 40).Draw(t, "rules")
	for _, r := range rules {
		source = With(source, r)
	}
	return source
}

// With adds a rule. It does not add a rule that can never match, because Compile would refuse
// the policy.
func With(source policy.Source, r policy.Rule) policy.Source {
	r.Name = fmt.Sprintf("rule %d", len(source.Rules))
	one := policy.Source{Roles: source.Roles, Rules: []policy.Rule{r}}
	if _, err := policy.Compile(one); err != nil {
		return source
	}
	return policy.Source{Roles: source.Roles, Rules: append(slices.Clip(source.Rules), r)}
}

// DrawGroups draws up to four groups that rules use. It may also add groups that no rule uses.
// Sometimes it adds so many that the evaluator uses another kind of lookup.
func DrawGroups(t *rapid.T) []string {
	groups := rapid.SliceOfN(rapid.SampledFrom([]string{"g1", "g2", "ann", "other", "*", "group:g1", "g1/**", "a", "b", "a/b", "A", "..", "", "a*", "${group}"}), 0, 4).Draw(t, "groups")
	for i := range OneOf(t, "others", 0, 300, 50, 5, 0, 43, 40) {
		groups = append(groups, fmt.Sprintf("other-%d", i))
	}
	Shuffle(t, groups)
	return groups
}

func Shuffle[T any](t *rapid.T, list []T) {
	rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}

func DrawPrincipal(t *rapid.T) *policy.Principal {
	return &policy.Principal{
		Kind:   OneOf(t, "kind", policy.User, policy.User, policy.User, policy.Robot, policy.Workload, policy.Anonymous),
		Name:   OneOf(t, "who", "ann", "ann", "ann", "b", "b", "a*", "*", "**", "a/b", "Ann", "", "..", "${user}"),
		Groups: DrawGroups(t),
		Claims: map[string]any{
			"team":  OneOf[any](t, "team", "a", "a/b", "a/b", 3, "b/a/b", "*", "**", "a/*", "", "3", json.Number("3.0"), 3.5, true, json.Number("-3"), nil, map[string]any{"a": "b"}),
			"teams": OneOf[any](t, "teams", []string{"a", "a/a", "a"}, []string{"b/a", "b"}, []any{"b", 3, "b/a", "../a"}, []string{}, []any{json.Number("30e-1"), true, []any{"a"}, nil}, "a//b"),
		},
	}
}

func DrawRequest(t *rapid.T) *policy.Request {
	who := DrawPrincipal(t)
	if OneOf(t, "narrowed", true, false, false) {
		who.Limits = Some(t, "limits", 3, func(t *rapid.T) policy.Limit {
			return policy.Limit{
				Type:    OneOf(t, "limit type", "", "repository", "registry", "tidewaiter"),
				Names:   Some(t, "limit names", 2, DrawPattern),
				Actions: OneOf(t, "limit actions", scope.Pull, scope.Push, scope.Pull|scope.Delete, scope.Repository|scope.All|scope.Read),
			}
		})
	}
	switch OneOf(t, "indexed", "", "as it was", "as it is") {
	case "as it is":
		who = who.Indexed()
	case "as it was": // indexed, and then the groups are changed
		who = who.Indexed()
		who.Groups = DrawGroups(t)
	}
	return &policy.Request{
		Principal: who,
		Registry:  OneOf(t, "registry", "r1", "r2", "r3", ""),
		Scopes: Some(t, "scopes", 3, func(t *rapid.T) scope.Scope {
			s := scope.Scope{Type: OneOf(t, "type", "repository", "repository", "repository", "registry", "tidewaiter", "other"), Name: DrawName(t)}
			if s.Type == "registry" {
				s.Name = OneOf(t, "catalog", "catalog", "catalogue")
			}
			s.Actions = scope.Actions(rapid.Uint8Range(1, 63).Draw(t, "asked"))
			return s
		}),
	}
}

// DrawMatch draws a name that the pattern matches, if its placeholders have the right values.
func DrawMatch(t *rapid.T, pattern string) string {
	parts := strings.Split(pattern, "/")
	for i, p := range parts {
		switch {
		case p == "**":
			parts[i] = OneOf(t, "deep", "a", "b", "ann", "a/b", "b/ann/a")
		case strings.HasPrefix(p, "${"):
			parts[i] = OneOf(t, "placeholder", "a", "b", "ann", "a/b")
		default:
			parts[i] = strings.ReplaceAll(p, "*", OneOf(t, "star", "a", "b", "nn"))
		}
	}
	return strings.Join(parts, "/")
}
