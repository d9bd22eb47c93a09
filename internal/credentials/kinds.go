package credentials

import (
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/secret"
)

// letter returns the letter in the secrets of a use. Package secret documents the format.
func (u Use) letter() byte {
	switch u {
	case Robot:
		return secret.Robot
	case Refresh:
		return secret.Refresh
	case Session:
		return secret.Session
	}
	return secret.Access
}

// presentedAs returns the kind of credential that a secret with this letter is accepted as.
func presentedAs(letter byte) identity.Kind {
	switch letter {
	case secret.Access, secret.Robot:
		return identity.AccessToken
	case secret.Refresh:
		return identity.RefreshToken
	case secret.Session:
		return identity.Session
	}
	return identity.None
}

// newSecret returns a new secret of a use, and its stored form.
func newSecret(u Use) (identity.Secret, secret.Digest) {
	text, d := secret.New(u.letter())
	return identity.NewSecret(text), d
}
