package token_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/token"
)

func TestProblems(t *testing.T) {
	ca := func(change func(*x509.Certificate)) *token.Root {
		c := &x509.Certificate{BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign}
		change(c)
		return newRoot(t, c)
	}
	until := func(from, to time.Time) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }
	}
	ours := root(t, token.ES256)
	for _, tt := range []struct {
		what string
		root *token.Root
		form token.KeyID
		want []string // the kind of a problem, and the registries that refuse the tokens
	}{
		{"our own", ours, token.X5C, nil},
		{"the output of openssl req -x509", parse(t, "ec-cert.pem", "ec.pem"), token.X5C, nil},
		{"RSA as for docker_auth", parse(t, "rsa-cert.pem", "rsa.pem"), token.X5C, nil},
		{"expired", ca(until(noon.AddDate(-1, 0, 0), noon.Add(-time.Second))), token.X5C, []string{"expired: 2.8 3.0 3.1"}},
		{"expired, by kid", ca(until(noon.AddDate(-1, 0, 0), noon.Add(-time.Second))), token.Libtrust, []string{"key-id: 3.0 3.1"}},
		{"of tomorrow", ca(until(noon.Add(time.Second), noon.AddDate(1, 0, 0))), token.X5C, []string{"not-yet-valid: 2.8 3.0 3.1"}},
		{"ends in a week", ca(until(noon.AddDate(-1, 0, 0), noon.AddDate(0, 0, 7))), token.X5C, []string{"expires-soon:"}},
		{"Ed25519", root(t, token.EdDSA), token.X5C, []string{"ed25519: 2.8"}},
		{"Ed25519 by thumbprint", root(t, token.EdDSA), token.Thumbprint, []string{"ed25519: 2.8", "key-id: 2.8 3.0"}},
		{"EC by libtrust", ours, token.Libtrust, []string{"key-id: 3.0 3.1"}},
		{"EC by thumbprint", ours, token.Thumbprint, []string{"key-id: 2.8 3.0"}},
		{"EC by 3.0's thumbprint", ours, token.Thumbprint30, []string{"key-id: 2.8 3.1"}},
		{"RSA by thumbprint", root(t, token.RS256), token.Thumbprint, []string{"key-id: 2.8"}},
		{"RSA by 3.0's thumbprint", root(t, token.RS256), token.Thumbprint30, []string{"key-id: 2.8"}},
		{"a CA that may sign no certificates", ca(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }), token.X5C, []string{"no-leaves:"}},
		{"no CA", newRoot(t, &x509.Certificate{}), token.X5C, nil},
		{"a server's certificate", ca(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), token.X5C, []string{"server-authentication:"}},
		{"a certificate with a server's name", newRoot(t, &x509.Certificate{DNSNames: []string{"registry.example.com"}}), token.Libtrust,
			[]string{"key-id: 3.0 3.1", "server-authentication:"}},
		{"of a public authority", ca(func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: "R11", Organization: []string{"Let's Encrypt"}}
		}), token.X5C, []string{"public-issuer:"}},
		{"with a critical extension of somebody's", ca(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true, Value: []byte{5, 0}}}
		}), token.X5C, []string{"critical-extension: 2.8 3.0 3.1"}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			var got []string
			for _, p := range tt.root.Problems(tt.form, noon) {
				got = append(got, strings.TrimSpace(p.Kind+": "+strings.Join(p.Refuse, " ")))
				if p.Text == "" || p.Hint == "" || p.Fatal() != (len(p.Refuse) > 0) {
					t.Errorf("%+v", p)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// With x5c, registries accept tokens of every certificate under a CA in rootcertbundle. A CA with
// other purposes also issues other certificates. The owners of these certificates could sign
// tokens.
func TestSharedCA(t *testing.T) {
	company := root(t, token.ES256)
	companyKey, err := company.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	for _, tt := range []struct {
		what string
		ca   bool
		want []string
	}{
		{"a department's CA", true, []string{"shared-issuer"}},
		{"a company's certificate that is not a CA", false, nil},
	} {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "department"},
			NotBefore: noon.Add(-time.Hour), NotAfter: noon.AddDate(1, 0, 0), BasicConstraintsValid: true, IsCA: tt.ca,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, company.Certificate(), key.Public(), parsePKCS8(t, companyKey))
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		department, err := token.RootOf(c, key)
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for _, p := range department.Problems(token.X5C, noon) {
			kinds = append(kinds, p.Kind)
		}
		if diff := cmp.Diff(tt.want, kinds); diff != "" {
			t.Errorf("%s: problems (-want +got):\n%s", tt.what, diff)
		}
	}
}
