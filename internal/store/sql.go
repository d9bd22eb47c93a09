package store

import (
	"context"
	"database/sql"
)

func bump(ctx context.Context, tx *sql.Tx, topic string) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO changes (topic, counter) VALUES ($1, 1)
		ON CONFLICT (topic) DO UPDATE SET counter = changes.counter + 1`, topic)
	return err
}

// counters returns the change counters of all topics.
func counters(ctx context.Context, pool *sql.DB) (map[string]int64, error) {
	rows, err := pool.QueryContext(ctx, "SELECT topic, counter FROM changes")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make(map[string]int64)
	for rows.Next() {
		var topic string
		var counter int64
		if err := rows.Scan(&topic, &counter); err != nil {
			return nil, err
		}
		found[topic] = counter
	}
	return found, rows.Err()
}

// names returns the rows of a query with one column of text.
func names(ctx context.Context, tx *sql.Tx, query string) (list []string, err error) {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		list = append(list, name)
	}
	return list, rows.Err()
}
