package identity

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// AccessTokenPrefix begins each access token that Tidewaiter hands out, so that people, secret scanners
// and Classify know one when they see it.
const AccessTokenPrefix = "twp_"

// The bounds of what is shown, in bytes. More is refused before anybody looks at it.
const (
	MaxName   = 256
	MaxSecret = 4 << 10  // of a password, an access token, a refresh token
	MaxToken  = 16 << 10 // of an ID token
)

// maxHeader bounds the header of an ID token, in bytes of base64. Real ones have a hundred.
const maxHeader = 4 << 10

// NewCredentials takes a name and a secret as they came: by Basic or by a form makes no difference.
// The caller adds registry, address and client.
func NewCredentials(name, secret string) Credentials {
	return Credentials{Kind: Classify(name, secret), Name: name, Secret: NewSecret(secret)}
}

// NewRefresh takes a refresh token. Its kind is known by where it stands (grant_type=refresh_token),
// not by its shape; an empty one is no way to be anonymous.
func NewRefresh(token string) Credentials {
	return Credentials{Kind: RefreshToken, Secret: NewSecret(token)}
}

// NewSession takes the secret of a session. Its kind is known by where it stands, too: a session that somebody shows as a
// password or a token is none.
func NewSession(secret string) Credentials {
	return Credentials{Kind: Session, Secret: NewSecret(secret)}
}

// Classify says by its shape what a name and a secret are. A name without a secret is a password that
// is empty, and so refused: only who shows nothing at all is anonymous.
//
// A secret that looks like an access token or an ID token is never taken for a password, whether it is
// valid or not, so that it is not sent to a directory. White space around it, as a shell leaves it, does not
// hide it. It follows that a password cannot begin with AccessTokenPrefix.
func Classify(name, secret string) Kind {
	if name == "" && secret == "" {
		return None
	}
	if len(secret) > MaxToken {
		return Password // too long for anything; size first, parse later
	}
	switch shape := strings.TrimSpace(secret); {
	case strings.HasPrefix(shape, AccessTokenPrefix):
		return AccessToken
	case looksSigned(shape):
		return IDToken
	}
	return Password
}

// looksSigned says whether s has the shape of a signed JWT: three parts in base64url, the first of
// them a JSON object that names an algorithm.
func looksSigned(s string) bool {
	header, rest, ok := strings.Cut(s, ".")
	if !ok || header == "" || len(header) > maxHeader || strings.Count(rest, ".") != 1 {
		return false
	}
	for i := range len(rest) {
		if c := rest[i]; c != '.' && c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	text, err := base64.RawURLEncoding.DecodeString(header)
	if err != nil {
		return false
	}
	var h struct {
		Algorithm *string `json:"alg"`
	}
	return json.Unmarshal(text, &h) == nil && h.Algorithm != nil
}

// acceptable says whether c is worth asking anybody about. It depends on c alone and never on who
// exists, so that refusing at once tells nothing.
func (c *Credentials) acceptable() bool {
	secret := c.Secret.Reveal()
	limit := MaxSecret
	if c.Kind == IDToken {
		limit = MaxToken
	}
	if secret == "" || len(secret) > limit || strings.IndexByte(secret, 0) >= 0 {
		return false
	}
	if c.Kind == Password && c.Name == "" {
		return false
	}
	return acceptableName(c.Name)
}

// acceptableName refuses what no source can mean by a name: control characters, which would break
// log lines and directory queries, bytes that are no UTF-8, and too many.
func acceptableName(name string) bool {
	return len(name) <= MaxName && utf8.ValidString(name) && strings.IndexFunc(name, unicode.IsControl) < 0
}
