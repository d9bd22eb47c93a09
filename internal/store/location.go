package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// location is where a database lies: a place for SQLite, or a server.
type location interface {
	// String returns its name for messages, without any secret.
	String() string
	// open opens it. Where there is none it makes one if it may create it, else it fails with ErrMissing.
	open(ctx context.Context, create bool) (*DB, error)
	openReadOnly(ctx context.Context) (*DB, error)
	// openBeside is openReadOnly for long work.
	openBeside(ctx context.Context) (*DB, error)
	// openAlone opens it as Open does, for long work, but fails with ErrInUse while somebody else has it open.
	openAlone(ctx context.Context) (*DB, error)
	// occupy keeps others from writing until the transaction ends. It comes first in one.
	occupy(ctx context.Context, tx *sql.Tx) error
	// tables lists all tables but that of the migrations.
	tables(ctx context.Context, tx *sql.Tx) ([]string, error)
	// explain gives errors the names that callers know, and words that help people. What has such a name stays as it is.
	explain(err error) error
	// stale says whether err means that a connection had ended before it was used.
	stale(err error) bool
	// snapshot is a transaction that sees one moment only.
	snapshot() *sql.TxOptions
}

// parse reads a database URL. Its errors do not repeat what may be a password.
func parse(text string) (location, error) {
	scheme, rest, found := strings.Cut(text, ":")
	switch {
	case !found:
		return nil, fmt.Errorf("reading database URL %q: it has no scheme (did you mean %q?)", text, "sqlite:"+text)
	case scheme == "sqlite":
		return parsePlace(text, rest)
	case scheme == "postgres" || scheme == "postgresql":
		return parseServer(text)
	}
	return nil, fmt.Errorf("reading database URL: unknown scheme %q; write sqlite:///path/to/state.db or postgres://user@host/database", scheme)
}
