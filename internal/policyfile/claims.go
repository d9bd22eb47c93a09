package policyfile

import (
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

// ClaimUse is a part of a rule that uses a claim. The claim must have one of certain types.
type ClaimUse struct {
	Rule  string
	File  string
	Place func() Place
	Claim string
	Kinds when.Kinds // the types that the claim can have
	Text  string     // the part of the rule: `claims.attempt == 2`, `${claims.team}`
}

// claimUses appends the uses of claims in the rule.
func (r *writtenRule) claimUses(to []ClaimUse) []ClaimUse {
	for i, pattern := range r.Names {
		for rest := pattern; ; {
			_, after, found := strings.Cut(rest, "${claims.")
			name, after, closed := strings.Cut(after, "}")
			if !found || !closed {
				break
			}
			rest = after
			at := r.nodeAt(ruleset.FieldOf(policy.Problem{Field: "names"}, &r.Rule), i)
			to = append(to, ClaimUse{
				Rule: r.Name, File: r.from.File, Place: func() Place { return Place{at.Line, at.Column} }, Claim: name,
				Kinds: when.Text | when.Number | when.Bool | when.List, Text: "${claims." + name + "}",
			})
		}
	}
	if r.When == nil {
		return to
	}
	n := r.nodeAt("when")
	for _, use := range when.Uses(r.When) {
		// The place is computed only when it is needed, because computing it is slow, and most
		// uses have no problem.
		place := func() Place {
			line, column := r.from.Position(n, use.Line, use.Column)
			return Place{line, column}
		}
		to = append(to, ClaimUse{Rule: r.Name, File: r.from.File, Place: place, Claim: use.Claim, Kinds: use.Kinds, Text: use.Text})
	}
	return to
}
