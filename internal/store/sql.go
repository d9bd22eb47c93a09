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
