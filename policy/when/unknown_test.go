package when_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/scope"
)

// A condition depends on the unknown inputs that decide its value. It does not depend on the
// other inputs that it contains.
func TestDependsOn(t *testing.T) {
	nothing := ask.Unknown{}
	everything := ask.Unknown{Now: true, IP: true, Client: true, Registry: true, Claims: true}
	butEnvironment := ask.Unknown{Claims: true, Except: []string{"environment"}}
	c := when.NewCompiler()
	for _, tt := range []struct {
		condition string
		unknown   ask.Unknown
		of        func() *policy.Request
		want      []string
	}{
		{`now.getDayOfWeek("Europe/Paris") in [SATURDAY, SUNDAY]`, everything, ann, []string{"now"}},
		{`now.getDayOfWeek("Europe/Paris") in [SATURDAY, SUNDAY]`, nothing, ann, nil},
		{`cidr("10.0.0.0/8").containsIP(request.ip)`, everything, ann, []string{"request.ip"}},
		{`request.ip == ip("10.0.0.1") || now > timestamp("2026-01-01T00:00:00Z")`, everything, ann, []string{"now", "request.ip"}},
		{`client.startsWith("docker/") && registry == "r"`, everything, ann, []string{"client", "registry"}},
		{`user == "ann" && "dev" in groups`, everything, ann, nil},

		// The known inputs alone determine the value.
		{`user == "ben" && now > timestamp("2026-01-01T00:00:00Z")`, everything, ann, nil},
		{`now > timestamp("2026-01-01T00:00:00Z") && user == "ben"`, everything, ann, nil},
		{`user == "ann" || request.ip.isLoopback()`, everything, ann, nil},
		{`user == "ann" ? client == "x" : now.getHours() == 3`, everything, ann, []string{"client"}},
		// The result also depends on client. But DependsOn reports only now, because now is
		// evaluated first.
		{`now.getHours() == 3 ? client == "x" : client == "y"`, everything, ann, []string{"now"}},

		// Claims.
		{`claims.ref == "refs/heads/dev"`, everything, job, nil},
		{`claims.ref == "refs/heads/dev" && claims.project == "a"`, everything, job, []string{"claims.project"}},
		{`claims.ref == "refs/heads/main" && claims.project == "a"`, everything, job, nil},
		{`claims.project == "a"`, ask.Unknown{Now: true}, job, nil},
		{`claims["a-c"] == "a"`, everything, job, []string{"claims.a-c"}},
		{`claims[user + "x"] == "a"`, everything, ann, []string{"claims.annx"}},
		{`has(claims.project)`, everything, job, []string{"claims.project"}},
		{`has(claims.ref)`, everything, job, nil},
		{`has(claims.environment) && claims.environment == "production"`, everything, ann, []string{"claims.environment"}},
		{`has(claims.environment) && claims.environment == "production"`, butEnvironment, ann, nil},
		{`claims[?"environment"].orValue("none") == "production"`, everything, ann, []string{"claims.environment"}},
		{`claims[?"environment"].orValue("none") == "production"`, butEnvironment, ann, nil},
		{`"project" in claims`, everything, job, []string{"claims.project"}},
		{`"ref" in claims`, everything, job, nil},
		{`claims.pod.node.name == "n1"`, everything, job, nil},
		// The claim pod is known. So all its keys are known, too.
		{`claims.pod.namespace == "n1"`, everything, job, nil},
		{`claims.deep.namespace == "n1"`, everything, job, []string{"claims.deep"}},
		{`claims.exists(name, name == "x")`, everything, job, []string{"claims"}},
		{`size(claims) == 3`, everything, job, []string{"claims"}},
		{`claims == {"a": 1}`, everything, job, []string{"claims"}},
		{`claims.number == 3`, ask.Unknown{Now: true, Claims: true}, func() *policy.Request {
			return &policy.Request{Principal: &policy.Principal{Kind: policy.User, Claims: map[string]any{"number": json.Number("3")}}}
		}, nil},
		{`!("environment" in claims)`, butEnvironment, ann, nil},
		// Anonymous.
		{`claims.ref == "x"`, everything, func() *policy.Request { return &policy.Request{Principal: &policy.Principal{}} }, nil},
		{`claims.number == 3`, ask.Unknown{Now: true, Claims: true}, func() *policy.Request {
			return &policy.Request{Principal: &policy.Principal{Kind: policy.User, Claims: map[string]any{"number": json.Number("3")}}}
		}, nil},
		{`!("environment" in claims)`, butEnvironment, ann, nil},
		{`claims.ref == "x"`, everything, func() *policy.Request { return &policy.Request{} }, nil},
	} {
		condition, err := c.Compile(tt.condition)
		if err != nil {
			t.Errorf("%s: %v", tt.condition, err)
			continue
		}
		if diff := cmp.Diff(tt.want, condition.(ask.Partial).DependsOn(tt.of(), &tt.unknown)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.condition, diff)
		}
	}
}

// If two requests that differ only in unknown inputs get different decisions, the decision
// depends on at least one of these inputs.
func TestChangingDecisionsDependOnInputs(t *testing.T) {
	c := when.NewCompiler()
	conditions := []string{
		"", "", `now.getDayOfWeek() in [SATURDAY, SUNDAY]`, `now > timestamp("2026-06-01T00:00:00Z")`, `request.ip.isLoopback()`,
		`claims.a == "x"`, `has(claims.a) && claims.a == "x"`, `claims[?"a"].orValue("x") == "x"`, `!("a" in claims)`,
		`client == "x"`, `registry == "r1"`, `claims.exists(name, claims[name] == "x")`, `size(claims) > 1`,
		`claims.a == "x" && claims.b == "x"`, `claims.a == "x" || now > timestamp("2026-06-01T00:00:00Z")`,
		`claims.a == "x" ? client == "x" : request.ip.isLoopback()`, `user == "ann" && claims.b != "x"`, `claims[claims.a] == "x"`,
	}
	rapid.Check(t, func(t *rapid.T) {
		sampled := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
		var s policy.Source
		for i := range rapid.IntRange(1, 5).Draw(t, "rules") {
			r := policy.Rule{
				Name: fmt.Sprint("rule ", i), Subjects: []string{sampled("subject", "anyone", "user:ann", "group:g")},
				Deny: rapid.Bool().Draw(t, "deny"), Actions: scope.Pull,
				Names: []string{sampled("name", "**", "a/*", "x/a", "${claims.a}/*", "a/${claims.b}", "${claims.a}/${claims.b}", "*/${claims.a}")},
			}
			if on := sampled("registry", "", "", "r1"); on != "" {
				r.Registries = []string{on}
			}
			if text := rapid.SampledFrom(conditions).Draw(t, "condition"); text != "" {
				condition, err := c.Compile(text)
				if err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				r.When = condition
			}
			s.Rules = append(s.Rules, r)
		}
		p, err := policy.Compile(s)
		if err != nil {
			// invalid: for example, a pattern has ${claims.a}, but the rule's subjects have no
			// claims
			t.Skip()
		}
		u := ask.Unknown{
			Now: rapid.Bool().Draw(t, "now is unknown"), IP: rapid.Bool().Draw(t, "ip is unknown"), Client: rapid.Bool().Draw(t, "client is unknown"),
			Registry: rapid.Bool().Draw(t, "registry is unknown"), Claims: rapid.Bool().Draw(t, "claims are unknown"),
		}
		if rapid.Bool().Draw(t, "it has no b") {
			u.Except = []string{"b"}
		}
		known := map[string]any{}
		if rapid.Bool().Draw(t, "a is known") {
			known["a"] = sampled("a", "a", "x")
		}
		request := func(fill bool) *policy.Request {
			claims := map[string]any{}
			for name, value := range known {
				claims[name] = value
			}
			r := policy.Request{Principal: &policy.Principal{Kind: policy.User, Name: "ann", Claims: claims}, Scopes: []scope.Scope{{Type: "repository", Name: "x/a", Actions: scope.Pull}}}
			if u.Now && fill {
				r.Now = time.Date(2026, time.Month(rapid.IntRange(1, 12).Draw(t, "month")), rapid.IntRange(1, 28).Draw(t, "day"), 0, 0, 0, 0, time.UTC)
			} else {
				r.Now = wednesday
			}
			if fill && u.IP {
				r.IP = netip.MustParseAddr(sampled("ip", "127.0.0.1", "10.0.0.1"))
			}
			if fill && u.Client {
				r.Client = sampled("client", "x", "y")
			}
			if fill && u.Registry {
				r.Registry = sampled("registry", "r1", "r2")
			}
			for _, name := range []string{"a", "b", "x"} {
				if fill && u.Claim(r.Principal, name) && rapid.Bool().Draw(t, "has "+name) {
					claims[name] = sampled("claim", "x", "a", "b")
				}
			}
			return &r
		}
		asked := request(false)
		because := sampled("because", "", "rule 0")
		on := ask.Depends(p, &ask.Expectation{Request: asked, May: scope.Pull, Because: because}, &u)
		first := p.Decide(asked).Results[0]
		for range 4 {
			other := p.Decide(request(true)).Results[0]
			if (first.Granted != other.Granted || because != "" && first.Causes[0].Rule != other.Causes[0].Rule) && len(on) == 0 {
				t.Fatalf("%+v\nor %+v, and it depends on nothing", first, other)
			}
		}
	})
}
