package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/internal/policygen"
	"github.com/tidewaiter/tidewaiter/scope"
)

// validRule calls change with a valid rule, and returns the changed rule.
func validRule(change func(*policy.Rule)) policy.Rule {
	r := policy.Rule{Name: "a", Subjects: []string{"anyone"}, Names: []string{"team/**"}, Actions: scope.Pull}
	change(&r)
	return r
}

func problemsOf(t *testing.T, err error) policy.Problems {
	t.Helper()
	if err == nil {
		return nil
	}
	var problems policy.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("%T: %v", err, err)
	}
	return problems
}

func TestInvalidPatterns(t *testing.T) {
	for _, tt := range []struct{ pattern, text, suggestion string }{
		{"", `is empty`, ""},
		{"/team", `begins with a slash`, "team"},
		{"team/", `ends with a slash`, "team"},
		{"/", `begins with a slash`, ""},
		{"team//app", `has an empty path part`, "team/app"},
		{"///team///app/", `begins with a slash`, "team/app"},
		{"team/***", `has "***"`, "team/**"},
		{"team/a**b", `** must be a whole path part`, "team/a*b"},
		{"team**", `** must be a whole path part`, "team*"},
		{"**/**", `has ** twice in a row`, "**"},
		{"a/**/**/**/b", `has ** twice in a row`, "a/**/b"},
		{"${usr}/**", `unknown placeholder ${usr}`, "${user}/**"},
		{"${account}/**", `unknown placeholder ${account}`, "${user}/**"},
		{"${claim.team}/**", `unknown placeholder`, "${claims.team}/**"},
		{"${claims.}/**", `unknown placeholder`, ""},
		{"${}", `unknown placeholder ${}`, ""},
		{"${user/**", `a ${ without a }`, "${user}/**"},
		{"team/${user", `a ${ without a }`, "team/${user}"},
		{"${user}-dev/**", `must be a whole path part`, ""},
		{"dev-${user}/**", `must be a whole path part`, ""},
		{"${user}${user}", `must be a whole path part`, ""},
		{"Team/App", `upper-case letter 'T'`, "team/app"},
		{"${claims.Team}/App-*", `upper-case letter 'A'`, "${claims.Team}/app-*"},
		{"team/?pp", `'?', which has no meaning in a pattern`, ""},
		{"team/[ab]", `'[', which has no meaning in a pattern`, ""},
		{"team/{a,b}", `'{', which has no meaning in a pattern`, ""},
		{"team/$user", `'$', which has no meaning in a pattern`, ""},
		{"team/a b", `' ', which no repository's name has`, ""},
		{"team/ä", `'ä', which no repository's name has`, ""},
		{"team/a:b", `':', which no repository's name has`, ""},
		{"team/../app", `no repository's name has a part like ".."`, ""},
		{"team/-app", `no repository's name has a part like "-app"`, ""},
		{"team/a..b", `no repository's name has a part like "a..b"`, ""},
		{"team/-*", `no repository's name has a part like "-*"`, ""},
		// a host is valid only before a name
		{"host:5000", `':', which no repository's name has`, ""},
		{strings.Repeat("a", 513), `has 513 bytes, the limit is 512`, ""},
		{strings.Repeat("a/", 63) + "a", `has more than 63 path parts`, ""},
		{strings.Repeat("**/a/", 9) + "b", `has more than 8 parts that are ** or ${claims.NAME}`, ""},
	} {
		t.Run(tt.pattern, func(t *testing.T) {
			_, err := policy.Compile(policy.Source{Rules: []policy.Rule{validRule(func(r *policy.Rule) { r.Names = []string{"fine", tt.pattern} })}})
			problems := problemsOf(t, err)
			if len(problems) != 1 {
				t.Fatalf("problems: %v", err)
			}
			p := problems[0]
			if p.Rule != 0 || p.Field != "names" || p.Item != 1 || !strings.Contains(p.Text, tt.text) || p.Suggestion != tt.suggestion {
				t.Errorf("%+v", p)
			}
			if p.Suggestion != "" {
				policygen.Compile(t, policy.Source{Rules: []policy.Rule{validRule(func(r *policy.Rule) { r.Names = []string{p.Suggestion} })}})
			}
			// Limit.Check must refuse the pattern, like Compile.
			if l := (policy.Limit{Names: []string{tt.pattern}, Actions: scope.Pull}).Check(); len(problemsOf(t, l)) != 1 {
				t.Errorf("the pattern in a limit: %v", l)
			}
		})
	}
}

func TestValidPatterns(t *testing.T) {
	names := []string{
		"**", "*", "team", "team/**", "*/app", "**/app", "a/**/b", "a/**/b/**", "app-*", "*-dev/x", "a*b*c", "a.b/c_d/e__f/g---h",
		"${user}", "${user}/**", "team/${user}/*", "${claims.project_path}/**", "${claims.https://example.com/team}/x",
		"registry.example.com:5000/team/**", "[::1]:5000/team", "a_*_b", "a-*", "0/1/2", strings.Repeat("a", 512),
		strings.Repeat("a/", 62) + "a",
	}
	policygen.Compile(t, policy.Source{Rules: []policy.Rule{validRule(func(r *policy.Rule) { r.Names = names })}})
	if err := (policy.Limit{Names: names, Actions: scope.Pull}).Check(); err != nil {
		t.Error(err)
	}
}

// pointerCondition is a condition with a pointer type. The test uses a nil pointer of this type as
// a condition, because a program could do this by accident.
type pointerCondition struct{ policy.Condition }

func TestInvalidRules(t *testing.T) {
	for _, tt := range []struct {
		change func(*policy.Rule)
		want   policy.Problem
	}{
		{func(r *policy.Rule) { r.Name = "" }, policy.Problem{Field: "name", Item: -1, Text: "has no name"}},
		{func(r *policy.Rule) { r.Name = "first" }, policy.Problem{Field: "name", Item: -1, Text: "is already used by the rule at policy.yaml:7"}},
		{func(r *policy.Rule) { r.Name = "a\nb" }, policy.Problem{Field: "name", Item: -1, Text: "invisible character"}},
		{func(r *policy.Rule) { r.Name = strings.Repeat("a", 201) }, policy.Problem{Field: "name", Item: -1, Text: "the limit is 200"}},

		{func(r *policy.Rule) { r.When = (*pointerCondition)(nil) }, policy.Problem{Field: "when", Item: -1, Text: "is a nil pointer"}},

		{func(r *policy.Rule) { r.Subjects = nil }, policy.Problem{Field: "subjects", Item: -1, Text: "has no subjects"}},
		{func(r *policy.Rule) { r.Subjects = []string{""} }, policy.Problem{Field: "subjects", Text: "is empty"}},
		{func(r *policy.Rule) { r.Subjects = []string{"anyone", "usr:alice"} }, policy.Problem{Field: "subjects", Item: 1, Text: "is not a subject", Suggestion: "user:alice"}},
		{func(r *policy.Rule) { r.Subjects = []string{"User:alice"} }, policy.Problem{Field: "subjects", Text: "is not a subject", Suggestion: "user:alice"}},
		{func(r *policy.Rule) { r.Subjects = []string{"gruop:dev"} }, policy.Problem{Field: "subjects", Text: "is not a subject", Suggestion: "group:dev"}},
		{func(r *policy.Rule) { r.Subjects = []string{"signed_in"} }, policy.Problem{Field: "subjects", Text: "is not a subject", Suggestion: "signed-in"}},
		{func(r *policy.Rule) { r.Subjects = []string{"everybody"} }, policy.Problem{Field: "subjects", Text: "is not a subject", Suggestion: "anyone"}},
		{func(r *policy.Rule) { r.Subjects = []string{"*"} }, policy.Problem{Field: "subjects", Text: "is not a subject", Suggestion: "anyone"}},
		{func(r *policy.Rule) { r.Subjects = []string{"team:dev"} }, policy.Problem{Field: "subjects", Text: "is not a subject", Suggestion: "group:dev"}},
		{func(r *policy.Rule) { r.Subjects = []string{"@dev"} }, policy.Problem{Field: "subjects", Text: "is not a subject", Suggestion: "group:dev"}},
		{func(r *policy.Rule) { r.Subjects = []string{"github:acme/app"} }, policy.Problem{Field: "subjects", Text: "is not a subject", Suggestion: "workload:github:acme/app"}},
		{func(r *policy.Rule) { r.Subjects = []string{"alice"} }, policy.Problem{Field: "subjects", Text: "is not a subject"}},
		{func(r *policy.Rule) { r.Subjects = []string{"user:"} }, policy.Problem{Field: "subjects", Text: "has no name"}},
		{func(r *policy.Rule) { r.Subjects = []string{"user:*"} }, policy.Problem{Field: "subjects", Text: "must not be a pattern", Suggestion: "signed-in"}},
		{func(r *policy.Rule) { r.Subjects = []string{"group:dev-*"} }, policy.Problem{Field: "subjects", Text: "must not be a pattern"}},
		{func(r *policy.Rule) { r.Subjects = []string{"group:${user}"} }, policy.Problem{Field: "subjects", Text: "must not be a pattern"}},
		{func(r *policy.Rule) { r.Subjects = []string{"anyone:alice"} }, policy.Problem{Field: "subjects", Text: "must not have a name", Suggestion: "anyone"}},
		{func(r *policy.Rule) { r.Subjects = []string{"user:alice "} }, policy.Problem{Field: "subjects", Text: "begins or ends with a space", Suggestion: "user:alice"}},
		{func(r *policy.Rule) { r.Subjects = []string{"user:al\u200bice"} }, policy.Problem{Field: "subjects", Text: "invisible character"}},

		{func(r *policy.Rule) { r.Names = nil }, policy.Problem{Field: "names", Item: -1, Text: "has no names"}},
		{func(r *policy.Rule) { r.Subjects, r.Names = []string{"robot:ci"}, []string{"${user}/**"} }, policy.Problem{Field: "names", Text: "can never match"}},
		{func(r *policy.Rule) { r.Subjects, r.Names = []string{"anonymous"}, []string{"${claims.x}/**"} }, policy.Problem{Field: "names", Text: "can never match"}},

		{func(r *policy.Rule) { r.Actions = 0 }, policy.Problem{Field: "actions", Item: -1, Text: "neither a role nor actions"}},
		{func(r *policy.Rule) { r.Actions, r.Deny = 0, true }, policy.Problem{Field: "actions", Item: -1, Text: "neither a role nor actions"}},
		{func(r *policy.Rule) { r.Actions = scope.All }, policy.Problem{Field: "actions", Item: -1, Text: "the type repository has no action *", Suggestion: "pull,push,delete"}},
		{func(r *policy.Rule) { r.Actions = scope.Pull | scope.Read }, policy.Problem{Field: "actions", Item: -1, Text: "the type repository has no action read", Suggestion: "pull"}},
		{func(r *policy.Rule) { r.Actions = 1 << 7 }, policy.Problem{Field: "actions", Item: -1, Text: "unknown action"}},
		{func(r *policy.Rule) { r.Role = "raeder" }, policy.Problem{Field: "role", Item: -1, Text: `no role "raeder"`, Suggestion: "reader"}},
		{func(r *policy.Rule) { r.Role = "owner" }, policy.Problem{Field: "role", Item: -1, Text: `no role "owner"; there are `}},
		{func(r *policy.Rule) { r.Role = "cataloguer" }, policy.Problem{Field: "role", Item: -1, Text: `the role "cataloguer" has *, but the type repository only has pull,push,delete`}},

		{func(r *policy.Rule) { r.Type, r.Names, r.Actions = "registry", []string{"**"}, scope.All }, policy.Problem{Field: "names", Text: "is catalog", Suggestion: "catalog"}},
		{func(r *policy.Rule) { r.Type, r.Names, r.Actions = "registry", []string{"catalog"}, scope.Pull }, policy.Problem{Field: "actions", Item: -1, Text: "the type registry has no action pull", Suggestion: "*"}},
		{func(r *policy.Rule) { r.Type = "repositry" }, policy.Problem{Field: "type", Item: -1, Text: "is not a resource type", Suggestion: "repository"}},
		{func(r *policy.Rule) { r.Type, r.Names = "Artifact", []string{"a"} }, policy.Problem{Field: "type", Item: -1, Text: "cannot be a resource type"}},
		{func(r *policy.Rule) { r.Type, r.Names, r.Actions = "artifact", []string{"a"}, scope.Write }, policy.Problem{Field: "actions", Item: -1, Text: "the type artifact has no action write"}},
		{func(r *policy.Rule) { r.Type = "artifact" }, policy.Problem{Field: "names", Text: "cannot be a pattern"}},
		{func(r *policy.Rule) { r.Type, r.Names = "artifact", []string{"a b"} }, policy.Problem{Field: "names", Text: "that no name of the type artifact has"}},
		{func(r *policy.Rule) { r.Registries = []string{"r", ""} }, policy.Problem{Field: "registries", Item: 1, Text: "the registry is empty"}},
		{func(r *policy.Rule) { r.Lifetime = -time.Second }, policy.Problem{Field: "lifetime", Item: -1, Text: "is negative"}},
	} {
		tt.want.Rule = 1
		t.Run(tt.want.Field+" "+tt.want.Text, func(t *testing.T) {
			_, err := policy.Compile(policy.Source{
				Roles: map[string]policy.Role{"reader": {Actions: scope.Pull}, "cataloguer": {Actions: scope.All}},
				Rules: []policy.Rule{
					validRule(func(r *policy.Rule) { r.Name, r.Origin = "first", policy.Origin{File: "policy.yaml", Line: 7} }),
					validRule(tt.change),
				},
			})
			problems := problemsOf(t, err)
			if len(problems) != 1 {
				t.Fatalf("problems: %v", err)
			}
			got := problems[0]
			if !strings.Contains(got.Text, tt.want.Text) {
				t.Errorf("text %q, want %q in it", got.Text, tt.want.Text)
			}
			got.Text = tt.want.Text
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problem (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInvalidRoles(t *testing.T) {
	_, err := policy.Compile(policy.Source{Roles: map[string]policy.Role{"": {Actions: scope.Pull}, "idle": {Actions: 0}, "odd": {Actions: 1 << 6}, "past": {Actions: scope.Pull, Lifetime: -time.Hour}, "fine": {Actions: scope.Pull}}})
	want := policy.Problems{
		{Rule: policy.InRoles, Field: "", Item: -1, Text: "the role needs a name of visible characters"},
		{Rule: policy.InRoles, Field: "idle", Item: -1, Text: "the role has no actions"},
		{Rule: policy.InRoles, Field: "odd", Item: -1, Text: "the role has an unknown action"},
		{Rule: policy.InRoles, Field: "past", Item: -1, Text: "the lifetime -1h0m0s is negative"},
	}
	if diff := cmp.Diff(want, problemsOf(t, err)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestCompileReturnsAllErrors(t *testing.T) {
	_, err := policy.Compile(policy.Source{
		Roles: map[string]policy.Role{"idle": {Actions: 0}},
		Rules: []policy.Rule{
			{Name: "a", Subjects: []string{"usr:ann"}, Names: []string{"team//app", "x"}, Role: "raeder"},
			{},
		},
	})
	want := `compiling policy: role "idle": the role has no actions
rule 1: role: there is no role "raeder"; there is idle
rule 1: subjects[0]: "usr:ann" is not a subject; there are anyone, signed-in, anonymous, user:NAME, group:NAME, robot:NAME and workload:NAME (did you mean "user:ann"?)
rule 1: names[0]: the pattern "team//app" has an empty path part (did you mean "team/app"?)
rule 2: name: the rule has no name; decisions refer to rules by name
rule 2: actions: the rule has neither a role nor actions
rule 2: subjects: the rule has no subjects; for everybody write anyone
rule 2: names: the rule has no names; for everything write **`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	_, err = policy.Compile(policy.Source{Rules: make([]policy.Rule, 100)})
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 21 || lines[20] != "… and 380 more" {
		t.Errorf("%d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
}

func TestLimitCheck(t *testing.T) {
	err := policy.Limit{Type: "registri", Actions: scope.All}.Check()
	want := `limit: type: "registri" is not a resource type (did you mean "registry"?)
limit: names: the limit has no names; for everything write **`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

func TestRolesWithActionsOfSeveralTypes(t *testing.T) {
	p := policygen.Compile(t, policy.Source{
		Roles: map[string]policy.Role{"owner": {Actions: scope.Repository | scope.All}},
		Rules: []policy.Rule{
			{Name: "team", Subjects: []string{"anyone"}, Names: []string{"team/**"}, Role: "owner"},
			{Name: "catalog", Subjects: []string{"anyone"}, Type: "registry", Names: []string{"catalog"}, Role: "owner"},
		},
	})
	d := p.Decide(&policy.Request{Scopes: []scope.Scope{
		// scope.Parse never returns such a scope.
		{Type: "repository", Name: "team/app", Actions: scope.Repository | scope.All},
		{Type: "registry", Name: "catalog", Actions: scope.Repository | scope.All},
	}})
	if got := d.Results[0].Granted; got != scope.Repository {
		t.Errorf("the result for a repository is %v", got)
	}
	if got := d.Results[1].Granted; got != scope.All {
		t.Errorf("the result for the catalog is %v", got)
	}
}

func TestID(t *testing.T) {
	source := func() policy.Source {
		return policy.Source{Roles: map[string]policy.Role{"reader": {Actions: scope.Pull}, "writer": {Actions: scope.Push}}, Rules: []policy.Rule{
			{Name: "a", Subjects: []string{"anyone", "user:a"}, Names: []string{"x"}, Role: "reader", When: policygen.Fixed(true, nil), Lifetime: time.Minute},
			{Name: "b", Subjects: []string{"user:a"}, Registries: []string{"r"}, Names: []string{"y"}, Actions: scope.Pull, Origin: policy.Origin{File: "f", Line: 3}},
		}}
	}
	id := policygen.Compile(t, source()).ID()
	if len(id) != 16 || strings.Trim(id, "0123456789abcdef") != "" {
		t.Errorf("%q", id)
	}
	for what, change := range map[string]func(*policy.Source){
		"nothing": func(s *policy.Source) {},
		"origin":  func(s *policy.Source) { s.Rules[1].Origin.Line++ },
		"type":    func(s *policy.Source) { s.Rules[1].Type = "repository" },
	} {
		same := source()
		change(&same)
		if got := policygen.Compile(t, same).ID(); got != id {
			t.Errorf("%s: the ID changed", what)
		}
	}
	// Moving text from one field to the next changes the ID.
	spliced := source()
	spliced.Rules[0].Names = []string{"ab", "c"}
	before := policygen.Compile(t, spliced).ID()
	spliced.Rules[0].Names = []string{"a", "bc"}
	if policygen.Compile(t, spliced).ID() == before {
		t.Error("two lists of names have the same ID")
	}
	seen := map[string]string{id: "nothing"}
	for what, change := range map[string]func(*policy.Source){
		"role":        func(s *policy.Source) { s.Roles["reader"] = policy.Role{Actions: scope.Push} },
		"role's life": func(s *policy.Source) { s.Roles["reader"] = policy.Role{Actions: scope.Pull, Lifetime: time.Hour} },
		"name":        func(s *policy.Source) { s.Rules[0].Name = "c" },
		"effect":      func(s *policy.Source) { s.Rules[0].Deny = true },
		"subjects":    func(s *policy.Source) { s.Rules[0].Subjects = []string{"anyone"} },
		"registries":  func(s *policy.Source) { s.Rules[1].Registries = nil },
		"names":       func(s *policy.Source) { s.Rules[1].Names = []string{"r", "y"} },
		"role used":   func(s *policy.Source) { s.Rules[0].Role = "writer" },
		"actions":     func(s *policy.Source) { s.Rules[0].Actions = scope.Push },
		"condition":   func(s *policy.Source) { s.Rules[0].When = policygen.Fixed(false, nil) },
		"none":        func(s *policy.Source) { s.Rules[0].When = nil },
		"lifetime":    func(s *policy.Source) { s.Rules[0].Lifetime = time.Hour },
	} {
		other := source()
		change(&other)
		got := policygen.Compile(t, other).ID()
		if before, taken := seen[got]; taken {
			t.Errorf("%s: a policy with another %s has the same ID", what, before)
		}
		seen[got] = what
	}
}

func TestPolicyKeepsItsRules(t *testing.T) {
	source := sourceOf(3, shapes[0].rule)
	p := policygen.Compile(t, source)
	want := sourceOf(3, shapes[0].rule).Rules
	source.Rules[0].Name = "changed"
	p.Rules()[1].Name = "changed"
	if diff := cmp.Diff(want, p.Rules()); diff != "" || p.Len() != 3 {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}
