package sources

import (
	"context"
	"errors"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
	"github.com/tidewaiter/tidewaiter/policy"
)

// storedAccounts is the identity source of the accounts. The accounts are opened after the chain
// is built.
type storedAccounts struct{ open func() *accounts.Accounts }

func (s storedAccounts) Authenticate(ctx context.Context, c identity.Presented) (identity.Verified, error) {
	return s.open().Authenticate(ctx, c)
}

func (s storedAccounts) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	if a := s.open(); a != nil {
		return a.Find(ctx, name, id)
	}
	return nil, identity.ErrUnknown
}

func (s storedAccounts) Dummy(ctx context.Context, c identity.Presented) error {
	return s.open().Dummy(ctx, c)
}

func (s storedAccounts) DummyLookup(ctx context.Context, c identity.Presented) error {
	return s.open().DummyLookup(ctx, c)
}

// userProvider is an issuer whose users may have access tokens. It finds users by their newest
// sign-in, which is stored with the accounts.
type userProvider struct {
	*oidc.Provider
	name string // "oidc:sso"
	open func() *accounts.Accounts
}

func (p userProvider) Authenticate(ctx context.Context, c identity.Presented) (identity.Verified, error) {
	who, err := p.Provider.Authenticate(ctx, c)
	if err == nil {
		p.open().Credentials.SignedIn(who.Principal)
	} else if explained, ok := errors.AsType[*identity.ExplainedError](err); ok && explained.Person != "" {
		p.open().Credentials.SignInRefused(p.name, explained.Person)
	}
	return who, err
}

func (p userProvider) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	if a := p.open(); a != nil {
		return a.Credentials.LastSignIn(ctx, p.name, name, id)
	}
	return nil, identity.ErrUnknown
}

// VerifyIDToken verifies an ID token of a configured issuer, as a sign-in does, but records no
// sign-in. The error is identity.ErrUnknown if no issuer of the config has issued it.
func (s *Set) VerifyIDToken(ctx context.Context, c identity.Presented) (source string, who identity.Verified, err error) {
	for _, source := range s.Sources {
		if source.provider == nil {
			continue
		}
		if who, err = source.provider.Authenticate(ctx, c); !errors.Is(err, identity.ErrUnknown) {
			return source.Name, who, err
		}
		if err = source.provider.Explain(ctx, c); errors.Is(err, identity.ErrRejected) {
			return source.Name, who, err
		}
	}
	return "", identity.Verified{}, identity.ErrUnknown
}
