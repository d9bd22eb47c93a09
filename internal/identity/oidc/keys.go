package oidc

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Bounds of keys. RSA keys shorter than minRSABits can be broken, and keys longer than
// maxRSABits cost too much time.
const (
	maxKeys    = 100
	maxTried   = 4 // keys tried for one token
	minRSABits = 2048
	maxRSABits = 8192
)

// key is a public key of an issuer.
type key struct {
	id         string // "": none
	public     any
	algorithms []string // algorithms that the key fits
}

// jwks is a parsed JSON Web Key Set.
type jwks struct {
	keys    []key
	dropped []droppedKey
}

// droppedKey is a key that cannot be used to verify tokens.
type droppedKey struct {
	id    string // shortened kid; "": none
	kind  string // a constant text; each kind is logged in one line
	text  string // details about this key; may be ""
	meant bool   // the key is declared for another use, so it needs no log line
}

func (d droppedKey) String() string {
	text := d.kind
	if d.text != "" {
		text += ": " + d.text
	}
	if d.id == "" {
		return "a key without a kid: " + text
	}
	return fmt.Sprintf("the key %q: %s", d.id, text)
}

// parseKeys parses a JWKS. It drops keys that cannot be used, each with a reason, because a set
// can have keys for other uses. If no key is usable, it returns an error, so that such a set never
// replaces a usable set.
func parseKeys(text []byte) (jwks, error) {
	var written struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &written); err != nil {
		return jwks{}, errors.New("not a JSON Web Key Set")
	}
	if len(written.Keys) > maxKeys {
		return jwks{}, fmt.Errorf("it has %d keys, and the limit is %d", len(written.Keys), maxKeys)
	}
	var set jwks
	for _, raw := range written.Keys {
		k, dropped := parseKey(raw)
		if dropped != nil {
			set.dropped = append(set.dropped, *dropped)
			continue
		}
		set.keys = append(set.keys, k)
	}
	if len(set.keys) == 0 {
		why := "it is empty"
		if len(set.dropped) > 0 {
			why = set.dropped[0].String()
		}
		return jwks{}, fmt.Errorf("it has no usable key: %s", why)
	}
	return set, nil
}

// parameters are the members that make up the public key, for each key type (kty). Other
// members are ignored, because some issuers write an empty or wrong "crv" or "x5c" into each
// key.
var parameters = map[string][]string{
	"RSA": {"n", "e"},
	"EC":  {"crv", "x", "y"},
	"OKP": {"crv", "x"},
}

// parseKey parses one key of a JWKS.
func parseKey(raw json.RawMessage) (key, *droppedKey) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return key{}, &droppedKey{kind: "it is not a JSON object"}
	}
	text := func(name string) (string, bool) { // "" if absent or null
		var s string
		return s, members[name] == nil || json.Unmarshal(members[name], &s) == nil
	}
	id, ok := text("kid")
	drop := func(kind, format string, args ...any) (key, *droppedKey) {
		return key{}, &droppedKey{id: shorten(id), kind: kind, text: fmt.Sprintf(format, args...)}
	}
	if !ok {
		return drop("its kid is not a string", "")
	}
	kty, isType := text("kty")
	use, isUse := text("use")
	alg, isAlgorithm := text("alg")
	switch {
	case !isType || !isUse || !isAlgorithm:
		return drop("its kty, use or alg is not a string", "")
	case use != "" && use != "sig" && use != "jwt-svid":
		return key{}, &droppedKey{id: shorten(id), kind: "its use is not sig", text: shorten(use), meant: true}
	case kty == "oct":
		return key{}, &droppedKey{id: shorten(id), kind: "it is a shared secret", meant: true}
	case parameters[kty] == nil:
		return drop("its kty is not EC, OKP or RSA", "%s", shorten(kty))
	case members["d"] != nil:
		return drop("it is a private key", "anyone who reads it can sign tokens")
	}
	public, err := publicKey(kty, members)
	if err != nil {
		return drop("it cannot be parsed", "%s", shorten(err.Error()))
	}
	algorithms := usableAlgorithms(public)
	if len(algorithms) == 0 {
		return drop("its type or size is not accepted", "%s", describe(public))
	}
	if alg != "" {
		all := strings.Join(algorithms, ", ")
		if algorithms = slices.DeleteFunc(algorithms, func(a string) bool { return a != alg }); len(algorithms) == 0 {
			return drop("its alg does not fit the key", "%s, and such a key is for %s", shorten(alg), all)
		}
	}
	return key{id: id, public: public, algorithms: algorithms}, nil
}

// publicKey builds a public key from the parameters of a JWK. If the JWK has no parameters,
// publicKey uses the key of the certificate in x5c. The validity of the certificate is not
// checked, because the key set itself is trusted.
func publicKey(kty string, members map[string]json.RawMessage) (any, error) {
	needed := make(map[string]json.RawMessage, 4)
	for _, name := range parameters[kty] {
		if v := members[name]; v != nil && string(v) != "null" && string(v) != `""` {
			needed[name] = v
		}
	}
	if _, hasCurve := needed["crv"]; len(needed) == 0 || len(needed) == 1 && hasCurve {
		return certificateKey(kty, members["x5c"])
	}
	needed["kty"], _ = json.Marshal(kty) // encoding a string cannot fail
	text, err := json.Marshal(needed)
	if err != nil {
		return nil, err
	}
	var k jose.JSONWebKey
	if err := json.Unmarshal(text, &k); err != nil {
		return nil, err
	}
	if !k.IsPublic() || !k.Valid() {
		return nil, errors.New("it is not a public key")
	}
	return k.Key, nil
}

// certificateKey returns the public key of the first certificate of an x5c.
func certificateKey(kty string, x5c json.RawMessage) (any, error) {
	var chain []string
	if err := json.Unmarshal(x5c, &chain); err != nil || len(chain) == 0 || chain[0] == "" {
		return nil, fmt.Errorf("it has neither %s nor a certificate in x5c", strings.Join(parameters[kty], ", "))
	}
	der, err := base64.StdEncoding.DecodeString(chain[0])
	if err != nil {
		return nil, errors.New("its x5c is not base64")
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.New("its x5c is not a certificate")
	}
	is := map[x509.PublicKeyAlgorithm]string{x509.RSA: "RSA", x509.ECDSA: "EC", x509.Ed25519: "OKP"}[certificate.PublicKeyAlgorithm]
	if is != kty {
		return nil, fmt.Errorf("the key in its x5c does not match its kty %s", kty)
	}
	return certificate.PublicKey, nil
}

// describe returns the type and size of a key for messages.
func describe(public any) string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA of %d bits, and %d to %d are accepted", k.N.BitLen(), minRSABits, maxRSABits)
	case *ecdsa.PublicKey:
		return "the curve " + k.Curve.Params().Name + ", and P-256, P-384 and P-521 are accepted"
	}
	return "neither RSA, nor EC, nor Ed25519"
}

// usableAlgorithms returns the algorithms of a key. If the key is not accepted, the result is
// empty.
func usableAlgorithms(public any) []string {
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

// match returns the keys that could have signed a token. These are the keys with the token's kid.
// If no key has this kid, they are the keys without a kid. If the token has no kid, match returns
// all keys that fit the algorithm.
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

// If more than maxTried keys could have signed a token, limitCandidates refuses the token. Each
// try costs a signature check, and anyone can send tokens.
func limitCandidates(found []key, id, algorithm string) error {
	switch {
	case len(found) <= maxTried:
		return nil
	case id == "":
		return &refusal{reason: fmt.Sprintf("it has no kid, and its issuer has %d keys for %s", len(found), algorithm)}
	}
	return &refusal{reason: fmt.Sprintf("its issuer has %d keys that may be %q for %s", len(found), shorten(id), algorithm)}
}
