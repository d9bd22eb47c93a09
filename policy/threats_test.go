package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/internal/policygen"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Each weakness below existed in some other registry or token server.

var own = policy.Rule{Name: "own", Subjects: []string{"signed-in"}, Names: []string{"${user}/**", "by-claim/${claims.team}/**"}, Actions: scope.Repository}

// Harbor granted all allowed actions to clients that requested fewer.
func TestThreatAGrantNeverExceedsTheRequest(t *testing.T) {
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{own}})
	for _, asked := range []string{"pull", "push", "delete", "pull,push"} {
		d := p.Decide(&policy.Request{Principal: policygen.Principal("ann"), Scopes: policygen.Scopes(t, "repository:ann/app:"+asked)})
		if got := d.Results[0].Granted.String(); got != asked {
			t.Errorf("asked %s, got %s", asked, got)
		}
	}
}

// docker_auth inserted the name of the account into a pattern. An account with the name
// "*@example.com" then had access to everything.
func TestThreatNamesNeverBecomePatterns(t *testing.T) {
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{own}})
	for _, evil := range []string{
		"*", "**", "*@example.com", "a*", "?", "[a-z]", "{a,b}", "**/*", "/", "a/b", "../ann", "..", ".", "", " ", "ann ", " ann", "ANN", "Ann",
		"${user}", "${claims.team}", "ann\x00", "ann\n", "ann/", "/ann", "aN\u200bn", "аnn", "ann%2f", `ann\`, ".*", "^ann$", strings.Repeat("a", 600),
	} {
		who := &policy.Principal{Kind: policy.User, Name: evil, Claims: map[string]any{"team": evil}}
		for _, list := range []any{evil, []string{evil}, []any{evil}} {
			who.Claims["team"] = list
			for _, name := range []string{"ann/app", "bob/app", "a/b/c", "team/app", "by-claim/ann/x", "by-claim/team/x", evil + "/app", "by-claim/" + evil + "/x"} {
				if evil == "a/b" && strings.HasPrefix(name, "by-claim/a/b/") {
					continue // a claim may match several parts
				}
				d := p.Decide(&policy.Request{Principal: who, Scopes: []scope.Scope{{Type: "repository", Name: name, Actions: scope.Pull}}})
				if d.Results[0].Granted != 0 {
					t.Errorf("a principal with the name %q may pull %q", evil, name)
				}
			}
		}
	}
}

// The limits of a credential can contain ${user}, too. Names do not become patterns there.
func TestThreatNamesNeverBecomePatternsOfLimits(t *testing.T) {
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{{Name: "all", Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Pull}}})
	who := &policy.Principal{Kind: policy.User, Name: "**", Limits: []policy.Limit{{Names: []string{"${user}"}, Actions: scope.Pull}}}
	if d := p.Decide(&policy.Request{Principal: who, Scopes: policygen.Scopes(t, "repository:team/app:pull")}); d.Results[0].Granted != 0 {
		t.Error(d)
	}
}

// A group or a user that is named like a keyword or like another subject does not become that
// subject.
func TestThreatNamesNeverBecomeSubjects(t *testing.T) {
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{
		{Name: "staff", Subjects: []string{"group:staff", "user:root", "robot:ci", "workload:job"}, Names: []string{"**"}, Actions: scope.Pull},
		{Name: "guests", Subjects: []string{"anonymous"}, Names: []string{"**"}, Actions: scope.Push},
	}})
	for _, who := range []*policy.Principal{
		{Kind: policy.User, Name: "staff"},
		{Kind: policy.User, Name: "group:staff"},
		{Kind: policy.User, Name: "x", Groups: []string{"group:staff", "*", "root", "user:root", "anonymous", "anyone", "Staff", "staff ", "ci", "job"}},
		{Kind: policy.User, Name: "anonymous"},
		{Kind: policy.User, Name: "ci"},
		{Kind: policy.Robot, Name: "root"},
		{Kind: policy.Workload, Name: "ci"},
		{Kind: 7, Name: "root", Groups: []string{"staff"}},
	} {
		if d := p.Decide(&policy.Request{Principal: who, Scopes: policygen.Scopes(t, "repository:team/app:pull,push")}); d.Results[0].Granted != 0 {
			t.Errorf("%v %q: %v", who.Kind, who.Name, d.Results[0].Causes)
		}
	}
	// An anonymous principal has no group and no name, even if the struct has some.
	nobody := &policy.Principal{Name: "root", Groups: []string{"staff"}}
	if d := p.Decide(&policy.Request{Principal: nobody, Scopes: policygen.Scopes(t, "repository:team/app:pull,push")}); d.Results[0].Granted != scope.Push {
		t.Error(d)
	}
}

// A robot called "ann" must not get ann's rights.
func TestThreatRobotsDoNotGetTheRightsOfUsers(t *testing.T) {
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{own}})
	for _, kind := range []policy.Kind{policy.Anonymous, policy.Robot, policy.Workload, 9} {
		d := p.Decide(&policy.Request{Principal: &policy.Principal{Kind: kind, Name: "ann"}, Scopes: policygen.Scopes(t, "repository:ann/app:pull")})
		if d.Results[0].Granted != 0 {
			t.Errorf("%v: %v", kind, d.Results[0].Causes)
		}
	}
}

// docker_auth ignored unknown keys. If the only key of a match was misspelled, the match was
// empty and matched everybody.
func TestThreatEmptyFieldsAreErrors(t *testing.T) {
	whole := policy.Rule{Name: "a", Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Pull}
	policygen.Compile(t, policy.Source{Rules: []policy.Rule{whole}})
	for what, change := range map[string]func(*policy.Rule){
		"no subjects":    func(r *policy.Rule) { r.Subjects = nil },
		"empty subjects": func(r *policy.Rule) { r.Subjects = []string{} },
		"empty subject":  func(r *policy.Rule) { r.Subjects = []string{""} },
		"no names":       func(r *policy.Rule) { r.Names = nil },
		"empty name":     func(r *policy.Rule) { r.Names = []string{""} },
		"no actions":     func(r *policy.Rule) { r.Actions = 0 },
		"empty registry": func(r *policy.Rule) { r.Registries = []string{""} },
		"a deny rule":    func(r *policy.Rule) { r.Deny, r.Actions = true, 0 },
	} {
		r := whole
		change(&r)
		if p, err := policy.Compile(policy.Source{Rules: []policy.Rule{r}}); err == nil || p != nil {
			t.Errorf("%s: no error", what)
		}
	}
	// If one rule is invalid, Compile returns no policy. It must not return a policy with only the
	// valid rules.
	bad := whole
	bad.Name, bad.Deny, bad.Names = "b", true, nil
	if p, err := policy.Compile(policy.Source{Rules: []policy.Rule{whole, bad}}); err == nil || p != nil {
		t.Error("Compile returned a policy without the invalid deny rule")
	}
}

// docker_auth's regular expressions were not anchored: /admin/ matched xxadminxx.
func TestThreatPatternsAreAnchored(t *testing.T) {
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{{Name: "a", Subjects: []string{"user:admin"}, Names: []string{"admin", "*/admin"}, Actions: scope.Pull}}})
	for _, name := range []string{"xadmin", "adminx", "x/adminx", "x/xadmin", "x/x/admin", "admin/x", "x/admin/x"} {
		if d := p.Decide(&policy.Request{Principal: policygen.Principal("admin"), Scopes: policygen.Scopes(t, "repository:"+name+":pull")}); d.Results[0].Granted != 0 {
			t.Errorf("%q is granted", name)
		}
	}
}

// With docker_auth, the directory accepted ALICE as alice, but a deny rule for alice in the ACL
// did not apply to ALICE. Here both the source and the rules compare names exactly.
func TestThreatCaseIsExact(t *testing.T) {
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{
		{Name: "alice", Subjects: []string{"user:alice", "group:dev"}, Names: []string{"**"}, Actions: scope.Pull},
	}})
	for _, who := range []string{"ALICE", "Alice", "bob +DEV", "bob +Dev"} {
		if d := p.Decide(&policy.Request{Principal: policygen.Principal(who), Scopes: policygen.Scopes(t, "repository:a:pull")}); d.Results[0].Granted != 0 {
			t.Errorf("%s is granted", who)
		}
	}
}

// Harbor did not check the source repository of a mount. Here the source is a scope like any
// other scope.
func TestThreatTheSourceOfAMountIsDecided(t *testing.T) {
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{own}})
	d := p.Decide(&policy.Request{Principal: policygen.Principal("ann"), Scopes: policygen.Scopes(t, "repository:ann/app:pull,push repository:secret/base:pull")})
	if d.Results[0].Granted != scope.Pull|scope.Push || d.Results[1].Granted != 0 {
		t.Error(d)
	}
}

// Harbor listed its catalog to everybody. Here rules about repositories do not apply to the
// catalog.
func TestThreatTheCatalogNeedsARule(t *testing.T) {
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{
		{Name: "all", Subjects: []string{"anyone"}, Names: []string{"**", "catalog"}, Actions: scope.Repository},
		{Name: "catalog", Subjects: []string{"group:ops"}, Type: "registry", Names: []string{"catalog"}, Actions: scope.All},
	}})
	for who, want := range map[string]string{"nobody": "", "ann": "", "ann +ops": "*"} {
		if got := p.Decide(&policy.Request{Principal: policygen.Principal(who), Scopes: policygen.Scopes(t, "registry:catalog:*")}).Results[0].Granted.String(); got != want {
			t.Errorf("%s: %q, want %q", who, got, want)
		}
	}
}

// Gitea checked the restrictions of a token only for some kinds of sign-in. Here limits are part
// of the principal.
func TestThreatLimitsTravelWithThePrincipal(t *testing.T) {
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{
		own,
		{Name: "admin", Subjects: []string{"user:ann"}, Type: "tidewaiter", Names: []string{"**"}, Actions: scope.Read | scope.Write},
		{Name: "catalog", Subjects: []string{"user:ann"}, Type: "registry", Names: []string{"catalog"}, Actions: scope.All},
	}})
	who := policygen.Principal("ann")
	who.Limits = []policy.Limit{{Names: []string{"ann/app"}, Actions: scope.Pull}}
	r := &policy.Request{Principal: who, Scopes: policygen.Scopes(t, "repository:ann/app:pull,push repository:ann/other:pull tidewaiter:accounts:read,write registry:catalog:*")}
	var got []string
	for _, result := range p.Decide(r).Results {
		got = append(got, result.Granted.String())
	}
	if strings.Join(got, ";") != "pull;;;" {
		t.Errorf("%q", got)
	}
}

// If a condition cannot be evaluated, an allow rule grants nothing, and a deny rule still denies.
func TestThreatFailingConditionsGrantNothing(t *testing.T) {
	broken := errors.New("no such key")
	for _, when := range []policy.Condition{policygen.Fixed(false, broken), policygen.Fixed(true, broken)} {
		for deny, want := range map[bool]string{false: "?a", true: "!a"} {
			p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{{Name: "a", Deny: deny, Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Pull, When: when}}})
			d := p.Decide(&policy.Request{Scopes: policygen.Scopes(t, "repository:a:pull")})
			if got := describeCauses(d.Results[0]); got != want || d.Results[0].Granted != 0 {
				t.Errorf("deny %v, %v: %s, want %s", deny, when, got, want)
			}
		}
	}
}

// A policy stores nothing from requests, even after a million different names or groups.
func TestThreatAPolicyStoresNothingOfRequests(t *testing.T) {
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{own}})
	r := &policy.Request{Principal: policygen.Principal("ann"), Scopes: make([]scope.Scope, 1)}
	names := make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprintf("ann/%d", i)
	}
	i := 0
	if n := testing.AllocsPerRun(500, func() {
		r.Scopes[0] = scope.Scope{Type: "repository", Name: names[i], Actions: scope.Pull}
		p.Decide(r)
		i++
	}); n > 2 {
		t.Errorf("%v allocations", n)
	}
}
