package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

type (
	listRepositories struct {
		Limit    int          `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The maximum number of items in the page"`
		After    string       `query:"after" maxLength:"4096" doc:"Where the page begins: the field next of the previous page, which had the same registry, prefix and sort"`
		Registry string       `query:"registry" maxLength:"256" doc:"Only repositories of the registry with this service name" example:"registry.example.com"`
		Prefix   string       `query:"prefix" maxLength:"256" doc:"Only repositories whose names begin with this text" example:"team/"`
		Sort     catalog.Sort `query:"sort" enum:"name,last-push,last-pull,size" default:"name" doc:"The order: by name, the last pushed first, the last pulled first, or the largest first"`
	}
	// RepositoryQuery names a repository.
	RepositoryQuery struct {
		Registry   string `query:"registry" maxLength:"256" doc:"The registry's service name; absent: the only one that has the repository" example:"registry.example.com"`
		Repository string `query:"repository" required:"true" maxLength:"512" doc:"The name of the repository" example:"team/app"`
	}
	listTags struct {
		RepositoryQuery
		Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The maximum number of items in the page"`
		After string `query:"after" maxLength:"512" doc:"Where the page begins: the field next of the previous page" example:"v1"`
	}
	getManifest struct {
		RepositoryQuery
		Reference string `path:"reference" maxLength:"512" doc:"A digest, or a tag" example:"sha256:1b2c3d4e5f60718293a4b5c6d7e8f9010203040506070809a0b0c0d0e0f01122"`
	}
	listHistory struct {
		RepositoryQuery
		Tag   string `query:"tag" required:"true" maxLength:"512" doc:"The tag" example:"v1"`
		Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The maximum number of items in the page"`
		After string `query:"after" maxLength:"64" doc:"Where the page begins: the field next of the previous page" example:"1795608000000000-17"`
	}
)

func (a *API) catalogRoutes() {
	const who = " Callers see the repositories from which they may pull. Callers with the right tidewaiter:journal read see all. " +
		"Only callers who may read the journal about the repository see who pushed, pulled or deleted something."
	route(a, tagCatalog, operation("list-repositories", "GET /catalog/repositories", "List repositories",
		"Repositories without a manifest are left out. A page can be short, and even empty, although there are further pages: only the absence of next means that the list is complete."+who),
		a.listRepositories)
	route(a, tagCatalog, operation("list-tags", "GET /catalog/tags", "List the tags of a repository", "Sorted by name."+who), a.listTags)
	contentRoute(a, tagCatalog, operation("get-manifest", "GET /catalog/manifests/{reference}", "Get a manifest of a repository",
		"A manifest that the registry no longer has can be found by its digest. Its field present is false."+who), a.getManifest)
	route(a, tagCatalog, operation("list-tag-history", "GET /catalog/history", "List which manifests a tag had", "The newest first."+who), a.listHistory)
}

func (a *API) listRepositories(ctx context.Context, caller admin.Actor, in *listRepositories) (*pageResponse[repository], error) {
	f, err := a.catalogFilter(ctx, caller)
	if err != nil {
		return nil, err
	}
	r, err := a.Catalog.Read(ctx)
	if err != nil {
		return nil, catalogProblem(err)
	}
	defer r.Close()
	found, next, err := r.Repositories(ctx, catalog.Query{
		Registry: in.Registry, Prefix: in.Prefix, Sort: in.Sort, Filter: f, Page: admin.Page{After: in.After, Limit: in.Limit},
	})
	return newPage(ctx, found, next, func(r *catalog.Repository) repository { return NewRepository(r, f.showsActors(r.Name)) }, catalogProblem(err))
}

// findRepository opens the catalog and finds the repository of a request.
func (a *API) findRepository(ctx context.Context, caller admin.Actor, q *RepositoryQuery) (*catalog.Reader, catalog.Repository, *catalogFilter, error) {
	if beginsWithRegistry(q.Repository) {
		_, repository, _ := text.WithoutRegistry(q.Repository)
		return nil, catalog.Repository{}, nil, invalidPart("query.repository", "%s", text.NamedWithoutRegistry(repository))
	}
	f, err := a.catalogFilter(ctx, caller)
	if err != nil {
		return nil, catalog.Repository{}, nil, err
	}
	r, err := a.Catalog.Read(ctx)
	if err != nil {
		return nil, catalog.Repository{}, nil, catalogProblem(err)
	}
	found, err := r.Repository(ctx, f, q.Registry, q.Repository)
	if err != nil {
		r.Close()
		return nil, catalog.Repository{}, nil, catalogProblem(err)
	}
	return r, found, f, nil
}

func (a *API) listTags(ctx context.Context, caller admin.Actor, in *listTags) (*pageResponse[catalogTag], error) {
	r, of, f, err := a.findRepository(ctx, caller, &in.RepositoryQuery)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	found, next, err := r.Tags(ctx, of, admin.Page{After: in.After, Limit: in.Limit})
	return newPage(ctx, found, next, func(t *catalog.Tag) catalogTag { return NewCatalogTag(t, f.showsActors(of.Name)) }, catalogProblem(err))
}

// Limits of the lists in a manifest. If a manifest has more tags than the limit, the list of the
// repository's tags still has all of them.
const (
	maxTagsOfManifest = 100
	maxDays           = 90
)

func (a *API) getManifest(ctx context.Context, caller admin.Actor, in *getManifest) (manifestDetails, error) {
	r, of, f, err := a.findRepository(ctx, caller, &in.RepositoryQuery)
	if err != nil {
		return manifestDetails{}, err
	}
	defer r.Close()
	details, err := ReadManifest(ctx, r, of, in.Reference, f.showsActors(of.Name))
	return details, catalogProblem(err)
}

func (a *API) listHistory(ctx context.Context, caller admin.Actor, in *listHistory) (*pageResponse[tagMove], error) {
	r, of, f, err := a.findRepository(ctx, caller, &in.RepositoryQuery)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	found, next, err := r.History(ctx, of, in.Tag, admin.Page{After: in.After, Limit: in.Limit})
	return newPage(ctx, found, next, func(m *catalog.Move) tagMove { return NewTagMove(m, f.showsActors(of.Name)) }, catalogProblem(err))
}

// catalogProblem returns the problem for an error of the catalog.
func catalogProblem(err error) error {
	invalidField, isInvalid := errors.AsType[*admin.InvalidError](err)
	switch {
	case errors.Is(err, catalog.ErrNotFound):
		return refuse(http.StatusNotFound, "the catalog does not have it, or you may not pull from the repository")
	case errors.Is(err, catalog.ErrNotBuilt):
		return refuse(http.StatusServiceUnavailable, "the catalog is not built yet: try again in a minute")
	case isInvalid:
		return invalidPart("query."+invalidField.Field, "%s", invalidField.Text)
	}
	return err
}

// catalogFilter decides which repositories a caller sees. It implements catalog.Filter.
type catalogFilter struct {
	all        bool // the caller may read the whole journal
	own        namespaceTimes
	registries []string
	policy     *policy.Policy
	request    policy.Request
	now        time.Time
}

func (a *API) catalogFilter(ctx context.Context, caller admin.Actor) (*catalogFilter, error) {
	own, err := a.readableNamespaces(ctx, caller)
	if err != nil && !errors.Is(err, admin.ErrForbidden) {
		return nil, err
	}
	now := a.Now()
	return &catalogFilter{
		all: err == nil && own == nil, own: own, registries: registryNames(ctx), policy: a.Rulebook.Policy(), now: now,
		request: policy.Request{Principal: caller.Principal.Indexed(), IP: caller.Remote, Now: now},
	}, nil
}

// Ranges implements catalog.Filter.
func (f *catalogFilter) Ranges(registry string) []policy.NameRange {
	switch {
	case f.all:
		return []policy.NameRange{{}}
	case !slices.Contains(f.registries, registry):
		return nil
	}
	return f.policy.NameRanges(f.request.Principal, registry, scope.Pull)
}

// Sees implements catalog.Filter.
func (f *catalogFilter) Sees(registry, name string) bool {
	if f.all {
		return true
	}
	if !slices.Contains(f.registries, registry) {
		return false
	}
	f.request.Registry = registry
	f.request.Scopes = append(f.request.Scopes[:0], scope.Scope{Type: scope.TypeRepository, Name: name, Actions: scope.Pull})
	granted := f.policy.Decide(&f.request).Results[0].Granted
	return granted.Has(scope.Pull)
}

// showsActors returns a function that reports whether the caller may know who did something in a
// repository.
func (f *catalogFilter) showsActors(repository string) func(time.Time) bool {
	return func(at time.Time) bool {
		_, its := f.own.namespace(repository, at)
		return f.all || its
	}
}
