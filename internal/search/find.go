package search

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal/index"
	"github.com/tidewaiter/tidewaiter/internal/projection"
)

// Index is the index.Reader that reads the projection.
type Index struct {
	set        *projection.Set
	definition *projection.Definition
}

// NewIndex returns the index of a projection that Projection defined.
func NewIndex(set *projection.Set, definition *projection.Definition) *Index {
	return &Index{set, definition}
}

// fewGroups is a number of groups. If at most fewGroups groups have candidates, the next term is
// looked up only in the groups with candidates. Otherwise the term is looked up in all groups
// that are read.
const fewGroups = 256

// Find implements index.Reader.
func (x *Index) Find(ctx context.Context, lists [][]index.Term, since, until time.Time) (index.Candidates, error) {
	view, err := x.set.View(ctx, x.definition)
	if err != nil {
		return nil, err
	}
	c := &candidates{view: view, high: -1, atOnce: firstGroups, since: noTimes.latest, until: noTimes.earliest}
	if !since.IsZero() {
		c.since = since.UnixMicro()
	}
	if !until.IsZero() {
		c.until = until.UnixMicro() + 1 // rounds up: the end can lie between two microseconds
	}
	hash := newHasher(view.Instance)
	for _, list := range lists {
		hashes := make([]uint64, 0, len(list))
		for _, term := range list {
			hashes = append(hashes, hash.of(term.Field, term.Value))
		}
		c.lists = append(c.lists, hashes)
	}
	if err := c.readSegments(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// firstGroups is the number of groups that the first statement reads. If a term is common, a few
// groups are enough to fill a page. Tests use a smaller value.
var firstGroups int64 = 32

// candidates reads the index from the end. One statement reads several groups of one segment.
type candidates struct {
	view         *projection.View
	lists        [][]uint64 // hashes of terms
	since, until int64      // microseconds

	segments  map[int64]times
	low, high int64 // the groups that were read
	groups    map[int64]*index.Set
	atOnce    int64 // how many groups the next statement reads; it doubles each time
}

func (c *candidates) Covers() (upTo, last int64, id [16]byte) {
	return int64(c.view.Position), int64(c.view.Last), c.view.Entry
}

func (c *candidates) Close() { c.view.Close() }

func (c *candidates) readSegments(ctx context.Context) (err error) {
	c.segments, err = c.readTimes(ctx, -1<<40, 0)
	return err
}

// readTimes returns the rows of search_times between two numbers.
func (c *candidates) readTimes(ctx context.Context, from, to int64) (map[int64]times, error) {
	rows, err := c.view.QueryContext(ctx, `SELECT number, earliest, latest FROM search_times WHERE number >= $1 AND number < $2`, from, to)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make(map[int64]times)
	for rows.Next() {
		var number int64
		var t times
		if err := rows.Scan(&number, &t.earliest, &t.latest); err != nil {
			return nil, err
		}
		found[number] = t
	}
	return found, rows.Err()
}

func (c *candidates) overlaps(t times) bool { return t.latest >= c.since && t.earliest < c.until }

func (c *candidates) within(t times) bool { return t.earliest >= c.since && t.latest < c.until }

// Next implements index.Candidates. If one read of the index finds no candidate, Next returns an
// empty group.
func (c *candidates) Next(ctx context.Context, from int64) (index.Group, error) {
	if from < 0 {
		return index.Group{First: -1}, nil
	}
	group := from / index.GroupSize
	if group < c.low || group > c.high {
		if err := c.read(ctx, group); err != nil {
			return index.Group{}, fmt.Errorf("reading the search index: %w", err)
		}
	}
	for ; group >= c.low; group-- {
		if set := c.groups[group]; set != nil {
			return index.Group{First: group * index.GroupSize, Entries: *set}, nil
		}
	}
	return index.Group{First: c.low * index.GroupSize}, nil
}

// read finds the candidates of a group and of groups before it.
func (c *candidates) read(ctx context.Context, group int64) error {
	segment := group / groupsPerSegment
	c.low, c.high, c.groups = segment*groupsPerSegment, group, nil
	span, ok := c.segments[-1-segment]
	if !ok || !c.overlaps(span) {
		return nil
	}
	c.low = max(c.low, group-c.atOnce+1)
	c.atOnce = min(2*c.atOnce, groupsPerSegment)
	var groups map[int64]*index.Set // nil: all groups
	if len(c.lists) == 0 || !c.within(span) {
		all, err := c.readTimes(ctx, c.low, c.high+1)
		if err != nil {
			return err
		}
		groups = make(map[int64]*index.Set)
		for number, t := range all {
			if c.overlaps(t) {
				groups[number] = &index.Set{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}
			}
		}
	}
	for _, list := range c.lists {
		if groups != nil && len(groups) == 0 {
			break
		}
		having, err := c.entriesHaving(ctx, list, groups)
		if err != nil {
			return err
		}
		for number, set := range having {
			if groups != nil && !intersect(set, groups[number]) {
				delete(having, number)
			}
		}
		groups = having
	}
	c.groups = groups
	return nil
}

// intersect removes from the first set the elements that are not in the other set. It reports
// whether the first set still has elements.
func intersect(set, other *index.Set) (left bool) {
	for i := range set {
		if other == nil {
			return false
		}
		set[i] &= other[i]
		left = left || set[i] != 0
	}
	return left
}

// entriesHaving returns the entries that have one of the terms, in the groups from c.low to
// c.high. If groups is not nil, the caller needs only these groups.
func (c *candidates) entriesHaving(ctx context.Context, terms []uint64, groups map[int64]*index.Set) (map[int64]*index.Set, error) {
	having := make(map[int64]*index.Set)
	if len(terms) == 0 || groups != nil && len(groups) == 0 {
		return having, nil
	}
	// The keys are written into the text of the statement. They are not parameters, because the
	// driver would look up the name of each parameter in a list.
	query := []byte(`SELECT key, entries FROM search_terms WHERE `)
	if groups != nil && len(groups)*len(terms) <= fewGroups {
		query = append(query, `key IN (-1`...)
		for number := range groups {
			for _, term := range terms {
				query = strconv.AppendInt(append(query, ','), key(number, term), 10)
			}
		}
		query = append(query, ')')
	} else {
		for i, term := range terms {
			if i > 0 {
				query = append(query, ` OR `...)
			}
			query = fmt.Appendf(query, `key BETWEEN %d AND %d`, key(c.low, term), key(c.high, term))
		}
	}
	rows, err := c.view.QueryContext(ctx, string(query))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var key int64
		var entries []byte
		if err := rows.Scan(&key, &entries); err != nil {
			return nil, err
		}
		number := c.low/groupsPerSegment*groupsPerSegment + key%(1<<groupBits)
		set := decode(entries)
		if other := having[number]; other != nil {
			for i := range other {
				other[i] |= set[i]
			}
		} else {
			having[number] = &set
		}
	}
	return having, rows.Err()
}
