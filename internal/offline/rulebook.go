package offline

import (
	"context"
	"errors"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/marker"
	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

// OpenRulebook opens the rulebook of a config for changes. It does not compile a policy, so that
// an operator can repair a conflict between files and database. If the database is missing,
// OpenRulebook creates it.
func OpenRulebook(ctx context.Context, cfg *config.Config) (_ *rulebook.Rulebook, closing func() error, err error) {
	return change(ctx, cfg, func(db *store.DB, j *journal.Journal) (*rulebook.Rulebook, error) {
		return openRulebook(db, j, &cfg.Compiled)
	})
}

// ReadRulebook is like OpenRulebook, but for reading: it neither creates nor writes anything.
func ReadRulebook(ctx context.Context, cfg *config.Config) (_ *rulebook.Rulebook, closing func() error, err error) {
	b, closing, err := read(ctx, cfg.Database, func(db *store.DB) (*rulebook.Rulebook, error) { return openRulebook(db, nil, &cfg.Compiled) })
	return b, closing, marker.Advise(cfg, err)
}

func openRulebook(db *store.DB, j *journal.Journal, files *policyfile.Compiled) (*rulebook.Rulebook, error) {
	o := rulebook.Options{DB: db, Journal: j, When: when.NewCompiler().Compile, DeleteOwned: accounts.DeleteOwned}
	return rulebook.New(o, rulebook.Files{Source: files.Rules, ID: files.Policy.ID(), Services: files.Services})
}

// LoadRulebook is like ReadRulebook, but also compiles the policy that a service with this config
// enforces, from the rules of the files and of the database. Before the first start, or if the
// database is in the memory of a service, LoadRulebook uses only the files.
func LoadRulebook(ctx context.Context, cfg *config.Config) (_ *rulebook.Rulebook, closing func() error, err error) {
	b, _, closing, err := loadRulebook(ctx, cfg.Database, &cfg.Compiled)
	return b, closing, err
}

// loadRulebook is like LoadRulebook, and also reports whether there is a database. The URL ""
// means that there is no database.
func loadRulebook(ctx context.Context, url string, files *policyfile.Compiled) (b *rulebook.Rulebook, database bool, closing func() error, err error) {
	err = store.ErrMissing
	if url != "" && !store.InMemory(url) {
		b, closing, err = read(ctx, url, func(db *store.DB) (*rulebook.Rulebook, error) { return openRulebook(db, nil, files) })
	}
	database = err == nil
	if errors.Is(err, store.ErrMissing) {
		closing = func() error { return nil }
		b, err = openRulebook(nil, nil, files)
	}
	if err != nil {
		return nil, false, nil, err
	}
	if err = b.Load(ctx); err != nil {
		return nil, false, nil, errors.Join(err, closing())
	}
	return b, database, closing, nil
}

// Policy returns the policy that a service with this config has in force. If filesOnly is true,
// the policy has only the rules of files, without the rules of the database and its namespaces.
func Policy(ctx context.Context, cfg *config.Config, filesOnly bool) (*policy.Policy, error) {
	files := cfg.Compiled
	if !filesOnly {
		files.Database = cfg.Database
	}
	_, err := Complete(ctx, &files)
	return files.Policy, err
}

// Complete adds the built-in rules to the compiled files. If files.Database is not "", it also
// adds the rules of that database. This makes files.Policy the policy of a running service.
// Complete reports whether there is a database.
func Complete(ctx context.Context, files *policyfile.Compiled) (database bool, err error) {
	b, database, closing, err := loadRulebook(ctx, files.Database, files)
	if err != nil {
		return false, err
	}
	files.Policy = b.Policy()
	files.Rules.Rules = files.Policy.Rules()
	return database, closing()
}
