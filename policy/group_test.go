package policy_test

import (
	"fmt"
	"testing"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func groupPolicy(t testing.TB, rules ...policy.Rule) *policy.Policy {
	t.Helper()
	for i := range rules {
		rules[i].Name = fmt.Sprintf("rule %d", i+1)
	}
	p, err := policy.Compile(policy.Source{Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func inGroups(kind policy.Kind, groups ...string) *policy.Principal {
	return &policy.Principal{Kind: kind, Name: "ann", Groups: groups}
}

func pull(p *policy.Policy, who *policy.Principal, name string) scope.Actions {
	return p.Decide(&policy.Request{Principal: who, Registry: "r", Scopes: []scope.Scope{{Type: "repository", Name: name, Actions: scope.Pull}}}).Results[0].Granted
}

// ${group} matches exactly one part, for any name of the group.
func TestGroupMatchesOnePart(t *testing.T) {
	p := groupPolicy(t,
		policy.Rule{Subjects: []string{"anyone"}, Names: []string{"${group}/*", "shared/${group}/${group}"}, Actions: scope.Pull},
	)
	for _, tt := range []struct {
		who  *policy.Principal
		name string
		gets scope.Actions
	}{
		{inGroups(policy.User, "dev", "ops"), "dev/app", scope.Pull},
		{inGroups(policy.User, "dev", "ops"), "ops/app", scope.Pull},
		{inGroups(policy.User, "dev", "ops"), "hr/app", 0},
		{inGroups(policy.User, "dev", "ops"), "dev/app/x", 0},
		{inGroups(policy.User, "dev", "ops"), "dev", 0},
		{inGroups(policy.User, "dev", "ops"), "shared/dev/ops", scope.Pull}, // any of the groups
		{inGroups(policy.User, "dev"), "shared/dev/ops", 0},
		{inGroups(policy.User), "dev/app", 0},
		{inGroups(policy.Robot, "dev"), "dev/app", scope.Pull},
		{inGroups(policy.Workload, "dev"), "dev/app", scope.Pull},
		{inGroups(policy.Anonymous, "dev"), "dev/app", 0},
		{inGroups(policy.Kind(9), "dev"), "dev/app", 0},
		{inGroups(policy.User, "*", "**", "d*", "[a-z]*", "dev|ops", "${group}", "/.+/", "?"), "dev/app", 0},
		{inGroups(policy.User, "*"), "*/app", 0},
		{inGroups(policy.User, "Dev", "DEV", "dev ", "\u212aev"), "dev/app", 0},
		{inGroups(policy.User, "a/b", "a/"), "a/b/app", 0},
		{inGroups(policy.User, "", ".", "..", "a..b", "-a"), "a..b/app", 0},
		{inGroups(policy.User, "host:5000"), "host:5000/app", 0},
	} {
		if got := pull(p, tt.who, tt.name); got != tt.gets {
			t.Errorf("%s in %q is granted %q on %s, want %q", tt.who, tt.who.Groups, got, tt.name, tt.gets)
		}
		if got := pull(p, tt.who.Indexed(), tt.name); got != tt.gets {
			t.Errorf("%s in %q, indexed, is granted %q on %s, want %q", tt.who, tt.who.Groups, got, tt.name, tt.gets)
		}
	}
}

// A deny rule applies if any group matches, even the last of a thousand. The number of
// allocations does not grow with the number of groups.
func TestDenyByOneOfManyGroups(t *testing.T) {
	p := groupPolicy(t,
		policy.Rule{Subjects: []string{"signed-in"}, Names: []string{"**"}, Actions: scope.Pull},
		policy.Rule{Deny: true, Subjects: []string{"signed-in"}, Names: []string{"**/${group}/secret"}, Actions: scope.Pull},
	)
	var groups []string
	for i := range 1000 {
		groups = append(groups, fmt.Sprintf("other-%d", i))
	}
	groups = append(groups, "dev")
	for _, who := range []*policy.Principal{inGroups(policy.User, groups...), inGroups(policy.User, groups...).Indexed()} {
		for name, gets := range map[string]scope.Actions{"dev/secret": 0, "a/b/dev/secret": 0, "other-999/secret": 0, "hr/secret": scope.Pull, "dev/x": scope.Pull, "secret": scope.Pull} {
			if got := pull(p, who, name); got != gets {
				t.Errorf("%s: granted %q, want %q", name, got, gets)
			}
		}
	}
	who := inGroups(policy.User, groups...).Indexed()
	r := &policy.Request{Principal: who, Registry: "r", Scopes: []scope.Scope{{Type: "repository", Name: "a/b/dev/secret", Actions: scope.Pull}}}
	if allocations := testing.AllocsPerRun(100, func() { p.Decide(r) }); allocations > 2 {
		t.Errorf("a decision makes %v allocations, want at most 2", allocations)
	}
}

func TestErrorsInPatternsWithGroups(t *testing.T) {
	_, err := policy.Compile(policy.Source{Rules: []policy.Rule{
		{Name: "a", Subjects: []string{"anonymous"}, Names: []string{"${group}/*"}, Actions: scope.Pull},
		{Name: "b", Subjects: []string{"anyone"}, Names: []string{"${groups}/*", "x-${group}/*"}, Actions: scope.Pull},
	}})
	const want = `compiling policy: rule 1: names[0]: the pattern "${group}/*" can never match: anonymous requests have no groups
rule 2: names[0]: the pattern "${groups}/*" has the unknown placeholder ${groups}; there are ${user}, ${group} and ${claims.NAME} (did you mean "${group}/*"?)
rule 2: names[1]: in the pattern "x-${group}/*", the placeholder in "x-${group}" must be a whole path part`
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
}
