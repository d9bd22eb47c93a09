package policy_test

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

// fixed is a condition with a constant result.
type fixed struct {
	holds bool
	err   error
}

func (f fixed) Holds(*policy.Request) (bool, error) { return f.holds, f.err }
func (f fixed) Explain(*policy.Request) []policy.Value {
	return []policy.Value{{Expression: "x", Value: fmt.Sprint(f.holds)}}
}
func (f fixed) String() string { return fmt.Sprintf("fixed(%v, %v)", f.holds, f.err) }

func oneOf[T any](t *rapid.T, label string, values ...T) T {
	return rapid.SampledFrom(values).Draw(t, label)
}

func some[T any](t *rapid.T, label string, n int, draw func(*rapid.T) T) []T {
	return rapid.SliceOfN(rapid.Custom(draw), 1, n).Draw(t, label)
}

func drawPattern(t *rapid.T) string {
	parts := some(t, "parts", 4, func(t *rapid.T) string {
		return oneOf(t, "part", "a", "b", "ann", "3", "*", "**", "**", "a*", "*b", "*n*", "a*b", "${user}", "${claims.team}", "${claims.teams}", "${group}", "${group}")
	})
	text := strings.Join(parts, "/")
	for strings.Contains(text, "**/**") {
		text = strings.ReplaceAll(text, "**/**", "**")
	}
	return text
}

func drawName(t *rapid.T) string {
	odd := oneOf(t, "odd", "a", "a", "a", "a", "*", "**", "a*", "${user}", "${claims.team}", "${group}", "A", "")
	return strings.Join(some(t, "name", 5, func(t *rapid.T) string {
		return oneOf(t, "part", "a", "a", "b", "b", "3", "ann", "aab", "true", "3.5", "g1", odd)
	}), "/")
}

func drawRule(t *rapid.T, pattern func(*rapid.T) string) policy.Rule {
	r := policy.Rule{
		Deny: rapid.IntRange(0, 4).Draw(t, "deny") == 0,
		Subjects: some(t, "subjects", 3, func(t *rapid.T) string {
			return oneOf(t, "subject", "group:g1", "anyone", "user:ann", "group:g2", "signed-in", "group:ann", "robot:ann", "anonymous", "user:b", "workload:ann")
		}),
		Lifetime: oneOf(t, "lifetime", 0, 0, time.Minute, time.Hour),
	}
	if oneOf(t, "registered", true, false, false) {
		r.Registries = some(t, "registries", 2, func(t *rapid.T) string { return oneOf(t, "registry", "r1", "r2") })
	}
	if oneOf(t, "has a role", true, false) {
		r.Role = oneOf(t, "role", "reader", "writer", "all")
	}
	switch oneOf(t, "type", "", "", "", "", "repository", "registry", "tidewaiter", "other") {
	case "":
		r.Names = some(t, "names", 2, pattern)
		r.Actions = oneOf(t, "actions", scope.Pull, scope.Push, scope.Pull|scope.Delete)
	case "repository":
		r.Type = "repository"
		r.Names = some(t, "names", 2, pattern)
		r.Actions = oneOf(t, "actions", scope.Pull, scope.Push, scope.Pull|scope.Delete)
	case "registry":
		r.Type, r.Names, r.Role, r.Actions = "registry", []string{"catalog"}, "all", scope.All
	case "tidewaiter":
		r.Type, r.Names, r.Role, r.Actions = "tidewaiter", some(t, "names", 2, pattern), "all", scope.Read
	case "other":
		r.Type, r.Names, r.Actions = "other", []string{drawName(t)}, scope.Pull|scope.All
	}
	switch oneOf(t, "when", "", "", "", "true", "false", "error", "true and error") {
	case "true":
		r.When = fixed{true, nil}
	case "false":
		r.When = fixed{false, nil}
	case "error":
		r.When = fixed{false, errors.New("no such key")}
	case "true and error":
		r.When = fixed{true, errors.New("no such key")}
	}
	return r
}

func drawSource(t *rapid.T) policy.Source {
	source := policy.Source{Roles: map[string]policy.Role{
		"reader": {Actions: scope.Pull}, "writer": {Actions: scope.Pull | scope.Push, Lifetime: 10 * time.Minute}, "all": {Actions: scope.Repository | scope.All | scope.Read},
	}}
	pattern := drawPattern
	if rapid.Bool().Draw(t, "dense") { // many rules at few places
		pool := some(t, "patterns", 3, drawPattern)
		pattern = func(t *rapid.T) string { return oneOf(t, "pattern", pool...) }
	}
	rules := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) policy.Rule { return drawRule(t, pattern) }), oneOf(t, "at least", 0, 10, 25), 40).Draw(t, "rules")
	for _, r := range rules {
		source = with(source, r)
	}
	return source
}

// with adds a rule unless it can never match, which is an error.
func with(source policy.Source, r policy.Rule) policy.Source {
	r.Name = fmt.Sprintf("rule %d", len(source.Rules))
	one := policy.Source{Roles: source.Roles, Rules: []policy.Rule{r}}
	if _, err := policy.Compile(one); err != nil {
		return source
	}
	return policy.Source{Roles: source.Roles, Rules: append(slices.Clip(source.Rules), r)}
}

// drawGroups draws up to four groups that rules use, among others that no rule uses: none of
// those, or so many that the evaluator uses another lookup.
func drawGroups(t *rapid.T) []string {
	groups := rapid.SliceOfN(rapid.SampledFrom([]string{"g1", "g2", "ann", "other", "*", "group:g1", "g1/**", "a", "b", "a/b", "A", "..", "", "a*", "${group}"}), 0, 4).Draw(t, "groups")
	for i := range oneOf(t, "others", 0, 300, 50, 5, 0, 43, 40) {
		groups = append(groups, fmt.Sprintf("other-%d", i))
	}
	shuffle(t, groups)
	return groups
}

func shuffle[T any](t *rapid.T, list []T) {
	rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}

func drawPrincipal(t *rapid.T) *policy.Principal {
	return &policy.Principal{
		Kind:   oneOf(t, "kind", policy.User, policy.User, policy.User, policy.Robot, policy.Workload, policy.Anonymous),
		Name:   oneOf(t, "who", "ann", "ann", "ann", "b", "b", "a*", "*", "**", "a/b", "Ann", "", "..", "${user}"),
		Groups: drawGroups(t),
		Claims: map[string]any{
			"team":  oneOf[any](t, "team", "a", "a/b", "a/b", 3, "b/a/b", "*", "**", "a/*", "", "3", json.Number("3.0"), 3.5, true, json.Number("-3"), nil, map[string]any{"a": "b"}),
			"teams": oneOf[any](t, "teams", []string{"a", "a/a", "a"}, []string{"b/a", "b"}, []any{"b", 3, "b/a", "../a"}, []string{}, []any{json.Number("30e-1"), true, []any{"a"}, nil}, "a//b"),
		},
	}
}

func drawRequest(t *rapid.T) *policy.Request {
	who := drawPrincipal(t)
	if oneOf(t, "narrowed", true, false, false) {
		who.Limits = some(t, "limits", 3, func(t *rapid.T) policy.Limit {
			return policy.Limit{
				Type:    oneOf(t, "limit type", "", "repository", "registry", "tidewaiter"),
				Names:   some(t, "limit names", 2, drawPattern),
				Actions: oneOf(t, "limit actions", scope.Pull, scope.Push, scope.Pull|scope.Delete, scope.Repository|scope.All|scope.Read),
			}
		})
	}
	switch oneOf(t, "indexed", "", "as it was", "as it is") {
	case "as it is":
		who = who.Indexed()
	case "as it was": // when it was in other groups
		who = who.Indexed()
		who.Groups = drawGroups(t)
	}
	return &policy.Request{
		Principal: who,
		Registry:  oneOf(t, "registry", "r1", "r2", "r3", ""),
		Scopes: some(t, "scopes", 3, func(t *rapid.T) scope.Scope {
			s := scope.Scope{Type: oneOf(t, "type", "repository", "repository", "repository", "registry", "tidewaiter", "other"), Name: drawName(t)}
			if s.Type == "registry" {
				s.Name = oneOf(t, "catalog", "catalog", "catalogue")
			}
			s.Actions = scope.Actions(rapid.Uint8Range(1, 63).Draw(t, "asked"))
			return s
		}),
	}
}
