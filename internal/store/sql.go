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
	found := make(map[string]int64)
	_, err := Collect(ctx, pool, func(row Row) (topic string, err error) {
		var counter int64
		err = row.Scan(&topic, &counter)
		found[topic] = counter
		return topic, err
	}, "SELECT topic, counter FROM changes")
	return found, err
}
