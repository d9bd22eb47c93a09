package app

import (
	"context"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/policy"
)

// newAccounts opens the accounts, which outlive a reload: so do the credentials that they know. The policy and
// the other sources are asked for as they are at the moment.
func (a *App) newAccounts(cfg *config.Config) (*accounts.Accounts, error) {
	o := accounts.Options{
		DB: a.db, Journal: a.journal, Hashing: a.hashing, Now: a.now, Log: a.log.Logger,
		Find: func(ctx context.Context, source, name, id string) (*policy.Principal, error) {
			return a.issuer.Live().Chain.FindIn(ctx, source, name, id)
		},
		Judge:    func(r *policy.Request) policy.Decision { return a.issuer.Live().Policy.Decide(r) },
		Throttle: func() *identity.Throttle { return a.issuer.Live().Chain.Throttle() },
	}
	if own := accountsOf(cfg); own != nil {
		o.RefreshIdle = own.RefreshIdle
	}
	return accounts.Open(o)
}

// usesAccounts says whether accounts are one of a config's sources.
func usesAccounts(cfg *config.Config) bool { return accountsOf(cfg) != nil }

// accountsOf returns the settings of the accounts; nil if they are none of the sources.
func accountsOf(cfg *config.Config) *config.Accounts {
	for _, s := range cfg.Identity {
		if s.Accounts != nil {
			return s.Accounts
		}
	}
	return nil
}

// welcome says what is to be done first where accounts are used, and nobody may change them yet.
func (a *App) welcome(ctx context.Context, cfg *config.Config) {
	if !usesAccounts(cfg) {
		return
	}
	if there, err := a.accounts.Administered(ctx); err == nil && !there {
		a.log.Info("there is no administrator of accounts yet: tidewaiter user add --admin NAME makes one")
	}
}

// own is the accounts as a source. They are opened after the chain that asks them is built: a mistake in a
// config leaves no new state behind.
type own struct{ app *App }

func (o own) Authenticate(ctx context.Context, c identity.Credentials) (identity.Verified, error) {
	return o.app.accounts.Authenticate(ctx, c)
}

func (o own) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	return o.app.accounts.Find(ctx, name, id)
}

func (o own) Dummy(ctx context.Context, c identity.Credentials) error {
	return o.app.accounts.Dummy(ctx, c)
}

func (o own) refresh(ctx context.Context, shown identity.Credentials, who identity.Verified) (identity.Secret, error) {
	return o.app.accounts.IssueRefresh(ctx, shown, who)
}
