package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
	"github.com/tidewaiter/tidewaiter/policy"
)

// newProvider makes what a config says of an issuer of ID tokens. What is wrong with it is
// config.Problems, each where it is written.
func newProvider(cfg *config.Config, o *config.OIDC, log *slog.Logger, now func() time.Time) (*oidc.Provider, error) {
	kind := policy.Workload
	if o.Kind == "user" {
		kind = policy.User
	}
	p, err := oidc.New(oidc.Options{
		Name: o.Name, Preset: oidc.Preset(o.Preset), Issuer: o.Issuer, Audience: o.Audience,
		JWKSURL: o.JWKSURL, JWKSFile: o.JWKSFile, CA: o.CA, TokenFile: o.TokenFile,
		Algorithms: o.Algorithms, MaxAge: o.MaxAge, Reserved: []string{accounts.Administrators, accounts.Auditors},
		Kind: kind, Principal: o.Principal, Groups: o.Groups, Claims: o.Claims, Require: o.Require,
		Log: log, Now: now,
	})
	if problems, ok := errors.AsType[oidc.Problems](err); ok {
		return nil, placed(cfg, o, problems)
	}
	return p, err
}

// placed says where the settings of an issuer are written that are wrong, or probably not meant.
func placed(cfg *config.Config, o *config.OIDC, problems oidc.Problems) config.Problems {
	placed := make(config.Problems, len(problems))
	for i, p := range problems {
		placed[i] = config.Problem{File: cfg.File, Text: p.Field + ": " + p.Text}
		placed[i].Line, placed[i].Column = o.Place(p.Field, p.Item)
	}
	return placed
}

// people is an issuer that people sign in with, who may have access tokens. It knows them by their
// last sign-in, which the accounts keep.
type people struct {
	*oidc.Provider
	app  *App
	name string // "oidc:sso"
}

func (p people) Authenticate(ctx context.Context, c identity.Credentials) (identity.Verified, error) {
	who, err := p.Provider.Authenticate(ctx, c)
	if err == nil {
		p.app.accounts.SignedIn(who.Principal)
	} else if explained, ok := errors.AsType[*identity.ExplainedError](err); ok && explained.Person != "" {
		p.app.accounts.SignInRefused(p.name, explained.Person)
	}
	return who, err
}

func (p people) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	return p.app.accounts.LastSignIn(ctx, p.name, name, id)
}

// signInLasts says for how long a sign-in through a source counts, for access tokens.
func (a *App) signInLasts(source string) time.Duration {
	if lasts := a.lasts.Load(); lasts != nil {
		return (*lasts)[source]
	}
	return 0
}

// showsToBeKnown is a source that knows nobody who does not show a token: an issuer has no list of
// names.
type showsToBeKnown struct {
	*oidc.Provider // nil: it is none
}

func (showsToBeKnown) Find(context.Context, string, string) (*policy.Principal, error) {
	return nil, identity.ErrUnknown
}

// hand gives a provider of the next generation the keys that this one has of the same issuer.
func (g *generation) hand(next *oidc.Provider) {
	for _, p := range g.providers {
		next.Inherit(p)
	}
}
