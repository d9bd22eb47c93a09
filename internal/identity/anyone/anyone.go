// Package anyone is the identity source that accepts every name with any password.
package anyone

import (
	"context"
	"log/slog"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Source accepts every name with any password that is not empty. Use it for demonstrations, and
// to test a policy before there are accounts.
//
// The name and the id of the principal are the typed name. Names are never patterns: "*" is a user
// called "*".
type Source struct{}

// New returns the source and logs a warning.
func New(log *slog.Logger) Source {
	log.Warn("ANY NAME AND ANY PASSWORD IS ACCEPTED: the source \"anyone\" is for demonstrations only")
	return Source{}
}

// Kinds returns the kinds of credentials for the source: any password, even one that looks
// like a token.
func Kinds() []identity.Kind {
	return []identity.Kind{identity.Password, identity.IDToken, identity.AccessToken}
}

// Authenticate accepts any printable name without spaces at its ends, with any password.
func (Source) Authenticate(_ context.Context, c identity.Presented) (identity.Verified, error) {
	if !slices.Contains(Kinds(), c.Kind) || c.Secret.Reveal() == "" || !username.Valid(c.Name) {
		return identity.Verified{}, identity.ErrRejected
	}
	return identity.Verified{Principal: principal(c.Name), Credential: "password"}, nil
}

// Find returns the principal for any name that Authenticate accepts.
func (Source) Find(_ context.Context, name, id string) (*policy.Principal, error) {
	if !username.Valid(name) || id != "" && id != name {
		return nil, identity.ErrUnknown
	}
	return principal(name), nil
}

func principal(name string) *policy.Principal {
	return &policy.Principal{Kind: policy.User, Name: name, Source: "anyone", ID: name}
}
