package ask_test

import (
	"fmt"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Why was the push refused?
func ExampleExplain() {
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
	fmt.Print(ask.Explain(p, &policy.Request{Principal: ann, Registry: "registry.example.com", Scopes: asked}))
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
	//     "own namespace" (policy.yaml:14) allows pull,push,delete, but it is about ${user}/** and not about team/app; ${user} matches nothing, because ann@example.com cannot be a path part of a repository
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
func ExampleWhoCan() {
	for _, answer := range ask.WhoCan(teams(), "registry.example.com", scope.Scope{Type: "repository", Name: "team/prod", Actions: scope.Push}) {
		for _, g := range answer.Allowed {
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
func ExampleWhatCan() {
	ann := &policy.Principal{Kind: policy.User, Name: "ann", Groups: []string{"dev"}}
	for _, right := range ask.WhatCan(teams(), ann, "").Allowed {
		fmt.Println(right, "by", right.Rule)
	}
	// Output:
	// pull,push of team/** by "team"
	// pull,push,delete of ann/** by "own"
}

// Test compares the decision with an expectation.
func ExampleTest() {
	ivy := &policy.Principal{Kind: policy.User, Name: "ivy", Groups: []string{"dev", "interns"}}
	asked := []scope.Scope{{Type: "repository", Name: "team/app"}, {Type: "repository", Name: "team/prod"}}
	for _, failure := range ask.Test(teams(), &ask.Expectation{Request: &policy.Request{Principal: ivy, Scopes: asked}, MayNot: scope.Push}) {
		fmt.Println(failure)
	}
	// Output:
	// user:ivy may push team/app, but was expected not to: "team" allows it
}
