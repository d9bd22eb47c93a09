package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Judged is who a question is about.
type Judged struct {
	As     string   `json:"as,omitempty" maxLength:"300" doc:"Who, as rules name them, or anonymous; left out: the caller, with what the credential narrows his rights to" example:"user:alice"`
	Groups []string `json:"groups,omitempty" nullable:"false" maxItems:"1000" maxLength:"300" doc:"Groups beside those that sources know"`
	Claims claims   `json:"claims,omitempty" doc:"Claims beside those that sources know. Each keeps its JSON type: the text \"2\" is not the number 2"`
}

// claims are claims in JSON, each with its type.
type claims map[string]any

// UnmarshalJSON reads numbers as they are written.
func (c *claims) UnmarshalJSON(text []byte) error {
	var read map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&read); err != nil {
		return err
	}
	known, bad := policy.CanonicalClaims(read)
	if bad != "" {
		return fmt.Errorf("the claim %.80q has a number that is out of range", bad)
	}
	*c = known
	return nil
}

// Schema is that of an object.
func (claims) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: &huma.Schema{}}
}

// Asked is what a question is about.
type Asked struct {
	Registry   string   `json:"registry,omitempty" maxLength:"256" doc:"The registry's service name; left out: the only one there is" example:"registry.example.com"`
	Actions    []string `json:"actions,omitempty" nullable:"false" maxItems:"4" enum:"pull,push,delete,*" doc:"What is to be done with the repository" example:"[\"push\"]"`
	Repository string   `json:"repository,omitempty" maxLength:"256" doc:"The repository's name" example:"team/app"`
	Scopes     []string `json:"scopes,omitempty" nullable:"false" maxItems:"10" maxLength:"500" doc:"In place of actions and repository: scopes, as registries have them" example:"[\"registry:catalog:*\"]"`
}

// Circumstances are what conditions may look at beside.
type Circumstances struct {
	IP     string    `json:"ip,omitempty" maxLength:"64" doc:"Where the request is from; left out: nowhere, or where the caller is, of himself" example:"192.0.2.7"`
	At     time.Time `json:"at,omitzero" doc:"When it is made; left out: now"`
	Client string    `json:"client,omitempty" maxLength:"300" doc:"The client's name, as its User-Agent has it" example:"docker/27"`
}

// mostMembers is how many members of a group are named unless it is said.
const mostMembers = 100

// The questions.
type (
	whether struct {
		Body struct {
			Judged
			Asked
			Circumstances
		}
	}
	whoCan struct {
		Body struct {
			Asked
			Members bool `json:"members,omitempty" doc:"Whether the people in groups are named: accounts, and those of htpasswd sources; asks for the right to read tidewaiter:accounts, too"`
			Most    int  `json:"most,omitempty" minimum:"1" maximum:"1000" doc:"At most so many of each group; left out: 100"`
		}
	}
	whatCan struct {
		Body struct {
			Judged
			Registry string `json:"registry,omitempty" maxLength:"256" doc:"The registry's service name; left out: all of them" example:"registry.example.com"`
		}
	}
)

func (a *API) questionRoutes() {
	tags := []string{tagPolicy}
	const others = " About others asks who may read tidewaiter:policy. Who may not is told of himself which actions are granted and why not, and " +
		"which rules said so if token.show_rules is set."
	route(a, huma.Operation{
		OperationID: "explain", Method: http.MethodPost, Path: "/explain", Tags: tags,
		Summary: "Ask whether somebody may do a thing, and why", Description: "Nothing is granted by it, and nothing journaled." + others,
	}, a.explain)
	route(a, huma.Operation{
		OperationID: "who-can", Method: http.MethodPost, Path: "/who-can", Tags: tags,
		Summary: "Ask who may do a thing, and through which rule",
		Description: "An answer for each action. A condition is said, and not judged. It takes the right to read tidewaiter:policy; with members, that to read tidewaiter:accounts as well. " +
			"About repositories of a namespace, the right to read that namespace is enough, which its owners have. They are told everybody who may do it, and the rules of the namespace; of other rules, only what they do and whether they have a condition.",
	}, a.whoCan)
	route(a, huma.Operation{
		OperationID: "what-can", Method: http.MethodPost, Path: "/what-can", Tags: tags,
		Summary: "Ask what somebody may do, and through which rules", Description: "A condition is said, and not judged." + others,
	}, a.whatCan)
}

func (a *API) explain(ctx context.Context, by Actor, in *whether) (*body[Explanation], error) {
	scopes, ignored, err := in.Body.scopes()
	if err != nil {
		return nil, err
	}
	who, known, err := a.judged(ctx, by, &in.Body.Judged)
	barred, err := Barred(who, calling(ctx).server.Issuer.Live().Anonymous, err)
	if err != nil {
		return nil, err
	}
	r := &policy.Request{Principal: who, Scopes: scopes, Client: in.Body.Client, Now: in.Body.At}
	if r.Registry, err = a.registry(ctx, in.Body.Registry); err != nil {
		return nil, err
	}
	if r.Now.IsZero() {
		r.Now = a.Now()
	}
	switch {
	case in.Body.IP != "":
		if r.IP, err = netip.ParseAddr(in.Body.IP); err != nil {
			return nil, mistaken("body.ip", "it is no IP address")
		}
	case who == by.Principal:
		r.IP = by.Remote
	}
	e := &Explained{Who: who, Known: known, Note: Note(who, known), Registry: r.Registry, Ignored: ignored, Request: r}
	e.Life = a.predictLifetime(ctx, by, r)
	// Others' rules are among those that came near, with the names of namespaces that the caller may not know of.
	if p := a.Rulebook.Policy(); a.mayAsk(by) {
		x := ask.Explain(p, r)
		e.Results, e.Near = x.Results, x.Near
	} else if e.Results = p.Decide(r).Results; !a.showsRules(ctx) {
		e.Results = withoutRules(e.Results)
		if e.Life != nil {
			e.Life.Rule = nil
		}
	}
	if barred != "" {
		e.Bar(barred)
	}
	return &body[Explanation]{NewExplanation(e)}, nil
}

// predictLifetime returns the lifetime of a token for a request; nil: it would grant nothing.
func (a *API) predictLifetime(ctx context.Context, by Actor, r *policy.Request) *issuer.Lifetime {
	live := calling(ctx).server.Issuer.Live()
	if r.Principal.Kind == policy.Anonymous && !live.Anonymous {
		return nil
	}
	var until time.Time
	if r.Principal == by.Principal {
		until = by.Until
	}
	life, ok := live.Registries[r.Registry].PredictLifetime(a.Rulebook.Policy(), r, until, &live.MaxLifetime)
	if !ok {
		return nil
	}
	return &life
}

func (a *API) whoCan(ctx context.Context, by Actor, in *whoCan) (*body[[]Holders], error) {
	if in.Body.Members && !a.Accounts.May(by, "accounts", scope.Read) {
		return nil, fmt.Errorf("asking for members: %w", rulebook.Requires("accounts", scope.Read))
	}
	scopes, ignored, err := in.Body.scopes()
	if err != nil {
		return nil, err
	}
	if len(ignored) > 0 {
		return nil, mistaken(in.Body.location(), "%s", ignored[0].Reason)
	}
	namespace, err := a.narrowedTo(by, scopes)
	if err != nil {
		return nil, err
	}
	at, err := a.registry(ctx, in.Body.Registry)
	if err != nil {
		return nil, err
	}
	p, out := a.Rulebook.Policy(), []Holders{}
	for _, s := range scopes {
		answers := ask.WhoCan(p, at, s)
		for i := range answers {
			var people []People
			var unlisted []string
			if in.Body.Members {
				var listers []identity.Lister
				listers, unlisted = calling(ctx).server.Issuer.Live().Chain.Listers(accounts.Source)
				if people, err = FindPeople(ctx, a.Accounts, listers, by, &answers[i], cmp.Or(in.Body.Most, mostMembers), a.Now()); err != nil {
					return nil, err
				}
			}
			if namespace != "" {
				answers[i] = ForOwners(answers[i], namespace)
			}
			out = append(out, NewHolders(&answers[i], people, unlisted))
		}
	}
	return &body[[]Holders]{out}, nil
}

func (a *API) whatCan(ctx context.Context, by Actor, in *whatCan) (*body[Rights], error) {
	who, known, err := a.judged(ctx, by, &in.Body.Judged)
	barred, err := Barred(who, calling(ctx).server.Issuer.Live().Anonymous, err)
	if err != nil {
		return nil, err
	}
	at := in.Body.Registry
	if at != "" {
		if at, err = a.registry(ctx, at); err != nil {
			return nil, err
		}
	}
	r := ask.WhatCan(a.Rulebook.Policy(), who, at)
	if barred != "" {
		r.Allowed, r.Except, r.Barred, r.Void = nil, nil, nil, nil
		return &body[Rights]{NewRights(&r, known, barred)}, nil
	}
	out := NewRights(&r, known, Note(who, known))
	if !a.mayAsk(by) && !a.showsRules(ctx) {
		out.Barred, out.Void = nil, nil
		for _, list := range [][]RuleRight{out.Allowed, out.Except} {
			for i := range list {
				list[i].RuleName = RuleName{}
			}
		}
	}
	return &body[Rights]{out}, nil
}

// mayAsk says whether the actor may ask about others.
func (a *API) mayAsk(by Actor) bool { return a.Rulebook.May(by, rulebook.RightPolicy, scope.Read) }

// showsRules says whether everybody may know which rule decided on him.
func (a *API) showsRules(ctx context.Context) bool {
	return calling(ctx).server.Issuer.Live().ShowRules
}

// withoutRules returns results that do not say which rules they are by.
func withoutRules(results []policy.Result) []policy.Result {
	results = slices.Clone(results)
	for i := range results {
		causes := slices.Clone(results[i].Causes)
		for k := range causes {
			causes[k].Rule = nil
		}
		results[i].Causes = causes
	}
	return results
}

// judged returns who a question is about: the caller as he is, or somebody of whom only some may ask.
func (a *API) judged(ctx context.Context, by Actor, said *Judged) (who *policy.Principal, known bool, err error) {
	more := len(said.Groups)+len(said.Claims) > 0
	if !more && (said.As == "" || said.As == by.Principal.String()) {
		return by.Principal, true, nil
	}
	if !a.mayAsk(by) {
		return nil, false, fmt.Errorf("asking about others: %w", rulebook.Requires(rulebook.RightPolicy, scope.Read))
	}
	if said.As == "" {
		return nil, false, mistaken("body.as", "groups and claims are said of somebody: who?")
	}
	p := &policy.Principal{Groups: said.Groups, Claims: said.Claims}
	kind, name, _ := strings.Cut(said.As, ":")
	switch err := p.Kind.UnmarshalText([]byte(kind)); {
	case err != nil || (p.Kind == policy.Anonymous) != (said.As == "anonymous") || (name == "") != (p.Kind == policy.Anonymous):
		return nil, false, mistaken("body.as", "user:NAME, robot:NAME, workload:NAME or anonymous is wanted")
	case p.Kind == policy.Anonymous && more:
		return nil, false, mistaken("body.as", "anonymous has no groups and no claims")
	}
	p.Name = name
	if p.Kind == policy.Robot {
		p.Name = strings.TrimPrefix(name, identity.RobotPrefix)
	}
	return Known(ctx, p, a.Find)
}

// registry returns the service name of a registry; "" stands for the only one there is.
func (a *API) registry(ctx context.Context, named string) (string, error) {
	names := slices.Sorted(maps.Keys(calling(ctx).server.Issuer.Live().Registries))
	switch {
	case named == "" && len(names) == 1:
		return names[0], nil
	case named == "":
		return "", mistaken("body.registry", "which one? There are several: GET /registries lists them")
	case !slices.Contains(names, named):
		return "", mistaken("body.registry", "no registry has this service name: GET /registries lists them")
	}
	return named, nil
}

// location is which part of the request says what is asked for.
func (q *Asked) location() string {
	if len(q.Scopes) > 0 {
		return "body.scopes"
	}
	return "body.repository"
}

// scopes reads what is asked for.
func (q *Asked) scopes() ([]scope.Scope, []scope.Ignored, error) {
	texts := q.Scopes
	switch named := q.Repository != "" || len(q.Actions) > 0; {
	case named && len(texts) > 0:
		return nil, nil, mistaken("body.scopes", "they are in place of actions and repository")
	case q.Repository == "" && named:
		return nil, nil, mistaken("body.repository", "which one?")
	case named && len(q.Actions) == 0:
		return nil, nil, mistaken("body.actions", "what is to be done with it?")
	case named:
		texts = []string{scope.TypeRepository + ":" + q.Repository + ":" + strings.Join(q.Actions, ",")}
	case len(texts) == 0:
		return nil, nil, mistaken("body.repository", "actions and a repository are wanted, or scopes")
	}
	asked, ignored, err := scope.Parse(texts)
	if err != nil {
		return nil, nil, mistaken(q.location(), "%v", err)
	}
	if len(asked) == 0 {
		return nil, nil, mistaken(q.location(), "%s", ignored[0].Reason)
	}
	return asked, ignored, nil
}
