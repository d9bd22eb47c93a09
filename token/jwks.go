package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"fmt"
)

// jwk is a public key in the form of RFC 7517.
type jwk struct {
	Kty string    `json:"kty"`
	Use string    `json:"use"`
	Alg Algorithm `json:"alg"`
	Kid string    `json:"kid"`
	Crv string    `json:"crv,omitempty"`
	X   string    `json:"x,omitempty"`
	Y   string    `json:"y,omitempty"`
	N   string    `json:"n,omitempty"`
	E   string    `json:"e,omitempty"`
}

// JWKS returns the root's public key as a JSON Web Key Set, for the jwks file of registry 3.
// The key is listed under the kid of each form. If two forms have the same kid, the key is listed
// once. X5C has no kid and is treated as Thumbprint. The keys of leaves are not listed, because
// leaves change, and because a registry that trusts a key set does not check certificates.
func (r *Root) JWKS(forms ...KeyID) ([]byte, error) {
	if r.empty() {
		return nil, errZeroRoot
	}
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: []jwk{}}
	listed := map[string]bool{}
	for _, form := range forms {
		if form == X5C {
			form = Thumbprint
		}
		kid, err := r.KeyID(form)
		if err != nil {
			return nil, err
		}
		if listed[kid] {
			continue
		}
		listed[kid] = true
		key := jwk{Use: "sig", Alg: r.alg, Kid: kid}
		switch k := r.certificate.PublicKey.(type) {
		case *ecdsa.PublicKey:
			x, y := coordinates(k)
			key.Kty, key.Crv, key.X, key.Y = "EC", k.Params().Name, encode(x), encode(y)
		case *rsa.PublicKey:
			key.Kty, key.N, key.E = "RSA", encode(k.N.Bytes()), encode(exponent(k))
		case ed25519.PublicKey:
			key.Kty, key.Crv, key.X = "OKP", "Ed25519", encode(k)
		}
		set.Keys = append(set.Keys, key)
	}
	text, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("encoding the key set: %w", err)
	}
	return text, nil
}
