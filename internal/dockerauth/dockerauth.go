// Package dockerauth imports configurations of docker_auth.
//
// Import reads docker_auth's YAML and writes a tidewaiter.yaml that makes the same decisions. In
// docker_auth's list, the first entry that matches decides. Tidewaiter's rules have no order. The
// function "order" translates the list into rules exactly, for example:
//
//   - match: {account: "/.+/", name: "${account}/*"}     signed-in may do all with ${user}/*
//     actions: ["*"]
//   - match: {account: "/.+/"}                            signed-in may pull **
//     actions: ["pull"]
//
// If a part of the configuration has no exact translation, Import returns an error with the
// position of this part, and writes nothing. A guess would silently grant or refuse something.
// docker_auth has some behavior that users rarely intend. If such behavior is harmless, the import
// keeps it. The import reports all such behavior as traps.
//
// Some values come from outside the file: labels and accounts of a directory or a program.
// docker_auth treats these values as patterns, but a rule treats them as text. So a rule with
// these values can match fewer requests than docker_auth's entry, but never more. The import uses
// these values only in rules that allow. A rule that denies could deny less than docker_auth
// refused.
//
// The import does not consider requests that cannot occur with Tidewaiter: requests for types
// other than repository and registry, for other resources of a registry than its catalog, and
// for names that a repository cannot have. An account with a slash in its name has no ${user}
// in rules.
package dockerauth

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

// Options are settings that a configuration of docker_auth does not contain. The zero value is
// ready to use.
type Options struct {
	Services       []string // the registries' service names; none: those in the list
	TrustedProxies []string // networks of proxies that set real_ip_header

	Read func(string) ([]byte, error) // reads certificates and keys; nil: os.ReadFile
	Look func(string) (string, error) // finds a program; nil: exec.LookPath
	Now  func() time.Time             // nil: time.Now
}

// Kind is the kind of a Note.
type Kind string

// The kinds of notes, in the order of the report.
const (
	Todo    Kind = "to do"   // needs information that only the reader has
	Trap    Kind = "trap"    // behavior that users rarely intend
	Changed Kind = "changed" // works differently in Tidewaiter
	Left    Kind = "left out"
	Kept    Kind = "kept"
)

// Note is one line of the report.
type Note struct {
	Kind   Kind   `json:"kind"`
	Line   int    `json:"line,omitempty"` // of docker_auth's file; 0: no line
	Column int    `json:"column,omitempty"`
	Text   string `json:"text"`
}

// Result is an imported configuration.
type Result struct {
	Text []byte // tidewaiter.yaml. It contains the password hashes of the input
	// Notes are sorted by kind and line. Notes that apply to every configuration come last.
	Notes []Note
	Rules int
}

// Import translates a docker_auth configuration into a Tidewaiter configuration. Messages
// contain the given name of docker_auth's file. The error is a strictyaml.Problems. It lists
// all parts without an exact translation.
func Import(file string, src []byte, o Options) (*Result, error) {
	if o.Read == nil {
		o.Read = os.ReadFile
	}
	if o.Look == nil {
		o.Look = exec.LookPath
	}
	o.Now = clock.Wall(o.Now)
	i := &importer{Options: o, reader: reader{file: file}, compiler: when.NewCompiler(), labels: map[string]labelForm{}, statics: map[string]map[string][]string{}}
	if root := i.parse(src); root != nil {
		i.all(root)
	}
	if len(i.problems) > 0 {
		slices.SortStableFunc(i.problems, func(a, b strictyaml.Problem) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return nil, i.problems
	}
	kinds := []Kind{Todo, Trap, Changed, Left, Kept}
	for _, notes := range [][]Note{i.notes, i.always} {
		slices.SortStableFunc(notes, func(a, b Note) int {
			return cmp.Or(cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)), cmp.Compare(a.Line, b.Line))
		})
	}
	i.notes = append(i.notes, i.always...)
	return &Result{Text: i.write(), Notes: i.notes, Rules: len(i.out.rules)}, nil
}

// String formats the note for people: `line 12: trap: …`.
func (n Note) String() string {
	if n.Line == 0 {
		return fmt.Sprintf("%s: %s", n.Kind, n.Text)
	}
	return fmt.Sprintf("line %d: %s: %s", n.Line, n.Kind, n.Text)
}
