package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// OpenAccounts opens the accounts that a config keeps, beside a service that may be running: it notices what is changed
// within two seconds. The state is made where it is missing, so that there can be an administrator before the
// first start. closing ends it.
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
	a, err := accountsBeside(cfg, db, j)
	if err != nil {
		return nil, nil, errors.Join(err, closing())
	}
	return a, closing, nil
}

// ReadAccounts is OpenAccounts for looking only: it makes and changes nothing.
func ReadAccounts(ctx context.Context, cfg *config.Config) (_ *accounts.Accounts, closing func() error, err error) {
	db, err := openAt(ctx, cfg.Database, store.OpenReadOnly)
	if err != nil {
		return nil, nil, err
	}
	a, err := accountsBeside(cfg, db, nil)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return a, db.Close, nil
}

// openDatabase opens what the service has open, too.
func openAt(ctx context.Context, state string, open func(context.Context, string) (*store.DB, error)) (*store.DB, error) {
	if inMemory(state) {
		return nil, fmt.Errorf("opening database %s: it is in the memory of the service, where other programs cannot read it", state)
	}
	return open(ctx, state)
}

// openForWriting opens what the service has open, too, and makes it where the service would.
func openForWriting(ctx context.Context, cfg *config.Config) (*store.DB, error) {
	return openAt(ctx, cfg.Database, func(ctx context.Context, _ string) (*store.DB, error) {
		return openDatabase(ctx, cfg, false, slog.New(slog.DiscardHandler))
	})
}

func inMemory(url string) bool { return strings.HasPrefix(url, "sqlite::memory:") }

func accountsBeside(cfg *config.Config, db *store.DB, j *journal.Journal) (*accounts.Accounts, error) {
	var longest time.Duration
	if own := accountsOf(cfg); own != nil {
		longest = own.MaxCredentialLifetime
	}
	return accounts.Open(accounts.Options{
		MaxLifetime: longest, DB: db, Journal: j, Hashing: password.New(password.Options{Remember: -1}), Judge: cfg.Policy.Decide,
		Find: func(ctx context.Context, source, name, id string) (*policy.Principal, error) {
			return findIn(ctx, cfg, source, name, id)
		},
		Elsewhere: OthersOf(cfg).Have,
	})
}

// findIn looks somebody up in one source of a config.
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

// stored finds people in the accounts of a config.
type stored struct{ cfg *config.Config }

func (s stored) Find(ctx context.Context, name, id string) (_ *policy.Principal, err error) {
	a, closing, err := ReadAccounts(ctx, s.cfg)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, identity.ErrUnknown // it is before the first start
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closing()) }()
	return a.Find(ctx, name, id)
}
