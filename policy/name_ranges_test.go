package policy_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/internal/policygen"
	"github.com/tidewaiter/tidewaiter/scope"
)

// If Decide grants an action on a name, the name is in one of the ranges.
func TestPropertyNameRangesContainAllGrants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source := policygen.DrawSource(t)
		p, err := policy.Compile(source)
		if err != nil {
			t.Skip(err)
		}
		r := policygen.DrawRequest(t)
		for _, rule := range source.Rules {
			for _, pattern := range rule.Names {
				r.Scopes = append(r.Scopes, scope.Scope{Type: "repository", Name: policygen.DrawMatch(t, pattern), Actions: scope.Pull | scope.Push})
			}
		}
		for _, result := range p.Decide(r).Results {
			if result.Granted == 0 || result.Asked.Type != "repository" {
				continue
			}
			ranges := p.NameRanges(r.Principal, r.Registry, result.Granted)
			if !inRanges(ranges, result.Asked.Name) {
				t.Fatalf("%s is granted on %s, but the name is not in %q", result.Granted, result.Asked.Name, ranges)
			}
			name := result.Asked.Name
			prefix := name[:rapid.IntRange(0, len(name)).Draw(t, "prefix")]
			if clipped := policy.ClipNames(ranges, prefix); !inRanges(clipped, name) {
				t.Fatalf("%s with the prefix %q is not in %q", name, prefix, clipped)
			}
			for i, r := range ranges {
				if r.To != "" && r.From >= r.To || i > 0 && (ranges[i-1].To == "" || ranges[i-1].To >= r.From) {
					t.Fatalf("not in order: %q", ranges)
				}
			}
		}
	})
}

func inRanges(ranges []policy.NameRange, name string) bool {
	return slices.ContainsFunc(ranges, func(r policy.NameRange) bool { return r.From <= name && (r.To == "" || name < r.To) })
}

// The ranges are as narrow as the literal beginnings of the patterns.
func TestNameRangesAreNarrow(t *testing.T) {
	ann := &policy.Principal{Kind: policy.User, Name: "ann", Groups: []string{"dev", "Ops"}, Claims: map[string]any{"team": []any{"a/b", "c"}}}
	for _, tt := range []struct {
		names []string
		want  []policy.NameRange
	}{
		{[]string{"team/app"}, []policy.NameRange{{"team/app", "team/app!"}}},
		{[]string{"team/app", "team/app"}, []policy.NameRange{{"team/app", "team/app!"}}},
		{[]string{"team/**"}, []policy.NameRange{{"team/", "team0"}}},
		{[]string{"team/*/x", "team/**/y", "zoo"}, []policy.NameRange{{"team/", "team0"}, {"zoo", "zoo!"}}},
		{[]string{"team/app-*/x"}, []policy.NameRange{{"team/app-", "team/app."}}},
		{[]string{"**/x"}, []policy.NameRange{{}}},
		{[]string{"b", "**"}, []policy.NameRange{{}}},
		{[]string{"*-x/**"}, []policy.NameRange{{}}},
		{[]string{"${user}/**"}, []policy.NameRange{{"ann/", "ann0"}}},
		{[]string{"x/${group}/*"}, []policy.NameRange{{"x/dev/", "x/dev0"}}},
		{[]string{"${claims.team}/x"}, []policy.NameRange{{"a/b/x", "a/b/x!"}, {"c/x", "c/x!"}}},
		{[]string{"${claims.none}/x"}, nil},
	} {
		rule := policy.Rule{Name: "r", Subjects: []string{"signed-in"}, Names: tt.names, Actions: scope.Pull}
		p, err := policy.Compile(policy.Source{Rules: []policy.Rule{rule}})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, p.NameRanges(ann, "r", scope.Pull)); diff != "" {
			t.Errorf("%q: %s", tt.names, diff)
		}
		for what, empty := range map[string][]policy.NameRange{
			"push": p.NameRanges(ann, "r", scope.Push), "anonymous": p.NameRanges(nil, "r", scope.Pull), "a nil policy": (*policy.Policy)(nil).NameRanges(ann, "r", scope.Pull),
		} {
			if len(empty) > 0 {
				t.Errorf("%q: %s has %q", tt.names, what, empty)
			}
		}
	}
}

// The limits of a credential narrow the ranges.
func TestNameRangesOfARestrictedCredential(t *testing.T) {
	p, err := policy.Compile(policy.Source{Rules: []policy.Rule{
		{Name: "all", Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Pull},
		{Name: "only here", Subjects: []string{"anyone"}, Registries: []string{"other"}, Names: []string{"here/x"}, Actions: scope.Push},
	}})
	if err != nil {
		t.Fatal(err)
	}
	who := &policy.Principal{Limits: []policy.Limit{
		{Names: []string{"team/**"}, Actions: scope.Pull}, {Names: []string{"here/**"}, Actions: scope.Push}, {Type: "registry", Names: []string{"catalog"}, Actions: scope.All},
	}}
	for registry, want := range map[string][2][]policy.NameRange{
		"r":     {{{"team/", "team0"}}, nil},
		"other": {{{"team/", "team0"}}, {{"here/x", "here/x!"}}},
	} {
		got := [2][]policy.NameRange{p.NameRanges(who, registry, scope.Pull), p.NameRanges(who, registry, scope.Push)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", registry, diff)
		}
	}
}
