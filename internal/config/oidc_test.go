package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestAnIssuerIsRead(t *testing.T) {
	c, err := loadText(t, files{"keys.json": "{}", "tidewaiter.yaml": `
registries: [{service: r}]
identity:
  - oidc:
      name: ci
      issuer: https://issuer.example.com/
      audience: us
      jwks_file: keys.json
      algorithms: [ES256]
      max_age: 1h
      kind: user
      access_tokens_after_sign_in: 0s
      principal: "x:{sub}"
      groups: ["{groups}", "all"]
      claims: [ref, "n=/a/b"]
      require: { owner: [acme, "acme-*"], protected: "true" }
  - oidc: { name: github, preset: github-actions, audience: [us, them], require: { repository_owner: acme } }
`}.withKeys())
	if err != nil {
		t.Fatal(err)
	}
	one := &OIDC{
		Name: "ci", Issuer: "https://issuer.example.com/", Audience: []string{"us"}, JWKSFile: "keys.json", Algorithms: []string{"ES256"},
		MaxAge: time.Hour, Kind: "user", Principal: "x:{sub}", Groups: []string{"{groups}", "all"}, Claims: []string{"ref", "n=/a/b"},
		Require: map[string][]string{"owner": {"acme", "acme-*"}, "protected": {"true"}},
	}
	two := &OIDC{
		Name: "github", Preset: "github-actions", Audience: []string{"us", "them"}, Kind: "workload", AccessTokensAfterSignIn: 720 * time.Hour,
		Require: map[string][]string{"repository_owner": {"acme"}},
	}
	got := []*OIDC{c.Identity[0].OIDC, c.Identity[1].OIDC}
	if diff := cmp.Diff([]*OIDC{one, two}, got, cmpopts.IgnoreUnexported(OIDC{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, tt := range []struct {
		setting      string
		item         int
		line, column int
	}{
		{"issuer", -1, 6, 15}, {"groups", 1, 14, 28}, {"groups", 9, 14, 15}, {"ca", -1, 5, 7},
	} {
		if line, column := got[0].Place(tt.setting, tt.item); line != tt.line || column != tt.column {
			t.Errorf("%s %d is at %d:%d, want %d:%d", tt.setting, tt.item, line, column, tt.line, tt.column)
		}
	}
}

// Dex (GO-2026-5231) and Quay's federation did not check the audience, so they accepted tokens for
// other services. In Tidewaiter, a config without an audience is an error.
func TestErrorsInIssuers(t *testing.T) {
	for _, tt := range []struct{ what, identity, want string }{
		{"no audience", `[{oidc: {name: a, issuer: "https://a"}}]`, "audience is missing"},
		{"an empty audience", `[{oidc: {name: a, issuer: "https://a", audience: ""}}]`, "the text is empty"},
		{"an empty list of audiences", `[{oidc: {name: a, issuer: "https://a", audience: []}}]`, "the list is empty"},
		{"an audience that is a section", `[{oidc: {name: a, issuer: "https://a", audience: {a: b}}}]`, "must be a text, not a section"},
		{"no name", `[{oidc: {issuer: "https://a", audience: us}}]`, "name is missing"},
		{"an algorithm of shared secrets", `[{oidc: {name: a, issuer: "https://a", audience: us, algorithms: [HS256]}}]`, `"HS256" is not one of`},
		{"no algorithm", `[{oidc: {name: a, issuer: "https://a", audience: us, algorithms: [none]}}]`, `"none" is not one of`},
		{"an unknown preset", `[{oidc: {name: a, preset: github, audience: us}}]`, `did you mean "github-actions"`},
		{"an empty requirement", `[{oidc: {name: a, issuer: "https://a", audience: us, require: {ref: []}}}]`, "the list is empty"},
		{"a missing file", `[{oidc: {name: a, issuer: "https://a", audience: us, jwks_file: none.json}}]`, "opening none.json"},
		{"access tokens for jobs", `[{oidc: {name: a, issuer: "https://a", audience: us, access_tokens_after_sign_in: 24h}}]`, "access tokens need kind: user"},
		{"no access tokens for people", `[{oidc: {name: a, issuer: "https://a", audience: us, kind: user, access_tokens_after_sign_in: 0s}}]`, ""},
		{"access tokens for years", `[{oidc: {name: a, issuer: "https://a", audience: us, kind: user, access_tokens_after_sign_in: 100000h}}]`, "is not between"},
		{"two issuers with the same name", `[{oidc: {name: a, issuer: "https://a", audience: us}}, {oidc: {name: a, issuer: "https://b", audience: us}}]`, "another issuer is called"},
		{"the same issuer and audience", `[{oidc: {name: a, issuer: "https://a", audience: [x, us]}}, {oidc: {name: b, issuer: "https://a", audience: us}}]`, "this one is never asked"},
		{"the same preset and audience", `[{oidc: {name: a, preset: gitlab-ci, audience: us}}, {oidc: {name: b, preset: gitlab-ci, audience: us}}]`, "this one is never asked"},
		{"two audiences", `[{oidc: {name: a, issuer: "https://a", audience: x}}, {oidc: {name: b, issuer: "https://a", audience: us}}]`, ""},
		{"two issuers", `[{oidc: {name: a, issuer: "https://a", audience: us}}, {oidc: {name: b, issuer: "https://b", audience: us}}]`, ""},
		{"two presets", `[{oidc: {name: a, preset: gitlab-ci, audience: us}}, {oidc: {name: b, preset: buildkite, audience: us}}]`, ""},
	} {
		_, err := loadText(t, files{"tidewaiter.yaml": "registries: [{service: r}]\nidentity: " + tt.identity + "\n"}.withKeys())
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.what, err, tt.want)
		}
	}
}
