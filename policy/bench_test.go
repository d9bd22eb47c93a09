package policy_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/internal/policygen"
	"github.com/tidewaiter/tidewaiter/scope"
)

// shapes are kinds of policies. In each kind, the rules differ in another place: in the subject,
// in the first part of the name, and so on. An index that uses only one of these places is slow
// for some kinds.
var shapes = []struct {
	name string
	rule func(i int) policy.Rule
	hit  func(i int) string // a name that rule i matches
	miss string             // a name that no rule matches
}{
	{
		"teams", // most policies are like this: a group and the repositories below its name
		func(i int) policy.Rule {
			r := policy.Rule{Subjects: []string{fmt.Sprintf("group:team%d", i)}, Names: []string{fmt.Sprintf("team%d/*/**", i)}, Actions: scope.Pull}
			if i%2 == 0 {
				r.Actions |= scope.Push
			}
			if i%50 == 49 {
				r.Deny = true
			}
			if i%20 == 7 {
				r.When = policygen.Fixed(true, nil)
			}
			return r
		},
		func(i int) string { return fmt.Sprintf("team%d/app/web", i) }, "nobody/app/web",
	},
	{
		"one-subject", // one group has a rule for each repository
		func(i int) policy.Rule {
			return policy.Rule{Subjects: []string{"group:dev"}, Names: []string{fmt.Sprintf("apps/app%d", i)}, Actions: scope.Pull}
		},
		func(i int) string { return fmt.Sprintf("apps/app%d", i) }, "apps/none",
	},
	{
		"anyone", // distinct names of two parts
		func(i int) policy.Rule {
			return policy.Rule{Subjects: []string{"anyone"}, Names: []string{fmt.Sprintf("a%d/b%d", i%300, i)}, Actions: scope.Pull}
		},
		func(i int) string { return fmt.Sprintf("a%d/b%d", i%300, i) }, "a1/none",
	},
	{
		"one-name", // a rule for everything for each subject
		func(i int) policy.Rule {
			return policy.Rule{Subjects: []string{fmt.Sprintf("group:team%d", i)}, Names: []string{"**"}, Actions: scope.Pull}
		},
		func(i int) string { return "any/app" }, "any//app",
	},
	{
		"suffix", // begins with a wildcard
		func(i int) policy.Rule {
			return policy.Rule{Subjects: []string{"group:dev"}, Names: []string{fmt.Sprintf("**/x-%d", i)}, Actions: scope.Pull}
		},
		func(i int) string { return fmt.Sprintf("one/two/x-%d", i) }, "one/two/three",
	},
	{
		"globs", // wildcards inside parts
		func(i int) policy.Rule {
			return policy.Rule{Subjects: []string{"group:dev"}, Names: []string{[]string{
				fmt.Sprintf("team*/x-%d", i), fmt.Sprintf("team%d-*/app", i), fmt.Sprintf("*-team%d/app", i), fmt.Sprintf("t*-%d/app", i),
			}[i%4]}, Actions: scope.Pull}
		},
		func(i int) string {
			return []string{
				fmt.Sprintf("team-a/x-%d", i), fmt.Sprintf("team%d-b/app", i), fmt.Sprintf("c-team%d/app", i), fmt.Sprintf("td-%d/app", i),
			}[i%4]
		}, "teams/none",
	},
	{
		"user", // begins with a placeholder
		func(i int) policy.Rule {
			return policy.Rule{Subjects: []string{"signed-in"}, Names: []string{fmt.Sprintf("${user}/p%d/**", i)}, Actions: scope.Pull}
		},
		func(i int) string { return fmt.Sprintf("ann/p%d/app", i) }, "bob/p1/app",
	},
	{
		"registries", // only the registry differs
		func(i int) policy.Rule {
			return policy.Rule{Subjects: []string{"group:dev"}, Registries: []string{fmt.Sprintf("r%d", i)}, Names: []string{"apps/**"}, Actions: scope.Pull}
		},
		func(i int) string { return "apps/one" }, "other/one",
	},
}

var sizes = []int{1, 1_000, 10_000, 100_000}

func sourceOf(n int, rule func(int) policy.Rule) policy.Source {
	source := policy.Source{Rules: make([]policy.Rule, n)}
	for i := range source.Rules {
		source.Rules[i] = rule(i)
		source.Rules[i].Name = fmt.Sprintf("rule %d", i)
	}
	return source
}

// ann returns a user in five groups. One group is the group of rule i.
func ann(i int) *policy.Principal {
	return &policy.Principal{Kind: policy.User, Name: "ann", Groups: []string{"staff", "dev", fmt.Sprintf("team%d", i), "vpn-users", "oncall"}}
}

func BenchmarkDecide(b *testing.B) {
	for _, shape := range shapes {
		for _, n := range sizes {
			p := policygen.Compile(b, sourceOf(n, shape.rule))
			at := n * 9 / 10
			for _, way := range []struct{ name, asked string }{{"hit", shape.hit(at)}, {"miss", shape.miss}} {
				r := &policy.Request{
					Principal: ann(at), Registry: fmt.Sprintf("r%d", at),
					Scopes: []scope.Scope{{Type: "repository", Name: way.asked, Actions: scope.Pull | scope.Push}},
				}
				b.Run(fmt.Sprintf("%s/%d/%s", shape.name, n, way.name), func(b *testing.B) {
					if granted := p.Decide(r).Results[0].Granted; (granted != 0) != (way.name == "hit") {
						b.Fatalf("granted %v", granted)
					}
					b.ReportAllocs()
					for b.Loop() {
						p.Decide(r)
					}
				})
			}
		}
	}
}

// Each request has another principal and matches other rules, so the processor's caches do not
// hold these rules. The smallest policy shows the cost of the requests themselves.
func BenchmarkDecideAllOver(b *testing.B) {
	for _, shape := range shapes {
		for _, n := range sizes {
			p := policygen.Compile(b, sourceOf(n, shape.rule))
			requests := make([]*policy.Request, 4096)
			for k := range requests {
				i := k * 7919 % n
				requests[k] = &policy.Request{
					Principal: ann(i), Registry: fmt.Sprintf("r%d", i),
					Scopes: []scope.Scope{{Type: "repository", Name: shape.hit(i), Actions: scope.Pull | scope.Push}},
				}
			}
			b.Run(fmt.Sprintf("%s/%d", shape.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for k := 0; b.Loop(); k++ {
					p.Decide(requests[k%len(requests)])
				}
			})
		}
	}
}

// The principal is in many groups, and one node has rules for each group.
func BenchmarkDecideManyGroups(b *testing.B) {
	p := policygen.Compile(b, sourceOf(100_000, shapes[3].rule))
	for _, n := range []int{5, 50, 500} {
		who := &policy.Principal{Kind: policy.User, Name: "ann"}
		for i := range n {
			who.Groups = append(who.Groups, fmt.Sprintf("team%d", i*17))
		}
		r := &policy.Request{Principal: who, Scopes: []scope.Scope{{Type: "repository", Name: "team/app", Actions: scope.Pull}}}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Decide(r)
			}
		})
	}
}

// The principal has a restricted credential.
func BenchmarkDecideNarrowed(b *testing.B) {
	p := policygen.Compile(b, sourceOf(1_000, shapes[0].rule))
	who := ann(900)
	who.Limits = []policy.Limit{{Names: []string{"other/**", "team900/**"}, Actions: scope.Pull}}
	r := &policy.Request{Principal: who, Scopes: []scope.Scope{{Type: "repository", Name: "team900/app/web", Actions: scope.Pull | scope.Push}}}
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(r)
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, shape := range shapes {
		for _, n := range sizes[2:] {
			source := sourceOf(n, shape.rule)
			b.Run(fmt.Sprintf("%s/%d", shape.name, n), func(b *testing.B) {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				kept, err := policy.Compile(source)
				if err != nil {
					b.Fatal(err)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				for b.Loop() {
					if _, err := policy.Compile(source); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B/rule")
				runtime.KeepAlive(kept)
			})
		}
	}
}

// Compiling rules with many errors must not take longer than compiling valid rules.
func BenchmarkCompileErrors(b *testing.B) {
	source := sourceOf(10_000, func(i int) policy.Rule {
		return policy.Rule{Subjects: []string{"usr:ann"}, Names: []string{"team//app"}, Role: fmt.Sprintf("raeder%d", i)}
	})
	source.Roles = map[string]policy.Role{}
	for i := range 1_000 {
		source.Roles[fmt.Sprintf("reader%d", i)] = policy.Role{Actions: scope.Pull}
	}
	for b.Loop() {
		_, err := policy.Compile(source)
		if problems := (policy.Problems)(nil); !errors.As(err, &problems) || len(problems) != 30_000 {
			b.Fatal(len(problems))
		}
	}
}
