package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/config"
)

// validators validates a rule in three ways: in a file, through the API and on the command line.
type validators struct {
	testing.TB
	dir string
	api http.Handler
	n   int
}

func newValidators(t testing.TB) *validators {
	t.Helper()
	w := &validators{TB: t, dir: filepath.Join(t.TempDir(), "one")}
	var out bytes.Buffer
	if exit := run(t.Context(), []string{"init", "--dir", w.dir}, strings.NewReader(""), &out, &out); exit != 0 {
		t.Fatal(out.String())
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("pw"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	w.write("tidewaiter.yaml", w.config(fmt.Sprintf("%q", "root:"+string(hash)), ""))
	cfg, err := config.Load(filepath.Join(w.dir, "tidewaiter.yaml"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), cfg, app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) })
	w.api = a.Handler()
	return w
}

func (w *validators) config(entry, rules string) string {
	return `database: sqlite:state.db
listen: [{ address: "127.0.0.1:0" }]
signing: { root: { folder: keys } }
registries: [{ service: r.example.com, notifications: { secret: a-secret-that-is-long } }]
identity: [{ htpasswd: { entries: [` + entry + `], groups: { tidewaiter-admins: [root] } } }]
policy: { roles: { reader: [pull] }, rules: [{ name: base, subjects: [anyone], repositories: [base], actions: [pull] },` + rules + `] }
`
}

func (w *validators) write(name, text string) {
	w.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

var (
	before   = regexp.MustCompile(`^[^ ]*file\.yaml:\d+:\d+: `)
	position = regexp.MustCompile(`^\d+:\d+: `)
)

// fileErrors returns the errors of a config file with the rule.
func (w *validators) fileErrors(rule map[string]any) []string {
	text, err := json.Marshal(rule) // JSON is valid YAML
	if err != nil {
		w.Fatal(err)
	}
	return w.configErrors(w.config(`"root:$2y$04$abc"`, string(text)))
}

// configErrors returns the errors of a config.
func (w *validators) configErrors(text string) []string {
	w.write("file.yaml", text)
	_, err := config.Load(filepath.Join(w.dir, "file.yaml"), config.Options{})
	if err == nil {
		return nil
	}
	var texts []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		texts = append(texts, before.ReplaceAllString(line, ""))
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// apiErrors returns the API's errors for the rule: the wrong fields, and the texts of the errors.
func (w *validators) apiErrors(rule map[string]any) (fields, texts []string) {
	return w.post("/api/v1/rules", rule)
}

func (w *validators) post(path string, body map[string]any) (fields, texts []string) {
	text, err := json.Marshal(body)
	if err != nil {
		w.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(text))
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth("root", "pw")
	answer := httptest.NewRecorder()
	w.api.ServeHTTP(answer, r)
	if answer.Code == http.StatusCreated {
		return nil, nil
	}
	var problem struct {
		Errors []struct{ Location, Message, Detail string }
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &problem); err != nil || answer.Code != http.StatusUnprocessableEntity || len(problem.Errors) == 0 {
		w.Fatalf("%s: %d %s", text, answer.Code, answer.Body)
	}
	for _, e := range problem.Errors {
		field, _, _ := strings.Cut(strings.TrimPrefix(e.Location, "body."), "[")
		fields, texts = append(fields, field), append(texts, position.ReplaceAllString(e.Detail, ""))
	}
	slices.Sort(fields)
	slices.Sort(texts)
	return slices.Compact(fields), slices.Compact(texts)
}

// commandErrors returns the errors of "rule add": the wrong fields, and the texts of the errors.
func (w *validators) commandErrors(rule map[string]any) (fields, texts []string) {
	w.n++
	args := []string{"rule", "add", "--config", filepath.Join(w.dir, "tidewaiter.yaml")}
	for _, field := range slices.Sorted(maps.Keys(rule)) {
		flag := flagOf[field]
		switch value := rule[field].(type) {
		case []string:
			if field == "actions" {
				args = append(args, flag, strings.Join(value, ","))
				continue
			}
			for _, item := range value {
				args = append(args, flag, item)
			}
		case bool:
			args = append(args, flag)
		case string:
			switch {
			case field == "effect" && value == "deny":
				args = append(args, flag)
			case field == "name":
			default:
				args = append(args, flag, value)
			}
		}
	}
	name, _ := rule["name"].(string)
	fields, texts = w.runCommand(append(args, "--", name))
	for i, flag := range fields {
		for field, of := range flagOf {
			if of == flag {
				fields[i] = field
			}
		}
	}
	slices.Sort(fields)
	return slices.Compact(fields), texts
}

// runCommand runs a command, and returns the wrong flags and the texts of the errors.
func (w *validators) runCommand(args []string) (flags, texts []string) {
	var out bytes.Buffer
	if exit := run(w.Context(), args, strings.NewReader(""), &out, &out); exit == 0 {
		return nil, nil
	} else if exit != 1 {
		w.Fatalf("%q: exit %d: %s", args, exit, out.String())
	}
	for line := range strings.SplitSeq(strings.TrimSpace(out.String()), "\n") {
		flag, text, _ := strings.Cut(strings.TrimPrefix(line, "tidewaiter: "), ": ")
		flags, texts = append(flags, flag), append(texts, position.ReplaceAllString(text, ""))
	}
	slices.Sort(texts)
	return flags, slices.Compact(texts)
}

// If a rule is invalid in a file, the API and the command line must reject it for the same
// reasons.
func TestRulesAreValidatedAlikeInFilesAPIAndCommands(t *testing.T) {
	w := newValidators(t)
	for what, tt := range map[string]struct {
		change map[string]any // changed fields of a valid rule; nil removes a field
		wrong  []string       // the wrong fields
		noFlag bool           // the command line has no flag for the changed field
	}{
		"a valid rule":                      {},
		"an empty list of registries":       {map[string]any{"registries": []string{}}, []string{"registries"}, true},
		"a deny for nobody":                 {map[string]any{"effect": "deny", "subjects": []string{}}, []string{"subjects"}, true},
		"a deny for anyone":                 {map[string]any{"effect": "deny", "subjects": nil}, nil, false},
		"an allow for nobody":               {map[string]any{"subjects": nil}, []string{"subjects"}, false},
		"an allow for an empty list":        {map[string]any{"subjects": []string{}}, []string{"subjects"}, true},
		"no repositories":                   {map[string]any{"repositories": []string{}}, []string{"repositories"}, true},
		"a rule without a resource":         {map[string]any{"repositories": nil}, []string{"repositories"}, false},
		"no rights":                         {map[string]any{"repositories": nil, "tidewaiter": []string{}, "actions": []string{"read"}}, []string{"tidewaiter"}, true},
		"no actions":                        {map[string]any{"actions": []string{}}, []string{"actions"}, false},
		"neither actions nor a role":        {map[string]any{"actions": nil}, []string{"actions"}, false},
		"an empty condition":                {map[string]any{"when": ""}, []string{"when"}, false},
		"an empty role":                     {map[string]any{"role": ""}, []string{"role"}, false},
		"no lifetime":                       {map[string]any{"lifetime": "0s"}, []string{"lifetime"}, false},
		"a lifetime without a unit":         {map[string]any{"lifetime": "5"}, []string{"lifetime"}, false},
		"an empty lifetime":                 {map[string]any{"lifetime": ""}, []string{"lifetime"}, false},
		"an unknown key":                    {map[string]any{"repos": []string{"a"}}, []string{"repos"}, true},
		"a lifetime too short":              {map[string]any{"lifetime": "5s"}, []string{"lifetime"}, false},
		"a lifetime too long":               {map[string]any{"lifetime": "48h"}, []string{"lifetime"}, false},
		"a lifetime that is negative":       {map[string]any{"lifetime": "-5m"}, []string{"lifetime"}, false},
		"half a second":                     {map[string]any{"lifetime": "90.5s"}, []string{"lifetime"}, false},
		"a deny with a lifetime":            {map[string]any{"effect": "deny", "lifetime": "5m"}, []string{"lifetime"}, false},
		"an unknown effect":                 {map[string]any{"effect": "forbid"}, []string{"effect"}, true},
		"an unknown action":                 {map[string]any{"actions": []string{"pull", "fly"}}, []string{"actions"}, false},
		"an action twice":                   {map[string]any{"actions": []string{"pull", "pull"}}, []string{"actions"}, false},
		"an unknown role":                   {map[string]any{"role": "king"}, []string{"role"}, false},
		"an empty subject":                  {map[string]any{"subjects": []string{""}}, []string{"subjects"}, false},
		"a subject with white space":        {map[string]any{"subjects": []string{" anyone"}}, []string{"subjects"}, false},
		"an unknown subject":                {map[string]any{"subjects": []string{"usr:ann"}}, []string{"subjects"}, false},
		"a subject that is a pattern":       {map[string]any{"subjects": []string{"group:*"}}, []string{"subjects"}, false},
		"an empty registry":                 {map[string]any{"registries": []string{""}}, []string{"registries"}, false},
		"an unknown registry":               {map[string]any{"registries": []string{"r.exmaple.com"}}, []string{"registries"}, false},
		"an empty pattern":                  {map[string]any{"repositories": []string{"a", ""}}, []string{"repositories"}, false},
		"a pattern with an empty part":      {map[string]any{"repositories": []string{"a//b"}}, []string{"repositories"}, false},
		"a pattern with a line end":         {map[string]any{"repositories": []string{"a\nb"}}, []string{"repositories"}, false},
		"a pattern that can never match":    {map[string]any{"subjects": []string{"robot:ci"}, "repositories": []string{"${user}/**"}}, []string{"repositories"}, false},
		"the catalog":                       {map[string]any{"repositories": nil, "catalog": true, "actions": nil}, nil, false},
		"the catalog with *":                {map[string]any{"repositories": nil, "catalog": true, "actions": []string{"*"}}, nil, false},
		"the catalog with pull":             {map[string]any{"repositories": nil, "catalog": true}, []string{"actions"}, false},
		"the catalog with a role":           {map[string]any{"repositories": nil, "catalog": true, "actions": nil, "role": "reader"}, []string{"role"}, false},
		"the catalog and repositories":      {map[string]any{"catalog": true}, []string{"catalog"}, false},
		"rights":                            {map[string]any{"repositories": nil, "tidewaiter": []string{"journal", "namespace/team-*"}, "actions": []string{"read"}}, nil, false},
		"rights, with all actions":          {map[string]any{"repositories": nil, "tidewaiter": []string{"journal"}, "actions": []string{"*"}}, nil, false},
		"rights and repositories":           {map[string]any{"tidewaiter": []string{"journal"}}, []string{"tidewaiter"}, false},
		"rights at a registry":              {map[string]any{"repositories": nil, "tidewaiter": []string{"journal"}, "actions": []string{"read"}, "registries": []string{"r.example.com"}, "lifetime": "5m"}, []string{"lifetime", "registries"}, false},
		"a right that is misspelt":          {map[string]any{"repositories": nil, "tidewaiter": []string{"jurnal"}, "actions": []string{"read"}}, []string{"tidewaiter"}, false},
		"a right over Team":                 {map[string]any{"repositories": nil, "tidewaiter": []string{"namespace/Team"}, "actions": []string{"read"}}, []string{"tidewaiter"}, false},
		"rights with actions of registries": {map[string]any{"repositories": nil, "tidewaiter": []string{"journal"}}, []string{"actions"}, false},
		"repositories with read":            {map[string]any{"actions": []string{"read"}}, []string{"actions"}, false},
		"a condition that is wrong":         {map[string]any{"when": "grops == [] && request.ip == 3"}, []string{"when"}, false},
		"a comparison that is never true":   {map[string]any{"when": "claims.ip == request.ip"}, []string{"when"}, false},
		"a name with white space":           {map[string]any{"name": " a "}, []string{"name"}, false},
		"a name with a tab":                 {map[string]any{"name": "a\tb"}, []string{"name"}, false},
		"no name":                           {map[string]any{"name": ""}, []string{"name"}, false},
		"many errors":                       {map[string]any{"subjects": []string{"x y"}, "repositories": []string{"A"}, "role": "nobody"}, []string{"repositories", "role", "subjects"}, false},
	} {
		t.Run(what, func(t *testing.T) {
			rule := func(by string) map[string]any {
				r := map[string]any{"name": what + " " + by, "subjects": []string{"group:dev"}, "repositories": []string{"team/**"}, "actions": []string{"pull"}}
				for field, value := range tt.change {
					r[field] = value
					if value == nil {
						delete(r, field)
					}
				}
				return r
			}
			texts := w.fileErrors(rule("file"))
			if (texts == nil) != (tt.wrong == nil) {
				t.Errorf("the file has the errors %q; wrong fields: %q", texts, tt.wrong)
			}
			fields, got := w.apiErrors(rule("api"))
			if diff := cmp.Diff(tt.wrong, fields); diff != "" {
				t.Errorf("the API (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(texts, got); diff != "" {
				t.Errorf("the texts (-file +API):\n%s", diff)
			}
			if tt.noFlag {
				return
			}
			fields, got = w.commandErrors(rule("cli"))
			if diff := cmp.Diff(tt.wrong, fields); diff != "" {
				t.Errorf("the command line (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(texts, got); diff != "" {
				t.Errorf("the texts (-file +command line):\n%s", diff)
			}
		})
	}
}

// If a role is invalid in a file, the API and the command line must reject it for the same
// reasons.
func TestRolesAreValidatedAlikeInFilesAPIAndCommands(t *testing.T) {
	w := newValidators(t)
	for i, role := range []map[string]any{
		{"actions": []string{"pull", "push"}, "lifetime": "5m"},
		{"actions": []string{"*"}},
		{"actions": []string{"pull", "puhs"}},
		{"actions": []string{"pull", "pull"}},
		{"actions": []string{"remove"}, "lifetime": "5s"},
		{"actions": []string{"pull"}, "lifetime": "300"},
		{"actions": []string{"pull"}, "lifetime": "90.5s"},
		{"actions": []string{"pull"}, "lifetime": "48h"},
		{"actions": []string{}},
	} {
		text, err := json.Marshal(role)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(string(text), func(t *testing.T) {
			file := strings.Replace(w.config(`"root:$2y$04$abc"`, ""), "reader: [pull]", "reader: [pull], x: "+string(text), 1)
			inFile := w.configErrors(file)

			role["name"] = fmt.Sprintf("api%d", i)
			_, sent := w.post("/api/v1/roles", role)
			if diff := cmp.Diff(inFile, sent); diff != "" {
				t.Errorf("the texts (-file +API):\n%s", diff)
			}

			actions, _ := role["actions"].([]string)
			args := []string{"role", "set", "--config", filepath.Join(w.dir, "tidewaiter.yaml"), fmt.Sprintf("cli%d", i), strings.Join(actions, ",")}
			if lifetime, ok := role["lifetime"].(string); ok {
				args = append(args, "--lifetime", lifetime)
			}
			_, got := w.runCommand(args)
			if diff := cmp.Diff(inFile, got); diff != "" {
				t.Errorf("the texts (-file +command line):\n%s", diff)
			}
		})
	}
}
