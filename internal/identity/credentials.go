package identity

import (
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// AccessTokenPrefix begins each credential that Tidewaiter hands out, so that people and secret
// scanners know one when they see it.
const AccessTokenPrefix = secret.Prefix

// The bounds of what is presented, in bytes. More is refused before anybody looks at it.
const (
	MaxName   = 256
	MaxSecret = 4 << 10  // of a password, an access token, a refresh token
	MaxToken  = 16 << 10 // of an ID token
)

// NewCredentials takes a name and a secret as they came: by Basic or by a form makes no
// difference. The caller adds registry, address and client.
//
// Docker and others write "<token>" for the name of whoever has a refresh token: that is no name.
func NewCredentials(name, secret string) Credentials {
	kind := Classify(name, secret)
	if kind == RefreshToken && name == tokenName {
		name = ""
	}
	return Credentials{Kind: kind, Name: name, Secret: NewSecret(secret)}
}

// tokenName is what docker writes in the place of a name beside a refresh token.
const tokenName = "<token>"

// NewRefresh takes a refresh token from where only one can stand (grant_type=refresh_token); an
// empty one is no way to be anonymous. An ID token there is taken as the credential that it is:
// docker stores what it is given as an identity token, and sends it like this. Whatever else
// stands there is never a password.
func NewRefresh(token string) Credentials {
	kind := RefreshToken
	if c := Classify("", token); c == IDToken || c == Misplaced {
		kind = c
	}
	return Credentials{Kind: kind, Secret: NewSecret(token)}
}

// NewSession takes the secret of a session. Its kind is known by where it stands: a session that
// somebody presents as a password or a token is none.
func NewSession(secret string) Credentials {
	return Credentials{Kind: Session, Secret: NewSecret(secret)}
}

// Classify says by its form what a name and a secret are. A name without a secret is a password
// that is empty, and so refused: only who presents nothing at all is anonymous.
//
// A secret that is a token, or holds one, is never taken for a password, whether it is valid or
// not, so that it is not sent to a directory or another service. White space around a token, as a
// shell leaves it, does not hide it. One in quotes, in JSON or behind "Bearer" is Misplaced: it is
// refused with a reason, and no source is asked.
func Classify(name, text string) Kind {
	if name == "" && text == "" {
		return None
	}
	if len(text) > MaxToken {
		return Password // too long for anything; size first, parse later
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

// Misused says what a text is that somebody wants for a password, "an ID token in quotes", if it
// is a token or holds one; "" if it may be a password.
func Misused(text string) string {
	if f, ok := secret.Find(text); ok {
		return f.Describe(text)
	}
	if strings.HasPrefix(strings.TrimSpace(text), secret.Prefix) { // scanners of source code would say so, too
		return "a token of Tidewaiter"
	}
	return ""
}

// MisplacedError refuses a secret that stands where it does not belong. What it says depends on
// what was presented alone, and so the client may be told. It is an ErrRejected.
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

// Is reports that it is an ErrRejected.
func (e *MisplacedError) Is(target error) bool { return target == ErrRejected } //nolint:errorlint // as errors.Is wants it

// CheckPassword is a MisplacedError if a token was presented as a password. NewCredentials knows
// one by its kind; a source that sends passwords to another service looks again, whoever made the
// credentials.
func (c *Credentials) CheckPassword() error {
	f, ok := secret.Find(c.Secret.Reveal())
	if !ok {
		return nil
	}
	return &MisplacedError{Field: "password", What: f.Describe(c.Secret.Reveal())}
}

// misplaced returns a MisplacedError for a secret that is refused for where it stands, or nil.
func (c *Credentials) misplaced() error {
	if c.Kind == Misplaced {
		return c.CheckPassword()
	}
	if len(c.Name) > MaxName {
		return nil
	}
	f, ok := secret.Find(c.Name)
	if !ok {
		return nil
	}
	return &MisplacedError{Field: "name", What: f.Describe(c.Name)}
}

// unacceptable says why c is not worth asking anybody about; "" if it is. It depends on c alone
// and never on who exists, so that refusing at once tells nothing.
func (c *Credentials) unacceptable() string {
	text, limit, what := c.Secret.Reveal(), MaxSecret, "the secret"
	switch {
	case c.Kind == IDToken:
		limit, what = MaxToken, "the ID token"
	case len(text) > MaxToken && strings.HasPrefix(strings.TrimSpace(text[:MaxToken]), "eyJ"):
		limit, what = MaxToken, "what looks like an ID token" // too long for Classify to look at
	}
	switch {
	case text == "":
		return "no password was sent"
	case len(text) > limit:
		return fmt.Sprintf("%s has %d bytes, and %d are the most", what, len(text), limit)
	case strings.IndexByte(text, 0) >= 0:
		return what + " has a NUL in it"
	case c.Kind == Password && c.Name == "":
		return "a password was sent without a name"
	case len(c.Name) > MaxName:
		return fmt.Sprintf("the name has %d bytes, and %d are the most", len(c.Name), MaxName)
	case !acceptableName(c.Name):
		return "the name is no UTF-8, or has a control character in it"
	}
	return ""
}

// acceptableName refuses what no source can mean by a name: control characters, which would break
// log lines and directory queries, bytes that are no UTF-8, and too many.
func acceptableName(name string) bool {
	return len(name) <= MaxName && text.OneLine(name)
}

// ValidName reports whether somebody can have a name: it is not empty, has at most MaxName bytes,
// no space at its ends, and nothing in it that cannot be seen. So it looks like no other name.
func ValidName(name string) bool {
	return name != "" && len(name) <= MaxName && strings.TrimSpace(name) == name && text.Printable(name)
}
