package policy_test

import (
	"fmt"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func Example() {
	p, err := policy.Compile(policy.Source{
		Roles: map[string]policy.Role{
			"reader": {Actions: scope.Pull},
			"writer": {Actions: scope.Pull | scope.Push},
		},
		Rules: []policy.Rule{
			{Name: "public images", Subjects: []string{"anyone"}, Names: []string{"library/**"}, Role: "reader"},
			{Name: "team", Subjects: []string{"group:dev"}, Names: []string{"team/**"}, Role: "writer"},
			{Name: "freeze", Deny: true, Subjects: []string{"anyone"}, Names: []string{"team/prod"}, Actions: scope.Push},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	asked, _, _ := scope.Parse([]string{"repository:team/app:pull,push repository:team/prod:pull,push"})
	ann := &policy.Principal{Kind: policy.User, Name: "ann", Groups: []string{"dev"}}
	decision := p.Decide(&policy.Request{Principal: ann, Registry: "registry.example.com", Scopes: asked})
	for _, result := range decision.Results {
		fmt.Printf("%s gets %s\n", result.Asked, result.Granted)
	}
	// Output:
	// repository:team/app:pull,push gets pull,push
	// repository:team/prod:pull,push gets pull
}

// Compile returns all errors together, each with its place.
func ExampleCompile_mistakes() {
	_, err := policy.Compile(policy.Source{
		Roles: map[string]policy.Role{"reader": {Actions: scope.Pull}},
		Rules: []policy.Rule{
			{Name: "team", Subjects: []string{"gruop:dev"}, Names: []string{"team//**"}, Role: "raeder"},
			{Name: "own", Subjects: []string{"signed-in"}, Names: []string{"${usr}/**"}, Role: "reader"},
		},
	})
	fmt.Println(err)
	// Output:
	// compiling policy: rule 1: role: there is no role "raeder" (did you mean "reader"?)
	// rule 1: subjects[0]: "gruop:dev" is not a subject; there are anyone, signed-in, anonymous, user:NAME, group:NAME, robot:NAME and workload:NAME (did you mean "group:dev"?)
	// rule 1: names[0]: the pattern "team//**" has an empty path part (did you mean "team/**"?)
	// rule 2: names[0]: the pattern "${usr}/**" has the unknown placeholder ${usr}; there are ${user}, ${group} and ${claims.NAME} (did you mean "${user}/**"?)
}

// A credential can be limited to some of its owner's rights when it is created.
func ExampleLimit() {
	p, err := policy.Compile(policy.Source{Rules: []policy.Rule{
		{Name: "own", Subjects: []string{"signed-in"}, Names: []string{"${user}/**"}, Actions: scope.Repository},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}

	limit := policy.Limit{Names: []string{"ann/site"}, Actions: scope.Pull}
	if err := limit.Check(); err != nil {
		fmt.Println(err)
		return
	}
	laptop := &policy.Principal{Kind: policy.User, Name: "ann", Limits: []policy.Limit{limit}}
	asked, _, _ := scope.Parse([]string{"repository:ann/site:pull,push"})
	for _, cause := range p.Decide(&policy.Request{Principal: laptop, Scopes: asked}).Results[0].Causes {
		fmt.Println(cause)
	}
	// Output:
	// pull: allowed by "own"
	// push: allowed by "own", but the limits of the credential do not allow it
}

// teams is the policy of the following examples.
func teams() *policy.Policy {
	p, err := policy.Compile(policy.Source{Rules: []policy.Rule{
		{Name: "team", Subjects: []string{"group:dev", "robot:ci"}, Names: []string{"team/**"}, Actions: scope.Pull | scope.Push},
		{Name: "own", Subjects: []string{"signed-in"}, Names: []string{"${user}/**"}, Actions: scope.Repository},
		{Name: "freeze", Deny: true, Subjects: []string{"group:interns"}, Names: []string{"team/prod"}, Actions: scope.Push},
	}})
	if err != nil {
		panic(err) // the rules are constant
	}
	return p
}

// A program that decodes claims itself converts them to canonical form, so that equal values are
// equal.
func ExampleCanonicalClaims() {
	claims, bad := policy.CanonicalClaims(map[string]any{"ref": "main", "attempt": 2.0, "groups": nil})
	fmt.Println(claims, bad == "")
	// Output: map[attempt:2 ref:main] true
}

// Indexed hashes the subjects of a principal once, for many decisions.
func ExamplePrincipal_Indexed() {
	ann := (&policy.Principal{Kind: policy.User, Name: "ann", Groups: []string{"dev"}}).Indexed()
	d := teams().Decide(&policy.Request{Principal: ann, Scopes: []scope.Scope{{Type: "repository", Name: "ann/site", Actions: scope.Pull}}})
	fmt.Println(d.Results[0].Granted)
	// Output: pull
}
