package dockerauth

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Limits of a configuration.
const (
	maxFile  = 8 << 20 // bytes
	maxDepth = 24
)

// reader reads YAML in the same way as docker_auth. In addition, it reports unknown keys, which
// docker_auth ignores.
type reader struct {
	file     string
	problems strictyaml.Problems
	notes    []Note
	always   []Note // general notes about a key, which are written last
	read     int    // keys
}

func (r *reader) problem(n *yaml.Node, format string, args ...any) {
	p := strictyaml.Problem{File: r.file, Line: n.Line, Column: n.Column, Text: fmt.Sprintf(format, args...)}
	if !slices.Contains(r.problems, p) {
		r.problems = append(r.problems, p)
	}
}

func (r *reader) note(kind Kind, n *yaml.Node, format string, args ...any) {
	note := Note{Kind: kind, Text: fmt.Sprintf(format, args...)}
	if n != nil {
		note.Line, note.Column = n.Line, n.Column
	}
	if !slices.Contains(r.notes, note) {
		r.notes = append(r.notes, note)
	}
}

// generalNote adds a note about a key. The note applies to every configuration with the key.
func (r *reader) generalNote(kind Kind, n *yaml.Node, format string, args ...any) {
	notes := r.notes
	r.notes = r.always
	r.note(kind, n, format, args...)
	r.always, r.notes = r.notes, notes
}

// parse returns the root of a document, or nil if there was a problem.
func (r *reader) parse(src []byte) *yaml.Node {
	at := &yaml.Node{Line: 1, Column: 1}
	if len(src) > maxFile {
		r.problem(at, "the file is larger than %d MiB", maxFile>>20)
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(src), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	var document yaml.Node
	if err == nil {
		err = loader.Load(&document)
	}
	var e *yaml.LoadError
	switch {
	case errors.Is(err, io.EOF):
		r.problem(at, "the file is empty")
	case errors.As(err, &e):
		r.problem(&yaml.Node{Line: e.Mark.Line, Column: e.Mark.Column}, "invalid YAML: %s", e.Message)
	case err != nil:
		r.problem(at, "reading YAML: %v", err)
	case len(document.Content) != 1:
		r.problem(at, "the file is empty")
	default:
		return document.Content[0]
	}
	return nil
}

// entryOf is a key with its value.
type entryOf struct {
	name       string
	key, value *yaml.Node
}

// pairs returns the keys of a section as docker_auth reads them. If a key is repeated, the later
// value is used. If both values are sections, their keys are combined. Merged keys (<<) are read
// as if they were written in the section.
func (r *reader) pairs(n *yaml.Node) []entryOf { return r.keys(n, false) }

// members returns the keys of a section such as users. The user can choose these keys. If a key is
// repeated, the later value is used.
func (r *reader) members(n *yaml.Node) []entryOf { return r.keys(n, true) }

func (r *reader) keys(n *yaml.Node, replace bool) []entryOf {
	if n = resolved(n); hasNoValue(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		r.problem(n, "expected keys with values")
		return nil
	}
	return r.gather(nil, n, replace, 0)
}

// Limits of merged keys, which can grow exponentially.
const (
	maxMerged     = 8
	maxMergedKeys = 100_000
)

// gather appends the keys of a section to the given list.
func (r *reader) gather(all []entryOf, n *yaml.Node, replace bool, depth int) []entryOf {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolved(n.Content[i+1])
		if key.Value == "<<" && key.Style == 0 {
			all = r.merge(all, key, value, replace, depth)
			continue
		}
		if r.read++; r.read > maxMergedKeys {
			r.problem(key, "with merged keys (<<) there are more than %d keys: write fewer keys", maxMergedKeys)
			return all
		}
		at := slices.IndexFunc(all, func(e entryOf) bool { return e.name == key.Value })
		if at < 0 {
			all = append(all, entryOf{key.Value, key, value})
			continue
		}
		before := all[at]
		if !replace && before.value.Kind == yaml.MappingNode && value.Kind == yaml.MappingNode {
			both := *value
			both.Content = slices.Concat(before.value.Content, value.Content)
			value = &both
			r.note(Trap, key, "the key %q is written twice (line %d): docker_auth uses both, and so does the import", key.Value, before.key.Line)
		} else {
			r.note(Trap, key, "the key %q is written twice: docker_auth uses this one, not that of line %d", key.Value, before.key.Line)
		}
		all[at] = entryOf{key.Value, key, value}
	}
	return all
}

// merge appends the merged keys of a section or of a list of sections. If several sections of a
// list have the same key, the key of the first section is used.
func (r *reader) merge(all []entryOf, key, value *yaml.Node, replace bool, depth int) []entryOf {
	sections := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		sections = slices.Clone(value.Content)
		slices.Reverse(sections)
	}
	for _, s := range sections {
		switch s = resolved(s); {
		case s.Kind != yaml.MappingNode:
			r.problem(key, "only sections with keys can be merged: write the keys here")
		case depth == maxMerged:
			r.problem(key, "merged sections are nested more than %d deep: write the keys of this one here", maxMerged)
		default:
			all = r.gather(all, s, replace, depth+1)
		}
	}
	return all
}

// section returns the values of the known keys, without empty values. It reports other keys as
// ignored.
func (r *reader) section(n *yaml.Node, known ...string) map[string]*yaml.Node {
	found := make(map[string]*yaml.Node)
	for _, e := range r.pairs(n) {
		if !slices.Contains(known, e.name) {
			r.note(Left, e.key, "docker_auth does not know the key %q and ignores it%s", e.name, suggestKey(e.name, known))
			continue
		}
		if !hasNoValue(e.value) {
			found[e.name] = e.value
		}
	}
	return found
}

func resolved(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

// hasNoValue reports whether a key has no value. A quoted empty text is a value.
func hasNoValue(n *yaml.Node) bool {
	return n == nil || n.Kind == yaml.ScalarNode && n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 &&
		slices.Contains([]string{"", "~", "null", "Null", "NULL"}, n.Value)
}

// text returns a text value, or "" if there is no value.
func (r *reader) text(n *yaml.Node) string {
	if hasNoValue(n) {
		return ""
	}
	if n.Kind != yaml.ScalarNode {
		r.problem(n, "expected text")
		return ""
	}
	return n.Value
}

// texts returns a list of text values.
func (r *reader) texts(n *yaml.Node) []string {
	if hasNoValue(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.problem(n, "expected a list")
		return nil
	}
	all := []string{}
	for _, item := range n.Content {
		all = append(all, r.text(resolved(item)))
	}
	return all
}

func (r *reader) isTrue(n *yaml.Node) bool {
	return n != nil && slices.Contains([]string{"true", "yes", "on", "y"}, strings.ToLower(n.Value))
}

// suggestKey suggests the known key that was probably meant.
func suggestKey(name string, known []string) string {
	if near := text.Nearest(name, known); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return ""
}
