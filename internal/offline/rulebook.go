package offline

import (
	"context"
	"errors"
	"io/fs"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

// OpenRulebook opens the rulebook of a config for changes. It does not compile a policy, so that
// a conflict between files and database can be repaired. The database is created if it is
// missing.
func OpenRulebook(ctx context.Context, cfg *config.Config) (_ *rulebook.Rulebook, closing func() error, err error) {
	return change(ctx, cfg, func(db *store.DB, j *journal.Journal) (*rulebook.Rulebook, error) {
		return openRulebook(db, j, Files(cfg))
	})
}

// ReadRulebook is OpenRulebook without changes: it neither creates nor writes anything.
func ReadRulebook(ctx context.Context, cfg *config.Config) (_ *rulebook.Rulebook, closing func() error, err error) {
	return readRulebook(ctx, cfg.Database, Files(cfg))
}

func readRulebook(ctx context.Context, database string, files rulebook.Files) (_ *rulebook.Rulebook, closing func() error, err error) {
	return read(ctx, database, func(db *store.DB) (*rulebook.Rulebook, error) { return openRulebook(db, nil, files) })
}

func openRulebook(db *store.DB, j *journal.Journal, files rulebook.Files) (*rulebook.Rulebook, error) {
	return rulebook.New(RulebookOptions(db, j), files)
}

// RulebookOptions are the options of each rulebook, in a service too.
func RulebookOptions(db *store.DB, j *journal.Journal) rulebook.Options {
	return rulebook.Options{DB: db, Journal: j, When: when.NewCompiler().Compile, DeleteOwned: accounts.DeleteOwned}
}

// Files returns the policy of a config and its policy files.
func Files(cfg *config.Config) rulebook.Files {
	files := rulebook.Files{Source: cfg.Rules, ID: cfg.Policy.ID()}
	for _, r := range cfg.Registries {
		files.Services = append(files.Services, r.Service)
	}
	return files
}

// LoadRulebook is ReadRulebook with the policy that a service with this config has in force: of
// files and database. Before the first start, or if the database is in the memory of a service,
// it uses only the files.
func LoadRulebook(ctx context.Context, cfg *config.Config) (_ *rulebook.Rulebook, closing func() error, err error) {
	b, _, closing, err := loadRulebook(ctx, cfg.Database, Files(cfg))
	return b, closing, err
}

// loadRulebook is LoadRulebook, and reports whether there is a database. A database of "" means
// none.
func loadRulebook(ctx context.Context, database string, files rulebook.Files) (b *rulebook.Rulebook, exists bool, closing func() error, err error) {
	closing, err = func() error { return nil }, fs.ErrNotExist
	if database != "" && !store.InMemory(database) {
		b, closing, err = readRulebook(ctx, database, files)
	}
	exists = err == nil
	if errors.Is(err, fs.ErrNotExist) {
		closing = func() error { return nil }
		b, err = openRulebook(nil, nil, files)
	}
	if err != nil {
		return nil, false, nil, err
	}
	if err = b.Load(ctx); err != nil {
		return nil, false, nil, errors.Join(err, closing())
	}
	return b, exists, closing, nil
}

// Policy returns the policy that a service with this config has in force: of files, database and
// namespaces, or of files alone.
func Policy(ctx context.Context, cfg *config.Config, filesOnly bool) (*policy.Policy, error) {
	database := cfg.Database
	if filesOnly {
		database = ""
	}
	p, _, err := policyOf(ctx, database, Files(cfg))
	return p, err
}

// Complete adds to the policy of files the built-in rules and, unless Database is "", the rules
// of the database, so that it becomes the policy of a running service. It reports whether there
// is a database.
func Complete(ctx context.Context, files *policyfile.Compiled) (database bool, err error) {
	p, database, err := policyOf(ctx, files.Database, rulebook.Files{Source: files.Rules, Services: files.Services})
	if err != nil {
		return false, err
	}
	files.Policy = p
	files.Rules.Rules = p.Rules()
	return database, nil
}

func policyOf(ctx context.Context, database string, files rulebook.Files) (_ *policy.Policy, exists bool, err error) {
	b, exists, closing, err := loadRulebook(ctx, database, files)
	if err != nil {
		return nil, false, err
	}
	return b.Policy(), exists, closing()
}
