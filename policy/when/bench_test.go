package when_test

import (
	"fmt"
	"testing"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/scope"
)

func BenchmarkHolds(b *testing.B) {
	for name, text := range map[string]string{
		"claim":   `claims.ref == "refs/heads/main"`,
		"missing": `claims.missing == "x"`,
		"network": `cidr("10.0.0.0/8").containsIP(request.ip)`,
		"weekend": `now.getDayOfWeek("Europe/Paris") in [SATURDAY, SUNDAY]`,
		"three":   `claims.ref.startsWith("refs/") && now.getHours("Europe/Paris") < 18 && cidr("192.0.2.0/24").containsIP(request.ip)`,
		"groups":  `groups.exists(g, g.startsWith("team-"))`,
		"counted": `claims.ref.matches("^refs/(heads|tags)/[a-z]+$")`,
	} {
		b.Run(name, func(b *testing.B) {
			condition, r := compile(b, text), job()
			b.ReportAllocs()
			for b.Loop() {
				_, _ = condition.Holds(r)
			}
		})
	}
}

// This benchmark compiles a policy of 100,000 rules, each with a different condition.
func BenchmarkPolicy(b *testing.B) {
	for _, texts := range []int{0, 1, 1000} {
		b.Run(fmt.Sprintf("texts=%d", texts), func(b *testing.B) {
			for b.Loop() {
				c := when.NewCompiler()
				rules := make([]policy.Rule, 100_000)
				for i := range rules {
					rules[i] = policy.Rule{
						Name: fmt.Sprint("rule ", i), Subjects: []string{fmt.Sprint("group:g", i)},
						Names: []string{fmt.Sprintf("team%d/*/**", i)}, Actions: scope.Pull,
					}
					if texts > 0 {
						condition, err := c.Compile(fmt.Sprintf(`claims.ref == "refs/heads/r%d" && now.getHours("Europe/Paris") < 18`, i%texts))
						if err != nil {
							b.Fatal(err)
						}
						rules[i].When = condition
					}
				}
				if _, err := policy.Compile(policy.Source{Rules: rules}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
