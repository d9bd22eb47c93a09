package policy_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/internal/policygen"
	"github.com/tidewaiter/tidewaiter/scope"
)

// If a copy of an indexed principal gets other groups, another name or another kind, decisions
// use the new values: a deny rule for the new group must apply.
func TestCopiesOfIndexedPrincipals(t *testing.T) {
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{
		{Name: "all", Subjects: []string{"group:dev", "group:late", "user:bob", "robot:ann"}, Names: []string{"**"}, Actions: scope.Pull},
		{Name: "not", Deny: true, Subjects: []string{"group:leavers"}, Names: []string{"**"}, Actions: scope.Pull},
	}})
	groups := []string{"staff", "dev", "x"}
	ann := (&policy.Principal{Kind: policy.User, Name: "ann", Groups: groups}).Indexed()
	groups[1] = "leavers" // the list was copied
	for _, tt := range []struct {
		what   string
		change func(*policy.Principal)
		want   string
	}{
		{"nothing", func(*policy.Principal) {}, "pull"},
		{"limits", func(who *policy.Principal) {
			who.Limits = []policy.Limit{{Names: []string{"**"}, Actions: scope.Pull}}
		}, "pull"},
		{"no groups", func(who *policy.Principal) { who.Groups = nil }, ""},
		{"fewer groups", func(who *policy.Principal) { who.Groups = who.Groups[:1] }, ""},
		{"the last groups", func(who *policy.Principal) { who.Groups = who.Groups[2:] }, ""},
		{"one more group", func(who *policy.Principal) { who.Groups = append(who.Groups, "leavers") }, ""},
		{"as many other groups", func(who *policy.Principal) { who.Groups = []string{"staff", "leavers", "x"} }, ""},
		{"the same number of groups, one of them different", func(who *policy.Principal) { who.Groups = []string{"leavers", "dev", "x"} }, ""},
		{"a group that allows", func(who *policy.Principal) { who.Groups = []string{"late"} }, "pull"},
		{"another name", func(who *policy.Principal) { who.Name, who.Groups = "bob", nil }, "pull"},
		{"another kind", func(who *policy.Principal) { who.Kind, who.Groups = policy.Robot, nil }, "pull"},
		{"nobody", func(who *policy.Principal) { who.Kind = policy.Anonymous }, ""},
	} {
		who := *ann
		tt.change(&who)
		if got := p.Decide(&policy.Request{Principal: &who, Scopes: policygen.Scopes(t, "repository:a:pull")}).Results[0].Granted.String(); got != tt.want {
			t.Errorf("with %s: %q, want %q", tt.what, got, tt.want)
		}
	}
}

// Subjects are looked up by 32 bits of a hash. A rule must not match another name with the same
// hash.
func TestSubjectsWithEqualHashesDiffer(t *testing.T) {
	for _, group := range []bool{false, true} {
		one, other := policy.Colliding(group)
		prefix, who := "user:", func(name string) *policy.Principal { return &policy.Principal{Kind: policy.User, Name: name} }
		if group {
			prefix = "group:"
			who = func(name string) *policy.Principal {
				return &policy.Principal{Kind: policy.User, Name: "ann", Groups: []string{"x", name}}
			}
		}
		for _, more := range []int{0, 100} {
			source := policy.Source{Rules: []policy.Rule{
				{Name: "allow", Subjects: []string{prefix + one}, Names: []string{"a/**"}, Actions: scope.Pull},
				{Name: "all", Subjects: []string{"anyone"}, Names: []string{"b/**"}, Actions: scope.Pull},
				{Name: "deny", Deny: true, Subjects: []string{prefix + one}, Names: []string{"b/**"}, Actions: scope.Pull},
			}}
			for i := range more {
				source.Rules = append(source.Rules, policy.Rule{
					Name: fmt.Sprint(i), Subjects: []string{fmt.Sprintf("group:other%d", i)}, Names: []string{"a/**", "b/**"}, Actions: scope.Push,
				})
			}
			p := policygen.Compile(t, source)
			for name, want := range map[string]string{one: "pull,", other: ",pull"} {
				for _, principal := range []*policy.Principal{who(name), who(name).Indexed()} {
					d := p.Decide(&policy.Request{Principal: principal, Scopes: policygen.Scopes(t, "repository:a/x:pull repository:b/x:pull")})
					if got := d.Results[0].Granted.String() + "," + d.Results[1].Granted.String(); got != want {
						t.Errorf("%s with %d additional rules: %q, want %q (%q and %q have the same hash)", principal, more, got, want, one, other)
					}
				}
			}
		}
	}
}

func TestEqualIgnoresTheIndex(t *testing.T) {
	ann := policy.Principal{
		Kind: policy.User, Name: "ann", Source: "test", ID: "1", Groups: []string{"a", "b"},
		Claims: map[string]any{"team": []any{"x"}}, Limits: []policy.Limit{{Names: []string{"**"}, Actions: scope.Pull}},
	}
	if diff := cmp.Diff(&ann, ann.Indexed()); diff != "" {
		t.Error(diff)
	}
	for what, change := range map[string]func(*policy.Principal){
		"kind":   func(who *policy.Principal) { who.Kind = policy.Robot },
		"name":   func(who *policy.Principal) { who.Name = "bob" },
		"source": func(who *policy.Principal) { who.Source = "" },
		"id":     func(who *policy.Principal) { who.ID = "2" },
		"groups": func(who *policy.Principal) { who.Groups = []string{"b", "a"} },
		"claims": func(who *policy.Principal) { who.Claims = map[string]any{"team": []any{"y"}} },
		"type":   func(who *policy.Principal) { who.Claims = map[string]any{"team": "x"} },
		"limits": func(who *policy.Principal) { who.Limits = nil },
	} {
		other := *ann.Indexed()
		change(&other)
		if ann.Equal(other) {
			t.Errorf("a principal with a different %s is equal", what)
		}
	}
}
