package store

import (
	"context"
	"database/sql"
	"time"
)

// Each package has the queries for its own tables. This file has functions that read the
// results of queries.

// Querier is a transaction or a pool of connections for reading.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Row is a row of a query: a *sql.Row, or the current row of a *sql.Rows.
type Row interface{ Scan(...any) error }

// Collect runs a query and calls the function read for each row.
func Collect[T any](ctx context.Context, q Querier, read func(Row) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []T
	for rows.Next() {
		one, err := read(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, rows.Err()
}

// Texts returns the rows of a query with one column of text.
func Texts(ctx context.Context, q Querier, query string, args ...any) ([]string, error) {
	return Collect(ctx, q, Text, query, args...)
}

// Text reads a row with one column of text.
func Text(row Row) (text string, err error) { return text, row.Scan(&text) }

// Affected returns how many rows a statement inserted, updated or deleted.
func Affected(result sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// Millis returns the stored form of a time: milliseconds since 1970. The zero time is 0. If the
// stored form of any other time would be read as the zero time, Millis returns the next
// millisecond, because an expiry must not become "never".
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	if millis := t.UnixMilli(); !Time(millis).IsZero() {
		return millis
	}
	return t.UnixMilli() + 1
}

// Rounded returns a time with the precision of the database.
func Rounded(t time.Time) time.Time { return Time(Millis(t)) }

// Time converts a result of Millis to a time. It returns the zero time for 0.
func Time(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).UTC()
}
