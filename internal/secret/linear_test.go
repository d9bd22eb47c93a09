package secret

import (
	"encoding/base64"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var (
	base64Of = base64.RawURLEncoding.EncodeToString
	complete = string(AppendSum([]byte(Prefix + "a" + strings.Repeat("x7", RandomLength/2))))
	cut      = complete[:minCut]
	object   = base64Of([]byte(`{"alg":"ES256"}`))
	spaced   = base64Of([]byte(" \n{\"alg\":\"ES256\"}"))
)

// pieces are parts of secrets, texts that look like secrets, and texts that can break secrets.
var pieces = func() []string {
	all := []string{
		complete, complete[:30], cut, complete[:minCut-1], complete[5:], Prefix, "twp_a", Mark,
		object, spaced, object + ".e30.x", spaced + ".e30.x", object + ".e30.", "." + strings.Repeat("c2ln", 6),
		"eyJhbGciOiJ", "eyJ", "ewo", "ew0", "ICB7", "Cg", "DQ", "SUNC", "Q2c", "SUNB", "e30", "eyJhIjoxfQ.e30.e30 ",
		".", "..", "=", "==", "-", "_", "+", "/", "0f1e2d3c", "x", "%20", "Basic ", `"`, "é", "\x00",
		" ", "\n", "\r\n\t", `\n`, `\\n`, `\`, `\\\\`, `\\r\\n`,
	}
	// These are secrets in base64, at each position in a group of three bytes, and in base64 of
	// base64.
	for _, s := range []string{complete, object + ".e30.x", spaced + ".e30.x", complete + spaced + ".e30.x"} {
		for _, before := range []string{"", ":", "a:", "ann:"} {
			all = append(all, base64Of([]byte(before+s)))
		}
		all = append(all, base64Of([]byte(base64Of([]byte(s)))))
	}
	return all
}()

// secretsOf returns the secrets that one scanner finds in a text. If anew is true, a new scanner
// examines the rest of the text after each secret. That takes quadratic time.
func secretsOf(text string, anew bool) (all []Found) {
	s := scanner[string]{text: text, encoded: true}
	for {
		f, ok := s.next()
		if !ok {
			return all
		}
		if f.Begin < s.at {
			panic("the secret overlaps the secret before it")
		}
		all = append(all, f)
		if s.at = f.End; anew {
			s = scanner[string]{text: text, encoded: true, at: f.End, run: f.End}
		}
	}
}

// A scanner remembers facts about a run. A scanner without this memory finds the same secrets,
// except in two cases. The first is a header with too many possible beginnings. The second is the
// base64 of a token that begins with white space, directly after another secret. In both cases,
// Redact still leaves no secret.
func checkScanner(t interface{ Fatalf(string, ...any) }, text string) {
	redacted := Redact(text)
	if f, ok := Find(redacted); ok {
		t.Fatalf("%q\n is redacted to %q, with %+v in it", text, redacted, f)
	}
	got, want := secretsOf(text, false), secretsOf(text, true)
	for i, f := range want {
		afterAnother := i > 0 && f.Begin == want[i-1].End
		if i < len(got) && f == got[i] {
			continue
		}
		if f.Hidden && afterAnother || i < len(got) && got[i].Kind == Suspect {
			return
		}
		t.Fatalf("%q\n contains %+v,\n want %+v", text, got, want)
	}
	if len(got) > len(want) && got[len(want)].Kind != Suspect {
		t.Fatalf("%q\n contains %+v,\n want %+v", text, got, want)
	}
}

func TestScannerRemembersNothingWrong(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		few := rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 6).Draw(t, "alphabet")
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(few), 1, 24).Draw(t, "pieces"), "")
		cut := rapid.IntRange(0, 3).Draw(t, "cut")
		checkScanner(t, text[min(cut, len(text)):])
	})
}

func FuzzScanner(f *testing.F) {
	for _, p := range pieces {
		f.Add([]byte(p))
	}
	f.Add([]byte{0, 8, 0, 30, 2, 20, 9, 3, 60})
	f.Fuzz(func(t *testing.T, data []byte) {
		checkScanner(t, string(data))
		var text strings.Builder
		for _, b := range data[:min(len(data), 40)] {
			text.WriteString(pieces[int(b)%len(pieces)])
		}
		checkScanner(t, text.String())
	})
}

// Secrets and decoys can follow each other without white space.
func TestSecretsInOneRun(t *testing.T) {
	for text, want := range map[string]string{
		"-" + cut + "-" + cut + "-":                                   "-[secret]-[secret]-",
		"-" + complete + complete + "x7x7x7x7x7x7":                    "-[secret][secret]x7x7x7x7x7x7",
		"-" + cut + "-" + object + ".e30.x-" + cut:                    "-[secret]-[secret]",
		"eyJ-" + cut + "-eyJ." + cut + "." + object + ".e30.x":        "eyJ-[secret]-eyJ.[secret].[secret]",
		cut + "_" + base64Of([]byte("ann:"+complete)):                 "[secret][secret]",
		"-" + cut + "_" + base64Of([]byte("ann:"+complete)):           Mark,
		"-" + cut + "-" + strings.Repeat("eyJ-", 20) + ".a.b; " + cut: "-[secret]-[secret]; [secret]",
		// The header has more than maxLooked possible beginnings, but at most 9 of them between
		// two secrets.
		strings.Repeat("eyJ-", 9) + cut + "-" + strings.Repeat("eyJ-", 9) + ".a.b c": strings.Repeat("eyJ-", 9) + Mark + Mark + " c",
	} {
		if got := Redact(text); got != want {
			t.Errorf("%q\n is redacted to %q,\n want %q", text, got, want)
		}
	}
}

// The number of bytes that are examined again is linear in the length of the text. It does not
// depend on the number of secrets, decoys or spaces.
func TestStepsAreLinear(t *testing.T) {
	token := object + ".e30.c2lnbmF0dXJl"
	nested := base64Of([]byte(`{"ab":`)) // 6 bytes: each repetition begins a header
	for what, text := range map[string]func(n int) string{
		"secrets in one run":           func(n int) string { return strings.Repeat("-"+cut, n) },
		"complete secrets in one run":  func(n int) string { return strings.Repeat(complete+"_", n) },
		"secrets without space":        func(n int) string { return strings.Repeat(complete, n) },
		"secrets in many runs":         func(n int) string { return strings.Repeat(cut+". ", n) },
		"tokens":                       func(n int) string { return strings.Repeat(token+" ", n) },
		"tokens and secrets":           func(n int) string { return strings.Repeat("-"+cut+"-"+token+" ", n) },
		"tokens with long tails":       func(n int) string { return strings.Repeat(token+" "+strings.Repeat("s", 80)+"\n", n) },
		"a token and one tail":         func(n int) string { return token + " " + strings.Repeat("s", 40*n) },
		"secrets in base64":            func(n int) string { return strings.Repeat(base64Of([]byte("ann:"+complete))+" ", n) },
		"a secret before base64":       func(n int) string { return strings.Repeat("-"+cut+"-SUNB", n) },
		"white space in secrets":       func(n int) string { return strings.Repeat(complete[:12]+"\n "+complete[12:], n) },
		"white space before a secret":  func(n int) string { return strings.Repeat(" ", 20*n) + complete },
		"white space in a secret":      func(n int) string { return complete[:12] + strings.Repeat(" ", 20*n) + complete[12:] },
		"white space after tokens":     func(n int) string { return strings.Repeat(token+strings.Repeat(" ", 30), n) },
		"backslashes before a secret":  func(n int) string { return strings.Repeat(`\`, 20*n) + complete },
		"backslashes between secrets":  func(n int) string { return strings.Repeat(complete+`\\\\\\n`, n) },
		"backslashes within a secret":  func(n int) string { return complete[:12] + strings.Repeat(`\`, 20*n) + complete[12:] },
		"backslashes after a token":    func(n int) string { return token + strings.Repeat(`\`, 20*n) + token },
		"decoys in one header":         func(n int) string { return strings.Repeat("-"+cut+"-eyJ", n) + ".e30.e30" },
		"decoys in a header too short": func(n int) string { return strings.Repeat("-"+cut+"-eyJ", n) + ".e30" },
		"decoys without a dot":         func(n int) string { return strings.Repeat("-"+cut+"-eyJ", n) },
		"decoys in each part":          func(n int) string { return strings.Repeat("eyJ-"+cut+".", n) },
		"decoys before one dot":        func(n int) string { return strings.Repeat("eyJ", 8*n) + "." + cut + "." },
		"decoys before a long part":    func(n int) string { return strings.Repeat("eyJ-"+cut+"-", n/2) + "." + strings.Repeat("x", 20*n) + "." },
		"nested objects and secrets":   func(n int) string { return strings.Repeat(nested+"-"+cut+"-", n) + ".e30.e30" },
		"prefixes":                     func(n int) string { return strings.Repeat("twp_a", 5*n) },
	} {
		t.Run(what, func(t *testing.T) {
			count := func(n int) (steps int) {
				text := text(n)
				joined := string(appendJoined(nil, text))
				for _, s := range []*scanner[string]{{text: text}, {text: joined}, {text: joined}} {
					s.encoded = true
					mark(s, text, steps == 0)
					steps += s.steps + 1
				}
				return steps
			}
			// The scanner does extra work for headers of up to maxHeader bytes. So that this work
			// does not distort the comparison, each text is longer than many headers.
			const n = 2500
			once, twice := count(n), count(2*n)
			if twice > 2*once+once/10+1000 {
				t.Errorf("%d steps, but %d steps for a text that is twice as long", once, twice)
			}
			if perByte := once / len(text(n)); perByte > 150 {
				t.Errorf("%d steps for each byte", perByte)
			}
		})
	}
}

// Shorten examines only the beginning of a long text. It shows no part of a secret that continues
// after the beginning.
func TestShortenExaminesTheBeginning(t *testing.T) {
	token := object + ".e30." + strings.Repeat("s", maxBegin)
	words := strings.Repeat(" b", maxBegin)
	for what, tt := range map[string]struct{ text, want string }{
		"short":                          {"a " + complete + " b", "a [secret] b"},
		"long":                           {"a " + complete + words, "a [secret]" + words[:17] + "…"},
		"a long token":                   {"a " + token + words, Mark},
		"a token with a long payload":    {"a " + object + "." + token + words, Mark},
		"a long name":                    {"ann:" + strings.Repeat("s", maxBegin), Mark},
		"many secrets":                   {strings.Repeat(complete+" ", maxBegin), "[secret] [secret] [secret] …"},
		"a secret with a cut secret":     {token[:maxBegin-20] + " " + complete, Mark},
		"words before a long payload":    {words[:40] + object + "." + token, words[:27] + "…"},
		"words and a secret in the rest": {words + complete, words[:27] + "…"},
	} {
		if got := Shorten(tt.text, 30); got != tt.want {
			t.Errorf("%s: got %q, want %q", what, got, tt.want)
		}
	}
}
