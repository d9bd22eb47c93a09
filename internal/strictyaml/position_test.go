package strictyaml

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

// explicitBlock matches the header of a block with an explicit indentation, which YAML needs if
// the value begins with a space. Position does not find places in such a block.
var explicitBlock = regexp.MustCompile(`[|>]\d`)

// Position finds each letter of a value at its place in the file, for all styles of scalars.
func TestPositionOfEachLetter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`[a-z"'=&ë😀\\ \n]{1,40}[a-z]`).Draw(t, "value")
		style := rapid.SampledFrom([]yaml.Style{0, yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle, yaml.LiteralStyle, yaml.FoldedStyle}).Draw(t, "style")
		scalar := func(s string, style yaml.Style) *yaml.Node {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: style}
		}
		src, err := yaml.Marshal(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{
			scalar("rules", 0), {Kind: yaml.SequenceNode, Content: []*yaml.Node{
				{Kind: yaml.MappingNode, Content: []*yaml.Node{
					scalar("when", 0), scalar(value, style), scalar("comment", 0), scalar("x", 0),
				}},
			}},
		}})
		if err != nil || explicitBlock.Match(src) {
			t.Skip("not a scalar of this style")
		}
		root, err := parseWhole(src)
		if err != nil {
			t.Fatal(err)
		}
		d := &Decoder{Reader: &Reader{}, src: src}
		n := At(root, "rules", 0, "when")
		for at, r := range n.Value {
			if r < 'a' || r > 'z' {
				continue
			}
			before := n.Value[:at]
			line, column := 1+strings.Count(before, "\n"), 1+utf8.RuneCountInString(before[1+strings.LastIndex(before, "\n"):])
			line, column = d.Position(n, line, column)
			if got, _ := utf8.DecodeRune(src[offset(src, line, column):]); got != r {
				t.Fatalf("%q of %q at byte %d is reported at %d:%d, which is %q, in\n%s", r, n.Value, at, line, column, got, src)
			}
		}
	})
}

// Text after a surrogate pair in JSON keeps its column.
func TestPositionAfterASurrogatePair(t *testing.T) {
	src := []byte(`{"a": "\\\ud83d\ude00\u0041", "b": "x\ud83d\ude00y"}`)
	var r Reader
	root := parse("p.json", src, 1, &r)
	if root == nil {
		t.Fatal(r.Err())
	}
	a, b := At(root, "a"), At(root, "b")
	if a.Value != `\😀A` || b.Value != "x😀y" || b.Column != 36 {
		t.Errorf("%q, %q at %d", a.Value, b.Value, b.Column)
	}
	d := &Decoder{Reader: &r, src: src}
	if line, column := d.Position(b, 1, 3); line != 1 || column != 50 {
		t.Errorf("y is at %d:%d", line, column)
	}
	for _, lone := range []string{`["\ud83d"]`, `["\ude00\ud83d"]`} {
		var r Reader
		if parse("p.json", []byte(lone), 1, &r) != nil {
			t.Errorf("%s: a surrogate that is not in a pair is accepted", lone)
		}
	}
}
