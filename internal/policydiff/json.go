package policydiff

import (
	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Comparison is the JSON form of a Difference and of the two policies that differ.
type Comparison struct {
	From      explain.Period `json:"from" doc:"The earlier policy"`
	To        explain.Period `json:"to" doc:"The later policy"`
	Rules     []ruleChange   `json:"rules" nullable:"false" doc:"The rules that differ"`
	More      int            `json:"more,omitempty" doc:"How many other rules differ"`
	Roles     []roleChange   `json:"roles" nullable:"false" doc:"The roles that differ"`
	Reordered bool           `json:"reordered,omitempty" doc:"Whether the rules are the same in another order. If several rules match, the order decides which of them a decision names"`
}

type ruleChange struct {
	Change string `json:"change" enum:"added,changed,removed" doc:"How it differs"`
	explain.RuleName
	Before *WrittenRule `json:"before,omitempty" doc:"The earlier rule; absent if it was added"`
	After  *WrittenRule `json:"after,omitempty" doc:"The later rule; absent if it was removed"`
}

type roleChange struct {
	Change string       `json:"change" enum:"added,changed,removed" doc:"How it differs"`
	Role   string       `json:"role" doc:"Its name" example:"writer"`
	Before *writtenRole `json:"before,omitempty" doc:"The earlier role; absent if it was added"`
	After  *writtenRole `json:"after,omitempty" doc:"The later role; absent if it was removed"`
}

// WrittenRule is a rule with the keys of tidewaiter.yaml.
type WrittenRule ruleset.Rule

type writtenRole struct {
	Actions  []string `json:"actions" nullable:"false" doc:"What the role may do" example:"[\"pull\"]"`
	Lifetime string   `json:"lifetime,omitempty" doc:"The maximum lifetime of tokens with a grant by the role" example:"5m"`
}

// NewComparison compares two policies and lists the rules that differ. The list has at most limit
// rules. Comparison.More is the number of differing rules that are not in the list.
func NewComparison(from, to *rulebook.Period, limit int) Comparison {
	c := Compare(from.Source, to.Source)
	j := Comparison{From: explain.NewPeriod(from), To: explain.NewPeriod(to), Reordered: c.Reordered, Rules: []ruleChange{}, Roles: []roleChange{}}
	if more := len(c.Rules) - limit; more > 0 {
		c.Rules, j.More = c.Rules[:limit], more
	}
	for _, r := range c.Rules {
		named := r.After
		if named == nil {
			named = r.Before
		}
		j.Rules = append(j.Rules, ruleChange{change(r.Before, r.After), explain.NewRuleName(named), writtenRule(r.Before), writtenRule(r.After)})
	}
	for _, r := range c.Roles {
		j.Roles = append(j.Roles, roleChange{change(r.Before, r.After), r.Name, newWrittenRole(r.Before), newWrittenRole(r.After)})
	}
	return j
}

func change[T any](before, after *T) string {
	switch {
	case before == nil:
		return "added"
	case after == nil:
		return "removed"
	}
	return "changed"
}

func writtenRule(r *policy.Rule) *WrittenRule {
	if r == nil {
		return nil
	}
	return (*WrittenRule)(ruleset.AsWritten(r))
}

func newWrittenRole(r *policy.Role) *writtenRole {
	if r == nil {
		return nil
	}
	w := &writtenRole{Actions: explain.ActionNames(r.Actions)}
	if r.Lifetime > 0 {
		w.Lifetime = text.Duration(r.Lifetime)
	}
	return w
}
