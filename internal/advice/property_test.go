package advice_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/advice"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// condition is a condition with a constant result.
type condition struct {
	holds bool
	err   error
}

func (c condition) Holds(*policy.Request) (bool, error)    { return c.holds, c.err }
func (c condition) Explain(*policy.Request) []policy.Value { return nil }
func (c condition) String() string                         { return fmt.Sprint(c.holds, c.err) }

func oneOf[T any](t *rapid.T, label string, values ...T) T {
	return rapid.SampledFrom(values).Draw(t, label)
}

func some(t *rapid.T, label string, values ...string) []string {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(values), 1, 3, rapid.ID[string]).Draw(t, label)
}

func drawRule(t *rapid.T) policy.Rule {
	r := policy.Rule{
		Deny:     rapid.IntRange(0, 3).Draw(t, "deny") == 0,
		Subjects: some(t, "subjects", "user:ann", "group:dev", "anyone", "signed-in", "anonymous", "robot:ann", "workload:ci", "group:ops"),
		Names:    some(t, "patterns", "a/x", "a/**", "a/*", "**", "a/b/**", "*/x", "${user}/**", "${group}/*", "${claims.ref}/*", "a-*/x"),
		Actions:  oneOf(t, "actions", scope.Pull, scope.Pull|scope.Push, scope.Push, scope.Repository),
		Lifetime: oneOf(t, "lifetime", 0, 0, 0, time.Minute),
	}
	if rapid.IntRange(0, 2).Draw(t, "registered") == 0 {
		r.Registries = some(t, "registries", "r", "s")
	}
	switch oneOf(t, "when", "", "", "true", "false", "error") {
	case "true":
		r.When = condition{true, nil}
	case "false":
		r.When = condition{false, nil}
	case "error":
		r.When = condition{false, errors.New("no such claim")}
	}
	return r
}

var principals = []*policy.Principal{
	{Kind: policy.User, Name: "ann", Groups: []string{"dev"}},
	{Kind: policy.User, Name: "a", Claims: map[string]any{"ref": "a"}},
	{Kind: policy.Robot, Name: "ann", Groups: []string{"ops", "dev"}},
	{Kind: policy.Workload, Name: "ci", Limits: []policy.Limit{{Names: []string{"a/*"}, Actions: scope.Pull}}},
	{},
}

func drawRequest(t *rapid.T) *policy.Request {
	return &policy.Request{
		Principal: oneOf(t, "principal", principals...), Registry: oneOf(t, "registry", "r", "s", "t"),
		Scopes: []scope.Scope{{Type: "repository", Name: drawName(t), Actions: oneOf(t, "asked", scope.Pull, scope.Pull|scope.Push, scope.Repository)}},
	}
}

func drawName(t *rapid.T) string {
	return oneOf(t, "name", "a/x", "a/y", "a/b/x", "ann/x", "dev/y", "a-1/x", "b", "x/x")
}

// withoutPart returns the rules after the change that a finding proposes.
func withoutPart(rules []policy.Rule, f *advice.Finding) []policy.Rule {
	rules = slices.Clone(rules)
	i := slices.IndexFunc(rules, func(r policy.Rule) bool { return r.Name == f.Rule.Name })
	r := &rules[i]
	isItem := func(s string) bool { return slices.Contains(f.Items, s) }
	switch f.Kind {
	case advice.UnusedActions:
		r.Actions &^= f.Actions
	case advice.UnusedSubjects:
		r.Subjects = slices.DeleteFunc(slices.Clone(r.Subjects), isItem)
	case advice.UnmatchedNames:
		r.Names = slices.DeleteFunc(slices.Clone(r.Names), isItem)
	}
	if r.Actions == 0 || len(r.Subjects) == 0 || len(r.Names) == 0 || f.Kind == advice.UnusedRule || f.Kind == advice.CoveredRule || f.Kind == advice.DeniedRule {
		return slices.Delete(rules, i, i+1)
	}
	return rules
}

func compile(t *rapid.T, rules []policy.Rule) *policy.Policy {
	p, err := policy.Compile(policy.Source{Rules: rules})
	if err != nil {
		t.Skip("a rule can never match:", err)
	}
	return p
}

// A proposed change has no effect on what was observed: on recorded requests, or on repositories of
// the catalog. For rules that another rule covers, it has no effect on any request.
func TestPropertyAChangeHasNoEffectOnWhatWasObserved(t *testing.T) { rapid.Check(t, noEffect) }

func FuzzAChangeHasNoEffectOnWhatWasObserved(f *testing.F) { f.Fuzz(rapid.MakeFuzz(noEffect)) }

func noEffect(t *rapid.T) {
	rules := rapid.SliceOfN(rapid.Custom(drawRule), 1, 6).Draw(t, "rules")
	for i := range rules {
		rules[i].Name = fmt.Sprint("rule ", i)
	}
	p := compile(t, rules)
	u, err := advice.New(p)
	if err != nil {
		t.Fatal(err)
	}
	observed := map[bool][]*policy.Request{} // the key true is for requests about the catalog
	for range rapid.IntRange(0, 12).Draw(t, "requests") {
		r := drawRequest(t)
		observed[false] = append(observed[false], r)
		u.AddDecision(&journal.Entry{Registry: r.Registry, Decision: &journal.Decision{Principal: r.Principal, Results: p.Decide(r).Results}})
	}
	var any []*policy.Request
	for range 30 {
		any = append(any, drawRequest(t))
	}
	for range rapid.IntRange(0, 3).Draw(t, "repositories") {
		registry, name := oneOf(t, "registry", "r", "s"), drawName(t)
		u.AddRepository(registry, name)
		for _, who := range principals {
			observed[true] = append(observed[true], &policy.Request{Principal: who, Registry: registry, Scopes: []scope.Scope{{Type: "repository", Name: name, Actions: scope.Repository}}})
		}
	}
	for _, f := range u.Findings() {
		requests := observed[f.Kind == advice.UnmatchedNames]
		if f.Kind == advice.CoveredRule || f.Kind == advice.DeniedRule {
			requests = any
		}
		changed := compile(t, withoutPart(rules, &f))
		for _, r := range requests {
			was, now := p.Decide(r), changed.Decide(r)
			if was.Results[0].Granted != now.Results[0].Granted || f.Kind != advice.UnusedRule && was.Lifetime != now.Lifetime && now.Lifetime == 0 {
				t.Fatalf("%s of %s (%s, %s): %s of %s at %s gets %s, and got %s", f.Kind, f.Rule, f.Reason(), f.Change(), r.Principal, r.Scopes[0], r.Registry, now.Results[0].Granted, was.Results[0].Granted)
			}
		}
		if f.Reason() == "" || f.Change() == "" {
			t.Fatalf("%s has no text", f.Kind)
		}
	}
}
