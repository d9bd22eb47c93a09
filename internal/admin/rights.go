package admin

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

const (
	// The names of rights. ruleset.Rights lists all of them except the rights over one namespace.
	RightAccounts       = "accounts"
	RightAdministrators = "administrators"
	RightJournal        = "journal"
	RightPolicy         = "policy"
	RightNamespaces     = "namespaces"
	RightNamespace      = "namespace/" // followed by the name of a namespace

	// The groups that have rights without a rule.
	Administrators = "tidewaiter-admins"   // have all rights
	Auditors       = "tidewaiter-auditors" // may read everything

	// The local users and robots (package accounts).
	AccountsSource = "accounts" // their identity source
	AccountsTopic  = "accounts" // the topic of changes that can invalidate a cached credential
)

// BuiltIn returns the rules that give the groups Administrators and Auditors their rights. Every
// policy contains these rules, so that queries about the policy agree with Rights.
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

// Rights checks rights over Tidewaiter itself, by the policy in force and the built-in rules. Its
// methods may be called from any goroutine.
type Rights struct {
	decide  func(*policy.Request) policy.Decision
	builtIn *policy.Policy
	now     func() time.Time
}

// NewRights returns the rights that a policy grants. The function decide decides requests by the
// policy in force, and is called for each check. If decide is nil, the policy has no rules. The
// default clock is time.Now.
func NewRights(decide func(*policy.Request) policy.Decision, now func() time.Time) (*Rights, error) {
	p, err := policy.Compile(policy.Source{Rules: BuiltIn()})
	if err != nil {
		return nil, fmt.Errorf("compiling the built-in rules: %w", err)
	}
	if decide == nil {
		decide = new(policy.Policy).Decide
	}
	return &Rights{decide, p, clock.Wall(now)}, nil
}

// May reports whether the actor has a right, such as write on tidewaiter:accounts. The right is
// given as the part after the colon, such as "accounts".
func (r *Rights) May(by Actor, right string, actions scope.Actions) bool {
	w := r.evaluate(by, right, actions)
	return (w.granted &^ w.denied).Has(actions)
}

// Require returns an error if the actor does not have a right. For changes, the actor's credential
// must also be unrestricted. Otherwise a restricted credential with the right to change accounts
// could set a password and sign in without restrictions.
func (r *Rights) Require(by Actor, right string, actions scope.Actions) error {
	if !r.May(by, right, actions) {
		return Requires(right, actions)
	}
	if actions.Has(scope.Write) && by.Restricted() {
		return ErrRestricted
	}
	return nil
}

// MayChange checks that the actor may change accounts and their tokens, and may change this
// account. Only administrators may create and change administrators. The argument account is the
// principal of the account, before or after the change.
func (r *Rights) MayChange(by Actor, account *policy.Principal) error {
	if err := r.Require(by, RightAccounts, scope.Write); err != nil {
		return err
	}
	if !r.May(by, RightAdministrators, scope.Write) && r.Administers(account, by.Remote) {
		return fmt.Errorf("%w, because the account belongs to an administrator", Requires(RightAdministrators, scope.Write))
	}
	return nil
}

// Administers reports whether a principal is an administrator or an auditor. If this depends on a
// condition of a rule, the result is true. In conditions, request.ip is the given address.
func (r *Rights) Administers(who *policy.Principal, remote netip.Addr) bool {
	if slices.Contains(who.Groups, Administrators) || slices.Contains(who.Groups, Auditors) {
		return true
	}
	unrestricted := *who
	unrestricted.Limits = nil
	return r.Might(Actor{Principal: &unrestricted, Remote: remote}, RightAdministrators, scope.Write)
}

// Might is like May, but returns true if the result depends on a condition, because the condition
// could be true at another time, from another address or with other claims.
func (r *Rights) Might(by Actor, right string, actions scope.Actions) bool {
	w := r.evaluate(by, right, actions)
	return ((w.granted | w.depends) &^ (w.denied &^ w.depends)).Has(actions)
}

// evaluation is the result of the rules: the actions that they grant, the actions that they
// deny, and the actions that depend on a condition.
type evaluation struct{ granted, denied, depends scope.Actions }

func (r *Rights) evaluate(by Actor, right string, actions scope.Actions) (w evaluation) {
	if by.IsOperator() {
		return evaluation{granted: actions}
	}
	if by.Principal == nil || by.Principal.Kind == policy.Anonymous || actions == 0 {
		return evaluation{}
	}
	request := &policy.Request{
		Principal: by.Principal,
		Scopes:    []scope.Scope{{Type: scope.TypeTidewaiter, Name: right, Actions: actions}},
		IP:        by.Remote,
		Now:       r.now(),
	}
	for _, decide := range []func(*policy.Request) policy.Decision{r.decide, r.builtIn.Decide} {
		for _, result := range decide(request).Results {
			w.granted |= result.Granted
			for _, cause := range result.Causes {
				switch cause.Reason { //exhaustive:enforce
				case policy.ConditionFailed:
					w.depends |= cause.Actions
				case policy.Denied:
					w.denied |= cause.Actions
					if cause.Rule != nil && cause.Rule.When != nil {
						w.depends |= cause.Actions
					}
				case policy.NoRule, policy.Allowed, policy.Narrowed:
				}
			}
		}
	}
	return w
}
