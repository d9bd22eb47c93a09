package accounts

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"
	"sync/atomic"

	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// basis binds a refresh token or a session to the password that it stands for, where another source has that: when
// the password is changed there, or its owner removed and added again, its generation is another (identity.Generations).
//
// What is kept is an HMAC of the generation, under the token's own secret, which is kept nowhere: whoever reads the database
// learns nothing about a hash.
type basis struct {
	secret identity.Secret
	kept   string
	proven atomic.Pointer[string] // the generation that the token was found to be bound to
}

func newBasis(secret identity.Secret, kept string) *basis { return &basis{secret: secret, kept: kept} }

// of reports whether the token was made with a password of this generation. Where the source cannot tell, it is; a
// token that was bound to none is not, where the source can: it is from before there were any.
func (b *basis) of(generation string) bool {
	if b == nil || generation == "" {
		return true
	}
	if proven := b.proven.Load(); proven != nil && *proven == generation {
		return true
	}
	if subtle.ConstantTimeCompare([]byte(fingerprint(b.secret, generation)), []byte(b.kept)) != 1 {
		return false
	}
	b.proven.Store(&generation)
	return true
}

// fingerprint is what is kept of a generation, for a token with a secret.
func fingerprint(secret identity.Secret, generation string) string {
	mac := hmac.New(sha256.New, []byte(strings.TrimSpace(secret.Reveal())))
	mac.Write([]byte(generation))
	return hex.EncodeToString(mac.Sum(nil))
}
