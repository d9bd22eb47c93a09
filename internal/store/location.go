package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// location is the address of a database: a sqliteLocation or a postgresLocation.
type location interface {
	// String returns the database's name for messages, without secrets.
	String() string
	// open opens the database. If it does not exist, open creates it or fails with ErrMissing.
	open(ctx context.Context, create bool) (*DB, error)
	openReadOnly(ctx context.Context) (*DB, error)
	// openUnlimited opens the database read-only and without time limits, for long-running work.
	openUnlimited(ctx context.Context) (*DB, error)
	// openExclusive opens the database without time limits, for long-running work. It fails with
	// ErrInUse while another process has the database open.
	openExclusive(ctx context.Context) (*DB, error)
	// lockWriters blocks other writers until the transaction ends. It must be the first
	// statement in the transaction.
	lockWriters(ctx context.Context, tx *sql.Tx) error
	// tables lists all tables except the table of the migrations.
	tables(ctx context.Context, tx *sql.Tx) ([]string, error)
	// explain wraps err with the matching error of this package and with advice. If err already
	// wraps such an error, explain returns err unchanged.
	explain(err error) error
	// connectionEnded reports whether err means that a connection had already ended before its
	// use.
	connectionEnded(err error) bool
	// snapshot returns the options for a transaction that sees one consistent state of the
	// database.
	snapshot() *sql.TxOptions
	// openDerived opens the derived database of the database main. If the derived database
	// does not exist, it is created if write is true. Otherwise openDerived fails with
	// ErrMissing.
	openDerived(ctx context.Context, main *DB, write bool) (*Derived, error)
}

// parse parses a database URL. Its errors never contain text that may be a password.
func parse(text string) (location, error) {
	scheme, rest, found := strings.Cut(text, ":")
	switch {
	case !found:
		return nil, fmt.Errorf("reading database URL %q: it has no scheme (did you mean %q?)", text, "sqlite:"+text)
	case scheme == "sqlite":
		return parseSQLite(text, rest)
	case scheme == "postgres" || scheme == "postgresql":
		return parsePostgres(text)
	}
	return nil, fmt.Errorf("reading database URL: unknown scheme %q; write sqlite:///path/to/state.db or postgres://user@host/database", scheme)
}
