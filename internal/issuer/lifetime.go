package issuer

import (
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

// shortest is the shortest lifetime of a token.
const shortest = token.MinLifetime

// Limits is how long tokens live at most, beside what registries, rules and roles say of them. Zero is
// no say.
type Limits struct {
	Delete time.Duration // those that can delete
	Kinds  [policy.Workload + 1]time.Duration
}

// Bound is which setting decides how long a token lives.
type Bound string

// The bounds.
const (
	ByLifetime     Bound = "lifetime"            // of the registry
	ByPushLifetime Bound = "push_lifetime"       // of the registry, for who may push
	ByRule         Bound = "rule"                // with a part in the grants
	ByRole         Bound = "role"                // of such a rule
	ByDelete       Bound = "max_lifetime.delete" // Limits.Delete
	ByCredential   Bound = "credential"          // which ends
	ByLeast        Bound = "least"               // no token lives for less
)

// byKind are Limits.Kinds.
var byKind = [...]Bound{
	policy.Anonymous: "max_lifetime.anonymous", policy.User: "max_lifetime.user", policy.Robot: "max_lifetime.robot", policy.Workload: "max_lifetime.workload",
}

// Life is how long a token lives, and why no longer.
type Life struct {
	Lasts time.Duration
	By    Bound
	Rule  *policy.Rule // of ByRule and ByRole, where it was looked for
}

// atMost bounds a life; a limit of 0 is no say.
func (l *Life) atMost(limit time.Duration, by Bound) {
	if limit > 0 && limit < l.Lasts {
		l.Lasts, l.By = limit, by
	}
}

// life returns how long a token with what was decided lives. A push takes as long as its largest
// layer, a pull asks again for each image: so who may push has more time. A token cannot be taken back:
// so whatever limits it counts, the principal's kind, the rules and the roles of the grants, and what it
// can destroy. What was shown to sign in may end, as an ID token does: a token outlives it by no more than one for a pull
// lives. It is at least the minute that clients count on.
func (r *Registry) life(who identity.Verified, d *policy.Decision, limits *Limits, now time.Time) Life {
	var granted scope.Actions
	for i := range d.Results {
		granted |= d.Results[i].Granted
	}
	life := Life{Lasts: r.Lifetime, By: ByLifetime}
	if granted.Has(scope.Push) && r.PushLifetime > 0 {
		life = Life{Lasts: r.PushLifetime, By: ByPushLifetime}
	}
	life.atMost(d.Lifetime, ByRule)
	if kind := who.Principal.Kind; int(kind) < len(limits.Kinds) {
		life.atMost(limits.Kinds[kind], byKind[kind])
	}
	if granted.Has(scope.Delete) {
		life.atMost(limits.Delete, ByDelete)
	}
	if !who.Until.IsZero() {
		life.atMost(max(r.Lifetime, who.Until.Sub(now)), ByCredential)
	}
	if life.Lasts < shortest {
		life = Life{Lasts: shortest, By: ByLeast}
	}
	return life
}

// Foresee says how long a token for a request would live by a policy, as Issue has it, and which rule decides that if one does. A
// credential that ends does so at until; zero is never. ok is false where nothing would be granted at the registry.
func (r *Registry) Foresee(p *policy.Policy, q *policy.Request, until time.Time, limits *Limits) (life Life, ok bool) {
	request := *q
	request.Scopes, _ = withoutRights(q.Scopes)
	if request.Principal == nil {
		request.Principal = &policy.Principal{}
	}
	d := p.Decide(&request)
	if !slices.ContainsFunc(d.Results, func(r policy.Result) bool { return r.Granted != 0 }) {
		return Life{}, false
	}
	life = r.life(identity.Verified{Principal: request.Principal, Until: until}, &d, limits, q.Now)
	if life.By == ByRule {
		life.Rule = p.Shortest(&request, &d)
		if life.Rule != nil && life.Rule.Lifetime != life.Lasts {
			life.By = ByRole
		}
	}
	return life, true
}
