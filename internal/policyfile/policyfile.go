// Package policyfile reads policies and tests of policies from YAML and JSON files. A policy has
// roles and rules. The position of each part is recorded.
package policyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

// Compiled is a compiled policy and the rules that it was compiled from.
type Compiled struct {
	Policy    *policy.Policy
	Rules     policy.Source
	Services  []string // the names of the registries; nil: unknown
	Files     []string // all files that were read
	Shadow    []string // the files of the shadow policy; Compile does not read them
	Database  string   // the URL of the database whose rules must be added; "": no database
	ClaimUses []ClaimUse

	subjects []Place // the places of the subjects of all Rules, in order
}

// Place is a position in a file.
type Place struct{ Line, Column int }

// Subjects yields each subject of each rule with its position.
func (c *Compiled) Subjects(yield func(r *policy.Rule, subject string, at Place) bool) {
	places := c.subjects
	for i := range c.Rules.Rules {
		r := &c.Rules.Rules[i]
		for _, subject := range r.Subjects {
			at := Place{Line: r.Origin.Line}
			if len(places) > 0 { // the rules are from files
				at, places = places[0], places[1:]
			}
			if !yield(r, subject, at) {
				return
			}
		}
	}
}

// Section is the section "policy" of a config, or a file whose top-level keys are roles and
// rules.
type Section struct {
	roles    []strictyaml.Named[policy.Role]
	rules    []writtenRule
	patterns []pattern // only in a config
	shadow   []string  // only in a config
	Unwatch  bool      // do not read the files again when they change; only in a config
	node     *yaml.Node
}

// Sections returns the type of the section "policy" of a config. The compiler c compiles
// conditions.
func Sections(c *when.Compiler) strictyaml.Type[Section] {
	t := strictyaml.Section(append(fileKeys(c),
		strictyaml.On("files", strictyaml.List(filePattern()), func(s *Section, v []pattern) { s.patterns = v }).
			Says("More files with `roles` and `rules` at their top. The last part of a path can be a pattern: `policy/*.yaml` stands for all files whose names match, in the order of their names. Files whose names begin with a dot do not match. Each pattern must match at least one file."),
		strictyaml.On("shadow", strictyaml.List(strictyaml.FilePath("file")), func(s *Section, v []string) { s.shadow = v }).
			Says("Files with `roles` and `rules` at their top, of a shadow policy. It judges each request beside the policy in force, and has no effect. It has these files in place of `roles`, `rules` and `files`, and the same rules of the database. Metrics count the differences. An error in these files is a warning. See [Try a policy on past requests](policy-replay.md#a-shadow-policy)."),
		strictyaml.On("watch", strictyaml.Bool, func(s *Section, v bool) { s.Unwatch = !v }).Or("true").
			Says("Read this file and the policy files again when they change. If one of the files has an error, no change takes effect. With `false`, the files are read again only on SIGHUP."),
	))
	read := t.Read
	t.Read = func(d *strictyaml.Decoder, n *yaml.Node) (s Section, ok bool) {
		s, ok = read(d, n)
		s.node = n
		return s, ok
	}
	return t
}

func fileKeys(c *when.Compiler) []*strictyaml.Key[Section] {
	roles := strictyaml.Dictionary(role())
	roles.Kind = "map of names to lists of actions or sections"
	return []*strictyaml.Key[Section]{
		strictyaml.On("roles", roles, func(s *Section, v []strictyaml.Named[policy.Role]) { s.roles = v }).
			Says("Names for sets of actions, shared by all files: `reader: [pull]`, or with a lifetime `writer: { actions: [pull, push], lifetime: 30m }`."),
		strictyaml.On("rules", strictyaml.List(rule(c)), func(s *Section, v []writtenRule) { s.rules = v }).
			Says("The rules."),
	}
}

// Options are the settings of Compile. The zero value is valid.
type Options struct {
	Conditions *when.Compiler
	Services   []string // the names of the registries; nil: unknown
	ClaimUses  bool     // set Compiled.ClaimUses

	// Seen is called with the folder and the name or pattern of each policy file before the file
	// is read. It may be nil.
	Seen func(folder, name string)
}

// Compile reads the files that the section names, and compiles them together with the section.
// It reports problems to the decoder d. The result is incomplete if Compile has reported a
// problem.
func (s *Section) Compile(d *strictyaml.Decoder, o Options) *Compiled {
	all := append([]Section{*s}, s.files(d, o)...)
	places := make(map[string]string) // by the path of a file
	for _, section := range all {
		for i := range section.rules {
			origin := &section.rules[i].Origin
			place, ok := places[origin.File]
			if !ok {
				place = inFolder(filepath.Dir(d.File), origin.File)
				places[origin.File] = place
			}
			origin.File = place
		}
	}
	compiled := compile(all, d.Reader, o)
	compiled.Shadow = s.shadow
	for _, file := range s.shadow {
		if o.Seen != nil && file != "" {
			o.Seen(filepath.Dir(file), filepath.Base(file))
		}
	}
	return compiled
}

// inFolder returns the path of a file relative to its folder. So explanations, the journal and
// proofs name a rule's place in the same way, wherever a command or the service was started. For a
// file elsewhere, inFolder returns the absolute path.
func inFolder(folder, file string) string {
	absolute, err := filepath.Abs(file)
	if err != nil {
		return file
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return file
	}
	if relative, err := filepath.Rel(folder, absolute); err == nil && filepath.IsLocal(relative) {
		return relative
	}
	return absolute
}

// LoadRules reads several files as one policy. The top-level keys of each file are roles and
// rules. The error is strictyaml.Problems.
func LoadRules(files []string) (*Compiled, error) {
	r := strictyaml.NewReader()
	p := readRules(r, files, "this is a config, which only --config can name: give a file with roles and rules at its top")
	if err := r.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

// File is the content of a file, and its name in problems.
type File struct {
	Name string `json:"name"`
	Text []byte `json:"text"`
}

// ReadRules is LoadRules for files whose content is already in memory. The warnings are about
// rules that are valid but probably not intended.
func ReadRules(files []File) (source policy.Source, warnings strictyaml.Problems, err error) {
	r := &strictyaml.Reader{FS: memory(files)}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Name
		if slices.Contains(names[:i], f.Name) {
			r.Report(strictyaml.Problem{Text: fmt.Sprintf("there are two files with the name %s", text.QuoteShort(f.Name))})
			return policy.Source{}, nil, r.Err()
		}
	}
	p := readRules(r, names, "this is a config of Tidewaiter: give a file with only its roles and rules at the top")
	if err := r.Err(); err != nil {
		return policy.Source{}, nil, err
	}
	return p.Rules, r.Warnings(), nil
}

// memory is a file system whose files are in memory.
type memory []File

func (m memory) Read(name string, limit int64) ([]byte, strictyaml.Access, error) {
	i := slices.IndexFunc(m, func(f File) bool { return f.Name == name })
	if int64(len(m[i].Text)) > limit {
		return nil, 0, fmt.Errorf("opening %s: it is larger than %d bytes", name, limit)
	}
	return m[i].Text, 0, nil
}

func (memory) Check(string) (strictyaml.Access, error) { return 0, fs.ErrNotExist }

func (memory) List(string) ([]string, error) { return nil, fs.ErrNotExist }

// readRules reads files of rules. If a file is a whole config, readRules reports the text
// notThis as the problem.
func readRules(r *strictyaml.Reader, files []string, notThis string) *Compiled {
	o := Options{Conditions: when.NewCompiler()}
	read := strictyaml.Section(fileKeys(o.Conditions)).Read
	var sections []Section
	for d, node := range r.Open(files, nil) {
		if strictyaml.Has(node, "policy") {
			d.Problem(node, "%s", notThis)
			continue
		}
		s, _ := read(d, node)
		sections = append(sections, s)
	}
	return compile(sections, r, o)
}

// maxFiles limits the number of files that patterns match.
const maxFiles = 10_000

// files reads the files that the section names.
func (s *Section) files(d *strictyaml.Decoder, o Options) []Section {
	var files []string
	var places []*yaml.Node
	for i, p := range s.patterns {
		if p.name == "" {
			continue // the pattern's problem has been reported
		}
		if o.Seen != nil {
			o.Seen(p.folder, p.name)
		}
		at := strictyaml.At(s.node, "files", i)
		matches := []string{filepath.Join(p.folder, p.name)}
		if p.matchesMany() {
			var err error
			if matches, err = p.files(d); err != nil {
				d.Problem(at, "%v", err)
			} else if len(matches) == 0 {
				d.Suggest(at, p.otherEnding(d, at.Value), "no file in %s matches %s", p.folder, p.name)
			}
		}
		for _, file := range matches {
			if !slices.Contains(files, file) {
				files, places = append(files, file), append(places, at)
			}
		}
	}
	if len(files) > maxFiles {
		d.Problem(strictyaml.At(s.node, "files"), "these are %d files; the limit is %d", len(files), maxFiles)
		return nil
	}
	sections := make([]Section, 0, len(files))
	read := strictyaml.Section(fileKeys(o.Conditions)).Read
	for from, node := range d.Open(files, func(i int, err error) {
		meant := ""
		if errors.Is(err, strictyaml.ErrFolder) {
			meant = strings.TrimSuffix(places[i].Value, "/") + "/*.yaml"
		}
		d.Suggest(places[i], meant, "%v", err)
	}) {
		s, _ := read(from, node)
		sections = append(sections, s)
	}
	return sections
}

// pattern is a file, or the files of a folder whose names match.
type pattern struct{ folder, name string }

// filePattern is the type of a path whose last part can be a pattern. The folders of the path
// cannot be patterns. Otherwise an unreadable folder would be skipped, and its deny rules would
// have no effect.
func filePattern() strictyaml.Type[pattern] {
	path := strictyaml.FilePath("file pattern")
	return strictyaml.Type[pattern]{Kind: path.Kind, Read: func(d *strictyaml.Decoder, n *yaml.Node) (pattern, bool) {
		file, ok := path.Read(d, n)
		if !ok {
			return pattern{}, false
		}
		folder, name := filepath.Split(filepath.Clean(n.Value))
		if (pattern{name: folder}).matchesMany() {
			d.Problem(n, "only the last part of a path can be a pattern")
			return pattern{}, false
		}
		if _, err := filepath.Match(name, ""); err != nil {
			d.Problem(n, "%s is not a pattern: a bracket is not closed, or nothing follows a backslash", text.QuoteShort(name))
			return pattern{}, false
		}
		return pattern{filepath.Dir(file), name}, true
	}}
}

func (p pattern) matchesMany() bool { return strings.ContainsAny(p.name, `*?[\`) }

// files returns the files that match. Names that begin with a dot do not match, because editors
// use such names for temporary files. Shells do the same.
func (p pattern) files(d *strictyaml.Decoder) ([]string, error) {
	names, err := d.List(p.folder)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, name := range names {
		match, _ := filepath.Match(p.name, name) // filePattern has checked the pattern
		if match && (name[0] != '.' || p.name[0] == '.') {
			files = append(files, filepath.Join(p.folder, name))
		}
	}
	return files, nil
}

// otherEnding returns the written pattern with .yaml in place of .yml, or with .yml in place of
// .yaml, if the new pattern matches a file.
func (p pattern) otherEnding(d *strictyaml.Decoder, written string) string {
	for ending, other := range map[string]string{".yaml": ".yml", ".yml": ".yaml"} {
		name, ok := strings.CutSuffix(p.name, ending)
		if !ok {
			continue
		}
		if files, err := (pattern{p.folder, name + other}).files(d); err == nil && len(files) > 0 {
			return strings.TrimSuffix(written, ending) + other
		}
	}
	return ""
}
