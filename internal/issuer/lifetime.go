package issuer

import (
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

// shortest is the minimum lifetime of a token.
const shortest = token.MinLifetime

// Limits are upper bounds of the lifetime of tokens. They apply in addition to the lifetimes of
// registries, rules and roles. 0 means no limit.
type Limits struct {
	Delete time.Duration // of tokens that can delete
	Kinds  [policy.Workload + 1]time.Duration
}

// LimitedBy names the setting that decides the lifetime of a token.
type LimitedBy string

// The settings that decide a lifetime.
const (
	ByLifetime     LimitedBy = "lifetime"            // of the registry
	ByPushLifetime LimitedBy = "push_lifetime"       // of the registry, for tokens that can push
	ByRule         LimitedBy = "rule"                // of a rule that grants something
	ByRole         LimitedBy = "role"                // of a role of such a rule
	ByDelete       LimitedBy = "max_lifetime.delete" // Limits.Delete
	ByCredential   LimitedBy = "credential"          // the credential expires
	ByLeast        LimitedBy = "least"               // the shortest lifetime of any token
)

// byKind has the name of the setting for each kind of principal.
var byKind = [...]LimitedBy{
	policy.Anonymous: "max_lifetime.anonymous",
	policy.User:      "max_lifetime.user",
	policy.Robot:     "max_lifetime.robot",
	policy.Workload:  "max_lifetime.workload",
}

// Lifetime has the lifetime of a token, and the setting that decides it.
type Lifetime struct {
	Lasts time.Duration
	By    LimitedBy
	Rule  *policy.Rule // the rule for ByRule and ByRole; only PredictLifetime sets it
}

// limitTo reduces the lifetime to the limit, if the lifetime is longer. In this case, the given
// setting decides the lifetime. A limit of 0 means no limit.
func (l *Lifetime) limitTo(limit time.Duration, setting LimitedBy) {
	if limit > 0 && limit < l.Lasts {
		l.Lasts, l.By = limit, setting
	}
}

// lifetime returns the lifetime of a token for a decision. During a push, one token must be valid
// until the largest layer is uploaded. During a pull, clients request a token for each image. So
// a token that can push may live longer. A token cannot be revoked, so all limits apply: the
// limit for the principal's kind, the limits of the rules and roles that grant access, and the
// limit for tokens that can delete. If the presented credential expires (for example, an ID
// token), the token outlives the credential by at most the lifetime for a pull. Each token lives
// at least as long as the constant shortest, because clients assume this minimum.
func (r *Registry) lifetime(who identity.Verified, d *policy.Decision, limits *Limits, now time.Time) Lifetime {
	var granted scope.Actions
	for i := range d.Results {
		granted |= d.Results[i].Granted
	}
	life := Lifetime{Lasts: r.Lifetime, By: ByLifetime}
	if granted.Has(scope.Push) && r.PushLifetime > 0 {
		life = Lifetime{Lasts: r.PushLifetime, By: ByPushLifetime}
	}
	life.limitTo(d.Lifetime, ByRule)
	if kind := who.Principal.Kind; int(kind) < len(limits.Kinds) {
		life.limitTo(limits.Kinds[kind], byKind[kind])
	}
	if granted.Has(scope.Delete) {
		life.limitTo(limits.Delete, ByDelete)
	}
	if !who.Until.IsZero() {
		life.limitTo(max(r.Lifetime, who.Until.Sub(now)), ByCredential)
	}
	if life.Lasts < shortest {
		life = Lifetime{Lasts: shortest, By: ByLeast}
	}
	return life
}

// PredictLifetime returns the lifetime that Issue would choose for a request under a policy. If a
// rule decides the lifetime, the result names the rule. The parameter expiry is the time at which
// the credential expires, or the zero time if the credential never expires. If the registry would
// grant nothing, PredictLifetime returns false.
func (r *Registry) PredictLifetime(p *policy.Policy, q *policy.Request, expiry time.Time, limits *Limits) (life Lifetime, ok bool) {
	request := *q
	request.Scopes, _ = splitReserved(q.Scopes)
	if request.Principal == nil {
		request.Principal = &policy.Principal{}
	}
	d := p.Decide(&request)
	if !slices.ContainsFunc(d.Results, func(r policy.Result) bool { return r.Granted != 0 }) {
		return Lifetime{}, false
	}
	life = r.lifetime(identity.Verified{Principal: request.Principal, Until: expiry}, &d, limits, q.Now)
	if life.By == ByRule {
		life.Rule = ask.Shortest(p, &request, &d)
		if life.Rule != nil && life.Rule.Lifetime != life.Lasts {
			life.By = ByRole
		}
	}
	return life, true
}
