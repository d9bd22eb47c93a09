package manual

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAPage(t *testing.T) {
	p := New("tidewaiter-explain", 1, "tidewaiter v1", `explain "why"`)
	p.Section("Description")
	p.Text("Explain why,\non two lines. It's `--as`, see [Policy](policy.md#tests).\n\n- one\n  and more\n- [`two`](https://example.com)\n\nSo:\n\n```yaml\n.hidden: '\\n'\n```\n")
	p.Part("a.b")
	p.Code("first\n\n'second\n")
	p.Item("-o, --out", "file", "Where.\n\nOr not…")
	want := `.\" Written by tidewaiter man.
.TH "TIDEWAITER\-EXPLAIN" "1" "" "tidewaiter v1" "Tidewaiter"
.nh
.ad l
.SH "NAME"
tidewaiter\-explain \- explain "why"
.SH "DESCRIPTION"
Explain why, on two lines. It\(aqs \fB\-\-as\fR, see Policy (docs/policy.md).
.IP \(bu 2
one and more
.IP \(bu 2
\fBtwo\fR (https://example.com)
.PP
So:
.PP
.RS 4
.nf
\&.hidden: \(aq\en\(aq
.fi
.RE
.SS "a.b"
.RS 4
.nf
first

\(aqsecond
.fi
.RE
.TP
\fB\-o, \-\-out\fR \fIfile\fR
Where.
.IP
Or not\[u2026]
`
	if diff := cmp.Diff(want, string(p.Bytes())); diff != "" {
		t.Error(diff)
	}
}

// No text becomes a macro or an escape.
func FuzzText(f *testing.F) {
	f.Add(".so /etc/passwd\n'br\n\\fB\n- .x\n```\n.y\n")
	f.Add("[a](b\n.c)")
	macros := regexp.MustCompile(`^\.(\\"|TH |nh$|ad l$|SH |SS |PP$|IP$|IP \\\(bu 2$|TP$|RS$|RS 4$|RE$|nf$|fi$)`)
	escapes := regexp.MustCompile(`\\(e|-|&|f[BIR]|\((aq|ga|ha|ti|dq|bu)|\[u[0-9A-F]{4,6}\])`)
	f.Fuzz(func(t *testing.T, text string) {
		p := New(text, 1, text, text)
		p.Section(text)
		p.Part(text)
		p.Text(text)
		p.Item(text, text, text)
		p.Code(text)
		for i, line := range strings.Split(string(p.Bytes()), "\n") {
			if strings.HasPrefix(line, "'") || strings.HasPrefix(line, ".") && !macros.MatchString(line) {
				t.Errorf("line %d is a macro: %q", i+1, line)
			}
			if i > 0 && strings.Contains(escapes.ReplaceAllString(line, ""), `\`) {
				t.Errorf("line %d has an escape: %q", i+1, line)
			}
		}
	})
}
