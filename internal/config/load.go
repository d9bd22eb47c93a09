package config

import (
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/policy/when"
)

// Options are what a config does not say of itself. The zero value is good.
type Options struct {
	Keys string                      // a folder with cert.pem and privatekey.pem: the signing root, whatever the config says
	Env  func(string) (string, bool) // nil: os.LookupEnv

	ClaimUses bool // whether Config says where rules need claims to be of some type: for a check

	Parallel int // how many cores parsing may take; 0: all

	// Seen is told each YAML file that is looked for, and each pattern of them, also if the config is wrong. nil: nobody is.
	Seen func(folder, name string)
}

// defaultKeys is the folder of the signing root where nobody names one.
const defaultKeys = "/keys"

// maxPolicyFiles bounds what patterns can match.
const maxPolicyFiles = 10_000

// Load reads a config and the policy files that it names, secrets included. Whether keys, certificates
// and password files can be opened is looked at; what is in them is for those who use them.
// The error is Problems, with all that is wrong; there is no Config then.
func Load(file string, o Options) (*Config, error) {
	return load(file, o, osFS{})
}

func load(file string, o Options, disk disk) (*Config, error) {
	l := newLoader(o, disk)
	c := l.load(file)
	if err := l.report.err(); err != nil {
		return nil, err
	}
	c.Warnings = l.report.sorted(l.report.warnings)
	return c, nil
}

func newLoader(o Options, disk disk) *loader {
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	if o.Parallel <= 0 {
		o.Parallel = runtime.GOMAXPROCS(0)
	}
	if o.Seen == nil {
		o.Seen = func(string, string) {}
	}
	return &loader{options: o, disk: disk, report: &report{}, conditions: when.NewCompiler()}
}

// loader is one Load.
type loader struct {
	options Options
	disk    disk
	report  *report

	conditions *when.Compiler
}

// written is a config as its file has it.
type written struct {
	Config
	policy writtenPolicy
}

func (l *loader) load(file string) *Config {
	l.report.files = []string{file}
	l.options.Seen(filepath.Dir(file), filepath.Base(file))
	f := l.open(file)
	if f.err != nil {
		text := f.err.Error()
		if errors.Is(f.err, fs.ErrNotExist) {
			text += "; name another with --config, or create one with tidewaiter init"
		}
		l.report.problem(Problem{Text: text})
		return nil
	}
	d, ok := l.take(f)
	if !ok {
		return nil
	}
	w, _ := section(configKeys()).read(d, f.node)
	policies := append([]writtenPolicy{w.policy}, l.policies(d, f.node, w.policy.files)...)

	taken := w.Config // a copy: a pointer into w would keep every node of every rule alive
	c := &taken
	c.File = file
	x := crossChecks{d: d, root: f.node, c: c, keys: l.options.Keys}
	x.fill()
	x.check()
	var uses func(*writtenRule)
	if l.options.ClaimUses {
		uses = func(r *writtenRule) { c.ClaimUses = r.uses(c.ClaimUses) }
	}
	c.Rules, c.Policy, c.subjects = compile(policies, x.services(), l.report, uses)
	if len(c.Rules.Rules) == 0 && (c.Authorizer == nil || !c.Authorizer.Replace) {
		d.warn(nil, "there are no rules, so nothing is granted")
	}
	c.Files, c.Watch = l.report.files, !w.policy.rests
	return c
}

// policies reads the policy files that a config names. They are parsed side by side, since that is
// most of the time that a large policy takes, and then taken in the order of their names.
func (l *loader) policies(d *decoder, root *yaml.Node, patterns []filesPattern) []writtenPolicy {
	names := value(value(root, "policy"), "files")
	var files []string
	var places []*yaml.Node
	for i, pattern := range patterns {
		if pattern.name == "" {
			continue // its problem has been told
		}
		l.options.Seen(pattern.folder, pattern.name)
		matches := []string{filepath.Join(pattern.folder, pattern.name)}
		if pattern.isPattern() {
			var err error
			if matches, err = l.matches(pattern); err != nil {
				d.problem(item(names, i), "%v", err)
			} else if len(matches) == 0 {
				d.suggest(item(names, i), l.otherEnding(pattern, item(names, i).Value), "no file in %s matches %s", pattern.folder, pattern.name)
			}
		}
		for _, file := range matches {
			if !slices.Contains(files, file) {
				files = append(files, file)
				places = append(places, item(names, i))
			}
		}
	}
	if len(files) > maxPolicyFiles {
		d.problem(names, "these are %d files; the limit is %d", len(files), maxPolicyFiles)
		return nil
	}

	opened := make([]opened, len(files))
	var wait sync.WaitGroup
	lane := make(chan struct{}, l.options.Parallel)
	for i, file := range files {
		wait.Go(func() {
			lane <- struct{}{}
			opened[i] = l.open(file)
			<-lane
		})
	}
	wait.Wait()

	l.report.files = append(l.report.files, files...)
	policies := make([]writtenPolicy, 0, len(files))
	for i, f := range opened {
		if f.err != nil {
			meant := ""
			if errors.Is(f.err, errFolder) {
				meant = strings.TrimSuffix(places[i].Value, "/") + "/*.yaml"
			}
			d.suggest(places[i], meant, "%v", f.err)
			continue
		}
		if from, ok := l.take(f); ok {
			p, _ := section(policyFileKeys()).read(from, f.node)
			policies = append(policies, p)
		}
	}
	return policies
}

// matches returns the files that a pattern stands for. As in a shell, one whose name begins with a dot
// is not among them: editors keep theirs so.
func (l *loader) matches(pattern filesPattern) ([]string, error) {
	names, err := l.disk.list(pattern.folder)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, name := range names {
		match, _ := filepath.Match(pattern.name, name) // it was checked to be a pattern
		if match && (name[0] != '.' || pattern.name[0] == '.') {
			files = append(files, filepath.Join(pattern.folder, name))
		}
	}
	return files, nil
}

// otherEnding returns what is written as a pattern with .yaml for .yml, or the reverse, if that matches a file.
func (l *loader) otherEnding(pattern filesPattern, written string) string {
	for ending, other := range map[string]string{".yaml": ".yml", ".yml": ".yaml"} {
		name, ok := strings.CutSuffix(pattern.name, ending)
		if !ok {
			continue
		}
		if files, err := l.matches(filesPattern{pattern.folder, name + other}); err == nil && len(files) > 0 {
			return strings.TrimSuffix(written, ending) + other
		}
	}
	return ""
}

// opened is a file that was read and parsed, by whatever goroutine.
type opened struct {
	file   string
	src    []byte
	open   access
	node   *yaml.Node // nil if it could not be parsed
	report report
	err    error // it could not be read
}

func (l *loader) open(file string) opened {
	src, open, err := l.disk.read(file, maxFile)
	f := opened{file: file, src: src, open: open, err: err}
	if err == nil {
		f.node = parse(file, src, l.options.Parallel, &f.report)
	}
	return f
}

// each opens files in turn, and gives the decoder and the top of each that could be read. What is wrong with one, or that it is not
// there, is a problem, and the next follows.
func (l *loader) each(files []string) iter.Seq2[*decoder, *yaml.Node] {
	l.report.files = files
	return func(yield func(*decoder, *yaml.Node) bool) {
		for _, file := range files {
			f := l.open(file)
			if f.err != nil {
				l.report.problem(Problem{Text: f.err.Error()})
				continue
			}
			if d, ok := l.take(f); ok && !yield(d, f.node) {
				return
			}
		}
	}
}

// take takes up the problems of a file, and returns the decoder for its nodes, if there are any.
func (l *loader) take(f opened) (*decoder, bool) {
	for _, p := range f.report.problems {
		l.report.problem(p)
	}
	for _, warning := range f.open.warnings("it", false) {
		l.report.warn(Problem{File: f.file, Text: warning})
	}
	d := &decoder{
		file: f.file, src: f.src, dir: filepath.Dir(f.file), open: f.open,
		env: l.options.Env, disk: l.disk, diagnostics: l.report, conditions: l.conditions,
	}
	return d, f.node != nil
}
