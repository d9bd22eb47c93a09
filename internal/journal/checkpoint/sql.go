package checkpoint

import (
	"context"
	"database/sql"
	"errors"

	"github.com/tidewaiter/tidewaiter/internal/store"
)

// row is a row of journal_checkpoints.
type row struct {
	size, at int64 // at is in seconds since 1970
	note     []byte
}

// insertKey stores the public key that signs checkpoints. It returns false if a key is stored
// already.
func insertKey(ctx context.Context, tx *sql.Tx, key string) (bool, error) {
	result, err := tx.ExecContext(ctx, `INSERT INTO journal_key (one, key) VALUES (1, $1) ON CONFLICT (one) DO NOTHING`, key)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

func updateKey(ctx context.Context, tx *sql.Tx, key string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO journal_key (one, key) VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET key = excluded.key`, key)
	return err
}

func insertFormerKey(ctx context.Context, tx *sql.Tx, key string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO journal_former_keys (key) VALUES ($1) ON CONFLICT (key) DO NOTHING`, key)
	return err
}

// selectFormerKeys returns the public keys that were replaced.
func selectFormerKeys(ctx context.Context, q store.Querier) ([]string, error) {
	return store.Collect(ctx, q, func(row store.Row) (key string, err error) {
		err = row.Scan(&key)
		return key, err
	}, `SELECT key FROM journal_former_keys`)
}

// selectKey returns the public key of checkpoints, or sql.ErrNoRows.
func selectKey(ctx context.Context, q store.Querier) (key string, err error) {
	err = q.QueryRowContext(ctx, `SELECT key FROM journal_key WHERE one = 1`).Scan(&key)
	return key, err
}

// selectCheckpoint returns the checkpoint of the largest tree, or the zero value.
func selectCheckpoint(ctx context.Context, q store.Querier) (c row, err error) {
	err = q.QueryRowContext(ctx, `SELECT size, at, note FROM journal_checkpoints ORDER BY size DESC LIMIT 1`).Scan(&c.size, &c.at, &c.note)
	if errors.Is(err, sql.ErrNoRows) {
		return row{}, nil
	}
	return c, err
}

// insertCheckpoint stores a checkpoint. It deletes the previous checkpoint if both are of the same
// minute. If there are too many checkpoints, it deletes the checkpoints of the smallest trees. It
// does not delete other checkpoints of the same minute, because they may be from a time before the
// clock was set back.
func insertCheckpoint(ctx context.Context, tx *sql.Tx, c row) error {
	minute := c.at - c.at%60
	for _, s := range []struct {
		statement string
		args      []any
	}{
		{`DELETE FROM journal_checkpoints WHERE at >= $1 AND at < $2 AND size = (
			SELECT size FROM journal_checkpoints WHERE size < $3 ORDER BY size DESC LIMIT 1)`, []any{minute, minute + 60, c.size}},
		{`INSERT INTO journal_checkpoints (size, at, note) VALUES ($1, $2, $3) ON CONFLICT (size) DO NOTHING`, []any{c.size, c.at, c.note}},
		{`DELETE FROM journal_checkpoints WHERE size <= (
			SELECT size FROM journal_checkpoints ORDER BY size DESC LIMIT 1 OFFSET $1)`, []any{maxStored}},
	} {
		if _, err := tx.ExecContext(ctx, s.statement, s.args...); err != nil {
			return err
		}
	}
	return nil
}
