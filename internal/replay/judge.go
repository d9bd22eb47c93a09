package replay

import (
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/identity/sourcename"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/scope"
)

// judge judges scopes by a policy.
type judge struct {
	policy *policy.Policy
	probe  *probe
	known  map[pair]*judgement
}

// pair has the inputs of a judgement, except the inputs that only conditions read. The journal's
// reader returns the same pointer for equal principals. But if it has not seen a principal for a
// long time, it returns a new pointer, and the principal is judged again.
type pair struct {
	principal *policy.Principal
	registry  string
	asked     scope.Scope
}

// maxKnown limits the pairs in memory.
const maxKnown = 1 << 15

// judgement is the result of the policy for a pair.
type judgement struct {
	granted scope.Actions
	causes  []policy.Cause
	open    scope.Actions // actions whose result depends on inputs of conditions
}

// verdict is the judgement of a recorded scope, compared with the recorded result.
type verdict struct {
	refused, allowed scope.Actions // the differences
	causes           []policy.Cause
	notJudged        []string // reasons
}

func (j *judge) init(candidate *policy.Policy) (err error) {
	j.known = make(map[pair]*judgement)
	j.policy, j.probe, err = withProbe(candidate)
	return err
}

// result judges a recorded result.
func (j *judge) result(e *journal.Entry, was *policy.Result) (v verdict) {
	if strings.Contains(was.Asked.Name, secret.Mark) || strings.Contains(was.Asked.Type, secret.Mark) {
		v.notJudged = append(v.notJudged, "the name of the resource had a secret, which the journal does not have")
		return v
	}
	own, by := authorizerActions(was)
	judged, why := j.judge(e, was.Asked)
	v.causes = judged.causes
	if own != 0 {
		v.notJudged = append(v.notJudged, fmt.Sprintf("the authorizer %s decided it", text.Name(by)))
	}
	if judged.open&^own != 0 {
		v.notJudged = append(v.notJudged, why)
	}
	sure := ^(own | judged.open)
	v.refused = was.Granted &^ judged.granted & sure
	v.allowed = judged.granted &^ was.Granted & sure
	return v
}

// judge returns the result of the policy for a scope. If some actions remain open, it also returns
// the reason.
func (j *judge) judge(e *journal.Entry, asked scope.Scope) (*judgement, string) {
	d := e.Decision
	key := pair{d.Principal, e.Registry, asked}
	always := j.known[key]
	if always == nil {
		if len(j.known) >= maxKnown {
			clear(j.known)
		}
		r := policy.Request{Principal: d.Principal, Registry: e.Registry, Scopes: []scope.Scope{asked}}
		always = j.bounds(&r, ask.Unknown{Now: true, IP: true, Client: true})
		j.known[key] = always
	}
	if always.open == 0 {
		return always, ""
	}
	r := policy.Request{Principal: d.Principal, Registry: e.Registry, Scopes: []scope.Scope{asked}, IP: d.Remote, Client: d.Client, Now: e.Time}
	unknown := missingInputs(d)
	judged := j.bounds(&r, unknown)
	if judged.open == 0 {
		return judged, ""
	}
	return judged, j.probe.reason(&unknown)
}

// bounds decides a request with partly unknown inputs. It calls Decide twice, with different
// results of the conditions that depend on an unknown input. In the first call, all such
// conditions of allow rules are false and those of deny rules are true, so as little as possible
// is granted. In the second call, all such conditions of allow rules are true and those of deny
// rules are false. If an action has the same result in both calls, its result does not depend on
// the unknown inputs.
func (j *judge) bounds(r *policy.Request, unknown ask.Unknown) *judgement {
	if j.probe == nil {
		result := j.policy.Decide(r).Results[0]
		return &judgement{granted: result.Granted, causes: result.Causes}
	}
	j.probe.begin(unknown, false)
	least := j.policy.Decide(r).Results[0]
	if j.probe.rule == nil { // no condition depends on an unknown input
		return &judgement{granted: least.Granted, causes: least.Causes}
	}
	j.probe.begin(unknown, true)
	most := j.policy.Decide(r).Results[0]
	// A grant in the first result has causes that do not depend on an unknown input. The same is
	// true for a refusal in the second result.
	b := &judgement{granted: least.Granted, open: most.Granted &^ least.Granted}
	for _, c := range least.Causes {
		if c.Actions &= least.Granted; c.Actions != 0 {
			b.causes = append(b.causes, c)
		}
	}
	for _, c := range most.Causes {
		if c.Actions &^= most.Granted; c.Actions != 0 {
			b.causes = append(b.causes, c)
		}
	}
	return b
}

// missingInputs returns the inputs of a recorded decision that the journal does not have.
func missingInputs(d *journal.Decision) ask.Unknown {
	return ask.Unknown{
		IP:     !d.Remote.IsValid() || isNetwork(d),
		Client: d.Client == "" || strings.Contains(d.Client, secret.Mark),
		// The entry has only the times of the first and the last refusal.
		Now: d.Repeats != nil && d.Repeats.Count > 1,
	}
}

// isNetwork reports whether the journal may have recorded only the network of the address. The
// journal does this if the setting journal.addresses has the value shortened. A complete address
// can have the same form as a network.
func isNetwork(d *journal.Decision) bool {
	bits := 48
	if d.Remote.Unmap().Is4() {
		bits = 24
	}
	p, err := d.Remote.Unmap().WithZone("").Prefix(bits)
	return err == nil && p.Addr() == d.Remote.Unmap()
}

// authorizerActions returns the actions that an authorizer decided, and its name. The policy was
// asked before the authorizer, but the result of the policy is not recorded. A rule of the
// database can have the name of an authorizer, too.
func authorizerActions(was *policy.Result) (actions scope.Actions, name string) {
	for _, c := range was.Causes {
		if c.Rule != nil && c.Rule.Origin.File == "" && c.Rule.Origin.Namespace == "" && sourcename.IsHook(c.Rule.Name) {
			actions, name = actions|c.Actions, c.Rule.Name
		}
	}
	return actions, name
}
