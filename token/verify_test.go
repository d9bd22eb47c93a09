package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

// testFailer has the methods that testing.TB and rapid.T share, so that helpers work in tests,
// properties and fuzz targets.
type testFailer interface {
	Helper()
	Fatal(...any)
}

// verifier returns a Verifier that trusts the roots. Its issuer and audience are the same as in
// claims().
func verifier(t testFailer, change func(*token.VerifierOptions), roots ...*token.Root) *token.Verifier {
	t.Helper()
	o := token.VerifierOptions{Issuer: claims().Issuer, Audience: claims().Audience, Leeway: token.Leeway}
	for _, r := range roots {
		o.Roots = append(o.Roots, r.Bundle()...)
	}
	if change != nil {
		change(&o)
	}
	v, err := token.NewVerifier(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// signCompact joins the parts of a token and signs the token with the function signer. If signer
// is nil, the token has no signature.
func signCompact(t testFailer, header, payload string, signer func(message []byte) []byte) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	message := encode([]byte(header)) + "." + encode([]byte(payload))
	if signer == nil {
		return message + "."
	}
	return message + "." + encode(signer([]byte(message)))
}

// es256 signs as ES256 does.
func es256(t testFailer, key *ecdsa.PrivateKey) func([]byte) []byte {
	t.Helper()
	return func(message []byte) []byte {
		digest := sha256.Sum256(message)
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
}

// hs256 signs as HS256 does, with any bytes as the secret.
func hs256(secret []byte) func([]byte) []byte {
	return func(message []byte) []byte {
		h := hmac.New(sha256.New, secret)
		h.Write(message)
		return h.Sum(nil)
	}
}

func header(t testFailer, pairs ...any) string {
	t.Helper()
	object := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		object[pairs[i].(string)] = pairs[i+1]
	}
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func x5c(chain ...*x509.Certificate) []string {
	var list []string
	for _, c := range chain {
		list = append(list, base64.StdEncoding.EncodeToString(c.Raw))
	}
	return list
}

func payload(t testFailer) string {
	t.Helper()
	text, err := claims().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// For each algorithm and form, a verifier that trusts the token's root accepts the token and
// returns all its claims. Any other verifier refuses the token.
func TestVerify(t *testing.T) {
	other := root(t, token.ES256)
	for _, alg := range token.Algorithms() {
		r := root(t, alg)
		signers := map[string]*token.Signer{"leaf": leaf(t, r, token.ES256)}
		for _, form := range token.KeyIDs() {
			if s, err := r.Direct(form); err == nil {
				signers[string(form)] = s
			}
		}
		for name, s := range signers {
			t.Run(string(alg)+" "+name, func(t *testing.T) {
				all := func(o *token.VerifierOptions) { o.KeyIDs = token.KeyIDs() }
				text := string(sign(t, s, claims()))
				got, err := verifier(t, all, r).Verify(text, noon)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(claims(), got); diff != "" {
					t.Errorf("(-signed +verified)\n%s", diff)
				}
				stranger := func(o *token.VerifierOptions) { o.KeyIDs = []token.KeyID{token.X5C, token.Libtrust, token.Thumbprint} }
				if _, err := verifier(t, stranger, other).Verify(text, noon); !errors.Is(err, token.ErrUntrusted) {
					t.Errorf("a verifier with another root: %v", err)
				}
				if s.KeyID() == "" {
					return
				}
				set, err := r.JWKS(token.KeyID(name))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := verifier(t, func(o *token.VerifierOptions) { o.JWKS = set }).Verify(text, noon); err != nil {
					t.Errorf("a verifier with the root's key set: %v", err)
				}
				only := func(o *token.VerifierOptions) { o.KeyIDs = []token.KeyID{token.X5C} }
				if _, err := verifier(t, only, r).Verify(text, noon); !errors.Is(err, token.ErrUntrusted) {
					t.Errorf("a verifier that accepts no kid: %v", err)
				}
			})
		}
	}
}

// A Verifier also accepts tokens of other issuers with algorithms that a Signer does not
// support.
func TestVerifyAlgorithmsOfOthers(t *testing.T) {
	for _, alg := range token.VerifiedAlgorithms() {
		var key crypto.Signer
		var err error
		switch alg {
		case token.ES256:
			key = newKey(t)
		case token.ES384:
			key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		case token.ES512:
			key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
		case token.EdDSA:
			_, key, err = ed25519.GenerateKey(rand.Reader)
		default:
			key, err = rsa.GenerateKey(rand.Reader, 2048)
		}
		if err != nil {
			t.Fatal(err)
		}
		c := certificate(t, key, &x509.Certificate{})
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, (&jose.SignerOptions{}).WithHeader("x5c", x5c(c)))
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign([]byte(payload(t)))
		if err != nil {
			t.Fatal(err)
		}
		text, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
		if _, err := verifier(t, func(o *token.VerifierOptions) { o.Roots = bundle }).Verify(text, noon); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		others := func(o *token.VerifierOptions) {
			o.Roots = bundle
			for _, a := range token.VerifiedAlgorithms() {
				if a != alg {
					o.Algorithms = append(o.Algorithms, a)
				}
			}
		}
		if _, err := verifier(t, others).Verify(text, noon); !errors.Is(err, token.ErrAlgorithm) {
			t.Errorf("the algorithm %s is not allowed, but Verify returned %v", alg, err)
		}
	}
}

// These are known attacks on other verifiers.
func TestVerifyRefuses(t *testing.T) {
	rootKey, leafKey, strange := newKey(t), newKey(t), newKey(t)
	ca := func() *x509.Certificate {
		return &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(1, 0, 0)}
	}
	rootCertificate := certificate(t, rootKey, ca())
	r, err := token.RootOf(rootCertificate, rootKey)
	if err != nil {
		t.Fatal(err)
	}
	rsaRoot := root(t, token.RS256)
	v := verifier(t, func(o *token.VerifierOptions) { o.KeyIDs = token.KeyIDs() }, rsaRoot, r)
	under := func(parent *x509.Certificate, by crypto.Signer, key crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
		c := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature}
		if change != nil {
			change(c)
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	good := under(rootCertificate, rootKey, leafKey, nil)
	strangeRoot := certificate(t, strange, ca())
	kid, err := r.KeyID(token.Libtrust)
	if err != nil {
		t.Fatal(err)
	}
	rsaKID, err := rsaRoot.KeyID(token.Thumbprint)
	if err != nil {
		t.Fatal(err)
	}
	rsaDER, err := x509.MarshalPKIXPublicKey(rsaRoot.Certificate().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	rsaPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: rsaDER})
	public, err := json.Marshal(jose.JSONWebKey{Key: strange.Public(), KeyID: kid})
	if err != nil {
		t.Fatal(err)
	}
	jwk := json.RawMessage(public)

	byLeaf, byKID, byStranger := es256(t, leafKey), es256(t, rootKey), es256(t, strange)
	goodHeader := header(t, "alg", "ES256", "x5c", x5c(good))
	goodToken := signCompact(t, goodHeader, payload(t), byLeaf)
	parts := strings.Split(goodToken, ".")
	says := func(text string) string { return signCompact(t, goodHeader, text, byLeaf) }
	with := func(old, replacement string) string {
		t.Helper()
		changed := strings.Replace(payload(t), old, replacement, 1)
		if changed == payload(t) {
			t.Fatalf("%s is not in the claims", old)
		}
		return says(changed)
	}
	for _, accepted := range []string{
		goodToken,
		signCompact(t, header(t, "alg", "ES256", "typ", "JWT", "kid", kid), payload(t), byKID),
		signCompact(t, header(t, "alg", "ES256", "typ", "at+jwt", "kid", "garbage", "x5c", x5c(good)), payload(t), byLeaf),
		with(`"aud":"registry.example.com"`, `"aud":["other","registry.example.com"]`),
		with(`"access":[`, `"unknown":{"a":[1]},"access":[`),
		with(`"sub":"ann"`, `"sub":null`),
	} {
		if _, err := v.Verify(accepted, noon); err != nil {
			t.Errorf("refused: %v", err)
		}
	}

	for _, tt := range []struct {
		what, token string
		is          error
	}{
		{"nothing", "", token.ErrMalformed},
		{"dots", "..", token.ErrMalformed},
		{"a megabyte of dots", strings.Repeat(".", 1<<20), token.ErrMalformed},
		{"a signed token of 64 KiB", with(`"ann"`, `"`+strings.Repeat("a", 49<<10)+`"`), token.ErrMalformed},
		{"two parts", parts[0] + "." + parts[1], token.ErrMalformed},
		{"four parts", goodToken + "." + parts[2], token.ErrMalformed},
		{"five parts, like an encrypted token", goodToken + "..", token.ErrMalformed},
		{"two signatures, as JSON", `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}]}`, token.ErrMalformed},
		{"a space before the token", " " + goodToken, token.ErrMalformed},
		{"a line end after the token", goodToken + "\n", token.ErrMalformed},
		{"padding", goodToken + "==", token.ErrMalformed},
		{"a line end in the token", parts[0] + "." + parts[1][:8] + "\n" + parts[1][8:] + "." + parts[2], token.ErrSignature},
		{"standard base64", parts[0] + "." + parts[1] + "." + strings.Repeat("+", 86), token.ErrMalformed},
		{"unused bits", parts[0] + "." + parts[1] + "." + respell(parts[2]), token.ErrMalformed},

		{"alg none", signCompact(t, header(t, "alg", "none", "kid", kid), payload(t), nil), token.ErrAlgorithm},
		{"alg None", signCompact(t, header(t, "alg", "None", "kid", kid), payload(t), nil), token.ErrAlgorithm},
		{"no alg", signCompact(t, header(t, "kid", kid), payload(t), byKID), token.ErrAlgorithm},
		{"an alg that is not a text", signCompact(t, header(t, "alg", []string{"ES256"}, "kid", kid), payload(t), byKID), token.ErrAlgorithm},
		{"the public key as the secret of HS256", signCompact(t, header(t, "alg", "HS256", "kid", rsaKID), payload(t), hs256(rsaPEM)), token.ErrAlgorithm},
		{"the key's DER as the secret of HS256", signCompact(t, header(t, "alg", "HS256", "kid", rsaKID), payload(t), hs256(rsaDER)), token.ErrAlgorithm},
		{"an EC key with RS256", signCompact(t, header(t, "alg", "RS256", "kid", kid), payload(t), byKID), token.ErrAlgorithm},
		{"a P-256 key with ES384", signCompact(t, header(t, "alg", "ES384", "kid", kid), payload(t), byKID), token.ErrAlgorithm},
		{"an RSA key with ES256", signCompact(t, header(t, "alg", "ES256", "kid", rsaKID), payload(t), byKID), token.ErrAlgorithm},

		{"a key in the header (CVE-2025-24976)", signCompact(t, header(t, "alg", "ES256", "jwk", jwk), payload(t), byStranger), token.ErrUntrusted},
		{"a key in the header together with a trusted kid", signCompact(t, header(t, "alg", "ES256", "jwk", jwk, "kid", kid), payload(t), byKID), token.ErrUntrusted},
		{"the address of a key", signCompact(t, header(t, "alg", "ES256", "jku", "http://127.0.0.1/", "kid", kid), payload(t), byKID), token.ErrUntrusted},
		{"the address of a certificate", signCompact(t, header(t, "alg", "ES256", "x5u", "http://127.0.0.1/", "kid", kid), payload(t), byKID), token.ErrUntrusted},
		{"an extension that must be understood", signCompact(t, header(t, "alg", "ES256", "crit", []string{"b64"}, "b64", false, "kid", kid), payload(t), byKID), token.ErrUntrusted},
		{"no key", signCompact(t, header(t, "alg", "ES256"), payload(t), byKID), token.ErrUntrusted},
		{"an empty kid", signCompact(t, header(t, "alg", "ES256", "kid", ""), payload(t), byKID), token.ErrUntrusted},
		{"a kid that is a path", signCompact(t, header(t, "alg", "ES256", "kid", "../../../../dev/null"), payload(t), byKID), token.ErrUntrusted},
		{"a kid for a database", signCompact(t, header(t, "alg", "ES256", "kid", "x' UNION SELECT 'key"), payload(t), byKID), token.ErrUntrusted},
		{"a kid with a NUL at the end", signCompact(t, header(t, "alg", "ES256", "kid", kid+"\x00"), payload(t), byKID), token.ErrUntrusted},
		{"a kid in lower case", signCompact(t, header(t, "alg", "ES256", "kid", strings.ToLower(kid)), payload(t), byKID), token.ErrUntrusted},
		{"a kid that is not a text", signCompact(t, header(t, "alg", "ES256", "kid", 7), payload(t), byKID), token.ErrMalformed},
		{"a kid that is null", signCompact(t, header(t, "alg", "ES256", "kid", nil), payload(t), byKID), token.ErrMalformed},
		{"a kid that is long", signCompact(t, header(t, "alg", "ES256", "kid", strings.Repeat("x", 5000)), payload(t), byKID), token.ErrMalformed},
		{"a typ that is not a text", signCompact(t, header(t, "alg", "ES256", "typ", 1, "kid", kid), payload(t), byKID), token.ErrMalformed},

		{"a leaf of another root", signCompact(t, header(t, "alg", "ES256", "x5c", x5c(under(strangeRoot, strange, leafKey, nil))), payload(t), byLeaf), token.ErrUntrusted},
		{"a leaf of another root, and that root", signCompact(t, header(t, "alg", "ES256", "x5c", x5c(under(strangeRoot, strange, leafKey, nil), strangeRoot)), payload(t), byLeaf), token.ErrUntrusted},
		{"another root itself", signCompact(t, header(t, "alg", "ES256", "x5c", x5c(strangeRoot)), payload(t), byStranger), token.ErrUntrusted},
		{"a leaf of another root together with a trusted kid", signCompact(t, header(t, "alg", "ES256", "kid", kid, "x5c", x5c(strangeRoot)), payload(t), byKID), token.ErrUntrusted},
		{"the trusted root after a leaf of another root", signCompact(t, header(t, "alg", "ES256", "x5c", x5c(strangeRoot, rootCertificate)), payload(t), byStranger), token.ErrUntrusted},
		{"a leaf under a leaf", signCompact(t, header(t, "alg", "ES256", "x5c", x5c(under(good, leafKey, strange, nil), good)), payload(t), byStranger), token.ErrUntrusted},
		{"an expired leaf", signCompact(t, header(t, "alg", "ES256", "x5c", x5c(under(rootCertificate, rootKey, leafKey, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) }))), payload(t), byLeaf), token.ErrUntrusted},
		{"a leaf that begins later", signCompact(t, header(t, "alg", "ES256", "x5c", x5c(under(rootCertificate, rootKey, leafKey, func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Second) }))), payload(t), byLeaf), token.ErrUntrusted},
		{"a leaf that is only for encryption", signCompact(t, header(t, "alg", "ES256", "x5c", x5c(under(rootCertificate, rootKey, leafKey, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }))), payload(t), byLeaf), token.ErrUntrusted},
		{"the signature of another key with a valid leaf", signCompact(t, goodHeader, payload(t), byStranger), token.ErrSignature},
		{"no certificate", signCompact(t, header(t, "alg", "ES256", "kid", kid, "x5c", []string{}), payload(t), byKID), token.ErrMalformed},
		{"a certificate that is not a list", signCompact(t, header(t, "alg", "ES256", "x5c", x5c(good)[0]), payload(t), byLeaf), token.ErrMalformed},
		{"a certificate that cannot be parsed", signCompact(t, header(t, "alg", "ES256", "x5c", []string{"AAAA"}), payload(t), byLeaf), token.ErrMalformed},
		{"a certificate in base64url", signCompact(t, header(t, "alg", "ES256", "x5c", []string{"__8="}), payload(t), byLeaf), token.ErrMalformed},
		{"a number instead of a certificate", signCompact(t, header(t, "alg", "ES256", "x5c", []int{1}), payload(t), byLeaf), token.ErrMalformed},
		{"many certificates", signCompact(t, header(t, "alg", "ES256", "x5c", x5c(good, good, good, good, good, good, good, good, good, good, good)), payload(t), byLeaf), token.ErrMalformed},

		{"no signature", parts[0] + "." + parts[1] + ".", token.ErrSignature},
		{"a signature of zeros", signCompact(t, goodHeader, payload(t), func([]byte) []byte { return make([]byte, 64) }), token.ErrSignature},
		{"a signature with a byte too many", signCompact(t, goodHeader, payload(t), func(m []byte) []byte { return append(byLeaf(m), 0) }), token.ErrSignature},
		{"a signature in DER", signCompact(t, goodHeader, payload(t), func(m []byte) []byte {
			digest := sha256.Sum256(m)
			der, _ := ecdsa.SignASN1(rand.Reader, leafKey, digest[:])
			return der
		}), token.ErrSignature},
		{"another's claims", parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(payload(t), "team/app", "team/abc", 1))) + "." + parts[2], token.ErrSignature},

		{"a header with alg twice", signCompact(t, `{"alg":"none","alg":"ES256","kid":"`+kid+`"}`, payload(t), byKID), token.ErrMalformed},
		{"a header with data after it", signCompact(t, goodHeader+"{}", payload(t), byLeaf), token.ErrMalformed},
		{"a header that is a list", signCompact(t, `["ES256"]`, payload(t), byLeaf), token.ErrMalformed},
		{"claims with exp twice", with(`"exp":`, `"exp":9999999999,"exp":`), token.ErrMalformed},
		{"claims with access twice", with(`"access":`, `"access":[],"access":`), token.ErrMalformed},
		{"claims with an entry's name twice", with(`"name":"team/app"`, `"name":"x","name":"team/app"`), token.ErrMalformed},
		{"claims with data after them", says(payload(t) + "{}"), token.ErrMalformed},
		{"claims that are a list", says(`[]`), token.ErrMalformed},
		{"claims that are deep", says(strings.Repeat(`{"a":`, 3000) + "1" + strings.Repeat("}", 3000)), token.ErrMalformed},
		{"claims that are not UTF-8", with(`"ann"`, "\"an\xff\""), token.ErrMalformed},
		{"a name in another case is another name", with(`"exp"`, `"EXP"`), token.ErrMalformed},

		{"no issuer", with(`"iss":"https://auth.example.com",`, ``), token.ErrIssuer},
		{"another issuer", with(`"https://auth.example.com"`, `"https://auth.example.com/"`), token.ErrIssuer},
		{"an issuer that is a list", with(`"https://auth.example.com"`, `["https://auth.example.com"]`), token.ErrMalformed},
		{"no audience", with(`"aud":"registry.example.com",`, ``), token.ErrAudience},
		{"no audience in the list", with(`"aud":"registry.example.com"`, `"aud":[]`), token.ErrAudience},
		{"another audience", with(`"aud":"registry.example.com"`, `"aud":"registry.example.com.evil"`), token.ErrAudience},
		{"other audiences", with(`"aud":"registry.example.com"`, `"aud":["a","b"]`), token.ErrAudience},
		{"an audience that is a number", with(`"aud":"registry.example.com"`, `"aud":["registry.example.com",1]`), token.ErrMalformed},
		{"no expiry", with(`"exp":2111054700,`, ``), token.ErrMalformed},
		{"an expiry that is null", with(`2111054700`, `null`), token.ErrMalformed},
		{"an expiry that is text", with(`2111054700`, `"2111054700"`), token.ErrMalformed},
		{"an expiry with a fraction", with(`2111054700`, `2111054700.5`), token.ErrMalformed},
		{"an expiry as a power of ten", with(`2111054700`, `1e300`), token.ErrMalformed},
		{"an expiry that overflows", with(`2111054700`, `9223372036854775807`), token.ErrMalformed},
		{"a negative expiry", with(`2111054700`, `-1`), token.ErrMalformed},
		{"a beginning that overflows", with(`2111054390`, `-9223372036854775808`), token.ErrMalformed},
		{"access that is an object", with(`"access":[`, `"access":{},"x":[`), token.ErrMalformed},
		{"access with null in it", with(`"access":[`, `"access":[null,`), token.ErrMalformed},
		{"access with a name that is a list", with(`"name":"team/app"`, `"name":["team/app"]`), token.ErrMalformed},
		{"access with actions that are text", with(`["pull","push"]`, `"pull,push"`), token.ErrMalformed},
		{"access with an action that is a number", with(`["pull","push"]`, `["pull",1]`), token.ErrMalformed},
	} {
		t.Run(tt.what, func(t *testing.T) {
			c, err := v.Verify(tt.token, noon)
			if c != nil || !errors.Is(err, tt.is) {
				t.Fatalf("claims %v, error %v, want %q", c, err, tt.is)
			}
			for _, not := range reasons {
				if !errors.Is(tt.is, not) && errors.Is(err, not) {
					t.Errorf("the error also matches %q: %v", not, err)
				}
			}
			if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) || len(err.Error()) > 2000 {
				t.Errorf("the error is not a single line: %q", err)
			}
		})
	}
}

// reasons lists the errors of Verify. Each refusal of a token wraps one of these errors.
var reasons = []error{
	token.ErrMalformed, token.ErrAlgorithm, token.ErrUntrusted, token.ErrSignature,
	token.ErrIssuer, token.ErrAudience, token.ErrExpired, token.ErrNotYetValid,
}

// respell returns another base64url text for the same bytes. A decoder that ignores unused bits
// decodes both texts to these bytes.
func respell(text string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, text[len(text)-1])
	return text[:len(text)-1] + string(alphabet[last^1])
}

func TestVerifyTimes(t *testing.T) {
	r := root(t, token.ES256)
	s := leaf(t, r, token.ES256)
	text := string(sign(t, s, claims())) // valid from 10 s before noon until 5 minutes after noon
	begin, end := noon.Add(-10*time.Second), noon.Add(5*time.Minute)
	for _, tt := range []struct {
		leeway time.Duration
		now    time.Time
		is     error
	}{
		{0, begin, nil},
		{0, begin.Add(-1), token.ErrNotYetValid},
		{0, end, nil},
		{0, end.Add(1), token.ErrExpired},
		{token.Leeway, begin.Add(-token.Leeway), nil},
		{token.Leeway, begin.Add(-token.Leeway - 1), token.ErrNotYetValid},
		{token.Leeway, end.Add(token.Leeway), nil},
		{token.Leeway, end.Add(token.Leeway + 1), token.ErrExpired},
		// With a zero time, crypto/x509 would read the clock of the machine.
		{0, time.Time{}, token.ErrNotYetValid},
		// The leeway does not apply to certificates.
		{72 * time.Hour, noon.Add(25 * time.Hour), token.ErrUntrusted},
	} {
		v := verifier(t, func(o *token.VerifierOptions) { o.Leeway = tt.leeway }, r)
		if _, err := v.Verify(text, tt.now); !errors.Is(err, tt.is) || (err == nil) != (tt.is == nil) {
			t.Errorf("at %v with %v: %v, want %v", tt.now, tt.leeway, err, tt.is)
		}
	}
}

func TestNewVerifierRefuses(t *testing.T) {
	r := root(t, token.ES256)
	key, err := r.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: newKey(t), KeyID: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	two, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: newKey(t).Public(), KeyID: "a"}, {Key: newKey(t).Public(), KeyID: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	withoutKid, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: newKey(t).Public()}}})
	if err != nil {
		t.Fatal(err)
	}
	weakSet, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: weak.Public(), KeyID: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what   string
		change func(*token.VerifierOptions)
		says   string
	}{
		{"no issuer", func(o *token.VerifierOptions) { o.Issuer = "" }, "an issuer and an audience"},
		{"no audience", func(o *token.VerifierOptions) { o.Audience = "" }, "an issuer and an audience"},
		{"no key", func(o *token.VerifierOptions) { o.Roots = nil }, "roots or a key set"},
		{"a negative leeway", func(o *token.VerifierOptions) { o.Leeway = -1 }, "negative"},
		{"none", func(o *token.VerifierOptions) { o.Algorithms = []token.Algorithm{"none"} }, `"none" is not one`},
		{"HMAC", func(o *token.VerifierOptions) { o.Algorithms = []token.Algorithm{token.ES256, "HS256"} }, `"HS256" is not one`},
		{"an unknown form", func(o *token.VerifierOptions) { o.KeyIDs = []token.KeyID{"x"} }, "no form of key id"},
		{"roots that are not PEM", func(o *token.VerifierOptions) { o.Roots = []byte("x") }, "reading the roots: it is not a PEM file"},
		{"a private key", func(o *token.VerifierOptions) { o.Roots = append(o.Roots, key...) }, "a private key is among the certificates"},
		{"a public key instead of a root", func(o *token.VerifierOptions) { o.Roots = file(t, "public.pem") }, "public key"},
		{"a key set without a list", func(o *token.VerifierOptions) { o.JWKS = []byte(`{"keys":{}}`) }, "no list"},
		{"a key set with an object after it", func(o *token.VerifierOptions) { o.JWKS = []byte(`{"keys":[]}{}`) }, "not JSON"},
		{"a key set with keys twice", func(o *token.VerifierOptions) { o.JWKS = []byte(`{"keys":[],"keys":[]}`) }, "twice"},
		{"an empty key set", func(o *token.VerifierOptions) { o.JWKS = []byte(`{"keys":[]}`) }, "no key with a kid that can verify"},
		{"a key without a kid", func(o *token.VerifierOptions) { o.JWKS = withoutKid }, "no key with a kid that can verify"},
		{"a key set with a secret key", func(o *token.VerifierOptions) { o.JWKS = secret }, "keys[0] is a secret key"},
		{"a key set for HMAC", func(o *token.VerifierOptions) { o.JWKS = []byte(`{"keys":[{"kty":"oct","kid":"a","k":"c2VjcmV0"}]}`) }, "keys[0] is a secret key"},
		{"two keys with the same kid", func(o *token.VerifierOptions) { o.JWKS = two }, `two keys have the kid "a"`},
		{"a short RSA key", func(o *token.VerifierOptions) { o.JWKS = weakSet }, "no key with a kid that can verify"},
		{"a key for encryption", func(o *token.VerifierOptions) {
			o.JWKS = []byte(`{"keys":[{"kty":"RSA","use":"enc","n":"AQAB","e":"AQAB"}]}`)
		}, "no key with a kid that can verify"},
		{"a point that is on no curve", func(o *token.VerifierOptions) {
			zeros := strings.Repeat("A", 43)
			o.JWKS = []byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"` + zeros + `","y":"` + zeros + `"}]}`)
		}, "no key with a kid that can verify"},
	} {
		o := token.VerifierOptions{Issuer: "i", Audience: "a", Roots: r.Bundle()}
		tt.change(&o)
		if _, err := token.NewVerifier(o); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: error %v, want one with %q", tt.what, err, tt.says)
		}
	}
}

// A key of a set verifies only tokens of its own algorithm and use.
func TestVerifyByAKeySet(t *testing.T) {
	key := newKey(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	thumbprint, err := token.KeyIDOf(token.Thumbprint, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	set := func(keys ...jose.JSONWebKey) func(*token.VerifierOptions) {
		text, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		return func(o *token.VerifierOptions) { o.JWKS = text }
	}
	by := func(kid string) string {
		return signCompact(t, header(t, "alg", "ES256", "kid", kid), payload(t), es256(t, key))
	}
	rs := func(alg token.Algorithm) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: jose.JSONWebKey{Key: rsaKey, KeyID: "r"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign([]byte(payload(t)))
		if err != nil {
			t.Fatal(err)
		}
		text, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	libtrust, err := token.KeyIDOf(token.Libtrust, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	other := jose.JSONWebKey{Key: newKey(t).Public(), KeyID: "other"}
	both := func(o *token.VerifierOptions) {
		set(jose.JSONWebKey{Key: key.Public(), KeyID: "any text"})(o)
		o.Roots = root(t, token.ES256).Bundle()
	}
	// Each row tests the behavior that registry 3.1 has with a jwks file.
	for _, tt := range []struct {
		what  string
		keys  func(*token.VerifierOptions)
		token string
		is    error
	}{
		{"its kid", set(jose.JSONWebKey{Key: key.Public(), KeyID: "any text"}), by("any text"), nil},
		{"another kid", set(jose.JSONWebKey{Key: key.Public(), KeyID: "any text"}), by("another"), token.ErrUntrusted},
		{"the thumbprint of a key with a kid", set(jose.JSONWebKey{Key: key.Public(), KeyID: "any text"}), by(thumbprint), token.ErrUntrusted},
		{"the thumbprint of a key without a kid", set(jose.JSONWebKey{Key: key.Public()}, other), by(thumbprint), token.ErrUntrusted},
		{"a token and a key without a kid", set(jose.JSONWebKey{Key: key.Public()}, other), signCompact(t, header(t, "alg", "ES256"), payload(t), es256(t, key)), token.ErrUntrusted},
		{"an empty kid, and a key without a kid", set(jose.JSONWebKey{Key: key.Public()}, other), by(""), token.ErrUntrusted},
		{"its libtrust id as the kid", set(jose.JSONWebKey{Key: key.Public(), KeyID: libtrust}), by(libtrust), nil},
		{"a kid together with a certificate of another key", both, by("any text"), nil},
		{"certificates", set(jose.JSONWebKey{Key: key.Public(), KeyID: "a"}), signCompact(t, header(t, "alg", "ES256", "kid", "a", "x5c", x5c(certificate(t, key, &x509.Certificate{}))), payload(t), es256(t, key)), token.ErrUntrusted},
		{"its algorithm", set(jose.JSONWebKey{Key: rsaKey.Public(), KeyID: "r", Algorithm: "RS256", Use: "sig"}), rs(token.RS256), nil},
		{"another algorithm for the same kind of key", set(jose.JSONWebKey{Key: rsaKey.Public(), KeyID: "r", Algorithm: "RS256"}), rs(token.PS256), token.ErrAlgorithm},
		{"any algorithm, for a key without an algorithm", set(jose.JSONWebKey{Key: rsaKey.Public(), KeyID: "r"}), rs(token.PS512), nil},
		{"a key for another use in the set", set(jose.JSONWebKey{Key: rsaKey.Public(), KeyID: "r", Use: "enc"}, jose.JSONWebKey{Key: key.Public(), KeyID: "a"}), rs(token.RS256), token.ErrUntrusted},
	} {
		if _, err := verifier(t, tt.keys).Verify(tt.token, noon); !errors.Is(err, tt.is) || (err == nil) != (tt.is == nil) {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.is)
		}
	}
}

func TestAllows(t *testing.T) {
	c := &token.Claims{Access: []scope.Scope{
		{Type: "repository", Name: "team/app", Actions: scope.Pull},
		{Type: "repository", Name: "team/app", Actions: scope.Push}, // registries merge them
		{Type: "repository", Class: "plugin", Name: "team/plugin", Actions: scope.Pull},
		{Type: "repository", Name: "all", Actions: scope.All},
		{Type: "repository", Name: "*", Actions: scope.All},
		{Type: "registry", Name: "catalog", Actions: scope.All},
	}}
	repository := func(name string, actions scope.Actions) scope.Scope {
		return scope.Scope{Type: "repository", Name: name, Actions: actions}
	}
	for _, tt := range []struct {
		wanted scope.Scope
		want   bool
	}{
		{repository("team/app", scope.Pull), true},
		{repository("team/app", scope.Pull|scope.Push), true},
		{repository("team/app", scope.Pull|scope.Delete), false},
		{repository("team/app", scope.All), false},
		{repository("team/plugin", scope.Pull), true},
		{repository("all", scope.Repository), true},
		{repository("team", scope.Pull), false},
		{repository("anything", scope.Pull), false}, // a name is not a pattern
		{repository("team/app", 0), false},
		{scope.Scope{Type: "registry", Name: "catalog", Actions: scope.All}, true},
		{scope.Scope{Type: "registry", Name: "team/app", Actions: scope.Pull}, false},
		{scope.Scope{}, false},
	} {
		if got := c.Allows(tt.wanted); got != tt.want {
			t.Errorf("%s: %v", tt.wanted, got)
		}
	}
	if (*token.Claims)(nil).Allows(repository("a", scope.Pull)) {
		t.Error("nil claims allow a pull")
	}
}

func TestClaimsAsJSON(t *testing.T) {
	text, err := json.Marshal(claims())
	if err != nil {
		t.Fatal(err)
	}
	var got token.Claims
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(claims(), &got); diff != "" {
		t.Errorf("(-written +read)\n%s", diff)
	}
	if err := json.Unmarshal([]byte(`{"exp":1,"aud":["a","b"]}`), &got); err == nil {
		t.Error("claims with two audiences were accepted")
	}
	if problems, err := json.Marshal(new(token.Root).Problems(token.X5C, noon)); err != nil || !strings.Contains(string(problems), `[{"kind":"empty","text":`) {
		t.Errorf("%s, error %v", problems, err)
	}
}

// If the verifier accepts a changed token, another implementation must accept the token, too, and
// must read the same key, signature and claims from the token.
func TestVerifyAgreesWithJOSE(t *testing.T) {
	r := root(t, token.ES256)
	rs := root(t, token.RS256)
	algorithms := []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS256, jose.HS256, jose.EdDSA}
	var tokens []string
	for _, s := range []*token.Signer{leaf(t, r, token.ES256), leaf(t, rs, token.ES256)} {
		tokens = append(tokens, string(sign(t, s, claims())))
	}
	v := verifier(t, nil, r)
	agree := func(t interface{ Fatalf(string, ...any) }, text string) (accepted bool) {
		c, err := v.Verify(text, noon)
		if err != nil {
			return false
		}
		parsed, err := jose.ParseSignedCompact(text, algorithms)
		if err != nil {
			t.Fatalf("go-jose cannot parse the token: %v", err)
		}
		chains, err := parsed.Signatures[0].Protected.Certificates(x509.VerifyOptions{Roots: pool(r), CurrentTime: noon, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if err != nil {
			t.Fatalf("go-jose does not trust the token: %v", err)
		}
		said, err := parsed.Verify(chains[0][0].PublicKey)
		if err != nil {
			t.Fatalf("go-jose refuses the signature: %v", err)
		}
		if again, err := c.MarshalJSON(); err != nil || string(again) != string(said) {
			t.Fatalf("the claims are\n%s\nbut Verify returned\n%s", said, again)
		}
		return true
	}
	if !agree(t, tokens[0]) {
		t.Fatal("the unchanged token was refused")
	}
	parts := rapid.SampledFrom([]string{"", "A", "=", ".", "e30", `"`, "\n", "\x00"})
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom(tokens).Draw(t, "token")
		for range rapid.IntRange(0, 2).Draw(t, "changes") {
			i := rapid.IntRange(0, len(text)).Draw(t, "at")
			j := min(len(text), i+rapid.IntRange(0, 3).Draw(t, "cut"))
			text = text[:i] + parts.Draw(t, "put") + text[j:]
		}
		agree(t, text)
	})
}

func FuzzVerify(f *testing.F) {
	key := newKey(f)
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "a"}}})
	if err != nil {
		f.Fatal(err)
	}
	v := verifier(f, func(o *token.VerifierOptions) { o.JWKS = set }, root(f, token.ES256))
	for _, seed := range [][2]string{
		{`{"alg":"ES256","kid":"a"}`, payload(f)},
		{`{"alg":"ES256","kid":"a","x5c":["AAAA"]}`, `{"exp":1}`},
		{`{"alg":"none"}`, `{"access":[{"type":"repository","name":"a","actions":["*"]}]}`},
		{`{"alg":"HS256","kid":"../a","jwk":{}}`, `{"aud":["a",null],"exp":1e9}`},
		{`{"alg":"ES256","alg":"RS256","kid":"a"}`, `{"iss":"https://auth.example.com","aud":"registry.example.com","exp":9999999999,"nbf":null}`},
	} {
		f.Add(seed[0], seed[1], true)
		f.Add(seed[0], seed[1], false)
	}
	f.Fuzz(func(t *testing.T, header, payload string, signed bool) {
		signer := es256(t, key)
		if !signed {
			signer = func(m []byte) []byte { sum := sha256.Sum256(m); return append(sum[:], sum[:]...) }
		}
		c, err := v.Verify(signCompact(t, header, payload, signer), noon)
		switch {
		case err != nil:
			found := 0
			for _, reason := range reasons {
				if errors.Is(err, reason) {
					found++
				}
			}
			if found != 1 || c != nil {
				t.Fatalf("%d reasons, claims %v: %v", found, c, err)
			}
		case !signed:
			t.Fatal("a token without a signature was accepted")
		case c.Issuer != claims().Issuer || c.Audience != claims().Audience || noon.After(c.Expires.Add(token.Leeway)):
			t.Fatalf("accepted: %+v", c)
		}
	})
}

func TestZeroValuesPanicNowhere(t *testing.T) {
	var typedNil *ecdsa.PrivateKey
	var noKey ed25519.PrivateKey
	for i, key := range []crypto.Signer{nil, typedNil, new(ecdsa.PrivateKey), (*rsa.PrivateKey)(nil), new(rsa.PrivateKey), noKey, (*ed25519.PrivateKey)(nil)} {
		if _, err := token.NewSigner(key, token.ES256, "k", nil); err == nil {
			t.Errorf("NewSigner accepted key %d", i)
		}
		if _, err := token.RootOf(root(t, token.ES256).Certificate(), key); err == nil {
			t.Errorf("RootOf accepted key %d", i)
		}
	}
	for _, public := range []crypto.PublicKey{nil, "text", (*ecdsa.PublicKey)(nil), new(ecdsa.PublicKey), (*rsa.PublicKey)(nil), new(rsa.PublicKey), ed25519.PublicKey(nil)} {
		for _, form := range token.KeyIDs() {
			if kid, err := token.KeyIDOf(form, public); err == nil {
				t.Errorf("%T has the kid %s", public, kid)
			}
		}
	}
	if _, err := token.NewSigner(newKey(t), token.ES256, "k", []*x509.Certificate{nil}); err == nil {
		t.Error("NewSigner accepted a chain with a missing certificate")
	}
	if _, err := token.RootOf(new(x509.Certificate), newKey(t)); err == nil {
		t.Error("RootOf accepted an empty certificate")
	}
	for _, r := range []*token.Root{nil, new(token.Root)} {
		if r.Certificate() != nil || r.Bundle() != nil || r.Algorithm() != "" || r.IssuesLeaves() {
			t.Errorf("%v has something", r)
		}
		_, keyErr := r.KeyPEM()
		_, kidErr := r.KeyID(token.Libtrust)
		_, leafErr := r.Leaf(token.ES256, noon, noon.Add(time.Hour))
		_, directErr := r.Direct(token.X5C)
		_, setErr := r.JWKS(token.Libtrust)
		for i, err := range []error{keyErr, kidErr, leafErr, directErr, setErr} {
			if err == nil {
				t.Errorf("no error %d", i)
			}
		}
		if p := r.Problems(token.X5C, noon); len(p) != 1 || !p[0].Fatal() {
			t.Errorf("problems %v", p)
		}
	}
	for _, s := range []*token.Signer{nil, new(token.Signer)} {
		if s.Algorithm() != "" || s.KeyID() != "" || s.Certificate() != nil || !s.Until().IsZero() {
			t.Errorf("%v has something", s)
		}
		s.Limit(claims(), noon)
		if out, err := s.Append([]byte("before"), claims()); err == nil || string(out) != "before" {
			t.Errorf("%s, error %v", out, err)
		}
	}
	if _, err := leaf(t, root(t, token.ES256), token.ES256).Append(nil, nil); !errors.Is(err, token.ErrClaims) {
		t.Errorf("no claims: %v", err)
	}
	for _, v := range []*token.Verifier{nil, new(token.Verifier)} {
		if _, err := v.Verify(string(sign(t, leaf(t, root(t, token.ES256), token.ES256), claims())), noon); !errors.Is(err, token.ErrUntrusted) {
			t.Errorf("a verifier without keys: %v", err)
		}
	}
	if c := (token.Claims{}).Grant(nil, time.Hour, noon); len(c.Access) > 0 {
		t.Errorf("a nil decision grants %v", c.Access)
	}
	if text := fmt.Sprint(new(token.Claims)); text == "" {
		t.Error("MarshalJSON of zero claims returned nothing")
	}
}
