package identity

import (
	"fmt"

	"github.com/tidewaiter/tidewaiter/internal/secret"
)

// Maximum sizes of credentials, in bytes. If a credential is longer, it is refused and no source
// is asked.
const (
	MaxSecret = 4 << 10  // of a password, an access token, a refresh token
	MaxToken  = 16 << 10 // of an ID token
)

// NewPresented returns the credential with a name and a secret that a client sent by Basic
// authentication or in a form. The caller adds registry, address and client.
//
// With a refresh token, Docker and other clients send the name "<token>", which is ignored.
func NewPresented(name, secret string) Presented {
	kind := classify(name, secret)
	if kind == RefreshToken && name == tokenName {
		name = ""
	}
	return Presented{Kind: kind, Name: name, Secret: NewSecret(secret)}
}

// tokenName is the name that docker sends with a refresh token.
const tokenName = "<token>"

// NewRefresh returns the credential in the parameter refresh_token of a request with
// grant_type=refresh_token. An empty parameter does not make the request anonymous. An ID token
// in this parameter is accepted as an ID token, because docker stores an ID token as an identity
// token and sends it in this parameter. The parameter is never treated as a password.
func NewRefresh(token string) Presented {
	kind := RefreshToken
	if c := classify("", token); c == IDToken || c == Misplaced {
		kind = c
	}
	return Presented{Kind: kind, Secret: NewSecret(token)}
}

// NewSession returns the credential of the browser session with this secret. The secret must come
// from the session cookie. As a password or a token, a session secret is not accepted.
func NewSession(secret string) Presented {
	return Presented{Kind: Session, Secret: NewSecret(secret)}
}

// classify returns the kind of a credential, by the form of its name and its secret. A name
// without a secret counts as an empty password, and is refused. A request is anonymous only if it
// has neither a name nor a secret.
//
// If a secret is or contains a token, valid or not, the secret is never treated as a password. So
// the secret is not sent to a directory or another service. White space around a token, which can
// come from a shell, is ignored. A token in quotes, in JSON or after "Bearer" has the kind
// Misplaced. Such a secret is refused with a reason, and no source is asked.
func classify(name, text string) Kind {
	if name == "" && text == "" {
		return None
	}
	if len(text) > MaxToken {
		return Password // too long for any kind; do not parse it
	}
	f, ok := secret.Find(text)
	switch {
	case !ok:
		return Password
	case !f.Bare(text):
		return Misplaced
	case f.Kind != secret.Own:
		return IDToken
	case f.Letter == secret.Refresh:
		return RefreshToken
	}
	return AccessToken
}

// MisplacedError means that a token is in the wrong place. The text depends only on the presented
// credential, so the client may see it. It is an ErrRejected.
type MisplacedError struct {
	Field string // "password" or "name"
	What  string // "an ID token in quotes"
}

func (e *MisplacedError) Error() string {
	if e.Field == "name" {
		return fmt.Sprintf("the name looks like %s: it belongs in the password field", e.What)
	}
	return fmt.Sprintf("the password looks like %s: present the token alone", e.What)
}

// Is reports whether target is ErrRejected.
func (e *MisplacedError) Is(target error) bool { return target == ErrRejected } //nolint:errorlint // as errors.Is wants it

// CheckPassword returns a MisplacedError if a token was presented as a password. NewPresented also
// detects such a token. A source that sends passwords to another service checks again, because
// some callers do not use NewPresented.
func (c *Presented) CheckPassword() error {
	f, ok := secret.Find(c.Secret.Reveal())
	if !ok {
		return nil
	}
	return &MisplacedError{Field: "password", What: f.Describe(c.Secret.Reveal())}
}
