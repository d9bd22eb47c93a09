package token

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// Root is a certificate that registries trust, with its key. It is immutable. The zero Root,
// which NewRoot, RootOf and ParseRoot never return, signs nothing.
type Root struct {
	certificate *x509.Certificate
	key         crypto.Signer
	alg         Algorithm // of the key
}

// NewRoot makes a new key and a certificate for it that issues leaves and nothing else: it may
// stand over no other CA, and its name says what it is for. ES256 is for registries of every
// version; EdDSA stops registry 2.8 from starting. Registries judge the times by their own
// clocks, without leeway: let from be well in the past.
func NewRoot(commonName string, alg Algorithm, from, until time.Time) (*Root, error) {
	key, err := generate(alg)
	if err != nil {
		return nil, fmt.Errorf("making a root: %w", err)
	}
	if !from.Before(until) {
		return nil, errors.New("making a root: it would end before it begins")
	}
	template := &x509.Certificate{
		Subject: pkix.Name{
			CommonName:         commonName,
			Organization:       []string{organization},
			OrganizationalUnit: []string{"only for signing registry tokens"},
		},
		NotBefore:             from,
		NotAfter:              until,
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	certificate, err := issue(template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making a root: %w", err)
	}
	return &Root{certificate: certificate, key: key, alg: alg}, nil
}

// RootOf makes a root of a certificate and its key, which may be kept in a key service or a
// hardware module: leaves are signed by calling it. It is an error if they do not belong
// together, or if the key is of a kind that no registry knows.
func RootOf(certificate *x509.Certificate, key crypto.Signer) (*Root, error) {
	if certificate == nil || key == nil {
		return nil, errors.New("making a root: a certificate and its key are needed")
	}
	public, err := publicOf(key)
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	alg, err := algorithmOf(certificate.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	if _, err := algorithmOf(public); err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	if !same(certificate.PublicKey, public) {
		return nil, errors.New("reading the key: it is not the key of the certificate; " +
			"make a new certificate for it: openssl req -new -x509 -key KEY -out CERTIFICATE")
	}
	return &Root{certificate: certificate, key: key, alg: alg}, nil
}

// organization stands in the names of certificates that we make.
const organization = "Tidewaiter"

// issue makes a certificate with a random serial number.
func issue(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("issuing a certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// errZeroRoot means that a Root was not made by this package.
var errZeroRoot = errors.New("the root is empty: make it with NewRoot, RootOf or ParseRoot")

func (r *Root) empty() bool { return r == nil || r.certificate == nil || r.key == nil }

// Certificate returns the certificate. It is shared: do not change it.
func (r *Root) Certificate() *x509.Certificate {
	if r.empty() {
		return nil
	}
	return r.certificate
}

// Algorithm returns the algorithm with which the root's own key signs.
func (r *Root) Algorithm() Algorithm {
	if r.empty() {
		return ""
	}
	return r.alg
}

// Bundle returns the certificate in PEM, for a registry's rootcertbundle.
func (r *Root) Bundle() []byte {
	if r.empty() {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.certificate.Raw})
}

// KeyPEM returns the private key in PEM (PKCS#8). It is a secret. A key that cannot leave where
// it is kept is an error.
func (r *Root) KeyPEM() ([]byte, error) {
	if r.empty() {
		return nil, errZeroRoot
	}
	der, err := x509.MarshalPKCS8PrivateKey(r.key)
	if err != nil {
		return nil, fmt.Errorf("encoding the root's key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// KeyID returns the kid under which registries know the root's own key; X5C has none.
func (r *Root) KeyID(form KeyID) (string, error) {
	if r.empty() {
		return "", errZeroRoot
	}
	return KeyIDOf(form, r.certificate.PublicKey)
}

// IssuesLeaves reports whether registries accept leaves under this certificate: it is a CA, and
// if it says what its key is for, then for signing certificates. If not, Direct signs.
func (r *Root) IssuesLeaves() bool {
	if r.empty() {
		return false
	}
	c := r.certificate
	return c.BasicConstraintsValid && c.IsCA && (c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageCertSign != 0)
}

// Leaf makes a new key for the algorithm and a certificate for it under the root, and returns a
// signer whose tokens carry that certificate. The leaf is valid in [from, until], and not longer
// than the root. As with a root, let from be well in the past.
func (r *Root) Leaf(alg Algorithm, from, until time.Time) (*Signer, error) {
	if r.empty() {
		return nil, fmt.Errorf("making a leaf: %w", errZeroRoot)
	}
	if !r.IssuesLeaves() {
		return nil, errors.New("making a leaf: the root's certificate is no CA for certificates; sign with its own key")
	}
	if until.After(r.certificate.NotAfter) {
		until = r.certificate.NotAfter
	}
	if !from.Before(until) {
		return nil, fmt.Errorf("making a leaf: its time is over before it begins (the root ends %s)", day(r.certificate.NotAfter))
	}
	key, err := generate(alg)
	if err != nil {
		return nil, fmt.Errorf("making a leaf: %w", err)
	}
	// No extended key usage: nothing that a TLS client or server would take for its own.
	certificate, err := issue(&x509.Certificate{
		Subject:               pkix.Name{CommonName: organization + " leaf"},
		NotBefore:             from,
		NotAfter:              until,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}, r.certificate, key.Public(), r.key)
	if err != nil {
		return nil, fmt.Errorf("making a leaf: %w", err)
	}
	return NewSigner(key, alg, "", []*x509.Certificate{certificate})
}

// Direct returns a signer with the root's own key, which its tokens name in the given form: X5C
// carries the root's certificate itself, which works whether it is a CA or not.
func (r *Root) Direct(form KeyID) (*Signer, error) {
	if r.empty() {
		return nil, fmt.Errorf("making a signer: %w", errZeroRoot)
	}
	if form == X5C {
		return NewSigner(r.key, r.alg, "", []*x509.Certificate{r.certificate})
	}
	kid, err := r.KeyID(form)
	if err != nil {
		return nil, fmt.Errorf("making a signer: %w", err)
	}
	return NewSigner(r.key, r.alg, kid, nil)
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
