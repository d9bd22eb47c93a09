package config

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
)

// For any content, Load returns a config or a limited number of problems. The problems must be
// readable, at positions that exist in the file.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(base))
	f.Add([]byte(allKeys))
	f.Add([]byte("policy: { rules: [ { name: x, subjects: [anyone], repositories: [\"${user}/**\"], role: r } ] }"))
	f.Add([]byte("? [a]\n: {<<: *x, b: !c d}\n"))
	f.Add([]byte("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n"))
	f.Add([]byte("registries: [{service: r, notifications: {secret_file: tidewaiter.yaml}}]\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 1<<14 {
			return
		}
		for _, disk := range []files{
			{"tidewaiter.yaml": string(src)},
			{"tidewaiter.yaml": base + "policy: { files: [p.yaml] }", "p.yaml": string(src)},
		} {
			c, err := loadText(t, disk.withKeys())
			if (c == nil) == (err == nil) {
				t.Fatalf("Load returns %v and %v", c, err)
			}
			problems, ok := errors.AsType[strictyaml.Problems](err)
			if err != nil && (!ok || len(problems) == 0 || len(problems) > 100+1) {
				t.Fatalf("the error is %T of %d", err, len(problems))
			}
			for _, p := range problems {
				lines := strings.Count(disk[p.File], "\n") + 1
				if p.Text == "" || p.Line < 0 || p.Column < 0 || p.Line > lines+1 {
					t.Fatalf("a problem at %d:%d of %d lines: %q", p.Line, p.Column, lines, p.Text)
				}
				shown := p.Snippet([]byte(disk[p.File]))
				if strings.ContainsFunc(shown, func(r rune) bool { return r != '\n' && r < ' ' || r == 0x7f || r == 0x202e }) {
					t.Fatalf("the text of a problem has a control character: %q", shown)
				}
			}
			if !slices.IsSortedFunc(problems[:max(0, len(problems)-1)], func(a, b strictyaml.Problem) int {
				if a.File != b.File {
					return 0
				}
				return a.Line - b.Line
			}) {
				t.Fatalf("the problems are not in order:\n%v", err)
			}
		}
	})
}

// Some files are designed to need much time or memory. Load must read them with little time and
// memory.
func TestFilesThatAreBombs(t *testing.T) {
	const n = 50_000
	for about, text := range map[string]string{
		"brackets":           strings.Repeat("[", n),
		"braces":             strings.Repeat("{a: ", n),
		"dashes":             strings.Repeat("- ", n),
		"question":           strings.Repeat("? ", n),
		"keys":               strings.Repeat("a: 1\n", n),
		"unknown":            strings.Repeat("registrys: 1\n", n/2),
		"comments":           strings.Repeat("#\n", n),
		"spaces":             strings.Repeat(" ", n) + "a",
		"lines":              strings.Repeat("\n", n) + "a",
		"one text":           "a: \"" + strings.Repeat("\\\n", n),
		"a long key":         strings.Repeat("k", n) + ": 1",
		"aliases":            "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d]\n",
		"an alias of itself": "a: &a [*a]\n",
		"documents":          strings.Repeat("---\na: 1\n", n/10),
		"too large":          strings.Repeat("# all of it\n", (32<<20)/12+1),
	} {
		if _, err := loadText(t, files{"tidewaiter.yaml": text}.withKeys()); err == nil {
			t.Errorf("%s: there is no error", about)
		} else if len(err.Error()) > 1<<16 {
			t.Errorf("%s: the error has %d bytes", about, len(err.Error()))
		}
	}
}
