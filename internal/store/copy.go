package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// CopyOptions are the settings of a copy. The zero value is ready to use.
type CopyOptions struct {
	// Progress is called often while a table is copied, and once when the table is complete.
	// nil: no reports.
	Progress func(table string, rows, of int64)
	// Verify checks the complete copy. If Verify returns an error, the copy is undone. If
	// Verify is nil, only the rows are compared.
	Verify func(ctx context.Context, copied *DB) error
}

// Copied is the result of a copy.
type Copied struct {
	Tables int
	Rows   int64
}

// Backup writes a snapshot of the database at url to a new SQLite file. Other processes can use
// the database during the backup. The file appears under its name when it is complete and on
// disk. The backup is itself a database. Only the owner of the file can read it, because the file
// contains password hashes.
func Backup(ctx context.Context, url, file string, o CopyOptions) (copied Copied, err error) {
	if _, err := os.Lstat(file); err == nil {
		return Copied{}, fmt.Errorf("writing backup %s: %w", file, errExists)
	}
	from, err := opened(ctx, url, location.openUnlimited)
	if err != nil {
		return Copied{}, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	// Write to a folder beside the target, so that the complete file appears under its name in
	// one step. After a crash, the folder with the incomplete file remains.
	path, err := filepath.Abs(file)
	if err != nil {
		return Copied{}, fmt.Errorf("writing backup %s: %w", file, err)
	}
	folder, err := os.MkdirTemp(filepath.Dir(path), "."+filepath.Base(file)+".part-")
	if err != nil {
		return Copied{}, fmt.Errorf("writing backup %s: %w", file, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	part := sqliteAt(file, filepath.Join(folder, "state.db"))
	if copied, err = copyAll(ctx, from, part, o); err != nil {
		return Copied{}, err
	}
	if err := settle(part.path, path); err != nil {
		return Copied{}, fmt.Errorf("writing backup %s: %w", file, err)
	}
	return copied, nil
}

// errExists means that the file of a backup exists.
var errExists = errors.New("the file exists already")

// settle gives a complete file its final name, durably. It fails if another file has this name. On
// a file system without links, it renames the file.
func settle(part, file string) error {
	if err := flush(part); err != nil {
		return err
	}
	switch err := os.Link(part, file); {
	case errors.Is(err, fs.ErrExist):
		return errExists
	case err != nil:
		if err := os.Rename(part, file); err != nil {
			return err
		}
	}
	return flush(filepath.Dir(file))
}

func flush(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Restore copies a backup to the database at url. The target must be empty or missing, and must
// not be in use. A backup by an older version is migrated during the copy. The backup file does
// not change.
func Restore(ctx context.Context, file, url string, o CopyOptions) (copied Copied, err error) {
	to, err := parse(url)
	if err != nil {
		return Copied{}, err
	}
	// Work on a duplicate, because opening a database writes other files next to it and migrates
	// old tables.
	folder, err := os.MkdirTemp("", "tidewaiter-restore-")
	if err != nil {
		return Copied{}, fmt.Errorf("reading backup %s: %w", file, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	backup := sqliteAt(file, filepath.Join(folder, "state.db"))
	if err := duplicate(file, backup.path); err != nil {
		return Copied{}, fmt.Errorf("reading backup: %w", err)
	}
	from, err := backup.open(ctx, true)
	if err != nil {
		return Copied{}, fmt.Errorf("reading backup %s: %w", file, backup.explain(err))
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	return copyAll(ctx, from, to, o)
}

func duplicate(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, in)
	if err == nil && n == 0 { // SQLite would treat an empty file as a new database
		err = fmt.Errorf("%s is empty", from)
	}
	return errors.Join(err, out.Close())
}

// Copy copies the first database to the second, which must be empty or missing. Both are given
// as URLs and must not be in use. The source is not changed, but should not be used after the
// copy.
func Copy(ctx context.Context, sourceURL, targetURL string, o CopyOptions) (copied Copied, err error) {
	source, err := parse(sourceURL)
	if err != nil {
		return Copied{}, err
	}
	target, err := parse(targetURL)
	if err != nil {
		return Copied{}, err
	}
	if source.String() == target.String() {
		return Copied{}, fmt.Errorf("copying database %s: source and target are the same", source)
	}
	if p, ok := source.(sqliteLocation); ok && p.path != "" {
		if _, err := os.Stat(p.path); err != nil { // opening a missing file would create it
			return Copied{}, fmt.Errorf("opening database %s: %w", source, err)
		}
	}
	db, err := opened(ctx, sourceURL, location.openExclusive)
	if err != nil {
		return Copied{}, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return copyAll(ctx, db, target, o)
}

// copyAll copies all tables in one transaction of each database. A crash before the target's
// commit leaves the target unchanged.
func copyAll(ctx context.Context, from *DB, to location, o CopyOptions) (copied Copied, err error) {
	db, err := to.openExclusive(ctx)
	if err != nil {
		return Copied{}, fmt.Errorf("opening database %s: %w", to, to.explain(err))
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	empty, err := newContents(ctx)
	if err != nil {
		return Copied{}, fmt.Errorf("creating an empty database: %w", err)
	}
	c := &copying{from: from, to: db, empty: empty, progress: o.Progress}
	if copied, err = c.run(ctx); err != nil {
		return Copied{}, fmt.Errorf("copying %s to %s: %w", from, to, err)
	}
	if o.Verify == nil {
		return copied, nil
	}
	if err := o.Verify(ctx, db); err != nil {
		err = fmt.Errorf("verifying the copy in %s: %w", to, err)
		return Copied{}, errors.Join(err, c.undo(context.WithoutCancel(ctx)))
	}
	return copied, nil
}
