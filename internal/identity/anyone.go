package identity

import (
	"context"
	"log/slog"
	"slices"

	"github.com/tidewaiter/tidewaiter/policy"
)

// Anyone is a source that accepts every name with any password that is not empty. Use it for
// demonstrations, and to test a policy before there are accounts.
//
// The name of the principal is the typed name, and so is its id. Names are only compared as a
// whole, so "*" is a user called "*".
type Anyone struct{}

// NewAnyone returns the source and logs a warning.
func NewAnyone(log *slog.Logger) Anyone {
	log.Warn("ANY NAME AND ANY PASSWORD IS ACCEPTED: the source \"anyone\" is for demonstrations only")
	return Anyone{}
}

// AnyoneKinds returns the kinds of credentials for Anyone: any password, even one that looks
// like a token.
func AnyoneKinds() []Kind { return []Kind{Password, IDToken, AccessToken} }

// Authenticate accepts any printable name without spaces at its ends, with any password.
func (Anyone) Authenticate(_ context.Context, c Presented) (Verified, error) {
	if !slices.Contains(AnyoneKinds(), c.Kind) || c.Secret.Reveal() == "" || !ValidName(c.Name) {
		return Verified{}, ErrRejected
	}
	return Verified{Principal: anyone(c.Name), Credential: "password"}, nil
}

// Find returns the principal of any name that Authenticate accepts.
func (Anyone) Find(_ context.Context, name, id string) (*policy.Principal, error) {
	if !ValidName(name) || id != "" && id != name {
		return nil, ErrUnknown
	}
	return anyone(name), nil
}

func anyone(name string) *policy.Principal {
	return &policy.Principal{Kind: policy.User, Name: name, Source: "anyone", ID: name}
}
