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

// insertAtOnce is the maximum number of rows in a statement.
const insertAtOnce = 256

// head is the state of the journal after the last block.
type head struct {
	next      Position // position of the next entry
	principal int64    // number of the next new principal
	floor     int64    // smallest number of a principal in new blocks; see maintainer.sweep
	hash      hash     // hash of the last block
	base      Position // position of the last entry of format 1; see originLeaf
	chain     hash     // hash of the last block of format 1
	frontier  []byte   // frontier of the tree; empty before the first block of format 2
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

func scanHead(row store.Row) (h head, err error) {
	var sum, chain []byte
	err = row.Scan(&h.next, &h.principal, &h.floor, &sum, &h.base, &chain, &h.frontier)
	copy(h.hash[:], sum)
	copy(h.chain[:], chain)
	return h, err
}

// putNodes stores complete subtrees. If there is a row with the same key, the row belongs to
// another tree, and putNodes replaces it.
func putNodes(ctx context.Context, tx *sql.Tx, nodes []tree.Node) error {
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

// selectNodes returns complete subtrees of a level, from a number on, up to the limit.
func selectNodes(ctx context.Context, q store.Querier, level int, number int64, limit int) ([]tree.Node, error) {
	return store.Collect(ctx, q, func(row store.Row) (tree.Node, error) {
		n := tree.Node{Level: level}
		var sum []byte
		err := row.Scan(&n.Number, &sum)
		copy(n.Hash[:], sum)
		return n, err
	}, `SELECT number, hash FROM journal_nodes WHERE level = $1 AND number >= $2 ORDER BY number LIMIT $3`, level, number, limit)
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

const blockColumns = `SELECT first, entries, earliest, latest, previous, hash, content FROM journal_blocks `

func scanBlock(row store.Row) (*block, error) {
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
// range. If there is no such block, the first position is greater than the last.
func selectBlocksBetween(ctx context.Context, q store.Querier, since, until int64) (first, last Position, err error) {
	err = q.QueryRowContext(ctx, `
		SELECT coalesce(min(first), 1), coalesce(max(first), 0) FROM journal_blocks
		WHERE latest >= $1 AND earliest < $2`, since, until).Scan(&first, &last)
	return first, last, err
}

// selectBlocksBack returns the blocks that begin at or before a position, the last block first,
// up to the limit. It adds up the sizes of the contents, and stops after the block with which the
// sum exceeds maxBytes.
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

// selectBlocksByIDTime returns the positions of the blocks that can contain an id of a time range.
// It skips a block if the time of its latest id is more than slack milliseconds after the end of
// the range.
func selectBlocksByIDTime(ctx context.Context, q store.Querier, from, to, slack int64) ([]Position, error) {
	return store.Collect(ctx, q, func(row store.Row) (first Position, err error) {
		err = row.Scan(&first)
		return first, err
	}, `SELECT first FROM journal_blocks
		WHERE latest >= $1 AND latest <= $2 AND earliest <= $3 ORDER BY latest`, from, to+slack, to)
}

// selectPrincipals calls the function visit for each of the numbered principals that exists.
func selectPrincipals(ctx context.Context, q store.Querier, numbers []int64, visit func(number int64, sum, text []byte)) error {
	list, args := inList(1, numbers)
	_, err := store.Collect(ctx, q, func(row store.Row) (number int64, err error) {
		var sum, text []byte
		if err = row.Scan(&number, &sum, &text); err == nil {
			visit(number, sum, text)
		}
		return number, err
	}, `SELECT number, hash, principal FROM journal_principals WHERE number IN `+list, args...)
	return err
}

// storedCheckpoint is a row of journal_checkpoints; see package checkpoint.
type storedCheckpoint struct {
	size int64
	note []byte
}

// selectCheckpoints returns the stored checkpoints, the smallest tree first.
func selectCheckpoints(ctx context.Context, q store.Querier) ([]storedCheckpoint, error) {
	return store.Collect(ctx, q, func(row store.Row) (c storedCheckpoint, err error) {
		err = row.Scan(&c.size, &c.note)
		return c, err
	}, `SELECT size, note FROM journal_checkpoints ORDER BY size`)
}

// selectTimeAt returns the earliest time of the block that contains a position, or of the block
// before that position.
func selectTimeAt(ctx context.Context, q store.Querier, position Position) (millis int64, err error) {
	err = q.QueryRowContext(ctx, `SELECT earliest FROM journal_blocks WHERE first <= $1 ORDER BY first DESC LIMIT 1`, position).Scan(&millis)
	return millis, err
}

// inList returns a list of SQL parameters for the numbers, such as ($2, $3), and the arguments.
// The first SQL parameter has the given number.
func inList[T ~int64](first int, numbers []T) (parameters string, args []any) {
	var b strings.Builder
	b.WriteByte('(')
	for i, n := range numbers {
		fmt.Fprintf(&b, "%s$%d", list(i, "", ", "), first+i)
		args = append(args, n)
	}
	return b.String() + ")", args
}
