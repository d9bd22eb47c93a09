package htpasswd

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// maxLine is the maximum length of a line in bytes. It has space for the longest name and the
// longest hash.
const maxLine = 1 << 10

// maxProblems is the maximum number of reported problems. In a file that is not an htpasswd
// file, each line is a problem.
const maxProblems = 100

// maxSample is the maximum number of hashes that Dummy chooses from.
const maxSample = 1024

// entries has the entries that were loaded from the file and the config. It never changes.
type entries struct {
	named  map[string]entry
	sample []string // some of the hashes, spread evenly over all hashes
}

type entry struct {
	hash      string
	principal *policy.Principal
}

// generation returns a text that identifies the entry's hash without revealing it.
func (e *entry) generation() string {
	sum := sha256.Sum256([]byte("htpasswd generation\x00" + e.hash))
	return hex.EncodeToString(sum[:])
}

// Problem is one error in the file, the entries or the groups.
type Problem struct {
	File       string // "" for entries and groups of the config
	Line       int    // line of the file or number of the entry, from 1; 0: a group
	Group      string // group with an unknown member
	Member     string // the unknown member
	Claims     string // name with claims but without an entry
	Text       string // "\"ann\" is already on line 3"; never contains a hash
	Suggestion string // the nearest name, for groups; may be ""
}

// String returns "users.htpasswd:7: …", "entry 7: …" or "group g: …".
func (p Problem) String() string {
	var where string
	switch {
	case p.Claims != "":
		where = fmt.Sprintf("claims of %q", p.Claims)
	case p.Line == 0:
		where = fmt.Sprintf("group %q", p.Group)
	case p.File == "":
		where = fmt.Sprintf("entry %d", p.Line)
	default:
		where = fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	if p.Suggestion != "" {
		return fmt.Sprintf("%s: %s (did you mean %q?)", where, p.Text, p.Suggestion)
	}
	return where + ": " + p.Text
}

// Problems lists all problems, at most maxProblems of each kind: lines of the file, entries, and
// groups.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// parser collects entries and problems.
type parser struct {
	source   string
	memberOf map[string][]string // name -> groups, sorted
	claims   map[string]map[string]any
	named    map[string]entry
	order    []string            // hashes
	lineOf   map[string]position // name -> entry, valid or invalid
	problems Problems
}

// position is the place of an entry: a line of the file, or the number of an entry in the config.
type position struct {
	file bool
	line int
}

// parse builds the entries of the file and the config. If a member of a group has no entry, parse
// also returns a problem for this member. At the start of Tidewaiter, such members are an error.
// Later, they are only logged, because a user can be removed from the file at any time.
func (f *File) parse(text []byte) (e *entries, unknownMembers Problems, err error) {
	p := f.parser(text)
	unknownMembers = f.unknownMembers(p.lineOf)
	if len(p.problems) > 0 {
		return nil, nil, append(p.problems, unknownMembers...)
	}
	return &entries{named: p.named, sample: sampleOf(p.order, maxSample)}, unknownMembers, nil
}

// parser returns a parser that has read the lines of the file and the entries of the config.
func (f *File) parser(text []byte) *parser {
	p := &parser{source: f.name, memberOf: make(map[string][]string), claims: f.claims}
	for group, names := range f.groups {
		for _, name := range names {
			if !slices.Contains(p.memberOf[name], group) {
				p.memberOf[name] = append(p.memberOf[name], group)
			}
		}
	}
	for _, groups := range p.memberOf {
		slices.Sort(groups)
	}
	lines := bytes.Count(text, []byte{'\n'}) + 1 + len(f.lines)
	p.named, p.lineOf, p.order = make(map[string]entry, lines), make(map[string]position, lines), make([]string, 0, lines)

	number := 0
	for line := range bytes.Lines(bytes.TrimPrefix(text, []byte("\ufeff"))) {
		number++
		p.line(position{file: true, line: number}, f.path, line)
	}
	for i, line := range f.lines {
		p.line(position{line: i + 1}, "", []byte(line.Reveal()))
	}
	return p
}

// Line is one entry of a file, for import.
type Line struct {
	Number int // number of the line, from 1
	Name   string
	Hash   identity.Secret
}

// Read parses the text of a file. It returns the valid lines in order, and Problems if there
// are invalid lines.
func Read(file string, text []byte) ([]Line, error) {
	f := &File{path: file}
	p := f.parser(text)
	lines := make([]Line, 0, len(p.named))
	for name, e := range p.named {
		lines = append(lines, Line{p.lineOf[name].line, name, identity.NewSecret(e.hash)})
	}
	slices.SortFunc(lines, func(a, b Line) int { return cmp.Compare(a.Number, b.Number) })
	if len(p.problems) > 0 {
		return lines, p.problems
	}
	return lines, nil
}

// line parses one line.
func (p *parser) line(at position, file string, raw []byte) {
	wrong := func(format string, args ...any) {
		if len(p.problems) < maxProblems {
			p.problems = append(p.problems, Problem{File: file, Line: at.line, Text: fmt.Sprintf(format, args...)})
		}
	}
	if len(raw) > maxLine {
		wrong("the line is longer than %d bytes", maxLine)
		return
	}
	// Copy the line, so that the entries do not hold the whole file in memory.
	line := strings.TrimRight(string(raw), " \t\r\n")
	if line == "" || line[0] == '#' {
		return
	}
	name, hash, ok := strings.Cut(line, ":")
	if !ok {
		wrong("no colon between a name and a hash")
		return
	}
	if name == "" {
		wrong("no name before the colon")
		return
	}
	if why := username.Problem(name); why != "" {
		wrong("the name %q %s", text.Shorten(name, 100), why)
		return
	}
	if first, ok := p.lineOf[name]; ok {
		wrong("%q is already %s", name, first)
		return
	}
	p.lineOf[name] = at
	if err := password.Check(hash); err != nil {
		wrong("the hash of %q is %s", name, err)
		return
	}
	p.order = append(p.order, hash)
	who := policy.Principal{Kind: policy.User, Name: name, Source: p.source, ID: name, Groups: p.memberOf[name], Claims: p.claims[name]}
	p.named[name] = entry{hash: hash, principal: who.Indexed()}
}

func (p position) String() string {
	if p.file {
		return fmt.Sprintf("on line %d", p.line)
	}
	return fmt.Sprintf("entry %d", p.line)
}

// sampleOf returns at most n of the hashes, evenly spread over the list.
func sampleOf(hashes []string, n int) []string {
	if len(hashes) <= n {
		return hashes
	}
	picked := make([]string, n)
	for i := range picked {
		picked[i] = hashes[i*len(hashes)/n]
	}
	return picked
}
