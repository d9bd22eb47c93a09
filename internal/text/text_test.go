package text_test

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/internal/text/texttest"
)

// harmfulCharacters returns the invisible characters of the table texttest.All.
func harmfulCharacters(t *testing.T) map[rune]bool {
	found := map[rune]bool{}
	for _, h := range texttest.All {
		before := len(found)
		for _, r := range h.Text {
			if r > '~' && r != 'é' || r < ' ' {
				found[r] = true
			}
		}
		if len(found) == before && len(h.Text) < 100 && utf8.ValidString(h.Text) {
			t.Errorf("%q: all of its hostile characters are in other texts, too", h.Text)
		}
	}
	found['\x7f'] = true
	return found
}

func TestHostileTextIsNotShown(t *testing.T) {
	harm := harmfulCharacters(t)
	for _, h := range texttest.All {
		long := strings.HasPrefix(h.Text, "é")
		if text.Printable(h.Text) != long {
			t.Errorf("%q is printable: %t (%s)", h.Text, !long, h.Harm)
		}
		for what, shown := range map[string]string{
			"escaped":              text.Escape(h.Text),
			"quoted":               text.Quote(h.Text),
			"quoted and shortened": text.QuoteShort(h.Text),
			"a word":               string(text.AppendWord(nil, h.Text, 100)),
			"in between":           text.Escape("é" + h.Text + h.Text),
		} {
			if !utf8.ValidString(shown) || strings.ContainsFunc(shown, func(r rune) bool { return harm[r] }) || !text.Printable(shown) {
				t.Errorf("%s (%s): %q", h.Harm, what, shown)
			}
			if text.Escape(shown) != shown {
				t.Errorf("%s: escaping the escaped text again changes it to %q", h.Harm, text.Escape(shown))
			}
		}
		if n := len(text.QuoteShort(h.Text)); n > 4*60+2 {
			t.Errorf("%s: the shortened text has %d bytes", h.Harm, n)
		}
		if n := len(text.AppendWord(nil, h.Text, 100)); n > 4*100+5 {
			t.Errorf("%s: the word has %d bytes", h.Harm, n)
		}
	}
}

func TestPlainTextIsUnchanged(t *testing.T) {
	for _, s := range []string{"ann", "", " ", `a "b" \ c`, "é漢🐳", "ann@example.com", "naïve", "e\u0301", "team/app:v1", "~!@#$%^&*()"} {
		if !text.Printable(s) || !text.OneLine(s) || text.Escape(s) != s {
			t.Errorf("%q: printable %t, one line %t, escaped %q", s, text.Printable(s), text.OneLine(s), text.Escape(s))
		}
		if want := strconv.Quote(s); text.Quote(s) != want {
			t.Errorf("the quoted text is %s, want %s", text.Quote(s), want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { text.Escape("a sentence of é"); text.Shorten("a sentence", 100) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestEscapes(t *testing.T) {
	for s, want := range map[string]string{
		"a\n\x1b\x00": `a\n\x1b\x00`, "\u0085\u202e\u3164": `\u0085\u202e\u3164`, "\U000e0041": `\U000e0041`,
		"\xffé\xc3": `\xffé\xc3`, "\ufffd": `\ufffd`, `\n`: `\n`,
	} {
		if got := text.Escape(s); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
}

// A value may contain invisible characters that some languages need, but no character that ends
// a line.
func TestOneLine(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, "a b": true, "می\u200cخواهم": true, "a\u202eb": true, "a\u00a0b": true,
		"a\nb": false, "a\tb": false, "a\x7f": false, "a\u0085b": false, "a\u2028b": false, "a\u2029b": false, "a\xff": false, "a\ufffd": false,
	} {
		if text.OneLine(s) != want {
			t.Errorf("%q: %t", s, !want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		if s := rapid.String().Draw(t, "s"); text.Printable(s) && !text.OneLine(s) {
			t.Errorf("%q is printable, but not one line", s)
		}
	})
}

func TestShorten(t *testing.T) {
	for _, tt := range []struct {
		s    string
		most int
		want string
	}{
		{"abcdef", 6, "abcdef"}, {"abcdef", 5, "ab…"}, {"ééé", 6, "ééé"}, {"éééé", 7, "éé…"}, {"éééé", 6, "é…"},
		{"🐳🐳", 7, "🐳…"}, {"🐳🐳", 6, "…"}, {"\x80\x80\x80\x80\x80\x80", 5, "\x80\x80…"}, {"abcdef", 0, "…"},
	} {
		if got := text.Shorten(tt.s, tt.most); got != tt.want {
			t.Errorf("%q in %d bytes: %q, want %q", tt.s, tt.most, got, tt.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s, most := rapid.String().Draw(t, "s"), rapid.IntRange(3, 20).Draw(t, "most")
		short := text.Shorten(s, most)
		if len(short) > most || !utf8.ValidString(short) || !strings.HasPrefix(s, strings.TrimSuffix(short, "…")) {
			t.Errorf("%q in %d bytes: %q", s, most, short)
		}
	})
}

func TestAppendWord(t *testing.T) {
	for s, want := range map[string]string{
		"team/app": "team/app", "": `""`, "a b": `"a b"`, `a"b`: `"a\"b"`, `a\b`: `"a\\b"`, "a\u202eb": `"a\u202eb"`,
		"0123456789abc": "0123456789…", "012345678é": "012345678…", "012 456789abc": `"012 456789"…`,
	} {
		if got := string(text.AppendWord(nil, s, 10)); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
}

// Quoted text is written into YAML configurations.
func TestPropertyYAMLReadsQuotedText(t *testing.T) {
	read := func(t interface{ Errorf(string, ...any) }, s string) {
		var got string
		if err := yaml.Unmarshal([]byte(text.Quote(s)), &got); err != nil || got != s {
			t.Errorf("%s was read as %q (%v), want %q", text.Quote(s), got, err, s)
		}
	}
	for _, h := range texttest.All {
		if utf8.ValidString(h.Text) {
			read(t, h.Text)
		}
	}
	rapid.Check(t, func(t *rapid.T) { read(t, rapid.String().Draw(t, "s")) })
}

func TestPropertyJSONEqualsEncodingJSON(t *testing.T) {
	read := func(t interface{ Errorf(string, ...any) }, s string) {
		var got, want string
		bytes, _ := json.Marshal(s)
		_ = json.Unmarshal(bytes, &want)
		if err := json.Unmarshal(text.AppendJSON(nil, s), &got); err != nil || got != want {
			t.Errorf("%s was read as %q (%v), want %q", text.AppendJSON(nil, s), got, err, want)
		}
	}
	for _, h := range texttest.All {
		read(t, h.Text)
	}
	rapid.Check(t, func(t *rapid.T) {
		read(t, rapid.String().Draw(t, "s")+string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")))
	})
}

// encoding/json escapes only the characters that JSON does not allow in strings. JSONWriter also
// escapes all other invisible characters, because a terminal must not get them.
func TestPropertyJSONIsPrintableAndMeansTheSame(t *testing.T) {
	read := func(t interface{ Errorf(string, ...any) }, s string) {
		for _, indent := range []string{"", "  "} {
			var plain, printed bytes.Buffer
			for _, to := range []io.Writer{&plain, text.JSONWriter{W: &printed}} {
				e := json.NewEncoder(to)
				e.SetIndent("", indent)
				if err := e.Encode(map[string]any{s: []string{s, "é", s + s}}); err != nil {
					t.Errorf("%q: %v", s, err)
				}
			}
			var got, want any
			_ = json.Unmarshal(plain.Bytes(), &want)
			if err := json.Unmarshal(printed.Bytes(), &got); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%q was read as %q (%v), want %q", printed.String(), got, err, want)
			}
			if !text.Printable(strings.ReplaceAll(printed.String(), "\n", "")) {
				t.Errorf("%q is not printable", printed.String())
			}
			if strings.Count(printed.String(), "\n") != strings.Count(plain.String(), "\n") {
				t.Errorf("%q does not have the lines of %q", printed.String(), plain.String())
			}
		}
	}
	for _, h := range texttest.All {
		read(t, h.Text)
	}
	rapid.Check(t, func(t *rapid.T) {
		read(t, rapid.String().Draw(t, "s")+string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")))
	})
}

func TestJSONWriterEscapesRunesInUTF16(t *testing.T) {
	for s, want := range map[string]string{
		"\u009b": `\u009b`, "\u202e": `\u202e`, "\x7f": `\u007f`, "\U000e0041": `\udb40\udc41`,
		"\xff": `\ufffd`, "é\n": "é\n", "a\u200bb\u200b": `a\u200bb\u200b`, "": "",
	} {
		var b strings.Builder
		if n, err := (text.JSONWriter{W: &b}).Write([]byte(s)); n != len(s) || err != nil || b.String() != want {
			t.Errorf("%q was written as %q (%d, %v), want %q", s, b.String(), n, err, want)
		}
	}
	closed, in := io.Pipe()
	_ = closed.CloseWithError(io.ErrClosedPipe)
	if _, err := (text.JSONWriter{W: in}).Write([]byte("a")); err == nil {
		t.Error("a failed write is not reported")
	}
}

func TestDuration(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"15m": 15 * time.Minute, "1h": time.Hour, "1h30m": 90 * time.Minute, "1m30s": 90 * time.Second, "0s": 0, "10s": 10 * time.Second, "1h0m1s": 3601 * time.Second,
	} {
		if got := text.Duration(d); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
