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

// jwks is what a JSON Web Key Set holds.
type jwks struct {
	keys    []key
	dropped []droppedKey
}

// droppedKey is a key that cannot verify a token.
type droppedKey struct {
	id    string // as it is in the set, shortened; "": it has none
	kind  string // one of a few texts, so that the log can have one line for each
	text  string // what is wrong with this key; "" adds nothing to the kind
	meant bool   // the key says itself that it is for something else: nothing is wrong with it
}

func (d droppedKey) String() string {
	text := d.kind
	if d.text != "" {
		text += ": " + d.text
	}
	if d.id == "" {
		return "a key without an id: " + text
	}
	return fmt.Sprintf("the key %q: %s", d.id, text)
}

// parseKeys reads a JWKS. A key that cannot verify a token is dropped, with the reason: a set may
// have some for other uses. A set without any other is an error, so that it replaces none that
// has.
func parseKeys(text []byte) (jwks, error) {
	var written struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &written); err != nil {
		return jwks{}, errors.New("it is no JSON Web Key Set")
	}
	if len(written.Keys) > maxKeys {
		return jwks{}, fmt.Errorf("it has %d keys, and %d are the most", len(written.Keys), maxKeys)
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
		why := "it has none"
		if len(set.dropped) > 0 {
			why = set.dropped[0].String()
		}
		return jwks{}, fmt.Errorf("it has no key that could verify a token: %s", why)
	}
	return set, nil
}

// parameters are the members of a JWK that make its public key, by its kty. No others are looked
// at: some issuers write "crv" or "x5c" into each key, empty or wrong.
var parameters = map[string][]string{
	"RSA": {"n", "e"},
	"EC":  {"crv", "x", "y"},
	"OKP": {"crv", "x"},
}

// parseKey reads one key of a JWKS.
func parseKey(raw json.RawMessage) (key, *droppedKey) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return key{}, &droppedKey{kind: "it is no JSON object"}
	}
	text := func(name string) (string, bool) { // "" for one that is not there, or null
		var s string
		return s, members[name] == nil || json.Unmarshal(members[name], &s) == nil
	}
	id, ok := text("kid")
	drop := func(kind, format string, args ...any) (key, *droppedKey) {
		return key{}, &droppedKey{id: shorten(id), kind: kind, text: fmt.Sprintf(format, args...)}
	}
	if !ok {
		return drop("its kid is no text", "")
	}
	kty, isType := text("kty")
	use, isUse := text("use")
	alg, isAlgorithm := text("alg")
	switch {
	case !isType || !isUse || !isAlgorithm:
		return drop("its kty, use or alg is no text", "")
	case use != "" && use != "sig" && use != "jwt-svid":
		return key{}, &droppedKey{id: shorten(id), kind: "its use is not to sign", text: shorten(use), meant: true}
	case kty == "oct":
		return key{}, &droppedKey{id: shorten(id), kind: "it is a shared secret", meant: true}
	case parameters[kty] == nil:
		return drop("its kty is none of EC, OKP and RSA", "%s", shorten(kty))
	case members["d"] != nil:
		return drop("it is a private key", "whoever reads it can sign tokens")
	}
	public, err := publicKey(kty, members)
	if err != nil {
		return drop("it cannot be read", "%s", shorten(err.Error()))
	}
	algorithms := usable(public)
	if len(algorithms) == 0 {
		return drop("it is of a kind or size that is not accepted", "%s", describe(public))
	}
	if alg != "" {
		all := strings.Join(algorithms, ", ")
		if algorithms = slices.DeleteFunc(algorithms, func(a string) bool { return a != alg }); len(algorithms) == 0 {
			return drop("its alg is for something else", "%s, and a key like this is for %s", shorten(alg), all)
		}
	}
	return key{id: id, public: public, algorithms: algorithms}, nil
}

// publicKey makes the key of its parameters. Of one that has none, the certificate in x5c is read:
// only for its key. Whether the certificate has ended is not asked, since it is the set that is
// trusted.
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
	needed["kty"], _ = json.Marshal(kty) // a text always encodes
	text, err := json.Marshal(needed)
	if err != nil {
		return nil, err
	}
	var k jose.JSONWebKey
	if err := json.Unmarshal(text, &k); err != nil {
		return nil, err
	}
	if !k.IsPublic() || !k.Valid() {
		return nil, errors.New("it is no public key")
	}
	return k.Key, nil
}

// certificateKey returns the public key of the first certificate of an x5c.
func certificateKey(kty string, x5c json.RawMessage) (any, error) {
	var chain []string
	if err := json.Unmarshal(x5c, &chain); err != nil || len(chain) == 0 || chain[0] == "" {
		return nil, fmt.Errorf("it has no %s, and no certificate in x5c", strings.Join(parameters[kty], ", "))
	}
	der, err := base64.StdEncoding.DecodeString(chain[0])
	if err != nil {
		return nil, errors.New("its x5c is no base64")
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.New("its x5c has no certificate")
	}
	is := map[x509.PublicKeyAlgorithm]string{x509.RSA: "RSA", x509.ECDSA: "EC", x509.Ed25519: "OKP"}[certificate.PublicKeyAlgorithm]
	if is != kty {
		return nil, fmt.Errorf("its x5c has a key of another kind than its kty, %s", kty)
	}
	return certificate.PublicKey, nil
}

// describe says of which kind and size a key is.
func describe(public any) string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA of %d bits, and %d to %d are accepted", k.N.BitLen(), minRSABits, maxRSABits)
	case *ecdsa.PublicKey:
		return "the curve " + k.Curve.Params().Name + ", and P-256, P-384 and P-521 are accepted"
	}
	return "neither RSA, nor EC, nor Ed25519"
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

// match returns the keys that a token may be signed with: those of its id, or if there are none,
// those without any; all of them if the token names none.
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

// limitCandidates refuses to try a token with more keys than maxTried: anybody can send one, and each costs a
// signature.
func limitCandidates(found []key, id, algorithm string) error {
	switch {
	case len(found) <= maxTried:
		return nil
	case id == "":
		return &refusal{reason: fmt.Sprintf("it names no key, and its issuer has %d for %s", len(found), algorithm)}
	}
	return &refusal{reason: fmt.Sprintf("its issuer has %d keys that may be %q, for %s", len(found), shorten(id), algorithm)}
}
