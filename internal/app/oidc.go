package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/policy"
)

// newProvider builds an issuer of ID tokens from a config. If its error is strictyaml.Problems, each
// has a position.
func newProvider(cfg *config.Config, o *config.OIDC, log *slog.Logger, now func() time.Time) (*oidc.Provider, error) {
	kind := policy.Workload
	if o.Kind == "user" {
		kind = policy.User
	}
	p, err := oidc.New(oidc.Options{
		Name: o.Name, Preset: oidc.Preset(o.Preset), Issuer: o.Issuer, Audience: o.Audience,
		JWKSURL: o.JWKSURL, JWKSFile: o.JWKSFile, CA: o.CA, TokenFile: o.TokenFile,
		Algorithms: o.Algorithms, MaxAge: o.MaxAge, Reserved: []string{admin.Administrators, admin.Auditors},
		Kind: kind, Principal: o.Principal, Groups: o.Groups, Claims: o.Claims, Require: o.Require,
		Log: log, Now: now,
	})
	if problems, ok := errors.AsType[oidc.Problems](err); ok {
		return nil, placed(cfg, o, problems)
	}
	return p, err
}

// placed adds positions in the config to problems of an issuer.
func placed(cfg *config.Config, o *config.OIDC, problems oidc.Problems) strictyaml.Problems {
	placed := make(strictyaml.Problems, len(problems))
	for i, p := range problems {
		placed[i] = strictyaml.Problem{File: cfg.File, Text: p.Field + ": " + p.Text}
		placed[i].Line, placed[i].Column = o.Place(p.Field, p.Item)
	}
	return placed
}

// userProvider is an issuer whose users may have access tokens. It finds users by their last
// sign-in, which the accounts store.
type userProvider struct {
	*oidc.Provider
	app  *App
	name string // "oidc:sso"
}

func (p userProvider) Authenticate(ctx context.Context, c identity.Presented) (identity.Verified, error) {
	who, err := p.Provider.Authenticate(ctx, c)
	if err == nil {
		p.app.accounts.Credentials.SignedIn(who.Principal)
	} else if explained, ok := errors.AsType[*identity.ExplainedError](err); ok && explained.Person != "" {
		p.app.accounts.Credentials.SignInRefused(p.name, explained.Person)
	}
	return who, err
}

func (p userProvider) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	return p.app.accounts.Credentials.LastSignIn(ctx, p.name, name, id)
}

// signInSettings are the settings of a source for the access tokens of its users.
type signInSettings struct {
	lasts time.Duration // how long a sign-in is valid for them
	id    string
}

// settingsID identifies the settings that decide who may sign in, as whom, and with which groups
// and claims. The lifetime of access tokens is not among them.
func settingsID(o *config.OIDC) string {
	// It cannot fail: these are texts, lists and maps of texts.
	text, _ := json.Marshal([]any{o.Preset, o.Issuer, o.Audience, o.Kind, o.Principal, o.Groups, o.Claims, o.Require})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// signIn returns the settings of a source in the current generation.
func (a *App) signIn(source string) signInSettings {
	if all := a.signIns.Load(); all != nil {
		return (*all)[source]
	}
	return signInSettings{}
}

// noLookup is a source that knows a principal only by its token, because an issuer has no list
// of names.
type noLookup struct {
	*oidc.Provider // nil: none
}

func (noLookup) Find(context.Context, string, string) (*policy.Principal, error) {
	return nil, identity.ErrUnknown
}

// handKeysTo gives a provider of the next generation the keys of the same issuer.
func (g *generation) handKeysTo(next *oidc.Provider) {
	for _, p := range g.providers {
		next.Inherit(p)
	}
}
