package oidc_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
)

// Any input is either refused, or parsed in the same way as by the standard library. Authenticate
// must never accept such an input, because it has no valid signature.
func FuzzRead(f *testing.F) {
	i := newIssuer(f)
	p := i.provider()
	good := i.token()
	for _, seed := range []string{
		good, "", "..", "a.b.c", b64(`{"alg":"ES256"}`) + ".e30.AA", b64(`{"alg":"none"}`) + ".e30.", good + "=", good + ".x",
		b64(`{"alg":"ES256","kid":"one","crit":["x"]}`) + "." + b64(`{"iss":"x"}`) + ".AA", strings.Replace(good, ".", "\n.", 1),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		alg, kid, claims, err := oidc.Read(raw)
		if err != nil {
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 1000 {
				t.Errorf("the error contains %q", err)
			}
			return
		}
		if len(raw) > identity.MaxToken || strings.Count(raw, ".") != 2 || len(kid) > 512 || !strings.Contains("RS256 RS384 RS512 ES256 ES384 ES512 PS256 PS384 PS512 EdDSA", alg) {
			t.Errorf("%q is read, with %q and %q", raw, alg, kid)
		}
		text, err := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[1])
		if err != nil {
			t.Fatalf("%q is read: %v", raw, err)
		}
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber()
		var again map[string]any
		if err := d.Decode(&again); err != nil {
			t.Fatalf("%q is read: %v", raw, err)
		}
		if diff := cmp.Diff(again, claims); diff != "" {
			t.Errorf("%q (-encoding/json +read):\n%s", text, diff)
		}
		if v, err := show(t, p, raw); err == nil && raw != good {
			// A valid token with white space around it is accepted, because white space is
			// ignored.
			if strings.TrimSpace(raw) != good {
				t.Errorf("%q is accepted as %v", raw, v.Principal)
			}
		}
	})
}

// Keys from a JWKS never cause a panic.
func FuzzKeys(f *testing.F) {
	i := newIssuer(f)
	text, _ := json.Marshal(claims{"keys": []any{i.key.public("sig")}})
	for _, seed := range []string{
		string(text), `{}`, `{"keys":[]}`, `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`, `{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA"}]}`, `{"keys":[{"kty":"RSA","n":"","e":"","x5c":["AA"]}]}`, `{"keys":[null,1,"x"]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, k := range oidc.ParseKeys(text) {
			if len(k.Algorithms) == 0 {
				t.Errorf("%s has a key without algorithms", text)
			}
			for _, alg := range k.Algorithms {
				if strings.HasPrefix(alg, "HS") || alg == "none" {
					t.Errorf("%s has a key for %s", text, alg)
				}
			}
			if err := k.Try(); err == nil {
				t.Errorf("%s has a key that verifies a wrong signature", text)
			}
		}
	})
}

// Different claims never yield the same name.
func TestTemplatesAreUnambiguous(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		template := rapid.SampledFrom([]string{"{a}/{b}", "x:{a}:{b}", "{a}::{b}", "{a}é{b}", "{a}-/{b}!", "{a}/{b}/{c}"}).Draw(t, "template")
		value := rapid.StringMatching(`[a:/é\-!]{0,4}`)
		draw := func(label string) map[string]any {
			return map[string]any{"a": value.Draw(t, label+"a"), "b": value.Draw(t, label+"b"), "c": value.Draw(t, label+"c")}
		}
		one, two := draw("1"), draw("2")
		if !strings.Contains(template, "{c}") {
			one["c"], two["c"] = "", ""
		}
		first, err := oidc.Expand(template, one)
		if err != nil {
			t.Fatal(err)
		}
		second, _ := oidc.Expand(template, two)
		if len(first) == 1 && len(second) == 1 && first[0] == second[0] && !cmp.Equal(one, two) {
			t.Errorf("%s of %v and of %v is %q", template, one, two, first[0])
		}
	})
}

func TestListsInTemplates(t *testing.T) {
	values := map[string]any{"list": []any{"a", json.Number("7"), true, ""}, "other": []any{"x", "y"}, "one": "z", "empty": []any{}, "mixed": []any{"a", nil}, "object": map[string]any{}}
	for _, tt := range []struct {
		template string
		want     []string
	}{
		{"{list}", []string{"a", "7", "true"}},
		{"g:{list}@{one}!", []string{"g:a@z!", "g:7@z!", "g:true@z!"}},
		{"{one}/{list}", []string{"z/a", "z/7", "z/true"}},
		{"{list}/{other}", nil}, // the product of lists is not supported
		{"{empty}", []string{}},
		{"{mixed}", []string{}},
		{"{object}", nil},
		{"{missing}", nil},
		{"constant", []string{"constant"}},
	} {
		got, err := oidc.Expand(tt.template, values)
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", tt.template, err, diff)
		}
	}
}

// The patterns of require agree with a slow, obviously correct matcher.
func TestPatternsOfRequire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`([ab/.\[+]|\*|\*\*[ab/]){0,7}`).Draw(t, "pattern")
		text := rapid.StringMatching(`[ab/.\[+\n*]{0,8}`).Draw(t, "text")
		if got, want := oidc.Glob(pattern, text), slowGlob(pattern, text); got != want {
			t.Errorf("%q of %q: %t, want %t", pattern, text, got, want)
		}
	})
}

func slowGlob(pattern, text string) bool {
	switch {
	case pattern == "":
		return text == ""
	case strings.HasPrefix(pattern, "**"):
		for i := range len(text) + 1 {
			if slowGlob(pattern[2:], text[i:]) {
				return true
			}
		}
		return false
	case pattern[0] == '*':
		for i := range len(text) + 1 {
			if slowGlob(pattern[1:], text[i:]) {
				return true
			}
			if i < len(text) && text[i] == '/' {
				return false
			}
		}
		return false
	}
	return text != "" && pattern[0] == text[0] && slowGlob(pattern[1:], text[1:])
}

func BenchmarkAuthenticate(b *testing.B) {
	i := newIssuer(b)
	p, raw := i.provider(), i.token()
	c := identity.Presented{Kind: identity.IDToken, Secret: identity.NewSecret(raw)}
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := p.Authenticate(b.Context(), c); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ES256", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Forget()
			if _, err := p.Authenticate(b.Context(), c); err != nil {
				b.Fatal(err)
			}
		}
	})
}
