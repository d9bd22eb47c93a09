package api

import (
	"context"
	"errors"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/scope"
)

// NewExplained judges the request of a decision again: by the policy that made it, for what came near, and by the one of today.
func NewExplained(ctx context.Context, entry *journal.Entry, b *rulebook.Rulebook) (*Explained, error) {
	d := entry.Decision
	e := &Explained{Entry: entry, Who: d.Principal, Known: true, Registry: entry.Registry, Ignored: d.Ignored, Results: d.Results}
	if d.Principal == nil { // nobody was let in
		return e, nil
	}
	asked := make([]scope.Scope, len(d.Results))
	for i, r := range d.Results {
		asked[i] = r.Asked
	}
	request := &policy.Request{
		Principal: d.Principal, Registry: entry.Registry, Scopes: asked, IP: d.Remote, Client: d.Client, Now: entry.Time,
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

// policies are the one of an id, nil if it is not kept, and the one of today.
func policies(ctx context.Context, b *rulebook.Rulebook, id string) (then, today *policy.Policy, err error) {
	today = b.Policy()
	if id == today.ID() {
		return today, today, nil
	}
	source, err := b.Version(ctx, id)
	if errors.Is(err, rulebook.ErrNotFound) {
		return nil, today, nil
	}
	if err == nil {
		then, err = policy.Compile(source)
	}
	return then, today, err
}

// withRules returns results with rules that are whole in place of what the journal keeps of them.
func withRules(results, judged []policy.Result) []policy.Result {
	whole := make(map[string]*policy.Rule)
	for _, r := range judged {
		for _, c := range r.Causes {
			if c.Rule != nil {
				whole[c.Rule.Name] = c.Rule
			}
		}
	}
	results = slices.Clone(results)
	for i := range results {
		results[i].Causes = slices.Clone(results[i].Causes)
		for k, c := range results[i].Causes {
			if c.Rule != nil && whole[c.Rule.Name] != nil {
				results[i].Causes[k].Rule = whole[c.Rule.Name]
			}
		}
	}
	return results
}
