package when_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

// hostileRequest is a request of a principal whose claims are as large as an attacker can make
// them.
func hostileRequest() *policy.Request {
	groups := make([]string, 20_000)
	for i := range groups {
		groups[i] = fmt.Sprintf("group-%d-%s", i, strings.Repeat("x", 100))
	}
	many := make([]any, 20_000)
	for i := range many {
		many[i] = groups[i]
	}
	deep := any("end")
	for range 5000 {
		deep = []any{deep}
	}
	return &policy.Request{
		Principal: &policy.Principal{Kind: policy.User, Name: "ann", Groups: groups, Claims: map[string]any{
			"long": strings.Repeat("a", 1<<20), "many": many, "deep": deep, "zone": "../../etc/passwd", "pattern": "(a*)*$",
		}},
		Registry: "r.example.com", Client: strings.Repeat("docker/", 1000), Now: wednesday,
	}
}

// Threats: ReDoS, and slow matching. Text from other parties cannot make a condition slow. Every
// evaluation ends with a result or an error, and the cost of an evaluation has a limit, even if
// the claims are very large.
func TestUntrustedTextDoesNotStallConditions(t *testing.T) {
	r := hostileRequest()
	// A call is counted after it returns, so the last call can exceed the limit by its own cost.
	// The call with the highest cost searches the largest claim for a group's name. The number of
	// steps of this call is a tenth of the length of the claim, times a tenth of the length of the
	// name.
	largest := uint64(0)
	for _, claim := range r.Principal.Claims {
		largest = max(largest, when.Work(claim))
	}
	most := when.MaxCost + largest*(1+uint64(len(r.Principal.Groups[len(r.Principal.Groups)-1]))/10)
	for _, text := range []string{
		`claims.long.matches("^(a*)*$")`,
		`claims.long.matches("^(a|aa)+b$") || claims.long.matches("(x+x+)+y")`,
		`claims.many.all(a, claims.many.all(b, a != b || a == b))`,
		`groups.all(a, groups.all(b, a.startsWith("group") && b.endsWith("x")))`,
		`groups.exists(a, claims.long.contains(a))`,
		`claims.many.exists(a, a + claims.long == "x")`,
		`groups.all(g, client.contains(g + g + g) || true)`,
		`[claims.long + claims.long].exists(a, [a + a + a + a].exists(b, b + b + b + b == "x"))`,
		`claims.deep == [[[[[[]]]]]]`,
		`claims.deep == claims.deep && claims.many == claims.many`,
		`groups.exists(g, g + claims.long == "x")`,
		`groups.exists(g, claims.many == claims.many)`,
		`groups.exists(g, claims.deep == claims.deep)`,
		`claims.many.exists(a, claims.many == claims.many)`,
		`groups.all(g, g in groups)`,
		`groups.all(g, groups == groups)`,
		`now.getHours(claims.zone) == 1`,
		`groups.exists(g, now.getHours(g) == 1)`,
		`size(claims.long) > 3 && claims.long > claims.long + "a"`,
		`claims.many.filter(a, a in claims.many).size() > 3`,
	} {
		condition := compile(t, text)
		holds, explains, err := when.Costs(condition, r)
		if err != nil {
			t.Fatal(err)
		}
		if holds > most || explains > most || !when.Counts(condition, r) {
			t.Errorf("%s takes %d steps, and its explanation %d steps; the limit is %d", text, holds, explains, most)
		}
		_, _ = condition.Holds(r)
		for _, v := range condition.Explain(r) {
			if len(v.Expression) > 210 || len(v.Value) > 220 {
				t.Errorf("%s: the explanation has an expression of %d bytes and a value of %d bytes", text, len(v.Expression), len(v.Value))
			}
		}
	}
}

// A condition cannot build large values: nesting is bounded, and the macro map is not
// available.
func TestConditionsCannotBuildLargeValues(t *testing.T) {
	for text, want := range map[string]string{
		`[["a","a"]].exists(a, [[a,a]].exists(b, [[b,b]].exists(c, c == c)))`: `all, exists, exists_one and filter are nested 3 times; the limit is 2`,
		`groups.map(g, [g, g]) == []`:                                         `unknown function "map"`,
		`optional.of([user]).optMap(a, [a, a]) == optional.none()`:            `unknown function "optMap"`,
		`user.matches(claims.pattern)`:                                        `a pattern must be a literal text; it cannot come from a request`,
		`user.matches("^" + user + "$")`:                                      `a pattern must be a literal text; it cannot come from a request`,
		`matches(client, client)`:                                             `a pattern must be a literal text; it cannot come from a request`,
		`user.matches("((a{100}){100}){100}")`:                                `invalid RE2 pattern: invalid repeat count: ` + "`{100}`",
		strings.Repeat("(", 60) + "true" + strings.Repeat(")", 60):            `the condition is nested too deeply; the limit is 50`,
		strings.Repeat("!", 4000) + "true":                                    ``,
		`user == "` + strings.Repeat("a", 4096) + `"`:                         `the condition has 4106 characters; the limit is 4096`,
		strings.Repeat(`user == "a" || `, 250) + "true":                       ``,
		"user == \"\xff\"":                                                    `the condition is not UTF-8`,
	} {
		_, err := when.NewCompiler().Compile(text)
		if want == "" {
			if err != nil {
				t.Errorf("%.80s: %v", text, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v; want %s", text, err, want)
		}
	}
}

// Harbor had a map that only grew, and its keys came from untrusted input. Here an author of rules
// writes many invalid conditions, and many valid conditions whose rules are later removed. None of
// them stays in memory.
func TestUnusedConditionsAreFreed(t *testing.T) {
	c := when.NewCompiler()
	kept, err := c.Compile(`user == "ann"`)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if _, err := c.Compile(fmt.Sprintf(`user == grops%d`, i)); err == nil {
			t.Fatal("Compile accepted an invalid condition")
		}
		if _, err := c.Compile(fmt.Sprintf(`user == "ann%d"`, i)); err != nil {
			t.Fatal(err)
		}
	}
	await.Until(t, "the removal of unused conditions", func(context.Context) error {
		runtime.GC()
		if n := c.Kept(); n != 1 {
			return fmt.Errorf("%d conditions are still in memory, want only the condition that is in use", n)
		}
		return nil
	})
	if again, err := c.Compile(`user == "ann"`); err != nil || again != kept {
		t.Errorf("the condition in use was compiled again (%v)", err)
	}
	runtime.KeepAlive(kept)
}

// Names never become patterns or time zones, and no part of a request is read as an expression.
func TestRequestsNeverBecomePatterns(t *testing.T) {
	for _, name := range []string{"*", ".*", "${user}", "a||true", `" || true || "`, "claims.ref"} {
		r := ann()
		r.Principal = &policy.Principal{Kind: policy.User, Name: name, Groups: []string{name}, Claims: map[string]any{"x": name}}
		if holds, err := compile(t, `user == "ann" || "dev" in groups || claims.x == "ann" || claims.x.startsWith("ann")`).Holds(r); holds || err != nil {
			t.Errorf("%s: %t, %v", name, holds, err)
		}
	}
}
