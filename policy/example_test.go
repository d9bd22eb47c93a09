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

// Why was the push refused?
func ExamplePolicy_Explain() {
	at := func(line int) policy.Origin { return policy.Origin{File: "policy.yaml", Line: line} }
	p, err := policy.Compile(policy.Source{
		Rules: []policy.Rule{
			{Name: "readers", Origin: at(4), Subjects: []string{"group:dev"}, Names: []string{"team/**"}, Actions: scope.Pull},
			{Name: "writers", Origin: at(9), Subjects: []string{"group:release", "robot:ci"}, Names: []string{"team/**"}, Actions: scope.Pull | scope.Push},
			{Name: "own namespace", Origin: at(14), Subjects: []string{"signed-in"}, Names: []string{"${user}/**"}, Actions: scope.Repository},
			{Name: "infrastructure", Origin: at(19), Subjects: []string{"group:ops"}, Names: []string{"infra/**"}, Actions: scope.Repository},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	asked, _, _ := scope.Parse([]string{"repository:team/app:pull,push"})
	ann := &policy.Principal{Kind: policy.User, Name: "ann@example.com", Groups: []string{"dev"}}
	fmt.Print(p.Explain(&policy.Request{Principal: ann, Registry: "registry.example.com", Scopes: asked}))
	// Output:
	// user:ann@example.com asks registry.example.com
	// and is anyone, signed-in, user:ann@example.com and group:dev
	//
	// repository:team/app:pull,push
	//   pull: allowed by "readers" (policy.yaml:4)
	//   push: no rule allows it
	//   rules that nearly applied:
	//     "readers" (policy.yaml:4) allows pull, but it does not allow push
	//     "writers" (policy.yaml:9) allows pull,push, but it is for group:release or robot:ci and not for user:ann@example.com
	//     "own namespace" (policy.yaml:14) allows pull,push,delete, but it is about ${user}/** and not about team/app; ${user} matches nothing, since ann@example.com cannot be a path part of a repository
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
	// push: allowed by "own", but the credential is limited to less
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

// Who may push to team/prod?
func ExamplePolicy_WhoCan() {
	for _, answer := range teams().WhoCan("registry.example.com", scope.Scope{Type: "repository", Name: "team/prod", Actions: scope.Push}) {
		for _, g := range answer.Through {
			fmt.Println(g, "by", g.Rule)
		}
		for _, g := range answer.Except {
			fmt.Println("but not", g, "by", g.Rule)
		}
	}
	// Output:
	// group:dev by "team"
	// robot:ci by "team"
	// user:team by "own"
	// but not group:interns by "freeze"
}

// What may ann do?
func ExamplePolicy_WhatCan() {
	ann := &policy.Principal{Kind: policy.User, Name: "ann", Groups: []string{"dev"}}
	for _, right := range teams().WhatCan(ann, "").Allowed {
		fmt.Println(right, "by", right.Rule)
	}
	// Output:
	// pull,push of team/** by "team"
	// pull,push,delete of ann/** by "own"
}

// Test compares the decision with an expectation.
func ExamplePolicy_Test() {
	ivy := &policy.Principal{Kind: policy.User, Name: "ivy", Groups: []string{"dev", "interns"}}
	asked := []scope.Scope{{Type: "repository", Name: "team/app"}, {Type: "repository", Name: "team/prod"}}
	for _, surprise := range teams().Test(&policy.Expectation{Request: &policy.Request{Principal: ivy, Scopes: asked}, MayNot: scope.Push}) {
		fmt.Println(surprise)
	}
	// Output:
	// user:ivy may push team/app, and was expected not to: "team" allows it
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
