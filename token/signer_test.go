package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

func TestTokenOfEachAlgorithm(t *testing.T) {
	r := root(t, token.ES256)
	for _, alg := range token.Algorithms() {
		t.Run(string(alg), func(t *testing.T) {
			s := leaf(t, r, alg)
			text := sign(t, s, claims())
			got, header := verify(t, text, s.Certificate().PublicKey)
			if _, err := verifier(t, nil, r).Verify(string(text), noon); err != nil {
				t.Error(err)
			}
			if header.Algorithm != string(alg) || header.KeyID != "" {
				t.Errorf("header %+v", header)
			}
			// A registry verifies the certificates of x5c as the next lines do.
			roots := x509.NewCertPool()
			roots.AddCert(r.Certificate())
			chains, err := header.Certificates(x509.VerifyOptions{Roots: roots, CurrentTime: noon, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
			if err != nil || !chains[0][0].Equal(s.Certificate()) {
				t.Errorf("chains %v, error %v", chains, err)
			}
			const want = `{"iss":"https://auth.example.com","sub":"ann","aud":"registry.example.com",` +
				`"exp":2111054700,"nbf":2111054390,"iat":2111054400,"jti":"019ab0f2-7d5c-7cc1-9d3e-0e7a41c2a5b6","access":[` +
				`{"type":"repository","name":"team/app","actions":["pull","push"]},` +
				`{"type":"repository","name":"library/base","actions":["pull"]}]}`
			if diff := cmp.Diff(want, string(got)); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
		})
	}
}

// The header has the same JSON form for registries 2.8 and 3. The test compares it with a
// golden text.
func TestHeader(t *testing.T) {
	r := parse(t, "ec-cert.pem", "ec.pem")
	certificate := base64.StdEncoding.EncodeToString(r.Certificate().Raw)
	kid, err := r.KeyID(token.Libtrust)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		form token.KeyID
		want string
	}{
		{token.X5C, `{"alg":"ES256","typ":"JWT","x5c":["` + certificate + `"]}`},
		{token.Libtrust, `{"alg":"ES256","typ":"JWT","kid":"` + kid + `"}`},
	} {
		s, err := r.Direct(tt.form)
		if err != nil {
			t.Fatal(err)
		}
		header, _, _ := strings.Cut(string(sign(t, s, claims())), ".")
		text, err := base64.RawURLEncoding.DecodeString(header)
		if err != nil || string(text) != tt.want {
			t.Errorf("%s: error %v, header\n%s\nwant\n%s", tt.form, err, text, tt.want)
		}
	}
}

func TestClaimsForRegistries(t *testing.T) {
	for _, tt := range []struct {
		what   string
		claims token.Claims
		want   string
	}{
		{"docker login gets an empty list, not null", token.Claims{Issuer: "i", Subject: "s", Audience: "a", Expires: noon},
			`{"iss":"i","sub":"s","aud":"a","exp":2111054400,"access":[]}`},
		{"an anonymous principal has an empty subject", token.Claims{Expires: noon},
			`{"iss":"","sub":"","aud":"","exp":2111054400,"access":[]}`},
		{"fractions of seconds are removed", token.Claims{Expires: noon.Add(999 * time.Millisecond), IssuedAt: noon.Add(time.Nanosecond)},
			`{"iss":"","sub":"","aud":"","exp":2111054400,"iat":2111054400,"access":[]}`},
		{"actions in a fixed order, and a class next to the type", token.Claims{Expires: noon, Access: []scope.Scope{
			{Type: "repository", Class: "plugin", Name: "a/b", Actions: scope.Delete | scope.Push | scope.Pull}}},
			`{"iss":"","sub":"","aud":"","exp":2111054400,"access":[{"type":"repository","class":"plugin","name":"a/b","actions":["pull","push","delete"]}]}`},
		{"the catalog needs a star", token.Claims{Expires: noon, Access: []scope.Scope{{Type: "registry", Name: "catalog", Actions: scope.All}}},
			`{"iss":"","sub":"","aud":"","exp":2111054400,"access":[{"type":"registry","name":"catalog","actions":["*"]}]}`},
		{"scopes without a grant are omitted", token.Claims{Expires: noon, Access: []scope.Scope{
			{Type: "repository", Name: "a"}, {Type: "repository", Name: "b", Actions: scope.Pull}, {Type: "repository", Name: "c"}}},
			`{"iss":"","sub":"","aud":"","exp":2111054400,"access":[{"type":"repository","name":"b","actions":["pull"]}]}`},
		{"text cannot break out of its string", token.Claims{Subject: "a\",\"x\":\"\\\x00\n\x7f\xffé\u2028\U0001F433", Expires: noon},
			`{"iss":"","sub":"a\",\"x\":\"\\\u0000\u000a` + "\x7f" + `\ufffdé` + "\u2028\U0001F433" + `","aud":"","exp":2111054400,"access":[]}`},
	} {
		t.Run(tt.what, func(t *testing.T) {
			got, err := tt.claims.MarshalJSON() // what Append signs
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
		})
	}
}

// parsedClaims has the claims in the form in which a registry reads them.
type parsedClaims struct {
	Iss, Sub, Aud, Jti string
	Exp, Nbf, Iat      int64
	Access             []struct {
		Type, Class, Name string
		Actions           []string
	}
}

func TestClaimsRoundTrip(t *testing.T) {
	r := root(t, token.ES256)
	s := leaf(t, r, token.ES256)
	// Package token escapes the claims with its own code, and the test decodes them with
	// encoding/json. Invalid UTF-8 is decoded as U+FFFD.
	plain := func(s string) string { return string([]rune(s)) }
	text := rapid.Custom(func(t *rapid.T) string {
		if rapid.Bool().Draw(t, "raw") {
			return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		}
		return rapid.String().Draw(t, "text")
	})
	// Texts that a token must have are never empty.
	some := rapid.Custom(func(t *rapid.T) string { return "x" + text.Draw(t, "text") })
	name := rapid.StringMatching(`[a-z0-9]{1,9}(/[a-z0-9]{1,9}([._-][a-z0-9]{1,9})?){0,3}`)
	access := rapid.Custom(func(t *rapid.T) scope.Scope {
		return scope.Scope{
			Type:    rapid.StringMatching(`x[a-z0-9]{0,9}`).Draw(t, "type"),
			Class:   rapid.StringMatching(`[a-z0-9]{0,9}`).Draw(t, "class"),
			Name:    name.Draw(t, "name"),
			Actions: rapid.Map(rapid.Uint8(), func(a uint8) scope.Actions { return scope.Actions(a) & (scope.Repository | scope.All) }).Draw(t, "actions"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		c := token.Claims{
			Issuer: some.Draw(t, "iss"), Subject: text.Draw(t, "sub"), Audience: some.Draw(t, "aud"), ID: text.Draw(t, "jti"),
			IssuedAt:  noon.Add(time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "iat"))),
			NotBefore: noon.Add(time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "nbf"))),
			Expires:   noon.Add(time.Duration(rapid.Int64Range(2e12, 3e12).Draw(t, "exp"))),
			Access:    rapid.SliceOfN(access, 0, 30).Draw(t, "access"),
		}
		before := rapid.SliceOf(rapid.Byte()).Draw(t, "before")
		out, err := s.Append(before, &c)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(out), string(before)) {
			t.Fatal("Append changed the text before the token")
		}
		payload, _ := verify(t, out[len(before):], s.Certificate().PublicKey)
		var got parsedClaims
		if err := json.Unmarshal(payload, &got); err != nil {
			t.Fatalf("%v in %s", err, payload)
		}
		want := parsedClaims{
			Iss: plain(c.Issuer), Sub: plain(c.Subject), Aud: plain(c.Audience), Jti: plain(c.ID),
			Exp: c.Expires.Unix(), Nbf: c.NotBefore.Unix(), Iat: c.IssuedAt.Unix(), Access: got.Access[:0:0],
		}
		for _, a := range c.Access {
			if a.Actions != 0 {
				want.Access = append(want.Access, struct {
					Type, Class, Name string
					Actions           []string
				}{plain(a.Type), plain(a.Class), plain(a.Name), a.Actions.Names()})
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("claims (-want +got):\n%s", diff)
		}

		by := func(o *token.VerifierOptions) { o.Issuer, o.Audience, o.Leeway = want.Iss, want.Aud, time.Hour }
		verified, err := verifier(t, by, r).Verify(string(out[len(before):]), noon)
		if err != nil {
			t.Fatal(err)
		}
		again, err := verified.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		got = parsedClaims{}
		if err := json.Unmarshal(again, &got); err != nil {
			t.Fatalf("%v in %s", err, again)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("the verified claims (-want +got):\n%s", diff)
		}
	})
}

func TestNeverSigned(t *testing.T) {
	s := leaf(t, root(t, token.ES256), token.ES256)
	late := claims()
	late.Expires = noon.Add(24*time.Hour - token.Leeway + time.Second)
	changed := func(change func(*token.Claims)) *token.Claims {
		c := claims()
		change(c)
		return c
	}
	grant := func(a scope.Scope) *token.Claims {
		c := claims()
		c.Access = append(c.Access, a)
		return c
	}
	for _, tt := range []struct {
		what   string
		claims *token.Claims
		is     error
	}{
		{"a right over Tidewaiter", grant(scope.Scope{Type: "tidewaiter", Name: "accounts", Actions: scope.Read}), token.ErrNeverSigned},
		{"the type of such a right, without an action", grant(scope.Scope{Type: "tidewaiter", Name: "accounts"}), token.ErrNeverSigned},
		{"an action over Tidewaiter", grant(scope.Scope{Type: "repository", Name: "a", Actions: scope.Pull | scope.Write}), token.ErrNeverSigned},
		{"the action * on a repository", grant(scope.Scope{Type: "repository", Name: "a", Actions: scope.All}), token.ErrNeverSigned},
		{"a token that outlives its leaf", late, token.ErrOutlives},
		{"a token without an expiry", changed(func(c *token.Claims) { c.Expires = time.Time{} }), token.ErrClaims},
		{"a token that has expired when it is issued", changed(func(c *token.Claims) { c.Expires = noon.Add(999 * time.Millisecond) }), token.ErrClaims},
		{"a token that has expired when it begins", changed(func(c *token.Claims) { c.NotBefore = c.Expires }), token.ErrClaims},
		{"a token that expired before 1970", changed(func(c *token.Claims) {
			c.IssuedAt, c.NotBefore, c.Expires = time.Time{}, time.Time{}, time.Unix(-1, 0)
		}), token.ErrClaims},
		{"nobody's token", changed(func(c *token.Claims) { c.Issuer = "" }), token.ErrClaims},
		{"a token for no registry", changed(func(c *token.Claims) { c.Audience = "" }), token.ErrClaims},
		{"no claims", nil, token.ErrClaims},
		{"a name that no repository has", grant(scope.Scope{Type: "repository", Name: "Team/App", Actions: scope.Pull}), token.ErrClaims},
		{"a pattern", grant(scope.Scope{Type: "repository", Name: "team/**", Actions: scope.Pull}), token.ErrClaims},
		{"a path with ..", grant(scope.Scope{Type: "repository", Name: "team/../app", Actions: scope.Pull}), token.ErrClaims},
		{"a push to no repository", grant(scope.Scope{Type: "repository", Actions: scope.Push}), token.ErrClaims},
		{"a type with its class in it", grant(scope.Scope{Type: "repository(plugin)", Name: "a", Actions: scope.Pull}), token.ErrClaims},
		{"a catalog without a name", grant(scope.Scope{Type: "registry", Actions: scope.All}), token.ErrClaims},
	} {
		t.Run(tt.what, func(t *testing.T) {
			out, err := s.Append([]byte("before"), tt.claims)
			if !errors.Is(err, tt.is) {
				t.Errorf("error %v", err)
			}
			if string(out) != "before" {
				t.Errorf("Append returned an error, but appended %q", out)
			}
		})
	}
	last := claims()
	last.Expires = s.Until()
	sign(t, s, last)
	sign(t, s, grant(scope.Scope{Type: "repository", Actions: scope.Pull})) // zot's catalog
	sign(t, s, grant(scope.Scope{Type: "repository", Name: "Nothing Granted"}))
}

// In CVE-2025-24976 of distribution, registries took the key from the token itself. Tokens of this
// package do not contain a key or the address of a key, for any kind of key.
func TestTokensCannotProvideTheirKey(t *testing.T) {
	for _, alg := range token.Algorithms() {
		r := root(t, alg)
		signers := []*token.Signer{leaf(t, r, token.ES256)}
		for _, form := range token.KeyIDs() {
			if s, err := r.Direct(form); err == nil {
				signers = append(signers, s)
			}
		}
		for _, s := range signers {
			text, _, _ := strings.Cut(string(sign(t, s, claims())), ".")
			decoded, err := base64.RawURLEncoding.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			var header map[string]any
			if err := json.Unmarshal(decoded, &header); err != nil {
				t.Fatal(err)
			}
			for name := range header {
				switch name {
				case "alg", "typ", "kid", "x5c":
				default:
					t.Errorf("the header has %q: %s", name, decoded)
				}
			}
		}
	}
}

// Only asymmetric algorithms are accepted, and only with a key that fits the algorithm.
func TestNewSignerRefuses(t *testing.T) {
	r := root(t, token.ES256)
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	chain := []*x509.Certificate{r.Certificate()}
	for _, tt := range []struct {
		what  string
		key   crypto.Signer
		alg   token.Algorithm
		kid   string
		chain []*x509.Certificate
		says  string
	}{
		{"no key", nil, token.ES256, "k", nil, "there is no key"},
		{"a key of another curve", p384, token.ES256, "k", nil, "the key is for ES384, not for ES256"},
		{"a key of another kind", ed, token.RS256, "k", nil, "the key is for EdDSA, not for RS256"},
		{"no algorithm", p256, "none", "k", nil, "the key is for ES256, not for none"},
		{"a shared secret's algorithm", p256, "HS256", "k", nil, "the key is for ES256, not for HS256"},
		{"neither a kid nor a certificate", p256, token.ES256, "", nil, "a kid or a certificate is required"},
		{"another key's certificate", p256, token.ES256, "", chain, "the first certificate is for another key"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			if _, err := token.NewSigner(tt.key, tt.alg, tt.kid, tt.chain); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want one with %q", err, tt.says)
			}
		})
	}
}

// A key service returns the numbers r and s of a signature in any length. In a token, both are
// padded. An invalid signature is an error.
func TestSignatureOfAKeyService(t *testing.T) {
	public, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	der := func(r, s int64) []byte {
		text, err := asn1.Marshal(struct{ R, S *big.Int }{big.NewInt(r), big.NewInt(s)})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	largest := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 521), big.NewInt(1))
	long, err := asn1.Marshal(struct{ R, S *big.Int }{largest, largest})
	if err != nil {
		t.Fatal(err)
	}
	tooLong, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).Lsh(largest, 8), largest})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what string
		der  []byte
		r, s *big.Int // nil: refused
	}{
		{"small numbers", der(1, 0x80), big.NewInt(1), big.NewInt(0x80)},
		{"the largest", long, largest, largest},
		{"a number too large", tooLong, nil, nil},
		{"nothing", nil, nil, nil},
		{"half of a signature", long[:70], nil, nil},
		{"data after the signature", append(der(1, 1), 0), nil, nil},
		{"three numbers", []byte{0x30, 9, 2, 1, 1, 2, 1, 1, 2, 1, 1}, nil, nil},
		{"one number", []byte{0x30, 3, 2, 1, 1}, nil, nil},
		{"a sequence with a wrong length", []byte{0x30, 0x81}, nil, nil},
		{"a length of two bytes", []byte{0x30, 0x82, 0, 6, 2, 1, 1, 2, 1, 1}, nil, nil},
	} {
		t.Run(tt.what, func(t *testing.T) {
			s, err := token.NewSigner(service{public.Public(), tt.der}, token.ES512, "k", nil)
			if err != nil {
				t.Fatal(err)
			}
			out, err := s.Append(nil, claims())
			if tt.r == nil {
				if err == nil {
					t.Errorf("signed %s", out)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			signature, err := base64.RawURLEncoding.DecodeString(string(out[strings.LastIndexByte(string(out), '.')+1:]))
			if err != nil || len(signature) != 132 {
				t.Fatalf("signature of %d bytes, error %v", len(signature), err)
			}
			if r, s := new(big.Int).SetBytes(signature[:66]), new(big.Int).SetBytes(signature[66:]); r.Cmp(tt.r) != 0 || s.Cmp(tt.s) != 0 {
				t.Errorf("r %x, s %x", r, s)
			}
		})
	}
	s, err := token.NewSigner(service{public.Public(), nil}, token.ES512, "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := s.Append([]byte("before"), claims()); err == nil || string(out) != "before" {
		t.Errorf("%q, error %v", out, err)
	}
}

// service is a key that returns a given signature.
type service struct {
	public crypto.PublicKey
	der    []byte
}

func (s service) Public() crypto.PublicKey                                  { return s.public }
func (s service) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return s.der, nil }

// If the caller passes a slice of sufficient capacity, Append itself makes only one allocation,
// for the digest. The code that computes the signature makes further allocations.
func TestAppendAllocatesOnceBesideTheSignature(t *testing.T) {
	signer, c, dst := leaf(t, root(t, token.EdDSA), token.EdDSA), claims(), make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(50, func() { signer.Append(dst, c) }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}

// A token must not outlive any certificate that it contains, because a registry checks all of
// these certificates.
func TestSignerEndsWithItsFirstCertificate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	until := func(d time.Duration) *x509.Certificate {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: noon, NotAfter: noon.Add(d)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, lives := range [][]time.Duration{{2 * time.Hour}, {3 * time.Hour, 2 * time.Hour}, {2 * time.Hour, 3 * time.Hour}, {4 * time.Hour, 3 * time.Hour, 2 * time.Hour}} {
		var chain []*x509.Certificate
		for _, d := range lives {
			chain = append(chain, until(d))
		}
		s, err := token.NewSigner(key, token.ES256, "", chain)
		if err != nil {
			t.Fatal(err)
		}
		if want := noon.Add(2*time.Hour - token.Leeway); !s.Until().Equal(want) {
			t.Errorf("with certificates for %v, the signer signs until %s, want %s", lives, s.Until(), want)
		}
	}
}
