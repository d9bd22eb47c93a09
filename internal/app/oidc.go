package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity"
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
		Algorithms: o.Algorithms, MaxAge: o.MaxAge,
		Kind: kind, Principal: o.Principal, Groups: o.Groups, Claims: o.Claims, Require: o.Require,
		Log: log, Now: now,
	})
	problems, ok := errors.AsType[oidc.Problems](err)
	if !ok {
		return p, err
	}
	placed := make(config.Problems, len(problems))
	for i, p := range problems {
		placed[i] = config.Problem{File: cfg.File, Text: p.Field + ": " + p.Text}
		placed[i].Line, placed[i].Column = o.Place(p.Field, p.Item)
	}
	return nil, placed
}

// showsToBeKnown is a source that knows nobody who does not show a token: an issuer has no list of names.
type showsToBeKnown struct{}

func (showsToBeKnown) Find(context.Context, string, string) (*policy.Principal, error) {
	return nil, identity.ErrUnknown
}

// hand gives a provider of the next generation the keys that this one has of the same issuer.
func (g *generation) hand(next *oidc.Provider) {
	for _, p := range g.providers {
		next.Inherit(p)
	}
}
