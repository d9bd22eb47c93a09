package rulebook

import (
	"errors"
	"fmt"

	"github.com/tidewaiter/tidewaiter/policy"
)

// unreadable is a condition that the database holds and that cannot be compiled: another version of Tidewaiter took
// it. It fails for every request, so that an allow opens nothing and a deny closes all that it is about; and the other rules
// need not do without a policy.
type unreadable struct {
	text string
	err  error
}

// Holds is part of policy.Condition.
func (u *unreadable) Holds(*policy.Request) (bool, error) {
	return false, fmt.Errorf("the condition cannot be read: %w", u.err)
}

// Explain is part of policy.Condition.
func (u *unreadable) Explain(*policy.Request) []policy.Value { return nil }

// String is part of policy.Condition.
func (u *unreadable) String() string { return u.text }

// Unreadable returns why a condition of the database cannot be read; nil: it can.
func Unreadable(c policy.Condition) error {
	if u, ok := c.(*unreadable); ok {
		return u.err
	}
	return nil
}

// stored turns a rule of the database into one of a policy. One whose condition alone is wrong keeps an unreadable one.
func stored(c *Content, when func(string) (policy.Condition, error)) (policy.Rule, error) {
	r, err := c.Policy(when)
	problems, _ := errors.AsType[Problems](err)
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
		r.When = &unreadable{c.When, problems}
	}
	return r, err
}
