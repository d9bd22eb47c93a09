package issuer

import (
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// shortest is the life that clients assume at least, whatever they are told (docker, containers/image).
const shortest = time.Minute

// Limits is how long tokens live at most, beside what registries, rules and roles say of them. Zero is
// no say.
type Limits struct {
	Delete time.Duration // those that can delete
	Kinds  [policy.Workload + 1]time.Duration
}

// lifetime returns how long a token with what was decided lives. A push takes as long as its largest
// layer, a pull asks again for each image: so who may push has more time. A token cannot be taken back:
// so whatever limits it counts, the principal's kind, the rules and the roles of the grants, and what it
// can destroy. What was shown to sign in may end, as an ID token does: a token outlives it by no more than one for a pull
// lives. It is at least the minute that clients count on.
func (r *Registry) lifetime(who identity.Verified, d *policy.Decision, limits *Limits, now time.Time) time.Duration {
	var granted scope.Actions
	for i := range d.Results {
		granted |= d.Results[i].Granted
	}
	life := r.Lifetime
	if granted.Has(scope.Push) && r.PushLifetime > 0 {
		life = r.PushLifetime
	}
	most := [...]time.Duration{d.Lifetime, 0, 0}
	if kind := who.Principal.Kind; int(kind) < len(limits.Kinds) {
		most[1] = limits.Kinds[kind]
	}
	if granted.Has(scope.Delete) {
		most[2] = limits.Delete
	}
	for _, limit := range most {
		if limit > 0 {
			life = min(life, limit)
		}
	}
	if !who.Until.IsZero() {
		life = min(life, max(r.Lifetime, who.Until.Sub(now)))
	}
	return max(life, shortest)
}
