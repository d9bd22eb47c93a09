// Package token signs and verifies registry tokens.
//
// A registry trusts the certificates in its rootcertbundle. A [Root] is such a certificate
// together with its key. A leaf under the root ([Root.Leaf]) is a short-lived key that signs
// tokens. Every token contains the leaf's certificate (x5c), so keys rotate without any change
// at a registry. x5c is the only form that registries 2.8, 3.0 and 3.1 all accept.
// [Root.Direct] signs with the root's own key instead, for registries that find keys by kid, and
// for certificates that are not a CA.
//
// A [Verifier] checks tokens like a registry, with a rootcertbundle or a key set. [Claims] is
// the content of a token, for signing and for verifying. [Claims.Grant] fills in the claims
// from a decision of package policy.
//
// Anyone with a certificate under a root in a rootcertbundle can sign tokens, so a root must have
// no other purpose. [Root.Problems] reports signs of other uses.
//
// The package does no I/O, starts no goroutine and reads no clock. Signatures use crypto/rand.
package token

import (
	"time"

	"github.com/tidewaiter/tidewaiter/scope"
)

// Constants that registries and clients assume.
const (
	// Leeway is the time for which a registry still accepts an expired token (distribution,
	// registry/auth/token.Leeway). A token's certificate must be valid for Leeway longer than
	// the token, because registries check certificates without leeway.
	Leeway = 60 * time.Second
	// MinLifetime is the minimum lifetime, because docker and podman treat a shorter lifetime as a
	// minute.
	MinLifetime = time.Minute
	// The nbf and iat of a token are set to a time in the past, because clocks differ. Backdate is
	// the difference from the current time. Registries accept an nbf up to Leeway in the future.
	// But zot refuses every iat in the future, and some clients could refuse every nbf in the
	// future.
	Backdate = 10 * time.Second
	// MaxToken is the maximum length of a token in bytes. A Verifier checks the length before it
	// parses a token. No usable token is longer, because clients read at most 64 KiB of a
	// response, and a response contains the token twice.
	MaxToken = 64 << 10
)

// Claims is the content of a token. Times are written in whole seconds, rounded down, because
// registries refuse fractions. The JSON form of Claims is the same as in a token.
type Claims struct {
	Issuer    string
	Subject   string // the principal's name, or "" for an anonymous principal
	Audience  string // the registry's service name; a string in JSON, because 2.8 refuses a list
	ID        string // jti
	IssuedAt  time.Time
	NotBefore time.Time // zero: omitted
	Expires   time.Time
	Access    []scope.Scope // [] in JSON if nothing is granted; scopes without actions are omitted
}

// Algorithm is a JWS signature algorithm.
type Algorithm string

// The algorithms that sign. Registry 2.8 knows all of them except EdDSA.
const (
	ES256 Algorithm = "ES256"
	ES384 Algorithm = "ES384"
	ES512 Algorithm = "ES512"
	RS256 Algorithm = "RS256"
	EdDSA Algorithm = "EdDSA"
)

// Algorithms that other issuers use, and that only a Verifier supports. Registry 2.8 does not know
// the algorithms that begin with PS.
const (
	RS384 Algorithm = "RS384"
	RS512 Algorithm = "RS512"
	PS256 Algorithm = "PS256"
	PS384 Algorithm = "PS384"
	PS512 Algorithm = "PS512"
)

// KeyID is the way in which a token identifies its key.
type KeyID string

// The forms of key ids. With all forms except X5C, tokens are signed with the root's own key.
const (
	X5C          KeyID = "x5c"            // the certificate itself: for every registry
	Libtrust     KeyID = "libtrust"       // registry 2.8
	Thumbprint   KeyID = "thumbprint"     // registry 3.1: RFC 7638, but coordinates are not padded
	Thumbprint30 KeyID = "thumbprint-3.0" // registry 3.0: hashes the generator of an EC curve
)

// Algorithms returns all algorithms that a Signer supports, the preferred algorithm first.
func Algorithms() []Algorithm { return []Algorithm{ES256, ES384, ES512, RS256, EdDSA} }

// VerifiedAlgorithms returns all algorithms that a Verifier supports.
func VerifiedAlgorithms() []Algorithm {
	return append(Algorithms(), RS384, RS512, PS256, PS384, PS512)
}

// KeyIDs returns all forms of key ids, the preferred form first.
func KeyIDs() []KeyID { return []KeyID{X5C, Libtrust, Thumbprint, Thumbprint30} }
