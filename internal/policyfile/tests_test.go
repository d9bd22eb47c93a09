package policyfile

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/scope"
)

func testsOf(t *testing.T, services []string, text string) ([]Test, []string) {
	t.Helper()
	of := &Compiled{Services: services, Rules: policy.Source{Rules: []policy.Rule{{Name: "the team"}, {Name: "freeze"}}}}
	tests, err := loadTests(&strictyaml.Reader{FS: memory{{"tests.yaml", []byte(text)}}}, []string{"tests.yaml"}, of, time.Unix(0, 0))
	problems, ok := errors.AsType[strictyaml.Problems](err)
	if err != nil && !ok {
		t.Fatal(err)
	}
	var reported []string
	for _, p := range problems {
		reported = append(reported, strings.TrimPrefix(p.String(), "tests.yaml:"))
	}
	return tests, reported
}

func TestTestsAreRead(t *testing.T) {
	tests, problems := testsOf(t, []string{"r"}, `
tests:
  - name: the team pushes
    as: user:ann
    groups: [dev]
    claims: { level: 3.0, project: acme/app, build: "7", tags: [a, true], user: { id: 1.5 } }
    ip: 10.1.2.3
    at: 2026-11-28 23:00 Europe/Paris
    client: docker/27
    may: [pull, push]
    may_not: [delete]
    repositories:
      - team/app
      - team/web
  - { as: anonymous, may_not: ["*"], catalog: true, because: freeze }
  - { as: "robot:ci", may: [read], without: [client, claims.ref, claims], tidewaiter: [accounts] }
`)
	if len(problems) > 0 {
		t.Fatalf("%q", problems)
	}
	want := []Test{
		{
			Expectation: ask.Expectation{
				Request: &policy.Request{
					Principal: &policy.Principal{Kind: policy.User, Name: "ann", Groups: []string{"dev"}, Claims: map[string]any{
						"level": json.Number("3"), "project": "acme/app", "build": "7", "tags": []any{"a", true}, "user": map[string]any{"id": json.Number("1.5")}}},
					Registry: "r", IP: tests[0].Request.IP, Client: "docker/27", Now: tests[0].Request.Now,
					Scopes: []scope.Scope{{Type: "repository", Name: "team/app"}, {Type: "repository", Name: "team/web"}},
				},
				May: scope.Pull | scope.Push, MayNot: scope.Delete,
			},
			Name: "the team pushes", File: "tests.yaml", Line: 3, Column: 5, Places: []Place{{13, 9}, {14, 9}},
			Unknown: ask.Unknown{Claims: true},
		},
		{
			Expectation: ask.Expectation{
				Request: &policy.Request{Principal: &policy.Principal{}, Registry: "r", Now: time.Unix(0, 0),
					Scopes: []scope.Scope{{Type: "registry", Name: "catalog"}}},
				MayNot: scope.All, Because: "freeze",
			},
			File: "tests.yaml", Line: 15, Column: 5, Places: []Place{{15, 47}},
			Unknown: ask.Unknown{Now: true, IP: true, Client: true, Claims: true},
		},
		{
			Expectation: ask.Expectation{
				Request: &policy.Request{Principal: &policy.Principal{Kind: policy.Robot, Name: "ci"}, Registry: "r", Now: time.Unix(0, 0),
					Scopes: []scope.Scope{{Type: "tidewaiter", Name: "accounts"}}},
				May: scope.Read,
			},
			File: "tests.yaml", Line: 16, Column: 5, Places: []Place{{16, 88}},
			Unknown: ask.Unknown{Now: true, IP: true, Except: []string{"ref"}},
		},
	}
	if diff := cmp.Diff(want, tests, cmp.Comparer(func(a, b policy.Principal) bool {
		return cmp.Equal(a.Kind, b.Kind) && a.Name == b.Name && cmp.Equal(a.Groups, b.Groups) && cmp.Equal(a.Claims, b.Claims)
	}), cmp.Comparer(func(a, b policy.Request) bool {
		return cmp.Equal(a.Principal.Claims, b.Principal.Claims) && a.Principal.Name == b.Principal.Name && a.IP == b.IP && a.Now.Equal(b.Now) &&
			a.Registry == b.Registry && a.Client == b.Client && cmp.Equal(a.Scopes, b.Scopes)
	})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r := tests[0].Request; r.IP.String() != "10.1.2.3" || r.Now.UTC().Format(time.RFC3339) != "2026-11-28T22:00:00Z" {
		t.Errorf("from %s at %s", r.IP, r.Now)
	}
}

func TestErrorsInTests(t *testing.T) {
	const ann = `as: "user:ann", `
	for _, tt := range []struct {
		text        string // text of one test, which begins at line 1, column 11
		diagnostics []string
	}{
		{ann + `may: [push], repositories: [a]`, nil},
		{`may: [push], repositories: [a]`, []string{`1:10: as is missing`}},
		{ann + `repositories: [a]`, []string{`1:10: give may or may_not, or both`}},
		{ann + `may: [push]`, []string{`1:10: repositories is missing, or catalog: true, or tidewaiter`}},
		{ann + `may: [push], may_not: [push], repositories: [a]`, []string{`1:50: push is also in the list may`}},
		{ann + `may: [psuh], repositories: [a]`, []string{`1:34: "psuh" is not one of pull, push, delete, read, write, * (did you mean "push"?)`}},
		{ann + `may: [push], without: [at, claim, claims.x], claims: {x: 1}, repositories: [a]`, []string{
			`1:51: "at" cannot be left out of a request: use ip, client, claims.NAME or claims`,
			`1:55: "claim" cannot be left out of a request: use ip, client, claims.NAME or claims (did you mean "claims"?)`}},
		{ann + `may: [push], without: [ip, claims.x], claims: {x: 1}, ip: 10.0.0.1, repositories: [a]`, []string{
			`1:51: the test gives "ip" and lists it under without`, `1:55: the test gives "claims.x" and lists it under without`}},
		{ann + `mya: [push], repositories: [a]`, []string{`1:28: unknown key "mya" (did you mean "may"?)`}},
		{ann + `may: [push], repositories: ["a/**"]`, []string{`1:56: "a/**" is a pattern; give the name of one repository`}},
		{ann + `may: [push], repositories: ["localhost:5000/team/app"]`, []string{`1:56: repositories are named without the registry: team/app (did you mean "team/app"?)`}},
		{ann + `may: [push], repositories: [A]`, []string{`1:56: "A" is not a repository name: the name has an upper-case letter`}},
		{ann + `may: [read], repositories: [a]`, []string{`1:33: repositories have the actions pull, push and delete`}},
		{ann + `may: [pull], catalog: true`, []string{`1:33: the catalog has only the action "*" (did you mean "[\"*\"]"?)`}},
		{ann + `may: [pull], tidewaiter: [accounts]`, []string{`1:33: rights over Tidewaiter have the actions read and write`}},
		{ann + `may: [pull], repositories: [a], catalog: true`, []string{`1:10: a test covers repositories, the catalog or Tidewaiter itself; write two tests`}},
		{ann + `may: [pull], repositories: [a], because: the taem`, []string{`1:69: there is no rule "the taem" (did you mean "the team"?)`}},
		{ann + `may: [pull], may_not: [push], because: freeze, repositories: [a]`, []string{`1:67: one rule cannot both allow and deny; write two tests`}},
		{ann + `may: [pull], repositories: [a], registry: s`, []string{`1:70: no registry has the service "s" (did you mean "r"?)`}},
		{ann + `may: [pull], repositories: [a], ip: here`, []string{`1:64: "here" is not an IP address`}},
		{ann + `may: [pull], repositories: [a], at: noon`, []string{`1:64: "noon" is not a time like 2026-11-28T23:00:00Z, 2026-11-28 or "2026-11-28 23:00 Europe/Paris"`}},
		{ann + `may: [pull], repositories: [a], claims: { a: 007 }`, []string{`1:73: "007" is not a JSON number; put text in quotes (did you mean "7"?)`}},
		{ann + `may: [pull], repositories: [a], claims: { a: &x 1 }`, []string{`1:73: anchors (&x) are not supported`}},
		{`as: ann, may: [pull], repositories: [a]`, []string{`1:16: is "ann" a user, a robot or a workload? Write user:ann, robot:ann or workload:ann; or anonymous`}},
		{`as: "usr:ann", may: [pull], repositories: [a]`, []string{`1:16: "usr:ann" is not a principal: use user:NAME, robot:NAME, workload:NAME or anonymous (did you mean "user:ann"?)`}},
		{`as: "group:dev", may: [pull], repositories: [a]`, []string{`1:16: a group is not a principal: write user:NAME, and list dev among the user's groups`}},
		{`as: anonymous, groups: [a], may: [pull], repositories: [a]`, []string{`1:16: anonymous has no groups and no claims`}},
	} {
		_, problems := testsOf(t, []string{"r"}, "tests: [ { "+tt.text+" } ]")
		if diff := cmp.Diff(tt.diagnostics, problems); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.text, diff)
		}
	}
	_, problems := testsOf(t, []string{"r", "s"}, "tests: [ { "+ann+"may: [pull], repositories: [a] } ]")
	if diff := cmp.Diff([]string{"1:10: registry is missing: there are r, s"}, problems); diff != "" {
		t.Error(diff)
	}
	if tests, problems := testsOf(t, nil, "tests: [ { "+ann+"may: [pull], repositories: [a], registry: any } ]"); len(problems) > 0 || tests[0].Request.Registry != "any" {
		t.Errorf("without known registries: %v %v", tests, problems)
	}
}

func TestLoadRules(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	p, err := LoadRules([]string{write("p.yaml", "rules: [ { name: b, subjects: [anyone], repositories: [b], role: w } ]\nroles: { w: [push] }")})
	if err != nil || p.Policy.Len() != 1 || p.Services != nil {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := LoadRules([]string{write("tidewaiter.yaml", "policy: {}")}); err == nil || !strings.Contains(err.Error(), "tidewaiter.yaml:1:1: this is a config") {
		t.Errorf("a config as a file of rules: %v", err)
	}
}
