// Package dockerauth answers: what does a configuration of docker_auth mean here?
//
// Import reads the YAML of docker_auth and writes a tidewaiter.yaml that decides alike. Its list
// of authorization is one of which the first entry that matches decides; Tidewaiter's rules have
// no order. order turns the one into the other, exactly:
//
//   - match: {account: "/.+/", name: "${account}/*"}     signed-in may do all with ${user}/*
//     actions: ["*"]
//   - match: {account: "/.+/"}                            signed-in may pull **
//     actions: ["pull"]
//
// What cannot be said exactly is a problem with its place, and nothing is written: a guess would
// open or close something without a word. What docker_auth does that its users mostly do not
// mean, is kept, where keeping it is not worse than saying it, and told: a trap.
//
// What comes from outside of the file, labels and accounts of a directory or a program, is pattern
// text to docker_auth and text to a rule. It may stand in what allows, which is then never more than
// it was, and never in what takes away. So an import never grants what docker_auth refused.
//
// There are things that cannot be asked of Tidewaiter at all, so that they are not asked here
// either: resources of other types than repository and registry, a registry's resources other
// than its catalog, and names that are no repository's. An account with a slash in its name has
// no ${user} in rules.
package dockerauth

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

// Options are what a configuration of docker_auth does not say. The zero value is good.
type Options struct {
	Services       []string // the registries' service names; none: those that the list names
	TrustedProxies []string // networks of proxies that set real_ip_header

	Read func(string) ([]byte, error) // reads certificates and keys; nil: os.ReadFile
	Look func(string) (string, error) // finds a program; nil: exec.LookPath
	Now  func() time.Time             // nil: time.Now
}

// Kind is what a Note tells of.
type Kind string

// The kinds of notes, in the order of a report.
const (
	Todo    Kind = "to do"   // something that only the reader knows
	Trap    Kind = "trap"    // docker_auth does something there that is mostly not meant
	Changed Kind = "changed" // it is here, in another way
	Left    Kind = "left out"
	Kept    Kind = "kept"
)

// Note is one line of the report.
type Note struct {
	Kind         Kind
	Line, Column int // of docker_auth's file; 0: of none
	Text         string
}

// Result is what became of a configuration.
type Result struct {
	Text  []byte // tidewaiter.yaml. It holds the hashes that were in the input
	Notes []Note // in the order of their kinds and lines; at the end what is so with every such configuration
	Rules int
}

// Import turns the text of a configuration of docker_auth, which file names, into one of
// Tidewaiter. The error is config.Problems, with all that keeps it from being exact.
func Import(file string, src []byte, o Options) (*Result, error) {
	if o.Read == nil {
		o.Read = os.ReadFile
	}
	if o.Look == nil {
		o.Look = exec.LookPath
	}
	o.Now = clock.Wall(o.Now)
	i := &importer{Options: o, reader: reader{file: file}, compiler: when.NewCompiler(), labels: map[string]labelled{}, statics: map[string]map[string][]string{}}
	if root := i.parse(src); root != nil {
		i.all(root)
	}
	if len(i.problems) > 0 {
		slices.SortStableFunc(i.problems, func(a, b config.Problem) int {
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

// String returns the note as a person reads it: `line 12: trap: …`.
func (n Note) String() string {
	if n.Line == 0 {
		return fmt.Sprintf("%s: %s", n.Kind, n.Text)
	}
	return fmt.Sprintf("line %d: %s: %s", n.Line, n.Kind, n.Text)
}
