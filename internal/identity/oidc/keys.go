package oidc

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// The bounds of keys. Shorter RSA keys can be broken, and much longer ones keep us busy.
const (
	maxKeys    = 100
	maxTried   = 4 // for one token
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

// match returns the keys that a token may be signed with: those of its id, or if there are none, those without any;
// all of them if the token names none.
func match(keys []key, id, algorithm string) []key {
	var named, others []key
	for _, k := range keys {
		switch {
		case !slices.Contains(k.algorithms, algorithm):
		case id != "" && k.id == id:
			named = append(named, k)
		case id == "" || k.id == "":
			others = append(others, k)
		}
	}
	if len(named) > 0 {
		return named
	}
	return others
}

// few refuses to try a token with more keys than maxTried: anybody can send one, and each costs a signature.
func few(found []key, id, algorithm string) error {
	switch {
	case len(found) <= maxTried:
		return nil
	case id == "":
		return &refusal{reason: fmt.Sprintf("it names no key, and its issuer has %d for %s", len(found), algorithm)}
	}
	return &refusal{reason: fmt.Sprintf("its issuer has %d keys that may be %q, for %s", len(found), shorten(id), algorithm)}
}
