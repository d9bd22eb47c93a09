package config

import (
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

// ClaimUse is a place in a rule that needs a claim to be of some type.
type ClaimUse struct {
	Rule string
	File string
	Place
	Claim string
	Kinds when.Kinds // what it may be there
	Text  string     // that part of the rule: `claims.attempt == 2`, `${claims.team}`
}

// uses appends the places where the rule needs claims to be of some type.
func (r *writtenRule) uses(to []ClaimUse) []ClaimUse {
	for i, pattern := range r.Names {
		for rest := pattern; ; {
			_, after, found := strings.Cut(rest, "${claims.")
			name, after, closed := strings.Cut(after, "}")
			if !found || !closed {
				break
			}
			rest = after
			at := item(value(r.node, ruleset.FieldOf(policy.Problem{Field: "names"}, &r.Rule)), i)
			to = append(to, ClaimUse{
				Rule: r.Name, File: r.from.file, Place: Place{at.Line, at.Column}, Claim: name,
				Kinds: when.Text | when.Number | when.Bool | when.List, Text: "${claims." + name + "}",
			})
		}
	}
	if r.When == nil {
		return to
	}
	n := value(r.node, "when")
	for _, use := range when.Uses(r.When) {
		line, column := inScalar(r.from.src, n, offset(n.Value, use.Line, use.Column))
		to = append(to, ClaimUse{Rule: r.Name, File: r.from.file, Place: Place{line, column}, Claim: use.Claim, Kinds: use.Kinds, Text: use.Text})
	}
	return to
}
