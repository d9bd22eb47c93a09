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
	"github.com/tidewaiter/tidewaiter/internal/doctor"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/logging"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/sources"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/policy"
)

// newAccounts opens the accounts. A reload does not replace the accounts and their caches. So the
// accounts look up the current policy and the current other sources at each call.
func (a *App) newAccounts(cfg *config.Config) (*accounts.Accounts, error) {
	o := accounts.Options{
		Options: credentials.Options{
			Writer: admin.NewWriter(a.db, a.journal, a.now), Rights: a.rulebook.Rights(), Hashing: a.hashing, Log: a.log,
			Find: func(ctx context.Context, source, name, id string) (*policy.Principal, string, error) {
				return a.issuer.Live().Chain.FindGeneration(ctx, source, name, id)
			},
			SignInLasts:    func(source string) time.Duration { return a.signInSettings(source).Lifetime },
			SignInSettings: func(source string) string { return a.signInSettings(source).Settings },
		},
		Limiter: func() *ratelimit.Limiter { return a.issuer.Live().Chain.Limiter() },
		Elsewhere: func(ctx context.Context, login string) accounts.Elsewhere {
			return a.sources.Load().Elsewhere(ctx, login)
		},
	}
	if own := cfg.Accounts(); own != nil {
		o.RefreshIdle, o.MaxLifetime = own.RefreshIdle, own.MaxCredentialLifetime
	}
	return accounts.Open(o)
}

// signInSettings returns the settings of a source for the access tokens of its users. A source
// without such settings has the zero value.
func (a *App) signInSettings(source string) sources.SignIns {
	if s := a.sources.Load().Named(source); s != nil {
		return s.SignIns
	}
	return sources.SignIns{}
}

// welcome logs how to create the first administrator, if accounts are a source and have no
// administrator. If the admin API is served, the line contains a secret that can create one
// administrator. The secret is written only to the log, because only the operator of the service
// reads the log. If there is an htpasswd source, welcome logs nothing, because the users of this
// source can sign in, and the person who wrote the htpasswd file can also run commands.
func (a *App) welcome(ctx context.Context, cfg *config.Config) {
	if cfg.Accounts() == nil || slices.ContainsFunc(cfg.Identity, func(s config.Source) bool { return s.HTPasswd != nil }) {
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

// find looks up a name in the current sources.
func (a *App) find(ctx context.Context, name string) (*policy.Principal, error) {
	return a.sources.Load().Find(ctx, name)
}

// verifyIDToken verifies an ID token by the current sources, and records no sign-in.
func (a *App) verifyIDToken(ctx context.Context, c identity.Presented) (string, identity.Verified, error) {
	return a.sources.Load().VerifyIDToken(ctx, c)
}

// duplicateNames returns a warning for names that are both in the accounts and in an htpasswd
// file. It ignores errors of the database, because other checks report them.
func (a *App) duplicateNames(ctx context.Context, cfg *config.Config) strictyaml.Problems {
	warnings, _ := doctor.DuplicateNames(ctx, cfg, a.generation.sources, a.accounts)
	return warnings
}

func (a *App) warn(warnings strictyaml.Problems) {
	for _, w := range warnings {
		a.log.Warn(w.String())
	}
}
