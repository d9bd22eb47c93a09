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

// Root is a certificate that registries trust, together with its key. It is immutable. The zero
// Root cannot sign. NewRoot, RootOf and ParseRoot never return the zero Root.
type Root struct {
	certificate *x509.Certificate
	key         crypto.Signer
	alg         Algorithm // of the key
}

// NewRoot generates a key and its certificate. The certificate can only issue leaves and not other
// CAs. The certificate's name states its purpose. ES256 works with every registry. With EdDSA,
// registry 2.8 does not start. The certificate is valid in [from, until]. Registries check these
// dates by their own clocks, without leeway. So the validity should begin at least an hour before
// the creation.
func NewRoot(commonName string, alg Algorithm, from, until time.Time) (*Root, error) {
	key, err := generate(alg)
	if err != nil {
		return nil, fmt.Errorf("making a root: %w", err)
	}
	if !from.Before(until) {
		return nil, errors.New("making a root: it would expire before it begins")
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

// RootOf returns a root with a certificate and its key. The key can be in a key service or a
// hardware module, which the returned Root calls to sign leaves. It is an error if the
// certificate is for another key, or if no registry supports the key.
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
	if !equalKeys(certificate.PublicKey, public) {
		return nil, errors.New("reading the key: it is not the key of the certificate; " +
			"make a new certificate for it: openssl req -new -x509 -key KEY -out CERTIFICATE")
	}
	return &Root{certificate: certificate, key: key, alg: alg}, nil
}

// organization is part of the names of the certificates that this package creates.
const organization = "Tidewaiter"

// issue creates a certificate with a random serial number.
func issue(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("issuing a certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// errZeroRoot means that a Root was not created by this package.
var errZeroRoot = errors.New("the root is empty: use NewRoot, RootOf or ParseRoot")

func (r *Root) empty() bool { return r == nil || r.certificate == nil || r.key == nil }

// Certificate returns the root's certificate. Do not change the certificate, because it is shared.
func (r *Root) Certificate() *x509.Certificate {
	if r.empty() {
		return nil
	}
	return r.certificate
}

// Algorithm returns the signature algorithm of the root's own key.
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

// KeyPEM returns the private key in PEM (PKCS#8). The result is a secret. KeyPEM returns an error
// if the key cannot be exported.
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

// KeyID returns the kid by which registries find the root's own key. X5C is an error, because
// it has no kid.
func (r *Root) KeyID(form KeyID) (string, error) {
	if r.empty() {
		return "", errZeroRoot
	}
	return KeyIDOf(form, r.certificate.PublicKey)
}

// IssuesLeaves reports whether registries accept leaves under this certificate. They accept leaves
// if the certificate is for a CA, and if its key usage is missing or allows signing certificates.
// If IssuesLeaves returns false, use Direct.
func (r *Root) IssuesLeaves() bool {
	if r.empty() {
		return false
	}
	c := r.certificate
	return c.BasicConstraintsValid && c.IsCA && (c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageCertSign != 0)
}

// Leaf generates a key, and issues a certificate for the key under the root. It returns a signer
// whose tokens contain that certificate. The leaf is valid in [from, until], but not longer than
// the root. Its validity should begin at least an hour before the creation, as for NewRoot.
func (r *Root) Leaf(alg Algorithm, from, until time.Time) (*Signer, error) {
	if r.empty() {
		return nil, fmt.Errorf("making a leaf: %w", errZeroRoot)
	}
	if !r.IssuesLeaves() {
		return nil, errors.New("making a leaf: the root's certificate is not a CA that can issue certificates; sign tokens with the root's own key")
	}
	if until.After(r.certificate.NotAfter) {
		until = r.certificate.NotAfter
	}
	if !from.Before(until) {
		return nil, fmt.Errorf("making a leaf: it would expire before it begins (the root expires %s)", day(r.certificate.NotAfter))
	}
	key, err := generate(alg)
	if err != nil {
		return nil, fmt.Errorf("making a leaf: %w", err)
	}
	// The certificate names no host, so that no TLS client accepts it as the certificate of a
	// server. It has no extended key usage, because registries accept a leaf with any extended key
	// usage or none.
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

// Direct returns a signer with the root's own key. Its tokens identify the key in the given
// form. With X5C, tokens contain the root's certificate, which registries accept even if it is
// not a CA.
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
