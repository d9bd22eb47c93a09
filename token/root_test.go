package token_test

import (
	"crypto"
	"crypto/x509"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/token"
)

func TestNewRootIsOnlyForLeaves(t *testing.T) {
	for _, alg := range token.Algorithms() {
		t.Run(string(alg), func(t *testing.T) {
			r := root(t, alg)
			c := r.Certificate()
			if r.Algorithm() != alg || !r.IssuesLeaves() {
				t.Errorf("algorithm %s, issues leaves: %v", r.Algorithm(), r.IssuesLeaves())
			}
			if !c.IsCA || c.KeyUsage != x509.KeyUsageCertSign || c.MaxPathLen != 0 || !c.MaxPathLenZero {
				t.Errorf("CA: %v, key usage %b, path length %d", c.IsCA, c.KeyUsage, c.MaxPathLen)
			}
			if len(c.ExtKeyUsage) > 0 || len(c.DNSNames) > 0 {
				t.Errorf("the root can be used for TLS: %v %v", c.ExtKeyUsage, c.DNSNames)
			}
			if want := "CN=registry.example.com,OU=only for signing registry tokens,O=Tidewaiter"; c.Subject.String() != want {
				t.Errorf("subject %s", c.Subject)
			}
			if !c.NotBefore.Equal(noon.Add(-time.Hour)) || !c.NotAfter.Equal(noon.AddDate(10, 0, 0)) {
				t.Errorf("valid from %s to %s", c.NotBefore, c.NotAfter)
			}
			// ParseRoot reads what Bundle and KeyPEM return.
			key, err := r.KeyPEM()
			if err != nil {
				t.Fatal(err)
			}
			again, err := token.ParseRoot(r.Bundle(), key)
			if err != nil {
				t.Fatal(err)
			}
			if !again.Certificate().Equal(c) {
				t.Error("ParseRoot returned another certificate")
			}
			leaf(t, again, token.ES256)
		})
	}
	if _, err := token.NewRoot("x", token.ES256, noon, noon); err == nil {
		t.Error("NewRoot created a root with an empty validity")
	}
	if _, err := token.NewRoot("x", "HS256", noon, noon.Add(time.Hour)); err == nil {
		t.Error("NewRoot created a root for HS256")
	}
}

// Registries trust every certificate under a root. So a leaf must not be a CA, and TLS clients
// and servers must not accept it.
func TestLeafIsOnlyForSigning(t *testing.T) {
	s := leaf(t, root(t, token.ES256), token.ES256)
	c := s.Certificate()
	if c.KeyUsage != x509.KeyUsageDigitalSignature || len(c.ExtKeyUsage) > 0 || c.IsCA || !c.BasicConstraintsValid || len(c.DNSNames) > 0 {
		t.Errorf("key usage %b, extended %v, CA %v, names %v", c.KeyUsage, c.ExtKeyUsage, c.IsCA, c.DNSNames)
	}
	if !c.NotBefore.Equal(noon.Add(-time.Hour)) || !c.NotAfter.Equal(noon.Add(24*time.Hour)) || !s.Until().Equal(noon.Add(24*time.Hour-token.Leeway)) {
		t.Errorf("valid from %s to %s, signs until %s", c.NotBefore, c.NotAfter, s.Until())
	}
}

func TestLeafUnderEveryRoot(t *testing.T) {
	for _, name := range []string{"ec", "p384", "p521", "rsa", "ed25519"} {
		t.Run(name, func(t *testing.T) {
			r := parse(t, name+"-cert.pem", name+".pem")
			from := r.Certificate().NotBefore
			s, err := r.Leaf(token.ES256, from, from.Add(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Certificate().Verify(x509.VerifyOptions{Roots: pool(r), CurrentTime: from, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLeafEndsWithItsRoot(t *testing.T) {
	r, err := token.NewRoot("x", token.ES256, noon.Add(-time.Hour), noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Leaf(token.ES256, noon.Add(-time.Hour), noon.Add(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Certificate().NotAfter; !got.Equal(noon.Add(time.Hour)) {
		t.Errorf("the leaf expires at %s", got)
	}
	if _, err := r.Leaf(token.ES256, noon.Add(time.Hour), noon.Add(2*time.Hour)); err == nil {
		t.Error("a leaf was issued after the root's expiry")
	}
	if _, err := r.Leaf("HS256", noon.Add(-time.Hour), noon); err == nil {
		t.Error("a leaf for HS256 was issued")
	}
}

func TestIssuesLeaves(t *testing.T) {
	for _, tt := range []struct {
		what   string
		c      x509.Certificate
		issues bool
	}{
		{"a CA that may sign certificates", x509.Certificate{BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign}, true},
		{"a CA without a key usage", x509.Certificate{BasicConstraintsValid: true, IsCA: true}, true},
		{"a CA that may not sign certificates", x509.Certificate{BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageDigitalSignature}, false},
		{"no CA", x509.Certificate{BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature}, false},
		{"a certificate without any constraints", x509.Certificate{}, false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r := newRoot(t, &tt.c)
			if got := r.IssuesLeaves(); got != tt.issues {
				t.Errorf("issues leaves: %v", got)
			}
			s, err := r.Leaf(token.ES256, noon.Add(-time.Hour), noon.Add(time.Hour))
			if (err == nil) != tt.issues {
				t.Fatalf("making a leaf: %v", err)
			}
			if tt.issues {
				if _, err := s.Certificate().Verify(x509.VerifyOptions{Roots: pool(r), CurrentTime: noon, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
					t.Error(err)
				}
			}
			// The root's own key can sign even if the root cannot issue leaves, because
			// registries trust the root's certificate.
			s, err = r.Direct(token.X5C)
			if err != nil {
				t.Fatal(err)
			}
			_, header := verify(t, sign(t, s, claims()), r.Certificate().PublicKey)
			if _, err := header.Certificates(x509.VerifyOptions{Roots: pool(r), CurrentTime: noon, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDirectWithEveryKeyAndForm(t *testing.T) {
	want := map[string]token.Algorithm{
		"ec": token.ES256, "p384": token.ES384, "p521": token.ES512, "rsa": token.RS256, "ed25519": token.EdDSA,
	}
	for name, alg := range want {
		r := parse(t, name+"-cert.pem", name+".pem")
		for _, form := range token.KeyIDs() {
			s, err := r.Direct(form)
			if alg == token.EdDSA && (form == token.Libtrust || form == token.Thumbprint30) {
				if err == nil {
					t.Errorf("%s %s: Direct returned a signer whose kid no registry knows", name, form)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			_, header := verify(t, sign(t, s, claims()), r.Certificate().PublicKey)
			if s.Algorithm() != alg || header.Algorithm != string(alg) || header.KeyID != s.KeyID() || (form == token.X5C) != (s.KeyID() == "") {
				t.Errorf("%s %s: algorithm %s, kid %q, header %+v", name, form, s.Algorithm(), s.KeyID(), header)
			}
			if form != token.X5C && (!s.Until().IsZero() || s.Certificate() != nil) {
				t.Errorf("%s %s: Until is set, although registries ignore the dates of a key that they find by kid", name, form)
			}
		}
	}
}

// A root's key can be in a key service, where nobody can read it.
func TestRootOfAKeyService(t *testing.T) {
	key := newKey(t)
	r, err := token.RootOf(root(t, token.ES256).Certificate(), key)
	if err == nil {
		t.Fatalf("RootOf accepted the wrong key for %v", r)
	}
	c := certificate(t, key, &x509.Certificate{BasicConstraintsValid: true, IsCA: true})
	r, err = token.RootOf(c, struct{ crypto.Signer }{key})
	if err != nil {
		t.Fatal(err)
	}
	leaf(t, r, token.ES256)
	if text, err := r.KeyPEM(); err == nil {
		t.Errorf("KeyPEM returned %d bytes of a key that cannot be exported", len(text))
	}
}
