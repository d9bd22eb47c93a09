package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
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
	Limit     int       `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many entries a page has at most"`
	After     int64     `query:"after" minimum:"0" doc:"A position: entries after it, the oldest first"`
	Last      int64     `query:"last" minimum:"0" maximum:"20000" doc:"Begin so many entries before the end, in place of after"`
	Since     time.Time `query:"since" doc:"Only what happened at this time or later" example:"2026-11-28T00:00:00Z"`
	Until     time.Time `query:"until" doc:"Only what happened before this time" example:"2026-11-29T00:00:00Z"`
	Kind      string    `query:"kind" enum:"decision,event,change,text" doc:"Only those of a kind"`
	Registry  string    `query:"registry" maxLength:"256" doc:"Only those about a registry" example:"registry.example.com"`
	Principal string    `query:"principal" maxLength:"300" doc:"Only what somebody asked for, did or changed" example:"user:alice"`
	Action    string    `query:"action" maxLength:"64" doc:"Only changes and events of that name" example:"user.add"`
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

// matches says whether an entry is one that is asked for.
func (in *entries) matches(e *journal.Entry) bool {
	var kind, action string
	who := map[string]bool{}
	switch {
	case e.Decision != nil:
		kind = "decision"
		who["user:"+e.Decision.Name] = e.Decision.Name != ""
		if p := e.Decision.Principal; p != nil {
			who[p.String()] = true
		}
	case e.Event != nil:
		kind, action = "event", e.Event.Action
		who[subject(e.Event.Actor)] = true
	case e.Change != nil:
		kind, action = "change", e.Change.Action
		who[e.Change.Actor] = true
	default:
		kind = "text"
	}
	if e.Time.Before(in.Since) || !in.Until.IsZero() && !e.Time.Before(in.Until) {
		return false
	}
	return (in.Kind == "" || in.Kind == kind) && (in.Registry == "" || in.Registry == e.Registry) &&
		(in.Action == "" || in.Action == action) && (in.Principal == "" || who[in.Principal])
}

// subject is the actor of an event as rules name him: a registry knows what somebody signs in as.
func subject(login string) string {
	if name, robot := strings.CutPrefix(login, identity.RobotPrefix); robot {
		return "robot:" + name
	}
	return "user:" + login
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
		Summary: "Show an entry of the journal",
	}, func(ctx context.Context, by Actor, in *identified) (*body[Entry], error) {
		if err := a.mayReadJournal(by); err != nil {
			return nil, err
		}
		id, err := journal.ParseID(in.ID)
		if err != nil {
			return nil, journal.ErrNotFound
		}
		e, err := a.Journal.Find(ctx, id)
		if err != nil {
			return nil, err
		}
		return &body[Entry]{Entry{e}}, nil
	})
	route(a, huma.Operation{
		OperationID: "explain-entry", Method: http.MethodGet, Path: "/journal/{id}/explanation", Tags: tags,
		Summary: "Explain a decision",
		Description: "How it was made, and how it would be by the policy of today if that is another one. What came near, and what is decided today, is shown to who may read tidewaiter:policy. " +
			"Who may not read the journal may ask about a decision on himself, with a credential that is not narrowed: rules are named then only if token.show_rules is set.",
	}, a.explainEntry)
}

// explainEntry says of a decision how it was made, and how it would be today.
func (a *API) explainEntry(ctx context.Context, by Actor, in *identified) (*body[Explanation], error) {
	forbidden := a.mayReadJournal(by)
	if forbidden != nil && by.Narrowed() {
		return nil, forbidden
	}
	id, err := journal.ParseID(in.ID)
	var entry journal.Entry
	if err != nil {
		err = journal.ErrNotFound
	} else {
		entry, err = a.Journal.Find(ctx, id)
	}
	if forbidden != nil && (err != nil || !about(&entry, by)) {
		return nil, forbidden // whether there is such an entry or not
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

// about says whether an entry is a decision on the actor. An id is never given to another; without one, it may be anybody.
func about(e *journal.Entry, by Actor) bool {
	if e.Decision == nil || e.Decision.Principal == nil || by.Principal == nil {
		return false
	}
	on := e.Decision.Principal
	return on.ID != "" && on.Kind == by.Principal.Kind && on.Source == by.Principal.Source && on.ID == by.Principal.ID
}

func (a *API) mayReadJournal(by Actor) error {
	if !a.Accounts.May(by, "journal", scope.Read) {
		return fmt.Errorf("reading the journal: %w", rulebook.ErrForbidden)
	}
	return nil
}

func (a *API) listEntries(ctx context.Context, by Actor, in *entries) (*list[Entry], error) {
	if err := a.mayReadJournal(by); err != nil {
		return nil, err
	}
	after := journal.Position(in.After)
	if in.Last > 0 {
		if in.After > 0 {
			return nil, mistaken("query.last", "it is in place of after")
		}
		end, err := a.Journal.Last(ctx)
		if err != nil {
			return nil, err
		}
		after = max(0, end-journal.Position(in.Last))
	}
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
		if !in.Until.IsZero() && e.Time.After(in.Until.Add(skew)) {
			break // all that follows is later, too
		}
		if len(found) == in.Limit || read == maxRead {
			next = strconv.FormatInt(int64(after), 10)
			break
		}
		if read, after = read+1, e.Position; in.matches(&e) {
			found = append(found, e)
		}
	}
	return listed(ctx, found, next, func(e *journal.Entry) Entry { return Entry{*e} }, nil)
}
