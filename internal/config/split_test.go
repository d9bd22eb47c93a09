package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

// like compares nodes by what they say and where; comments say nothing.
func like(a, b *yaml.Node) string {
	return cmp.Diff(a, b, cmp.FilterPath(func(p cmp.Path) bool {
		name := p.Last().String()
		return name == ".HeadComment" || name == ".LineComment" || name == ".FootComment"
	}, cmp.Ignore()))
}

// Pieces mean what the whole means, wherever a long list is cut.
func TestPiecesMeanWhatTheWholeMeans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		item := rapid.SampledFrom([]string{
			"- {name: a, subjects: [b, c]}\n",
			"- name: a\n  subjects: [b,\n   c]\n",
			"- name: a\n  comment: |\n    - not an item\n\n     - nor this\n",
			"- name: \"a\n\n    - b\"\n  role: x\n",
			"- name: >2-\n     a\n",
			"- # nothing\n  name: é\n",
			"-  - a\n   - b\n",
			"- |\n",
			"- ? a\n  : b\n",
			"# - a comment\n",
			"\n",
			"- a: 1 # - x\n",
			"- 'it''s\n  - quoted'\n",
		})
		indent := strings.Repeat(" ", rapid.IntRange(0, 4).Draw(t, "indent"))
		text := rapid.SampledFrom([]string{
			"rules:\n", "# x\nroles: {a: [pull]}\nrules: \n\n", "policy:\n  rules:\n", "database: x\npolicy:\n  roles:\n    a: [pull]\n  rules:\n", "%YAML 1.2\n---\nrules:\n",
		}).Draw(t, "head")
		for _, piece := range rapid.SliceOfN(item, 1, 30).Draw(t, "items") {
			for line := range strings.Lines(piece) {
				text += indent + line
			}
		}
		if rapid.Bool().Draw(t, "windows") {
			text = strings.ReplaceAll(text, "\n", "\r\n")
		}
		compare(t, []byte(text), rapid.IntRange(2, 5).Draw(t, "parallel"))
	})
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("rules:\n- a\n- b\n- c\n"))
	f.Add([]byte("policy:\n  rules:\n    - \"a\n    - b\"\n    - c\n"))
	f.Add([]byte("x: \"\nrules:\n- a\n- b\"\nrules:\n- c: \"\n- d\n- e\n"))
	f.Add([]byte("rules:\n - |\n - a\n - [b,\n - c]\n"))
	f.Add([]byte("rules:\n- &a b\n- *a\n- c\n"))
	f.Add([]byte("- rules:\n  - a\n  - b\n  - c\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) <= 1<<12 && firstOdd(src) < 0 {
			compare(t, src, 3)
		}
	})
}

func compare(t interface{ Fatalf(string, ...any) }, src []byte, parallel int) {
	pieces := parseSplit(src, parallel, 1)
	if pieces == nil {
		return
	}
	whole, err := parseWhole(src)
	if err != nil {
		t.Fatalf("the pieces are good, the whole is not: %v\n%s", err, src)
		return
	}
	if diff := like(whole, pieces); diff != "" {
		t.Fatalf("%s\n(-whole +pieces):\n%s", src, diff)
	}
}

// A large policy is split: else the test above would compare nothing.
func TestLargeListIsSplit(t *testing.T) {
	if parseSplit([]byte(manyRules(2000)), 2, minPiece) == nil {
		t.Error("a list of 2,000 rules is not split")
	}
	for _, text := range []string{
		manyRules(2000) + "database: x\n",        // something follows
		manyRules(2000) + "    - name: \"open\n", // a mistake
		strings.Replace(manyRules(2000), "rules:", "other:", 1),
		"- rules:\n" + strings.Repeat("    - a\n", 20_000),
	} {
		if parseSplit([]byte(text), 2, minPiece) != nil {
			t.Errorf("a text that begins %.20q and ends %q is split", text, text[len(text)-20:])
		}
	}
}

// A mistake far down in a large policy is found where it is.
func TestProblemInLargeList(t *testing.T) {
	for _, tt := range []struct{ line, diagnostics string }{
		{"    - { name: x, subject: [anyone], repositories: [x], role: writer }\n", `tidewaiter.yaml:3005:18: unknown key "subject" (did you mean "subjects"?)`},
		{"    - { name: x, subjects: [anyone\n", `tidewaiter.yaml:3005:28: this is not YAML: the bracket that begins here does not end`},
	} {
		_, err := loadText(t, files{"tidewaiter.yaml": base + manyRules(3000) + tt.line + "    - { name: y }\n"}.withKeys())
		if err == nil || !strings.Contains(err.Error(), tt.diagnostics) {
			t.Errorf("told is %v, not %s", err, tt.diagnostics)
		}
	}
	many := base + manyRules(0) + strings.Repeat("    - { nam: x }\n", 500)
	_, err := loadText(t, files{"tidewaiter.yaml": many}.withKeys())
	if lines := reported(err); len(lines) != mostProblems+1 || lines[mostProblems] != fmt.Sprintf("and %d more problems", 2*500-mostProblems) {
		t.Errorf("%d lines are told, the last %q", len(lines), lines[len(lines)-1])
	}
}
