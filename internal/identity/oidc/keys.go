package oidc

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// The bounds of keys. Shorter RSA keys can be broken, and much longer ones keep us busy.
const (
	maxKeys    = 100
	minRSABits = 2048
	maxRSABits = 8192
)

// key is a public key of an issuer.
type key struct {
	id         string // "": it has none
	public     any
	algorithms []string // that it can be used with
}

// parseKeys reads a JWKS. Keys that cannot verify a token, for whatever reason, are left out: a set may
// have some for other uses. A set without any is an error, so that it replaces none that has.
func parseKeys(text []byte) ([]key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("it is no JSON Web Key Set")
	}
	if len(set.Keys) > maxKeys {
		return nil, errors.New("it has too many keys")
	}
	var keys []key
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if err := json.Unmarshal(raw, &k); err != nil || !k.IsPublic() || !k.Valid() {
			continue
		}
		if k.Use != "" && k.Use != "sig" && k.Use != "jwt-svid" {
			continue
		}
		algorithms := usable(k.Key)
		if k.Algorithm != "" {
			algorithms = slices.DeleteFunc(algorithms, func(a string) bool { return a != k.Algorithm })
		}
		if len(algorithms) > 0 {
			keys = append(keys, key{id: k.KeyID, public: k.Key, algorithms: algorithms})
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no key that could verify a token")
	}
	return keys, nil
}

// usable returns the algorithms that a key is made for.
func usable(public any) []string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits >= minRSABits && bits <= maxRSABits {
			return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
		}
	case *ecdsa.PublicKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return []string{"ES256"}
		case 384:
			return []string{"ES384"}
		case 521:
			return []string{"ES512"}
		}
	case ed25519.PublicKey:
		return []string{"EdDSA"}
	}
	return nil
}

// match returns the keys that a token may be signed with: of its id, or without any; all of them if the
// token names none.
func match(keys []key, id, algorithm string) []key {
	var found []key
	for _, k := range keys {
		if (id == "" || k.id == "" || k.id == id) && slices.Contains(k.algorithms, algorithm) {
			found = append(found, k)
		}
	}
	return found
}
