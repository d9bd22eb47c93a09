package oidc_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
	"github.com/tidewaiter/tidewaiter/internal/identity/setting"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// refuse presents tokens that must all be refused.
func refuse(t *testing.T, p *oidc.Provider, tokens map[string]string) {
	t.Helper()
	for what, raw := range tokens {
		v, err := show(t, p, raw)
		if v.Principal != nil || !errors.Is(err, identity.ErrRejected) && !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("%s: %v, %v, want a refusal", what, v.Principal, err)
		}
	}
}

// In CVE-2025-24976 of distribution, the key was taken from the token itself. In Tidewaiter, a
// token never supplies its key and never causes a request to an address in the token.
func TestAKeyIsNeverTakenFromTheToken(t *testing.T) {
	i := newIssuer(t)
	p := i.provider()
	if _, err := show(t, p, i.token()); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	evil := newKey(t, "evil")
	jwks, _ := json.Marshal(claims{"keys": []any{evil.public("sig")}})
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write(jwks)
	}))
	defer elsewhere.Close()

	known := signing{"one", jose.ES256, evil.key} // the issuer's kid with another key
	unnamed := signing{"", jose.ES256, evil.key}
	tokens := map[string]string{
		"another key with the issuer's key id": known.sign(t, i.claims()),
		"another key without a key id":         unnamed.sign(t, i.claims()),
		"another key with its own key id":      evil.sign(t, i.claims()),
		"a list instead of a key id":           unnamed.sign(t, i.claims(), claims{"kid": []string{"one"}}),
		"a path instead of a key id":           unnamed.sign(t, i.claims(), claims{"kid": "../../../../dev/null"}),
		"a very long key id":                   unnamed.sign(t, i.claims(), claims{"kid": strings.Repeat("x", 1000)}),
	}
	for _, key := range []signing{known, unnamed} {
		what := "under the id " + key.kid + " "
		tokens[what+"jwk"] = key.sign(t, i.claims(), claims{"jwk": evil.public("sig")})
		tokens[what+"jku"] = key.sign(t, i.claims(), claims{"jku": elsewhere.URL})
		tokens[what+"x5u"] = key.sign(t, i.claims(), claims{"x5u": elsewhere.URL})
		tokens[what+"x5c"] = key.sign(t, i.claims(), claims{"x5c": []string{"AAAA"}})
	}
	embedded, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: evil.key}}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := json.Marshal(i.claims())
	signed, err := embedded.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	tokens["its own jwk, as go-jose embeds it"], _ = signed.CompactSerialize()
	refuse(t, p, tokens)
	if n := asked.Load(); n > 0 {
		t.Errorf("an address that a token names was asked %d times", n)
	}
}

// The algorithm depends on the key, never on the token.
func TestTheKeyDeterminesTheAlgorithm(t *testing.T) {
	i := newIssuer(t)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey := signing{"rsa", jose.RS256, private}
	only := rsaKey.public("sig")
	free := jose.JSONWebKey{Key: &private.PublicKey, KeyID: "free"}
	i.publish(i.key.public("sig"), only, free)
	p := i.provider()
	for _, tt := range []struct {
		alg jose.SignatureAlgorithm
		kid string
		ok  bool
	}{
		// The key has alg RS256.
		{jose.RS256, "rsa", true}, {jose.RS512, "rsa", false}, {jose.PS256, "rsa", false},
		{jose.RS256, "free", true}, {jose.RS384, "free", true}, {jose.RS512, "free", true}, {jose.PS256, "free", true}, {jose.PS384, "free", true}, {jose.PS512, "free", true},
		{jose.RS256, "one", false}, {jose.RS256, "", true},
	} {
		_, err := show(t, p, signing{tt.kid, tt.alg, private}.sign(t, i.claims()))
		if (err == nil) != tt.ok {
			t.Errorf("%s with the key id %q: %v, want valid: %t", tt.alg, tt.kid, err, tt.ok)
		}
	}

	// The public key is known to everyone. If it were accepted as a shared secret, anyone could
	// sign tokens.
	der, _ := x509.MarshalPKIXPublicKey(&private.PublicKey)
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	tokens := map[string]string{}
	for _, alg := range []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512} {
		for _, secret := range [][]byte{der, text, bytes.TrimSpace(text), private.N.Bytes(), bytes.Repeat([]byte{0}, 64)} {
			for _, kid := range []string{"rsa", "free", ""} {
				tokens[string(alg)+kid+b64(string(secret))[:40]] = signing{kid, alg, append(secret, make([]byte, 64)...)}.sign(t, i.claims())
			}
		}
	}
	payload, _ := json.Marshal(i.claims())
	good := i.token()
	signature := good[strings.LastIndexByte(good, '.')+1:]
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "", "HS256", "es256", "ES256K", "RS1", "ES256 ", "dir", "RSA-OAEP"} {
		for _, sig := range []string{"", "AA", signature} {
			tokens["alg "+alg+" with the signature "+sig] = b64(`{"alg":"`+alg+`","kid":"one"}`) + "." + b64(string(payload)) + "." + sig
		}
	}
	for what, header := range map[string]string{
		"no alg": `{"kid":"one"}`, "a list of algs": `{"alg":["ES256"],"kid":"one"}`, "two algs": `{"alg":"none","alg":"ES256","kid":"one"}`,
		"two algs, the other way": `{"alg":"ES256","alg":"none","kid":"one"}`, "an alg in other letters": `{"Alg":"ES256","ALG":"none"}`,
		"no object": `["ES256"]`, "null": `null`, "more behind it": `{"alg":"ES256"} {}`,
	} {
		tokens[what] = b64(header) + "." + b64(string(payload)) + "." + signature
	}
	refuse(t, p, tokens)

	narrow := i.provider(func(o *oidc.Options) { o.Algorithms = []string{"RS256"} })
	refuse(t, narrow, map[string]string{"an algorithm that the settings leave out": i.token()})
}

func TestAKeyThatIsNotForTokensIsNotUsed(t *testing.T) {
	i := newIssuer(t)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	unnamed, _ := rsa.GenerateKey(rand.Reader, 2048)
	encrypting := newKey(t, "encrypting")
	secret := bytes.Repeat([]byte("k"), 64)
	i.publish(
		i.key.public("sig"),
		encrypting.public("enc"),
		claims{"kty": "oct", "kid": "shared", "alg": "HS256", "k": base64.RawURLEncoding.EncodeToString(secret)},
		jose.JSONWebKey{Key: &small.PublicKey, KeyID: "small"},
		jose.JSONWebKey{Key: &p384.PublicKey, KeyID: "p384"},
		jose.JSONWebKey{Key: ed.Public(), KeyID: "ed"},
		jose.JSONWebKey{Key: unnamed.Public(), Use: "sig"},
		jose.JSONWebKey{Key: newKey(t, "").key, KeyID: "private", Algorithm: "ES256"},
		claims{"kty": "EC", "kid": "p224", "crv": "P-224", "x": base64.RawURLEncoding.EncodeToString(p224.X.Bytes()), "y": base64.RawURLEncoding.EncodeToString(p224.Y.Bytes())},
		claims{"kty": "future"}, "no key", 7, nil, claims{},
	)
	p := i.provider()
	for _, s := range []signing{i.key, {"ed", jose.EdDSA, ed}, {"p384", jose.ES384, p384}, {"", jose.RS256, unnamed}, {"any", jose.RS256, unnamed}} {
		if _, err := show(t, p, s.sign(t, i.claims())); err != nil {
			t.Errorf("%s: %v", s.kid, err)
		}
	}
	refuse(t, p, map[string]string{
		"a key for encryption":    encrypting.sign(t, i.claims()),
		"a shared secret":         signing{"shared", jose.HS256, secret}.sign(t, i.claims()),
		"a key that is too short": signing{"small", jose.RS256, small}.sign(t, i.claims()),
	})
}

// Dex GO-2026-5231, and Quay's federation without an audience: a token for another service was
// accepted.
func TestATokenMustBeForOurAudienceOnly(t *testing.T) {
	i := newIssuer(t)
	const us = "https://auth.example.com"
	p := i.provider(func(o *oidc.Options) { o.Audience = []string{us, "tidewaiter"} })
	for _, tt := range []struct {
		what string
		aud  any
		ok   bool
	}{
		{"us", us, true},
		{"our other name", "tidewaiter", true},
		{"us, in a list", []string{us}, true},
		{"both our names", []string{us, "tidewaiter"}, true},
		{"nobody", nil, false},
		{"an empty text", "", false},
		{"an empty list", []string{}, false},
		{"another", "sts.amazonaws.com", false},
		{"us and another", []string{us, "sts.amazonaws.com"}, false},
		{"another and us", []string{"sts.amazonaws.com", us}, false},
		{"us with a slash", us + "/", false},
		{"us in other case", strings.ToUpper(us), false},
		{"everybody", "*", false},
		{"us in a list in a list", []any{[]string{us}}, false},
		{"us and a number", []any{us, 7}, false},
		{"us as an object", claims{us: us}, false},
		{"both in one text", us + " tidewaiter", false},
	} {
		_, err := show(t, p, i.token(claims{"aud": tt.aud}))
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, identity.ErrRejected) && !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("a token for %s: %v, want valid: %t", tt.what, err, tt.ok)
		}
	}
	o := i.options()
	for _, audience := range [][]string{nil, {}, {""}, {" x"}} {
		if o.Audience = audience; problemOf(o, "audience") == "" {
			t.Errorf("the audience %q is accepted", audience)
		}
	}
}

func problemOf(o oidc.Options, field string) string {
	_, err := oidc.New(o)
	problems, _ := errors.AsType[setting.Problems](err)
	for _, p := range problems {
		if p.Field == field {
			return p.Text
		}
	}
	return ""
}

func TestATokenIsValidInItsLifetimeOnly(t *testing.T) {
	i := newIssuer(t)
	day := i.provider(func(o *oidc.Options) { o.MaxAge = 24 * time.Hour })
	at := func(d time.Duration) int64 { return i.Now().Add(d).Unix() }
	const none = time.Duration(-1 << 62)
	for _, tt := range []struct {
		what          string
		iat, nbf, exp time.Duration
		until         time.Duration // 0: refused
	}{
		{"just now", 0, 0, 5 * time.Minute, 5 * time.Minute},
		{"expired within the leeway", -10 * time.Minute, none, -59 * time.Second, -59 * time.Second},
		{"expired before the leeway", -10 * time.Minute, none, -61 * time.Second, none},
		{"begins within the leeway", 0, 59 * time.Second, time.Hour, time.Hour},
		{"begins after the leeway", 0, 61 * time.Second, time.Hour, none},
		{"issued within the leeway", 59 * time.Second, none, time.Hour, time.Hour},
		{"issued after the leeway", 61 * time.Second, none, time.Hour, none},
		{"never expires", 0, 0, none, none},
		{"lives for years", -time.Hour, none, 24 * 365 * time.Hour, 23 * time.Hour},
		{"is a day old", -24 * time.Hour, none, time.Hour, 0},
		{"is older than a day", -24*time.Hour - 61*time.Second, none, time.Hour, none},
		{"without an issue time, expires soon", none, none, time.Hour, time.Hour},
		{"without an issue time, expires much later", none, none, 25 * time.Hour, none},
	} {
		c := claims{"iat": nil, "nbf": nil, "exp": nil}
		for name, d := range map[string]time.Duration{"iat": tt.iat, "nbf": tt.nbf, "exp": tt.exp} {
			if d != none {
				c[name] = at(d)
			}
		}
		v, err := show(t, day, i.token(c))
		switch {
		case tt.until == none:
			if !errors.Is(err, identity.ErrRejected) {
				t.Errorf("%s: %v, want %v", tt.what, err, identity.ErrRejected)
			}
		case err != nil || !v.Until.Equal(i.Now().Add(tt.until)):
			t.Errorf("%s: until %s, %v, want %s", tt.what, v.Until, err, i.Now().Add(tt.until))
		}
	}
	for _, odd := range []any{"1700000000", "", true, -1, 0, 1e300, []int{1}, claims{}, i.Now().Format(time.RFC3339), json.RawMessage("1e999"), int64(1) << 62} {
		for _, name := range []string{"exp", "nbf", "iat"} {
			if _, err := show(t, day, i.token(claims{name: odd})); !errors.Is(err, identity.ErrRejected) {
				t.Errorf("%s: %v: %v, want %v", name, odd, err, identity.ErrRejected)
			}
		}
	}
	if _, err := show(t, day, i.token(claims{"exp": float64(at(time.Minute)) + 0.5})); err != nil {
		t.Errorf("an exp with a fraction: %v", err)
	}
}

// If a claim occurs twice, one program could use the first value and another program the last.
func TestADuplicateClaimIsRefused(t *testing.T) {
	i := newIssuer(t)
	p := i.provider(func(o *oidc.Options) { o.Principal = "{sub}" })
	rest := `"iss":"` + i.url + `","aud":"https://auth.example.com","exp":` + sprint(i.Now().Unix()+60)
	sign := func(body string) string { return i.key.sign(t, []byte(body)) }
	if _, err := show(t, p, sign(`{"sub":"ann",`+rest+`}`)); err != nil {
		t.Fatal(err)
	}
	refuse(t, p, map[string]string{
		"two subs":              sign(`{"sub":"ann","sub":"bob",` + rest + `}`),
		"two subs, one escaped": sign(`{"sub":"ann","\u0073ub":"bob",` + rest + `}`),
		"the same sub twice":    sign(`{"sub":"ann",` + rest + `,"sub":"ann"}`),
		"two of one inside":     sign(`{"sub":"ann","x":{"y":1,"y":2},` + rest + `}`),
		"two of one in a list":  sign(`{"sub":"ann","x":[{"y":1,"y":2}],` + rest + `}`),
		"SUB in place of sub":   sign(`{"SUB":"ann",` + rest + `}`),
		"no UTF-8":              sign("{\"sub\":\"an\xff\"," + rest + `}`),
		"no object":             sign(`[{"sub":"ann",` + rest + `}]`),
		"more behind it":        sign(`{"sub":"ann",` + rest + `}{}`),
		"no JSON":               sign(`sub=ann`),
		"a comma too many":      sign(`{"sub":"ann",` + rest + `,}`),
	})
	v, err := show(t, p, sign(`{"SUB":"bob","Sub":"bob","sub":"ann",`+rest+`}`))
	if err != nil || v.Principal.Name != "ann" {
		t.Errorf("names in other case are different claims: %v, %v", v.Principal, err)
	}
}

func TestATokenOfAnotherKindIsRefused(t *testing.T) {
	i := newIssuer(t)
	p := i.provider()
	for _, typ := range []any{"JWT", "jwt", "application/jwt", "JOSE"} {
		if _, err := show(t, p, i.key.sign(t, i.claims(), claims{"typ": typ})); err != nil {
			t.Errorf("typ %v: %v", typ, err)
		}
	}
	untyped := signing{i.key.kid, i.key.alg, i.key.key}.sign(t, i.claims(), claims{"typ": nil})
	if _, err := show(t, p, untyped); err != nil {
		t.Errorf("no typ: %v", err)
	}
	tokens := map[string]string{}
	for _, typ := range []any{"at+jwt", "application/at+jwt", "logout+jwt", "secevent+jwt", "kb+jwt", "dpop+jwt", "JWE", "", 7, []string{"JWT"}} {
		tokens["typ "+sprint(typ)] = i.key.sign(t, i.claims(), claims{"typ": typ})
	}
	for _, header := range []claims{{"crit": []string{"exp"}, "exp": 1}, {"crit": []string{}}, {"b64": true}, {"zip": "DEF"}, {"enc": "A128GCM"}} {
		tokens["header "+sprint(header)] = i.key.sign(t, i.claims(), header)
	}
	refuse(t, p, tokens)
}

// golang-jwt CVE-2025-30204, go-jose CVE-2025-27144: huge, malformed tokens took much memory.
// The size must be checked before the token is parsed.
func TestHugeTokensAreCheap(t *testing.T) {
	i := newIssuer(t)
	p := i.provider()
	header := b64(`{"alg":"ES256","kid":"one"}`)
	tokens := map[string]string{
		"a megabyte of dots":           strings.Repeat(".", 1<<20),
		"a token's worth of dots":      strings.Repeat(".", identity.MaxToken),
		"a megabyte of claims":         header + "." + b64(`{"x":"`+strings.Repeat("x", 1<<20)+`"}`) + ".AA",
		"a megabyte of signature":      header + ".e30." + strings.Repeat("A", 1<<20),
		"a megabyte of header":         b64(`{"alg":"`+strings.Repeat("x", 1<<20)+`"}`) + ".e30.AA",
		"nested lists":                 header + "." + b64(strings.Repeat("[", 10_000)) + ".AA",
		"nested lists that end":        header + "." + b64(`{"x":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+`}`) + ".AA",
		"nested objects":               header + "." + b64(strings.Repeat(`{"a":`, 2000)+"1"+strings.Repeat("}", 2000)) + ".AA",
		"a nested header":              b64(`{"alg":"ES256","x":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`}`) + ".e30.AA",
		"claims nested by nine levels": i.token(claims{"x": json.RawMessage(strings.Repeat("[", 9) + strings.Repeat("]", 9))}),
		"a header of five kilobytes":   i.key.sign(t, i.claims(), claims{"x": strings.Repeat("x", 5000)}),
		"padding":                      header + "=." + "e30=" + ".AA==",
		"not base64url":                header + ".e3$.AA",
	}
	refuse(t, p, tokens)
	for what, raw := range tokens {
		c := identity.Presented{Kind: identity.IDToken, Secret: identity.NewSecret(raw)}
		if n := testing.AllocsPerRun(5, func() { _, _ = p.Authenticate(t.Context(), c) }); n > 200 {
			t.Errorf("%s costs %v allocations", what, n)
		}
	}
	if n := i.count("/keys"); n != 0 {
		t.Errorf("the issuer was asked %d times", n)
	}
}

// A token without a kid must not be tried with a hundred keys, because anyone can send tokens and
// each try costs a signature check.
func TestATokenWithoutAKidIsTriedWithFewKeys(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what          string
		named, others int // additional keys of the issuer: with a kid, and without a kid
		kid, wants    string
	}{
		{"no kid, and four keys fit", 3, 0, "", "taken"},
		{"no kid, and five keys fit", 4, 0, "", "it has no kid, and its issuer has 5 keys for ES256"},
		{"no kid, and no key has an id", 0, 4, "", "it has no kid, and its issuer has 5 keys for ES256"},
		{"a kid, and four keys fit", 90, 3, "one", "taken"},
		{"a kid, and many keys have no id", 0, 80, "one", "taken"},
		{"an unknown kid, and few keys have no id", 0, 4, "two", "its signature is wrong"},
		{"an unknown kid, and many keys have no id", 0, 5, "two", `its issuer has 5 keys that may be "two" for ES256`},
	} {
		i := newIssuer(t)
		signer, rsa := i.key, signing{"", jose.RS256, private} // the RSA key does not fit
		signer.kid = tt.kid
		published := []any{}
		for n := range tt.named {
			published = append(published, newKey(t, fmt.Sprint("other ", n)).public("sig"))
		}
		for range tt.others {
			published = append(published, newKey(t, "").public("sig"))
		}
		published = append(published, rsa.public("sig"), rsa.public("sig"), rsa.public("sig"))
		own := signer.public("sig")
		if tt.kid == "two" {
			own.KeyID = "one"
		}
		i.publish(append(published, own)...)
		log := new(await.Log)
		p := i.provider(func(o *oidc.Options) { o.Log = slog.New(slog.NewTextHandler(log, nil)) })
		_, err := show(t, p, signer.sign(t, i.claims()))
		if tt.wants == "taken" {
			if err != nil {
				t.Errorf("%s: %v", tt.what, err)
			}
			continue
		}
		if !errors.Is(err, identity.ErrRejected) || identity.Reason(err) != tt.wants {
			t.Errorf("%s: %v: %s, want %s", tt.what, err, identity.Reason(err), tt.wants)
		}
		if errors.Is(err, identity.ErrNeverValid) && tt.kid == "" {
			t.Errorf("%s: the error is ErrNeverValid, but the issuer can withdraw keys", tt.what)
		}
		if log.Count("ID token refused") != 1 {
			t.Errorf("%s: the log does not have the reason: %s", tt.what, log)
		}
	}
}
