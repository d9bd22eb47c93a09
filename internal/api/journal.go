package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/identity/sourcename"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/scope"
)

// maxSearchTime is the time after which a request stops its search. If few entries match, the
// page is short and has the position of the next page. A request takes about 50 ms, because it
// needs about 10 ms more to read the block in progress and to write the response.
const maxSearchTime = 40 * time.Millisecond

// maxRead is the maximum number of entries that one request reads if it has the parameter "after".
const maxRead = 20_000

// maxPageBytes limits the size of a page, because events can be large. The page ends with the
// entry that exceeds this limit.
const maxPageBytes = 4 << 20

type listEntries struct {
	Limit  int   `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The maximum number of entries in the page"`
	Before int64 `query:"before" minimum:"1" doc:"Only entries before this position: the field next of the previous page"`
	After  int64 `query:"after" minimum:"0" doc:"Only entries after this position, the oldest first. Use it to follow or export the journal; 0 is the beginning"`
	Filter
}

type entryPath struct {
	ID string `path:"id" maxLength:"64" doc:"The id, or its first 8 or more characters" example:"019aa1b2-c3d4-7e5f"`
}

type journalPageResponse struct {
	Link string `header:"Link" doc:"The next page, with rel=next (RFC 8288)"`
	Body journalPage
}

type journalPage struct {
	Items      []entry    `json:"items" nullable:"false" doc:"The items, the newest first; with after, the oldest first"`
	Next       string     `json:"next,omitempty" doc:"The value of before for the next page (of after, if the request has after); absent on the last page" example:"12345"`
	Incomplete bool       `json:"incomplete,omitempty" doc:"For related entries: whether the search stopped before all entries were searched"`
	Searched   *time.Time `json:"searched,omitempty" doc:"The search covered all entries since this time. Older entries can match, too"`
}

// entry is one entry of the journal.
type entry struct{ journal.Entry }

// journalEntry has the fields that journal.Entry has in JSON.
type journalEntry struct {
	Position int64          `json:"position" doc:"The position in the journal: 1, 2, 3, without gaps"`
	ID       string         `json:"id" doc:"A UUID; for a decision, the jti of the token that was signed for it"`
	Time     time.Time      `json:"time" doc:"The time of the event, decision or change"`
	Registry string         `json:"registry,omitempty" doc:"The registry that the entry is about"`
	Summary  string         `json:"summary" doc:"The whole entry in one line, for people"`
	Decision map[string]any `json:"decision,omitempty" doc:"The principal, the request, the granted actions, and the reasons"`
	Event    map[string]any `json:"event,omitempty" doc:"The event that a registry reported"`
	Change   map[string]any `json:"change,omitempty" doc:"The actor of a change, the object, and the values before and after"`
	Service  map[string]any `json:"service,omitempty" doc:"An event of the service itself: a start, a reload, a new key, a sign-in to the API, a refused notification"`
	Text     string         `json:"text,omitempty" doc:"Text that a registry sent instead of an event"`
}

// Schema returns the schema of journalEntry.
func (entry) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[journalEntry](), true, "")
}

func (a *API) journalRoutes() {
	list := operation("list-entries", "GET /journal", "List entries of the journal",
		"The newest entry comes first. A request searches for about 50 ms, so a page can be short or empty and still have a next page. "+
			"With the header Accept: text/csv, application/jsonl or application/x-ndjson, the response has all entries, but at most as many as the limit, and then the last signed checkpoint of the journal. "+
			"If an export takes too long or fails, the response is cut off. "+
			"Owners of a namespace who may not read the journal get the entries about their namespace, without addresses and other sign-in data.")
	list.Responses = map[string]*huma.Response{"200": {Content: a.entriesContent()}}
	route(a, tagJournal, list, a.listEntries)
	contentRoute(a, tagJournal, operation("get-entry", "GET /journal/{id}", "Get an entry of the journal", "The first characters of the id are enough, if no other id begins with them."),
		func(ctx context.Context, caller admin.Actor, in *entryPath) (e entry, err error) {
			if err = a.mayReadJournal(caller); err == nil {
				e.Entry, err = a.Journal.FindOne(ctx, in.ID)
			}
			return e, err
		})
	route(a, tagJournal, operation("list-related-entries", "GET /journal/{id}/related", "List the entries that are related to an entry",
		"For a decision: the events of requests that used its token. For an event: the decision that allowed it. The newest comes first. Registries do not report the token, so the principal, registry, repository, time and address are compared."),
		func(ctx context.Context, caller admin.Actor, in *entryPath) (*journalPageResponse, error) {
			if err := a.mayReadJournal(caller); err != nil {
				return nil, err
			}
			e, err := a.Journal.FindOne(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			related, complete, err := a.Journal.Related(ctx, e)
			page, err := newJournalPage(ctx, related, "", 0, time.Time{}, err)
			if err == nil {
				page.Body.Incomplete = !complete
			}
			return page, err
		})
	contentRoute(a, tagJournal, operation("explain-entry", "GET /journal/{id}/explanation", "Explain a decision",
		"How the request was decided, and how the current policy would decide it, if the policy has changed since. The first characters of the id, which a refusal shows, are enough. "+
			"The rules that nearly matched and the current decision require tidewaiter:policy read. "+
			"Callers who may not read the journal may query decisions about themselves, with an unrestricted credential. They learn the names of rules only if token.show_rules is set."),
		a.explainEntry)
}

func (a *API) explainEntry(ctx context.Context, caller admin.Actor, in *entryPath) (out explain.Explanation, err error) {
	forbidden := a.mayReadJournal(caller)
	if forbidden != nil && caller.Restricted() {
		return out, forbidden
	}
	var e journal.Entry
	if forbidden == nil {
		e, err = a.Journal.FindOne(ctx, in.ID)
	} else if e, err = a.ownDecision(ctx, caller, in.ID); errors.Is(err, journal.ErrNotFound) {
		err = forbidden // the same error whether the entry exists or not
	}
	if err != nil {
		return out, err
	}
	if e.Decision == nil {
		return out, refuse(http.StatusConflict, "the entry is not a decision, and only decisions can be explained")
	}
	x, err := explain.Decision(ctx, &e, a.Rulebook)
	if err != nil {
		return out, err
	}
	if !a.mayQuery(caller) { // return only what the journal recorded
		x.Results, x.Near, x.Request, x.Today = e.Decision.Results, nil, nil, nil
		if forbidden != nil && !showsRules(ctx) {
			x.HideRules()
		}
	}
	return x.Explanation(), nil
}

// ownDecision searches the decisions about the caller for an id that begins with the given prefix.
// If no such decision exists, or more than one, the error is journal.ErrNotFound. Decisions about
// others are treated as missing, so that callers learn nothing about them.
func (a *API) ownDecision(ctx context.Context, caller admin.Actor, prefix string) (journal.Entry, error) {
	const limit = 100
	found, err := a.Journal.FindAll(ctx, prefix, limit)
	if err != nil {
		return journal.Entry{}, err
	}
	found = slices.DeleteFunc(found, func(e journal.Entry) bool { return !isAbout(&e, caller) })
	if len(found) != 1 {
		return journal.Entry{}, journal.ErrNotFound
	}
	return found[0], nil
}

// isAbout reports whether an entry is a decision about the caller. It compares principals by id,
// because ids are never reused. If a principal has no id, isAbout returns false.
func isAbout(e *journal.Entry, caller admin.Actor) bool {
	if e.Decision == nil || e.Decision.Principal == nil || caller.Principal == nil {
		return false
	}
	p := e.Decision.Principal
	return p.ID != "" && p.Kind == caller.Principal.Kind && sourcename.Same(p.Source, caller.Principal.Source) && p.ID == caller.Principal.ID
}

func (a *API) mayReadJournal(caller admin.Actor) error {
	if !a.Rulebook.May(caller, admin.RightJournal, scope.Read) {
		return fmt.Errorf("reading the journal: %w", admin.Requires(admin.RightJournal, scope.Read))
	}
	return nil
}

// listEntries returns a page of entries as JSON, or streams all entries in another format.
func (a *API) listEntries(ctx context.Context, caller admin.Actor, in *listEntries) (*entriesResponse, error) {
	own, err := a.readableNamespaces(ctx, caller)
	if err != nil {
		return nil, err
	}
	q, field, reason := in.Query()
	if reason != "" {
		return nil, invalidPart("query."+field, "%s", reason)
	}
	q = own.narrowQuery(q)
	parameters, before := callOf(ctx).request.URL.Query(), journal.Position(in.Before)
	ordered := parameters.Has("after") // 0 is the beginning
	if ordered && before > 0 && before <= journal.Position(in.After) {
		return nil, invalidPart("query.before", "before must be greater than after")
	}
	if contentType := requestedType(callOf(ctx).request); contentType != jsonType {
		limit, entries := noLimit, a.newestFirst(ctx, q, before)
		if parameters.Has("limit") {
			limit = in.Limit
		}
		if ordered {
			entries = a.Journal.Select(ctx, q, journal.Position(in.After+1), max(before-1, 0))
		}
		return a.exportEntries(ctx, contentType, own.visibleEntries(entries), limit)
	}
	var page *journalPageResponse
	if ordered {
		page, err = a.entriesAfter(ctx, in, &q, own)
	} else {
		var found journal.Page
		began := a.Now()
		found, err = a.Journal.Search(ctx, q, before, in.Limit, func(int) bool { return a.Now().Sub(began) >= maxSearchTime })
		for i, e := range found.Entries {
			found.Entries[i] = own.visibleEntry(e)
		}
		page, err = newJournalPage(ctx, found.Entries, "before", found.Next, found.Searched, err)
	}
	if err != nil {
		return nil, err
	}
	return &entriesResponse{Link: page.Link, Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", jsonType)
		// An error means that the client is gone.
		_ = a.huma.Marshal(hc.BodyWriter(), jsonType, page.Body)
	}}, nil
}

// entriesAfter returns a page of entries after a position. It returns only entries that the query
// selects.
func (a *API) entriesAfter(ctx context.Context, in *listEntries, q *journal.Query, own namespaceTimes) (*journalPageResponse, error) {
	found, next := []journal.Entry{}, journal.Position(0)
	searched, size, after := 0, 0, journal.Position(in.After)
	for e, err := range a.Journal.Read(ctx, after) {
		if err != nil {
			return nil, err
		}
		if in.Before > 0 && e.Position >= journal.Position(in.Before) {
			break
		}
		if len(found) == in.Limit || searched == maxRead || size > maxPageBytes {
			next = after
			break
		}
		if searched, after = searched+1, e.Position; q.Matches(&e) {
			found, size = append(found, own.visibleEntry(e)), size+e.Size()
		}
	}
	return newJournalPage(ctx, found, "after", next, time.Time{}, nil)
}

// newJournalPage returns a page. For the next page, the client sends the given position in the
// given query parameter ("before" or "after"). If the position is 0, there is no next page.
func newJournalPage(ctx context.Context, found []journal.Entry, parameter string, next journal.Position, searched time.Time, err error) (*journalPageResponse, error) {
	if err != nil {
		return nil, err
	}
	out := &journalPageResponse{Body: journalPage{Items: make([]entry, len(found))}}
	for i := range found {
		out.Body.Items[i] = entry{found[i]}
	}
	if next > 0 {
		out.Body.Next = strconv.FormatInt(int64(next), 10)
		out.Link = nextLink(callOf(ctx).request.URL, parameter, out.Body.Next)
		if !searched.IsZero() {
			out.Body.Searched = &searched
		}
	}
	return out, nil
}
