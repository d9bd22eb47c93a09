package journal

import (
	"context"
	"database/sql"
	"errors"
)

// lockHead returns what the next block stands on. The update, though it changes nothing, holds the row until the
// transaction ends: blocks of several processes stand in line here.
func lockHead(ctx context.Context, tx *sql.Tx) (next Position, previous hash, err error) {
	var sum []byte
	err = tx.QueryRowContext(ctx, `
		UPDATE journal_head SET next = next WHERE one = 1 RETURNING next, hash`).Scan(&next, &sum)
	copy(previous[:], sum)
	return next, previous, err
}

func moveHead(ctx context.Context, tx *sql.Tx, next Position, sum hash) error {
	_, err := tx.ExecContext(ctx, `UPDATE journal_head SET next = $1, hash = $2 WHERE one = 1`, next, sum[:])
	return err
}

func insertBlock(ctx context.Context, tx *sql.Tx, b *block) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO journal_blocks (first, entries, earliest, latest, previous, hash, content)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		b.first, b.entries, b.earliest, b.latest, b.previous[:], b.hash[:], b.content)
	return err
}

func insertPrincipal(ctx context.Context, tx *sql.Tx, sum hash, text []byte) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO journal_principals (hash, principal) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING`, sum[:], text)
	return err
}

// insertEvent notes an event, and says whether it is new: neither in this epoch nor in those about it.
func insertEvent(ctx context.Context, tx *sql.Tx, epoch int64, key []byte, position Position) (bool, error) {
	var one int
	err := tx.QueryRowContext(ctx, `
		SELECT 1 FROM journal_events WHERE epoch IN ($1, $2, $3, $4) AND key = $5 LIMIT 1`,
		epoch-2, epoch-1, epoch, epoch+1, key).Scan(&one)
	if err == nil {
		return false, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO journal_events (epoch, key, position) VALUES ($1, $2, $3)`, epoch, key, position)
	return err == nil, err
}

// deleteEvents forgets up to limit events of epochs before epoch, and says how many there were.
func deleteEvents(ctx context.Context, tx *sql.Tx, epoch int64, limit int) (int64, error) {
	result, err := tx.ExecContext(ctx, `
		DELETE FROM journal_events WHERE (epoch, key) IN (
			SELECT epoch, key FROM journal_events WHERE epoch < $1 LIMIT $2)`, epoch, limit)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// querier is a database, a connection or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func selectHead(ctx context.Context, q querier) (next Position, sum hash, err error) {
	var text []byte
	err = q.QueryRowContext(ctx, `SELECT next, hash FROM journal_head WHERE one = 1`).Scan(&next, &text)
	copy(sum[:], text)
	return next, sum, err
}

const blockColumns = `SELECT first, entries, earliest, latest, previous, hash, content FROM journal_blocks `

func scanBlock(row *sql.Row) (*block, error) {
	var b block
	var previous, sum []byte
	err := row.Scan(&b.first, &b.entries, &b.earliest, &b.latest, &previous, &sum, &b.content)
	if err != nil {
		return nil, err
	}
	copy(b.previous[:], previous)
	copy(b.hash[:], sum)
	return &b, nil
}

// selectBlockAt returns the last block that begins at position or before it; sql.ErrNoRows if there is none.
func selectBlockAt(ctx context.Context, q querier, position Position) (*block, error) {
	return scanBlock(q.QueryRowContext(ctx, blockColumns+`WHERE first <= $1 ORDER BY first DESC LIMIT 1`, position))
}

// selectBlockFrom returns the first block that begins at position or after it; sql.ErrNoRows if there is none.
func selectBlockFrom(ctx context.Context, q querier, position Position) (*block, error) {
	return scanBlock(q.QueryRowContext(ctx, blockColumns+`WHERE first >= $1 ORDER BY first LIMIT 1`, position))
}

// selectBlocksOf returns where the blocks begin that may hold an id of that millisecond, and whose latest
// id is at most slack milliseconds younger.
func selectBlocksOf(ctx context.Context, q querier, millisecond, slack int64) (firsts []Position, err error) {
	rows, err := q.QueryContext(ctx, `
		SELECT first FROM journal_blocks
		WHERE latest >= $1 AND latest <= $2 AND earliest <= $1 ORDER BY latest`, millisecond, millisecond+slack)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var first Position
		if err := rows.Scan(&first); err != nil {
			return nil, err
		}
		firsts = append(firsts, first)
	}
	return firsts, rows.Err()
}

func selectPrincipal(ctx context.Context, q querier, sum hash) (text []byte, err error) {
	err = q.QueryRowContext(ctx, `SELECT principal FROM journal_principals WHERE hash = $1`, sum[:]).Scan(&text)
	return text, err
}
