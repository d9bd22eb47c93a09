package journal

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// head is the state of the journal after the last block.
type head struct {
	next      Position // of the next entry
	principal int64    // number of the next new principal
	floor     int64    // new blocks refer to no principal with a smaller number; see keeper.sweep
	hash      hash     // of the last block
	base      Position // of the last entry of format 1; leaf 0 stands for the entries up to base
	chain     hash     // of the last block of format 1
	frontier  []byte   // of the tree; empty before the first block of format 2
}

const headColumns = `next, principal, floor, hash, base, chain, frontier`

// lockHead returns the head. The update changes nothing, but locks the row until the
// transaction ends. This serializes the blocks of all processes.
func lockHead(ctx context.Context, tx *sql.Tx) (head, error) {
	return scanHead(tx.QueryRowContext(ctx, `UPDATE journal_head SET next = next WHERE one = 1 RETURNING `+headColumns))
}

func moveHead(ctx context.Context, tx *sql.Tx, h head) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE journal_head SET next = $1, principal = $2, hash = $3, frontier = $4 WHERE one = 1`,
		h.next, h.principal, h.hash[:], h.frontier)
	return err
}

func selectHead(ctx context.Context, q store.Querier) (head, error) {
	return scanHead(q.QueryRowContext(ctx, `SELECT `+headColumns+` FROM journal_head WHERE one = 1`))
}

func scanHead(row *sql.Row) (h head, err error) {
	var sum, chain []byte
	err = row.Scan(&h.next, &h.principal, &h.floor, &sum, &h.base, &chain, &h.frontier)
	copy(h.hash[:], sum)
	copy(h.chain[:], chain)
	return h, err
}

// insertNodes stores complete subtrees. A row with the same key belongs to another tree and is
// replaced.
func insertNodes(ctx context.Context, tx *sql.Tx, nodes []tree.Node) error {
	for chunk := range slices.Chunk(nodes, insertAtOnce) {
		var values strings.Builder
		var args []any
		for i := range chunk {
			fmt.Fprintf(&values, list(i, "", ", ")+"($%d, $%d, $%d)", 3*i+1, 3*i+2, 3*i+3)
			args = append(args, chunk[i].Level, chunk[i].Number, chunk[i].Hash[:])
		}
		_, err := tx.ExecContext(ctx, `
			INSERT INTO journal_nodes (level, number, hash) VALUES `+values.String()+`
			ON CONFLICT (level, number) DO UPDATE SET hash = excluded.hash`, args...)
		if err != nil {
			return err
		}
	}
	return nil
}

// selectNodes returns at most limit complete subtrees of a level, from a number on.
func selectNodes(ctx context.Context, q store.Querier, level int, number int64, limit int) (nodes []tree.Node, err error) {
	rows, err := q.QueryContext(ctx, `
		SELECT number, hash FROM journal_nodes WHERE level = $1 AND number >= $2 ORDER BY number LIMIT $3`, level, number, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		n := tree.Node{Level: level}
		var sum []byte
		if err := rows.Scan(&n.Number, &sum); err != nil {
			return nil, err
		}
		copy(n.Hash[:], sum)
		nodes = append(nodes, n)
	}
	return nodes, rows.Err()
}

func insertBlock(ctx context.Context, tx *sql.Tx, b *block) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO journal_blocks (first, entries, earliest, latest, previous, hash, content)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		b.first, b.entries, b.earliest, b.latest, b.previous[:], b.hash[:], b.content)
	return err
}

func insertPrincipals(ctx context.Context, tx *sql.Tx, principals []newPrincipal) error {
	if len(principals) == 0 {
		return nil
	}
	insert, err := tx.PrepareContext(ctx, `INSERT INTO journal_principals (number, hash, principal) VALUES ($1, $2, $3)`)
	if err != nil {
		return err
	}
	defer insert.Close()
	for i := range principals {
		if _, err := insert.ExecContext(ctx, principals[i].number, principals[i].hash[:], principals[i].text); err != nil {
			return err
		}
	}
	return nil
}

// insertEvents stores the keys that are not stored yet and returns them.
func insertEvents(ctx context.Context, tx *sql.Tx, keys []eventKey) (stored []eventKey, err error) {
	values, args := keyValues(keys, "($%d, $%d)")
	return queryKeys(ctx, tx, `
		INSERT INTO journal_events (at, hash) VALUES `+values+`
		ON CONFLICT DO NOTHING RETURNING at, hash`, args)
}

// selectEvents returns the keys that are stored.
func selectEvents(ctx context.Context, tx *sql.Tx, keys []eventKey) ([]eventKey, error) {
	// PostgreSQL does not derive the types of parameters in VALUES.
	values, args := keyValues(keys, "(CAST($%d AS BIGINT), CAST($%d AS BIGINT))")
	return queryKeys(ctx, tx, `SELECT at, hash FROM journal_events WHERE (at, hash) IN (VALUES `+values+`)`, args)
}

// keyValues returns the rows of a VALUES clause, one for each key, and the arguments. form is the
// text of a row, with two places for the numbers of parameters.
func keyValues(keys []eventKey, form string) (values string, args []any) {
	var b strings.Builder
	for i, key := range keys {
		fmt.Fprintf(&b, list(i, "", ", ")+form, 2*i+1, 2*i+2)
		args = append(args, key.at, key.hash)
	}
	return b.String(), args
}

func queryKeys(ctx context.Context, tx *sql.Tx, query string, args []any) (keys []eventKey, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var key eventKey
		if err := rows.Scan(&key.at, &key.hash); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}

// deleteEvents deletes up to limit keys whose time is between from and until, and returns how
// many it deleted.
func deleteEvents(ctx context.Context, tx *sql.Tx, from, until int64, limit int) (int64, error) {
	result, err := tx.ExecContext(ctx, `
		DELETE FROM journal_events WHERE (at, hash) IN (
			SELECT at, hash FROM journal_events WHERE at >= $1 AND at < $2 ORDER BY at LIMIT $3)`, from, until, limit)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

const blockColumns = `SELECT first, entries, earliest, latest, previous, hash, content FROM journal_blocks `

func scanBlock(row interface{ Scan(...any) error }) (*block, error) {
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

// selectBlockAt returns the last block that begins at or before a position, or sql.ErrNoRows.
func selectBlockAt(ctx context.Context, q store.Querier, position Position) (*block, error) {
	return scanBlock(q.QueryRowContext(ctx, blockColumns+`WHERE first <= $1 ORDER BY first DESC LIMIT 1`, position))
}

// selectBlockFrom returns the first block that begins at or after a position, or sql.ErrNoRows.
func selectBlockFrom(ctx context.Context, q store.Querier, position Position) (*block, error) {
	return scanBlock(q.QueryRowContext(ctx, blockColumns+`WHERE first >= $1 ORDER BY first LIMIT 1`, position))
}

// selectMisplaced looks for a block, from a position on, that overlaps the next block or begins
// after the end of the journal.
func selectMisplaced(ctx context.Context, q store.Querier, from Position) (first Position, found bool, err error) {
	var n sql.NullInt64
	err = q.QueryRowContext(ctx, `
		SELECT min(first) FROM (
			SELECT first, entries, lead(first) OVER (ORDER BY first) AS later FROM journal_blocks WHERE first >= $1
		) AS b WHERE later < first + entries OR first + entries > (SELECT next FROM journal_head WHERE one = 1)`, from).Scan(&n)
	return Position(n.Int64), n.Valid, err
}

// selectBlocksBetween returns the positions of the first and the last block that overlap a time
// range. If there is no such block, first is greater than last.
func selectBlocksBetween(ctx context.Context, q store.Querier, since, until int64) (first, last Position, err error) {
	err = q.QueryRowContext(ctx, `
		SELECT coalesce(min(first), 1), coalesce(max(first), 0) FROM journal_blocks
		WHERE latest >= $1 AND earliest < $2`, since, until).Scan(&first, &last)
	return first, last, err
}

// selectBlocksBack returns at most limit blocks that begin at or before a position, the last one
// first. It stops after the block with which the contents exceed maxBytes.
func selectBlocksBack(ctx context.Context, q store.Querier, position Position, limit, maxBytes int) (blocks []*block, err error) {
	rows, err := q.QueryContext(ctx, blockColumns+`WHERE first <= $1 ORDER BY first DESC LIMIT $2`, position, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for bytes := 0; bytes <= maxBytes && rows.Next(); {
		b, err := scanBlock(rows)
		if err != nil {
			return nil, err
		}
		bytes += len(b.content)
		blocks = append(blocks, b)
	}
	return blocks, rows.Err()
}

// selectBlocksOf returns the positions of the blocks that can contain an id whose time is between
// the parameters from and to. It skips blocks whose latest id is more than slack milliseconds
// later than to.
func selectBlocksOf(ctx context.Context, q store.Querier, from, to, slack int64) (firsts []Position, err error) {
	rows, err := q.QueryContext(ctx, `
		SELECT first FROM journal_blocks
		WHERE latest >= $1 AND latest <= $2 AND earliest <= $3 ORDER BY latest`, from, to+slack, to)
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

// selectPrincipals calls found for each of the numbered principals that exists.
func selectPrincipals(ctx context.Context, q store.Querier, numbers []int64, found func(number int64, sum, text []byte)) error {
	args := make([]any, len(numbers))
	var places strings.Builder
	for i, number := range numbers {
		args[i] = number
		fmt.Fprintf(&places, "%s$%d", list(i, "", ", "), i+1)
	}
	rows, err := q.QueryContext(ctx, `SELECT number, hash, principal FROM journal_principals WHERE number IN (`+places.String()+`)`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var number int64
		var sum, text []byte
		if err := rows.Scan(&number, &sum, &text); err != nil {
			return err
		}
		found(number, sum, text)
	}
	return rows.Err()
}

// storedCheckpoint is a row of journal_checkpoints; see package checkpoint.
type storedCheckpoint struct {
	size int64
	note []byte
}

// selectCheckpoints returns the stored checkpoints, the smallest tree first.
func selectCheckpoints(ctx context.Context, q store.Querier) (all []storedCheckpoint, err error) {
	rows, err := q.QueryContext(ctx, `SELECT size, note FROM journal_checkpoints ORDER BY size`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c storedCheckpoint
		if err := rows.Scan(&c.size, &c.note); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, rows.Err()
}

// selectTimeAt returns the earliest time of the block that contains a position, or of the block
// before that position.
func selectTimeAt(ctx context.Context, q store.Querier, position Position) (millis int64, err error) {
	err = q.QueryRowContext(ctx, `SELECT earliest FROM journal_blocks WHERE first <= $1 ORDER BY first DESC LIMIT 1`, position).Scan(&millis)
	return millis, err
}
