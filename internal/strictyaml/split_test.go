package strictyaml

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

// diffNodes returns the differences between two nodes and between their positions. It ignores
// comments.
func diffNodes(a, b *yaml.Node) string {
	return cmp.Diff(a, b, cmp.FilterPath(func(p cmp.Path) bool {
		name := p.Last().String()
		return name == ".HeadComment" || name == ".LineComment" || name == ".FootComment"
	}, cmp.Ignore()))
}

// Parsing a list in pieces gives the same nodes as parsing it as a whole.
func TestPiecesAreEqualToTheWhole(t *testing.T) {
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
		t.Fatalf("the pieces are valid, but the whole text is not: %v\n%s", err, src)
		return
	}
	if diff := diffNodes(whole, pieces); diff != "" {
		t.Fatalf("%s\n(-whole +pieces):\n%s", src, diff)
	}
}

// This test checks that a large policy is split. If it were not, the test above would compare
// only policies that are not split.
func TestLargeListIsSplit(t *testing.T) {
	if parseSplit([]byte(manyRules(2000)), 2, minPiece) == nil {
		t.Error("a list of 2,000 rules is not split")
	}
	for _, text := range []string{
		manyRules(2000) + "database: x\n",        // other content follows
		manyRules(2000) + "    - name: \"open\n", // a syntax error
		strings.Replace(manyRules(2000), "rules:", "other:", 1),
		"- rules:\n" + strings.Repeat("    - a\n", 20_000),
	} {
		if parseSplit([]byte(text), 2, minPiece) != nil {
			t.Errorf("a text that begins %.20q and ends %q is split", text, text[len(text)-20:])
		}
	}
}

// manyRules returns a policy in YAML with n rules of 90 bytes each.
func manyRules(n int) string {
	var b strings.Builder
	b.WriteString("policy:\n  roles: { writer: [pull, push] }\n  rules:\n")
	for i := range n {
		fmt.Fprintf(&b, "    - { name: rule %d, subjects: [\"group:g%d\"], repositories: [\"team%d/**\"], role: writer }\n", i, i%500, i)
	}
	return b.String()
}

// BenchmarkParse parses 10,000 rules.
func BenchmarkParse(b *testing.B) {
	text := []byte(manyRules(10_000))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		var r Reader
		if parse("x", text, runtime.GOMAXPROCS(0), &r) == nil {
			b.Fatal(r.Err())
		}
	}
}
