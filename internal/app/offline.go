package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// OpenAccounts opens the accounts of a config for changes. A service may run at the same time:
// it notices changes within two seconds. The database is created if it is missing, so that an
// administrator can be added before the first start. The caller calls closing at the end.
func OpenAccounts(ctx context.Context, cfg *config.Config) (_ *accounts.Accounts, closing func() error, err error) {
	db, err := openForWriting(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	j, err := journal.New(db, journal.Options{})
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	closing = func() error { return errors.Join(j.Close(context.WithoutCancel(ctx)), db.Close()) }
	a, err := offlineAccounts(cfg, db, j)
	if err != nil {
		return nil, nil, errors.Join(err, closing())
	}
	return a, closing, nil
}

// ReadAccounts is OpenAccounts without changes: it neither creates nor writes anything.
func ReadAccounts(ctx context.Context, cfg *config.Config) (_ *accounts.Accounts, closing func() error, err error) {
	db, err := openAt(ctx, cfg.Database, store.OpenReadOnly)
	if err != nil {
		return nil, nil, err
	}
	a, err := offlineAccounts(cfg, db, nil)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return a, db.Close, nil
}

// openAt opens the database that a service may have open too.
func openAt(ctx context.Context, database string, open func(context.Context, string) (*store.DB, error)) (*store.DB, error) {
	if inMemory(database) {
		return nil, fmt.Errorf("opening database %s: it is in the memory of the service, so other programs cannot read it", database)
	}
	return open(ctx, database)
}

// openForWriting opens the database for changes, and creates it if the service would.
func openForWriting(ctx context.Context, cfg *config.Config) (*store.DB, error) {
	return openAt(ctx, cfg.Database, func(ctx context.Context, _ string) (*store.DB, error) {
		return openDatabase(ctx, cfg, false, slog.New(slog.DiscardHandler))
	})
}

func inMemory(url string) bool { return strings.HasPrefix(url, "sqlite::memory:") }

func offlineAccounts(cfg *config.Config, db *store.DB, j *journal.Journal) (*accounts.Accounts, error) {
	var longest time.Duration
	if own := accountsOf(cfg); own != nil {
		longest = own.MaxCredentialLifetime
	}
	rights, err := admin.NewRights(cfg.Policy.Decide, nil)
	if err != nil {
		return nil, err
	}
	return accounts.Open(accounts.Options{
		Options: credentials.Options{
			Writer: admin.NewWriter(db, j, nil), Rights: rights, MaxLifetime: longest, Hashing: password.New(password.Options{Remember: -1}),
			Find: func(ctx context.Context, source, name, id string) (*policy.Principal, string, error) {
				who, err := findIn(ctx, cfg, source, name, id)
				return who, "", err
			},
		},
		Elsewhere: OthersOf(cfg).Have,
	})
}

// findIn looks up a principal in one source of a config.
func findIn(ctx context.Context, cfg *config.Config, source, name, id string) (*policy.Principal, error) {
	for _, s := range cfg.Identity {
		if s.Name() != source {
			continue
		}
		finder, err := finder(cfg, s)
		if err != nil {
			return nil, err
		}
		who, err := finder.Find(ctx, name, id)
		if errors.Is(err, identity.ErrRejected) {
			err = identity.ErrUnknown
		}
		return who, err
	}
	return nil, identity.ErrUnknown
}

// storedAccounts finds principals in the accounts of a config.
type storedAccounts struct{ cfg *config.Config }

func (s storedAccounts) Find(ctx context.Context, name, id string) (_ *policy.Principal, err error) {
	a, closing, err := ReadAccounts(ctx, s.cfg)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, identity.ErrUnknown // before the first start
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closing()) }()
	return a.Find(ctx, name, id)
}
