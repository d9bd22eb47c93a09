package hook

import (
	"context"
	"fmt"
	"slices"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// DecisionQuestion is the request that a Hook sends about a decision of the policy.
type DecisionQuestion struct {
	Principal Principal    `json:"principal"`
	Registry  string       `json:"registry"` // service name
	Address   string       `json:"address"`
	Client    string       `json:"client"`
	Scopes    []AskedScope `json:"scopes"`
}

// Principal describes the principal of a token request.
type Principal struct {
	Kind   string         `json:"kind"` // anonymous, user, robot, workload
	Name   string         `json:"name"`
	Source string         `json:"source"`
	ID     string         `json:"id"`
	Groups []string       `json:"groups"`
	Claims map[string]any `json:"claims"`
}

// Resource is the resource that a scope names.
type Resource struct {
	Type  string `json:"type"`
	Class string `json:"class,omitempty"`
	Name  string `json:"name"`
}

// AskedScope is one scope of a token request, with the actions that the answer can grant.
type AskedScope struct {
	Resource
	Asked []string `json:"asked"` // requested by the client
	Open  []string `json:"open"`  // the only actions that the answer can grant
}

// DecisionAnswer is the response to a DecisionQuestion. For a scope that is missing in the
// response, nothing is granted.
type DecisionAnswer struct {
	Scopes []DecidedScope `json:"scopes"`
}

// DecidedScope has the actions that the answer grants for one scope of the question.
type DecidedScope struct {
	Resource
	Granted []string `json:"granted"` // a part of open; "*": all of it
}

// Decide asks the peer about the decision d of the policy. Without Replace, the question has the
// actions that the policy grants, and the peer can only remove actions. With Replace, the question
// has all actions that no rule denies and that the credential's restrictions allow. If the peer
// changes the result for an action, the cause of the new result has the name of the Hook. If no
// action can be granted, the peer is not called. An error is an outage, so the caller must grant
// nothing.
func (h *Hook) Decide(ctx context.Context, r *policy.Request, d policy.Decision) (policy.Decision, error) {
	open := make([]scope.Actions, len(d.Results))
	for i := range d.Results {
		open[i] = d.Results[i].Granted
	}
	if h.o.Replace {
		for i, all := range h.open.Decide(r).Results {
			open[i] = all.Granted &^ deniedActions(&d.Results[i])
		}
	}
	if !slices.ContainsFunc(open, func(a scope.Actions) bool { return a != 0 }) {
		return d, nil
	}
	q := h.question(r, d.Results, open)
	var answer DecisionAnswer
	err := h.ask(ctx, func(ctx context.Context) (err error) {
		if answer, err = h.peer.decide(ctx, q); err != nil {
			return err
		}
		return answer.check(&q)
	})
	if err != nil {
		return policy.Decision{}, err
	}
	decided := policy.Decision{Results: make([]policy.Result, len(d.Results)), Lifetime: d.Lifetime}
	for i := range d.Results {
		decided.Results[i] = h.decide(&d.Results[i], open[i], answer.grantedActions(&q.Scopes[i]))
	}
	return decided, nil
}

// deniedActions returns the actions that a rule denies.
func deniedActions(r *policy.Result) (actions scope.Actions) {
	for _, c := range r.Causes {
		if c.Reason == policy.Denied {
			actions |= c.Actions
		}
	}
	return actions
}

// decide combines the policy's result with the answer. The peer decides only the undecided
// actions; the other actions keep the policy's cause.
func (h *Hook) decide(r *policy.Result, undecided, granted scope.Actions) policy.Result {
	granted &= undecided & r.Asked.Actions
	decided := policy.Result{Asked: r.Asked, Granted: granted}
	own := undecided // actions whose cause is h.rule
	if !h.o.Replace {
		own = undecided &^ granted // the actions that remain granted keep their rule
	}
	for _, c := range r.Causes {
		if c.Actions &^= own; c.Actions != 0 {
			decided.Causes = append(decided.Causes, c)
		}
	}
	if yes := own & granted; yes != 0 {
		decided.Causes = append(decided.Causes, policy.Cause{Actions: yes, Reason: policy.Allowed, Rule: h.rule})
	}
	if no := own &^ granted; no != 0 {
		decided.Causes = append(decided.Causes, policy.Cause{Actions: no, Reason: policy.Denied, Rule: h.rule})
	}
	return decided
}

func (h *Hook) question(r *policy.Request, results []policy.Result, open []scope.Actions) DecisionQuestion {
	q := DecisionQuestion{Registry: r.Registry, Client: r.Client, Principal: Principal{Kind: "anonymous"}}
	if p := r.Principal; p != nil {
		q.Principal = Principal{Kind: p.Kind.String(), Name: p.Name, Source: p.Source, ID: p.ID, Groups: p.Groups, Claims: p.Claims}
	}
	if r.IP.IsValid() {
		q.Address = r.IP.String()
	}
	for i := range results {
		a := results[i].Asked
		q.Scopes = append(q.Scopes, AskedScope{Resource{a.Type, a.Class, a.Name}, names(a.Actions), names(open[i])})
	}
	return q
}

// check returns an error if the answer has a scope that is not in the question, the same scope
// twice, or an unknown action.
func (a *DecisionAnswer) check(q *DecisionQuestion) error {
	if a.Scopes == nil {
		return errInvalidAnswer // {} is ambiguous
	}
	for i, s := range a.Scopes {
		if slices.ContainsFunc(a.Scopes[:i], func(o DecidedScope) bool { return o.Resource == s.Resource }) ||
			!slices.ContainsFunc(q.Scopes, func(o AskedScope) bool { return o.Resource == s.Resource }) {
			return errInvalidAnswer
		}
		for _, name := range s.Granted {
			if _, ok := scope.ParseAction(name); !ok {
				return errInvalidAnswer
			}
		}
	}
	return nil
}

// grantedActions returns the actions that the answer grants for a scope.
func (a *DecisionAnswer) grantedActions(s *AskedScope) (actions scope.Actions) {
	for _, d := range a.Scopes {
		if d.Resource != s.Resource {
			continue
		}
		for _, name := range d.Granted {
			one, _ := scope.ParseAction(name)
			if one == scope.All {
				one = ^scope.Actions(0) // all open actions
			}
			actions |= one
		}
	}
	return actions
}

// grantAll returns a policy that grants all actions on everything in a registry. The
// restrictions of a credential still apply.
func grantAll(name string) (*policy.Policy, error) {
	p, err := policy.Compile(policy.Source{Rules: []policy.Rule{
		{Name: name, Subjects: []string{"anyone"}, Type: scope.TypeRepository, Names: []string{"**"}, Actions: scope.Repository},
		{Name: name + " catalog", Subjects: []string{"anyone"}, Type: scope.TypeRegistry, Names: []string{"catalog"}, Actions: scope.All},
	}})
	if err != nil {
		return nil, fmt.Errorf("compiling the policy that grants everything: %w", err)
	}
	return p, nil
}
