package admin

import (
	"cmp"
	"context"

	"github.com/tidewaiter/tidewaiter/internal/store"
)

// The default and the maximum number of items of a page. The API documents both.
const (
	defaultPage = 100
	maxPage     = 1000
)

// Page selects a part of a list.
type Page struct {
	After string // the second result of the previous call; "": the first page
	Limit int    // maximum number of items; 0: the default (see Size)
}

// Size returns the maximum number of items of the page. It is Limit if Limit is set, and
// defaultPage otherwise, but never more than maxPage.
func (p Page) Size() int { return min(max(cmp.Or(p.Limit, defaultPage), 1), maxPage) }

// List reads one page of the rows of a query. The second result is Page.After for the next
// page, or "" if there is no next page. In the query, $1 is the key after which this page
// starts, $2 is the maximum number of rows, and $3 and the following parameters are args. The
// query must sort its rows by key.
func List[T any](ctx context.Context, q store.Querier, page Page, scan func(store.Row) (T, error), key func(*T) string, query string, args ...any) (items []T, next string, err error) {
	items, err = store.Collect(ctx, q, scan, query, append([]any{page.After, page.Size() + 1}, args...)...)
	if err != nil {
		return nil, "", err
	}
	items, next = cut(items, page, key)
	return items, next, nil
}

// cut returns the items of the page, and Page.After for the next page. The caller must try to
// read one more item than fits on the page. If there is no such additional item, there is no next
// page, and the second result is "".
func cut[T any](items []T, page Page, key func(*T) string) ([]T, string) {
	size := page.Size()
	if len(items) <= size {
		return items, ""
	}
	items = items[:size]
	return items, key(&items[size-1])
}
