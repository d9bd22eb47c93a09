package api

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// namespaceTimes has the namespaces whose entries a caller may read, and the creation time of
// each. Older entries can be about an earlier namespace of the same name, which belonged to
// others.
type namespaceTimes map[string]time.Time

// readableNamespaces returns nil for callers who may read the whole journal. For other callers, it
// returns their namespaces. If the caller has no namespace, it returns the error of
// mayReadJournal.
func (a *API) readableNamespaces(ctx context.Context, caller admin.Actor) (namespaceTimes, error) {
	forbidden := a.mayReadJournal(caller)
	if forbidden == nil {
		return nil, nil
	}
	o := namespaceTimes{}
	for page := (admin.Page{Limit: 1000}); ; {
		list, next, err := a.Rulebook.Namespaces(ctx, caller, page)
		if err != nil {
			return nil, err
		}
		for _, n := range list {
			// The right to read all namespaces is not enough.
			if a.Rulebook.May(caller, admin.RightNamespace+n.Name, scope.Read) {
				o[n.Name] = n.Created
			}
		}
		if page.After = next; next == "" {
			break
		}
	}
	if len(o) == 0 {
		return nil, forbidden
	}
	return o, nil
}

// narrowQuery makes a query select only entries of the namespaces. The filters of the query apply
// only to the parts of an entry that the caller sees. Otherwise, filters would reveal the other
// parts.
func (o namespaceTimes) narrowQuery(q journal.Query) journal.Query {
	if o == nil {
		return q
	}
	narrowed := q
	narrowed.Outcome = "" // the outcome can differ for the part of a decision that the caller sees
	// The index must not search for addresses and credentials, because the caller never sees
	// them. Otherwise, the duration of a search and the place where it stops would reveal whether
	// many entries have the address or the credential.
	narrowed.Address, narrowed.Credential = netip.Prefix{}, ""
	narrowed.Below = slices.Sorted(maps.Keys(o))
	narrowed.Only = func(e *journal.Entry) bool {
		seen, ok := o.visibleParts(e)
		return ok && q.Matches(&seen)
	}
	return narrowed
}

// visibleEntry returns the parts of an entry that the caller may see. The query of narrowQuery
// must have selected the entry.
func (o namespaceTimes) visibleEntry(e journal.Entry) journal.Entry {
	if o == nil {
		return e
	}
	seen, _ := o.visibleParts(&e)
	return seen
}

// visibleParts returns the parts of an entry that owners of the namespaces may see: the actions on
// their repositories, and the principals. It leaves out addresses, credentials, groups and claims,
// and the repositories and rules of others.
func (o namespaceTimes) visibleParts(e *journal.Entry) (seen journal.Entry, ok bool) {
	seen = journal.Entry{Position: e.Position, ID: e.ID, Time: e.Time, Registry: e.Registry}
	switch {
	case e.Decision != nil:
		seen.Decision, ok = o.decision(e.Decision, e.Time)
	case e.Event != nil:
		v := *e.Event
		_, ok = o.namespace(v.Repository, e.Time)
		if _, its := o.namespace(v.FromRepository, e.Time); !its {
			v.FromRepository = ""
		}
		v.URL, v.Source, v.Request = "", notification.Source{}, notification.Request{Method: v.Request.Method}
		seen.Event = &v
	case e.Change != nil && strings.HasPrefix(e.Change.Action, "namespace."):
		c := *e.Change
		created, its := o[c.Target]
		ok = its && !e.Time.Before(created)
		c.From, c.To = withoutSignIn(c.From), withoutSignIn(c.To)
		seen.Change = &c
	}
	return seen, ok
}

// namespace returns the namespace that contained a repository at the given time. It returns false
// if the caller may not read the entries of that namespace, or if the namespace was created after
// the given time.
func (o namespaceTimes) namespace(repository string, at time.Time) (string, bool) {
	for end := len(repository); ; {
		if end = strings.LastIndexByte(repository[:end], '/'); end < 0 {
			return "", false
		}
		if created, ok := o[repository[:end]]; ok {
			return repository[:end], !at.Before(created)
		}
	}
}

func (o namespaceTimes) decision(d *journal.Decision, at time.Time) (*journal.Decision, bool) {
	seen := &journal.Decision{Repeats: d.Repeats}
	if p := d.Principal; p != nil {
		seen.Principal = &policy.Principal{Kind: p.Kind, Name: p.Name}
	}
	for _, r := range d.Results {
		namespace, ok := o.namespace(r.Asked.Name, at)
		if !ok || r.Asked.Type != scope.TypeRepository {
			continue
		}
		r.Causes = slices.Clone(r.Causes)
		for i, c := range r.Causes {
			if c.Rule != nil && c.Rule.Origin.Namespace != namespace {
				r.Causes[i].Rule = nil
			}
		}
		seen.Results = append(seen.Results, r)
	}
	return seen, len(seen.Results) > 0
}

// withoutSignIn returns the field From or To of a change, without the value that describes how
// the actor signed in.
func withoutSignIn(side map[string]any) map[string]any {
	seen := make(map[string]any, len(side))
	for key, value := range side {
		if key != "via" {
			seen[key] = value
		}
	}
	return seen
}
