// Package strictyaml reads YAML and JSON files. Tables define which keys are allowed.
//
// An unknown key is an error, because a misspelled restriction would otherwise have no effect. A
// key that is written twice, an empty list and an empty value are errors, too. One run reports all
// errors of all files. Each error has a file, a line and a column and, if possible, a suggestion.
//
// A [Type] reads one kind of value. A [Key] is one row of a table: a name, a Type, a default and
// a description. References are generated from the same tables.
package strictyaml

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Type reads one kind of value from YAML into a T.
type Type[T any] struct {
	Kind string // for references: "duration", "list of texts"
	Keys []Row  // the keys of a section, or of the sections of a list
	// Read returns false after it has reported a problem.
	Read func(d *Decoder, n *yaml.Node) (T, bool)
}

// Row describes a key for references.
type Row struct {
	Name     string
	Kind     string
	Keys     []Row
	Required bool
	Default  string // YAML; "": no default
	Means    string
	Example  string // YAML, from the top of the file
	former   []string
}

// Key is a key of a section whose values are stored in an S.
type Key[S any] struct {
	Row
	Read     func(d *Decoder, n *yaml.Node, into *S) bool
	fallback *yaml.Node // the parsed Default
}

// On returns a key. The function put stores the key's value in the section. If the value is
// invalid, put is called with the parts that could be read, so that the section's checks of
// other keys can use these parts.
func On[S, T any](name string, t Type[T], put func(into *S, v T)) *Key[S] {
	return &Key[S]{
		Row: Row{Name: name, Kind: t.Kind, Keys: t.Keys},
		Read: func(d *Decoder, n *yaml.Node, into *S) bool {
			v, ok := t.Read(d, n)
			put(into, v)
			return ok
		},
	}
}

// Says sets the description.
func (k *Key[S]) Says(means string) *Key[S] { k.Means = means; return k }

// Shows sets the example.
func (k *Key[S]) Shows(example string) *Key[S] { k.Example = example; return k }

// Formerly sets a name that the key had before. A file that uses the old name gets an error with
// the new name.
func (k *Key[S]) Formerly(name string) *Key[S] { k.former = append(k.former, name); return k }

// Must makes the key required.
func (k *Key[S]) Must() *Key[S] { k.Required = true; return k }

// Or sets the default. The default is written in YAML and read like any other value, so the
// generated reference always shows the default that applies.
func (k *Key[S]) Or(standard string) *Key[S] {
	k.Default, k.fallback = standard, parseDefault(standard)
	return k
}

func parseDefault(standard string) *yaml.Node {
	var document yaml.Node
	if err := yaml.Load([]byte(standard), &document); err != nil || len(document.Content) != 1 {
		return &yaml.Node{} // no Type accepts this node, so every test of the table fails
	}
	return document.Content[0]
}

// Fallback reads the key's default value into the section.
func (k *Key[S]) Fallback(d *Decoder, into *S) bool { return k.Read(d, k.fallback, into) }

// Decoder reads the nodes of one file.
type Decoder struct {
	*Reader
	File   string // the name of the file in problems
	Access Access
	src    []byte
}

// Path returns the path of a file. A relative path is relative to the folder of the decoder's
// file.
func (d *Decoder) Path(s string) string {
	if filepath.IsAbs(s) {
		return filepath.Clean(s)
	}
	return filepath.Join(filepath.Dir(d.File), s)
}

// Problem reports an error at n.
func (d *Decoder) Problem(n *yaml.Node, format string, args ...any) {
	d.Suggest(n, "", format, args...)
}

// Suggest reports an error at n, with the text that was probably meant.
func (d *Decoder) Suggest(n *yaml.Node, suggestion, format string, args ...any) {
	if d.Full() {
		d.Reported++ // do not format a problem that will not be printed
		return
	}
	d.Report(d.at(n, suggestion, format, args...))
}

// Warn reports something that is allowed but probably not intended.
func (d *Decoder) Warn(n *yaml.Node, format string, args ...any) {
	d.ReportWarning(d.at(n, "", format, args...))
}

func (d *Decoder) at(n *yaml.Node, suggestion, format string, args ...any) Problem {
	p := Problem{File: d.File, Text: fmt.Sprintf(format, args...), Suggestion: suggestion}
	if n != nil {
		p.Line, p.Column = n.Line, n.Column
	}
	return p
}

// Is returns true if n has the given kind. Otherwise it reports a problem. It also refuses
// aliases, anchors, tags and empty values, because with them, the meaning of a file can differ
// from its appearance.
func (d *Decoder) Is(n *yaml.Node, kind yaml.Kind, wanted string) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		d.Problem(n, "aliases (*%s) are not supported; write the value again", n.Value)
	case n.Anchor != "":
		d.Problem(n, "anchors (&%s) are not supported", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0 || n.Tag == "!":
		d.Problem(n, "tags (%s) are not supported", n.Tag)
	case n.Kind == kind && n.Tag != "!!null":
		return true
	case n.Tag == "!!null" && n.Value == "null":
		d.Problem(n, "%s is required, but the value is null; to write the word, put it in quotes", wanted)
	case n.Tag == "!!null":
		d.Problem(n, "%s is required, but there is no value; add it, or leave out the key", wanted)
	case kind == yaml.SequenceNode && n.Kind == yaml.ScalarNode:
		d.Problem(n, "must be a list, not a text; put it in brackets")
	default:
		// The text of the problem does not have the value, because the value could be a secret in
		// the wrong place.
		is := map[yaml.Kind]string{yaml.MappingNode: "a section", yaml.SequenceNode: "a list"}[n.Kind]
		if is == "" {
			is = "a text"
		}
		d.Problem(n, "must be %s, not %s", wanted, is)
	}
	return false
}

// Nearest returns the known word that was probably meant, or "" if no word is similar. It also
// returns "" if the reader is Full, because then problems are only counted.
func (d *Decoder) Nearest(word string, known []string) string {
	if d.Full() {
		return ""
	}
	return text.Nearest(word, known)
}

// Section is a mapping with the given keys. The checks run only if all keys could be read.
func Section[S any](keys []*Key[S], checks ...func(d *Decoder, n *yaml.Node, s *S)) Type[S] {
	rows, fallbacks := make([]Row, len(keys)), make([]*yaml.Node, len(keys))
	for i, k := range keys {
		rows[i], fallbacks[i] = k.Row, k.fallback
	}
	return Type[S]{Kind: "section", Keys: rows, Read: func(d *Decoder, n *yaml.Node) (s S, ok bool) {
		ok = d.section(n, rows, fallbacks, func(i int, n *yaml.Node) bool { return keys[i].Read(d, n, &s) })
		if ok {
			before := d.Reported
			for _, check := range checks {
				check(d, n, &s)
			}
			ok = d.Reported == before
		}
		return s, ok
	}}
}

// section reads a section. It is not generic, because the compiler makes a copy of a generic
// function for each type.
func (d *Decoder) section(n *yaml.Node, rows []Row, fallbacks []*yaml.Node, read func(i int, n *yaml.Node) bool) bool {
	if !d.Is(n, yaml.MappingNode, "a section") {
		return false
	}
	ok := true
	var few [16]int // so that most sections need no allocation
	seen := few[:]  // lines of the keys
	if len(rows) > len(few) {
		seen = make([]int, len(rows))
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if !d.Is(name, yaml.ScalarNode, "a key") {
			ok = false
			continue
		}
		at := len(rows) - 1
		for at >= 0 && rows[at].Name != name.Value {
			at--
		}
		switch {
		case at < 0:
			d.reportUnknown(name, value, rows)
			ok = false
			continue
		case seen[at] > 0:
			d.Problem(name, "the key %q is written twice; the first is in line %d", name.Value, seen[at])
			ok = false
			continue
		}
		seen[at] = max(1, name.Line)
		ok = read(at, value) && ok
	}
	for i := range rows {
		switch {
		case seen[i] > 0:
		case rows[i].Required:
			d.Problem(n, "%s is missing", rows[i].Name)
			ok = false
		case fallbacks[i] != nil:
			ok = read(i, fallbacks[i]) && ok
		}
	}
	return ok
}

// reportUnknown reports an unknown key. If the key is a former name, reportUnknown suggests the
// new name. Otherwise it suggests a similar known key.
func (d *Decoder) reportUnknown(name, value *yaml.Node, rows []Row) {
	var known []string
	var renamed []Row
	for _, r := range rows {
		known = append(known, r.Name)
		if slices.Contains(r.former, name.Value) {
			renamed = append(renamed, r)
		}
	}
	near := d.Nearest(name.Value, known)
	switch now, _ := findRow(renamed, value); {
	case now != "":
		d.Suggest(name, now, "the key %s is now %q", text.QuoteShort(name.Value), now)
	case len(renamed) > 0:
		d.Problem(name, "the key %s is now %q or %q", text.QuoteShort(name.Value), renamed[0].Name, renamed[1].Name)
	case near != "":
		d.Suggest(name, near, "unknown key %s", text.QuoteShort(name.Value))
	case len(known) == 0:
		d.Problem(name, "unknown key %s; no keys are allowed here", text.QuoteShort(name.Value))
	default:
		d.Problem(name, "unknown key %s; the keys here are %s", text.QuoteShort(name.Value), strings.Join(known, ", "))
	}
}

// findRow compares a section with the rows and the rows below them. It finds the row that has the
// most keys of the section, not counting the keys of rows below it. It returns the path of this
// row, and how many keys of the section the row has. If several rows have equally many, the path
// is "".
func findRow(rows []Row, section *yaml.Node) (path string, most int) {
	most = -1
	for _, r := range rows {
		own := 0
		for _, k := range r.Keys {
			if Has(section, k.Name) {
				own++
			}
		}
		at := r.Name
		if inner, n := findRow(r.Keys, section); n > own && inner != "" {
			at, own = r.Name+"."+inner, n
		}
		switch {
		case own > most:
			path, most = at, own
		case own == most:
			path = ""
		}
	}
	return path, most
}

// At returns the node at a path of keys and list indexes below n. If this node does not exist, At
// returns the last node of the path that exists, so that a problem always has a position.
func At(n *yaml.Node, path ...any) *yaml.Node {
	for _, step := range path {
		next := (*yaml.Node)(nil)
		switch step := step.(type) {
		case string:
			for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content) && next == nil; i += 2 {
				if n.Content[i].Value == step {
					next = n.Content[i+1]
				}
			}
		case int:
			if n.Kind == yaml.SequenceNode && step >= 0 && step < len(n.Content) {
				next = n.Content[step]
			}
		}
		if next == nil {
			break
		}
		n = next
	}
	return n
}

// Has reports whether the mapping n has the key.
func Has(n *yaml.Node, name string) bool { return At(n, name) != n }
