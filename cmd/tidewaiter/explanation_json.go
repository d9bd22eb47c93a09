package main

import (
	"time"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// The forms of an explanation for programs.
type (
	explanationJSON struct {
		ID        string        `json:"id,omitempty"`
		Time      *time.Time    `json:"time,omitempty"`
		Allowed   bool          `json:"allowed"` // all that was asked for
		Registry  string        `json:"registry"`
		Principal principalJSON `json:"principal"`
		Known     bool          `json:"known"` // to a source
		IP        string        `json:"ip,omitempty"`
		At        *time.Time    `json:"at,omitempty"`
		Client    string        `json:"client,omitempty"`
		Note      string        `json:"note,omitempty"`
		Refused   string        `json:"refused,omitempty"`
		Expires   *time.Time    `json:"expires,omitempty"` // of the token
		Scopes    []resultJSON  `json:"scopes"`
		Today     []resultJSON  `json:"today,omitempty"` // by another policy than the decision's
		Ignored   []ignoredJSON `json:"ignored,omitempty"`
	}
	principalJSON struct {
		Kind   string   `json:"kind"`
		Name   string   `json:"name,omitempty"`
		Source string   `json:"source,omitempty"`
		Groups []string `json:"groups,omitempty"`

		Claims map[string]any `json:"claims,omitempty"`
		Limits []api.Limit    `json:"limits,omitempty"`
	}
	resultJSON struct {
		Type    string      `json:"type"`
		Name    string      `json:"name"`
		Asked   []string    `json:"asked"`
		Granted []string    `json:"granted"`
		Causes  []causeJSON `json:"causes"`
		Near    []nearJSON  `json:"near,omitempty"`
		More    int         `json:"more,omitempty"`
	}
	causeJSON struct {
		Actions []string `json:"actions"`
		Reason  string   `json:"reason"`
		ruleJSON
		Holds  *bool       `json:"holds,omitempty"` // the rule's condition; not there if it failed
		Values []valueJSON `json:"values,omitempty"`
	}
	nearJSON struct {
		Effect    string         `json:"effect"`
		Actions   []string       `json:"actions"`
		Obstacles []obstacleJSON `json:"obstacles"`
		ruleJSON
	}
	obstacleJSON struct {
		Field  string      `json:"field"` // of the rule: subjects, registries, names, actions, when
		Text   string      `json:"text"`
		Values []valueJSON `json:"values,omitempty"`
	}
	valueJSON struct {
		Expression string `json:"expression"`
		Value      string `json:"value"`
	}
	ruleJSON struct {
		Rule string `json:"rule,omitempty"`
		File string `json:"file,omitempty"`
		Line int    `json:"line,omitempty"`

		Namespace string `json:"namespace,omitempty"` // in the database: whose rule it is
		When      string `json:"when,omitempty"`      // its condition
	}
	ignoredJSON struct {
		Text   string `json:"text"`
		Reason string `json:"reason"`
	}
)

func (e *explanation) forPrograms() explanationJSON {
	j := explanationJSON{Allowed: e.allowed(), Registry: e.registry, Known: e.known, Note: e.note, Scopes: results(e.request, e.results, e.near)}
	if e.today != nil {
		j.Today = results(e.today.Request, e.today.Results, e.today.Near)
	}
	if e.who != nil {
		j.Principal = principalForPrograms(e.who)
	}
	if r := e.request; r != nil {
		j.Client = r.Client
		if r.IP.IsValid() {
			j.IP = r.IP.String()
		}
		if e.entry == nil {
			at := r.Now.UTC()
			j.At = &at
		}
	}
	if e.entry != nil {
		j.ID, j.Time, j.Refused = e.entry.ID.String(), &e.entry.Time, e.entry.Decision.Refused
		if end := e.entry.Decision.Expires; !end.IsZero() {
			j.Expires = &end
		}
		if e.who == nil {
			j.Principal = principalJSON{Kind: policy.Anonymous.String(), Name: e.entry.Decision.Name}
			j.Known = false
		}
	}
	for _, i := range e.ignored {
		j.Ignored = append(j.Ignored, ignoredJSON(i))
	}
	return j
}

func principalForPrograms(who *policy.Principal) principalJSON {
	return principalJSON{who.Kind.String(), who.Name, who.Source, who.Groups, who.Claims, api.NewLimits(who.Limits)}
}

func results(r *policy.Request, from []policy.Result, near []policy.Nearby) []resultJSON {
	list := make([]resultJSON, len(from))
	for i, result := range from {
		list[i] = resultJSON{Type: result.Asked.Type, Name: result.Asked.Name, Asked: words(result.Asked.Actions), Granted: words(result.Granted)}
		for _, c := range result.Causes {
			j := causeJSON{Actions: words(c.Actions), Reason: c.Reason.String(), ruleJSON: rule(c.Rule)}
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
			j := nearJSON{Effect: effect, Actions: words(n.Actions), ruleJSON: rule(n.Rule)}
			for _, o := range n.Obstacles {
				j.Obstacles = append(j.Obstacles, obstacleJSON{o.Field, o.Text, values(o.Values)})
			}
			list[i].Near = append(list[i].Near, j)
		}
	}
	return list
}

func rule(r *policy.Rule) ruleJSON {
	if r == nil {
		return ruleJSON{}
	}
	j := ruleJSON{Rule: r.Name, File: r.Origin.File, Line: r.Origin.Line, Namespace: r.Origin.Namespace}
	if r.When != nil {
		j.When = r.When.String()
	}
	return j
}

func values(from []policy.Value) []valueJSON {
	var list []valueJSON
	for _, v := range from {
		list = append(list, valueJSON(v))
	}
	return list
}

// words are the names of actions, never null in JSON.
func words(a scope.Actions) []string {
	if names := a.Names(); names != nil {
		return names
	}
	return []string{}
}
