package when_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/scope"
)

// wednesday is half past eleven on Wednesday night in UTC. In Paris, it is already Thursday.
var wednesday = time.Date(2026, 11, 25, 23, 30, 0, 0, time.UTC)

// ann returns a request of a user in an office. The next function, job, returns a request of a
// GitHub job on a branch.
func ann() *policy.Request {
	return &policy.Request{
		Principal: &policy.Principal{Kind: policy.User, Name: "ann", Groups: []string{"dev", "team-a"}},
		Registry:  "registry.example.com", IP: netip.MustParseAddr("10.1.2.3"), Client: "docker/27.0 go/1.26", Now: wednesday,
	}
}

func job() *policy.Request {
	return &policy.Request{
		Principal: &policy.Principal{Kind: policy.Workload, Name: "acme/app", Claims: map[string]any{
			"ref": "refs/heads/dev", "environment": "", "run": 3.0, "fork": false, "teams": []any{"a", "b"},
			"a-b": "dash", "pod": map[string]any{"node": map[string]any{"name": "n1"}}, "labels": []string{"x"}, "none": nil,
		}},
		Registry: "registry.example.com", IP: netip.MustParseAddr("192.0.2.7"), Client: "buildkit/0.20", Now: wednesday,
	}
}

func TestConditions(t *testing.T) {
	c := when.NewCompiler()
	for _, tt := range []struct {
		condition string
		of        func() *policy.Request
		holds     bool
		fails     string // the error's text
	}{
		// Addresses.
		{`cidr("10.0.0.0/8").containsIP(request.ip)`, ann, true, ""},
		{`cidr("10.0.0.0/8").containsIP(request.ip)`, job, false, ""},
		{`["10.0.0.0/8", "192.0.2.0/24"].exists(net, cidr(net).containsIP(request.ip))`, job, true, ""},
		{`request.ip == ip("10.1.2.3")`, ann, true, ""},
		{`isIP("10.1.2.3") && !isIP("10.1.2")`, ann, true, ""},
		{`request.ip.family() == 4 && !request.ip.isLoopback()`, ann, true, ""},

		// Times.
		{`now.getDayOfWeek() == WEDNESDAY`, ann, true, ""},
		{`now.getDayOfWeek("Europe/Paris") == THURSDAY`, ann, true, ""},
		{`now.getDayOfWeek("Europe/Paris") in [0, 6]`, ann, false, ""},
		{`now.getHours("Europe/Paris") == 0`, ann, true, ""},
		{`now.getHours("+02:00") == 1 && now.getMinutes("-09:45") == 45`, ann, true, ""},
		{`now.getMonth() == NOVEMBER && now.getDate() == 25 && now.getFullYear() == 2026`, ann, true, ""},
		{`now.getDayOfMonth() == 24 && now.getDayOfYear() == 328`, ann, true, ""},
		{`now.getSeconds() == 0 && now.getMilliseconds() == 0`, ann, true, ""},
		{`now > timestamp("2026-11-25T00:00:00+01:00") && now - timestamp("2026-11-25T00:00:00Z") < duration("24h")`, ann, true, ""},
		{`timestamp("2026-11-25T00:30:00+02:00").getDate() == 24`, ann, true, ""},
		{`duration("90m").getHours() == 1`, ann, true, ""},

		// Names and groups.
		{`user == "ann"`, ann, true, ""},
		{`user == ""`, job, true, ""}, // a workload has no ${user}
		{`"dev" in groups`, ann, true, ""},
		{`"dev" in groups`, job, false, ""},
		{`groups.exists(g, g.startsWith("team-"))`, ann, true, ""},
		{`groups.all(g, g != "ops") && groups.exists_one(g, g == "dev") && groups.filter(g, g == "dev").size() == 1`, ann, true, ""},
		{`groups.exists(g, g in ["ops", "dev"])`, ann, true, ""},
		{`registry == "registry.example.com" && client.startsWith("docker/")`, ann, true, ""},

		// Claims.
		{`claims.ref == "refs/heads/main"`, job, false, ""},
		{`claims.ref.startsWith("refs/heads/") && claims["a-b"] == "dash"`, job, true, ""},
		{`claims.ref.matches("^refs/(heads|tags)/[a-z]+$")`, job, true, ""},
		{`claims.ref == "refs/heads/main"`, ann, false, `the claim "ref" is missing`},
		{`claims["no-such"] == "x"`, job, false, `the claim "no-such" is missing`},
		{`claims.pod.node.name == "n1"`, job, true, ""},
		{`claims.pod.node.zone == "z"`, job, false, `the claim "pod.node.zone" is missing`},
		{`claims.ref.part == "z"`, job, false, `the claim "ref.part" is missing`},
		{`has(claims.ref) && claims.ref != ""`, job, true, ""},
		{`has(claims.ref) && claims.ref != ""`, ann, false, ""},
		{`has(claims.pod.uid)`, job, false, ""},
		{`claims[?"ref"].orValue("none") == "none" && claims.?ref.orValue("none") == "none"`, ann, true, ""},
		{`claims.?pod.?node.?zone.orValue("z") == "z"`, job, true, ""},
		{`claims.none == null`, job, true, ""},

		// All numbers have the same type, whether they are written as 3 or 3.0.
		{`claims.run >= 3 && claims.run < 4 && claims.run == 3 && claims.run in [1, 2, 3] && claims.run > 2.5`, job, true, ""},
		{`claims.run + 1.0 == 4.0 && int(claims.run) + 1 == 4`, job, true, ""},
		{`claims.fork == false && !claims.fork`, job, true, ""},
		{`"a" in claims.teams && claims.teams[1] == "b" && size(claims.teams) == 2`, job, true, ""},
		{`"x" in claims.labels && claims.labels == ["x"]`, job, true, ""},
		{`claims.teams[2] == "b"`, job, false, `the list is too short in claims.teams[2]`},
		{`claims.ref == 3`, job, false, `a text and a number cannot be compared in claims.ref == 3`},
		{`claims.ref > 3`, job, false, `the values have incompatible types in claims.ref > 3`},
		{`claims.run.startsWith("r")`, job, false, `the values have incompatible types in claims.run.startsWith("r")`},
		{`claims.fork && claims.ref`, job, false, ""},
		{`int(claims.ref) == 3`, job, false, `the value cannot be converted in int(claims.ref)`},
		{`1 / int(claims.run - 3.0) == 1`, job, false, `a division by zero in 1 / int(claims.run - 3.0)`},
		{`now.getHours(claims.ref) == 3`, job, false, `unknown time zone "refs/heads/dev"`},

		// A part that is not evaluated does not fail.
		{`user == "ann" || claims.ref == "x"`, ann, true, ""},
		{`claims.ref == "x" || user == "ann"`, ann, true, ""},
		{`claims.ref == "x" && user == "bob"`, ann, false, ""},
		{`user == "ann" ? "dev" in groups : claims.ref == "x"`, ann, true, ""},
		{"// who builds\nclaims.run > 1 && // often\n  registry != ''", job, true, ""},
	} {
		condition, err := c.Compile(tt.condition)
		if err != nil {
			t.Errorf("%s: %v", tt.condition, err)
			continue
		}
		if condition.String() != tt.condition {
			t.Errorf("%s is printed as %s", tt.condition, condition)
		}
		holds, err := condition.Holds(tt.of())
		text := ""
		if err != nil {
			text = err.Error()
		}
		if holds != tt.holds || text != tt.fails {
			t.Errorf("%s: %t, %q; want %t, %q", tt.condition, holds, text, tt.holds, tt.fails)
		}
	}
}

// An IPv4 address in IPv6 form is the same address. A socket that accepts both IPv4 and IPv6
// reports addresses in this form.
func TestAddressesAreUnmapped(t *testing.T) {
	r := ann()
	r.IP = netip.MustParseAddr("::ffff:10.1.2.3")
	holds(t, r, `cidr("10.0.0.0/8").containsIP(request.ip) && request.ip == ip("10.1.2.3")`)
	r.IP = netip.MustParseAddr("fe80::1%eth0")
	holds(t, r, `cidr("fe80::/10").containsIP(request.ip) && request.ip.isLinkLocalUnicast()`)
}

// The client's address is unknown if a proxy is not trusted. It is also unknown in some tests of
// policies. Reading an unknown address is an error, even if the condition compares it with a
// network that contains all addresses.
func TestUnknownAddressesAreErrors(t *testing.T) {
	r := ann()
	r.IP = netip.Addr{}
	for _, text := range []string{`cidr("0.0.0.0/0").containsIP(request.ip)`, `!cidr("10.0.0.0/8").containsIP(request.ip)`, `request.ip != ip("10.0.0.1")`} {
		if holds, err := compile(t, text).Holds(r); holds || err == nil || err.Error() != "the client's address is not known" {
			t.Errorf("%s: %t, %v", text, holds, err)
		}
	}
}

// An anonymous principal has no name, no groups and no claims, even if the struct has some.
func TestAnonymousPrincipalsHaveNoClaims(t *testing.T) {
	for _, p := range []*policy.Principal{nil, {}, {Name: "ann", Claims: map[string]any{"ref": "x"}}} {
		holds(t, &policy.Request{Principal: p}, `user == "" && groups == [] && !has(claims.ref) && size(claims) == 0`)
	}
}

// An error in a condition never grants anything: an allow rule does not match, and a deny rule
// matches.
func TestErrorsNeverAllow(t *testing.T) {
	c := when.NewCompiler()
	rule := func(name string, deny bool, text string) policy.Rule {
		condition, err := c.Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		return policy.Rule{Name: name, Deny: deny, Subjects: []string{"anyone"}, Names: []string{name + "/*"}, Actions: scope.Push, When: condition}
	}
	always := policy.Rule{Name: "always", Subjects: []string{"anyone"}, Names: []string{"deny/*"}, Actions: scope.Push}
	for _, tt := range []struct{ condition, allow, deny string }{
		// A condition that reads a missing claim fails, even if the condition uses != or negates
		// the comparison.
		{`claims.ref == "refs/heads/main"`, "", ""},
		{`claims.ref != "refs/heads/main"`, "", ""},
		{`!(claims.ref == "refs/heads/main")`, "", ""},
		{`claims.ref == "x" || claims.run > 3`, "", ""},
		{`cidr("10.0.0.0/8").containsIP(request.ip)`, "", ""},                  // no address
		{`int(registry) > 3`, "", ""},                                          // not a number
		{`"x" in groups`, "", "push"},                                          // false
		{`!("x" in groups)`, "push", ""},                                       // true
		{`has(claims.ref) && claims.ref == "refs/heads/main"`, "", "push"},     // false
		{`now.getDayOfWeek("Europe/Paris") in [SATURDAY, SUNDAY]`, "", "push"}, // on a Thursday
		{`now.getDayOfWeek("Europe/Paris") in [THURSDAY]`, "push", ""},         // on a Thursday
	} {
		p, err := policy.Compile(policy.Source{Rules: []policy.Rule{rule("allow", false, tt.condition), rule("deny", true, tt.condition), always}})
		if err != nil {
			t.Fatal(err)
		}
		d := p.Decide(&policy.Request{
			Principal: &policy.Principal{Kind: policy.User, Name: "ann"}, Registry: "r.example.com", Now: wednesday,
			Scopes: []scope.Scope{{Type: "repository", Name: "allow/a", Actions: scope.Push}, {Type: "repository", Name: "deny/a", Actions: scope.Push}},
		})
		if got := d.Results[0].Granted.String(); got != tt.allow {
			t.Errorf("an allow rule with the condition %s grants %q, want %q", tt.condition, got, tt.allow)
		}
		if got := d.Results[1].Granted.String(); got != tt.deny {
			t.Errorf("a deny rule with the condition %s leaves %q, want %q", tt.condition, got, tt.deny)
		}
	}
}

func compile(t testing.TB, text string) policy.Condition {
	t.Helper()
	c, err := when.NewCompiler().Compile(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return c
}

func holds(t *testing.T, r *policy.Request, text string) {
	t.Helper()
	if holds, err := compile(t, text).Holds(r); !holds || err != nil {
		t.Errorf("%s: %t, %v", text, holds, err)
	}
}

// Conditions with equal texts share one program.
func TestEqualTextsShareACondition(t *testing.T) {
	c := when.NewCompiler()
	a, err1 := c.Compile(`user == "ann"`)
	b, err2 := c.Compile(`user == "ann"`)
	if a != b || err1 != nil || err2 != nil {
		t.Errorf("%p, %v and %p, %v", a, err1, b, err2)
	}
	_, err1 = c.Compile(`usr`)
	_, err2 = c.Compile(`usr`)
	if err1 == nil || !strings.HasPrefix(err1.Error(), `1:1: unknown name "usr"`) || err2.Error() != err1.Error() {
		t.Errorf("%v and %v", err1, err2)
	}
}

func TestConstant(t *testing.T) {
	for text, want := range map[string]string{
		`true`: "true", `1 > 2`: "false", `SUNDAY == 0`: "true", `["a"].exists(x, x == "a")`: "true",
		`timestamp("2026-01-01T00:00:00Z").getHours("Europe/Paris") == 1`: "true",
		`user == user`: "", `1 / 0 == 1`: "", `now > timestamp("2026-01-01T00:00:00Z")`: "", `claims == {}`: "",
	} {
		got := ""
		if value, constant := when.Constant(compile(t, text)); constant {
			got = map[bool]string{true: "true", false: "false"}[value]
		}
		if got != want {
			t.Errorf("%s is constant %q, want %q", text, got, want)
		}
	}
}
