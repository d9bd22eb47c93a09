package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// For each of these errors in the policy of examples/teams, `tidewaiter check` must print the
// place of the error and a suggestion.
func TestErrorsInThePolicyOfTeams(t *testing.T) {
	const (
		config   = "tidewaiter.yaml"
		base     = "policy/base.yaml"
		payments = "policy/payments.yaml"
		search   = "policy/search.yaml"
	)
	t.Chdir(createTeamsFolder(t))
	check := func() string {
		var out bytes.Buffer
		run(t.Context(), []string{"check"}, strings.NewReader(""), &out, &out)
		return strings.TrimSuffix(out.String(), "\n")
	}
	const good = "tidewaiter.yaml is valid: 1 registry, 2 sources, 11 rules"
	if got := check(); got != good {
		t.Fatalf("the example: %s", got)
	}
	for _, tt := range []struct{ file, instead, written, want string }{
		// Misspelled keys and values.
		{payments, `    subjects: ["group:payments"]`, `    subject: ["group:payments"]`,
			`policy/payments.yaml:5:5: unknown key "subject" (did you mean "subjects"?)`},
		{payments, `role: writer`, `role: writter`,
			`policy/payments.yaml:7:11: there is no role "writter" (did you mean "writer"?)`},
		{payments, `role: writer`, `role: admin`,
			`policy/payments.yaml:7:11: there is no role "admin"; there are maintainer, reader, writer`},
		{base, `actions: [push, delete]`, `actions: [push, remove]`,
			`policy/base.yaml:27:21: "remove" is not one of pull, push, delete, read, write, * (did you mean "delete"?)`},
		{base, `effect: deny`, `effect: forbid`,
			`policy/base.yaml:25:13: "forbid" is not one of allow, deny (did you mean "deny"?)`},
		{search, `name: CI pushes search`, `name: search`,
			`policy/search.yaml:9:11: the name "search" is already used by the rule at policy/search.yaml:4`},
		{search, `role: reader`, "role: reader\n    lifetime: 5 minutes",
			`policy/search.yaml:19:15: "5 minutes" is not a duration like 90s, 5m or 24h (did you mean "5m"?)`},
		{search, `role: reader`, "role: reader\n    registries: [registry.exmaple.com]",
			`policy/search.yaml:19:18: no registry has the service "registry.exmaple.com" (did you mean "registry.example.com"?)`},

		// Subjects.
		{payments, `group:payments`, `team:payments`,
			`policy/payments.yaml:5:16: "team:payments" is not a subject; there are anyone, signed-in, anonymous, user:NAME, group:NAME, robot:NAME and workload:NAME (did you mean "group:payments"?)`},
		{payments, `"group:payments"`, `group: payments`,
			`policy/payments.yaml:5:16: a subject has no space after its colon (did you mean "group:payments"?)`},
		{payments, `workload:github:acme/payments`, `workload:github:acme/*`,
			`policy/payments.yaml:10:16: the subject "workload:github:acme/*" must not be a pattern: subjects are compared as they are written`},
		{base, `subjects: [anyone]`, `subjects: []`,
			`policy/base.yaml:10:15: the list is empty, which could mean none or all; add items, or leave out the key`},
		{base, `subjects: [anyone]`, `subjects: anyone`,
			`policy/base.yaml:10:15: must be a list, not a text; put it in brackets`},
		{config, `payments: [ann, ben]`, `payments: [ann, bem]`,
			`tidewaiter.yaml:29:25: the group "payments": there is no entry for its member "bem" (did you mean "ben"?)`},

		{payments, `group:payments`, `group:paymnts`,
			`policy/payments.yaml:5:16: warning: rule "payments": no source has the group "paymnts" (did you mean "payments"?)`},
		{payments, `workload:github:acme/payments`, `workload:acme/payments`,
			`policy/payments.yaml:10:16: warning: rule "CI pushes payments": no source has a workload "acme/payments" (did you mean "workload:github:acme/payments"?)`},
		{search, `group:github:acme`, `group:acme`,
			`policy/search.yaml:10:16: warning: rule "CI pushes search": no source has the group "acme" (did you mean "github:acme"?)`},
		{payments, `group:payments`, `robot:payments`,
			`policy/payments.yaml:5:16: warning: rule "payments": there is no robot "payments", because accounts is not a source`},

		// Patterns.
		{payments, `"prod/payments/**"`, `"Prod/payments/**"`,
			`policy/payments.yaml:6:35: the pattern "Prod/payments/**" has the upper-case letter 'P', which no repository's name has (did you mean "prod/payments/**"?)`},
		{payments, `repositories: ["payments/**"]`, `repositories: ["${user}/**"]`,
			`policy/payments.yaml:17:20: the pattern "${user}/**" can never match: ${user} is a user's name, and the rule is not for users`},
		{base, `"library/**"`, `"registry.example.com/library/**"`,
			`policy/base.yaml:11:20: warning: the pattern begins with the registry's name, but repository names do not: write "library/**", and put the registry under registries`},

		// Conditions.
		{payments, `claims.ref ==`, `claim.ref ==`,
			`policy/payments.yaml:13:11: unknown name "claim" (did you mean "claims"?)`},
		{payments, `claims.ref == "refs/heads/main"`, `claims.ref`,
			`policy/payments.yaml:13:11: claims.ref can have any type, and a condition must be true or false: compare it (did you mean "claims.ref == \"…\""?)`},
		{base, `now.getDayOfWeek("Europe/Paris") in [SATURDAY, SUNDAY]`, `now.getDayOfWeek("Europe/Paris")`,
			`policy/base.yaml:28:11: the condition is a number; it must be true or false`},
		{base, `[SATURDAY, SUNDAY]`, `["Saturday", "Sunday"]`,
			`policy/base.yaml:28:44: in cannot be applied to a number and a list: days have the names SUNDAY to SATURDAY, without quotes`},
		{base, `now.get`, `now().get`,
			`policy/base.yaml:28:11: now is not a function: remove the parentheses`},
		{base, `now.getDayOfWeek("Europe/Paris") in [SATURDAY, SUNDAY]`, `request.ip == "10.1.2.3"`,
			`policy/base.yaml:28:22: == cannot be applied to an address and a text: write cidr("10.0.0.0/8").containsIP(request.ip)`},
		{base, `Europe/Paris`, `Europe/Pariss`,
			`policy/base.yaml:28:28: unknown time zone "Europe/Pariss" (did you mean "Europe/Paris"?)`},

		// YAML.
		{search, `    role: writer`, `   role: writer`,
			`policy/search.yaml:7:4: this is not YAML: the indentation differs from the list that begins at 4:3`},
		{search, `    repositories: ["search/**", "prod/search/**"]`, `      repositories: ["search/**", "prod/search/**"]`,
			`policy/search.yaml:6:7: this is not YAML: the indentation differs from the section that begins at 4:5`},
		{search, `"search/**", "prod/search/**"]`, `search/**, **]`,
			`policy/search.yaml:6:31: this is not YAML: a text that begins with * must be in quotes`},
		{search, `"prod/search/**"]`, `"prod/search/**"`,
			`policy/search.yaml:6:19: this is not YAML: the bracket that begins here is not closed, or a comma is missing in it`},

		// Files.
		{config, `policy/*.yaml`, `policy/*.yml`,
			`tidewaiter.yaml:38:11: no file in policy matches *.yml (did you mean "policy/*.yaml"?)`},
		{config, `"policy/*.yaml"`, `policy`,
			`tidewaiter.yaml:38:11: opening policy: it is a folder (did you mean "policy/*.yaml"?)`},
	} {
		t.Run(tt.written, func(t *testing.T) {
			text, err := os.ReadFile(tt.file)
			if err != nil {
				t.Fatal(err)
			}
			broken := bytes.Replace(text, []byte(tt.instead), []byte(tt.written), 1)
			if bytes.Equal(broken, text) {
				t.Fatalf("%s has no %q", tt.file, tt.instead)
			}
			write(t, tt.file, broken)
			defer write(t, tt.file, text)
			want := tt.want
			if strings.Contains(want, ": warning: ") {
				want += "\n" + good
			}
			if got := check(); got != want {
				t.Errorf("check prints\n%s\nnot\n%s", got, want)
			}
		})
	}
}

// If a push is refused, the client gets the message that docs/teams.md shows.
func TestRefusedPushesExplainThemselves(t *testing.T) {
	runScripts(t, "testdata/teams", func(p *testscript.Params) {
		setup := p.Setup
		p.Setup = func(e *testscript.Env) error {
			page, err := os.ReadFile("../../docs/teams.md")
			if err != nil {
				return err
			}
			return errors.Join(setup(e), os.CopyFS(e.WorkDir, os.DirFS("../../examples/teams")),
				os.WriteFile(filepath.Join(e.WorkDir, "teams.md"), page, 0o600))
		}
	})
}

// createTeamsFolder creates a folder with examples/teams and the files that a reader of
// docs/teams.md creates.
func createTeamsFolder(t *testing.T) (folder string) {
	folder = t.TempDir()
	if err := os.CopyFS(folder, os.DirFS("../../examples/teams")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if exit := run(t.Context(), []string{"init", "--dir", folder}, strings.NewReader(""), &out, &out); exit != 0 {
		t.Fatalf("init exits %d: %s", exit, &out)
	}
	users := filepath.Join(folder, "users.htpasswd")
	admin, err := os.ReadFile(users)
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Clone(admin)
	for _, name := range []string{"ann", "ben", "carla", "dan"} { // all with admin's password
		text = append(text, bytes.Replace(admin, []byte("admin:"), []byte(name+":"), 1)...)
	}
	write(t, users, text)
	return folder
}

func write(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
