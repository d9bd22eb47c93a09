package token

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/scope"
)

var (
	// ErrOutlives means that a token would expire after the certificate that it contains. A
	// registry would refuse such a token before the token expires. Signer.Until returns the
	// latest possible expiry.
	ErrOutlives = errors.New("the token would outlive its certificate")
	// ErrNeverSigned means that the claims contain a scope that must not be in a token: a right
	// over Tidewaiter itself, or "*" on a repository, which a registry treats as every action.
	ErrNeverSigned = errors.New("tokens must not contain this")
	// ErrClaims means that no registry accepts the claims: the issuer or audience is missing,
	// the expiry is missing or not after the beginning, or a name is invalid.
	ErrClaims = errors.New("claims that no registry accepts")
)

// Signer signs tokens with one key. It is immutable and may be used from any goroutine. The
// zero Signer cannot sign.
type Signer struct {
	key    crypto.Signer
	alg    Algorithm
	kid    string
	chain  []*x509.Certificate
	until  time.Time
	header []byte // the encoded header, with a dot at the end

	size int // the size of a signature in bytes, before it is encoded
}

// NewSigner returns a signer whose tokens identify their key by a kid, by a certificate chain
// (x5c, the key's own certificate first), or both. Registries ignore the kid if there is a chain.
// It is an error if the key does not fit the algorithm or the first certificate, or if both the
// kid and the chain are missing.
func NewSigner(key crypto.Signer, alg Algorithm, kid string, chain []*x509.Certificate) (*Signer, error) {
	public, err := publicOf(key)
	if err == nil {
		err = checkFit(public, alg)
	}
	if err != nil {
		return nil, fmt.Errorf("making a signer: %w", err)
	}
	if kid == "" && len(chain) == 0 {
		return nil, errors.New("making a signer: a kid or a certificate is required")
	}
	header := struct {
		Alg Algorithm `json:"alg"`
		Typ string    `json:"typ"`
		Kid string    `json:"kid,omitempty"`
		X5C [][]byte  `json:"x5c,omitempty"` // JSON's bytes are standard base64, as x5c wants it
	}{Alg: alg, Typ: "JWT", Kid: kid}
	s := &Signer{key: key, alg: alg, kid: kid, size: signatureSize(public), chain: append([]*x509.Certificate(nil), chain...)}
	for i, c := range chain {
		if c == nil {
			return nil, errors.New("making a signer: a certificate is missing in the chain")
		}
		if i == 0 && !equalKeys(c.PublicKey, public) {
			return nil, errors.New("making a signer: the first certificate is for another key")
		}
		if end := c.NotAfter.Add(-Leeway); s.until.IsZero() || end.Before(s.until) {
			s.until = end
		}
		header.X5C = append(header.X5C, c.Raw)
	}
	text, err := json.Marshal(header)
	if err != nil {
		return nil, fmt.Errorf("making a signer: %w", err)
	}
	s.header = append(base64.RawURLEncoding.AppendEncode(nil, text), '.')
	return s, nil
}

// Algorithm returns the signature algorithm.
func (s *Signer) Algorithm() Algorithm {
	if s == nil {
		return ""
	}
	return s.alg
}

// KeyID returns the kid of the tokens, or "" if the tokens have no kid.
func (s *Signer) KeyID() string {
	if s == nil {
		return ""
	}
	return s.kid
}

// Certificate returns the key's certificate if the tokens contain it. Otherwise it returns nil.
func (s *Signer) Certificate() *x509.Certificate {
	if s == nil || len(s.chain) == 0 {
		return nil
	}
	return s.chain[0]
}

// Until returns the latest expiry of a token of this signer: the expiry of the certificate that
// expires first, minus Leeway. For tokens without certificates, it returns the zero time, which
// means no limit, because registries do not check the dates of keys that they find by kid.
func (s *Signer) Until() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.until
}

// Limit reduces the expiry of the claims to Until, because no token may outlive the root. If Until
// is less than MinLifetime after the given time, Limit changes nothing, and Append refuses the
// token. With Limit, tokens can be signed until shortly before a root expires.
func (s *Signer) Limit(c *Claims, now time.Time) {
	if until := s.Until(); !until.IsZero() && c.Expires.After(until) && until.Sub(now) >= MinLifetime {
		c.Expires = until.Truncate(time.Second)
	}
}

// Append appends the signed token to dst. On an error, it returns dst unchanged. The errors are
// ErrClaims, ErrOutlives, ErrNeverSigned, and errors of the key.
func (s *Signer) Append(dst []byte, c *Claims) ([]byte, error) {
	if s == nil || s.key == nil {
		return dst, errors.New("signing a token: there is no key")
	}
	if err := s.check(c); err != nil {
		return dst, fmt.Errorf("signing a token: %w", err)
	}
	var space [1024]byte // this is enough for a dozen scopes
	claims := appendClaims(space[:0], c)

	begin := len(dst)
	out := slices.Grow(dst, len(s.header)+base64.RawURLEncoding.EncodedLen(len(claims))+1+base64.RawURLEncoding.EncodedLen(s.size))
	out = append(out, s.header...)
	out = base64.RawURLEncoding.AppendEncode(out, claims)
	signature, err := s.sign(space[:0], out[begin:]) // the bytes in space are no longer needed
	if err != nil {
		return dst, fmt.Errorf("signing a token: %w", err)
	}
	out = append(out, '.')
	return base64.RawURLEncoding.AppendEncode(out, signature), nil
}

// check refuses claims that must not be signed, or that no registry would accept. It checks
// nothing else.
func (s *Signer) check(c *Claims) error {
	switch {
	case c == nil:
		return fmt.Errorf("%w: they are missing", ErrClaims)
	case c.Issuer == "":
		return fmt.Errorf("%w: the issuer is missing", ErrClaims)
	case c.Audience == "":
		return fmt.Errorf("%w: the audience is missing", ErrClaims)
	case c.Expires.IsZero():
		return fmt.Errorf("%w: the expiry is missing", ErrClaims)
	case c.Expires.Unix() <= 0 || !c.startTime().IsZero() && c.Expires.Unix() <= c.startTime().Unix():
		return fmt.Errorf("%w: it would expire before it begins", ErrClaims)
	case !s.until.IsZero() && c.Expires.After(s.until):
		return ErrOutlives
	}
	for i := range c.Access {
		a := &c.Access[i]
		if a.Type == scope.TypeTidewaiter || a.Actions&(scope.Read|scope.Write) != 0 ||
			a.Type == scope.TypeRepository && a.Actions&scope.All != 0 {
			return fmt.Errorf("%q: %w", *a, ErrNeverSigned)
		}
		if a.Actions == 0 || zotCatalog(a) {
			continue
		}
		if err := a.Check(); err != nil {
			return fmt.Errorf("%w: %w", ErrClaims, err)
		}
	}
	return nil
}

// startTime returns the later of IssuedAt and NotBefore.
func (c *Claims) startTime() time.Time {
	if c.NotBefore.After(c.IssuedAt) {
		return c.NotBefore
	}
	return c.IssuedAt
}

// zotCatalog reports whether a is the scope that zot requires for its catalog: pull on an empty
// name.
func zotCatalog(a *scope.Scope) bool {
	return *a == scope.Scope{Type: scope.TypeRepository, Actions: scope.Pull}
}
