package rulebook

import (
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
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

// BuiltIn are the rules that need not be written: all that is allowed without one. They are part of each policy that a
// Rulebook makes, so that questions about it are answered as rights are judged; a rule that denies beats them.
func BuiltIn() []policy.Rule {
	rule := func(group string, actions scope.Actions) policy.Rule {
		return policy.Rule{
			Name: group, Subjects: []string{"group:" + group}, Type: scope.TypeTidewaiter, Names: []string{"**"}, Actions: actions,
			Origin: policy.Origin{BuiltIn: true},
		}
	}
	return []policy.Rule{
		rule(Administrators, scope.Read|scope.Write),
		rule(Auditors, scope.Read),
	}
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
	p, err := policy.Compile(policy.Source{Rules: BuiltIn()})
	if err != nil {
		return nil, fmt.Errorf("compiling the rules that need not be written: %w", err)
	}
	if judge == nil {
		judge = new(policy.Policy).Decide
	}
	return &Rights{judge, p, clock.Wall(now)}, nil
}

// May says whether the actor has a right: actions on tidewaiter:name. A rule that denies it beats those that
// need not be written.
func (r *Rights) May(by Actor, name string, actions scope.Actions) bool {
	w := r.weigh(by, name, actions)
	return (w.granted &^ w.denied).Has(actions)
}

// Might is May at another time, from another address, or as somebody with other claims: a condition that a rule has does not
// keep anybody from it for good. It says yes where it cannot tell.
func (r *Rights) Might(by Actor, name string, actions scope.Actions) bool {
	w := r.weigh(by, name, actions)
	return ((w.granted | w.depends) &^ (w.denied &^ w.depends)).Has(actions)
}

// weighed is what the rules say of actions: a rule grants or denies them, and another answer depends on a condition.
type weighed struct{ granted, denied, depends scope.Actions }

func (r *Rights) weigh(by Actor, name string, actions scope.Actions) (w weighed) {
	if by.operator != "" {
		return weighed{granted: actions}
	}
	if by.Principal == nil || by.Principal.Kind == policy.Anonymous || actions == 0 {
		return weighed{}
	}
	request := &policy.Request{
		Principal: by.Principal,
		Scopes:    []scope.Scope{{Type: scope.TypeTidewaiter, Name: name, Actions: actions}},
		IP:        by.Remote,
		Now:       r.now(),
	}
	for _, judge := range []func(*policy.Request) policy.Decision{r.judge, r.builtIn.Decide} {
		for _, result := range judge(request).Results {
			w.granted |= result.Granted
			for _, cause := range result.Causes {
				switch cause.Reason {
				case policy.ConditionFailed:
					w.depends |= cause.Actions
				case policy.Denied:
					w.denied |= cause.Actions
					if cause.Rule != nil && cause.Rule.When != nil {
						w.depends |= cause.Actions
					}
				}
			}
		}
	}
	return w
}
