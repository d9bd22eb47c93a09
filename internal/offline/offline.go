// Package offline reads and changes accounts and rules in the database of a config. Commands use
// it without a service, or while a service runs.
//
// A running service notices changes within two seconds. Functions that open something also return
// the function closing, which the caller must call at the end.
package offline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/marker"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/sources"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// OpenAccounts opens the accounts of a config for changes. The database is created if it is
// missing, so that an administrator can be added before the first start.
func OpenAccounts(ctx context.Context, cfg *config.Config) (_ *accounts.Accounts, closing func() error, err error) {
	return change(ctx, cfg, func(db *store.DB, j *journal.Journal) (*accounts.Accounts, error) { return openAccounts(cfg, db, j) })
}

// ReadAccounts is like OpenAccounts, but only for reading: it creates and writes nothing.
func ReadAccounts(ctx context.Context, cfg *config.Config) (_ *accounts.Accounts, closing func() error, err error) {
	a, closing, err := read(ctx, cfg.Database, func(db *store.DB) (*accounts.Accounts, error) { return openAccounts(cfg, db, nil) })
	return a, closing, marker.Advise(cfg, err)
}

func openAccounts(cfg *config.Config, db *store.DB, j *journal.Journal) (a *accounts.Accounts, err error) {
	others := sync.OnceValue(func() *sources.Set { // most commands need only the accounts
		return Sources(cfg, func() *accounts.Accounts { return a })
	})
	rights, err := admin.NewRights(cfg.Policy.Decide, nil)
	if err != nil {
		return nil, err
	}
	o := accounts.Options{
		Options: credentials.Options{
			Writer: admin.NewWriter(db, j, nil), Rights: rights, Hashing: password.New(password.Options{Remember: -1}),
			Find: func(ctx context.Context, source, name, id string) (*policy.Principal, string, error) {
				return others().Chain.FindGeneration(ctx, source, name, id)
			},
		},
		Elsewhere: func(ctx context.Context, login string) accounts.Elsewhere { return others().Elsewhere(ctx, login) },
	}
	if own := cfg.Accounts(); own != nil {
		o.MaxLifetime = own.MaxCredentialLifetime
	}
	a, err = accounts.Open(o)
	return a, err
}

// Sources returns the identity sources of a config. The function ownAccounts returns the accounts.
// If this function is nil, no name is looked up in the accounts. If the settings of a source are
// invalid, a lookup in the source returns the error.
func Sources(cfg *config.Config, ownAccounts func() *accounts.Accounts) *sources.Set {
	set, _ := sources.Build(cfg, sources.Options{Accounts: ownAccounts, GiveUp: true})
	return set
}

// Find looks up a name in the sources of a config, in the same order as a token request does. If
// no source knows the name, the error is identity.ErrUnknown. If the principal cannot sign in, the
// error wraps an identity.DisabledError.
func Find(ctx context.Context, cfg *config.Config, name string) (*policy.Principal, error) {
	var closing func() error
	var failed error
	open := sync.OnceValue(func() (a *accounts.Accounts) {
		a, closing, failed = ReadAccounts(ctx, cfg)
		return a
	})
	p, err := Sources(cfg, open).Find(ctx, name)
	switch {
	case closing != nil:
		err = errors.Join(err, closing())
	case errors.Is(failed, store.ErrMissing): // before the first start there are no accounts
	case failed != nil:
		return nil, failed
	}
	return p, err
}

// change opens the database and the journal for changes, and calls the function build with both.
func change[T any](ctx context.Context, cfg *config.Config, build func(*store.DB, *journal.Journal) (T, error)) (t T, closing func() error, err error) {
	if err := checkShared(cfg.Database); err != nil {
		return t, nil, err
	}
	db, err := marker.Open(ctx, cfg, false, slog.New(slog.DiscardHandler))
	if err != nil {
		return t, nil, err
	}
	j, err := journal.New(db, journal.Options{})
	if err != nil {
		return t, nil, errors.Join(err, db.Close())
	}
	closing = func() error { return errors.Join(j.Close(context.WithoutCancel(ctx)), db.Close()) }
	if t, err = build(db, j); err != nil {
		return t, nil, errors.Join(err, closing())
	}
	return t, closing, nil
}

// read opens a database for reading, and calls the function build with it.
func read[T any](ctx context.Context, database string, build func(*store.DB) (T, error)) (t T, closing func() error, err error) {
	if err := checkShared(database); err != nil {
		return t, nil, err
	}
	db, err := store.OpenReadOnly(ctx, database)
	if err != nil {
		return t, nil, err
	}
	if t, err = build(db); err != nil {
		return t, nil, errors.Join(err, db.Close())
	}
	return t, db.Close, nil
}

// checkShared returns an error if the database is in memory, so that only the service itself can
// open it.
func checkShared(database string) error {
	if store.InMemory(database) {
		return fmt.Errorf("opening database %s: it is in the memory of the service, so other programs cannot read it", database)
	}
	return nil
}
