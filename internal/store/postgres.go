package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

const (
	writers = 4 // connections; PostgreSQL's default limit is 100 for the whole server
	queries = 8 // connections for reading

	// migrationLock is the number of an advisory lock. Only the process with this lock may
	// migrate the tables. The number is "tide" in ASCII.
	migrationLock = application

	name            = "tidewaiter"          // name of the process in pg_stat_activity
	maintenanceName = "tidewaiter-database" // name of exclusive and long-running processes

	dialFor   = 5 * time.Second  // used if connect_timeout is not set
	answerFor = 20 * time.Second // longer than all of the server's limits below
	idleFor   = 5 * time.Minute
	renew     = time.Hour // maximum age of a connection; a new one can use another server
)

// limits are the settings of each connection that serves requests. Without limits, a hanging
// statement, a lock that is never released, or a transaction of a stopped process could block all
// other processes forever. The limits are set by a statement, because poolers refuse such
// parameters at the start of a connection.
const limits = `
	SET lock_timeout = '5s';
	SET statement_timeout = '15s';
	SET idle_in_transaction_session_timeout = '15s';
	SET tcp_keepalives_idle = 10;
	SET tcp_keepalives_interval = 5;
	SET tcp_keepalives_count = 3;` + flushCommits

// flushCommits makes the server flush each commit to disk before it acknowledges the commit, even
// if the server's configuration turns this off.
const flushCommits = `
	SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`

// open opens the database and migrates its tables if needed.
func (s postgresLocation) open(ctx context.Context, create bool) (_ *DB, err error) {
	db := &DB{at: s, writer: s.connect(writers, name, limits, answerFor)}
	defer func() {
		if err != nil {
			db.writer.Close()
		}
	}()
	outdated, empty, err := s.checkTables(ctx, db.writer)
	if err == nil && empty && !create {
		err = ErrMissing
	}
	if err != nil {
		return nil, err
	}
	db.created = empty
	if outdated {
		if err := s.migrate(ctx); err != nil {
			return nil, err
		}
	}
	if err := db.writer.QueryRowContext(ctx, selectInstance).Scan(&db.id); err != nil {
		return nil, err
	}
	db.reader = s.connectReaders()
	return db, nil
}

func (s postgresLocation) openReadOnly(ctx context.Context) (*DB, error) {
	return s.readFrom(ctx, s.connectReaders())
}

// openUnlimited opens the database without time limits, for long-running work.
func (s postgresLocation) openUnlimited(ctx context.Context) (*DB, error) {
	return s.readFrom(ctx, s.connect(2, maintenanceName, `SET default_transaction_read_only = on`, 0))
}

// readFrom opens the database with a pool of read-only connections.
func (s postgresLocation) readFrom(ctx context.Context, pool *sql.DB) (*DB, error) {
	outdated, _, err := s.checkTables(ctx, pool)
	if err == nil && outdated {
		err = ErrOlder
	}
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return &DB{at: s, writer: pool, reader: pool}, nil
}

// openExclusive opens the database without time limits, for long-running work. It recognizes other
// Tidewaiter processes by the application name of their sessions.
func (s postgresLocation) openExclusive(ctx context.Context) (_ *DB, err error) {
	pool := s.connect(2, maintenanceName, flushCommits, 0)
	defer func() {
		if err != nil {
			pool.Close()
		}
	}()
	outdated, _, err := s.checkTables(ctx, pool)
	if err != nil {
		return nil, err
	}
	if err := s.awaitOthers(ctx, pool); err != nil {
		return nil, err
	}
	if outdated {
		if err := s.migrate(ctx); err != nil {
			return nil, err
		}
	}
	return &DB{at: s, writer: pool, reader: pool, exclusive: true}, nil
}

// awaitOthers waits up to 3 seconds for other sessions to end. After a process has stopped, its
// sessions remain for a moment.
func (s postgresLocation) awaitOthers(ctx context.Context, pool *sql.DB) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for range 30 {
		var others int
		err := pool.QueryRowContext(ctx, `
			SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1`, name).Scan(&others)
		if err != nil || others == 0 {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ErrInUse
}

func (s postgresLocation) lockWriters(ctx context.Context, tx *sql.Tx) error {
	tables, err := s.tables(ctx, tx)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `SET LOCAL lock_timeout = '5s'; LOCK TABLE `+strings.Join(tables, ", ")+` IN EXCLUSIVE MODE`)
	return err
}

func (s postgresLocation) tables(ctx context.Context, tx *sql.Tx) ([]string, error) {
	return Texts(ctx, tx, `
		SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
		AND relname <> 'goose_db_version' AND `+ownTable+` ORDER BY relname COLLATE "C"`)
}

// ownTable is a condition that excludes the tables that extensions put into a schema.
const ownTable = `NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = pg_class.oid AND d.deptype = 'e')`

func (s postgresLocation) snapshot() *sql.TxOptions {
	return &sql.TxOptions{Isolation: sql.LevelRepeatableRead}
}

// connectionEnded reports whether err means that an existing connection can no longer be used. It
// returns false for a failed attempt to open a connection.
func (s postgresLocation) connectionEnded(err error) bool {
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	return !connecting && errors.Is(s.explain(err), ErrDown)
}

func (s postgresLocation) connectReaders() *sql.DB {
	return s.connect(queries, name, `SET default_transaction_read_only = on;`+limits, answerFor)
}

// connect returns a pool. It does not dial yet. A connection is closed if the server does not
// answer within the timeout. The timeout 0 means no limit.
func (s postgresLocation) connect(connections int, name, settings string, timeout time.Duration) *sql.DB {
	config := s.config.Copy()
	config.RuntimeParams["application_name"] = name
	if timeout > 0 {
		config.DialFunc = dialWithTimeout(config.DialFunc, timeout)
	}
	pool := stdlib.OpenDB(*config,
		stdlib.OptionBeforeConnect(s.password),
		stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.PgConn().Exec(ctx, settings).ReadAll()
			return err
		}))
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	pool.SetConnMaxIdleTime(idleFor)
	pool.SetConnMaxLifetime(renew)
	return pool
}

// password reads the password file for each connection, because the password can change.
func (s postgresLocation) password(_ context.Context, config *pgx.ConnConfig) error {
	if s.passwordFile == "" {
		return nil
	}
	text, err := os.ReadFile(s.passwordFile)
	if err != nil {
		return fmt.Errorf("reading the password: %w", err)
	}
	config.Password = strings.TrimRight(string(text), "\r\n")
	return nil
}

// checkTables reports whether the tables are older than this binary, and whether the schema is
// empty.
func (s postgresLocation) checkTables(ctx context.Context, pool *sql.DB) (outdated, empty bool, err error) {
	var encoding string
	var schema, versioned, ours bool
	var others int
	err = pool.QueryRowContext(ctx, `
		SELECT current_setting('server_encoding'), current_schema() IS NOT NULL,
		       count(*) FILTER (WHERE relname = 'goose_db_version') > 0,
		       count(*) FILTER (WHERE relname = 'journal_head') > 0,
		       count(*) FILTER (WHERE relname <> 'goose_db_version')
		FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND `+ownTable).
		Scan(&encoding, &schema, &versioned, &ours, &others)
	switch {
	case err != nil:
		return false, false, err
	case encoding != "UTF8":
		return false, false, fmt.Errorf("its encoding is %s: create a database with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0", encoding)
	case !schema:
		return false, false, errors.New("the schema in search_path does not exist")
	case others > 0 && (!ours || !versioned):
		return false, false, fmt.Errorf("%w: it has tables of another program; create a separate database for Tidewaiter", ErrForeign)
	case !versioned:
		return true, others == 0, nil
	}
	var version int64
	if err := pool.QueryRowContext(ctx, selectVersion).Scan(&version); err != nil {
		return false, false, err
	}
	outdated, err = isOutdated(version, postgresFolder)
	return outdated, others == 0, err
}

// migrate migrates the tables. If several processes start together, one migrates and the others
// wait. Older processes continue to run, because a migration never removes tables or columns that
// older processes use.
func (s postgresLocation) migrate(ctx context.Context) (err error) {
	pool := s.connect(2, maintenanceName, flushCommits, 0)
	defer func() { err = errors.Join(err, pool.Close()) }()
	lock, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	// The lock belongs to the session, so the server releases the lock if the process dies.
	if _, err := lock.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(migrationLock)); err != nil {
		return err
	}
	// Another process may have migrated the tables before this process got the lock.
	if outdated, _, err := s.checkTables(ctx, pool); !outdated || err != nil {
		return err
	}
	return applyMigrations(ctx, pool, goose.DialectPostgres, postgresFolder)
}
