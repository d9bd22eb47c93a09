package rules_test

import (
	"errors"
	"fmt"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/rules"
	"github.com/tidewaiter/tidewaiter/scope"
)

func Example() {
	text := []byte(`
roles:
  writer: [pull, push]
rules:
  - { name: team, subjects: ["group:dev"], repositories: ["team/**"], role: writer }
  - { name: freeze, effect: deny, repositories: ["team/prod"], actions: [push] }
`)
	source, _, err := rules.Read(rules.File{Name: "policy.yaml", Text: text})
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := policy.Compile(source)
	if err != nil {
		fmt.Println(err)
		return
	}
	asked, _, _ := scope.Parse([]string{"repository:team/prod:pull,push"})
	ann := &policy.Principal{Kind: policy.User, Name: "ann", Groups: []string{"dev"}}
	for _, cause := range p.Decide(&policy.Request{Principal: ann, Scopes: asked}).Results[0].Causes {
		fmt.Println(cause)
	}
	// Output:
	// pull: allowed by "team" (policy.yaml:5)
	// push: denied by "freeze" (policy.yaml:6)
}

// All errors are found at once, each with its position.
func ExampleRead_errors() {
	_, _, err := rules.Read(rules.File{Name: "policy.json", Text: []byte(`{
  "rules": [
    {"name": "team", "subjects": ["gruop:dev"], "repos": ["team/**"], "actions": ["pll"]}
  ]
}`)})
	problems, _ := errors.AsType[rules.Problems](err)
	for _, p := range problems {
		fmt.Println(p)
	}
	// Output:
	// policy.json:3:49: unknown key "repos" (did you mean "repositories"?)
	// policy.json:3:83: "pll" is not one of pull, push, delete, read, write, * (did you mean "pull"?)
}

// A rule from another source is checked like a rule of a file.
func ExampleRule() {
	rule := rules.Rule{
		Name: "ci", Subjects: []string{"workload:github:acme/app"}, Repositories: []string{"acme/app"},
		Actions: []string{"pull", "push"}, When: `claims.ref == "refs/heads/main"`, Lifetime: "5m",
	}
	r, err := rule.Policy(when.NewCompiler().Compile)
	fmt.Println(r.Actions, r.Lifetime, r.When, err)

	rule.Actions = []string{"pull", "puhs"}
	_, err = rule.Policy(when.NewCompiler().Compile)
	fmt.Println(err)
	// Output:
	// pull,push 5m0s claims.ref == "refs/heads/main" <nil>
	// actions: "puhs" is not one of pull, push, delete, read, write, * (did you mean "push"?)
}
