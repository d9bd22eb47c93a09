// Package marker remembers which database each config had. It answers: is a missing database new,
// or was it lost?
//
// At the first start, a missing database must be created. Later, a database can be missing because
// a disk is not mounted, a path has a typing error, or the file was deleted. A new database would
// then replace users, rules and the journal without a warning.
package marker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/durable"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// FileName is the name of the marker file, which is in the folder of the signing key.
const FileName = "tidewaiter-database.json"

// marker is the content of the file. Configs that share a signing key also share this file.
type marker struct {
	Databases map[string]usedDatabase `json:"databases"` // by path of the config
}

// usedDatabase describes the database that a config used before.
type usedDatabase struct {
	Database string `json:"database"` // the database's name, without secrets
	ID       string `json:"id"`
}

// Open opens the database of a config. It creates a missing database if the config never had a
// database, or if create is true.
func Open(ctx context.Context, cfg *config.Config, create bool, log *slog.Logger) (*store.DB, error) {
	if store.InMemory(cfg.Database) {
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
		return nil, fmt.Errorf("%w%s", err, before.missingAdvice(at))
	}
	if err != nil {
		return nil, err
	}
	switch {
	case db.Created():
		log.Info("created a new database", "database", db.String(), "id", db.ID())
	case known && before.ID != db.ID():
		log.Warn("the database is not the one that this config used before", "database", db.String(), "id", db.ID(), "before", before.Database, "id_before", before.ID)
	}
	if now := (usedDatabase{db.String(), db.ID()}); now != before {
		if m.Databases == nil {
			m.Databases = make(map[string]usedDatabase)
		}
		m.Databases[name] = now
		if err := m.write(at); err != nil && !errors.Is(err, fs.ErrPermission) {
			log.Info("writing the marker file of the database failed", "error", err)
		}
	}
	return db, nil
}

// missingAdvice returns the advice for an error about a missing database that the marker file
// lists.
func (h usedDatabase) missingAdvice(marker string) string {
	return fmt.Sprintf("; this config had one at %s (recorded in %s): put it back, mount its disk, or restore a backup with `tidewaiter database restore FILE`; "+
		"to start over without its users, rules and journal: `tidewaiter serve --create-database`", h.Database, marker)
}

// markerOf reads the marker. It returns the marker's path, the key of the config in Databases,
// and the content.
func markerOf(cfg *config.Config) (file, name string, m marker, err error) {
	file = filepath.Join(filepath.Dir(cfg.Signing.Key), FileName)
	if name, err = filepath.Abs(cfg.File); err == nil {
		m, err = readMarker(file)
	}
	return file, name, m, err
}

// Missing returns the advice for a missing database. It returns "" if the config never had a
// database, because the service then creates one.
func Missing(cfg *config.Config) string {
	at, name, m, _ := markerOf(cfg)
	if before, known := m.Databases[name]; known {
		return before.missingAdvice(at)
	}
	return ""
}

// Advise adds advice about a missing database to an error of store.OpenReadOnly.
func Advise(cfg *config.Config, err error) error {
	if !errors.Is(err, store.ErrMissing) {
		return err
	}
	return fmt.Errorf("%w%s", err, cmp.Or(Missing(cfg), "; the service creates it at its first start: tidewaiter serve"))
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

// write replaces the file atomically. The file is world-readable, because the command line and the
// service can run as different users. It has no secrets.
func (m marker) write(file string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.WriteFile(file, append(text, '\n'), 0o644, true); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}
