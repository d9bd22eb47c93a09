package policy_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// fixed is a condition that always comes to the same.
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
		return oneOf(t, "part", "a", "b", "ann", "*", "**", "**", "a*", "*b", "*n*", "a*b", "${user}", "${claims.team}", "${claims.teams}")
	})
	text := strings.Join(parts, "/")
	for strings.Contains(text, "**/**") {
		text = strings.ReplaceAll(text, "**/**", "**")
	}
	return text
}

func drawName(t *rapid.T) string {
	return strings.Join(some(t, "name", 5, func(t *rapid.T) string { return oneOf(t, "part", "a", "a", "b", "b", "ann", "aab") }), "/")
}

func drawRule(t *rapid.T, pattern func(*rapid.T) string) policy.Rule {
	r := policy.Rule{
		Deny: rapid.IntRange(0, 4).Draw(t, "deny") == 0,
		Subjects: some(t, "subjects", 3, func(t *rapid.T) string {
			return oneOf(t, "subject", "anyone", "anyone", "signed-in", "anonymous", "user:ann", "user:b", "group:g1", "group:g2", "group:ann", "robot:ann", "workload:ann")
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
	source := policy.Source{Roles: map[string]scope.Actions{
		"reader": scope.Pull, "writer": scope.Pull | scope.Push, "all": scope.Repository | scope.All | scope.Read,
	}}
	pattern := drawPattern
	if rapid.Bool().Draw(t, "dense") { // many rules at few places
		pool := some(t, "patterns", 3, drawPattern)
		pattern = func(t *rapid.T) string { return oneOf(t, "pattern", pool...) }
	}
	rules := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) policy.Rule { return drawRule(t, pattern) }), oneOf(t, "at least", 0, 10, 25), 40).Draw(t, "rules")
	for _, r := range rules {
		r.Name = fmt.Sprintf("rule %d", len(source.Rules))
		one := policy.Source{Roles: source.Roles, Rules: []policy.Rule{r}}
		if _, err := policy.Compile(one); err == nil { // some can never match
			source.Rules = append(source.Rules, r)
		}
	}
	return source
}

func drawPrincipal(t *rapid.T) *policy.Principal {
	return &policy.Principal{
		Kind:   oneOf(t, "kind", policy.Anonymous, policy.User, policy.User, policy.User, policy.Robot, policy.Workload),
		Name:   oneOf(t, "who", "ann", "ann", "ann", "b", "b", "a*", "*", "**", "a/b", "Ann", "", "..", "${user}"),
		Groups: rapid.SliceOfN(rapid.SampledFrom([]string{"g1", "g2", "ann", "other"}), 0, 4).Draw(t, "groups"),
		Claims: map[string]any{
			"team":  oneOf[any](t, "team", "a", "a/b", "a/b", "b/a/b", "*", "**", "a/*", "", 3, nil),
			"teams": oneOf[any](t, "teams", []string{"a", "a/a", "a"}, []string{"b/a", "b"}, []any{"b", 7, "b/a", "../a"}, []string{}, "a//b"),
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
				Actions: oneOf(t, "limit actions", scope.Pull, scope.Pull|scope.Push, scope.Repository|scope.All|scope.Read),
			}
		})
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

// mustAgree holds a decision against the naive evaluator.
func mustAgree(t interface{ Errorf(string, ...any) }, source policy.Source, r *policy.Request, got policy.Decision) {
	if len(got.Results) != len(r.Scopes) {
		t.Errorf("%d results for %d scopes", len(got.Results), len(r.Scopes))
		return
	}
	var lifetime time.Duration
	for i, asked := range r.Scopes {
		want := naiveDecide(source, r, asked)
		if want.Lifetime > 0 && (lifetime == 0 || want.Lifetime < lifetime) {
			lifetime = want.Lifetime
		}
		reasons, rules := map[scope.Actions]policy.Reason{}, map[scope.Actions]string{}
		for _, c := range got.Results[i].Causes {
			for bit := scope.Actions(1); bit != 0; bit <<= 1 {
				if c.Actions&bit == 0 {
					continue
				}
				if _, twice := reasons[bit]; twice {
					t.Errorf("%v has two causes", bit)
				}
				reasons[bit], rules[bit] = c.Reason, ""
				if c.Rule != nil {
					rules[bit] = c.Rule.Name
				}
			}
		}
		if got.Results[i].Asked != asked || got.Results[i].Granted != want.Granted {
			t.Errorf("%v: granted %v, want %v", asked, got.Results[i].Granted, want.Granted)
		}
		if diff := cmp.Diff(want.Reasons, reasons); diff != "" {
			t.Errorf("%v: reasons (-want +got):\n%s", asked, diff)
		}
		if diff := cmp.Diff(want.Rules, rules); diff != "" {
			t.Errorf("%v: rules (-want +got):\n%s", asked, diff)
		}
	}
	if got.Lifetime != lifetime {
		t.Errorf("lifetime %v, want %v", got.Lifetime, lifetime)
	}
}

func TestDecideAgreesWithANaiveEvaluator(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source := drawSource(t)
		p, err := policy.Compile(source)
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			r := drawRequest(t)
			mustAgree(t, source, r, p.Decide(r))
		}
	})
}

func TestEveryWayOfMatchingAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			everyWay(t, drawPattern(t), drawName(t), drawPrincipal(t))
		}
	})
}

func TestTheOrderOfRulesGrantsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source, r := drawSource(t), drawRequest(t)
		before, err := policy.Compile(source)
		if err != nil {
			t.Fatal(err)
		}
		shuffled := policy.Source{Roles: source.Roles, Rules: append([]policy.Rule(nil), source.Rules...)}
		rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)).Shuffle(len(shuffled.Rules), func(i, j int) {
			shuffled.Rules[i], shuffled.Rules[j] = shuffled.Rules[j], shuffled.Rules[i]
		})
		after, err := policy.Compile(shuffled)
		if err != nil {
			t.Fatal(err)
		}
		a, b := before.Decide(r), after.Decide(r)
		if a.Lifetime != b.Lifetime {
			t.Errorf("lifetime %v became %v", a.Lifetime, b.Lifetime)
		}
		for i := range a.Results {
			if a.Results[i].Granted != b.Results[i].Granted {
				t.Errorf("%v: granted %v, and %v after a shuffle", a.Results[i].Asked, a.Results[i].Granted, b.Results[i].Granted)
			}
		}
	})
}
