package api

import (
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/scope"
)

// The forms of what is said of a decision, for programs: tidewaiter explain prints the same with --output json.

// Explanation is whether somebody may do what is asked for, and why.
type Explanation struct {
	ID        string     `json:"id,omitempty" doc:"Of a decision that was made"`
	Time      *time.Time `json:"time,omitempty" doc:"When that was"`
	Barred    bool       `json:"barred,omitempty" doc:"Whether who is judged gets no token, whatever the policy says: disabled, ended, or anonymous where that is not served; note says which, and scopes have what the rules would say"`
	Allowed   bool       `json:"allowed" doc:"Whether all that was asked for is granted"`
	Registry  string     `json:"registry" doc:"The registry's service name" example:"registry.example.com"`
	Principal Principal  `json:"principal" doc:"Who is judged"`
	Known     bool       `json:"known" doc:"Whether a source knows the name"`
	IP        string     `json:"ip,omitempty" doc:"Where the request is from, for conditions" example:"192.0.2.7"`
	At        *time.Time `json:"at,omitempty" doc:"When it is made, for conditions"`
	Client    string     `json:"client,omitempty" doc:"The client's name, for conditions" example:"docker/27"`
	Note      string     `json:"note,omitempty" doc:"What else there is to say of who is judged"`
	Refused   string     `json:"refused,omitempty" doc:"Why a decision was no token"`
	Expires   *time.Time `json:"expires,omitempty" doc:"When its token ends"`
	Lifetime  *Lifetime  `json:"lifetime,omitempty" doc:"How long a token with what is granted would live; left out if nothing is, and of a decision that was made"`
	Scopes    []Result   `json:"scopes" nullable:"false" doc:"What became of each scope"`
	Today     []Result   `json:"today,omitempty" nullable:"false" doc:"By the policy of today, if that is another one than the decision's"`
	Ignored   []Ignored  `json:"ignored,omitempty" nullable:"false" doc:"What is no scope, and why"`
}

// Lifetime is how long a token would live, and what decides that.
type Lifetime struct {
	Seconds int64  `json:"seconds" doc:"How long" example:"900"`
	By      string `json:"by" enum:"lifetime,push_lifetime,max_lifetime.anonymous,max_lifetime.user,max_lifetime.robot,max_lifetime.workload,max_lifetime.delete,role,rule,credential,least" doc:"The setting that decides it: the registry's, one of token.max_lifetime, a rule's or its role's; or the end of the credential, or that no token lives for less"`
	Role    string `json:"role,omitempty" doc:"The role" example:"deployer"`
	RuleName
}

// Principal is who is judged.
type Principal struct {
	Kind   string   `json:"kind" enum:"anonymous,user,robot,workload" doc:"What it is"`
	Name   string   `json:"name,omitempty" doc:"The name, as its source spells it" example:"alice"`
	Source string   `json:"source,omitempty" doc:"The source that knows it" example:"accounts"`
	Groups []string `json:"groups,omitempty" nullable:"false" doc:"The groups that it is in"`

	Claims map[string]any `json:"claims,omitempty" doc:"What an ID token or a directory says of it"`
	Limits []Limit        `json:"limits,omitempty" nullable:"false" doc:"What the credential narrows its rights to"`
}

// Result is what became of a scope.
type Result struct {
	Type    string   `json:"type" doc:"The type of what is asked for" example:"repository"`
	Name    string   `json:"name" doc:"Its name" example:"team/app"`
	Asked   []string `json:"asked" nullable:"false" doc:"The actions that are asked for"`
	Granted []string `json:"granted" nullable:"false" doc:"Those that are granted"`
	Causes  []Cause  `json:"causes" doc:"Why: together they are about each action once"`
	Near    []Near   `json:"near,omitempty" nullable:"false" doc:"Rules that came near, the nearest first"`
	More    int      `json:"more,omitempty" doc:"How many others came near"`
}

// Cause is which rule decided some actions.
type Cause struct {
	Actions []string `json:"actions" nullable:"false" doc:"What it decided"`
	Reason  string   `json:"reason" enum:"no-rule,allowed,denied,narrowed,condition-failed" doc:"Only allowed grants"`
	RuleName
	Holds  *bool   `json:"holds,omitempty" doc:"Whether the rule's condition holds; left out if it failed"`
	Values []Value `json:"values,omitempty" nullable:"false" doc:"What the parts of the condition came to"`
}

// Near is a rule that came near.
type Near struct {
	Effect    string     `json:"effect" enum:"allow,deny" doc:"What it does"`
	Actions   []string   `json:"actions" nullable:"false" doc:"What it is about"`
	Obstacles []Obstacle `json:"obstacles" doc:"Why it does not match"`
	RuleName
}

// Obstacle is one reason for which a rule does not match.
type Obstacle struct {
	Field  string  `json:"field" enum:"subjects,registries,names,actions,when" doc:"Which part of the rule"`
	Text   string  `json:"text" doc:"The end of a sentence about the rule" example:"it is for group:ops and not for user:alice"`
	Values []Value `json:"values,omitempty" nullable:"false" doc:"What the parts of its condition came to"`
}

// Value is a part of a condition, and what it came to.
type Value struct {
	Expression string `json:"expression" doc:"The part" example:"now.getHours()"`
	Value      string `json:"value" doc:"What it came to" example:"23"`
}

// RuleName is a rule as it is spoken of.
type RuleName struct {
	Rule      string `json:"rule,omitempty" doc:"The rule's name" example:"freeze"`
	File      string `json:"file,omitempty" doc:"The file that it is written in; left out: the database" example:"tidewaiter.yaml"`
	Line      int    `json:"line,omitempty" doc:"The line there"`
	Namespace string `json:"namespace,omitempty" doc:"Of the database: the namespace that it is a rule of" example:"team"`
	BuiltIn   bool   `json:"built_in,omitempty" doc:"Whether it is a rule that nobody needs to write: it is in no file and not in the database"`
	When      string `json:"when,omitempty" doc:"The rule's condition"`
}

// Ignored is what was asked for and is no scope.
type Ignored struct {
	Text   string `json:"text" doc:"What was asked for"`
	Reason string `json:"reason" doc:"Why it is none"`
}

// Explained is what an explanation is made of.
type Explained struct {
	Who      *policy.Principal // nil: nobody was let in
	Known    bool              // to a source
	Barred   string            // why there is no token, whatever the policy says; "": there may be one
	Note     string
	Registry string
	Ignored  []scope.Ignored
	Results  []policy.Result
	Near     []ask.Nearby
	Request  *policy.Request // what conditions look at; nil if they are not known any more

	Life  *issuer.Lifetime // of a token that would be made; nil: there would be none
	Entry *journal.Entry   // of a decision; nil: somebody asks what would be
	Today *ask.Explanation // what another policy than the entry's says now; nil if it is the same one
}

// Allowed reports whether all that was asked for was granted.
func (e *Explained) Allowed() bool {
	if e.Barred != "" {
		return false
	}
	for _, r := range e.Results {
		if !r.Granted.Has(r.Asked.Actions) {
			return false
		}
	}
	return len(e.Results) > 0
}

// Bar takes back what the policy would grant, and says why.
func (e *Explained) Bar(why string) {
	e.Barred, e.Note, e.Life = why, why, nil
	e.Results = slices.Clone(e.Results)
	for i := range e.Results {
		e.Results[i].Granted = 0
	}
}

// NewExplanation is the form of an explanation.
func NewExplanation(e *Explained) Explanation {
	j := Explanation{Barred: e.Barred != "", Allowed: e.Allowed(), Registry: e.Registry, Known: e.Known, Note: e.Note, Scopes: results(e.Request, e.Results, e.Near)}
	if e.Today != nil {
		j.Today = results(e.Today.Request, e.Today.Results, e.Today.Near)
	}
	if e.Who != nil {
		j.Principal = NewPrincipal(e.Who)
	}
	if r := e.Request; r != nil {
		j.Client = r.Client
		if r.IP.IsValid() {
			j.IP = r.IP.String()
		}
		if e.Entry == nil {
			at := r.Now.UTC()
			j.At = &at
		}
	}
	if e.Life != nil {
		j.Lifetime = newLifetime(e.Life)
	}
	if e.Entry != nil {
		j.ID, j.Time, j.Refused = e.Entry.ID.String(), &e.Entry.Time, e.Entry.Decision.Refused
		if end := e.Entry.Decision.Expires; !end.IsZero() {
			j.Expires = &end
		}
		if e.Who == nil {
			j.Principal = Principal{Kind: policy.Anonymous.String(), Name: e.Entry.Decision.Name}
			j.Known = false
		}
	}
	for _, i := range e.Ignored {
		j.Ignored = append(j.Ignored, Ignored(i))
	}
	return j
}

func newLifetime(life *issuer.Lifetime) *Lifetime {
	form := &Lifetime{Seconds: int64(life.Lasts / time.Second), By: string(life.By), RuleName: NewRuleName(life.Rule)}
	if life.By == issuer.ByRole && life.Rule != nil {
		form.Role = life.Rule.Role
	}
	return form
}

// NewPrincipal is the form of who is judged.
func NewPrincipal(who *policy.Principal) Principal {
	return Principal{who.Kind.String(), who.Name, who.Source, who.Groups, who.Claims, NewLimits(who.Limits)}
}

func results(r *policy.Request, from []policy.Result, near []ask.Nearby) []Result {
	list := make([]Result, len(from))
	for i, result := range from {
		list[i] = Result{Type: result.Asked.Type, Name: result.Asked.Name, Asked: words(result.Asked.Actions), Granted: words(result.Granted)}
		for _, c := range result.Causes {
			j := Cause{Actions: words(c.Actions), Reason: c.Reason.String(), RuleName: NewRuleName(c.Rule)}
			if c.Rule != nil && c.Rule.When != nil && r != nil {
				if holds, err := c.Rule.When.Holds(r); err == nil {
					j.Holds = &holds
				}
				j.Values = values(c.Rule.When.Explain(r))
			}
			list[i].Causes = append(list[i].Causes, j)
		}
		if i >= len(near) {
			continue
		}
		list[i].More = near[i].More
		for _, n := range near[i].Rules {
			effect := "allow"
			if n.Rule.Deny {
				effect = "deny"
			}
			j := Near{Effect: effect, Actions: words(n.Actions), RuleName: NewRuleName(n.Rule)}
			for _, o := range n.Obstacles {
				j.Obstacles = append(j.Obstacles, Obstacle{o.Field, o.Text, values(o.Values)})
			}
			list[i].Near = append(list[i].Near, j)
		}
	}
	return list
}

// NewRuleName is the form of a rule that is spoken of; nil: of none.
func NewRuleName(r *policy.Rule) RuleName {
	if r == nil {
		return RuleName{}
	}
	j := RuleName{Rule: r.Name, File: r.Origin.File, Line: r.Origin.Line, Namespace: r.Origin.Namespace, BuiltIn: r.Origin.BuiltIn}
	if r.When != nil {
		j.When = r.When.String()
	}
	return j
}

func values(from []policy.Value) []Value {
	var list []Value
	for _, v := range from {
		list = append(list, Value(v))
	}
	return list
}
