package explain

import (
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Explanation is the JSON form of an Evaluation.
type Explanation struct {
	ID        string    `json:"id,omitempty" doc:"The id of the recorded decision"`
	Time      time.Time `json:"time,omitzero" doc:"The time of the recorded decision"`
	Blocked   bool      `json:"blocked,omitempty" doc:"Whether the principal gets no token, even if the policy allows the request. The reason is in note: the principal is disabled or expired, or anonymous clients get no token. scopes has the results of the rules"`
	Allowed   bool      `json:"allowed" doc:"Whether the whole request is granted"`
	Registry  string    `json:"registry" doc:"The registry's service name" example:"registry.example.com"`
	Principal principal `json:"principal" doc:"The principal that the request is for"`
	Known     bool      `json:"known" doc:"Whether an identity source knows the name"`
	IP        string    `json:"ip,omitempty" doc:"The client's address, for conditions" example:"192.0.2.7"`
	At        time.Time `json:"at,omitzero" doc:"The time of the request, for conditions"`
	Client    string    `json:"client,omitempty" doc:"The client's name, for conditions" example:"docker/27"`
	Note      string    `json:"note,omitempty" doc:"A remark about the principal, or about the policy of a time in the past"`
	Policy    *Period   `json:"policy,omitempty" doc:"The policy that was in force at the time, if it is not the current policy"`
	Refused   string    `json:"refused,omitempty" doc:"The reason why the recorded decision issued no token"`
	Expires   time.Time `json:"expires,omitzero" doc:"When the token of the recorded decision expires"`
	Lifetime  *lifetime `json:"lifetime,omitempty" doc:"How long a token with these grants would be valid; absent if nothing is granted, and for recorded decisions"`
	Scopes    []result  `json:"scopes" nullable:"false" doc:"The result for each scope"`
	Today     []result  `json:"today,omitempty" nullable:"false" doc:"The results of the current policy, if another policy made the decision"`
	Ignored   []ignored `json:"ignored,omitempty" nullable:"false" doc:"Parts of the request that are not scopes"`
}

type lifetime struct {
	Seconds int64  `json:"seconds" doc:"The lifetime" example:"900"`
	By      string `json:"by" enum:"lifetime,push_lifetime,max_lifetime.anonymous,max_lifetime.user,max_lifetime.robot,max_lifetime.workload,max_lifetime.delete,role,rule,credential,least" doc:"The setting that decides the lifetime: a setting of the registry, a setting of token.max_lifetime, or the lifetime of a rule or of its role. credential: the token expires together with the credential. least: the minimum lifetime"`
	Role    string `json:"role,omitempty" doc:"The role that decides the lifetime" example:"deployer"`
	RuleName
}

type principal struct {
	Kind   string   `json:"kind" enum:"anonymous,user,robot,workload" doc:"The kind of principal"`
	Name   string   `json:"name,omitempty" doc:"The name, as its source spells it" example:"alice"`
	Source string   `json:"source,omitempty" doc:"The identity source that knows the principal" example:"accounts"`
	Groups []string `json:"groups,omitempty" nullable:"false" doc:"The groups of the principal"`

	Claims       map[string]any `json:"claims,omitempty" doc:"The claims of an ID token, or the attributes of a directory"`
	Restrictions []Restriction  `json:"restrictions,omitempty" nullable:"false" doc:"The restrictions of the credential"`
}

type result struct {
	Type       string     `json:"type" doc:"The resource type" example:"repository"`
	Name       string     `json:"name" doc:"The name of the resource" example:"team/app"`
	Asked      []string   `json:"asked" nullable:"false" doc:"The requested actions"`
	Granted    []string   `json:"granted" nullable:"false" doc:"The granted actions"`
	Causes     []cause    `json:"causes" doc:"The reasons. Each requested action is in one of the causes"`
	NearMisses []nearMiss `json:"near_misses,omitempty" nullable:"false" doc:"Rules that nearly matched, the closest first"`
	More       int        `json:"more,omitempty" doc:"How many other rules nearly matched"`
}

type cause struct {
	Actions []string `json:"actions" nullable:"false" doc:"The actions that this cause decided"`
	Reason  string   `json:"reason" enum:"no-rule,allowed,denied,narrowed,condition-failed" doc:"The actions are granted only if the reason is allowed"`
	RuleName
	Holds  *bool   `json:"holds,omitempty" doc:"Whether the rule's condition is true; absent if it failed"`
	Values []value `json:"values,omitempty" nullable:"false" doc:"The value of each part of the condition"`
}

type nearMiss struct {
	Effect    string     `json:"effect" enum:"allow,deny" doc:"The rule's effect"`
	Actions   []string   `json:"actions" nullable:"false" doc:"The requested actions that the rule has"`
	Obstacles []obstacle `json:"obstacles" doc:"The reasons why the rule does not match"`
	RuleName
}

type obstacle struct {
	Field  string  `json:"field" enum:"subjects,registries,names,actions,when" doc:"The part of the rule that does not match"`
	Text   string  `json:"text" doc:"The end of a sentence about the rule" example:"it is for group:ops and not for user:alice"`
	Values []value `json:"values,omitempty" nullable:"false" doc:"The value of each part of the rule's condition"`
}

type value struct {
	Expression string `json:"expression" doc:"A part of the condition" example:"now.getHours()"`
	Value      string `json:"value" doc:"Its value" example:"23"`
}

type ignored struct {
	Text   string `json:"text" doc:"The text that was requested"`
	Reason string `json:"reason" doc:"Why it is not a scope"`
}

// Explanation returns the JSON form of the evaluation.
func (e *Evaluation) Explanation() Explanation {
	j := Explanation{
		Blocked: e.Blocked != "", Allowed: e.Allowed(), Registry: e.Registry, Known: e.Known, Note: e.Note(),
		Scopes: newResults(e.Request, e.Results, e.Near), Policy: e.Past.period(),
	}
	if e.Past.Note != "" {
		j.Note = strings.TrimPrefix(j.Note+"; "+e.Past.Note, "; ")
	}
	if e.Today != nil {
		j.Today = newResults(e.Today.Request, e.Today.Results, e.Today.Near)
	}
	if e.Principal != nil {
		j.Principal = newPrincipal(e.Principal)
	}
	if r := e.Request; r != nil {
		j.Client = r.Client
		if r.IP.IsValid() {
			j.IP = r.IP.String()
		}
		if e.Entry == nil {
			j.At = r.Now.UTC()
		}
	}
	if e.Lifetime != nil {
		j.Lifetime = newLifetime(e.Lifetime)
	}
	if e.Entry != nil {
		d := e.Entry.Decision
		j.ID, j.Time, j.Refused, j.Expires = e.Entry.ID.String(), e.Entry.Time, d.Refused, d.Expires
		if e.Principal == nil {
			j.Principal = principal{Kind: policy.Anonymous.String(), Name: d.Name}
		}
	}
	if len(e.Ignored) > 0 {
		j.Ignored = convert(e.Ignored, func(i *scope.Ignored) ignored { return ignored(*i) })
	}
	return j
}

func newLifetime(l *issuer.Lifetime) *lifetime {
	j := &lifetime{Seconds: int64(l.Lasts / time.Second), By: string(l.By), RuleName: NewRuleName(l.Rule)}
	if l.By == issuer.ByRole && l.Rule != nil {
		j.Role = l.Rule.Role
	}
	return j
}

func newPrincipal(p *policy.Principal) principal {
	return principal{p.Kind.String(), p.Name, p.Source, p.Groups, p.Claims, NewRestrictions(p.Limits)}
}

func newResults(r *policy.Request, results []policy.Result, near []ask.Nearby) []result {
	list := make([]result, len(results))
	for i, from := range results {
		j := result{Type: from.Asked.Type, Name: from.Asked.Name, Asked: ActionNames(from.Asked.Actions), Granted: ActionNames(from.Granted)}
		for _, c := range from.Causes {
			j.Causes = append(j.Causes, newCause(r, &c))
		}
		if i < len(near) {
			j.More = near[i].More
			for _, n := range near[i].Rules {
				miss := nearMiss{Effect: "allow", Actions: ActionNames(n.Actions), RuleName: NewRuleName(n.Rule)}
				if n.Rule.Deny {
					miss.Effect = "deny"
				}
				for _, o := range n.Obstacles {
					miss.Obstacles = append(miss.Obstacles, obstacle{o.Field, o.Text, newValues(o.Values)})
				}
				j.NearMisses = append(j.NearMisses, miss)
			}
		}
		list[i] = j
	}
	return list
}

func newCause(r *policy.Request, c *policy.Cause) cause {
	j := cause{Actions: ActionNames(c.Actions), Reason: c.Reason.String(), RuleName: NewRuleName(c.Rule)}
	if c.Rule != nil && c.Rule.When != nil && r != nil {
		if holds, err := c.Rule.When.Holds(r); err == nil {
			j.Holds = &holds
		}
		j.Values = newValues(c.Rule.When.Explain(r))
	}
	return j
}

func newValues(from []policy.Value) []value {
	return convert(from, func(v *policy.Value) value { return value(*v) })
}
