package dedup

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/store"
)

// insertKeys stores those keys that are not stored yet, and returns the new keys.
func insertKeys(ctx context.Context, tx *sql.Tx, keys []key) ([]key, error) {
	values, args := keyValues(keys, "($%d, $%d)")
	return queryKeys(ctx, tx, `
		INSERT INTO journal_events (at, hash) VALUES `+values+`
		ON CONFLICT DO NOTHING RETURNING at, hash`, args)
}

// selectKeys returns the keys that are stored.
func selectKeys(ctx context.Context, tx *sql.Tx, keys []key) ([]key, error) {
	// PostgreSQL does not derive the types of parameters in VALUES.
	values, args := keyValues(keys, "(CAST($%d AS BIGINT), CAST($%d AS BIGINT))")
	return queryKeys(ctx, tx, `SELECT at, hash FROM journal_events WHERE (at, hash) IN (VALUES `+values+`)`, args)
}

// keyValues returns the rows of a VALUES clause, one for each key, and the arguments. The text of
// a row has two places for the numbers of parameters.
func keyValues(keys []key, row string) (values string, args []any) {
	var b strings.Builder
	for i, k := range keys {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, row, 2*i+1, 2*i+2)
		args = append(args, k.at, k.hash)
	}
	return b.String(), args
}

func queryKeys(ctx context.Context, tx *sql.Tx, query string, args []any) ([]key, error) {
	return store.Collect(ctx, tx, func(row store.Row) (k key, err error) {
		err = row.Scan(&k.at, &k.hash)
		return k, err
	}, query, args...)
}

// deleteKeys deletes up to limit keys whose time is in the range [from, until), and returns how
// many it deleted.
func deleteKeys(ctx context.Context, tx *sql.Tx, from, until int64, limit int) (int, error) {
	return store.Affected(tx.ExecContext(ctx, `
		DELETE FROM journal_events WHERE (at, hash) IN (
			SELECT at, hash FROM journal_events WHERE at >= $1 AND at < $2 ORDER BY at LIMIT $3)`, from, until, limit))
}
