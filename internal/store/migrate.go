package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"

	"github.com/pressly/goose/v3"
)

// One folder per dialect. The migrations create the tables of all packages.
//
//go:embed migrations
var migrations embed.FS

const (
	sqliteFolder   = "migrations/sqlite"
	postgresFolder = "migrations/postgres"
)

// newestVersion returns the version of the newest migration in this binary. The version is the
// number with which the name of the migration's file begins.
func newestVersion(folder string) (int64, error) {
	files, err := fs.ReadDir(migrations, folder)
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("reading migrations: %w", err)
	}
	return goose.NumericComponent(files[len(files)-1].Name()) // sorted
}

// selectVersion selects the version of the last applied migration, or 0 if no migration is applied.
const selectVersion = "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied"

// isOutdated reports whether tables of the given version need a migration. It fails with ErrNewer
// if the tables are newer than this binary.
func isOutdated(version int64, folder string) (bool, error) {
	newest, err := newestVersion(folder)
	if err == nil && version > newest {
		err = fmt.Errorf("%w (the tables have version %d, this version supports %d)", ErrNewer, version, newest)
	}
	return version < newest, err
}

// migrate migrates the tables of a file. It opens the file exclusively, because a process that
// uses the old tables cannot use the new tables.
func (p sqliteLocation) migrate(ctx context.Context) error {
	pool, err := p.connect(1, url.Values{
		"_txlock": {"immediate"},
		"_pragma": exclusiveSettings(),
	}, nil)
	if err != nil {
		return err
	}
	return errors.Join(upFile(ctx, pool), pool.Close())
}

// exclusiveSettings returns the settings of a connection with exclusive access. EXCLUSIVE must
// come before WAL. In this order, the log needs no shared memory, and other processes find the
// file locked.
func exclusiveSettings() []string { return settings("locking_mode(EXCLUSIVE)", "journal_mode(WAL)") }

// upFile applies missing migrations, each in its own transaction, and sets the version in the
// file's header. After a crash, some migrations or the version are missing, and the next Open
// adds them.
func upFile(ctx context.Context, pool *sql.DB) error {
	// Set the application id before creating tables, so that a file with only some of the
	// tables is recognized as Tidewaiter's.
	if _, err := pool.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", application)); err != nil {
		return err
	}
	if err := applyMigrations(ctx, pool, goose.DialectSQLite3, sqliteFolder); err != nil {
		return err
	}
	version, err := newestVersion(sqliteFolder)
	if err != nil {
		return err
	}
	_, err = pool.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version))
	return err
}

// applyMigrations applies missing migrations, each in its own transaction.
func applyMigrations(ctx context.Context, pool *sql.DB, dialect goose.Dialect, folder string) error {
	files, err := fs.Sub(migrations, folder)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(dialect, pool, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("reading migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrating tables: %w", err)
	}
	return nil
}
