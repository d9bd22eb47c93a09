package credentials

import (
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/secret"
)

// CredentialPassword is the value of identity.Verified.Credential for a password.
const CredentialPassword = "password"

// kind has the properties that depend on the purpose of a token.
type kind struct {
	letter      byte          // letter of the kind in a secret
	presentedAs identity.Kind // how it is presented
	prefix      string        // before the name or id in identity.Verified.Credential
}

var kinds = map[Purpose]kind{
	Access:  {secret.Access, identity.AccessToken, "token:"},
	Robot:   {secret.Robot, identity.AccessToken, "secret:"},
	Refresh: {secret.Refresh, identity.RefreshToken, "refresh:"},
	Session: {secret.Session, identity.Session, "session:"},
}

// RefreshID returns the id of a refresh token, if the text names one as Token.Credential does.
func RefreshID(credential string) (id string, ok bool) {
	return strings.CutPrefix(credential, kinds[Refresh].prefix)
}

// ActionRefreshAdd is the action of the change that IssueRefresh records. The details have the id
// of the refresh token.
const ActionRefreshAdd = string(Refresh) + ".add"

// purposeOf returns the purpose of secrets with the given letter (package secret), or "" for an
// unknown letter.
func purposeOf(letter byte) Purpose {
	for purpose, k := range kinds {
		if k.letter == letter {
			return purpose
		}
	}
	return ""
}

// newSecret returns a new secret for a purpose, and its stored form.
func newSecret(p Purpose) (identity.Secret, secret.Digest) {
	text, d := secret.New(kinds[p].letter)
	return identity.NewSecret(text), d
}

// credential returns the name of a token in the journal, such as "token:laptop".
func (t *Token) credential() string {
	if t.Purpose == Access {
		return kinds[Access].prefix + t.Name
	}
	return kinds[t.Purpose].prefix + t.ID
}
