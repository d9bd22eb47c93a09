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
	"github.com/tidewaiter/tidewaiter/internal/setup"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
)

// markerName is a file beside the signing key that records which database each config had. A
// missing database is created, which is right at the first start. It is wrong if a disk was not
// mounted, a path has a typing error, or the file was deleted: users, rules and the journal
// would be lost silently.
const markerName = "tidewaiter-database.json"

// marker is the content of the file. Several configs may share a key.
type marker struct {
	Databases map[string]had `json:"databases"` // by path of the config
}

// had is a database that a config had.
type had struct {
	Database string `json:"database"` // its name, without secrets
	ID       string `json:"id"`
}

// openDatabase opens the database of a config. It creates a missing one if the config never had
// one, or if create is true.
func openDatabase(ctx context.Context, cfg *config.Config, create bool, log *slog.Logger) (*store.DB, error) {
	if inMemory(cfg.Database) {
		return store.Open(ctx, cfg.Database)
	}
	at, name, m, err := markerOf(cfg)
	if err != nil {
		log.Warn("cannot read whether this config had a database", "error", err)
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
		log.Info("created a new database", "database", db.String(), "id", db.ID())
	case known && before.ID != db.ID():
		log.Warn("this is a different database than before", "database", db.String(), "id", db.ID(), "before", before.Database, "id_before", before.ID)
	}
	if now := (had{db.String(), db.ID()}); now != before {
		if m.Databases == nil {
			m.Databases = make(map[string]had)
		}
		m.Databases[name] = now
		if err := m.write(at); err != nil && !errors.Is(err, fs.ErrPermission) {
			log.Info("writing the marker file of the database failed", "error", err)
		}
	}
	return db, nil
}

// missing returns what to do if the database is missing and the marker names one.
func (h had) missing(marker string) string {
	return fmt.Sprintf("; this config had one at %s (recorded in %s): put it back, mount its disk, or restore a backup with `tidewaiter database restore FILE`; "+
		"to start over without its users, rules and journal: `tidewaiter serve --create-database`", h.Database, marker)
}

// markerOf reads the marker: its file, the name of the config in it, and the content.
func markerOf(cfg *config.Config) (file, name string, m marker, err error) {
	file = filepath.Join(filepath.Dir(cfg.Signing.Key), markerName)
	if name, err = filepath.Abs(cfg.File); err == nil {
		m, err = readMarker(file)
	}
	return file, name, m, err
}

// CheckDatabase checks a database in a file. Problems would prevent the service from starting,
// or make it start with a part of its data.
func CheckDatabase(ctx context.Context, cfg *config.Config) (wrong strictyaml.Problems) {
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
		return strictyaml.Problems{{File: cfg.File, Text: "there is no database" + before.missing(at)}}
	case errors.Is(err, store.ErrDamaged), errors.Is(err, store.ErrForeign), errors.Is(err, store.ErrNewer):
		return strictyaml.Problems{{File: cfg.File, Text: err.Error()}}
	}
	return nil // it is not created yet, will be migrated, or is busy
}

// readMarker reads the file, or returns the zero marker.
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

// write replaces the file atomically. It is world-readable: it has no secrets, and another user
// than that of the service may run the command line.
func (m marker) write(file string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := setup.WriteFile(file, append(text, '\n'), 0o644, true); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}
