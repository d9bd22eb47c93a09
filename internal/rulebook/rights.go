package rulebook

import (
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// The names of rights that are judged here.
const (
	RightPolicy     = "policy"     // roles and rules of the database
	RightNamespaces = "namespaces" // which namespaces there are
	RightNamespace  = "namespace/" // and its name: one of them

	rightAdministrators = "administrators"
)

// The groups that have rights over Tidewaiter without a rule.
const (
	// Administrators is the group whose members have all rights over Tidewaiter.
	Administrators = "tidewaiter-admins"
	// Auditors is the group whose members may read everything in Tidewaiter.
	Auditors = "tidewaiter-auditors"
)

// builtIn are the rules that need not be written.
func builtIn() policy.Source {
	return policy.Source{Rules: []policy.Rule{
		{Name: Administrators, Subjects: []string{"group:" + Administrators}, Type: scope.TypeTidewaiter, Names: []string{"**"}, Actions: scope.Read | scope.Write},
		{Name: Auditors, Subjects: []string{"group:" + Auditors}, Type: scope.TypeTidewaiter, Names: []string{"**"}, Actions: scope.Read},
	}}
}

// Rights says who has which rights over Tidewaiter itself: by the policy in force, and by the rules that need not be written.
// It may be used from any goroutine.
type Rights struct {
	judge   func(*policy.Request) policy.Decision
	builtIn *policy.Policy
	now     func() time.Time
}

// NewRights returns the rights that a policy in force gives. judge is asked anew each time; nil is a policy that says nothing. A now
// of nil is time.Now.
func NewRights(judge func(*policy.Request) policy.Decision, now func() time.Time) (*Rights, error) {
	p, err := policy.Compile(builtIn())
	if err != nil {
		return nil, fmt.Errorf("compiling the rules that need not be written: %w", err)
	}
	if judge == nil {
		judge = new(policy.Policy).Decide
	}
	if now == nil {
		now = time.Now
	}
	return &Rights{judge, p, now}, nil
}

// May says whether the actor has a right: actions on tidewaiter:name. A rule that denies it beats those that
// need not be written.
func (r *Rights) May(by Actor, name string, actions scope.Actions) bool {
	if by.operator != "" {
		return true
	}
	if by.Principal == nil || by.Principal.Kind == policy.Anonymous || actions == 0 {
		return false
	}
	request := &policy.Request{
		Principal: by.Principal,
		Scopes:    []scope.Scope{{Type: scope.TypeTidewaiter, Name: name, Actions: actions}},
		IP:        by.Remote,
		Now:       r.now(),
	}
	var granted, denied scope.Actions
	for _, judge := range []func(*policy.Request) policy.Decision{r.judge, r.builtIn.Decide} {
		for _, result := range judge(request).Results {
			granted |= result.Granted
			for _, cause := range result.Causes {
				if cause.Reason == policy.Denied {
					denied |= cause.Actions
				}
			}
		}
	}
	return (granted &^ denied).Has(actions)
}
