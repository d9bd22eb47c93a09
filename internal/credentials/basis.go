package credentials

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"
	"sync/atomic"

	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// basis binds a refresh token or a session to a password of another source. The generation changes
// when the password is changed in that source, or when the user is removed and added again
// (chain.Generations). If the generation has changed, the token or session is invalid.
//
// The database stores an HMAC of the generation. The key of the HMAC is the token's own secret,
// and the database does not store this secret. So a reader of the database learns nothing about a
// password hash.
type basis struct {
	secret identity.Secret
	stored string
	proven atomic.Pointer[string] // the generation that matched the stored HMAC; nil: none yet
}

func newBasis(secret identity.Secret, stored string) *basis {
	return &basis{secret: secret, stored: stored}
}

// matches reports whether the token was created with a password of this generation. If the source
// has no generations, matches returns true. If the token was created before its source had
// generations, the token has no fingerprint. Such a token becomes invalid when the source gets
// generations.
func (b *basis) matches(generation string) bool {
	if b == nil || generation == "" {
		return true
	}
	if proven := b.proven.Load(); proven != nil && *proven == generation {
		return true
	}
	if subtle.ConstantTimeCompare([]byte(fingerprint(b.secret, generation)), []byte(b.stored)) != 1 {
		return false
	}
	b.proven.Store(&generation)
	return true
}

// fingerprint returns the stored form of a generation for the token with this secret.
func fingerprint(secret identity.Secret, generation string) string {
	mac := hmac.New(sha256.New, []byte(strings.TrimSpace(secret.Reveal())))
	mac.Write([]byte(generation))
	return hex.EncodeToString(mac.Sum(nil))
}
