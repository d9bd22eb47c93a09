package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/scope"
)

// PrincipalQuery names the principal of a query.
type PrincipalQuery struct {
	As     string   `json:"as,omitempty" maxLength:"300" doc:"The subject, as in rules, or anonymous; absent: the caller, with the restrictions of the credential" example:"user:alice"`
	Groups []string `json:"groups,omitempty" nullable:"false" maxItems:"1000" maxLength:"300" doc:"Groups to add to those that identity sources know"`
	Claims claims   `json:"claims,omitempty" doc:"Claims to add to those that identity sources know. They keep their JSON type: the text \"2\" is not the number 2"`
}

// claims are claims in JSON, with their types.
type claims map[string]any

// UnmarshalJSON does not round numbers.
func (c *claims) UnmarshalJSON(text []byte) error {
	var read map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&read); err != nil {
		return err
	}
	canonical, bad := policy.CanonicalClaims(read)
	if bad != "" {
		return fmt.Errorf("the claim %.80q has a number that is out of range", bad)
	}
	*c = canonical
	return nil
}

// Schema returns the schema of an object with any values.
func (claims) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: &huma.Schema{}}
}

// ScopeQuery names the registry and the scopes of a query.
type ScopeQuery struct {
	Registry   string   `json:"registry,omitempty" maxLength:"256" doc:"The registry's service name; absent: the only registry" example:"registry.example.com"`
	Actions    []string `json:"actions,omitempty" nullable:"false" maxItems:"4" enum:"pull,push,delete,*" doc:"The actions" example:"[\"push\"]"`
	Repository string   `json:"repository,omitempty" maxLength:"256" doc:"The name of the repository" example:"team/app"`
	Scopes     []string `json:"scopes,omitempty" nullable:"false" maxItems:"10" maxLength:"500" doc:"Instead of actions and repository: scopes, as registries write them" example:"[\"registry:catalog:*\"]"`
}

// defaultMembers is the default of max_members.
const defaultMembers = 100

type (
	explainQuery struct {
		Body struct {
			PrincipalQuery
			ScopeQuery
			IP     string    `json:"ip,omitempty" maxLength:"64" doc:"The client's address; absent: the caller's address for queries about the caller, and no address for other queries" example:"192.0.2.7"`
			At     time.Time `json:"at,omitzero" doc:"The time of the request; absent: now. For a time in the past, the policy of that time decides, if it is recorded. Groups are those of today"`
			Client string    `json:"client,omitempty" maxLength:"300" doc:"The client's name, as in its User-Agent" example:"docker/27"`
		}
	}
	whoCanQuery struct {
		Body struct {
			ScopeQuery
			Members    bool      `json:"members,omitempty" doc:"Whether to list the accounts and htpasswd users in groups; also requires tidewaiter:accounts read"`
			At         time.Time `json:"at,omitzero" doc:"Use the policy that was in force at this time, with the members of today. It requires tidewaiter:policy read"`
			MaxMembers int       `json:"max_members,omitempty" minimum:"1" maximum:"1000" doc:"The maximum number of members to list of each group; absent: 100"`
		}
	}
	whatCanQuery struct {
		Body struct {
			PrincipalQuery
			Registry string    `json:"registry,omitempty" maxLength:"256" doc:"The registry's service name; absent: all registries" example:"registry.example.com"`
			At       time.Time `json:"at,omitzero" doc:"Use the policy that was in force at this time, with the groups of today"`
		}
	}
)

func (a *API) queryRoutes() {
	const rights = " Queries about others require tidewaiter:policy read. Without this right, callers learn which actions they have, and why they do not have other actions.  " +
		"They learn which rules decided only if token.show_rules is set."
	contentRoute(a, tagPolicy, operation("explain", "POST /explain", "Explain whether a principal may do something, and why",
		"A query grants nothing, and is not recorded in the journal."+rights), a.explain)
	contentRoute(a, tagPolicy, operation("who-can", "POST /who-can", "List who may perform an action, and the rules that allow it",
		"One answer for each action. Conditions are listed and not evaluated. The request requires tidewaiter:policy read, and with members also tidewaiter:accounts read.  "+
			"For repositories of a namespace, the right to read the namespace is enough. Owners of the namespace have this right. The answer for them lists everybody who may perform the action, and the rules of the namespace.  "+
			"For other rules, it has only the effect, and whether there is a condition."), a.whoCan)
	contentRoute(a, tagPolicy, operation("what-can", "POST /what-can", "List everything that a principal may do, and the rules that allow it",
		"Conditions are listed and not evaluated."+rights), a.whatCan)
}

func (a *API) explain(ctx context.Context, caller admin.Actor, in *explainQuery) (out explain.Explanation, err error) {
	scopes, ignored, err := in.Body.scopes()
	if err != nil {
		return out, err
	}
	subject, err := a.subject(ctx, caller, &in.Body.PrincipalQuery)
	if err != nil {
		return out, err
	}
	r := &policy.Request{Principal: subject.Principal, Scopes: scopes, Client: in.Body.Client, Now: in.Body.At}
	if r.Registry, err = registryNamed(ctx, in.Body.Registry); err != nil {
		return out, err
	}
	if r.Now.IsZero() {
		r.Now = a.Now()
	}
	switch {
	case in.Body.IP != "":
		if r.IP, err = netip.ParseAddr(in.Body.IP); err != nil {
			return out, invalidPart("body.ip", "not an IP address")
		}
	case r.Principal == caller.Principal:
		r.IP = caller.Remote
	}
	e := &explain.Evaluation{Subject: subject, Registry: r.Registry, Ignored: ignored, Request: r}
	if e.Past, err = explain.PolicyAt(ctx, a.Rulebook, in.Body.At, true); err != nil {
		return out, err
	}
	if e.Past.Period == nil { // configs of the past are not stored, so the lifetime is unknown
		e.Lifetime = a.predictLifetime(ctx, caller, r)
	}
	// The rules that nearly matched can be for other principals, and can contain names of
	// namespaces that the caller must not learn.
	if p := e.Past.Policy; a.mayQuery(caller) {
		x := ask.Explain(p, r)
		e.Results, e.Near = x.Results, x.Near
	} else if e.Results = p.Decide(r).Results; !showsRules(ctx) {
		e.HideRules()
	}
	e.ApplyBlock()
	return e.Explanation(), nil
}

// predictLifetime returns the lifetime of a token for a request. It returns nil if nothing would
// be granted.
func (a *API) predictLifetime(ctx context.Context, caller admin.Actor, r *policy.Request) *issuer.Lifetime {
	live := callOf(ctx).server.Issuer.Live()
	var until time.Time
	if r.Principal == caller.Principal {
		until = caller.Until
	}
	lifetime, ok := live.Registries[r.Registry].PredictLifetime(a.Rulebook.Policy(), r, until, &live.MaxLifetime)
	if !ok {
		return nil
	}
	return &lifetime
}

func (a *API) whoCan(ctx context.Context, caller admin.Actor, in *whoCanQuery) ([]explain.Holders, error) {
	if in.Body.Members && !a.Rulebook.May(caller, admin.RightAccounts, scope.Read) {
		return nil, fmt.Errorf("listing members: %w", admin.Requires(admin.RightAccounts, scope.Read))
	}
	scopes, ignored, err := in.Body.scopes()
	if err != nil {
		return nil, err
	}
	if len(ignored) > 0 {
		return nil, invalidPart(in.Body.location(), "%s", ignored[0].Reason)
	}
	namespace, err := a.limitedTo(caller, scopes)
	if err != nil {
		return nil, err
	}
	registry, err := registryNamed(ctx, in.Body.Registry)
	if err != nil {
		return nil, err
	}
	if !in.Body.At.IsZero() && namespace != "" {
		return nil, queryForbidden() // at that time, the namespace can have had other owners
	}
	past, err := a.policyAt(ctx, in.Body.At)
	if err != nil {
		return nil, err
	}
	out := []explain.Holders{}
	for _, s := range scopes {
		for _, answer := range ask.WhoCan(past.Policy, registry, s) {
			answer := explain.Answer{Answer: answer, Past: past}
			if in.Body.Members {
				q := explain.PeopleQuery{Accounts: a.Accounts, Caller: caller, Max: cmp.Or(in.Body.MaxMembers, defaultMembers), Now: a.Now()}
				q.Listers, answer.Unlisted = callOf(ctx).server.Issuer.Live().Chain.Listers(accounts.Source)
				if err := answer.FindPeople(ctx, &q); err != nil {
					return nil, err
				}
			}
			if namespace != "" {
				answer = answer.ForOwners(namespace)
			}
			out = append(out, answer.Holders())
		}
	}
	return out, nil
}

// policyAt returns the policy that was in force at the given time. The zero time stands for now.
func (a *API) policyAt(ctx context.Context, at time.Time) (explain.Past, error) {
	if at.After(a.Now()) {
		return explain.Past{}, invalidPart("body.at", "%s", inFuture)
	}
	return explain.PolicyAt(ctx, a.Rulebook, at, false)
}

const inFuture = "in the future: the policy of that time is not known yet"

// If the caller gets only the reduced answer for owners of a namespace, limitedTo returns this
// namespace. It returns "" if the caller gets the whole answer. The error is ErrForbidden if the
// caller gets no answer. The reason is then that the caller may not query the whole policy, and
// that no namespace of the caller contains all scopes.
func (a *API) limitedTo(caller admin.Actor, scopes []scope.Scope) (namespace string, err error) {
	if a.mayQuery(caller) {
		return "", nil
	}
	if in, ok := explain.NamespaceOf(a.Rulebook, scopes); ok && a.Rulebook.May(caller, admin.RightNamespace+in, scope.Read) {
		return in, nil
	}
	return "", queryForbidden()
}

func (a *API) whatCan(ctx context.Context, caller admin.Actor, in *whatCanQuery) (out explain.Rights, err error) {
	subject, err := a.subject(ctx, caller, &in.Body.PrincipalQuery)
	if err != nil {
		return out, err
	}
	registry := in.Body.Registry
	if registry != "" {
		if registry, err = registryNamed(ctx, registry); err != nil {
			return out, err
		}
	}
	past, err := a.policyAt(ctx, in.Body.At)
	if err != nil {
		return out, err
	}
	r := ask.Rights{Principal: subject.Principal, Registry: registry}
	if subject.Blocked == "" {
		r = ask.WhatCan(past.Policy, subject.Principal, registry)
	}
	out = explain.NewRights(&r, subject, past)
	if !a.mayQuery(caller) && !showsRules(ctx) {
		out.HideRules()
	}
	return out, nil
}

// mayQuery reports whether the caller may query the policy about other principals.
func (a *API) mayQuery(caller admin.Actor) bool {
	return a.Rulebook.May(caller, admin.RightPolicy, scope.Read)
}

func queryForbidden() error {
	return fmt.Errorf("asking about others: %w", admin.Requires(admin.RightPolicy, scope.Read))
}

// showsRules reports whether callers may learn which rules decide their requests.
func showsRules(ctx context.Context) bool { return callOf(ctx).server.Issuer.Live().ShowRules }

// subject returns the principal of a query. It is the caller with the restrictions of its
// credential, or another principal.
func (a *API) subject(ctx context.Context, caller admin.Actor, q *PrincipalQuery) (explain.Subject, error) {
	added := len(q.Groups)+len(q.Claims) > 0
	if !added && (q.As == "" || q.As == caller.Principal.String()) {
		return explain.Subject{Principal: caller.Principal, Known: true}, nil
	}
	if !a.mayQuery(caller) {
		return explain.Subject{}, queryForbidden()
	}
	if q.As == "" {
		return explain.Subject{}, invalidPart("body.as", "required with groups and claims")
	}
	p := &policy.Principal{Groups: q.Groups, Claims: q.Claims}
	kind, name, _ := strings.Cut(q.As, ":")
	switch err := p.Kind.UnmarshalText([]byte(kind)); {
	case err != nil || (p.Kind == policy.Anonymous) != (q.As == "anonymous") || (name == "") != (p.Kind == policy.Anonymous):
		return explain.Subject{}, invalidPart("body.as", "give user:NAME, robot:NAME, workload:NAME or anonymous")
	case p.Kind == policy.Anonymous && added:
		return explain.Subject{}, invalidPart("body.as", "anonymous has no groups and no claims")
	}
	p.Name = name
	if p.Kind == policy.Robot {
		p.Name = strings.TrimPrefix(name, username.RobotPrefix)
	}
	return explain.ResolvePrincipal(ctx, p, callOf(ctx).server.Issuer.Live().Anonymous, a.Find)
}

// registryNamed returns the service name of a registry; "" selects the only one.
func registryNamed(ctx context.Context, name string) (string, error) {
	names := registryNames(ctx)
	switch {
	case name == "" && len(names) == 1:
		return names[0], nil
	case name == "":
		return "", invalidPart("body.registry", "required, because there are several registries: see GET /registries")
	case !slices.Contains(names, name):
		return "", invalidPart("body.registry", "no registry has this service name: see GET /registries")
	}
	return name, nil
}

// location returns the key that has the scopes in the body of the request. Errors name this key.
func (q *ScopeQuery) location() string {
	if len(q.Scopes) > 0 {
		return "body.scopes"
	}
	return "body.repository"
}

func beginsWithRegistry(repository string) bool {
	host, _, sure := text.WithoutRegistry(repository)
	return host != "" && sure
}

func (q *ScopeQuery) scopes() ([]scope.Scope, []scope.Ignored, error) {
	texts := q.Scopes
	switch named := q.Repository != "" || len(q.Actions) > 0; {
	case named && len(texts) > 0:
		return nil, nil, invalidPart("body.scopes", "cannot be combined with actions and repository")
	case q.Repository == "" && named:
		return nil, nil, invalidPart("body.repository", "required with actions")
	case named && len(q.Actions) == 0:
		return nil, nil, invalidPart("body.actions", "required with repository")
	case named && beginsWithRegistry(q.Repository):
		_, repository, _ := text.WithoutRegistry(q.Repository)
		return nil, nil, invalidPart("body.repository", "%s", text.NamedWithoutRegistry(repository))
	case named:
		texts = []string{scope.TypeRepository + ":" + q.Repository + ":" + strings.Join(q.Actions, ",")}
	case len(texts) == 0:
		return nil, nil, invalidPart("body.repository", "give actions and repository, or scopes")
	}
	scopes, ignored, err := scope.Parse(texts)
	if err != nil {
		return nil, nil, invalidPart(q.location(), "%v", err)
	}
	if len(scopes) == 0 {
		return nil, nil, invalidPart(q.location(), "%s", ignored[0].Reason)
	}
	return scopes, ignored, nil
}
