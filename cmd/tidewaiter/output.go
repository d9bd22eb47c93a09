package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// outputFlag adds the flag --output.
func outputFlag(f *flags, short string, more ...string) *string {
	return choose(f, "output", short, "text", "output format", append([]string{"text", "json"}, more...)...)
}

// printsJSON reports whether the command prints JSON.
func (s *session) printsJSON() bool { return s.output != nil && *s.output == "json" }

// writeJSON writes v as indented JSON with a newline at the end.
func (s *session) writeJSON(v any) error {
	e := s.encoder()
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// encoder returns an encoder that writes to standard output and escapes invisible characters. They
// must be escaped, because JSON can contain names that strangers chose, and users print JSON on a
// terminal.
func (s *session) encoder() *json.Encoder {
	e := json.NewEncoder(text.JSONWriter{W: s.out})
	e.SetEscapeHTML(false)
	return e
}

// print prints a line. With --output json it prints v instead.
func (s *session) print(v any, format string, args ...any) error {
	if s.printsJSON() {
		return s.writeJSON(v)
	}
	_, err := fmt.Fprintf(s.out, format+"\n", args...)
	return err
}

// printSecret prints a line on standard error, and the secret alone on standard output, so that
// scripts can read it. With --output json it prints only v, which contains the secret.
func (s *session) printSecret(v any, secret identity.Secret, format string, args ...any) error {
	if s.printsJSON() {
		return s.writeJSON(v)
	}
	s.printNote(format, args...)
	_, err := fmt.Fprintln(s.out, secret.Reveal())
	return err
}

// printFields prints names and values, one pair per line. It leaves out names without a value.
// With --output json it prints v instead.
func (s *session) printFields(v any, pairs ...string) error {
	if s.printsJSON() {
		return s.writeJSON(v)
	}
	var rows [][]string
	for pair := range slices.Chunk(pairs, 2) {
		if pair[1] != "" {
			rows = append(rows, pair)
		}
	}
	return writeTable(s.out, rows)
}

// printList prints all pages of a list, as a table or in the JSON form of the API.
func printList[T, F any](s *session, read pages[T], form func(*T) F, head []string, row func(*T) []string) error {
	list, err := collectPages(s, read)
	if err != nil {
		return err
	}
	forms := make([]F, len(list)) // not nil, so that JSON has [] and not null
	rows := [][]string{head}
	for i := range list {
		forms[i] = form(&list[i])
		rows = append(rows, row(&list[i]))
	}
	if s.printsJSON() {
		return s.writeJSON(forms)
	}
	return writeTable(s.out, rows)
}

// pages reads a page of a list, and returns the key of the next page, or "" after the last page.
type pages[T any] func(context.Context, admin.Actor, admin.Page) ([]T, string, error)

// pagesOf returns a function that reads the pages of an owner's list, such as the tokens of a
// user. The returned function calls the function read with the owner.
func pagesOf[O, T any](read func(context.Context, admin.Actor, O, admin.Page) ([]T, string, error), owner O) pages[T] {
	return func(ctx context.Context, by admin.Actor, page admin.Page) ([]T, string, error) {
		return read(ctx, by, owner, page)
	}
}

// collectPages collects the pages of a list. The result is never nil.
func collectPages[T any](s *session, read pages[T]) ([]T, error) {
	list := []T{}
	for page := (admin.Page{Limit: 1000}); ; {
		more, next, err := read(s.ctx, s.by, page)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
		if next == "" {
			return list, nil
		}
		page.After = next
	}
}

// printNote prints a line on standard error.
func (s *session) printNote(format string, args ...any) { fmt.Fprintf(s.errs, format+"\n", args...) }

func (s *session) warn(format string, args ...any) { s.printNote("warning: "+format, args...) }

// printProblems prints problems, one per line. On a terminal, it also prints the line of the
// file that has the problem.
func printProblems(w io.Writer, problems strictyaml.Problems) {
	sources := make(map[string][]byte)
	p, terminal := paintFor(w), isTerminal(w)
	for _, problem := range problems {
		if problem.File == "" { // such a problem is printed like an error without a position
			fmt.Fprint(w, p.bold("tidewaiter:")+" ")
		}
		if !terminal {
			fmt.Fprintln(w, problem)
			continue
		}
		src, read := sources[problem.File]
		if !read && problem.File != "" {
			src, _ = os.ReadFile(problem.File) // without the file, no line is printed
			sources[problem.File] = src
		}
		fmt.Fprintln(w, highlight(problem.Snippet(src), p))
	}
}

// highlight colours the text of a problem and its line in the file. The position becomes bold, and
// the caret becomes red.
func highlight(text string, p paint) string {
	lines := strings.Split(text, "\n")
	if place, rest, ok := strings.Cut(lines[0], ": "); ok {
		lines[0] = p.bold(place+":") + " " + rest
	}
	if last := len(lines) - 1; last >= 2 {
		lines[last] = p.red(lines[last])
	}
	return strings.Join(lines, "\n")
}

// writeTable writes rows as aligned columns. The first row has the headings.
func writeTable(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return t.Flush()
}

// formatMinute formats a time to the minute. It returns "" for the zero time.
func formatMinute(t time.Time) string { return local(t, "2006-01-02 15:04") }

// formatSecond formats a time to the second. It returns "" for the zero time.
func formatSecond(t time.Time) string { return local(t, time.DateTime) }

func local(t time.Time, layout string) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(layout)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// paint is true if the output has colours.
type paint bool

// paintFor returns true if w is a terminal with colour. See no-color.org.
func paintFor(w io.Writer) paint {
	return paint(isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
}

func (p paint) green(s string) string { return p.code("32", s) }
func (p paint) red(s string) string   { return p.code("31", s) }
func (p paint) bold(s string) string  { return p.code("1", s) }
func (p paint) faint(s string) string { return p.code("2", s) }

func (p paint) code(code, s string) string {
	if !p {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// isTerminal reports whether v is a terminal.
func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
