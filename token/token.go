// Package token answers: which papers prove it?
//
// A registry trusts the certificates in its rootcertbundle. Root is one of them with its key; a leaf
// under it is a short-lived key that signs, and every token carries the leaf's certificate (x5c), so
// that keys rotate without a registry noticing. This is the only form that registries 2.8, 3.0 and 3.1
// all accept. Root.Direct signs with the root's own key instead, for registries that know keys by kid,
// and for certificates that are no CA.
//
// Whoever holds any certificate under a root in a rootcertbundle can sign tokens, so a root is for
// this alone; Root.Problems tells where one is visibly not.
//
// The package does no I/O, starts no goroutine, and reads no clock; signatures take their randomness
// from crypto/rand.
package token

import (
	"time"

	"github.com/tidewaiter/tidewaiter/scope"
)

// Leeway is how long after its expiry a registry still accepts a token (distribution,
// registry/auth/token.Leeway), and so how much longer its certificate must last: certificates are
// judged without any.
const Leeway = 60 * time.Second

// Claims is what a token says. Times are written in whole seconds, cut: registries refuse fractions.
type Claims struct {
	Issuer    string
	Subject   string // the principal's name; "" when anonymous
	Audience  string // the registry's service name; written as a string, since 2.8 refuses a list
	ID        string // jti
	IssuedAt  time.Time
	NotBefore time.Time // zero: left out
	Expires   time.Time
	Access    []scope.Scope // written as [] when nothing is granted; scopes without actions are left out
}

// Algorithm is a JWS signature algorithm.
type Algorithm string

// The algorithms. Registry 2.8 knows all but EdDSA.
const (
	ES256 Algorithm = "ES256"
	ES384 Algorithm = "ES384"
	ES512 Algorithm = "ES512"
	RS256 Algorithm = "RS256"
	EdDSA Algorithm = "EdDSA"
)

// KeyID is the form in which a token names its key.
type KeyID string

// The forms. All but X5C sign with the root's own key.
const (
	X5C          KeyID = "x5c"            // the certificate itself: every registry
	Libtrust     KeyID = "libtrust"       // what registry 2.8 computes
	Thumbprint   KeyID = "thumbprint"     // what registry 3.1 computes: RFC 7638, but coordinates not padded
	Thumbprint30 KeyID = "thumbprint-3.0" // what registry 3.0 computes: for EC keys it hashes the curve's generator
)

// Algorithms returns all algorithms, the one to prefer first.
func Algorithms() []Algorithm { return []Algorithm{ES256, ES384, ES512, RS256, EdDSA} }

// KeyIDs returns all forms, the one to prefer first.
func KeyIDs() []KeyID { return []KeyID{X5C, Libtrust, Thumbprint, Thumbprint30} }
