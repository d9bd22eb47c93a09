package secret_test

import (
	"encoding/base64"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/internal/text/texttest"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func own(letter byte) string {
	return string(secret.AppendSum([]byte(secret.Prefix + string(letter) + strings.Repeat("x7", secret.RandomLength/2))))
}

var (
	signed    = b64(`{"alg":"ES256","kid":"k"}`) + "." + b64(`{"sub":"ann","email":"ann@example.com"}`) + "." + b64("sixty-four bytes of a signature")
	unsigned  = b64(`{"alg":"none"}`) + "." + b64(`{"sub":"ann"}`) + "."
	encrypted = b64(`{"alg":"RSA-OAEP","enc":"A256GCM"}`) + ".a2V5.aXY.dGV4dA.dGFn"
	padded    = base64.URLEncoding.EncodeToString([]byte(`{"alg":"ES256","a":1}`)) + ".e30=." + base64.URLEncoding.EncodeToString([]byte("s"))
)

// wrappings are the forms in which people and programs write tokens.
var wrappings = map[string]func(string) string{
	"":                            func(s string) string { return s },
	" in quotes":                  func(s string) string { return `"` + s + `"` },
	" in quotes ":                 func(s string) string { return " '" + s + "'\n" },
	" after the word Bearer":      func(s string) string { return "Bearer " + s },
	" after the word Basic":       func(s string) string { return "basic " + s },
	" after the word Token":       func(s string) string { return "token " + s },
	" after the word Bearer ":     func(s string) string { return `"Bearer: ` + s + `"` },
	" in JSON":                    func(s string) string { return `{"value":"` + s + `"}` },
	" in JSON ":                   func(s string) string { return `{"count": 1, "value": {"token": "` + s + `"}}` },
	" with other text around it":  func(s string) string { return "TOKEN=" + s },
	" with other text around it ": func(s string) string { return "https://host/" + s + "?x=1" },
	" over several lines":         func(s string) string { return s[:12] + "\n" + s[12:] },
	" in another form":            func(s string) string { return s[:12] + " " + s[12:] },
	" in another form ":           func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:"+s)) },
	" in another form  ":          func(s string) string { return base64.StdEncoding.EncodeToString([]byte("<token>:" + s)) },
	" in another form   ": func(s string) string {
		return "docker/28.2 Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("ann:"+s)) + " (linux)"
	},
	" in another form    ": func(s string) string { return "Basic%20" + base64.URLEncoding.EncodeToString([]byte("ci:"+s)) },
	" in another form     ": func(s string) string {
		return `{"auths":{"r":{"auth":"` + base64.StdEncoding.EncodeToString([]byte(":"+s)) + `"}}}`
	},
	" in another form      ": func(s string) string {
		return `{"agent":"docker ` + s[:12] + `\n` + s[12:20] + `\\r\\n` + s[20:] + ` (linux)"}`
	},
	" over several lines ": func(s string) string {
		return "docker/28.2 " + s[:12] + "\r\n\t" + s[12:20] + "\n" + s[20:] + " (linux)"
	},
	" over several lines  ": func(s string) string {
		e := base64.StdEncoding.EncodeToString([]byte("ann:" + s))
		return "Basic " + e[:10] + "\n" + e[10:21] + "\n" + e[21:]
	},
	" with other text around it   ":   func(s string) string { return "%22" + s + "%22" },
	" with other text around it    ":  func(s string) string { return "eyeyey." + s + ", and more" },
	" with other text around it     ": func(s string) string { return "docker/28.2 go/go1.24 (" + s + ")" },
}

func TestSecretIsFoundInAnyWrapping(t *testing.T) {
	for what, s := range map[string]string{
		"an ID token":                                         signed,
		"a token without a signature":                         unsigned,
		"an encrypted token":                                  encrypted,
		`an ID token with "=" in it`:                          padded,
		"an access token of Tidewaiter":                       own(secret.Access),
		"a robot's secret of Tidewaiter":                      own(secret.Robot),
		"a session of Tidewaiter":                             own(secret.Session),
		"a refresh token of Tidewaiter":                       own(secret.Refresh),
		"a secret for the first administrator of Tidewaiter":  own(secret.Setup),
		"an access token of Tidewaiter with a typing mistake": own(secret.Access)[:secret.Length-3],
	} {
		for how, wrap := range wrappings {
			text := wrap(s)
			f, ok := secret.Find(text)
			if !ok {
				t.Errorf("%s%s is not recognized: %s", what, how, text)
				continue
			}
			want := what + strings.TrimRight(how, " ")
			if got := f.Describe(text); got != want && !(strings.HasPrefix(what, "a token without") && f.Kind == secret.Signed) {
				t.Errorf("%s\n is described as %s, want %s", text, got, want)
			}
			if bare := how == "" && what != `an ID token with "=" in it`; f.Bare(text) != bare {
				t.Errorf("%s: bare is %v", text, !bare)
			}
			got := secret.Redact(text)
			if _, again := secret.Find(got); again || strings.Contains(got, s) || !strings.Contains(got, secret.Mark) {
				t.Errorf("%s\n is redacted to %s", text, got)
			}
			if got := string(secret.RedactBytes([]byte(text))); got != secret.Redact(text) {
				t.Errorf("%s\n is redacted to %s as bytes", text, got)
			}
		}
	}
}

// Find does not decode digests and UUIDs. So the base64 of a secret must never look like a digest
// or a UUID, whatever text precedes the secret.
func TestBase64OfASecretIsNeverHexadecimal(t *testing.T) {
	headers := []string{`{"alg":"none"}`, " {\"alg\":0}", "\t{\"alg\":0}", "\r{\"alg\":0}", "\n{ \"alg\":0}", "{\n\"alg\":0}", "{ \"alg\":0}"}
	begins := []string{own(secret.Access)[:4]}
	for _, h := range headers {
		begins = append(begins, b64(h)[:4])
	}
	for _, begin := range begins {
		for before := range 256 {
			for _, padded := range []string{begin, string(rune(before)) + begin, "xx" + begin, string([]byte{byte(before), byte(before), byte(before)}) + begin} {
				for _, encoded := range []string{b64(padded), base64.StdEncoding.EncodeToString([]byte(padded))} {
					// The base64 of the preceding text can be hexadecimal, so the test examines
					// only the end.
					if end := encoded[max(0, len(padded)-len(begin))*4/3:]; strings.Trim(end, "0123456789abcdef-=") == "" {
						t.Errorf("%q is %q", padded, encoded)
					}
				}
			}
		}
	}
}

// The checksum is the CRC-32 of IEEE 802.3, because scanners of source code expect this
// checksum.
func TestChecksumIsThatOfIEEE(t *testing.T) {
	text := secret.Prefix + "a" + strings.Repeat("x7", secret.RandomLength/2)
	sum, digits := crc32.ChecksumIEEE([]byte(text)), ""
	for range 6 {
		digits = string(secret.Alphabet[sum%62]) + digits
		sum /= 62
	}
	if got := string(secret.AppendSum([]byte(text))); got != text+digits {
		t.Errorf("got %s, want %s", got, text+digits)
	}
}

func TestEachSecretIsRedacted(t *testing.T) {
	text := "a " + signed + ", b " + own('a') + own('b') + " and\n" + encrypted + "; c"
	if got, want := secret.Redact(text), "a [secret], b [secret][secret] and\n[secret]; c"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOtherTextIsNotASecret(t *testing.T) {
	for _, text := range []string{
		"", "wonderland", "two.dots.here", "..", "twp_", "twp_x", "twp_answer-to-everything-is-42", "eyJ", "eyJhbGciOiJFUzI1NiJ9",
		b64(`{"alg":"none"}`) + ".e30", b64(`{"typ":"JWT"}`) + ".e30.x", b64(`["alg"]`) + ".e30.x", "eyes.on.the.prize.eyeballs.ewe",
		"docker/28.2.2 go/go1.24.3 git-commit/45873be kernel/6.8.0-60-generic os/linux arch/amd64 UpstreamClient(Docker-Client/28.2.2 \\(linux\\))",
	} {
		if f, ok := secret.Find(text); ok {
			t.Errorf("%q is found to be %s", text, f.Describe(text))
		}
		if got := secret.Redact(text); got != text {
			t.Errorf("%q is redacted to %q", text, got)
		}
	}
}

// No random password of printable characters is refused.
func TestRandomPasswordsAreNotSecrets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chars := rapid.SampledFrom([]string{
			" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~",
			secret.Alphabet, secret.Alphabet + "-_", "eyJw.=", "äöüß€日本語.eyJ ",
		}).Draw(t, "characters")
		password := rapid.StringOfN(rapid.SampledFrom([]rune(chars)), 8, 64, -1).Draw(t, "password")
		if f, ok := secret.Find(password); ok {
			t.Fatalf("%q is found to be %s", password, f.Describe(password))
		}
		if secret.Redact(password) != password {
			t.Fatalf("%q is redacted", password)
		}
	})
}

// No part of a secret remains. The text can have many secrets and other text. White space can be
// at any place in a secret.
func TestEverythingFoundIsRemoved(t *testing.T) {
	var wraps []func(string) string
	for _, how := range slices.Sorted(maps.Keys(wrappings)) {
		wraps = append(wraps, wrappings[how])
	}
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		for range rapid.IntRange(1, 3).Draw(t, "secrets") {
			s := rapid.SampledFrom([]string{signed, unsigned, encrypted, padded, own(secret.Access), own(secret.Robot)}).Draw(t, "secret")
			s = rapid.SampledFrom(wraps).Draw(t, "wrapping")(s)
			for range rapid.IntRange(0, 3).Draw(t, "breaks") {
				at := rapid.IntRange(0, len(s)).Draw(t, "at")
				s = s[:at] + rapid.SampledFrom([]string{" ", "\n", "\r\n ", "\t"}).Draw(t, "break") + s[at:]
			}
			text.WriteString(rapid.SampledFrom([]string{"", " ", "docker/28.2 (", ", ", "\n", "eyJ.", "twp_"}).Draw(t, "between"))
			text.WriteString(s)
		}
		if _, ok := secret.Find(text.String()); !ok {
			t.Skip("text before the secret changes its form")
		}
		got := secret.Redact(text.String())
		if f, ok := secret.Find(got); ok {
			t.Fatalf("%q\n is redacted to %q, with %s in it", text.String(), got, f.Describe(got))
		}
		if string(secret.RedactBytes([]byte(text.String()))) != got {
			t.Fatalf("%q is redacted to something else as bytes", text.String())
		}
	})
}

// Terminals and copying can insert white space at any place of a token.
func TestNothingRemainsOfABrokenSecret(t *testing.T) {
	long := signed + strings.Repeat("c2lnbmF0dXJl", 8)
	for _, s := range []string{long, encrypted, own(secret.Access), own(secret.Robot)} {
		for width := 1; width < len(s); width++ {
			var text strings.Builder
			text.WriteString("client ")
			for i := 0; i < len(s); i += width {
				text.WriteString(s[i:min(i+width, len(s))] + "\n")
			}
			got := secret.Redact(text.String() + "(linux)")
			rest := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(got, "client "), "(linux)"), secret.Mark, "")
			if rest = strings.TrimSpace(rest); strings.HasPrefix(s, secret.Prefix) && rest != "" || len(rest) >= 20 {
				t.Errorf("every %d letters: %q is redacted to %q", width, text.String(), got)
			}
		}
	}
}

// A token after many decoys is neither sent to another service nor stored.
func TestDecoysHideNoSecret(t *testing.T) {
	object := b64(`{"a":1}`)
	nested := b64(strings.Repeat(`{"a":`, 60))
	for what, decoys := range map[string]string{
		"candidates":             strings.Repeat("eyJhbGciOiJ ", 40),
		"candidates in one part": strings.Repeat("eyJhbGciOiJ", 40),
		"parts":                  strings.Repeat("eyJhbGciOiJ.", 40),
		"objects without alg":    strings.Repeat(object+".e30.e30 ", 40),
		"objects, one part each": strings.Repeat(object+".", 40),
		"nested objects":         nested,
		"long":                   strings.Repeat("eyJhbGciOiJ", 4000),
	} {
		for _, s := range []string{signed, unsigned, encrypted, own(secret.Access)} {
			text := decoys + s
			if _, ok := secret.Find(text); !ok {
				t.Errorf("%s hide %s", what, s)
			}
			got := secret.Redact(text)
			if strings.Contains(got, s) || strings.Contains(got, s[len(s)-20:]) {
				t.Errorf("%s hide %s: %s", what, s, got)
			}
		}
	}
}

// The time is linear in the length. The test counts allocations instead of steps, because each
// possible secret that is examined costs some allocations.
func TestScanningIsLinear(t *testing.T) {
	for what, text := range map[string]string{
		"candidates":          strings.Repeat("eyJhbGciOiJ", 700),
		"candidates and dots": strings.Repeat("eyJhbGciOiJ.", 700),
		"objects without alg": strings.Repeat(b64(`{"a":1}`)+".e30.e30 ", 500),
		"prefixes":            strings.Repeat("twp_a", 1500),
		"white space":         strings.Repeat("e y.J ", 1000),
		"broken secrets":      strings.Repeat(own('a')[:12]+" "+own('a')[12:]+" ", 200),
	} {
		count := func(text string) float64 {
			return testing.AllocsPerRun(5, func() { secret.Find(text); secret.Redact(text) })
		}
		once, twice := count(text), count(text+text)
		if twice > 2*once+50 || twice > float64(2*len(text)) {
			t.Errorf("%s: %v allocations, but %v for a text that is twice as long", what, once, twice)
		}
	}
}

func TestPasswordsAndOwnSecretsAllocateNothing(t *testing.T) {
	for _, text := range []string{own('a'), "wonderland", "correct horse battery staple", "with.some.dots and_more", strings.Repeat("x", 64), "docker/28.2.2 go/go1.24.3 git-commit/45873be os/linux"} {
		if n := testing.AllocsPerRun(100, func() { secret.Find(text) }); n > 0 {
			t.Errorf("%q costs %v allocations", text, n)
		}
	}
}

func FuzzFind(f *testing.F) {
	for _, s := range []string{signed, unsigned, encrypted, padded, own('a'), "wonderland", "eyJ..", `{"value":"` + signed + `"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		found, ok := secret.Find(text)
		if ok && !found.Hidden && (found.Begin < 0 || found.Begin >= found.End || found.End > len(text)) {
			t.Errorf("%q: the found secret is at %d to %d", text, found.Begin, found.End)
		}
		if ok {
			found.Describe(text)
		}
		redacted := secret.Redact(text)
		if _, ok := secret.Find(redacted); ok {
			t.Errorf("%q is redacted to %q, with a secret in it", text, redacted)
		}
		if string(secret.RedactBytes([]byte(text))) != redacted {
			t.Errorf("%q is redacted to something else as bytes", text)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	for what, text := range map[string]string{"password": "correct horse battery staple", "user agent": "docker/28.2.2 go/go1.24.3 git-commit/45873be kernel/6.8.0-60-generic os/linux", "digest": "sha256:" + strings.Repeat("0f1e2d3c", 8), "token": own('a'), "JWT": signed} {
		b.Run(what, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				secret.Find(text)
			}
		})
	}
}

func TestBriefIsSafeToShow(t *testing.T) {
	for _, h := range texttest.All {
		if s := secret.Brief(h.Text, 100); !text.Printable(s) || len(s) > 400 {
			t.Errorf("%s: %q", h.Harm, s)
		}
	}
	if s := secret.Brief(strings.Repeat("x", 95)+" "+signed, 100); strings.Contains(s, signed[:10]) {
		t.Errorf("a part of a truncated secret is shown: %q", s)
	}
}
