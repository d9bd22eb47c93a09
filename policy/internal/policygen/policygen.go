// Package policygen has helpers for the tests of package policy and of the packages below it.
// It draws random policies and requests for property tests.
package policygen

import (
	"strings"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// T is a testing.TB or a *rapid.T.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Compile compiles a policy that must be valid.
func Compile(t T, source policy.Source) *policy.Policy {
	t.Helper()
	p, err := policy.Compile(source)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return p
}

// Scopes parses scopes as they are written in token requests.
func Scopes(t T, text string) []scope.Scope {
	t.Helper()
	asked, ignored, err := scope.Parse([]string{text})
	if err != nil || len(ignored) > 0 {
		t.Fatalf("%q: %v %v", text, ignored, err)
	}
	return asked
}

// Principal parses "robot:ci", "workload:job", "nobody" or, for a user in two groups, "ann +dev
// +ops".
func Principal(text string) *policy.Principal {
	words := strings.Fields(text)
	who := &policy.Principal{Kind: policy.User, Name: words[0]}
	switch kind, name, _ := strings.Cut(words[0], ":"); {
	case words[0] == "nobody":
		return &policy.Principal{}
	case kind == "robot":
		who.Kind, who.Name = policy.Robot, name
	case kind == "workload":
		who.Kind, who.Name = policy.Workload, name
	}
	for _, g := range words[1:] {
		who.Groups = append(who.Groups, strings.TrimPrefix(g, "+"))
	}
	return who
}
