package rulebook

import (
	"errors"
	"fmt"

	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/policy"
)

// unreadableCondition is a condition in the database that cannot be compiled, because another
// version of Tidewaiter stored it. The condition fails for every request, so an allow rule with
// the condition never matches, and a deny rule always matches. The policy can still be compiled,
// with all its other rules.
type unreadableCondition struct {
	text string
	err  error
}

// Holds implements policy.Condition.
func (u *unreadableCondition) Holds(*policy.Request) (bool, error) {
	return false, fmt.Errorf("the condition cannot be read: %w", u.err)
}

// Explain implements policy.Condition.
func (u *unreadableCondition) Explain(*policy.Request) []policy.Value { return nil }

// String implements policy.Condition.
func (u *unreadableCondition) String() string { return u.text }

// Unreadable returns the error that occurs if a condition of the database is compiled. If the
// condition can be compiled, it returns nil.
func Unreadable(c policy.Condition) error {
	if u, ok := c.(*unreadableCondition); ok {
		return u.err
	}
	return nil
}

// policyRule converts a rule of the database to a policy rule. If only its condition is invalid,
// the condition becomes unreadable.
func policyRule(c *Content, when func(string) (policy.Condition, error)) (policy.Rule, error) {
	r, err := c.Policy(when)
	problems, _ := errors.AsType[ruleset.Problems](err)
	if len(problems) == 0 || when == nil {
		return r, err
	}
	for _, p := range problems {
		if p.Field != "when" {
			return r, err
		}
	}
	without := *c
	without.When = ""
	if r, err = without.Policy(when); err == nil {
		r.When = &unreadableCondition{c.When, problems}
	}
	return r, err
}
