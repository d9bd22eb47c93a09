package registryapi

import (
	"crypto/rand"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/keyring"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

// Issuer signs the tokens of a Client. All fields are required.
type Issuer struct {
	Keys      *keyring.Keyring
	KeyID     token.KeyID
	Algorithm token.Algorithm
	Name      string // the issuer that registries know
	Service   string // the registry
	// Subject is the login for which the tokens are signed. The registry reports the login in
	// events and writes it to its log.
	Subject       string
	CatalogByPull bool // the registry, for example zot, requires repository::pull for its catalog
	Now           func() time.Time
}

// Sign signs a token with one scope. It implements Options.Sign.
func (i *Issuer) Sign(rights scope.Scope) (string, time.Time, error) {
	now := i.Now()
	signer, err := i.Keys.Signer(i.KeyID, i.Algorithm, now)
	if err != nil {
		return "", time.Time{}, err
	}
	if i.CatalogByPull && rights.Type == scope.TypeRegistry {
		rights = scope.Scope{Type: scope.TypeRepository, Actions: scope.Pull}
	}
	// The lifetime is short, because the registry's log or a proxy can expose the token.
	claims := token.Claims{Issuer: i.Name, Subject: i.Subject, Audience: i.Service, ID: rand.Text()}.Grant(nil, lifetime, now)
	claims.Access = append(claims.Access, rights)
	signer.Limit(&claims, now)
	signed, err := signer.Append(nil, &claims)
	return string(signed), claims.Expires, err
}

const lifetime = 2 * time.Minute
