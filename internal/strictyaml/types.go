package strictyaml

import (
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Types of scalars. If text is expected, the value is exactly the text in the file. So 0777 is
// not read as a number, and on is not read as a bool.
var (
	// Line is one line of text that is not empty and has no white space at its ends.
	Line = Scalar("text", line)
	// Prose is any text.
	Prose = Scalar("text", func(_ *Decoder, _ *yaml.Node, s string) (string, bool) { return s, true })
	// Bool is true or false.
	Bool = Scalar("true or false", boolean)
	// True is for a key that is either true or left out.
	True = Scalar("true", func(d *Decoder, n *yaml.Node, s string) (bool, bool) {
		v, ok := boolean(d, n, s)
		if ok && !v {
			d.Problem(n, "the only value is true; leave out the key instead")
		}
		return v, ok && v
	})
)

// Scalar is the type of a single value. References and problems show the name.
func Scalar[T any](name string, convert func(d *Decoder, n *yaml.Node, s string) (T, bool)) Type[T] {
	wanted := indefinite(name)
	return Type[T]{Kind: name, Read: func(d *Decoder, n *yaml.Node) (T, bool) {
		if !d.Is(n, yaml.ScalarNode, wanted) {
			var none T
			return none, false
		}
		return convert(d, n, n.Value)
	}}
}

func indefinite(kind string) string {
	if kind == "true or false" || kind == "true" || strings.HasPrefix(kind, "one of ") {
		return kind
	}
	if strings.ContainsRune("aeiou", rune(kind[0])) {
		return "an " + kind
	}
	return "a " + kind
}

// plural returns the plural of the name of a Type.
func plural(kind string) string {
	if one, other, both := strings.Cut(kind, " or "); both {
		return plural(one) + " or " + plural(other)
	}
	switch before, after, _ := strings.Cut(kind, " of "); {
	case before == "list", before == "map":
		return before + "s of " + after
	case before == "one":
		return after
	case strings.HasSuffix(kind, "y"):
		return strings.TrimSuffix(kind, "y") + "ies"
	case strings.HasSuffix(kind, "s"):
		return kind + "es"
	}
	return kind + "s"
}

func line(d *Decoder, n *yaml.Node, s string) (string, bool) {
	trimmed := strings.TrimSpace(s)
	switch {
	case trimmed == "":
		d.Problem(n, "the text is empty")
	case !text.OneLine(s):
		d.Problem(n, "the text contains a line end, a tab or a control character")
	case trimmed != s:
		d.Suggest(n, trimmed, "the text begins or ends with white space")
	default:
		return s, true
	}
	return "", false
}

func boolean(d *Decoder, n *yaml.Node, s string) (v, ok bool) {
	if n.Style == 0 && (s == "true" || s == "false") {
		return s == "true", true
	}
	suggestion := map[string]string{
		"yes": "true", "on": "true", "y": "true", "true": "true", "1": "true",
		"no": "false", "off": "false", "n": "false", "false": "false", "0": "false",
	}[strings.ToLower(s)]
	d.Suggest(n, suggestion, "must be true or false, not %s", text.QuoteShort(s))
	return false, false
}

// FilePath is the path of a file or folder. A relative path is relative to the folder of the file
// that contains it.
func FilePath(kind string) Type[string] {
	return Scalar(kind, func(d *Decoder, n *yaml.Node, s string) (string, bool) {
		switch {
		case s == "" || !text.OneLine(s):
			d.Problem(n, "%s is not a file path", text.QuoteShort(s))
		case s == "~" || strings.HasPrefix(s, "~/"):
			d.Problem(n, "~ stands for the home folder only in a shell: write the full path instead of %s", text.QuoteShort(s))
		default:
			return d.Path(s), true
		}
		return "", false
	})
}

// List is a list with at least one item. An empty list is a problem, because some people expect
// that it means none, and others expect that it means all. The result has one element for each
// item, including invalid items.
func List[T any](of Type[T]) Type[[]T] {
	read := func(d *Decoder, n *yaml.Node) ([]T, bool) {
		if !d.Is(n, yaml.SequenceNode, "a list") {
			return nil, false
		}
		if len(n.Content) == 0 {
			d.Problem(n, "the list is empty, which could mean none or all; add items, or leave out the key")
			return nil, false
		}
		vs, ok := make([]T, len(n.Content)), true
		for i, item := range n.Content {
			v, good := of.Read(d, item)
			vs[i], ok = v, ok && good
		}
		return vs, ok
	}
	return Type[[]T]{Kind: "list of " + plural(of.Kind), Keys: of.Keys, Read: read}
}

// Named is an entry of a Dictionary.
type Named[T any] struct {
	Name  string
	Value T
	From  *Decoder
	Node  *yaml.Node // the node of the name
}

// Dictionary is a mapping whose keys are any names. The result is in the order of the file. The
// result also contains entries with an invalid value, because other sections can refer to the
// names of such entries.
func Dictionary[T any](of Type[T]) Type[[]Named[T]] {
	read := func(d *Decoder, n *yaml.Node) ([]Named[T], bool) {
		if !d.Is(n, yaml.MappingNode, "a section") {
			return nil, false
		}
		if len(n.Content) == 0 {
			d.Problem(n, "the section is empty; leave out the key")
			return nil, false
		}
		vs, ok := make([]Named[T], 0, len(n.Content)/2), true
		lines := make(map[string]int, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, good := Line.Read(d, n.Content[i])
			if line := lines[name]; good && line > 0 {
				d.Problem(n.Content[i], "the key %s is written twice; the first is in line %d", text.QuoteShort(name), line)
				good = false
			}
			v, read := of.Read(d, n.Content[i+1])
			if good {
				lines[name] = max(1, n.Content[i].Line)
				vs = append(vs, Named[T]{name, v, d, n.Content[i]})
			}
			ok = ok && good && read
		}
		return vs, ok
	}
	return Type[[]Named[T]]{Kind: "map of names to " + plural(of.Kind), Keys: of.Keys, Read: read}
}

// Map is a Dictionary without the positions of its entries.
func Map[T any](of Type[T]) Type[map[string]T] {
	entries := Dictionary(of)
	return Type[map[string]T]{Kind: entries.Kind, Keys: of.Keys, Read: func(d *Decoder, n *yaml.Node) (map[string]T, bool) {
		list, ok := entries.Read(d, n)
		m := make(map[string]T, len(list))
		for _, entry := range list {
			m[entry.Name] = entry.Value
		}
		return m, ok
	}}
}
