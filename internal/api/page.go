package api

import (
	"context"
	"net/url"
	"strconv"

	"github.com/tidewaiter/tidewaiter/internal/rulebook"
)

// Paged is what says which page of a list is wanted.
type Paged struct {
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many items a page has at most"`
	After string `query:"after" maxLength:"200" doc:"Where the page begins: what the page before said as next" example:"bob"`
}

func (p Paged) page() rulebook.Page { return rulebook.Page{After: p.After, Limit: p.Limit} }

// Page is a part of a list, in the order of names or of time.
type Page[T any] struct {
	Items []T    `json:"items" nullable:"false" doc:"The items, in order"`
	Next  string `json:"next,omitempty" doc:"Where the next page begins, for the parameter after; it is left out on the last page" example:"bob"`
}

// list is a page as it is answered.
type list[T any] struct {
	Link string `header:"Link" doc:"The next page, with rel=next (RFC 8288)"`
	Body Page[T]
}

// listed answers with a page.
func listed[S, T any](ctx context.Context, from []S, next string, form func(*S) T, err error) (*list[T], error) {
	if err != nil {
		return nil, err
	}
	out := &list[T]{Body: Page[T]{Items: make([]T, len(from)), Next: next}}
	for i := range from {
		out.Body.Items[i] = form(&from[i])
	}
	if next != "" {
		out.Link = link(calling(ctx).request.URL, next)
	}
	return out, nil
}

// link is this page's address with another beginning.
func link(at *url.URL, next string) string {
	query := at.Query()
	query.Del("last") // of the journal: after takes its place
	query.Set("after", next)
	return "<" + at.EscapedPath() + "?" + query.Encode() + `>; rel="next"`
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
