package api

import (
	"context"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/admin"
)

// PageQuery selects a page of a list.
type PageQuery struct {
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The maximum number of items in the page"`
	After string `query:"after" maxLength:"200" doc:"Where the page begins: the field next of the previous page" example:"bob"`
}

func (q PageQuery) page() admin.Page { return admin.Page{After: q.After, Limit: q.Limit} }

// page is a part of a list that is sorted by name or by time.
type page[T any] struct {
	Items []T    `json:"items" nullable:"false" doc:"The items, in order"`
	Next  string `json:"next,omitempty" doc:"The value of after for the next page; absent on the last page" example:"bob"`
}

// pageResponse is the response with a page.
type pageResponse[T any] struct {
	Link string `header:"Link" doc:"The next page, with rel=next (RFC 8288)"`
	Body page[T]
}

func newPage[S, T any](ctx context.Context, from []S, next string, convert func(*S) T, err error) (*pageResponse[T], error) {
	if err != nil {
		return nil, err
	}
	out := &pageResponse[T]{Body: page[T]{Items: make([]T, len(from)), Next: next}}
	for i := range from {
		out.Body.Items[i] = convert(&from[i])
	}
	if next != "" {
		out.Link = nextLink(callOf(ctx).request.URL, "after", next)
	}
	return out, nil
}

// nextLink returns the Link header for the next page, which begins at the given value of a query
// parameter.
func nextLink(this *url.URL, parameter, value string) string {
	query := this.Query()
	query.Set(parameter, value)
	return "<" + this.EscapedPath() + "?" + query.Encode() + `>; rel="next"`
}

// listAll adds a route that lists objects.
func listAll[S, T any](a *API, tag *huma.Tag, op huma.Operation, convert func(*S) T,
	find func(context.Context, admin.Actor, admin.Page) ([]S, string, error),
) {
	route(a, tag, op, func(ctx context.Context, caller admin.Actor, in *PageQuery) (*pageResponse[T], error) {
		found, next, err := find(ctx, caller, in.page())
		return newPage(ctx, found, next, convert, err)
	})
}

// listIn adds a route that lists the objects in another object. The path names that other
// object.
func listIn[I interface {
	keyed[string]
	page() admin.Page
}, S, T any](a *API, tag *huma.Tag, op huma.Operation, convert func(*S) T,
	find func(context.Context, admin.Actor, string, admin.Page) ([]S, string, error),
) {
	route(a, tag, op, func(ctx context.Context, caller admin.Actor, in *I) (*pageResponse[T], error) {
		found, next, err := find(ctx, caller, (*in).key(), (*in).page())
		return newPage(ctx, found, next, convert, err)
	})
}
