package catalog

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Sort is an order of repositories.
type Sort string

// The orders of repositories. Repositories with equal rank are in the order of their names.
const (
	ByName Sort = "name"
	ByPush Sort = "last-push" // the latest first
	ByPull Sort = "last-pull" // the latest first
	BySize Sort = "size"      // the largest first
)

// columns are the columns by which rows are ordered.
var columns = map[Sort]string{ByPush: "pushed", ByPull: "pulled", BySize: "size"}

// Filter decides which repositories a reader may see.
type Filter interface {
	// Ranges returns ranges that contain the names of all visible repositories of a registry.
	// They are in order and do not overlap.
	Ranges(registry string) []policy.NameRange
	// Sees reports whether a repository is visible.
	Sees(registry, name string) bool
}

// everythingFilter is the Filter of a reader who may see all repositories.
type everythingFilter struct{}

func (everythingFilter) Ranges(string) []policy.NameRange { return []policy.NameRange{{}} }
func (everythingFilter) Sees(string, string) bool         { return true }

// Query selects repositories.
type Query struct {
	Registry string // "": all registries
	Prefix   string // of the name
	Sort     Sort   // "": ByName
	Filter   Filter // nil: the reader sees everything
	admin.Page
}

// For one page, at most maxExamined rows of each registry are compared with the filter. So a page
// can be short or empty if the reader may see only few of many repositories. Tests use a smaller
// value.
var maxExamined = 2000

const (
	// rowsOfRange is the cost of one more range, in rows: to read one more range takes as much
	// time as to read this number of rows.
	rowsOfRange = 8
	rowsAtOnce  = 500
)

// Repositories returns a page of the repositories that have manifests. The second result is
// Page.After for the next page, or "" after the last page. There can be a next page even if this
// page is short. If a repository is pushed, pulled or resized between the requests for two pages,
// both pages can have the repository, or neither of them.
func (r *Reader) Repositories(ctx context.Context, q Query) (found []Repository, next string, err error) {
	q.Sort = cmp.Or(q.Sort, ByName)
	if q.Filter == nil {
		q.Filter = everythingFilter{}
	}
	from, err := r.parseCursor(ctx, &q)
	if err != nil {
		return nil, "", err
	}
	registries := []string{q.Registry}
	if q.Registry == "" {
		if registries, err = r.registries(ctx); err != nil {
			return nil, "", err
		}
	}
	var rows []place
	var bound *place // after this place, a registry can have more rows
	for _, registry := range registries {
		l := listing{Query: q, view: r.view, registry: registry, from: from}
		if err := l.run(ctx); err != nil {
			return nil, "", err
		}
		rows = append(rows, l.found...)
		if l.more && (bound == nil || l.last.compare(bound) < 0) {
			bound = &l.last
		}
	}
	slices.SortFunc(rows, func(a, b place) int { return a.compare(&b) })
	if bound != nil {
		rows = slices.DeleteFunc(rows, func(p place) bool { return p.compare(bound) > 0 })
	}
	if size := q.Size(); len(rows) > size {
		rows, bound = rows[:size], &rows[size-1]
	}
	for _, p := range rows {
		row, err := scanRepository(r.view.QueryRowContext(ctx, selectRepositoryByID, p.id))
		if err != nil {
			return nil, "", err
		}
		found = append(found, row.repository())
	}
	if bound != nil {
		next, err = r.cursor(ctx, &q, bound)
	}
	return found, next, err
}

// registries returns the registries in the catalog.
func (r *Reader) registries(ctx context.Context) (names []string, err error) {
	for last := ""; ; {
		next, err := store.Texts(ctx, r.view, `SELECT registry FROM catalog_repositories WHERE registry > $1 ORDER BY registry LIMIT 1`, last)
		if err != nil || len(next) == 0 {
			return names, err
		}
		last = next[0]
		names = append(names, last)
	}
}

// place is the place of a repository in a list.
type place struct {
	id             int64
	rank           int64 // value of the column by which the list is ordered; 0: ordered by name
	name, registry string
	empty          bool
}

func (p *place) compare(o *place) int {
	return cmp.Or(cmp.Compare(o.rank, p.rank), cmp.Compare(p.name, o.name), cmp.Compare(p.registry, o.registry))
}

// listing is the search for a page in one registry.
type listing struct {
	Query
	view     *projection.View
	registry string
	from     *place // nil: the beginning

	found    []place
	last     place // all rows up to this place were examined
	more     bool  // there can be more rows after that place
	examined int
}

func (l *listing) run(ctx context.Context) error {
	ranges := policy.ClipNames(l.Filter.Ranges(l.registry), l.Prefix)
	if l.Sort == ByName {
		return l.walkByName(ctx, ranges)
	}
	few, all, err := l.rowsInRanges(ctx, ranges)
	switch {
	case err != nil:
		return err
	case !all:
		return l.walk(ctx)
	}
	slices.SortFunc(few, func(a, b place) int { return a.compare(&b) })
	for i := range few {
		if (l.from == nil || few[i].compare(l.from) > 0) && l.add(&few[i]) {
			break
		}
	}
	return nil
}

// add examines a row. It returns true if no more rows are needed. This is the case if enough rows
// were examined, or if the page is full and one more row was found. The additional row shows that
// there is a next page.
func (l *listing) add(p *place) (done bool) {
	l.last = *p
	l.examined++
	if !p.empty && strings.HasPrefix(p.name, l.Prefix) && l.Filter.Sees(l.registry, p.name) {
		l.found = append(l.found, *p)
	}
	l.more = len(l.found) > l.Size() || l.examined >= maxExamined
	return l.more
}

// walkByName examines rows by name.
func (l *listing) walkByName(ctx context.Context, ranges []policy.NameRange) error {
	for i, of := range ranges {
		from, included := of.From, true
		if l.from != nil && l.from.name >= from {
			// Another registry can have a repository with the same name.
			from, included = l.from.name, l.registry > l.from.registry
		}
		if of.To != "" && from >= of.To {
			continue
		}
		for {
			rows, err := l.rowsByName(ctx, from, of.To, included, min(rowsAtOnce, l.Size()+1))
			if err != nil {
				return err
			}
			for k := range rows {
				if l.add(&rows[k]) {
					return nil
				}
			}
			if len(rows) < min(rowsAtOnce, l.Size()+1) {
				break
			}
			from, included = l.last.name, false
		}
		if l.examined += rowsOfRange; l.examined >= maxExamined && i < len(ranges)-1 {
			l.last, l.more = place{name: ranges[i+1].From}, true // the registry "" sorts first
			return nil
		}
	}
	return nil
}

// rowsInRanges returns the rows in the ranges. If there are too many rows, it returns false.
func (l *listing) rowsInRanges(ctx context.Context, ranges []policy.NameRange) (rows []place, complete bool, err error) {
	if slices.Contains(ranges, policy.NameRange{}) { // everything
		return nil, false, nil
	}
	left := maxExamined
	for _, of := range ranges {
		if left -= rowsOfRange; left <= 0 {
			return nil, false, nil
		}
		more, err := l.rowsByName(ctx, of.From, of.To, true, left)
		if err != nil {
			return nil, false, err
		}
		if left -= len(more); left <= 0 {
			return nil, false, nil
		}
		rows = append(rows, more...)
	}
	return rows, true, nil
}

// walk examines rows by rank.
func (l *listing) walk(ctx context.Context) error {
	from := l.from
	for {
		rows, err := l.rowsByRank(ctx, from, rowsAtOnce)
		if err != nil {
			return err
		}
		for i := range rows {
			if l.add(&rows[i]) {
				return nil
			}
		}
		if len(rows) < rowsAtOnce {
			return nil
		}
		from = &place{rank: l.last.rank, name: l.last.name, registry: l.registry}
	}
}

// rowsByName returns the rows between two names, in the order of their names. The row of the
// second name is not included.
func (l *listing) rowsByName(ctx context.Context, from, to string, included bool, limit int) ([]place, error) {
	comparison, end, args := ">", "", []any{l.registry, from, limit}
	if included {
		comparison = ">="
	}
	if to != "" {
		end, args = " AND name < $4", append(args, to)
	}
	return l.places(ctx, `registry = $1 AND name `+comparison+` $2`+end+` ORDER BY name LIMIT $3`, args...)
}

// rowsByRank returns rows by rank, after a place.
func (l *listing) rowsByRank(ctx context.Context, after *place, limit int) (rows []place, err error) {
	column := columns[l.Sort]
	if after == nil {
		return l.places(ctx, `registry = $1 ORDER BY `+column+` DESC, name LIMIT $2`, l.registry, limit)
	}
	comparison := ">"
	if l.registry > after.registry {
		comparison = ">="
	}
	rows, err = l.places(ctx, `registry = $1 AND `+column+` = $2 AND name `+comparison+` $3 ORDER BY name LIMIT $4`,
		l.registry, after.rank, after.name, limit)
	if err != nil || len(rows) == limit {
		return rows, err
	}
	lower, err := l.places(ctx, `registry = $1 AND `+column+` < $2 ORDER BY `+column+` DESC, name LIMIT $3`,
		l.registry, after.rank, limit-len(rows))
	return append(rows, lower...), err
}

func (l *listing) places(ctx context.Context, condition string, args ...any) ([]place, error) {
	rank := cmp.Or(columns[l.Sort], "0")
	return store.Collect(ctx, l.view, func(row store.Row) (place, error) {
		p, manifests := place{registry: l.registry}, int64(0)
		err := row.Scan(&p.id, &p.rank, &p.name, &manifests)
		p.empty = manifests == 0
		return p, err
	}, `SELECT id, `+rank+`, name, manifests FROM catalog_repositories WHERE `+condition, args...)
}
