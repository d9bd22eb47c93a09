package token

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/strictjson"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Errors of Verify. Each error of Verify wraps exactly one of these errors, so errors.Is can find
// it. The text of an error of Verify has details. The text can quote claims, but never the token.
var (
	// ErrMalformed means that the token's syntax is invalid.
	ErrMalformed = errors.New("malformed token")
	// ErrAlgorithm means that the algorithm is not allowed, or does not fit the key.
	ErrAlgorithm = errors.New("algorithm not allowed")
	// ErrUntrusted means that the key is not trusted: the kid is unknown, or the certificates
	// are not valid now or do not lead to a root. The error also wraps the error of
	// crypto/x509, if there is one.
	ErrUntrusted = errors.New("untrusted key")
	// ErrSignature means that the trusted key did not sign the token.
	ErrSignature = errors.New("wrong signature")
	// ErrIssuer means that the token is from another issuer.
	ErrIssuer = errors.New("another issuer")
	// ErrAudience means that the token is for another registry.
	ErrAudience = errors.New("another audience")
	// ErrExpired means that the token is no longer valid.
	ErrExpired = errors.New("expired")
	// ErrNotYetValid means that the token is not valid yet.
	ErrNotYetValid = errors.New("not yet valid")
)

// More limits of tokens.
const (
	maxChain = 10  // certificates of one token
	maxKID   = 512 // bytes of a kid
	maxDepth = 8   // nested objects and lists in a token or a key set
)

// VerifierOptions is the token configuration of a registry. Issuer, Audience, and one of Roots
// and JWKS are required.
type VerifierOptions struct {
	Roots    []byte // certificates in PEM, as in a registry's rootcertbundle
	JWKS     []byte // a JSON Web Key Set, as in a registry's jwks file
	Issuer   string // the token server's name (iss)
	Audience string // the registry's service name (aud)

	// Algorithms are the allowed algorithms; empty: VerifiedAlgorithms.
	Algorithms []Algorithm
	// KeyIDs are the forms in which a token may identify the key of a root. If the list is empty,
	// the forms X5C, Libtrust and Thumbprint are allowed. With Thumbprint30, all keys of a curve
	// have the same kid, which identifies the last root with a key of that curve.
	KeyIDs []KeyID
	// Leeway is the permitted difference between the clocks of the issuer and the caller.
	// Registries allow the constant Leeway. The leeway does not apply to certificates.
	Leeway time.Duration
}

// Verifier checks tokens. It is immutable and may be used from any goroutine.
//
// If a registry that supports the KeyIDs of a Verifier refuses a token, the Verifier refuses the
// token, too. A Verifier is stricter than registries in these points:
//
//   - A header with jwk, jku, x5u, crit or b64 is refused, even with a trusted x5c or kid.
//   - Duplicate names in the header or the claims are refused. Base64 with padding, line ends or
//     unused bits is refused, too.
//   - A leaf certificate with a key usage must allow digital signatures. Registries do not
//     check this.
//   - A key of a JWKS that names an algorithm or a use verifies only tokens of this algorithm
//     and use.
type Verifier struct {
	issuer, audience string
	algorithms       []Algorithm
	leeway           time.Duration
	roots            *x509.CertPool // nil: x5c is not accepted
	keys             map[string]verifyingKey
}

// verifyingKey is a key that tokens identify by a kid.
type verifyingKey struct {
	public crypto.PublicKey
	alg    Algorithm // the only algorithm for this key; "": every algorithm that fits the key
}

// NewVerifier returns a Verifier. It is an error if there is no key to trust, or if the options
// contain a secret: a private key or an HMAC key.
func NewVerifier(o VerifierOptions) (*Verifier, error) {
	v := &Verifier{
		issuer: o.Issuer, audience: o.Audience, leeway: o.Leeway,
		algorithms: slices.Clone(o.Algorithms), keys: map[string]verifyingKey{},
	}
	switch {
	case o.Issuer == "" || o.Audience == "":
		return nil, errors.New("making a verifier: an issuer and an audience are needed")
	case o.Leeway < 0:
		return nil, errors.New("making a verifier: the leeway is negative")
	case len(o.Roots) == 0 && len(o.JWKS) == 0:
		return nil, errors.New("making a verifier: roots or a key set are needed")
	}
	if len(v.algorithms) == 0 {
		v.algorithms = VerifiedAlgorithms()
	}
	for _, alg := range v.algorithms {
		if !slices.Contains(VerifiedAlgorithms(), alg) {
			return nil, fmt.Errorf("making a verifier: the algorithm %q is not one that can be allowed", string(alg))
		}
	}
	forms := o.KeyIDs
	if len(forms) == 0 {
		forms = []KeyID{X5C, Libtrust, Thumbprint}
	}
	for _, form := range forms {
		if !slices.Contains(KeyIDs(), form) {
			return nil, fmt.Errorf("making a verifier: there is no form of key id %q", string(form))
		}
	}
	if len(o.Roots) > 0 {
		if err := v.trustRoots(o.Roots, forms); err != nil {
			return nil, fmt.Errorf("making a verifier: reading the roots: %w", err)
		}
	}
	if len(o.JWKS) > 0 {
		if err := v.trustKeys(o.JWKS); err != nil {
			return nil, fmt.Errorf("making a verifier: reading the key set: %w", err)
		}
	}
	return v, nil
}

// trustRoots adds the certificates of a bundle as roots. It also adds their keys, under the kid
// of each form.
func (v *Verifier) trustRoots(bundle []byte, forms []KeyID) error {
	all, err := blocks(bundle, "x509")
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	found := false
	for _, b := range all {
		if isPrivateKey(b) {
			return errors.New("a private key is among the certificates; give a verifier only certificates")
		}
		if b.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return fmt.Errorf("a CERTIFICATE block is damaged: %w", err)
		}
		if _, err := algorithmOf(c.PublicKey); err != nil {
			return fmt.Errorf("the certificate %q: %w", c.Subject, err)
		}
		found = true
		roots.AddCert(c)
		// The last key with a kid replaces earlier keys with the same kid, like in registries.
		for _, form := range forms {
			if kid, err := KeyIDOf(form, c.PublicKey); err == nil {
				v.keys[kid] = verifyingKey{public: c.PublicKey}
			}
		}
	}
	if !found {
		return notA("certificate", all[0])
	}
	if slices.Contains(forms, X5C) {
		v.roots = roots
	}
	return nil
}

// Verify checks a token at the given time and returns its claims. In the result, Claims.Audience
// is the Verifier's audience, even if the token also has other audiences. Claims.Access has one
// entry for each entry of the token's access claim, without the actions that package scope does
// not know. Use Claims.Allows to check whether the token is sufficient for a request.
//
// The signature is checked before the claims. So if the error is about claims, the issuer has
// signed these claims.
func (v *Verifier) Verify(text string, now time.Time) (*Claims, error) {
	c, err := v.verify(text, now)
	if err != nil {
		return nil, fmt.Errorf("verifying a token: %w", err)
	}
	return c, nil
}

func (v *Verifier) verify(text string, now time.Time) (*Claims, error) {
	if v == nil || len(v.algorithms) == 0 {
		return nil, fmt.Errorf("%w: the verifier has no keys", ErrUntrusted)
	}
	// For a zero time, crypto/x509 would use the current time of the machine.
	if now.IsZero() {
		return nil, fmt.Errorf("%w: the time of the check is missing", ErrNotYetValid)
	}
	if len(text) > MaxToken {
		return nil, fmt.Errorf("%w: it has %d bytes; the limit is %d", ErrMalformed, len(text), MaxToken)
	}
	last := strings.LastIndexByte(text, '.')
	signed, encoded := text[:max(last, 0)], text[last+1:]
	head, body, two := strings.Cut(signed, ".")
	if !two || strings.Contains(body, ".") {
		return nil, fmt.Errorf("%w: it does not have three parts", ErrMalformed)
	}
	header, err := object(head)
	if err != nil {
		return nil, fmt.Errorf("%w: its header: %w", ErrMalformed, err)
	}
	signature, err := decodePart(encoded)
	if err != nil {
		return nil, fmt.Errorf("%w: its signature: %w", ErrMalformed, err)
	}
	public, alg, err := v.key(header, now)
	if err != nil {
		return nil, err
	}
	if !isValidSignature(public, alg, []byte(signed), signature) {
		return nil, ErrSignature
	}
	payload, err := object(body)
	if err != nil {
		return nil, fmt.Errorf("%w: its claims: %w", ErrMalformed, err)
	}
	c, audience, err := readClaims(payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	switch {
	case c.Issuer != v.issuer:
		return nil, fmt.Errorf("%w: it is from %s", ErrIssuer, quote(c.Issuer))
	case !slices.Contains(audience, v.audience):
		return nil, fmt.Errorf("%w: it is for %s", ErrAudience, quote(strings.Join(audience, ", ")))
	case now.After(c.Expires.Add(v.leeway)):
		return nil, fmt.Errorf("%w: it ended %s", ErrExpired, c.Expires.UTC().Format(time.RFC3339))
	case now.Before(c.NotBefore.Add(-v.leeway)):
		return nil, fmt.Errorf("%w: it begins %s", ErrNotYetValid, c.NotBefore.UTC().Format(time.RFC3339))
	}
	c.Audience = v.audience
	return c, nil
}

// key returns the trusted key that a header identifies, and the algorithm. A token must not
// provide its own key. Distribution accepted such keys before the fix of CVE-2025-24976.
func (v *Verifier) key(header map[string]any, now time.Time) (crypto.PublicKey, Algorithm, error) {
	for _, name := range []string{"jwk", "jku", "x5u", "crit", "b64"} {
		if _, has := header[name]; has {
			return nil, "", fmt.Errorf("%w: its header has %s", ErrUntrusted, name)
		}
	}
	name, _ := header["alg"].(string)
	alg := Algorithm(name)
	if !slices.Contains(v.algorithms, alg) {
		return nil, "", fmt.Errorf("%w: %s", ErrAlgorithm, quote(name))
	}
	if typ, has := header["typ"]; has {
		if _, ok := typ.(string); !ok {
			return nil, "", fmt.Errorf("%w: its typ is not a string", ErrMalformed)
		}
	}
	kid, has := "", false
	if value, there := header["kid"]; there {
		if kid, has = value.(string); !has || len(kid) > maxKID {
			return nil, "", fmt.Errorf("%w: its kid is not a string, or too long", ErrMalformed)
		}
	}

	var key verifyingKey
	if chain, there := header["x5c"]; there { // if there is x5c, registries ignore kid
		public, err := v.leaf(chain, now)
		if err != nil {
			return nil, "", err
		}
		key.public = public
	} else if key, has = v.keys[kid]; !has || kid == "" {
		return nil, "", fmt.Errorf("%w: no key is known by the kid %s", ErrUntrusted, quote(kid))
	}
	if !fitsAny(key.public, alg) || key.alg != "" && key.alg != alg {
		return nil, "", fmt.Errorf("%w: the token names a key that cannot be used with %s", ErrAlgorithm, alg)
	}
	return key.public, alg, nil
}

// leaf returns the key of the first certificate of x5c, if the chain leads to a root.
func (v *Verifier) leaf(x5c any, now time.Time) (crypto.PublicKey, error) {
	list, _ := x5c.([]any)
	if len(list) == 0 || len(list) > maxChain {
		return nil, fmt.Errorf("%w: its x5c is not a list of 1 to %d certificates", ErrMalformed, maxChain)
	}
	if v.roots == nil {
		return nil, fmt.Errorf("%w: certificates are not accepted", ErrUntrusted)
	}
	var leaf *x509.Certificate
	intermediates := x509.NewCertPool()
	for i, item := range list {
		text, _ := item.(string)
		if strings.ContainsAny(text, "\r\n") {
			return nil, fmt.Errorf("%w: a certificate of x5c has a line end in it", ErrMalformed)
		}
		der, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("%w: a certificate of x5c is not base64", ErrMalformed)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%w: a certificate of x5c cannot be read: %w", ErrMalformed, err)
		}
		// crypto/x509 verifies signatures with keys of any size before it checks whether the chain
		// is trusted. Verifying a signature with the largest RSA key that fits into a token would
		// take half a second of a core.
		if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSA {
			return nil, fmt.Errorf("%w: a certificate of x5c has an RSA key of %d bits; the limit is %d", ErrUntrusted, k.N.BitLen(), maxRSA)
		}
		if i == 0 {
			leaf = c
		} else {
			intermediates.AddCert(c)
		}
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: v.roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // registries do not check this field
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	// If a root signs tokens with its own key, its certificate does not need a particular key
	// usage.
	root := slices.ContainsFunc(chains, func(chain []*x509.Certificate) bool { return len(chain) == 1 })
	if !root && leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return nil, fmt.Errorf("%w: its certificate is not for signatures", ErrUntrusted)
	}
	if _, err := algorithmOf(leaf.PublicKey); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	return leaf.PublicKey, nil
}

// object decodes a part of a token that is a JSON object.
func object(part string) (map[string]any, error) {
	text, err := decodePart(part)
	if err != nil {
		return nil, err
	}
	return strictjson.Object(text, maxDepth)
}

// decodePart decodes base64url in canonical form: without padding, line ends or unused bits.
func decodePart(part string) ([]byte, error) {
	if strings.ContainsAny(part, "\r\n") { // the decoder ignores line ends
		return nil, errors.New("it has a line end in it")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, errors.New("it is not base64url")
	}
	return b, nil
}

// quote returns untrusted text of a token in quotes, on one line.
func quote(s string) string { return text.Quote(text.Shorten(s, 200)) }
