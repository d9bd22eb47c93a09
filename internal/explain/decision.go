package explain

import (
	"context"
	"errors"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Decision evaluates the request of a recorded decision again. It uses two policies: the policy
// that made the decision, to find the rules that nearly matched, and the current policy.
func Decision(ctx context.Context, entry *journal.Entry, b *rulebook.Rulebook) (*Evaluation, error) {
	d := entry.Decision
	e := &Evaluation{
		Entry: entry, Subject: Subject{Principal: d.Principal, Known: d.Principal != nil},
		Registry: entry.Registry, Ignored: d.Ignored, Results: d.Results,
	}
	if d.Principal == nil { // the sign-in failed
		return e, nil
	}
	scopes := make([]scope.Scope, len(d.Results))
	for i, r := range d.Results {
		scopes[i] = r.Asked
	}
	request := &policy.Request{
		Principal: d.Principal, Registry: entry.Registry, Scopes: scopes, IP: d.Remote, Client: d.Client, Now: entry.Time,
	}
	then, today, err := policies(ctx, b, d.Policy)
	if err != nil {
		return nil, err
	}
	if then != nil {
		x := ask.Explain(then, request)
		e.Near, e.Request = x.Near, x.Request
		e.Results = withRules(d.Results, x.Results)
	}
	if then != today {
		x := ask.Explain(today, request)
		e.Today = &x
	}
	return e, nil
}

// policies returns two policies: the policy with the given id, and the current policy. If the
// policy with the given id is not stored, the first result is nil.
func policies(ctx context.Context, b *rulebook.Rulebook, id string) (decided, today *policy.Policy, err error) {
	today = b.Policy()
	if id == today.ID() {
		return today, today, nil
	}
	if id == "" {
		return nil, today, nil
	}
	past, err := b.Find(ctx, id)
	if errors.Is(err, admin.ErrNotFound) {
		return nil, today, nil
	}
	return past.Compiled, today, err
}

// withRules returns the recorded results with complete rules. The journal stores only parts of a
// rule, so withRules takes the complete rules from the results that were evaluated again.
func withRules(recorded, evaluated []policy.Result) []policy.Result {
	rules := make(map[string]*policy.Rule)
	for _, r := range evaluated {
		for _, c := range r.Causes {
			if c.Rule != nil {
				rules[c.Rule.Name] = c.Rule
			}
		}
	}
	return mapCauses(recorded, func(c *policy.Cause) {
		if c.Rule != nil && rules[c.Rule.Name] != nil {
			c.Rule = rules[c.Rule.Name]
		}
	})
}

// mapCauses returns a copy of results with each cause changed.
func mapCauses(results []policy.Result, change func(*policy.Cause)) []policy.Result {
	results = slices.Clone(results)
	for i := range results {
		results[i].Causes = slices.Clone(results[i].Causes)
		for k := range results[i].Causes {
			change(&results[i].Causes[k])
		}
	}
	return results
}
