package rules_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/rules"
	"github.com/tidewaiter/tidewaiter/scope"
)

const yaml = `roles:
  reader: [pull]
  writer: { actions: [pull, push], lifetime: 30m }
rules:
  - { name: public, subjects: [anyone], repositories: ["library/**"], role: reader }
  - name: team
    subjects: ["group:dev"]
    repositories:
      - team/**
    role: writer
    actions: [delete]
    lifetime: "5m"
    when: claims.ref == "main"
  - { name: freeze, effect: deny, repositories: ["team/prod"], actions: ["*"], registries: [r.example.com] }
  - { name: list, subjects: ["user:ann"], catalog: true }
`

const inJSON = `{
	"roles": {"reader": ["pull"], "writer": {"actions": ["pull", "push"], "lifetime": "30m"}},
	"rules": [
		{"name": "public", "subjects": ["anyone"], "repositories": ["library/**"], "role": "reader"},
		{"name": "team", "subjects": ["group:dev"], "repositories": ["team\/**"],
		 "role": "writer", "actions": ["delete"], "lifetime": "5m", "when": "claims.ref == \"main\""},
		{"name": "freeze", "effect": "deny", "repositories": ["team/prod"], "actions": ["*"], "registries": ["r.example.com"]},
		{"name": "list", "subjects": ["user:ann"], "catalog": true}
	]
}
`

// The same rules, written in YAML and in JSON, give the same policy.
func TestReadYAMLAndJSON(t *testing.T) {
	ids := make(map[string]string)
	for name, text := range map[string]string{
		"policy.yaml":          yaml,
		"policy.json":          inJSON,
		"in one line.json":     strings.Join(strings.Fields(inJSON), " "),
		"with a mark.json":     "\ufeff" + inJSON,
		"with CR LF.json":      strings.ReplaceAll(inJSON, "\n", "\r\n"),
		"indented by one.json": strings.ReplaceAll(inJSON, "\t", " "),
	} {
		source, warnings, err := rules.Read(rules.File{Name: name, Text: []byte(text)})
		if err != nil || warnings != nil {
			t.Errorf("%s: %v, %v", name, warnings, err)
			continue
		}
		p, err := policy.Compile(source)
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = p.ID()
		if ids[name] != ids["policy.yaml"] && ids["policy.yaml"] != "" {
			t.Errorf("the policy of %s differs", name)
		}
		if want := map[string]policy.Role{"reader": {Actions: scope.Pull}, "writer": {Actions: scope.Pull | scope.Push, Lifetime: 30 * 60e9}}; !cmp.Equal(source.Roles, want) {
			t.Errorf("%s: %s", name, cmp.Diff(want, source.Roles))
		}
	}
}

// Read reads any text that encoding/json writes.
func TestReadJSONOfAnyText(t *testing.T) {
	for _, name := range []string{`a "quoted" name`, `back\slash`, "<tag> & more", "émoji 😀", "a/b", "#7", "- x", "key: value", "*", "&a", "%", "0777", "null", "true", "~"} {
		first := string([]rune(name)[:1])
		for _, indent := range []string{"", "\t", "  "} {
			text, err := json.MarshalIndent(map[string]any{"rules": []rules.Rule{
				{Name: name, Effect: "deny", Subjects: []string{"user:" + first}, Repositories: []string{"**"}, Actions: []string{"pull"}},
			}}, "", indent)
			if err != nil {
				t.Fatal(err)
			}
			ascii := strings.ReplaceAll(string(text), "😀", `\ud83d\ude00`)
			for _, text := range []string{string(text), ascii} {
				source, _, err := rules.Read(rules.File{Name: "r.json", Text: []byte(text)})
				if strings.ContainsAny(first, "*%&#-<~") && err != nil {
					continue // no user can have this name
				}
				if err != nil || len(source.Rules) != 1 || source.Rules[0].Name != name {
					t.Errorf("%s: %v, %v", text, source.Rules, err)
				}
			}
		}
	}
}

// Every error has a position, even in JSON.
func TestErrorsHavePositions(t *testing.T) {
	_, _, err := rules.Read(
		rules.File{Name: "a.yaml", Text: []byte("roles:\n  reader: [pul]\nrules:\n  - { name: a, subjects: [], repositories: [\"x\"], actions: [pull], lifetime: 5 }\n")},
		rules.File{Name: "b.json", Text: []byte("{\n\t\"rules\": [\n\t\t{\"name\": \"a\", \"subjcts\": [\"anyone\"], \"repositories\": [\"a//b\"], \"role\": \"reader\", \"when\": \"grops == []\"}\n\t]\n}")},
		rules.File{Name: "c.json", Text: []byte(`{"rules": [{"name": "c", "registries": null, "subjects": ["anyone"], "repositories": ["a"], "actions": "pull"}]}`)},
		rules.File{Name: "d.json", Text: []byte(`{"rules": [`)},
		rules.File{Name: "e.yaml"},
		rules.File{Name: "f.yaml", Text: []byte("policy: { rules: [] }\n")},
	)
	problems, ok := errors.AsType[rules.Problems](err)
	if !ok {
		t.Fatal(err)
	}
	var got []string
	for _, p := range problems {
		got = append(got, p.String())
	}
	want := []string{
		`a.yaml:2:12: "pul" is not one of pull, push, delete, read, write, * (did you mean "pull"?)`,
		"a.yaml:4:26: the list is empty, which could mean none or all; add items, or leave out the key",
		`a.yaml:4:78: "5" is not a duration like 90s, 5m or 24h (did you mean "5s"?)`,
		`b.json:3:17: unknown key "subjcts" (did you mean "subjects"?)`,
		`b.json:3:93: unknown name "grops" (did you mean "groups"?)`,
		"c.json:1:40: a list is required, but the value is null; to write the word, put it in quotes",
		"c.json:1:104: must be a list, not a text; put it in brackets",
		"d.json:2:1: this is not YAML: did not find expected node content while parsing a flow node",
		"e.yaml: the file is empty",
		"f.yaml:1:1: this is a config of Tidewaiter: give a file with only its roles and rules at the top",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReadWarns(t *testing.T) {
	source, warnings, err := rules.Read(rules.File{Name: "p.yaml", Text: []byte(
		`rules: [{ name: open, subjects: [anyone], repositories: ["**"], actions: [push] }]`)})
	want := rules.Problems{{File: "p.yaml", Line: 1, Column: 34, Text: `rule "open" lets anonymous clients change repositories or list them all`}}
	if err != nil || len(source.Rules) != 1 || !cmp.Equal(warnings, want) {
		t.Errorf("%v, %v\n%s", source.Rules, err, cmp.Diff(want, warnings))
	}
}

func TestReadNothing(t *testing.T) {
	source, warnings, err := rules.Read()
	if len(source.Rules) != 0 || warnings != nil || err != nil {
		t.Error(source, warnings, err)
	}
	if p, err := policy.Compile(source); err != nil || p.Len() != 0 {
		t.Error(err)
	}
	for _, files := range [][]rules.File{{{}}, {{Name: "a", Text: []byte("rules: []")}, {Name: "a"}}, {{Name: "a"}}} {
		if _, _, err := rules.Read(files...); err == nil {
			t.Errorf("Read accepts %v", files)
		}
	}
}

// A rule from another source is checked like a rule of a file.
func TestASingleRule(t *testing.T) {
	var rule rules.Rule
	if err := json.Unmarshal([]byte(`{"name": "a", "subjects": ["anyone"], "registries": [], "repositories": ["a"], "actions": ["pul"], "lifetime": "5"}`), &rule); err != nil {
		t.Fatal(err)
	}
	_, err := rule.Policy(when.NewCompiler().Compile)
	const want = `registries: the list is empty, which could mean none or all; add items, or leave out the key; ` +
		`actions: "pul" is not one of pull, push, delete, read, write, * (did you mean "pull"?); ` +
		`lifetime: "5" is not a duration like 90s, 5m or 24h (did you mean "5s"?)`
	if problems, ok := errors.AsType[rules.RuleProblems](err); !ok || problems.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	rule.Registries, rule.Actions, rule.Lifetime = nil, []string{"pull", "push"}, "5m"
	r, err := rule.Policy(nil)
	if diff := cmp.Diff(policy.Rule{Name: "a", Subjects: []string{"anyone"}, Names: []string{"a"}, Actions: scope.Pull | scope.Push, Lifetime: 5 * 60e9}, r); diff != "" || err != nil {
		t.Error(err, diff)
	}
}
