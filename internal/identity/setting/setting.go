// Package setting describes errors in the settings of an identity source. Package sources adds
// the position in the configuration file.
package setting

import (
	"fmt"
	"strings"
)

// Problem is an error in the settings of a source.
type Problem struct {
	Field string // config key: "issuer", "user.filter"
	Item  int    // index in a list; -1: the whole field
	Text  string
}

// Problems are all errors in the settings of a source.
type Problems []Problem

// Add appends a problem with a field, or with one item of a list.
func (ps *Problems) Add(field string, item int, format string, args ...any) {
	*ps = append(*ps, Problem{field, item, fmt.Sprintf(format, args...)})
}

// Error returns one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Field + ": " + p.Text
	}
	return strings.Join(lines, "\n")
}
