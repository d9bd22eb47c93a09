package policydiff_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/policydiff"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// ruleIn returns a rule for a repository, in a file.
func ruleIn(file string, line int, name, repository string) policy.Rule {
	return policy.Rule{Name: name, Subjects: []string{"anyone"}, Names: []string{repository}, Actions: scope.Pull, Origin: policy.Origin{File: file, Line: line}}
}

func TestCompare(t *testing.T) {
	a, b, c := ruleIn("a.yaml", 1, "a", "a"), ruleIn("a.yaml", 2, "b", "b"), ruleIn("a.yaml", 3, "c", "c")
	moved, other := ruleIn("other.yaml", 9, "a", "a"), ruleIn("a.yaml", 2, "b", "other")
	reader, writer := policy.Role{Actions: scope.Pull}, policy.Role{Actions: scope.Pull | scope.Push}
	source := func(roles map[string]policy.Role, rules ...policy.Rule) policy.Source {
		return policy.Source{Roles: roles, Rules: rules}
	}
	for what, tt := range map[string]struct {
		before, after policy.Source
		want          policydiff.Difference
	}{
		"equal":           {source(nil, a, b), source(nil, a, b), policydiff.Difference{}},
		"a rule moved":    {source(nil, a, b), source(nil, moved, b), policydiff.Difference{}},
		"another order":   {source(nil, a, b), source(nil, b, a), policydiff.Difference{Reordered: true}},
		"one of each":     {source(nil, a, b), source(nil, other, c), policydiff.Difference{Rules: []policydiff.RuleChange{{&b, &other}, {nil, &c}, {&a, nil}}}},
		"a role of each":  {source(map[string]policy.Role{"x": reader, "y": reader}), source(map[string]policy.Role{"y": writer, "z": reader}), policydiff.Difference{Roles: []policydiff.RoleChange{{"x", &reader, nil}, {"y", &reader, &writer}, {"z", nil, &reader}}}},
		"all are removed": {source(nil, a), source(nil), policydiff.Difference{Rules: []policydiff.RuleChange{{&a, nil}}}},
	} {
		if diff := cmp.Diff(tt.want, policydiff.Compare(tt.before, tt.after)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}
