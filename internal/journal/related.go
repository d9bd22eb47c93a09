package journal

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// A registry's event does not have the id of the token that allowed it. So the decision is
// found by other fields of the event: the principal, the registry, the repository, the time
// and, in most events, the client's address.
const (
	// maxLife limits how long before an event the search looks for its decision. Tokens of most
	// configurations live for minutes.
	maxLife = 24 * time.Hour
	// grace is the maximum time between a token's end and an event that it allowed. A registry
	// checks the token when a request begins and sends the event when the request ends, and
	// clocks differ.
	grace = 5 * time.Minute
	// maxRelated and maxSearched limit the entries that are found and searched in each step, so
	// that a busy registry does not make the search take minutes.
	maxRelated  = 1000
	maxSearched = 200_000
)

// Related returns the events that a decision led to, or the decision that allowed an event, the
// newest first. If several decisions allow an event, the event belongs to the last decision
// with the client's address. If no decision has the client's address, the event belongs to the
// last decision. Other entries have no related entries.
//
// Each step of the search ends after about maxSearched entries.
func (j *Journal) Related(ctx context.Context, e Entry) ([]Entry, error) {
	switch {
	case e.Event != nil:
		d, err := j.decisionOf(ctx, &e)
		if d == nil || err != nil {
			return nil, err
		}
		return []Entry{*d}, nil
	case e.Decision != nil && e.Decision.Principal != nil && !e.Decision.Token.IsZero():
		return j.eventsOf(ctx, &e)
	}
	return nil, nil
}

func (j *Journal) decisionOf(ctx context.Context, e *Entry) (*Entry, error) {
	found, err := j.relatedTo(ctx, e, Query{
		Kind: KindDecision, Repository: e.Event.Repository, Since: e.Event.Time.Add(-maxLife), Until: e.Event.Time.Add(grace),
	})
	if err != nil {
		return nil, err
	}
	return decisionFor(e, found, j.o.Login), nil
}

func (j *Journal) eventsOf(ctx context.Context, e *Entry) (events []Entry, err error) {
	until := e.Decision.Expires.Add(grace)
	if e.Decision.Expires.IsZero() {
		until = e.Time.Add(maxLife)
	}
	reported, err := j.relatedTo(ctx, e, Query{
		Kind: KindEvent, Since: e.Time.Add(-grace), Until: until,
		Who: &Who{Logins: []string{j.o.Login(e.Decision.Principal)}},
	})
	if err != nil || len(reported) == 0 {
		return nil, err
	}
	decisions, err := j.relatedTo(ctx, e, Query{
		Kind: KindDecision, Since: e.Time.Add(-maxLife), Until: until,
		Who: &Who{Subjects: []string{e.Decision.Principal.String()}},
	})
	if err != nil {
		return nil, err
	}
	for _, event := range reported {
		if d := decisionFor(&event, decisions, j.o.Login); d != nil && d.Decision.Token == e.Decision.Token {
			events = append(events, event)
		}
	}
	return events, nil
}

func (j *Journal) relatedTo(ctx context.Context, e *Entry, q Query) ([]Entry, error) {
	q.Registry = e.Registry
	page, err := j.Search(ctx, q, 0, maxRelated, func(searched int) bool { return searched >= maxSearched })
	if err != nil {
		return nil, fmt.Errorf("finding what is related to entry %s: %w", e.ID, err)
	}
	return page.Entries, nil
}

// decisionFor returns the decision that allowed an event, or nil. The decisions are the newest
// first.
func decisionFor(e *Entry, decisions []Entry, login func(*policy.Principal) string) (last *Entry) {
	for i := range decisions {
		d := &decisions[i]
		switch {
		case !allowed(d, e, login):
		case d.Decision.Remote.IsValid() && d.address() == e.address():
			return d
		case last == nil:
			last = d
		}
	}
	return last
}

// allowed reports whether the token of a decision allowed what an event reports.
func allowed(d, e *Entry, login func(*policy.Principal) string) bool {
	p, at := d.Decision.Principal, e.Event.Time
	if p == nil || login(p) != e.Event.Actor || d.Registry != e.Registry ||
		at.Before(d.Time.Add(-grace)) || !d.Decision.Expires.IsZero() && at.After(d.Decision.Expires.Add(grace)) {
		return false
	}
	needed := scope.Pull
	switch e.Event.Action {
	case notification.Push, notification.Mount:
		needed = scope.Push
	case notification.Delete:
		needed = scope.Delete
	}
	return slices.ContainsFunc(d.Decision.Results, func(r policy.Result) bool {
		return r.Asked.Type == scope.TypeRepository && r.Asked.Name == e.Event.Repository &&
			(r.Granted.Has(needed) || r.Granted.Has(scope.All))
	})
}
