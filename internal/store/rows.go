package store

import (
	"context"
	"database/sql"
)

// The queries are those of the rooms whose tables they read. What all of them do with the answers is here.

// Querier is a transaction, or connections for reading.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Row is one that was found, of many or alone.
type Row interface{ Scan(...any) error }

// Collect reads rows, each by read.
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

// Texts reads rows of one column.
func Texts(ctx context.Context, q Querier, query string, args ...any) ([]string, error) {
	return Collect(ctx, q, Text, query, args...)
}

// Text reads a row of one column.
func Text(row Row) (text string, err error) { return text, row.Scan(&text) }

// Affected is how many rows a statement inserted, changed or deleted.
func Affected(result sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}
