package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/scope"
)

// maxScanned is the maximum number of entries that a request reads. If few of them match, the
// page is short and has the position of the next one.
const maxScanned = 20_000

// maxSkew is the maximum difference between the clocks of replicas. An entry can be that much later
// than the entries after it.
const maxSkew = time.Minute

type listEntries struct {
	Limit  int   `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The maximum number of entries in the page"`
	After  int64 `query:"after" minimum:"0" doc:"Only entries after this position, the oldest first"`
	Last   int64 `query:"last" minimum:"0" maximum:"20000" doc:"Instead of after: this many of the last entries that the filters select"`
	Before int64 `query:"before" minimum:"0" doc:"Only entries before this position"`
	Filter
}

type entryPath struct {
	ID string `path:"id" maxLength:"64" doc:"The id, or its first 8 or more characters" example:"019aa1b2-c3d4-7e5f"`
}

type journalPageResponse struct {
	Link string `header:"Link" doc:"The next page, with rel=next (RFC 8288)"`
	Body journalPage
}

// journalPage is a page of the journal, in the order of time.
type journalPage struct {
	Items    []entry `json:"items" nullable:"false" doc:"The items, in order"`
	Next     string  `json:"next,omitempty" doc:"The value of after for the next page; absent on the last page" example:"12345"`
	Previous string  `json:"previous,omitempty" doc:"With last: 20,000 entries were read before enough were found. There may be others before this position, which is a value for before"`
}

// entry is one entry of the journal.
type entry struct{ journal.Entry }

// journalEntry has the fields that journal.Entry has in JSON.
type journalEntry struct {
	Position int64          `json:"position" doc:"Its position in the journal, from 1, without gaps"`
	ID       string         `json:"id" doc:"A UUID; for a decision, the jti of the token that was signed for it"`
	Time     time.Time      `json:"time" doc:"When it happened"`
	Registry string         `json:"registry,omitempty" doc:"The registry that it is about"`
	Summary  string         `json:"summary" doc:"The whole entry in one line, for people"`
	Decision map[string]any `json:"decision,omitempty" doc:"Who requested what, what was granted, and why"`
	Event    map[string]any `json:"event,omitempty" doc:"What a registry reported"`
	Change   map[string]any `json:"change,omitempty" doc:"Who changed what, with the values before and after"`
	Text     string         `json:"text,omitempty" doc:"Text that a registry sent instead of an event"`
}

// Schema returns the schema of journalEntry.
func (entry) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[journalEntry](), true, "")
}

func (a *API) journalRoutes() {
	route(a, tagJournal, operation("list-entries", "GET /journal", "List entries of the journal",
		"The oldest first. A request reads at most 20,000 entries: a page can be short or empty and still have a next page."), a.listEntries)
	contentRoute(a, tagJournal, operation("get-entry", "GET /journal/{id}", "Get an entry of the journal", "The first characters of its id are enough, if no other id begins with them."),
		func(ctx context.Context, caller admin.Actor, in *entryPath) (e entry, err error) {
			if err = a.mayReadJournal(caller); err == nil {
				e.Entry, err = a.Journal.FindOne(ctx, in.ID)
			}
			return e, err
		})
	contentRoute(a, tagJournal, operation("explain-entry", "GET /journal/{id}/explanation", "Explain a decision",
		"How the request was decided, and how the current policy would decide it, if it is another one. The first characters of the id, which a refusal shows, are enough. "+
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
		err = forbidden // the same whether the entry exists or not
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
	if !a.mayQuery(caller) { // only what is recorded
		x.Results, x.Near, x.Request, x.Today = e.Decision.Results, nil, nil, nil
		if forbidden != nil && !showsRules(ctx) {
			x.HideRules()
		}
	}
	return x.Explanation(), nil
}

// ownDecision returns the only decision about the caller whose id begins with a prefix, or
// journal.ErrNotFound, so that callers learn nothing about the decisions of others.
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

// isAbout reports whether an entry is a decision about the caller. Principals are compared by id,
// because ids are never reused. One without an id is not comparable.
func isAbout(e *journal.Entry, caller admin.Actor) bool {
	if e.Decision == nil || e.Decision.Principal == nil || caller.Principal == nil {
		return false
	}
	p := e.Decision.Principal
	return p.ID != "" && p.Kind == caller.Principal.Kind && identity.SameSource(p.Source, caller.Principal.Source) && p.ID == caller.Principal.ID
}

func (a *API) mayReadJournal(caller admin.Actor) error {
	if !a.Rulebook.May(caller, admin.RightJournal, scope.Read) {
		return fmt.Errorf("reading the journal: %w", admin.Requires(admin.RightJournal, scope.Read))
	}
	return nil
}

func (a *API) listEntries(ctx context.Context, caller admin.Actor, in *listEntries) (*journalPageResponse, error) {
	if err := a.mayReadJournal(caller); err != nil {
		return nil, err
	}
	if wrong := in.CheckPrincipal(); wrong != "" {
		return nil, invalid("query.principal", "%s", wrong)
	}
	if in.Last > 0 && in.After > 0 {
		return nil, invalid("query.last", "cannot be combined with after")
	}
	end := journal.Position(math.MaxInt64)
	if in.Before > 0 {
		end = journal.Position(in.Before) - 1
	}
	after, previous, err := journal.Position(in.After), "", error(nil)
	if in.Last > 0 {
		after, previous, err = a.beforeLast(ctx, in, end)
	}
	var page *pageResponse[entry]
	if err == nil {
		page, err = a.entriesAfter(ctx, in, after, end)
	}
	if err != nil {
		return nil, err
	}
	return &journalPageResponse{page.Link, journalPage{page.Body.Items, page.Body.Next, previous}}, nil
}

// beforeLast returns the position before the last entries that the filters select, of those up to
// end. previous is the position at which it stopped after maxScanned entries; "": it did not.
func (a *API) beforeLast(ctx context.Context, in *listEntries, end journal.Position) (after journal.Position, previous string, err error) {
	last, err := a.Journal.Last(ctx)
	if err != nil {
		return 0, "", err
	}
	after = min(end, last)
	missing, scanned := in.Last, 0
	for e, err := range a.Journal.ReadBack(ctx, after) {
		switch {
		case err != nil:
			return 0, "", err
		case e.Time.Before(in.Since.Add(-maxSkew)): // all entries before it are earlier, too
			missing = 0
		case in.Matches(&e):
			after = e.Position - 1
			missing--
		}
		if scanned++; missing == 0 {
			break
		}
		if scanned == maxScanned {
			previous = strconv.FormatInt(int64(e.Position), 10)
			break
		}
	}
	return after, previous, nil
}

// entriesAfter returns a page of the entries that the filters select, after a position and up to
// end.
func (a *API) entriesAfter(ctx context.Context, in *listEntries, after, end journal.Position) (*pageResponse[entry], error) {
	if !in.Since.IsZero() {
		before, err := a.Journal.Before(ctx, in.Since)
		if err != nil {
			return nil, err
		}
		after = max(after, before)
	}
	found, next := []journal.Entry{}, ""
	scanned := 0
	for e, err := range a.Journal.Read(ctx, after) {
		if err != nil {
			return nil, err
		}
		if !in.Until.IsZero() && e.Time.After(in.Until.Add(maxSkew)) || e.Position > end {
			break // all entries after it are later, too
		}
		if len(found) == in.Limit || scanned == maxScanned {
			next = strconv.FormatInt(int64(after), 10)
			break
		}
		if scanned, after = scanned+1, e.Position; in.Matches(&e) {
			found = append(found, e)
		}
	}
	return newPage(ctx, found, next, func(e *journal.Entry) entry { return entry{*e} }, nil)
}
