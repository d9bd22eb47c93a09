package admin

import (
	"cmp"
	"context"

	"github.com/tidewaiter/tidewaiter/internal/store"
)

// Page selects a part of a list.
type Page struct {
	After string // next of the previous call; "": from the begin
	Limit int    // maximum number of items; 0: 100; never more than 1,000
}

// Size returns the maximum number of items of the page.
func (p Page) Size() int { return min(max(cmp.Or(p.Limit, 100), 1), 1000) }

// List reads a page of a query, and returns where the next page begins; "": there are no more.
// In the query, $1 is where this page begins and $2 is the maximum number of rows; args are $3
// and so on. The query is ordered by key.
func List[T any](ctx context.Context, q store.Querier, page Page, scan func(store.Row) (T, error), key func(*T) string, query string, args ...any) (items []T, next string, err error) {
	items, err = store.Collect(ctx, q, scan, query, append([]any{page.After, page.Size() + 1}, args...)...)
	if err != nil {
		return nil, "", err
	}
	items, next = Cut(items, page, key)
	return items, next, nil
}

// Cut returns a page of a list that was read with at least one more item than the page has, and
// where the next page begins.
func Cut[T any](items []T, page Page, key func(*T) string) ([]T, string) {
	size := page.Size()
	if len(items) <= size {
		return items, ""
	}
	items = items[:size]
	return items, key(&items[size-1])
}
