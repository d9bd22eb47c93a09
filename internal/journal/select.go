package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"
)

// Select returns the entries between two positions that a query selects, in order. If the second
// position is 0, it stands for the current end. Like Read, while the loop body runs, Select needs
// the memory of one block, but no database connection. If the query has a time range, Select reads
// only from the first to the last block that overlaps this range.
func (j *Journal) Select(ctx context.Context, q Query, from, to Position) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		first, last, err := j.selectRange(ctx, q)
		if err != nil {
			yield(Entry{}, fmt.Errorf("selecting entries of the journal: %w", err))
			return
		}
		if from = max(from, first); to == 0 {
			to = math.MaxInt64
		}
		if to = min(to, last); from > to {
			return
		}
		for entry, err := range j.Read(ctx, from-1) {
			switch {
			case err != nil:
				yield(Entry{}, err)
				return
			case entry.Position > to:
				return
			case q.Matches(&entry) && !yield(entry, nil):
				return
			}
		}
	}
}

// selectRange returns the positions of the first and the last entry in the blocks that overlap the
// query's time range. If there is no such block, the first position is greater than the last.
func (j *Journal) selectRange(ctx context.Context, q Query) (first, last Position, err error) {
	since, until := q.milliseconds()
	first, last, err = selectBlocksBetween(ctx, j.db.Read(), since, until)
	if err != nil || first > last {
		return first, last, err
	}
	b, err := selectBlockAt(ctx, j.db.Read(), last)
	if errors.Is(err, sql.ErrNoRows) {
		return 1, 0, nil // the block has been removed since then
	}
	if err != nil {
		return 0, 0, err
	}
	return first, b.end() - 1, nil
}

// milliseconds returns the time range of the ids that entries in the query's time range can have.
// The second result is the first time after the range.
func (q *Query) milliseconds() (since, until int64) {
	since, until = math.MinInt64, math.MaxInt64
	if !q.Since.IsZero() {
		since = q.Since.Add(-skew).UnixMilli()
	}
	if !q.Until.IsZero() {
		until = q.Until.Add(skew).UnixMilli()
	}
	return since, until
}

// FirstSince returns the position of the first block with entries at a time or later. If there is
// no such block, it returns the position after the last entry.
func (j *Journal) FirstSince(ctx context.Context, t time.Time) (Position, error) {
	first, last, err := j.selectRange(ctx, Query{Since: t})
	if err == nil && first > last {
		last, err = j.Last(ctx)
		first = last + 1
	}
	if err != nil {
		return 0, fmt.Errorf("finding the first entry since %s: %w", t.Format(time.RFC3339), err)
	}
	return first, nil
}
