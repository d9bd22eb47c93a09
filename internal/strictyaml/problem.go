package strictyaml

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Problem is an error or a warning, with its position.
type Problem struct {
	File       string `json:"file,omitempty"`   // "" for a flag
	Line       int    `json:"line,omitempty"`   // from 1; 0: unknown
	Column     int    `json:"column,omitempty"` // from 1, in characters; 0: unknown
	Text       string `json:"text"`
	Suggestion string `json:"suggestion,omitempty"` // what was probably meant; "" if unknown
}

// String returns a text such as `tidewaiter.yaml:14:9: unknown key "repos" (did you mean
// "repositories"?)`.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
			if p.Column > 0 {
				fmt.Fprintf(&b, ":%d", p.Column)
			}
		}
		b.WriteString(": ")
	}
	b.WriteString(p.Text)
	if p.Suggestion != "" && !strings.HasSuffix(p.Text, "is now "+strconv.Quote(p.Suggestion)) {
		fmt.Fprintf(&b, " (did you mean %q?)", p.Suggestion)
	}
	return b.String()
}

// Snippet returns the text of String, followed by the line of the file with a caret below the
// column. It is for terminals. The source is the content of the file. Secrets in the line are
// replaced.
func (p Problem) Snippet(src []byte) string {
	line, ok := lineOf(src, p.Line)
	if !ok {
		return p.String()
	}
	line, caret := window(redact(line), p.Column)
	number := fmt.Sprint(p.Line)
	gutter := strings.Repeat(" ", len(number))
	text := fmt.Sprintf("%s\n %s | %s", p.String(), number, line)
	if p.Column > 0 {
		text += fmt.Sprintf("\n %s | %s^", gutter, strings.Repeat(" ", caret))
	}
	return text
}

// Problems are all problems of the files that a Reader has read, sorted by file, line and column.
type Problems []Problem

// Error returns one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// makeReadable shortens the problem and escapes characters that cannot be printed. Otherwise a
// proposed policy could control the terminal of the person who checks it.
func (p Problem) makeReadable() Problem {
	const limit = 1000
	p.Text = text.Escape(text.Shorten(p.Text, limit))
	if len(p.Suggestion) > limit {
		p.Suggestion = ""
	}
	return p
}

// lineOf returns line n of src without its line end. Lines count from 1.
func lineOf(src []byte, n int) (string, bool) {
	if n < 1 {
		return "", false
	}
	text := strings.TrimPrefix(string(src), "\ufeff")
	for ; n > 1; n-- {
		_, rest, found := strings.Cut(text, "\n")
		if !found {
			return "", false
		}
		text = rest
	}
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimSuffix(line, "\r"), true
}

// secretPatterns match text that could be a secret: the text after a key called secret, a text in
// place of the section notifications, and the hash of a password. The patterns match the text of a
// line instead of YAML nodes, because a file that is not YAML has no nodes.
var secretPatterns = []*regexp.Regexp{
	regexp.MustCompile(`(?i)^(.*?secret["']?\s*:\s*).+`),
	regexp.MustCompile(`(?i)^(.*?notifications["']?\s*:\s*)["']?[^\s{\[/'"#].*`),
	regexp.MustCompile(`^(.*?)\$(2[aby]|argon2id)\$.*`),
}

// redact replaces text that could be a secret. It can replace other text, too.
func redact(line string) string {
	for _, t := range secretPatterns {
		line = t.ReplaceAllString(line, "${1}[secret]")
	}
	return line
}

// window returns the part of a line around the column that fits a terminal, and the caret's
// position in it. It replaces each tab by a space, and each character that cannot be printed by
// "?". So the caret is below the right character.
func window(line string, column int) (string, int) {
	const width = 100
	runes := []rune(line)
	for i, r := range runes {
		switch {
		case r == '\t':
			runes[i] = ' '
		case !text.Printable(string(r)):
			runes[i] = '?'
		}
	}
	caret := min(max(column-1, 0), len(runes))
	if len(runes) <= width {
		return string(runes), caret
	}
	begin := min(max(caret-width/2, 0), len(runes)-width)
	shown, end := runes[begin:begin+width], begin+width
	caret -= begin
	cut := string(shown)
	if begin > 0 {
		cut, caret = "…"+cut, caret+1
	}
	if end < len(runes) {
		cut += "…"
	}
	return cut, caret
}
