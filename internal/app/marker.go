package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// markerName is the file beside the signing key that says which database each config had. A database that is not there is
// made anew, which is right for a first start, and wrong when a disk was not mounted, a path has a slip in it or
// somebody deleted the file: users, rules and the journal would be gone without a word.
const markerName = "tidewaiter-database.json"

// marker is the content of the file. Several configs may share a key.
type marker struct {
	Databases map[string]had `json:"databases"` // by the path of the config
}

// had is a database that a config had.
type had struct {
	Database string `json:"database"` // its name, without secrets
	ID       string `json:"id"`
}

// openDatabase opens the database of a config, and makes one where there never was one, or where create says that it is
// meant. log is told what should be known.
func openDatabase(ctx context.Context, cfg *config.Config, create bool, log *slog.Logger) (*store.DB, error) {
	if inMemory(cfg.Database) {
		return store.Open(ctx, cfg.Database)
	}
	at, name, m, err := markerOf(cfg)
	if err != nil {
		log.Warn("it is not known whether this config had a database", "error", err)
	}
	before, known := m.Databases[name]
	open := store.OpenExisting
	if !known || create {
		open = store.Open
	}
	db, err := open(ctx, cfg.Database)
	if errors.Is(err, store.ErrMissing) {
		return nil, fmt.Errorf("%w%s", err, before.missing(at))
	}
	if err != nil {
		return nil, err
	}
	switch {
	case db.Created():
		log.Info("a new database was made", "database", db.String(), "id", db.ID())
	case known && before.ID != db.ID():
		log.Warn("this is another database than before", "database", db.String(), "id", db.ID(), "before", before.Database, "id_before", before.ID)
	}
	if now := (had{db.String(), db.ID()}); now != before {
		if m.Databases == nil {
			m.Databases = make(map[string]had)
		}
		m.Databases[name] = now
		if err := m.write(at); err != nil && !errors.Is(err, fs.ErrPermission) {
			log.Info("no marker says which database this config has", "error", err)
		}
	}
	return db, nil
}

// missing says what to do where there is no database and a marker says that there was one.
func (h had) missing(marker string) string {
	return fmt.Sprintf(", and this config had one, in %s, says %s: put it back, mount its disk, or restore a backup with `tidewaiter database restore FILE`; "+
		"to start over without its users, rules and journal: `tidewaiter serve --create-database`", h.Database, marker)
}

// markerOf reads the marker for a config: the file, the config's name in it, and what it says.
func markerOf(cfg *config.Config) (file, name string, m marker, err error) {
	file = filepath.Join(filepath.Dir(cfg.Signing.Key), markerName)
	if name, err = filepath.Abs(cfg.File); err == nil {
		m, err = readMarker(file)
	}
	return file, name, m, err
}

// CheckDatabase looks through a database in a file. What is wrong would keep the service from starting, or let it start
// with a part of what was kept.
func CheckDatabase(ctx context.Context, cfg *config.Config) (wrong config.Problems) {
	if inMemory(cfg.Database) || !strings.HasPrefix(cfg.Database, "sqlite:") {
		return nil
	}
	db, err := store.OpenReadOnly(ctx, cfg.Database)
	if err == nil {
		err = errors.Join(db.Check(ctx), db.Close())
	}
	at, name, m, _ := markerOf(cfg)
	switch before, known := m.Databases[name]; {
	case errors.Is(err, fs.ErrNotExist) && known:
		return config.Problems{{File: cfg.File, Text: "there is no database" + before.missing(at)}}
	case errors.Is(err, store.ErrDamaged), errors.Is(err, store.ErrForeign), errors.Is(err, store.ErrNewer):
		return config.Problems{{File: cfg.File, Text: err.Error()}}
	}
	return nil // there is none yet, or it will be brought up to date, or is busy
}

// readMarker reads the file; the zero marker if there is none.
func readMarker(file string) (m marker, err error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return marker{}, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return marker{}, fmt.Errorf("reading %s: %w", file, err)
	}
	return m, nil
}

// write replaces the file, whole or not at all. Everybody may read it: there is no secret in it, and the command
// line may be used by another user than the service.
func (m marker) write(file string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(file), "."+markerName+"-")
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	_, err = part.Write(append(text, '\n'))
	err = errors.Join(err, part.Chmod(0o644), part.Sync(), part.Close())
	if err == nil {
		err = os.Rename(part.Name(), file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", file, err), os.Remove(part.Name()))
	}
	return nil
}
