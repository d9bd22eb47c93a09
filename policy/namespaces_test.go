package policy_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/internal/policygen"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/scope"
)

// namespaces is the policy of a large company with n namespaces. Each namespace has ten rules,
// which are for its groups, its lead, its robots and its neighbors. All rules except "freeze"
// use the same roles. The rules that allow a push have the given condition, which may be nil.
func namespaces(n int, condition policy.Condition) policy.Source {
	source := policy.Source{
		Roles: map[string]policy.Role{"reader": {Actions: scope.Pull}, "writer": {Actions: scope.Pull | scope.Push}, "maintainer": {Actions: scope.Repository}},
		Rules: make([]policy.Rule, 0, 10*n),
	}
	for i := range n {
		team := fmt.Sprintf("team-%d", i)
		all := []string{team + "/**"}
		for _, r := range []policy.Rule{
			{Name: "owners", Subjects: []string{"group:" + team + "-owners", "user:lead-" + team}, Names: all, Role: "maintainer"},
			{Name: "writers", Subjects: []string{"group:" + team + "-dev", "group:" + team + "-ops", "user:lead-" + team}, Names: all, Role: "writer", When: condition},
			{Name: "readers", Subjects: []string{"group:" + team + "-guests", "group:" + team + "-audit", "group:auditors"}, Names: all, Role: "reader"},
			{Name: "internal", Subjects: []string{"group:everybody"}, Names: []string{team + "/shared/*"}, Role: "reader"},
			{Name: "public", Subjects: []string{"anyone"}, Names: []string{team + "/public/**"}, Role: "reader"},
			{Name: "builds", Subjects: []string{"robot:" + team + "-ci", "workload:ci/" + team}, Names: []string{team + "/app", team + "/build-*"}, Role: "writer", When: condition},
			{Name: "deploys", Subjects: []string{"robot:" + team + "-cd", "workload:cluster/" + team}, Names: all, Role: "reader"},
			{Name: "neighbours", Subjects: []string{fmt.Sprintf("group:team-%d-dev", (i+1)%n), fmt.Sprintf("group:team-%d-dev", (i+2)%n)}, Names: []string{team + "/base/**"}, Role: "reader"},
			{Name: "own", Subjects: []string{"group:" + team + "-dev"}, Names: []string{team + "/home/${user}/**"}, Role: "maintainer"},
			{Name: "freeze", Deny: true, Subjects: []string{"anyone"}, Names: []string{team + "/prod/**"}, Actions: scope.Push | scope.Delete, When: condition},
		} {
			r.Name = team + " " + r.Name
			r.Origin = policy.Origin{File: "namespaces.yaml", Line: len(source.Rules) + 1}
			source.Rules = append(source.Rules, r)
		}
	}
	return source
}

// member returns a user in the given number of groups. One of these groups has the developers of
// the given team.
func member(groups, team int) *policy.Principal {
	who := &policy.Principal{Kind: policy.User, Name: "ann"}
	for i := range groups - 2 {
		who.Groups = append(who.Groups, fmt.Sprintf("department-%d-list", i))
	}
	who.Groups = append(who.Groups, "everybody", fmt.Sprintf("team-%d-dev", team))
	return who.Indexed()
}

// workdays is a condition that needs the local time of a place.
func workdays(t testing.TB) policy.Condition {
	t.Helper()
	c, err := when.NewCompiler().Compile(`!(now.getDayOfWeek("Europe/Paris") in [0, 6])`)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A principal in many groups requests names in many namespaces. In the benchmark "all over",
// each request is for another namespace.
func BenchmarkDecideNamespaces(b *testing.B) {
	for _, way := range []struct {
		name string
		when policy.Condition
	}{{"plain", nil}, {"condition", workdays(b)}} {
		p := policygen.Compile(b, namespaces(10_000, way.when))
		for _, groups := range []int{5, 20, 200} {
			for _, spread := range []struct {
				name string
				n    int
			}{{"one", 1}, {"all-over", 4096}} {
				requests := make([]*policy.Request, spread.n)
				for k := range requests {
					team := (9000 + k*7919) % 10_000
					requests[k] = &policy.Request{
						Principal: member(groups, team), Now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC),
						Scopes: []scope.Scope{{Type: "repository", Name: fmt.Sprintf("team-%d/app", team), Actions: scope.Pull | scope.Push}},
					}
				}
				b.Run(fmt.Sprintf("%s/%d-groups/%s", way.name, groups, spread.name), func(b *testing.B) {
					for _, r := range requests {
						if granted := p.Decide(r).Results[0].Granted; granted != scope.Pull|scope.Push {
							b.Fatal(granted)
						}
					}
					b.ReportAllocs()
					for k := 0; b.Loop(); k++ {
						p.Decide(requests[k%len(requests)])
					}
				})
			}
		}
	}
}

func BenchmarkCompileNamespaces(b *testing.B) {
	for _, way := range []struct {
		name string
		when policy.Condition
	}{{"plain", nil}, {"condition", workdays(b)}} {
		source := namespaces(10_000, way.when)
		b.Run(way.name, func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			kept := policygen.Compile(b, source)
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportAllocs()
			for b.Loop() {
				policygen.Compile(b, source)
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(kept.Len()), "B/rule")
			runtime.KeepAlive(kept)
		})
	}
}

// The principal has a claim that lists all groups, and there are patterns for each group.
func BenchmarkDecideClaims(b *testing.B) {
	p := policygen.Compile(b, policy.Source{Rules: []policy.Rule{
		{Name: "own", Subjects: []string{"signed-in"}, Names: []string{"${claims.groups}/**", "teams/${claims.groups}/*"}, Actions: scope.Pull},
	}})
	for _, n := range []int{1, 20, 200} {
		who := member(n+2, 0)
		who.Claims = map[string]any{"groups": who.Groups}
		r := &policy.Request{Principal: who, Scopes: []scope.Scope{{Type: "repository", Name: "team-0-dev/app", Actions: scope.Pull}}}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			if p.Decide(r).Results[0].Granted == 0 {
				b.Fatal("refused")
			}
			b.ReportAllocs()
			for b.Loop() {
				p.Decide(r)
			}
		})
	}
}
