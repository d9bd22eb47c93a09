package journal

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/store"
)

// maintenance is the state of the maintenance: which blocks were merged, and which entries were
// removed.
type maintenance struct {
	version int64    // counts the transactions that rewrite blocks
	merged  Position // blocks up to this position are merged
	removed map[retentionKind]Position
	// unreported has the number of removed entries that no entry of the journal reports yet.
	unreported map[retentionKind]int64
	total      map[retentionKind]int64 // removed entries
}

func selectMaintenance(ctx context.Context, q store.Querier) (m maintenance, err error) {
	// Read the version first. A transaction that rewrites blocks after this read increments the
	// version.
	err = q.QueryRowContext(ctx, `SELECT version, merged FROM journal_keeping WHERE one = 1`).Scan(&m.version, &m.merged)
	if err != nil {
		return m, err
	}
	m.removed, m.unreported, m.total = make(map[retentionKind]Position), make(map[retentionKind]int64), make(map[retentionKind]int64)
	_, err = store.Collect(ctx, q, func(row store.Row) (kind retentionKind, err error) {
		var position Position
		var unreported, total int64
		err = row.Scan(&kind, &position, &unreported, &total)
		m.removed[kind], m.total[kind] = position, total
		if unreported > 0 {
			m.unreported[kind] = unreported
		}
		return kind, err
	}, `SELECT kind, position, unreported, total FROM journal_removed`)
	return m, err
}

// beginRewrite begins a transaction that rewrites blocks. It returns errRewritten if another
// transaction has rewritten blocks since m was read.
func beginRewrite(ctx context.Context, tx *sql.Tx, m maintenance, merged Position) error {
	n, err := store.Affected(tx.ExecContext(ctx, `
		UPDATE journal_keeping SET version = version + 1, merged = $1 WHERE one = 1 AND version = $2`, merged, m.version))
	if err == nil && n != 1 {
		err = errRewritten
	}
	return err
}

// addRemoved records that n entries of a kind were removed. If the position is not 0, addRemoved
// also records that all entries of the kind up to the position are removed.
func addRemoved(ctx context.Context, tx *sql.Tx, kind retentionKind, position Position, n int64) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO journal_removed (kind, position, unreported, total) VALUES ($1, $2, $3, $3)
		ON CONFLICT (kind) DO UPDATE SET
			unreported = journal_removed.unreported + excluded.unreported, total = journal_removed.total + excluded.total,
			position = CASE WHEN excluded.position > journal_removed.position THEN excluded.position ELSE journal_removed.position END`,
		string(kind), position, n)
	return err
}

// clearUnreported records that an entry of the journal reports all removed entries.
func clearUnreported(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `UPDATE journal_removed SET unreported = 0`)
	return err
}

// selectBlocksIn returns the blocks that begin in a range.
func selectBlocksIn(ctx context.Context, q store.Querier, from, to Position) ([]*block, error) {
	return store.Collect(ctx, q, scanBlock, blockColumns+`WHERE first >= $1 AND first < $2 ORDER BY first`, from, to)
}

// deleteBlocks deletes the blocks that begin in a range, and returns how many it deleted.
func deleteBlocks(ctx context.Context, tx *sql.Tx, from, to Position) (int, error) {
	return store.Affected(tx.ExecContext(ctx, `DELETE FROM journal_blocks WHERE first >= $1 AND first < $2`, from, to))
}

func addSize(ctx context.Context, tx *sql.Tx, key sizeKey, s size) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO journal_sizes (kind, hour, entries, bytes) VALUES ($1, $2, $3, $4)
		ON CONFLICT (kind, hour) DO UPDATE SET
			entries = journal_sizes.entries + excluded.entries, bytes = journal_sizes.bytes + excluded.bytes`,
		string(key.kind), key.hour, s.entries, s.bytes)
	return err
}

// selectSizeCutoff returns the last hour whose entries must be removed to limit a kind to a size.
// It returns false if the entries of the kind do not exceed the size.
func selectSizeCutoff(ctx context.Context, q store.Querier, kind retentionKind, size int64) (hour int64, ok bool, err error) {
	var last sql.NullInt64
	err = q.QueryRowContext(ctx, `
		SELECT max(hour) FROM (
			SELECT hour, sum(bytes) OVER (ORDER BY hour DESC) AS total FROM journal_sizes WHERE kind = $1
		) AS sums WHERE total > $2`, string(kind), size).Scan(&last)
	return last.Int64, last.Valid, err
}

// deleteSizes deletes the stored sizes of a kind for all hours before the given hour.
func deleteSizes(ctx context.Context, tx *sql.Tx, kind retentionKind, hour int64) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM journal_sizes WHERE kind = $1 AND hour < $2`, string(kind), hour)
	return err
}

// usePrincipals records that merged entries before a position refer to the numbered principals.
func usePrincipals(ctx context.Context, tx *sql.Tx, numbers []int64, position Position) error {
	for chunk := range slices.Chunk(numbers, insertAtOnce) {
		list, args := inList(2, chunk)
		_, err := tx.ExecContext(ctx, `UPDATE journal_principals SET used = $1 WHERE number IN `+list, append([]any{position}, args...)...)
		if err != nil {
			return err
		}
	}
	return nil
}

// raiseFloor raises the floor of principals. After that, new blocks refer only to principals that
// are stored after the call.
func raiseFloor(ctx context.Context, tx *sql.Tx) (head, error) {
	return scanHead(tx.QueryRowContext(ctx, `UPDATE journal_head SET floor = principal WHERE one = 1 RETURNING `+headColumns))
}

// selectLatestFrom searches from a position on. It looks for the first block whose ids are all
// from before a time. It returns the latest time of the ids of that block. If there is no such
// block, it returns the given time.
func selectLatestFrom(ctx context.Context, q store.Querier, position Position, until int64) (millis int64, err error) {
	err = q.QueryRowContext(ctx, `
		SELECT latest FROM journal_blocks WHERE first >= $1 AND latest <= $2 ORDER BY first LIMIT 1`, position, until).Scan(&millis)
	if errors.Is(err, sql.ErrNoRows) {
		return until, nil
	}
	return millis, err
}

// selectUnused examines the next principals between a number and the floor. It returns the
// principals to which no merged entry after the given position refers. It also returns the number
// of the last principal that it examined, or 0 if there are no more principals.
func selectUnused(ctx context.Context, q store.Querier, after, floor int64, end Position, limit int) (numbers []int64, last int64, err error) {
	_, err = store.Collect(ctx, q, func(row store.Row) (used Position, err error) {
		err = row.Scan(&last, &used)
		if used <= end {
			numbers = append(numbers, last)
		}
		return used, err
	}, `SELECT number, used FROM journal_principals WHERE number > $1 AND number < $2 ORDER BY number LIMIT $3`, after, floor, limit)
	return numbers, last, err
}

// deletePrincipals deletes principals. It does not delete a principal to which an entry after the
// given position refers now.
func deletePrincipals(ctx context.Context, tx *sql.Tx, numbers []int64, end Position) error {
	if len(numbers) == 0 {
		return nil
	}
	list, args := inList(2, numbers)
	_, err := tx.ExecContext(ctx, `DELETE FROM journal_principals WHERE used <= $1 AND number IN `+list, append([]any{end}, args...)...)
	return err
}
