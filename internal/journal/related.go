package journal

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal/index"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// A registry's event does not have the id of the token that allowed it. So the decision is
// found by other fields of the event: the principal, the registry, the repository, the time
// and, in most events, the client's address.
const (
	// The search for the decision of an event begins maxLife before the event. In most
	// configurations, tokens are valid for minutes.
	maxLife = 24 * time.Hour
	// grace is the maximum time between a token's end and an event that it allowed. A registry
	// checks the token when a request begins, but sends the event when the request ends. Also,
	// clocks differ.
	grace = 5 * time.Minute
	// maxRelated and maxSearched limit how many entries each step finds and searches. So the
	// search is fast even if a registry has very many entries.
	maxRelated  = 1000
	maxSearched = 200_000
)

// Related returns the events that a decision led to, or the decision that allowed an event, the
// newest first. Several decisions can allow an event. The event belongs to the last of these
// decisions that has the client's address. If none of them has this address, the event belongs to
// the last decision. Other entries have no related entries.
//
// Each step of the search ends after about maxSearched entries. If there may be more related
// entries, Related returns false.
func (j *Journal) Related(ctx context.Context, e Entry) (related []Entry, complete bool, err error) {
	switch {
	case e.Event != nil:
		related, complete, err = j.decisionOf(ctx, &e)
	case e.Decision != nil && e.Decision.Principal != nil && !e.Decision.Token.IsZero():
		related, complete, err = j.eventsOf(ctx, &e)
	default:
		complete = true
	}
	if err != nil {
		return nil, false, fmt.Errorf("finding the entries that are related to entry %s: %w", e.ID, err)
	}
	return related, complete, nil
}

func (j *Journal) decisionOf(ctx context.Context, e *Entry) (related []Entry, complete bool, err error) {
	q := Query{
		Kind: KindDecision, Repository: e.Event.Repository, Since: e.Event.Time.Add(-maxLife), Until: e.Event.Time.Add(grace),
	}
	s := search{limit: 1, narrow: [][]index.Term{{{Field: termLogin, Value: e.Event.Actor}}}}
	isRelated := func(d *Entry) bool { return tokenAllowed(d, e, j.o.Login) }
	if at := e.address(); at.IsValid() && at.Zone() == "" {
		q.Address = netip.PrefixFrom(at, at.BitLen())
	}
	for {
		page, err := j.candidates(ctx, e, s, q, 0, isRelated)
		if err != nil || len(page.Entries) > 0 || !q.Address.IsValid() {
			return page.Entries, len(page.Entries) > 0 || page.Next == 0, err
		}
		q.Address = netip.Prefix{} // no decision has the client's address
	}
}

func (j *Journal) eventsOf(ctx context.Context, d *Entry) (related []Entry, complete bool, err error) {
	until := d.Decision.Expires.Add(grace)
	if d.Decision.Expires.IsZero() {
		until = d.Time.Add(maxLife)
	}
	var repositories []index.Term
	for _, r := range d.Decision.Results {
		repositories = append(repositories, index.Term{Field: termRepository, Value: r.Asked.Name})
	}
	events, err := j.candidates(ctx, d, search{limit: maxRelated, narrow: [][]index.Term{repositories}}, Query{
		Kind: KindEvent, Since: d.Time.Add(-grace), Until: until,
		Who: &Who{Logins: []string{j.o.Login(d.Decision.Principal)}},
	}, 0, func(e *Entry) bool { return tokenAllowed(d, e, j.o.Login) })
	if err != nil || len(events.Entries) == 0 {
		return nil, events.Next == 0, err
	}
	q := Query{
		Kind: KindDecision, Since: d.Time.Add(-maxLife), Until: until, Who: &Who{Subjects: []string{d.Decision.Principal.String()}},
	}
	isRelated := func(other *Entry) bool {
		return slices.ContainsFunc(events.Entries, func(e Entry) bool { return tokenAllowed(other, &e, j.o.Login) })
	}
	decisions, err := j.candidates(ctx, d, search{limit: maxRelated, narrow: [][]index.Term{repositories}, after: d.Position - 1}, q, 0, isRelated)
	if err != nil {
		return nil, false, err
	}
	complete = events.Next == 0 && decisions.Next == 0
	// If d does not have the event's address, the event can belong to an earlier decision that
	// has this address.
	var addresses []index.Term
	for _, e := range events.Entries {
		if at := e.address(); at.IsValid() && at != d.address() && at.Zone() == "" {
			addresses = append(addresses, index.Term{Field: termAddress, Value: addressTerm(netip.PrefixFrom(at, at.BitLen()))})
		}
	}
	if len(addresses) > 0 {
		earlier, err := j.candidates(ctx, d, search{limit: maxRelated, narrow: [][]index.Term{repositories, addresses}}, q, d.Position, isRelated)
		if err != nil {
			return nil, false, err
		}
		decisions.Entries = append(decisions.Entries, earlier.Entries...)
		complete = complete && earlier.Next == 0
	}
	for _, event := range events.Entries {
		if by := decisionFor(&event, decisions.Entries, j.o.Login); by != nil && by.Decision.Token == d.Decision.Token {
			related = append(related, event)
		}
	}
	return related, complete, nil
}

// candidates returns the entries of e's registry that the query q selects, if the function
// isRelated returns true for them. The limit counts only these entries, so that other requests for
// a repository cannot hide a decision.
func (j *Journal) candidates(ctx context.Context, e *Entry, s search, q Query, before Position, isRelated func(*Entry) bool) (Page, error) {
	q.Registry = e.Registry
	s.Query, s.matches = q, func(e *Entry) bool { return q.Matches(e) && isRelated(e) }
	return j.search(ctx, s, before, func(searched int) bool { return searched >= maxSearched })
}

// decisionFor returns the decision that allowed an event, or nil. The decisions must be in order,
// the newest first.
func decisionFor(e *Entry, decisions []Entry, login func(*policy.Principal) string) (last *Entry) {
	for i := range decisions {
		d := &decisions[i]
		switch {
		case !tokenAllowed(d, e, login):
		case d.Decision.Remote.IsValid() && d.address() == e.address():
			return d
		case last == nil:
			last = d
		}
	}
	return last
}

// tokenAllowed reports whether the token of a decision allowed the operation in an event.
func tokenAllowed(d, e *Entry, login func(*policy.Principal) string) bool {
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
