package credentials

import (
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/secret"
)

// CredentialPassword is identity.Verified.Credential for a password.
const CredentialPassword = "password"

// kind has the properties that depend on the use of a token.
type kind struct {
	letter      byte          // in its secret
	presentedAs identity.Kind // how it is presented
	prefix      string        // of its name or id in identity.Verified.Credential
}

var kinds = map[Use]kind{
	Access:  {secret.Access, identity.AccessToken, "token:"},
	Robot:   {secret.Robot, identity.AccessToken, "secret:"},
	Refresh: {secret.Refresh, identity.RefreshToken, "refresh:"},
	Session: {secret.Session, identity.Session, "session:"},
}

// useOf returns the use of the secrets that have this letter, or "" if no use has it.
func useOf(letter byte) Use {
	for use, k := range kinds {
		if k.letter == letter {
			return use
		}
	}
	return ""
}

// newSecret returns a new secret of a use, and its stored form.
func newSecret(u Use) (identity.Secret, secret.Digest) {
	text, d := secret.New(kinds[u].letter)
	return identity.NewSecret(text), d
}

// credential returns the name of a token in the journal.
func (t *Token) credential() string {
	if t.Use == Access {
		return kinds[Access].prefix + t.Name
	}
	return kinds[t.Use].prefix + t.ID
}
