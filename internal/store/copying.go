package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
)

const (
	rowsAtOnce  = 100     // per statement
	bytesAtOnce = 1 << 20 // per statement, approximately
	tellEvery   = 1000    // rows between two reports

	// changesTable is the table of the change counters. Its rows are not copied, because they
	// are only for processes that watch the source.
	changesTable = "changes"

	// instanceTable is the table of the database's id. A copy has the source's id.
	instanceTable = "instance"
)

// copying is one copy of all tables. It knows only two tables by name: changesTable and
// instanceTable. The migrations of both kinds of database create the same tables and columns.
// There are no foreign keys, so any order of tables works.
type copying struct {
	from, to *DB
	empty    map[string]contents
	progress func(table string, rows, of int64)
}

// contents describes the rows of a table.
type contents struct {
	columns []string
	rows    [][]any // the few rows of an empty database
	sum     sum
}

// sum is the number of rows and the sum of their hashes. The order of the rows does not matter.
// Two tables with equal sums have the same rows. A sum does not protect against forgery.
type sum struct {
	rows int64
	hash [4]uint64
}

func (s *sum) add(row []any) error {
	h := sha256.New()
	for _, value := range row {
		var b []byte
		switch v := value.(type) {
		case nil:
			b = []byte{'n'}
		case int64:
			b = binary.BigEndian.AppendUint64([]byte{'i'}, uint64(v))
		case float64:
			b = binary.BigEndian.AppendUint64([]byte{'f'}, math.Float64bits(v))
		case string:
			b = binary.BigEndian.AppendUint64([]byte{'t'}, uint64(len(v)))
			b = append(b, v...)
		case []byte:
			b = binary.BigEndian.AppendUint64([]byte{'b'}, uint64(len(v)))
			h.Write(b)
			b = v
		default:
			return fmt.Errorf("cannot copy a value of type %T", v)
		}
		h.Write(b)
	}
	s.rows++
	digest := h.Sum(nil)
	for i := range s.hash {
		s.hash[i] += binary.BigEndian.Uint64(digest[8*i:])
	}
	return nil
}

// newContents returns the contents of the tables of a new database.
func newContents(ctx context.Context) (map[string]contents, error) {
	db, err := Open(ctx, "sqlite::memory:")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	all := make(map[string]contents)
	err = db.Snapshot(ctx, func(tx *sql.Tx) error {
		tables, err := db.at.tables(ctx, tx)
		for _, table := range tables {
			c := contents{}
			if c.columns, err = columnsOf(ctx, tx, table); err != nil {
				return err
			}
			err = scan(ctx, tx, table, c.columns, func(row []any) error {
				c.rows = append(c.rows, slices.Clone(row))
				return c.sum.add(row)
			})
			if err != nil {
				return err
			}
			all[table] = c
		}
		return err
	})
	return all, err
}

// run copies all tables, reads the copied rows back, and commits if they equal the rows of the
// source.
func (c *copying) run(ctx context.Context) (copied Copied, err error) {
	source, err := c.from.reader.BeginTx(ctx, c.from.at.snapshot())
	if err != nil {
		return Copied{}, c.from.at.explain(err)
	}
	defer source.Rollback()
	if c.from.exclusive {
		if err := c.from.at.lockWriters(ctx, source); err != nil {
			return Copied{}, c.from.at.explain(err)
		}
	}
	err = c.to.Write(ctx, "", func(target *sql.Tx) error {
		if err := c.to.at.lockWriters(ctx, target); err != nil {
			return err
		}
		tables, err := c.sameTables(ctx, source, target)
		if err != nil {
			return err
		}
		for _, table := range tables {
			if err := c.checkEmpty(ctx, target, table); err != nil {
				return err
			}
		}
		for _, table := range tables {
			n, err := c.copyTable(ctx, source, target, table)
			if err != nil {
				return fmt.Errorf("table %s: %w", table, err)
			}
			copied.Tables, copied.Rows = copied.Tables+1, copied.Rows+n
		}
		// Watchers of either database must reload everything.
		for _, tx := range []*sql.Tx{source, target} {
			topics, err := Texts(ctx, tx, "SELECT topic FROM "+changesTable)
			if err != nil {
				return err
			}
			for _, topic := range topics {
				if err := bump(ctx, target, topic); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return copied, err
}

// sameTables returns the tables to copy. It fails if the two databases have different tables.
func (c *copying) sameTables(ctx context.Context, source, target *sql.Tx) ([]string, error) {
	tables, err := c.from.at.tables(ctx, source)
	if err != nil {
		return nil, c.from.at.explain(err)
	}
	others, err := c.to.at.tables(ctx, target)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(tables, others) {
		return nil, fmt.Errorf("their tables differ: %s and %s", strings.Join(tables, ", "), strings.Join(others, ", "))
	}
	return slices.DeleteFunc(tables, func(table string) bool { return table == changesTable }), nil
}

// checkEmpty fails with ErrNotEmpty if the rows of a table differ from those of a new database.
func (c *copying) checkEmpty(ctx context.Context, target *sql.Tx, table string) error {
	want, ok := c.empty[table]
	if !ok {
		return fmt.Errorf("unknown table %s", table)
	}
	if table == instanceTable {
		return nil // each database has its own id
	}
	var found sum
	err := scan(ctx, target, table, want.columns, func(row []any) error {
		if found.rows == want.sum.rows {
			return ErrNotEmpty
		}
		return found.add(row)
	})
	if err == nil && found != want.sum {
		err = ErrNotEmpty
	}
	return err
}

func (c *copying) copyTable(ctx context.Context, source, target *sql.Tx, table string) (rows int64, err error) {
	columns, err := columnsOf(ctx, source, table)
	if err != nil {
		return 0, err
	}
	var of int64
	if err := source.QueryRowContext(ctx, "SELECT count(*) FROM "+quote(table)).Scan(&of); err != nil {
		return 0, err
	}
	if _, err := target.ExecContext(ctx, "DELETE FROM "+quote(table)); err != nil {
		return 0, err
	}
	var read, kept sum
	into := &inserter{tx: target, table: table, columns: columns}
	err = scan(ctx, source, table, columns, func(row []any) error {
		if err := read.add(row); err != nil {
			return err
		}
		if read.rows%tellEvery == 0 {
			c.tell(table, read.rows, of)
		}
		return into.add(ctx, row)
	})
	if err != nil {
		return 0, err
	}
	if err := into.flush(ctx); err != nil {
		return 0, err
	}
	if err := scan(ctx, target, table, columns, kept.add); err != nil {
		return 0, err
	}
	if read.rows != of || kept != read {
		return 0, fmt.Errorf("%d rows were read and %d rows were written, but the rows differ", read.rows, kept.rows)
	}
	c.tell(table, of, of)
	return of, nil
}

func (c *copying) tell(table string, rows, of int64) {
	if c.progress != nil {
		c.progress(table, rows, of)
	}
}

// undo empties the target again.
func (c *copying) undo(ctx context.Context) error {
	err := c.to.Write(ctx, "", func(tx *sql.Tx) error {
		for table, fresh := range c.empty {
			if table == changesTable {
				continue
			}
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+quote(table)); err != nil {
				return err
			}
			into := &inserter{tx: tx, table: table, columns: fresh.columns}
			for _, row := range fresh.rows {
				if err := into.add(ctx, row); err != nil {
					return err
				}
			}
			if err := into.flush(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("emptying %s again: %w", c.to, err)
	}
	return nil
}

// inserter inserts rows, many per statement.
type inserter struct {
	tx      *sql.Tx
	table   string
	columns []string
	values  []any
	bytes   int
}

func (i *inserter) add(ctx context.Context, row []any) error {
	for _, value := range row {
		if b, ok := value.([]byte); ok {
			i.bytes += len(b)
		}
	}
	i.values = append(i.values, row...)
	if len(i.values) >= rowsAtOnce*len(i.columns) || i.bytes >= bytesAtOnce {
		return i.flush(ctx)
	}
	return nil
}

func (i *inserter) flush(ctx context.Context) error {
	if len(i.values) == 0 {
		return nil
	}
	var text strings.Builder
	fmt.Fprintf(&text, "INSERT INTO %s (%s) VALUES ", quote(i.table), list(i.columns))
	for n := range i.values {
		switch {
		case n == 0:
			text.WriteString("(")
		case n%len(i.columns) == 0:
			text.WriteString("), (")
		default:
			text.WriteString(", ")
		}
		fmt.Fprintf(&text, "$%d", n+1)
	}
	text.WriteString(")")
	_, err := i.tx.ExecContext(ctx, text.String(), i.values...)
	clear(i.values)
	i.values, i.bytes = i.values[:0], 0
	return err
}

// scan calls the function visit with every row of a table. It reuses the slice for the next row,
// but not the values in the slice.
func scan(ctx context.Context, tx *sql.Tx, table string, columns []string, visit func(row []any) error) error {
	rows, err := tx.QueryContext(ctx, "SELECT "+list(columns)+" FROM "+quote(table))
	if err != nil {
		return err
	}
	defer rows.Close()
	row, places := make([]any, len(columns)), make([]any, len(columns))
	for i := range row {
		places[i] = &row[i]
	}
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return err
		}
		for i := range row {
			// SQLite's driver returns nil for an empty blob, and stores nil as NULL.
			if b, ok := row[i].([]byte); ok && b == nil {
				row[i] = []byte{}
			}
		}
		if err := visit(row); err != nil {
			return err
		}
	}
	return rows.Err()
}

func columnsOf(ctx context.Context, tx *sql.Tx, table string) ([]string, error) {
	rows, err := tx.QueryContext(ctx, "SELECT * FROM "+quote(table)+" LIMIT 0")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	return rows.Columns()
}

// quote quotes an identifier. Names in the migrations need no escaping.
func quote(name string) string { return `"` + name + `"` }

func list(columns []string) string { return quote(strings.Join(columns, `", "`)) }
