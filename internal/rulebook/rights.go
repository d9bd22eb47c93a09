package rulebook

import (
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// The names of rights.
const (
	RightPolicy     = "policy"     // roles and rules of the database
	RightNamespaces = "namespaces" // all namespaces
	RightNamespace  = "namespace/" // followed by the name of one namespace

	rightAdministrators = "administrators"
)

// The groups that have rights over Tidewaiter without a rule.
const (
	// Administrators is the group whose members have all rights over Tidewaiter.
	Administrators = "tidewaiter-admins"
	// Auditors is the group whose members may read everything in Tidewaiter.
	Auditors = "tidewaiter-auditors"
)

// BuiltIn returns the built-in rules. They are part of each policy that a Rulebook compiles, so
// that questions about the policy agree with how rights are checked. A deny rule overrides them.
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

// Rights checks rights over Tidewaiter itself, by the policy in force and the built-in rules. It
// may be used from any goroutine.
type Rights struct {
	decide  func(*policy.Request) policy.Decision
	builtIn *policy.Policy
	now     func() time.Time
}

// NewRights returns the rights that a policy grants. decide is called for each check; nil is a
// policy without rules. If now is nil, it is time.Now.
func NewRights(decide func(*policy.Request) policy.Decision, now func() time.Time) (*Rights, error) {
	p, err := policy.Compile(policy.Source{Rules: BuiltIn()})
	if err != nil {
		return nil, fmt.Errorf("compiling the rules that need not be written: %w", err)
	}
	if decide == nil {
		decide = new(policy.Policy).Decide
	}
	return &Rights{decide, p, clock.Wall(now)}, nil
}

// May reports whether the actor has a right: actions on tidewaiter:name. A deny rule overrides
// the built-in rules.
func (r *Rights) May(by Actor, name string, actions scope.Actions) bool {
	w := r.evaluate(by, name, actions)
	return (w.granted &^ w.denied).Has(actions)
}

// Might is like May, but ignores conditions, which may hold at another time, from another
// address or with other claims. It is true where that is unknown.
func (r *Rights) Might(by Actor, name string, actions scope.Actions) bool {
	w := r.evaluate(by, name, actions)
	return ((w.granted | w.depends) &^ (w.denied &^ w.depends)).Has(actions)
}

// evaluation is the result of the rules: the actions they grant and deny, and those that depend
// on a condition.
type evaluation struct{ granted, denied, depends scope.Actions }

func (r *Rights) evaluate(by Actor, name string, actions scope.Actions) (w evaluation) {
	if by.operator != "" {
		return evaluation{granted: actions}
	}
	if by.Principal == nil || by.Principal.Kind == policy.Anonymous || actions == 0 {
		return evaluation{}
	}
	request := &policy.Request{
		Principal: by.Principal,
		Scopes:    []scope.Scope{{Type: scope.TypeTidewaiter, Name: name, Actions: actions}},
		IP:        by.Remote,
		Now:       r.now(),
	}
	for _, decide := range []func(*policy.Request) policy.Decision{r.decide, r.builtIn.Decide} {
		for _, result := range decide(request).Results {
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
