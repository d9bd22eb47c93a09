package strictyaml

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSnippet(t *testing.T) {
	const src = "\ufefflog:\r\n\tlevl: info # é\r\nlast"
	for _, tt := range []struct {
		about, src string
		at         Problem
		want       string
	}{
		{"a caret is below the error", "a: 1\nrepos: x\n", Problem{"t.yaml", 2, 1, "unknown key", ""}, `
t.yaml:2:1: unknown key
 2 | repos: x
   | ^`},
		{"a tab and Windows line ends", src, Problem{"t.yaml", 2, 2, "unknown key", "level"}, `
t.yaml:2:2: unknown key (did you mean "level"?)
 2 |  levl: info # é
   |  ^`},
		{"a last line without a line end", src, Problem{"t.yaml", 3, 9, "x", ""}, `
t.yaml:3:9: x
 3 | last
   |     ^`},
		{"no column", src, Problem{"t.yaml", 3, 0, "x", ""}, `
t.yaml:3: x
 3 | last`},
		{"a missing line", src, Problem{"t.yaml", 4, 1, "x", ""}, `
t.yaml:4:1: x`},
		{"no line", src, Problem{"t.yaml", 0, 0, "x", ""}, `
t.yaml: x`},
		{"no file", src, Problem{Text: "--keys: x"}, `
--keys: x`},
		{"a long line", strings.Repeat("a", 200) + "b" + strings.Repeat("c", 200), Problem{"t.yaml", 1, 201, "x", ""}, `
t.yaml:1:201: x
 1 | …` + strings.Repeat("a", 50) + "b" + strings.Repeat("c", 49) + `…
   | ` + strings.Repeat(" ", 51) + "^"},
		{"unprintable characters", "a: \x1b[31m\u202e\xff", Problem{"t.yaml", 1, 4, "x", ""}, `
t.yaml:1:4: x
 1 | a: ?[31m??
   |    ^`},
		{"a secret", "  secret: \"hunter2hunter2\" # mine", Problem{"t.yaml", 1, 3, "x", ""}, `
t.yaml:1:3: x
 1 |   secret: [secret]
   |   ^`},
		{"a secret among others", "- {service: a, notifications: {\"secret\" : hunter2}}", Problem{"t.yaml", 1, 43, "x", ""}, `
t.yaml:1:43: x
 1 | - {service: a, notifications: {"secret" : [secret]
   |                                           ^`},
		{"a secret without its key", "notifications: hunter2", Problem{"t.yaml", 1, 16, "x", ""}, `
t.yaml:1:16: x
 1 | notifications: [secret]
   |                ^`},
		{"a hash", "entries: [\"ann:$2y$10$abc\"]", Problem{"t.yaml", 1, 1, "x", ""}, `
t.yaml:1:1: x
 1 | entries: ["ann:[secret]
   | ^`},
		{"text that only looks like a secret", "notifications: { secret_file: secret } # paths: { notifications: /x }", Problem{"t.yaml", 1, 1, "x", ""}, `
t.yaml:1:1: x
 1 | notifications: { secret_file: secret } # paths: { notifications: /x }
   | ^`},
	} {
		t.Run(tt.about, func(t *testing.T) {
			if diff := cmp.Diff(tt.want[1:], tt.at.Snippet([]byte(tt.src))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
