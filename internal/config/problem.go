package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Problem is one mistake, and where it is.
type Problem struct {
	File       string `json:"file,omitempty"`   // "" if it is in no file, but in a flag
	Line       int    `json:"line,omitempty"`   // from 1; 0: not known
	Column     int    `json:"column,omitempty"` // from 1, in characters; 0: not known
	Text       string `json:"text"`
	Suggestion string `json:"suggestion,omitempty"` // "did you mean" this; "" if there is none
}

// String returns `tidewaiter.yaml:14:9: unknown key "repos" (did you mean "repositories"?)`.
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
	if p.Suggestion != "" {
		fmt.Fprintf(&b, " (did you mean %q?)", p.Suggestion)
	}
	return b.String()
}

// Snippet returns String, and below it the line of src, which is the text of p.File, with a caret under
// the column: for terminals. What a line says of a secret is not shown.
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

// Problems is the error of Load: all mistakes at once, in the order of files, lines and columns.
type Problems []Problem

// Error returns one line for each.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// readable returns the problem in one line of some length. What is not printable is escaped: a policy
// that somebody proposes must not write to the terminal of whoever checks it.
func (p Problem) readable() Problem {
	const most = 1000
	p.Text = text.Escape(text.Shorten(p.Text, most))
	if len(p.Suggestion) > most {
		p.Suggestion = ""
	}
	return p
}

// mostProblems of one Load are kept: a file that is no config at all must not fill the screen, or the memory.
const mostProblems = 100

// report gathers what is said of all files of one Load.
type report struct {
	files    []string // in the order they were read, which problems are sorted by
	problems Problems
	warnings Problems
	reported int // problems, those past mostProblems too
}

func (r *report) problem(p Problem) {
	if r.reported++; r.reported <= mostProblems {
		r.problems = append(r.problems, p.readable())
	}
}

// warn notes what is allowed. It is no mistake, so that it is bounded by being said by us.
func (r *report) warn(p Problem) {
	if len(r.warnings) < mostProblems {
		r.warnings = append(r.warnings, p.readable())
	}
}

// full reports whether further problems will only be counted, so that nobody need think about them.
func (r *report) full() bool { return r.reported >= mostProblems }

// failed reports whether there is any problem.
func (r *report) failed() bool { return r.reported > 0 }

// sorted returns ps in the order of files and places.
func (r *report) sorted(ps Problems) Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(slices.Index(r.files, a.File), slices.Index(r.files, b.File)),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column))
	})
	return ps
}

// err returns the problems as an error; nil if there are none.
func (r *report) err() error {
	if !r.failed() {
		return nil
	}
	ps := r.sorted(r.problems)
	if more := r.reported - len(ps); more > 0 {
		ps = append(ps, Problem{Text: fmt.Sprintf("and %d more problems", more)})
	}
	return ps
}

// lineOf returns line number n of src, from 1, without its end.
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

// telling finds what may be a secret: whatever follows a key called secret, a text where the section of
// a secret belongs, and a password's hash. It looks at text, since a file that is not YAML has no keys.
var telling = []*regexp.Regexp{
	regexp.MustCompile(`(?i)^(.*?secret["']?\s*:\s*).+`),
	regexp.MustCompile(`(?i)^(.*?notifications["']?\s*:\s*)["']?[^\s{\[/'"#].*`),
	regexp.MustCompile(`^(.*?)\$(2[aby]|argon2id)\$.*`),
}

// redact replaces what may be a secret: too much rather than too little.
func redact(line string) string {
	for _, t := range telling {
		line = t.ReplaceAllString(line, "${1}[secret]")
	}
	return line
}

// window cuts a line to what fits a terminal around its column, and returns where the caret belongs.
// Whatever is not printable is shown as "?" and a tab as one space, so that the caret stands right.
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
