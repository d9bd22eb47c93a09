package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/scope"
)

// maxRead is how many entries one request looks at. Where few of them match, a page is short, and says where to go on.
const maxRead = 20_000

// skew is how much later than what follows it an entry may be, where the clocks of replicas differ.
const skew = time.Minute

// entries asks for a page of the journal.
type entries struct {
	Limit  int   `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many entries a page has at most"`
	After  int64 `query:"after" minimum:"0" doc:"A position: entries after it, the oldest first"`
	Last   int64 `query:"last" minimum:"0" maximum:"20000" doc:"In place of after: the last so many of the entries that the filters want"`
	Before int64 `query:"before" minimum:"0" doc:"A position: only entries before it"`
	Filter
}

// journalPage is a page of the journal.
type journalPage struct {
	Link string `header:"Link" doc:"The next page, with rel=next (RFC 8288)"`
	Body JournalPage
}

// JournalPage is a part of the journal, in the order of time.
type JournalPage struct {
	Page[Entry]
	Previous string `json:"previous,omitempty" doc:"With last: 20,000 entries were looked at before so many were found. There may be others before this position, which is one for the parameter before"`
}

// Entry is one thing that happened.
type Entry struct{ journal.Entry }

// Schema describes what journal.Entry writes.
func (Entry) Schema(huma.Registry) *huma.Schema {
	text := func(what string) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Description: what} }
	object := func(what string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeObject, Description: what, AdditionalProperties: true}
	}
	return &huma.Schema{
		Type: huma.TypeObject, Description: "One thing that happened: a decision, an event, a change, or text that was posted where events belong",
		Required: []string{"position", "id", "time", "summary"},
		Properties: map[string]*huma.Schema{
			"position": {Type: huma.TypeInteger, Format: "int64", Description: "Its place in the journal, from 1, without gaps"},
			"id":       text("A UUID; that of a decision is the jti of the token that was signed for it"),
			"time":     {Type: huma.TypeString, Format: "date-time", Description: "When it happened"},
			"registry": text("The registry that it concerns"),
			"summary":  text("All of it in a line for people"),
			"decision": object("Who asked for what, what was granted, and why"),
			"event":    object("What a registry reported"),
			"change":   object("Who changed what, from what to what"),
			"text":     text("What was posted where events belong"),
		},
	}
}

func (a *API) journalRoutes() {
	tags := []string{tagJournal}
	route(a, huma.Operation{
		OperationID: "list-entries", Method: http.MethodGet, Path: "/journal", Tags: tags,
		Summary:     "Read the journal",
		Description: "The oldest first. A request looks at 20,000 entries at most: a page may be short, or empty, and still say where the next one begins.",
	}, a.listEntries)
	route(a, huma.Operation{
		OperationID: "get-entry", Method: http.MethodGet, Path: "/journal/{id}", Tags: tags,
		Summary: "Show an entry of the journal", Description: "By its id, or by the beginning of it that no other id has.",
	}, func(ctx context.Context, by Actor, in *entryID) (*body[Entry], error) {
		if err := a.mayReadJournal(by); err != nil {
			return nil, err
		}
		e, err := a.Journal.FindOne(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return &body[Entry]{Entry{e}}, nil
	})
	route(a, huma.Operation{
		OperationID: "explain-entry", Method: http.MethodGet, Path: "/journal/{id}/explanation", Tags: tags,
		Summary: "Explain a decision",
		Description: "By its id, or by the beginning of it that a refusal shows. How it was made, and how it would be by the policy of today if that is another one. What came near, and what is decided today, is shown to who may read tidewaiter:policy. " +
			"Who may not read the journal may ask about a decision on himself, with a credential that is not narrowed: rules are named then only if token.show_rules is set.",
	}, a.explainEntry)
}

// explainEntry says of a decision how it was made, and how it would be today.
func (a *API) explainEntry(ctx context.Context, by Actor, in *entryID) (*body[Explanation], error) {
	forbidden := a.mayReadJournal(by)
	if forbidden != nil && by.Restricted() {
		return nil, forbidden
	}
	var entry journal.Entry
	var err error
	if forbidden == nil {
		entry, err = a.Journal.FindOne(ctx, in.ID)
	} else if entry, err = a.own(ctx, by, in.ID); errors.Is(err, journal.ErrNotFound) {
		err = forbidden // whether there is such an entry or not
	}
	if err != nil {
		return nil, err
	}
	if entry.Decision == nil {
		return nil, refuse(http.StatusConflict, "the entry is no decision: there is nothing to explain")
	}
	e, err := NewExplained(ctx, &entry, a.Rulebook)
	if err != nil {
		return nil, err
	}
	if !a.mayAsk(by) { // what is journaled, and nothing more of the rules
		e.Results, e.Near, e.Request, e.Today = entry.Decision.Results, nil, nil, nil
		if forbidden != nil && !a.showsRules(ctx) {
			e.Results = withoutRules(e.Results)
		}
	}
	return &body[Explanation]{NewExplanation(e)}, nil
}

// entryID is an entry in the path.
type entryID struct {
	ID string `path:"id" maxLength:"64" doc:"The id, or the beginning of it, of 8 characters or more" example:"019aa1b2-c3d4-7e5f"`
}

// own returns the one decision on the actor whose id begins with a text, or journal.ErrNotFound: nobody is to learn of others'.
func (a *API) own(ctx context.Context, by Actor, beginning string) (journal.Entry, error) {
	const most = 100
	found, err := a.Journal.FindAll(ctx, beginning, most)
	if err != nil {
		return journal.Entry{}, err
	}
	found = slices.DeleteFunc(found, func(e journal.Entry) bool { return !about(&e, by) })
	if len(found) != 1 {
		return journal.Entry{}, journal.ErrNotFound
	}
	return found[0], nil
}

// about says whether an entry is a decision on the actor. An id is never given to another; without one, it may be anybody.
func about(e *journal.Entry, by Actor) bool {
	if e.Decision == nil || e.Decision.Principal == nil || by.Principal == nil {
		return false
	}
	on := e.Decision.Principal
	return on.ID != "" && on.Kind == by.Principal.Kind && identity.SameSource(on.Source, by.Principal.Source) && on.ID == by.Principal.ID
}

func (a *API) mayReadJournal(by Actor) error {
	if !a.Accounts.May(by, "journal", scope.Read) {
		return fmt.Errorf("reading the journal: %w", rulebook.Requires("journal", scope.Read))
	}
	return nil
}

func (a *API) listEntries(ctx context.Context, by Actor, in *entries) (*journalPage, error) {
	if err := a.mayReadJournal(by); err != nil {
		return nil, err
	}
	if wrong := CheckPrincipal(in.Principal); wrong != "" {
		return nil, mistaken("query.principal", "%s", wrong)
	}
	if in.Last > 0 && in.After > 0 {
		return nil, mistaken("query.last", "it is in place of after")
	}
	end := journal.Position(math.MaxInt64)
	if in.Before > 0 {
		end = journal.Position(in.Before) - 1
	}
	after, previous, err := journal.Position(in.After), "", error(nil)
	if in.Last > 0 {
		after, previous, err = a.before(ctx, in, end)
	}
	var page *list[Entry]
	if err == nil {
		page, err = a.entriesAfter(ctx, in, after, end)
	}
	if err != nil {
		return nil, err
	}
	return &journalPage{page.Link, JournalPage{page.Body, previous}}, nil
}

// before returns the position after which the last entries that the filters want begin, of those up to end. previous says where
// the search was given up; "": it was not.
func (a *API) before(ctx context.Context, in *entries, end journal.Position) (after journal.Position, previous string, err error) {
	last, err := a.Journal.Last(ctx)
	if err != nil {
		return 0, "", err
	}
	after = min(end, last)
	wanted, read := in.Last, 0
	for e, err := range a.Journal.ReadBack(ctx, after) {
		switch {
		case err != nil:
			return 0, "", err
		case e.Time.Before(in.Since.Add(-skew)): // all before is earlier, too
			wanted = 0
		case in.Matches(&e):
			after = e.Position - 1
			wanted--
		}
		if read++; wanted == 0 {
			break
		}
		if read == maxRead {
			previous = strconv.FormatInt(int64(e.Position), 10)
			break
		}
	}
	return after, previous, nil
}

// entriesAfter returns a page of the entries after a position that the filters want, up to another one.
func (a *API) entriesAfter(ctx context.Context, in *entries, after, end journal.Position) (*list[Entry], error) {
	if !in.Since.IsZero() {
		before, err := a.Journal.Before(ctx, in.Since)
		if err != nil {
			return nil, err
		}
		after = max(after, before)
	}
	found, next := []journal.Entry{}, ""
	read := 0
	for e, err := range a.Journal.Read(ctx, after) {
		if err != nil {
			return nil, err
		}
		if !in.Until.IsZero() && e.Time.After(in.Until.Add(skew)) || e.Position > end {
			break // all that follows is later, too
		}
		if len(found) == in.Limit || read == maxRead {
			next = strconv.FormatInt(int64(after), 10)
			break
		}
		if read, after = read+1, e.Position; in.Matches(&e) {
			found = append(found, e)
		}
	}
	return listed(ctx, found, next, func(e *journal.Entry) Entry { return Entry{*e} }, nil)
}
