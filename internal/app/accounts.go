package app

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/logging"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/policy"
)

// newAccounts opens the accounts. They and their caches are kept across reloads. The policy and
// the other sources are looked up at each call.
func (a *App) newAccounts(cfg *config.Config) (*accounts.Accounts, error) {
	o := accounts.Options{
		Options: credentials.Options{
			Writer: admin.NewWriter(a.db, a.journal, a.now), Rights: a.rulebook.Rights(), Hashing: a.hashing, Log: a.log,
			Find: func(ctx context.Context, source, name, id string) (*policy.Principal, string, error) {
				return a.issuer.Live().Chain.FindGeneration(ctx, source, name, id)
			},
			SignInLasts:    func(source string) time.Duration { return a.signIn(source).lasts },
			SignInSettings: func(source string) string { return a.signIn(source).id },
		},
		Limiter:   func() *ratelimit.Limiter { return a.issuer.Live().Chain.Limiter() },
		Elsewhere: a.elsewhere,
	}
	if own := accountsOf(cfg); own != nil {
		o.RefreshIdle, o.MaxLifetime = own.RefreshIdle, own.MaxCredentialLifetime
	}
	return accounts.Open(o)
}

// usesAccounts reports whether accounts are a source of a config.
func usesAccounts(cfg *config.Config) bool { return accountsOf(cfg) != nil }

// accountsOf returns the settings of the accounts, or nil if they are not a source.
func accountsOf(cfg *config.Config) *config.Accounts {
	for _, s := range cfg.Identity {
		if s.Accounts != nil {
			return s.Accounts
		}
	}
	return nil
}

// welcome logs what to do first if accounts are a source and have no administrator. If the admin
// API is served, the line contains a secret that creates an administrator, once. It is only in
// the log, which only the operator of the service reads.
func (a *App) welcome(ctx context.Context, cfg *config.Config) {
	if !usesAccounts(cfg) {
		return
	}
	if there, err := a.accounts.Administered(ctx); err != nil || there {
		return
	}
	const first = "there is no administrator of accounts yet: create one with tidewaiter user add --admin NAME"
	if !slices.ContainsFunc(cfg.Listen, func(l config.Listener) bool { return slices.Contains(l.Serve, config.ServeAPI) }) {
		a.log.Info(first)
		return
	}
	secret, until, err := a.accounts.SetupSecret(ctx)
	if err != nil {
		a.log.Info(first)
		return
	}
	a.log.Info(first+"; or POST "+strings.TrimSuffix(cfg.PublicURL, "/")+api.Prefix+"/setup with this secret, once",
		"secret", logging.Printable(secret.Reveal()), "until", until.UTC().Format(time.RFC3339))
}

// accountsSource is the accounts as a source. They are opened after the chain is built, so that
// an invalid config does not create a database.
type accountsSource struct{ app *App }

func (o accountsSource) Authenticate(ctx context.Context, c identity.Presented) (identity.Verified, error) {
	who, err := o.app.accounts.Authenticate(ctx, c)
	if err != nil {
		err = o.app.db.Explain(err) // detects a damaged file, and remembers that
	}
	return who, err
}

func (o accountsSource) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	return o.app.accounts.Find(ctx, name, id)
}

func (o accountsSource) Dummy(ctx context.Context, c identity.Presented) error {
	return o.app.accounts.Dummy(ctx, c)
}

func (o accountsSource) DummyLookup(ctx context.Context, c identity.Presented) error {
	return o.app.accounts.DummyLookup(ctx, c)
}

func (o accountsSource) refresh(ctx context.Context, shown identity.Presented, who identity.Verified) (identity.Secret, error) {
	return o.app.accounts.Credentials.IssueRefresh(ctx, shown, who)
}
