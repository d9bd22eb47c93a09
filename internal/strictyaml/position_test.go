package strictyaml

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

// explicit matches the header of a block whose indentation is written, because its value begins
// with a space. Position does not find places in such a block.
var explicit = regexp.MustCompile(`[|>]\d`)

// Each letter of a value is found where it is written, however the scalar is written.
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
		if err != nil || explicit.Match(src) {
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
				t.Fatalf("%q of %q at byte %d is found at %d:%d, where %q is, in\n%s", r, n.Value, at, line, column, got, src)
			}
		}
	})
}
