package oidc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
)

// members returns the members of a public key in a JWKS, for a test to change.
func (s signing) members(t *testing.T) claims {
	t.Helper()
	text, err := json.Marshal(s.public("sig"))
	if err != nil {
		t.Fatal(err)
	}
	var c claims
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// x5c returns an x5c certificate for a key. The certificate has expired, but the Provider does
// not check its dates.
func x5c(t *testing.T, key any, public any) string {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1, 0)}, &x509.Certificate{}, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// Some issuers write additional or wrong members into keys. Only the required members are read. If
// they are missing, the certificate is read.
func TestSuperfluousMembersOfAKeyAreIgnored(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, ecKey := signing{"k", jose.RS256, private}, newKey(t, "k")
	other := newKey(t, "other")
	ec := ecKey.key.(*ecdsa.PrivateKey)
	otherCertificate := x5c(t, other.key, other.key.(*ecdsa.PrivateKey).Public())
	for _, tt := range []struct {
		what    string
		key     signing
		changed claims
	}{
		{"a correct key", rsaKey, nil},
		{"RSA with a curve", rsaKey, claims{"crv": "", "x": "", "y": ""}},
		{"an x5c with an empty element", rsaKey, claims{"x5c": []string{""}}},
		{"an x5c that is an empty list", rsaKey, claims{"x5c": []string{}}},
		{"an x5c that is not a list", rsaKey, claims{"x5c": ""}},
		{"an x5c that is not a certificate", rsaKey, claims{"x5c": []string{"AAAA"}}},
		{"an x5c of another key", rsaKey, claims{"x5c": []string{otherCertificate}}},
		{"a wrong x5t", rsaKey, claims{"x5t": "AAAA", "x5t#S256": "AAAA"}},
		{"an x5t that is not base64", rsaKey, claims{"x5t": "%", "x5t#S256": 7}},
		{"an empty x5u", rsaKey, claims{"x5u": ""}},
		{"an empty use and alg", rsaKey, claims{"use": "", "alg": ""}},
		{"null instead of absent members", rsaKey, claims{"use": json.RawMessage("null"), "alg": json.RawMessage("null"), "x5c": json.RawMessage("null")}},
		{"EC with RSA's", ecKey, claims{"n": "", "e": ""}},
		{"RSA with a certificate alone", rsaKey, claims{"n": nil, "e": nil, "x5c": []string{x5c(t, private, private.Public())}}},
		{"RSA with a certificate and empty parameters", rsaKey, claims{"n": "", "e": "", "x5c": []string{x5c(t, private, private.Public())}}},
		{"EC with a certificate alone", ecKey, claims{"crv": nil, "x": nil, "y": nil, "x5c": []string{x5c(t, ec, ec.Public()), "the other elements are not read"}}},
		{"EC with a certificate and a curve", ecKey, claims{"x": nil, "y": nil, "x5c": []string{x5c(t, ec, ec.Public())}}},
	} {
		i := newIssuer(t)
		i.publish(tt.key.members(t).extend(tt.changed))
		if _, err := show(t, i.provider(), tt.key.sign(t, i.claims())); err != nil {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
}

// If a key cannot be used, the log has a reason, once for each kind of reason. For a key in a
// file, the warnings have the reason too.
func TestAKeyThatIsDroppedLeavesAReason(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	ec := newKey(t, "k")
	for _, tt := range []struct {
		what  string
		key   any
		why   string
		meant bool // the key is declared for another use
	}{
		{"short", jose.JSONWebKey{Key: &small.PublicKey, KeyID: "k"}, `the key "k": its type or size is not accepted: RSA of 1024 bits, and 2048 to 8192 are accepted`, false},
		{"another curve", claims{"kty": "EC", "kid": "k", "x5c": []string{x5c(t, p224, p224.Public())}}, `the curve P-224, and P-256`, false},
		{"a curve that is not known", ec.members(t).extend(claims{"crv": "P-999"}), `it cannot be parsed`, false},
		{"half of the parameters", ec.members(t).extend(claims{"y": nil}), `the key "k": it cannot be parsed: `, false},
		{"no parameters", claims{"kty": "RSA", "x5c": []string{""}}, "a key without a kid: it cannot be parsed: it has neither n, e nor a certificate in x5c", false},
		{"a certificate of another kind", claims{"kty": "RSA", "kid": "k", "x5c": []string{x5c(t, p224, p224.Public())}}, "the key in its x5c does not match its kty RSA", false},
		{"no certificate", claims{"kty": "RSA", "kid": "k", "x5c": []string{"AAAA"}}, "its x5c is not a certificate", false},
		{"a private key", jose.JSONWebKey{Key: ec.key, KeyID: "k"}, "it is a private key: anyone who reads it can sign tokens", false},
		{"another alg", ec.members(t).extend(claims{"alg": "RS256"}), "its alg does not fit the key: RS256, and such a key is for ES256", false},
		{"a new type", claims{"kty": "AKP", "kid": "k"}, "its kty is not EC, OKP or RSA: AKP", false},
		{"a number as the id", ec.members(t).extend(claims{"kid": 7}), "its kid is not a string", false},
		{"a number as the use", ec.members(t).extend(claims{"use": 7}), "its kty, use or alg is not a string", false},
		{"no object", "x", "it is not a JSON object", false},
		{"for encryption", ec.members(t).extend(claims{"use": "enc"}), "its use is not sig: enc", true},
		{"a shared secret", claims{"kty": "oct", "kid": "k", "k": "AAAA"}, "it is a shared secret", true},
	} {
		t.Run(tt.what, func(t *testing.T) {
			i, log := newIssuer(t), new(await.Log)
			i.publish(i.key.public("sig"), tt.key, tt.key)
			p := i.provider(func(o *oidc.Options) { o.Log = slog.New(slog.NewTextHandler(log, nil)) })
			for range 3 { // at each fetch
				want(t, "another key", outcome(t, p, newKey(t, "none").sign(t, i.claims())), "refused")
				i.Pass(time.Hour)
			}
			if n := log.Count("ignored a key of an issuer"); n != 1 || i.count("/keys") < 2 {
				t.Errorf("%d lines after %d fetches:\n%s", n, i.count("/keys"), log)
			}
			if text := strings.ReplaceAll(log.String(), `\"`, `"`); !strings.Contains(text, tt.why) {
				t.Errorf("%q is not in the log:\n%s", tt.why, text)
			}

			o := i.options()
			o.JWKSFile = filepath.Join(t.TempDir(), "keys.json")
			text, _ := json.Marshal(claims{"keys": []any{i.key.public("sig"), tt.key}})
			write(t, o.JWKSFile, string(text))
			warnings := newProvider(t, o).Warnings()
			if tt.meant != (len(warnings) == 0) || !tt.meant && !strings.Contains(warnings[0].Text, tt.why) {
				t.Errorf("check warns: %v", warnings)
			}
			text, _ = json.Marshal(claims{"keys": []any{tt.key}})
			write(t, o.JWKSFile, string(text))
			if problem := problemOf(o, "jwks_file"); !strings.Contains(problem, "no usable key: ") || !strings.Contains(problem, tt.why) {
				t.Errorf("a file with only this key: %s", problem)
			}
		})
	}
}

// An issuer can be any text. The issuer must be a URL only if its keys are found by discovery.
func TestAnIssuerWhoseKeysAreKnownIsAnyText(t *testing.T) {
	i := newIssuer(t)
	text, _ := json.Marshal(claims{"keys": []any{i.key.public("sig")}})
	file := filepath.Join(t.TempDir(), "keys.json")
	write(t, file, string(text))
	for issuer, ok := range map[string]bool{
		"api": true, "kubernetes/serviceaccount": true, "http://kubernetes.default.svc": true, "https://issuer.example.com/?tenant=1": true, "urn:x:y": true,
		"https://a:b@issuer.example.com": false, " api": false, "api\n": false, "a\u200bpi": false,
	} {
		for _, keys := range []func(*oidc.Options){
			func(o *oidc.Options) { o.JWKSFile = file },
			func(o *oidc.Options) { o.JWKSURL = i.url + "/keys" },
		} {
			o := i.options()
			o.Issuer = issuer
			keys(&o)
			p, err := oidc.New(o)
			if (err == nil) != ok {
				t.Errorf("%q: %v", issuer, err)
			}
			if err != nil {
				continue
			}
			want(t, issuer, outcome(t, p, i.token(claims{"iss": issuer})), "taken")
			want(t, issuer+" with a slash", outcome(t, p, i.token(claims{"iss": issuer + "/"})), "unknown")
		}
	}
	for _, tt := range []struct {
		preset       oidc.Preset
		issuer, want string
	}{
		{"", "api", `"api" is not an https URL, so keys cannot be discovered: set jwks_url to an https URL, or set jwks_file`},
		{"", "http://kubernetes.default.svc", "use https, because anyone who can change the keys in transit can sign tokens; or set jwks_url to an https URL, or set jwks_file"},
		{oidc.Kubernetes, "kubernetes/serviceaccount", `"kubernetes/serviceaccount" is not an https URL, so keys cannot be discovered: ` +
			"set jwks_url: https://kubernetes.default.svc/openid/v1/jwks with ca: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt " +
			"and token_file: /var/run/secrets/kubernetes.io/serviceaccount/token, or a jwks_file"},
	} {
		o := i.options()
		o.Preset, o.Issuer = tt.preset, tt.issuer
		if diff := cmp.Diff(tt.want, problemOf(o, "issuer")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.issuer, diff)
		}
	}
	o := i.options()
	o.Issuer, o.JWKSURL = "api", "http://keys.example.com"
	if problemOf(o, "jwks_url") == "" {
		t.Error("keys are fetched by http")
	}
}
