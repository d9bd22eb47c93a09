package identity_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/secret"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// ownSecret returns a secret of Tidewaiter, of the kind that has this letter (package secret).
func ownSecret(letter byte) string {
	return string(secret.AppendSum([]byte(secret.Prefix + string(letter) + strings.Repeat("0a", secret.RandomLength/2))))
}

func TestClassifyGoesByShape(t *testing.T) {
	signed := b64(`{"alg":"ES256","kid":"k"}`) + "." + b64(`{"sub":"ann"}`) + ".c2ln"
	for _, tt := range []struct {
		name, secret string
		want         identity.Kind
	}{
		{"", "", identity.None},
		{"ann", "", identity.Password}, // an empty password is refused, and never anonymous
		{"", "wonderland", identity.Password},
		{"ann", "wonderland", identity.Password},
		{"ann", "with:colons:in:it", identity.Password},
		{"ann", "two.dots.here", identity.Password},
		{"ann", "..", identity.Password},
		{"ann", b64(`{"alg":1}`) + ".e30.", identity.IDToken},
		{"ann", b64(`{"typ":"JWT"}`) + ".e30.", identity.Password},
		{"ann", b64(`["alg"]`) + ".e30.", identity.Password},
		{"ann", b64(`{"alg":"none"}`) + ".e30", identity.Password},
		{"ann", b64(`{"alg":"dir","enc":"A128GCM"}`) + ".e30.a.b.c", identity.IDToken}, // encrypted
		{"ann", b64(`{"alg":"none"}`) + ".e30.=", identity.Misplaced},
		{"ann", b64(`{"alg":"none"}`) + ".e30.", identity.IDToken}, // the source refuses it
		{"ann", signed, identity.IDToken},
		{"", signed, identity.IDToken},
		{"", signed + "\n", identity.IDToken},
		{"ann", " \t" + signed, identity.IDToken},
		{"ann", signed + strings.Repeat("A", identity.MaxToken), identity.Password},
		{"ann", ownSecret('a'), identity.AccessToken},
		{"", ownSecret('b'), identity.AccessToken},
		{"ann", "\n" + ownSecret('a'), identity.AccessToken},
		{"ann", ownSecret('a')[:30], identity.AccessToken}, // truncated, and never a password
		{"ann", ownSecret('c'), identity.AccessToken},      // a session, which is refused, too
		{"ann", ownSecret('r'), identity.RefreshToken},
		{"<token>", ownSecret('r'), identity.RefreshToken},
		{"ann", "twp_x", identity.Password},
		{"ann", "TWP_" + ownSecret('a')[4:], identity.Password},
		{"ann", `"` + ownSecret('a') + `"`, identity.Misplaced},
		{"ann", "Bearer " + signed, identity.Misplaced},
		{"ann", `{"value":"` + signed + `"}`, identity.Misplaced},
		{"twp_x", "wonderland", identity.Password},
	} {
		if got := identity.NewPresented(tt.name, tt.secret).Kind; got != tt.want {
			t.Errorf("NewPresented(%q, %.60q) has the kind %d, want %d", tt.name, tt.secret, got, tt.want)
		}
	}
}

// golang-jwt CVE-2025-30204, go-jose CVE-2025-27144: huge, malformed tokens took much memory.
// The size must be checked before the token is parsed.
func TestHugeOddTokensCostNothing(t *testing.T) {
	deep := strings.Repeat(`{"alg":`, 400)
	for name, secret := range map[string]string{
		"a megabyte of dots":      strings.Repeat(".", 1<<20),
		"a megabyte of JSON":      b64(strings.Repeat("[", 1<<20)) + ".e30.",
		"a token's worth of dots": strings.Repeat(".", identity.MaxToken),
		"a huge header":           b64(`{"alg":"`+strings.Repeat("x", 8<<10)+`"}`) + ".e30.",
		"nested JSON":             b64(deep) + ".e30.",
	} {
		if got, want := identity.NewPresented("ann", secret).Kind, map[string]identity.Kind{
			// Each of these texts can be a token, so no directory gets it.
			"a huge header": identity.IDToken, "nested JSON": identity.IDToken,
		}[name]; got != max(want, identity.Password) {
			t.Errorf("%s is of the kind %d", name, got)
		}
		allocs := testing.AllocsPerRun(10, func() { identity.NewPresented("ann", secret) })
		// The limit includes allocations of the race detector. One allocation for each byte would
		// exceed the limit.
		if allocs > 500 {
			t.Errorf("%s costs %v allocations", name, allocs)
		}
	}
}

// A text that is a token, or has a token inside other text, is never a password.
func FuzzClassify(f *testing.F) {
	f.Add("ann", "wonderland")
	f.Add("", "")
	f.Add("", "twp_x")
	f.Add("ann", b64(`{"alg":"ES256"}`)+".e30.c2ln")
	f.Add("ann", "...")
	f.Fuzz(func(t *testing.T, name, text string) {
		kind := identity.NewPresented(name, text).Kind
		if (kind == identity.None) != (name == "" && text == "") {
			t.Errorf("%q, %q: kind %d", name, text, kind)
		}
		if kind != identity.Password && kind != identity.None && secret.Misused(text) == "" {
			t.Errorf("%q is of the kind %d, and could be set as a password", text, kind)
		}
		if name != "" && len(text) < identity.MaxToken && identity.NewPresented(name, " "+text).Kind != kind {
			t.Errorf("%q is of another kind if a space precedes it", text)
		}
		if identity.NewPresented("another", text).Kind != kind && kind != identity.None {
			t.Errorf("the kind of %q depends on the name", text)
		}
	})
}

// Harbor GHSA-prh4-vhfh-24mj, zot CVE-2025-48374, Gitea CVE-2026-58511: secrets in logs. The
// test prints a known secret in every way that fmt, encoders and loggers offer.
func TestASecretIsNeverPrinted(t *testing.T) {
	const canary = "canary-4d2e-secret"
	c := identity.NewPresented("ann", canary)
	type wrapped struct {
		Shown   identity.Presented
		Pointer *identity.Presented
		hidden  identity.Presented
		secret  identity.Secret
		List    []identity.Secret
		Map     map[string]identity.Secret
		Any     any
	}
	values := map[string]any{
		"a secret":               c.Secret,
		"credentials":            c,
		"a pointer to them":      &c,
		"a struct of them":       wrapped{c, &c, c, c.Secret, []identity.Secret{c.Secret}, map[string]identity.Secret{"s": c.Secret}, c},
		"an error with a secret": fmt.Errorf("checking %v: %s %q %d", c, c.Secret, c.Secret, c.Secret),
	}
	var log strings.Builder
	loggers := []*slog.Logger{slog.New(slog.NewTextHandler(&log, nil)), slog.New(slog.NewJSONHandler(&log, nil))}
	for what, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%10.3v", "%!"} {
			look(t, what+" with "+verb, canary, fmt.Sprintf(verb, v))
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%s as JSON: %v", what, err)
		}
		look(t, what+" as JSON", canary, string(text))
		for _, logger := range loggers {
			logger.Info("asking", "value", v, "secret", c.Secret, "pointer", &v)
		}
	}
	look(t, "the log", canary, log.String())
	if got := fmt.Sprintf("%v %+v %#v %s %q %x %d", c.Secret, c.Secret, c.Secret, c.Secret, c.Secret, c.Secret, c.Secret); got != strings.TrimSpace(strings.Repeat("[secret] ", 7)) {
		t.Errorf("a secret prints as %s", got)
	}
	if c.Secret.Reveal() != canary || (identity.Secret{}).Reveal() != "" {
		t.Error("Reveal does not return the secret")
	}
}

func look(t *testing.T, where, canary, text string) {
	t.Helper()
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), base64.StdEncoding.EncodeToString([]byte(canary)), canary[:12]} {
		if strings.Contains(text, form) {
			t.Errorf("%s shows the secret: %s", where, text)
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	signed := b64(`{"alg":"ES256","kid":"k"}`) + "." + b64(`{"sub":"ann"}`) + ".c2ln"
	for what, secret := range map[string]string{"password": "wonderland", "token": ownSecret('a'), "JWT": signed} {
		b.Run(what, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				identity.NewPresented("ann", secret)
			}
		})
	}
}
