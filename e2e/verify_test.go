package e2e

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	auth31 "github.com/distribution/distribution/v3/registry/auth"
	_ "github.com/distribution/distribution/v3/registry/auth/token"
	context28 "github.com/docker/distribution/context"
	auth28 "github.com/docker/distribution/registry/auth"
	_ "github.com/docker/distribution/registry/auth/token"
	"github.com/go-jose/go-jose/v4"
	"github.com/sirupsen/logrus"

	"github.com/tidewaiter/tidewaiter/e2e/process"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

const (
	service = "registry.example.com"
	issuer  = "tidewaiter"
)

// trustedKeys has the trusted keys in the configuration of a registry. The type is comparable, so
// that rows with the same configuration share a registry.
type trustedKeys struct{ bundle, jwks string }

// verifier is the token authentication of one registry version.
type verifier interface {
	// starts reports whether the registry starts with this configuration.
	starts(t *testing.T, with trustedKeys) bool
	// isAuthorized reports whether the token authorizes a pull of team/app.
	isAuthorized(t *testing.T, with trustedKeys, token string) bool
}

// TestTokens tests the tokens of package token, and some tokens that the package does not create,
// with the registries' own code. The code of 2.8.3 and 3.1.2 is linked, and 3.0.0 runs as a
// program.
func TestTokens(t *testing.T) {
	logrus.SetOutput(io.Discard) // both registry versions log each rejected token
	t.Cleanup(func() { logrus.SetOutput(os.Stderr) })
	now := time.Now()
	from, until := now.Add(-time.Hour), now.Add(24*time.Hour)
	claims := func() *token.Claims {
		return &token.Claims{
			Issuer: issuer, Audience: service, Subject: "alice", ID: "01a209ba",
			IssuedAt: now, NotBefore: now.Add(-10 * time.Second), Expires: now.Add(5 * time.Minute),
			Access: []scope.Scope{{Type: "repository", Name: "team/app", Actions: scope.Pull}},
		}
	}
	must := func(s *token.Signer, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return sign(t, s, claims())
	}
	root := func(alg token.Algorithm) *token.Root {
		t.Helper()
		r, err := token.NewRoot("a root for tests", alg, from, until)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	leaf := func(r *token.Root, alg token.Algorithm) string { return must(r.Leaf(alg, from, now.Add(time.Hour))) }

	// selfSigned returns a root with a self-signed certificate.
	selfSigned := func(key crypto.Signer, change func(*x509.Certificate)) *token.Root {
		t.Helper()
		c := certificate(t, key.Public(), key, nil, change)
		r, err := token.RootOf(c, key)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	ca := func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	}
	// signedBy creates a certificate that r signs. The certificate may be invalid. Package token
	// would refuse to create such a certificate or to sign with it, so forge signs the token.
	signedBy := func(r *token.Root, key crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
		t.Helper()
		return certificate(t, key.Public(), keyOf(t, r), r.Certificate(), change)
	}

	ec, rs, ed := root(token.ES256), root(token.RS256), root(token.EdDSA)
	ec384, ec512 := root(token.ES384), root(token.ES512)
	key := ecKey(t)

	shorter := selfSigned(shortKey(t), ca)
	plain := selfSigned(key, nil)
	web := selfSigned(key, func(c *x509.Certificate) {
		c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageKeyEncipherment, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	noUsage := selfSigned(key, func(c *x509.Certificate) { ca(c); c.KeyUsage = 0 })
	onlySigns := selfSigned(key, func(c *x509.Certificate) { ca(c); c.KeyUsage = x509.KeyUsageDigitalSignature })
	over := selfSigned(key, func(c *x509.Certificate) { ca(c); c.NotAfter = now.Add(-30 * time.Second) })
	openssl := opensslRoot(t)

	end := ecKey(t)
	entity := signedBy(ec, end, nil)
	entityRoot, err := token.RootOf(entity, end)
	if err != nil {
		t.Fatal(err)
	}
	intermediate := ecKey(t)
	rootOver := selfSigned(ecKey(t), ca) // a root that may sign a CA
	middle := signedBy(rootOver, intermediate, ca)
	renewed := selfSigned(ecKey(t), ca)
	crossed := certificate(t, renewed.Certificate().PublicKey, keyOf(t, rootOver), rootOver.Certificate(), func(c *x509.Certificate) {
		ca(c)
		c.Subject, c.SubjectKeyId = renewed.Certificate().Subject, renewed.Certificate().SubjectKeyId
	})
	leafKey := ecKey(t)
	below := func(parent *x509.Certificate, parentKey crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
		return certificate(t, leafKey.Public(), parentKey, parent, change)
	}
	chain := func(kid string, certificates ...*x509.Certificate) string {
		return must(token.NewSigner(leafKey, token.ES256, kid, certificates))
	}
	ecLeaf := below(ec.Certificate(), keyOf(t, ec), nil)

	in := func(roots ...*token.Root) trustedKeys {
		var b strings.Builder
		for _, r := range roots {
			b.Write(r.Bundle())
		}
		return trustedKeys{bundle: b.String()}
	}
	keys := func(r *token.Root, forms ...token.KeyID) trustedKeys {
		t.Helper()
		set, err := r.JWKS(forms...)
		if err != nil {
			t.Fatal(err)
		}
		return trustedKeys{jwks: string(set)}
	}
	changed := func(change func(*token.Claims)) string {
		t.Helper()
		s, err := ec.Leaf(token.ES256, from, until)
		if err != nil {
			t.Fatal(err)
		}
		c := claims()
		change(c)
		return sign(t, s, c)
	}

	ended := func(ago time.Duration) string {
		return changed(func(c *token.Claims) {
			c.IssuedAt, c.NotBefore, c.Expires = now.Add(-time.Hour), now.Add(-time.Hour), now.Add(-ago)
		})
	}

	const yes, no = true, false
	type row struct {
		what          string
		with          trustedKeys
		token         string
		v28, v30, v31 bool
	}
	rows := []row{
		// Key ids: no form of key id works with all three registry versions.
		{"ES256, the kid that 2.8 computes", in(ec), must(ec.Direct(token.Libtrust)), yes, no, no},
		{"ES384, the kid that 2.8 computes", in(ec384), must(ec384.Direct(token.Libtrust)), yes, no, no},
		{"ES512, the kid that 2.8 computes", in(ec512), must(ec512.Direct(token.Libtrust)), yes, no, no},
		{"RS256, the kid that 2.8 computes", in(rs), must(rs.Direct(token.Libtrust)), yes, no, no},
		{"ES256, thumbprint", in(ec), must(ec.Direct(token.Thumbprint)), no, no, yes},
		{"ES384, thumbprint", in(ec384), must(ec384.Direct(token.Thumbprint)), no, no, yes},
		{"ES512, thumbprint", in(ec512), must(ec512.Direct(token.Thumbprint)), no, no, yes},
		{"ES256, thumbprint of the generator", in(ec), must(ec.Direct(token.Thumbprint30)), no, yes, no},
		{"ES256, thumbprint of the generator, with a later P-256 key in the bundle", in(ec, plain), must(ec.Direct(token.Thumbprint30)), no, no, no},
		{"ES256, thumbprint of the generator, last of two P-256 keys", in(plain, ec), must(ec.Direct(token.Thumbprint30)), no, yes, no},
		{"ES256 with a short X, thumbprint not padded", in(shorter), must(shorter.Direct(token.Thumbprint)), no, no, yes},
		{"ES256 with a short X, padded thumbprint of RFC 7638", in(shorter), must(token.NewSigner(keyOf(t, shorter), token.ES256, paddedThumbprint(shorter), nil)), no, no, no},
		{"ES256 with a short X, the kid that 2.8 computes", in(shorter), must(shorter.Direct(token.Libtrust)), yes, no, no},
		{"RS256, thumbprint", in(rs), must(rs.Direct(token.Thumbprint)), no, yes, yes},
		{"RS256, thumbprint for 3.0", in(rs), must(rs.Direct(token.Thumbprint30)), no, yes, yes},

		// Certificates: tokens with x5c work with all three registry versions.
		{"x5c: a self-signed CA of the bundle", in(ec), must(ec.Direct(token.X5C)), yes, yes, yes},
		{"x5c: a self-signed RSA CA of the bundle", in(rs), must(rs.Direct(token.X5C)), yes, yes, yes},
		{"x5c: a self-signed certificate of the bundle that is not a CA", in(plain), must(plain.Direct(token.X5C)), yes, yes, yes},
		{"x5c: an end-entity certificate in the bundle without its issuer", in(entityRoot), must(entityRoot.Direct(token.X5C)), yes, yes, yes},
		{"x5c: a web server's certificate of the bundle", in(web), must(web.Direct(token.X5C)), yes, yes, yes},
		{"leaf under a root", in(ec), leaf(ec, token.ES256), yes, yes, yes},
		{"another leaf under the same root, without a restart of the registry", in(ec), leaf(ec, token.ES256), yes, yes, yes},
		{"leaf under one of two roots", in(rs, ec), leaf(ec, token.ES256), yes, yes, yes},
		{"leaf with its root", in(ec), chain("", ecLeaf, ec.Certificate()), yes, yes, yes},
		{"leaf, and an unknown kid", in(ec), chain("garbage", ecLeaf), yes, yes, yes},
		{"leaf under a root of openssl req -x509", in(openssl), leaf(openssl, token.ES256), yes, yes, yes},
		{"ES256 leaf under an RSA root", in(rs), leaf(rs, token.ES256), yes, yes, yes},
		{"RS256 leaf under an EC root", in(ec), leaf(ec, token.RS256), yes, yes, yes},
		{"ES384 leaf", in(ec), leaf(ec, token.ES384), yes, yes, yes},
		{"ES512 leaf", in(ec), leaf(ec, token.ES512), yes, yes, yes},
		{"EdDSA leaf under an EC root", in(ec), leaf(ec, token.EdDSA), no, yes, yes},
		{"leaf under a CA that has no key usage", in(noUsage), leaf(noUsage, token.ES256), yes, yes, yes},
		{"leaf and intermediate", in(rootOver), chain("", below(middle, intermediate, nil), middle), yes, yes, yes},
		{"leaf, and the new root, which the old root in the bundle has cross-signed", in(rootOver), chain("", below(renewed.Certificate(), keyOf(t, renewed), nil), crossed), yes, yes, yes},
		{"leaf that has no key usage", in(ec), chain("", below(ec.Certificate(), keyOf(t, ec), func(c *x509.Certificate) { c.KeyUsage = 0 })), yes, yes, yes},
		{"leaf that only a kid identifies", in(ec), must(token.NewSigner(leafKey, token.ES256, libtrustOf(t, below(ec.Certificate(), keyOf(t, ec), nil), leafKey), nil)), no, no, no},
		{"leaf whose intermediate is missing", in(rootOver), chain("", below(middle, intermediate, nil)), no, no, no},
		{"leaf under a root that is not in the bundle", in(rs), leaf(ec, token.ES256), no, no, no},
		{"leaf under a certificate that is not a CA", in(plain), chain("", below(plain.Certificate(), key, nil)), no, no, no},
		{"leaf under a CA whose key is only for signatures", in(onlySigns), chain("", below(onlySigns.Certificate(), key, nil)), no, no, no},

		// EdDSA
		{"EdDSA, thumbprint", in(ed), must(ed.Direct(token.Thumbprint)), no, no, yes},
		{"EdDSA, x5c", in(ed), must(ed.Direct(token.X5C)), no, yes, yes},

		// Validity of certificates: with x5c, the validity is checked without leeway. With a kid,
		// the validity is not checked.
		{"leaf that expired 30 seconds ago", in(ec), forge(t, leafKey, claims(), below(ec.Certificate(), keyOf(t, ec), func(c *x509.Certificate) { c.NotAfter = now.Add(-30 * time.Second) })), no, no, no},
		{"leaf that begins in five minutes", in(ec), must(ec.Leaf(token.ES256, now.Add(5*time.Minute), until)), no, no, no},
		{"leaf under an expired root", in(over), chain("", below(over.Certificate(), key, nil)), no, no, no},
		{"expired certificate, as x5c", in(over), forge(t, key, claims(), over.Certificate()), no, no, no},
		{"expired certificate, by the kid that 2.8 computes", in(over), must(over.Direct(token.Libtrust)), yes, no, no},
		{"expired certificate, by its thumbprint", in(over), must(over.Direct(token.Thumbprint)), no, no, yes},
		{"expired certificate, by its thumbprint for 3.0", in(over), must(over.Direct(token.Thumbprint30)), no, yes, no},

		// Claims.
		{"for another audience", in(ec), changed(func(c *token.Claims) { c.Audience = "other.example.com" }), no, no, no},
		{"from another issuer", in(ec), changed(func(c *token.Claims) { c.Issuer = "other" }), no, no, no},
		{"anonymous", in(ec), changed(func(c *token.Claims) { c.Subject = "" }), yes, yes, yes},
		{"without nbf", in(ec), changed(func(c *token.Claims) { c.NotBefore = time.Time{} }), yes, yes, yes},
		{"expired 30 seconds ago: within the leeway", in(ec), ended(30 * time.Second), yes, yes, yes},
		{"expired two minutes ago", in(ec), ended(2 * time.Minute), no, no, no},
		{"begins in two minutes", in(ec), changed(func(c *token.Claims) { c.NotBefore = now.Add(2 * time.Minute) }), no, no, no},
		{"grants nothing", in(ec), changed(func(c *token.Claims) { c.Access = nil }), no, no, no},
		{"grants only push", in(ec), changed(func(c *token.Claims) { c.Access[0].Actions = scope.Push }), no, no, no},
		{"grants all actions", in(ec), changed(func(c *token.Claims) { c.Access[0].Actions = scope.Repository }), yes, yes, yes},
		{"grants another repository", in(ec), changed(func(c *token.Claims) { c.Access[0].Name = "team" }), no, no, no},
		{"grants two repositories", in(ec), changed(func(c *token.Claims) {
			c.Access = append([]scope.Scope{{Type: "repository", Name: "a/b", Actions: scope.Push}}, c.Access...)
		}), yes, yes, yes},
		{"grants with a class", in(ec), changed(func(c *token.Claims) { c.Access[0].Class = "plugin" }), yes, yes, yes},

		// The key file jwks, which only registry 3 supports.
		{"only jwks, by the kid that 2.8 computes", keys(ec, token.Libtrust), must(ec.Direct(token.Libtrust)), no, yes, yes},
		{"only jwks, by thumbprint", keys(ec, token.Thumbprint), must(ec.Direct(token.Thumbprint)), no, yes, yes},
		{"only jwks, RSA, by thumbprint", keys(rs, token.Thumbprint), must(rs.Direct(token.Thumbprint)), no, yes, yes},
		{"only jwks, EdDSA, by thumbprint", keys(ed, token.Thumbprint), must(ed.Direct(token.Thumbprint)), no, yes, yes},
		{"jwks with the short X", keys(shorter, token.Thumbprint), must(shorter.Direct(token.Thumbprint)), no, yes, yes},
		{"only jwks, with a leaf", keys(ec, token.Libtrust), leaf(ec, token.ES256), no, no, no},
		{"jwks and bundle, a leaf", trustedKeys{in(ec).bundle, keys(ec, token.Libtrust).jwks}, leaf(ec, token.ES256), yes, yes, yes},
		{"jwks and bundle, by kid", trustedKeys{in(ec).bundle, keys(ec, token.Libtrust).jwks}, must(ec.Direct(token.Libtrust)), yes, yes, yes},
	}

	for _, v := range []struct {
		name string
		verifier
		want func(row) bool
	}{
		{"2.8.3", v28{}, func(r row) bool { return r.v28 }},
		{"3.0.0", &v30{}, func(r row) bool { return r.v30 }},
		{"3.1.2", v31{}, func(r row) bool { return r.v31 }},
		// With the forms of key id that a registry version supports, the verifier of package token
		// behaves like that version.
		{"token.Verifier for 2.8.3", ownVerifier{[]token.KeyID{token.X5C, token.Libtrust}, []token.Algorithm{token.ES256, token.ES384, token.ES512, token.RS256, token.RS384, token.RS512}}, func(r row) bool { return r.v28 }},
		{"token.Verifier for 3.0.0", ownVerifier{[]token.KeyID{token.X5C, token.Thumbprint30}, nil}, func(r row) bool { return r.v30 }},
		{"token.Verifier for 3.1.2", ownVerifier{[]token.KeyID{token.X5C, token.Thumbprint}, nil}, func(r row) bool { return r.v31 }},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			if v.name != "2.8.3" && !v.starts(t, in(ed)) {
				t.Error("the registry does not start with an Ed25519 certificate in the bundle")
			}
			if v.name == "2.8.3" && v.starts(t, in(ec, ed)) {
				t.Error("the registry starts with an Ed25519 certificate in the bundle")
			}
			for _, r := range rows {
				if strings.HasSuffix(v.name, "2.8.3") && (r.with.bundle == "" || r.with == in(ed)) {
					continue // 2.8 does not support jwks and does not start
				}
				if got := v.isAuthorized(t, r.with, r.token); got != v.want(r) {
					t.Errorf("%s: accepted: %v, want %v", r.what, got, v.want(r))
				}
			}
		})
	}

	t.Run("package token checks which certificates may have leaves", func(t *testing.T) {
		for _, r := range []struct {
			what string
			*token.Root
			want bool
		}{
			{"our own", ec, yes}, {"no usage", noUsage, yes}, {"openssl's", openssl, yes},
			{"not a CA", plain, no}, {"only for signatures", onlySigns, no}, {"an end entity", entityRoot, no},
		} {
			if got := r.IssuesLeaves(); got != r.want {
				t.Errorf("%s: %v", r.what, got)
			}
		}
	})
}

func sign(t *testing.T, s *token.Signer, c *token.Claims) string {
	t.Helper()
	signed, err := s.Append(nil, c)
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

// forge signs a token with an expired certificate, which package token would reject.
func forge(t *testing.T, key crypto.Signer, c *token.Claims, chain ...*x509.Certificate) string {
	t.Helper()
	s, err := token.NewSigner(key, token.ES256, "", chain)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(nil, c); !errors.Is(err, token.ErrOutlives) {
		t.Errorf("signing with an expired certificate: %v", err)
	}
	var x5c [][]byte
	for _, c := range chain {
		x5c = append(x5c, c.Raw)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("x5c", x5c))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{
		"iss": c.Issuer, "aud": c.Audience, "sub": c.Subject, "exp": c.Expires.Unix(), "nbf": c.NotBefore.Unix(),
		"access": []any{map[string]any{"type": "repository", "name": "team/app", "actions": []string{"pull"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// certificate creates a certificate for a key, signed by parent or self-signed.
func certificate(t *testing.T, public crypto.PublicKey, key crypto.Signer, parent *x509.Certificate, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: fmt.Sprintf("made by a test, number %d", serial)},
		NotBefore:    time.Now().Add(-48 * time.Hour),
		NotAfter:     time.Now().Add(48 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	if change != nil {
		change(template)
	}
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// shortKey creates a key whose coordinate X begins with a zero byte. This is true for one key in
// 256.
func shortKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	for {
		key := ecKey(t)
		if point, err := key.PublicKey.Bytes(); err != nil {
			t.Fatal(err)
		} else if point[1] == 0 {
			return key
		}
	}
}

// keyOf returns a root's key from its PEM form.
func keyOf(t *testing.T, r *token.Root) crypto.Signer {
	t.Helper()
	text, err := r.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		return k
	case *rsa.PrivateKey:
		return k
	case ed25519.PrivateKey:
		return k
	}
	t.Fatalf("a key of type %T", key)
	return nil
}

// paddedThumbprint returns the RFC 7638 thumbprint of a P-256 key. The coordinates are padded to
// 32 bytes, according to the RFC.
func paddedThumbprint(r *token.Root) string {
	point, err := r.Certificate().PublicKey.(*ecdsa.PublicKey).Bytes()
	if err != nil {
		return ""
	}
	text := fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, base64url(point[1:33]), base64url(point[33:]))
	sum := sha256.Sum256([]byte(text))
	return base64url(sum[:])
}

func libtrustOf(t *testing.T, c *x509.Certificate, key crypto.Signer) string {
	t.Helper()
	r, err := token.RootOf(c, key)
	if err != nil {
		t.Fatal(err)
	}
	kid, err := r.KeyID(token.Libtrust)
	if err != nil {
		t.Fatal(err)
	}
	return kid
}

// opensslRoot returns a root created by the openssl command.
func opensslRoot(t *testing.T) *token.Root {
	t.Helper()
	program := process.Need(t, "openssl", "openssl")
	folder := t.TempDir()
	cmd := exec.Command(program, "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
		"-subj", "/CN=made by hand", "-keyout", "key.pem", "-out", "cert.pem")
	cmd.Dir = folder
	if _, err := process.Run(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	c, err := os.ReadFile(filepath.Join(folder, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	k, err := os.ReadFile(filepath.Join(folder, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := token.ParseRoot(c, k)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// options returns the configuration of a registry's token authentication.
func options(t *testing.T, with trustedKeys) map[string]any {
	o := map[string]any{"realm": "http://localhost/token", "service": service, "issuer": issuer}
	if with.bundle != "" {
		o["rootcertbundle"] = file(t, with.bundle)
	}
	if with.jwks != "" {
		o["jwks"] = file(t, with.jwks)
	}
	return o
}

func file(t *testing.T, text string) string {
	t.Helper()
	if text == "" {
		return ""
	}
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func bearer(ctx context.Context, t *testing.T, url, token string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// v28 verifies tokens with the code of registry 2.8.3.
type v28 struct{}

func (v28) starts(t *testing.T, with trustedKeys) bool {
	_, err := auth28.GetAccessController("token", options(t, with))
	return err == nil
}

func (v28) isAuthorized(t *testing.T, with trustedKeys, token string) bool {
	t.Helper()
	c, err := auth28.GetAccessController("token", options(t, with))
	if err != nil {
		t.Fatal(err)
	}
	r := bearer(t.Context(), t, "http://localhost/v2/team/app/tags/list", token)
	_, err = c.Authorized(context28.WithRequest(t.Context(), r),
		auth28.Access{Resource: auth28.Resource{Type: "repository", Name: "team/app"}, Action: "pull"})
	return err == nil
}

// v31 verifies tokens with the code of registry 3.1.2.
type v31 struct{}

func (v31) starts(t *testing.T, with trustedKeys) bool {
	_, err := auth31.GetAccessController("token", options(t, with))
	return err == nil
}

func (v31) isAuthorized(t *testing.T, with trustedKeys, token string) bool {
	t.Helper()
	c, err := auth31.GetAccessController("token", options(t, with))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Authorized(bearer(t.Context(), t, "http://localhost/v2/team/app/tags/list", token),
		auth31.Access{Resource: auth31.Resource{Type: "repository", Name: "team/app"}, Action: "pull"})
	return err == nil
}

// ownVerifier verifies tokens with package token.
type ownVerifier struct {
	forms      []token.KeyID
	algorithms []token.Algorithm
}

func (o ownVerifier) verifier(with trustedKeys) (*token.Verifier, error) {
	return token.NewVerifier(token.VerifierOptions{
		Roots: []byte(with.bundle), JWKS: []byte(with.jwks), Issuer: issuer, Audience: service,
		KeyIDs: o.forms, Algorithms: o.algorithms, Leeway: token.Leeway,
	})
}

func (o ownVerifier) starts(_ *testing.T, with trustedKeys) bool {
	_, err := o.verifier(with)
	return err == nil
}

func (o ownVerifier) isAuthorized(t *testing.T, with trustedKeys, signed string) bool {
	t.Helper()
	v, err := o.verifier(with)
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.Verify(signed, time.Now())
	return err == nil && c.Allows(scope.Scope{Type: "repository", Name: "team/app", Actions: scope.Pull})
}

// v30 verifies tokens with registry 3.0.0. It runs as a program, because two versions of a module
// cannot be linked together. There is one process per configuration, so a second leaf under the
// same root is tested with a running registry.
type v30 struct {
	running map[trustedKeys]*registry.Registry
}

func (v *v30) starts(t *testing.T, with trustedKeys) bool { return v.registry(t, with) != nil }

func (v *v30) registry(t *testing.T, with trustedKeys) *registry.Registry {
	t.Helper()
	if v.running == nil {
		v.running = map[trustedKeys]*registry.Registry{}
	}
	if v.running[with] == nil {
		v.running[with] = registry.Start(t, registry.V30, registry.Options{
			Realm: "http://localhost/token", Service: service, Issuer: issuer,
			Roots: file(t, with.bundle), JWKS: file(t, with.jwks),
		})
	}
	return v.running[with]
}

func (v *v30) isAuthorized(t *testing.T, with trustedKeys, token string) bool {
	t.Helper()
	res, err := http.DefaultClient.Do(bearer(t.Context(), t, "http://"+v.registry(t, with).Host+"/v2/team/app/tags/list", token))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	switch res.StatusCode {
	case http.StatusUnauthorized:
		return false
	case http.StatusNotFound: // authorized, but the repository is empty
		return true
	}
	t.Fatalf("registry 3.0 answered %s", res.Status)
	return false
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
