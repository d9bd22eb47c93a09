package projection

import (
	"context"
	"database/sql"
	"errors"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// state is the row of a projection.
type state struct {
	instance string // id of the journal's database
	version  int
	position journal.Position // entries up to here were read
	last     journal.Position // position of the last entry that was read
	entry    journal.ID       // id of the last entry that was read
}

const stateColumns = `instance, version, position, last, entry`

func selectState(ctx context.Context, q store.Querier, name string) (state, error) {
	return scanState(q.QueryRowContext(ctx, `SELECT `+stateColumns+` FROM projections WHERE name = $1`, name))
}

// lockState returns the row, and locks it against changes by other processes.
func lockState(ctx context.Context, tx *sql.Tx, name string) (state, error) {
	return scanState(tx.QueryRowContext(ctx, `
		UPDATE projections SET position = position WHERE name = $1 RETURNING `+stateColumns, name))
}

func scanState(row *sql.Row) (s state, err error) {
	var entry []byte
	err = row.Scan(&s.instance, &s.version, &s.position, &s.last, &entry)
	copy(s.entry[:], entry)
	return s, err
}

func updateState(ctx context.Context, tx *sql.Tx, name string, s state) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE projections SET position = $1, last = $2, entry = $3 WHERE name = $4`, s.position, s.last, s.entry[:], name)
	return err
}

// readState returns the row of a projection, or sql.ErrNoRows. It creates the table of the rows if
// the table is missing.
func readState(ctx context.Context, derived *store.Derived, name string) (s state, err error) {
	for _, last := range [...]bool{false, true} {
		tx, err := derived.Snapshot(ctx)
		if err != nil {
			return state{}, err
		}
		s, err = selectState(ctx, tx, name)
		_ = tx.Rollback()
		if err == nil || errors.Is(err, sql.ErrNoRows) || derived.Damaged(err) || last {
			return s, err
		}
		if err := derived.Write(ctx, func(tx *sql.Tx) error { return createStates(ctx, tx, derived) }); err != nil {
			return state{}, err
		}
	}
	return state{}, nil
}

func createStates(ctx context.Context, tx *sql.Tx, derived *store.Derived) error {
	binary := "BLOB"
	if derived.PostgreSQL() {
		binary = "BYTEA"
	}
	_, err := tx.ExecContext(ctx, `
		CREATE TABLE IF NOT EXISTS projections (
			name     TEXT   NOT NULL PRIMARY KEY,
			instance TEXT   NOT NULL, -- id of the journal's database
			version  BIGINT NOT NULL,
			position BIGINT NOT NULL, -- entries up to here were read
			last     BIGINT NOT NULL, -- position of the last entry that was read
			entry    `+binary+` NOT NULL -- id of that entry
		)`)
	return err
}

// reset creates the tables of a projection again, without rows.
func reset(ctx context.Context, tx *sql.Tx, derived *store.Derived, d *Definition, instance string) error {
	if err := createStates(ctx, tx, derived); err != nil {
		return err
	}
	var statements []string
	for _, table := range d.Tables {
		statements = append(statements, "DROP TABLE IF EXISTS "+table)
	}
	for _, statement := range append(statements, d.create(derived.PostgreSQL())) {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO projections (name, `+stateColumns+`) VALUES ($1, $2, $3, 0, 0, $4)
		ON CONFLICT (name) DO UPDATE SET instance = $2, version = $3, position = 0, last = 0, entry = $4`,
		d.Name, instance, d.Version, make([]byte, len(journal.ID{})))
	return err
}
