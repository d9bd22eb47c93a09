package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

// valueType is one kind of value: what the reference calls it, and how a T is read from YAML.
type valueType[T any] struct {
	kind string
	keys []row // of a section, or of the sections of a list
	// read returns false after telling a problem.
	read func(d *decoder, n *yaml.Node) (T, bool)
}

// row is what the reference says of a key.
type row struct {
	name     string
	kind     string
	keys     []row
	required bool
	standard string // YAML of what holds where the key is missing; "" if nothing does
	means    string
	example  string // YAML from the top of the file
	former   string // what it was called before; "": it has its first name
}

// key is a key of a section that is kept in an S: one line of the tables in keys.go, which readers of
// the code, the decoder and the reference share.
type key[S any] struct {
	row
	read     func(d *decoder, n *yaml.Node, into *S) bool
	fallback *yaml.Node // standard, parsed
}

// on returns a key whose value is put into the section by put.
func on[S, T any](name string, s valueType[T], put func(into *S, v T)) key[S] {
	return key[S]{
		row: row{name: name, kind: s.kind, keys: s.keys},
		read: func(d *decoder, n *yaml.Node, into *S) bool {
			v, ok := s.read(d, n)
			put(into, v) // what is good of it, so that the rest is checked against it
			return ok
		},
	}
}

// says sets the meaning.
func (k key[S]) says(means string) key[S] { k.means = means; return k }

// shows sets the example.
func (k key[S]) shows(example string) key[S] { k.example = example; return k }

// formerly sets what the key was called before: who still writes that is told its name.
func (k key[S]) formerly(name string) key[S] { k.former = name; return k }

// must makes the key required.
func (k key[S]) must() key[S] { k.required = true; return k }

// or sets what holds where the key is missing: YAML, read like any other value, so that the reference
// cannot say another default than there is.
func (k key[S]) or(standard string) key[S] {
	k.standard = standard
	var document yaml.Node
	if err := yaml.Load([]byte(standard), &document); err != nil || len(document.Content) != 1 {
		k.fallback = &yaml.Node{} // no shape takes it: a slip in the tables fails every Load
		return k
	}
	k.fallback = document.Content[0]
	return k
}

// decoder reads the nodes of one file.
type decoder struct {
	file        string // as problems name it
	src         []byte // its text
	dir         string // what its relative paths count from
	open        access
	env         func(string) (string, bool)
	disk        disk
	diagnostics *report

	conditions *when.Compiler // shared by all files, so that equal conditions are compiled once
}

// problem tells of a mistake at n.
func (d *decoder) problem(n *yaml.Node, format string, args ...any) {
	d.suggest(n, "", format, args...)
}

// suggest tells of a mistake at n and of what may have been meant.
func (d *decoder) suggest(n *yaml.Node, suggestion, format string, args ...any) {
	if d.diagnostics.full() {
		d.diagnostics.reported++ // and not put into words
		return
	}
	d.diagnostics.problem(d.at(n, suggestion, format, args...))
}

// warn tells of what is allowed and probably not meant.
func (d *decoder) warn(n *yaml.Node, format string, args ...any) {
	d.diagnostics.warn(d.at(n, "", format, args...))
}

func (d *decoder) at(n *yaml.Node, suggestion, format string, args ...any) Problem {
	p := Problem{File: d.file, Text: fmt.Sprintf(format, args...), Suggestion: suggestion}
	if n != nil {
		p.Line, p.Column = n.Line, n.Column
	}
	return p
}

// is tells whether n is of the kind that is wanted.
func (d *decoder) is(n *yaml.Node, kind yaml.Kind, wanted string) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		d.problem(n, "aliases (*%s) are not read here; write out what it stands for", n.Value)
	case n.Anchor != "":
		d.problem(n, "anchors (&%s) are not read here", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0 || n.Tag == "!":
		d.problem(n, "tags (%s) are not read here", n.Tag)
	case n.Kind == kind && n.Tag != "!!null":
		return true
	case n.Tag == "!!null" && n.Value == "null":
		d.problem(n, "%s is required, and null is nothing; quote it to mean the word", wanted)
	case n.Tag == "!!null":
		d.problem(n, "%s is required, but there is no value; add it, or leave out the key", wanted)
	case kind == yaml.SequenceNode && n.Kind == yaml.ScalarNode:
		d.problem(n, "must be a list, not a text; put it in brackets")
	default:
		d.problem(n, "must be %s, not %s", wanted, kindOf(n))
	}
	return false
}

// kindOf names what n is. It does not repeat it: a secret in the wrong place is a secret still.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a text"
}

// maxKeys is the most that a table in keys.go has.
const maxKeys = 16

// section is a mapping with known keys. An unknown key is a problem, since what it was to say would not
// hold; so are a repeated key and a missing one that is required. The checks run when all keys were read.
func section[S any](keys []key[S], checks ...func(d *decoder, n *yaml.Node, s *S)) valueType[S] {
	names := make([]string, len(keys))
	rows := make([]row, len(keys))
	for i, k := range keys {
		names[i], rows[i] = k.name, k.row
	}
	read := func(d *decoder, n *yaml.Node) (s S, ok bool) {
		if !d.is(n, yaml.MappingNode, "a section") {
			return s, false
		}
		ok = true
		var seen [maxKeys]int // lines
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, value := n.Content[i], n.Content[i+1]
			if !d.is(name, yaml.ScalarNode, "a key") {
				ok = false
				continue
			}
			at := slices.Index(names, name.Value)
			switch {
			case at < 0:
				d.unknown(name, rows)
				ok = false
				continue
			case seen[at] > 0:
				d.problem(name, "the key %q is written twice; the first is in line %d", name.Value, seen[at])
				ok = false
				continue
			}
			seen[at] = max(1, name.Line)
			ok = keys[at].read(d, value, &s) && ok
		}
		for i := range keys {
			switch {
			case seen[i] > 0:
			case keys[i].required:
				d.problem(n, "%s is missing", names[i])
				ok = false
			case keys[i].fallback != nil:
				ok = keys[i].read(d, keys[i].fallback, &s) && ok
			}
		}
		if ok {
			before := d.diagnostics.reported
			for _, check := range checks {
				check(d, n, &s)
			}
			ok = d.diagnostics.reported == before
		}
		return s, ok
	}
	return valueType[S]{kind: "section", keys: rows, read: read}
}

// unknown reports a key that is not in a table: its new name if it was renamed, or a known key that
// is similar.
func (d *decoder) unknown(name *yaml.Node, rows []row) {
	var known, renamed []string
	for _, r := range rows {
		known = append(known, r.name)
		if r.former != "" && r.former == name.Value {
			renamed = append(renamed, r.name)
		}
	}
	near := d.nearest(name.Value, known)
	switch {
	case len(renamed) == 1:
		d.suggest(name, renamed[0], "the key %s has been renamed", text.QuoteShort(name.Value))
	case len(renamed) > 1:
		d.problem(name, "the key %s has been replaced: use %s", text.QuoteShort(name.Value), strings.Join(renamed, " or "))
	case near != "":
		d.suggest(name, near, "unknown key %s", text.QuoteShort(name.Value))
	case len(known) == 0:
		d.problem(name, "unknown key %s; no keys belong here", text.QuoteShort(name.Value))
	default:
		d.problem(name, "unknown key %s; the keys here are %s", text.QuoteShort(name.Value), strings.Join(known, ", "))
	}
}

// nearest returns the known word that was meant, as long as anybody will read it.
func (d *decoder) nearest(word string, known []string) string {
	if d.diagnostics.full() {
		return ""
	}
	return text.Nearest(word, known)
}

// list is a list of at least one. An empty one is a problem: it may have been meant as none or as all.
func list[T any](of valueType[T]) valueType[[]T] {
	read := func(d *decoder, n *yaml.Node) ([]T, bool) {
		if !d.is(n, yaml.SequenceNode, "a list") {
			return nil, false
		}
		if len(n.Content) == 0 {
			d.problem(n, "the list is empty, which could mean none or all; add items, or leave out the key")
			return nil, false
		}
		vs, ok := make([]T, 0, len(n.Content)), true
		for _, item := range n.Content {
			v, good := of.read(d, item)
			vs = append(vs, v) // even if it is not good: places in the list must stay what they are
			ok = ok && good
		}
		return vs, ok
	}
	return valueType[[]T]{kind: "list of " + of.kind, keys: of.keys, read: read}
}

// named is one entry of a mapping whose keys are names that the administrator chose.
type named[T any] struct {
	name  string
	value T
	from  *decoder
	node  *yaml.Node // the name
}

// dictionary is a mapping from names to values, in the order they are written.
func dictionary[T any](of valueType[T]) valueType[[]named[T]] {
	read := func(d *decoder, n *yaml.Node) ([]named[T], bool) {
		if !d.is(n, yaml.MappingNode, "a section") {
			return nil, false
		}
		if len(n.Content) == 0 {
			d.problem(n, "the section is empty; leave out the key")
			return nil, false
		}
		vs, ok := make([]named[T], 0, len(n.Content)/2), true
		lines := make(map[string]int, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, good := line().read(d, n.Content[i])
			if line := lines[name]; good && line > 0 {
				d.problem(n.Content[i], "the key %s is written twice; the first is in line %d", text.QuoteShort(name), line)
				good = false
			}
			v, read := of.read(d, n.Content[i+1])
			if good { // the name is known, whatever is wrong with the value
				lines[name] = max(1, n.Content[i].Line)
				vs = append(vs, named[T]{name, v, d, n.Content[i]})
			}
			ok = ok && good && read
		}
		return vs, ok
	}
	return valueType[[]named[T]]{kind: "names, each with a " + of.kind, keys: of.keys, read: read}
}

// pointer is a shape that can be missing.
func pointer[T any](of valueType[T]) valueType[*T] {
	return valueType[*T]{kind: of.kind, keys: of.keys, read: func(d *decoder, n *yaml.Node) (*T, bool) {
		v, ok := of.read(d, n)
		return &v, ok
	}}
}

// value returns what is written under a key of the mapping n; n itself if it is not there, so that a
// problem always has a place.
func value(n *yaml.Node, name string) *yaml.Node {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				return n.Content[i+1]
			}
		}
	}
	return n
}

// item returns what is at place i of the list n; n itself if there is none.
func item(n *yaml.Node, i int) *yaml.Node {
	if n.Kind == yaml.SequenceNode && i >= 0 && i < len(n.Content) {
		return n.Content[i]
	}
	return n
}

// has reports whether the mapping n has the key.
func has(n *yaml.Node, name string) bool { return value(n, name) != n }
