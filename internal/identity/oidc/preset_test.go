package oidc_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
	"github.com/tidewaiter/tidewaiter/policy"
)

// github has the claims of a token of GitHub.
func github() claims {
	return claims{
		"jti": "example-id", "iss": "https://token.actions.githubusercontent.com",
		"sub": "repo:acme/app:environment:production", "environment": "production",
		"ref": "refs/heads/main", "sha": "1cf48e4ec1d6a1d9a6d4b1f0e9d3a0f8c5b7e2d1",
		"repository": "acme/app", "repository_owner": "acme", "repository_id": "74", "repository_owner_id": "65",
		"repository_visibility": "private", "run_id": "42", "run_number": "10", "run_attempt": "2", "runner_environment": "github-hosted",
		"actor": "octocat", "actor_id": "12", "workflow": "release", "workflow_ref": "acme/app/.github/workflows/release.yml@refs/heads/main",
		"job_workflow_ref": "acme/shared/.github/workflows/build.yml@refs/heads/main", "head_ref": "", "base_ref": "",
		"event_name": "push", "ref_type": "branch", "ref_protected": "true",
	}
}

// gitlab has the claims of a token of GitLab.
func gitlab() claims {
	return claims{
		"iss": "https://gitlab.com", "sub": "project_path:acme/tools/app:ref_type:branch:ref:main",
		"namespace_id": "72", "namespace_path": "acme/tools", "project_id": "20", "project_path": "acme/tools/app",
		"user_id": "1", "user_login": "sample-user", "user_email": "sample-user@example.com", "user_access_level": "developer",
		"pipeline_id": "574", "pipeline_source": "push", "job_id": "302", "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main",
		"ref_protected": "true", "environment": nil, "runner_id": 1, "runner_environment": "gitlab-hosted",
		"sha": "714a629c0b401fdce83e847fc9589983fc6f46bc", "project_visibility": "public", "groups_direct": []string{"acme"},
	}
}

// buildkite has the claims of a token of Buildkite.
func buildkite() claims {
	return claims{
		"iss": "https://agent.buildkite.com", "sub": "organization:acme-inc:pipeline:super-duper-app:ref:refs/heads/main:commit:9f3182061f1e2cca4702c368cbc039b7dc9d4485:step:build",
		"organization_slug": "acme-inc", "organization_id": "5fdf36c0-61b7-4e1a-8d1c-1e7e5d6a8d5d",
		"pipeline_slug": "super-duper-app", "build_number": 1, "build_branch": "main", "build_tag": nil,
		"build_commit": "9f3182061f1e2cca4702c368cbc039b7dc9d4485", "build_source": "webhook", "step_key": "build",
		"job_id": "0184990a-477b-4fa8-9968-496074483cee", "agent_id": "0184990a-4782-42b5-afc1-16715b10b8ff", "runner_environment": "self-hosted",
	}
}

func TestPresetsKnowTheirIssuers(t *testing.T) {
	for _, tt := range []struct {
		options oidc.Options
		claims  claims
		want    policy.Principal
	}{
		{
			oidc.Options{Preset: oidc.GitHubActions, Require: map[string][]string{"repository_owner": {"acme"}}}, github(),
			policy.Principal{
				Name: "github:acme/app", ID: "https://token.actions.githubusercontent.com#repo:acme/app:environment:production#74",
				Groups: []string{"github:acme", "github:acme/app:environment:production", "github:acme/app:ref:refs/heads/main"},
				Claims: map[string]any{
					"repository": "acme/app", "repository_id": "74", "repository_owner": "acme", "repository_owner_id": "65", "ref": "refs/heads/main",
					"ref_type": "branch", "environment": "production", "event_name": "push", "workflow_ref": "acme/app/.github/workflows/release.yml@refs/heads/main",
					"job_workflow_ref": "acme/shared/.github/workflows/build.yml@refs/heads/main", "actor": "octocat",
					"sha": "1cf48e4ec1d6a1d9a6d4b1f0e9d3a0f8c5b7e2d1", "run_id": "42",
				},
			},
		},
		{
			oidc.Options{Preset: oidc.GitLabCI, Require: map[string][]string{"namespace_path": {"acme", "acme/**"}}}, gitlab(),
			policy.Principal{
				Name: "gitlab:acme/tools/app", ID: "https://gitlab.com#project_path:acme/tools/app:ref_type:branch:ref:main#20",
				Groups: []string{"gitlab:acme/tools", "gitlab:acme/tools/app:ref:refs/heads/main"},
				Claims: map[string]any{
					"project_path": "acme/tools/app", "project_id": "20", "namespace_path": "acme/tools", "namespace_id": "72", "ref": "main",
					"ref_type": "branch", "ref_path": "refs/heads/main", "ref_protected": "true", "pipeline_source": "push", "user_login": "sample-user",
					"sha": "714a629c0b401fdce83e847fc9589983fc6f46bc", "pipeline_id": "574", "job_id": "302",
				},
			},
		},
		{
			oidc.Options{Preset: oidc.Buildkite, Require: map[string][]string{"organization_slug": {"acme-inc"}}}, buildkite(),
			policy.Principal{
				Name:   "buildkite:acme-inc/super-duper-app",
				ID:     "https://agent.buildkite.com#organization:acme-inc:pipeline:super-duper-app:ref:refs/heads/main:commit:9f3182061f1e2cca4702c368cbc039b7dc9d4485:step:build",
				Groups: []string{"buildkite:acme-inc", "buildkite:acme-inc/super-duper-app:branch:main"},
				Claims: map[string]any{
					"organization_slug": "acme-inc", "organization_id": "5fdf36c0-61b7-4e1a-8d1c-1e7e5d6a8d5d", "pipeline_slug": "super-duper-app",
					"build_branch": "main", "build_commit": "9f3182061f1e2cca4702c368cbc039b7dc9d4485", "build_number": json.Number("1"), "step_key": "build",
					"job_id": "0184990a-477b-4fa8-9968-496074483cee",
				},
			},
		},
		{
			oidc.Options{Preset: oidc.Kubernetes, Issuer: "https://kubernetes.default.svc.cluster.local"}, podClaims(),
			policy.Principal{
				Name:   "system:serviceaccount:ci:builder",
				ID:     "https://kubernetes.default.svc.cluster.local#system:serviceaccount:ci:builder#a087d5a0-e1dd-43ec-93ac-f13d89cd13af",
				Groups: []string{"system:serviceaccounts:ci"},
				Claims: map[string]any{"namespace": "ci", "service_account": "builder", "pod": "build-1"},
			},
		},
		{
			oidc.Options{Preset: oidc.SPIFFE, Issuer: "https://oidc.example.org", Require: map[string][]string{"sub": {"spiffe://example.org/**"}}},
			claims{"iss": "https://oidc.example.org", "sub": "spiffe://example.org/ci/builder", "iat": nil},
			policy.Principal{Name: "spiffe://example.org/ci/builder", ID: "https://oidc.example.org#spiffe://example.org/ci/builder"},
		},
	} {
		t.Run(string(tt.options.Preset), func(t *testing.T) {
			i := newIssuer(t)
			text, _ := json.Marshal(claims{"keys": []any{i.key.public("jwt-svid")}})
			o := tt.options
			o.Name, o.Audience, o.Now = "ci", []string{"https://auth.example.com"}, i.Now
			o.JWKSFile = filepath.Join(t.TempDir(), "keys.json")
			write(t, o.JWKSFile, string(text))
			v, err := show(t, newProvider(t, o), i.key.sign(t, i.claims().extend(tt.claims)))
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Kind, tt.want.Source = policy.Workload, "oidc:ci"
			if diff := cmp.Diff(&tt.want, v.Principal); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}

			// otherCustomer has the same claims, but with the values of another
			// customer of the issuer.
			otherCustomer := claims{"repository_owner": "evil", "namespace_path": "acme2/x", "organization_slug": "evil", "sub": "spiffe://evil.example/ci"}
			if _, err := show(t, newProvider(t, o), i.key.sign(t, i.claims().extend(tt.claims).extend(otherCustomer))); err == nil && o.Require != nil {
				t.Error("the token of another customer is accepted")
			}
		})
	}
}

// In Harbor (2026), a token stayed valid after its project was deleted and created again. If an
// issuer reuses a name, the later principal must be a different principal.
func TestAReusedNameIsAnotherPrincipal(t *testing.T) {
	i := newIssuer(t)
	i.key.kid = "one"
	text, _ := json.Marshal(claims{"keys": []any{i.key.public("sig")}})
	o := i.options()
	o.Preset, o.Issuer, o.JWKSFile = oidc.Kubernetes, "", filepath.Join(t.TempDir(), "keys.json")
	write(t, o.JWKSFile, string(text))
	p := newProvider(t, o)
	ids := map[string]bool{}
	for _, account := range []claims{
		{"sub": "a#b", "kubernetes.io": claims{"serviceaccount": claims{"uid": "1"}}},
		{"sub": "a#b", "kubernetes.io": claims{"serviceaccount": claims{"uid": "2"}}},
		{"sub": "a", "kubernetes.io": claims{"serviceaccount": claims{"uid": "b"}}},
		{"sub": "a#b", "kubernetes.io": claims{}},
		{"sub": "a%23b", "kubernetes.io": claims{}},
		{"sub": "a#b#1", "kubernetes.io": claims{}},
	} {
		v, err := show(t, p, i.key.sign(t, i.claims().extend(podClaims()).extend(account)))
		if err != nil {
			t.Fatal(err)
		}
		if ids[v.Principal.ID] {
			t.Errorf("%v has the id of another principal: %s", account, v.Principal.ID)
		}
		ids[v.Principal.ID] = true
	}
}

// GitHub, GitLab and Buildkite issue tokens to anyone, with any audience. So a requirement must
// exclude other customers.
func TestASharedIssuerNeedsARequirement(t *testing.T) {
	for _, tt := range []struct {
		preset  oidc.Preset
		issuer  string
		require map[string][]string
		problem bool
	}{
		{oidc.GitHubActions, "", nil, true},
		{oidc.GitHubActions, "", map[string][]string{"ref": {"refs/heads/main"}, "environment": {"production"}}, true},
		{oidc.GitHubActions, "", map[string][]string{"repository_owner": {"acme"}}, false},
		{oidc.GitHubActions, "", map[string][]string{"repository_id": {"74"}}, false},
		{oidc.GitHubActions, "https://github.example.com/_services/token", nil, false}, // own issuer
		{oidc.GitLabCI, "", nil, true},
		{oidc.GitLabCI, "https://gitlab.com", map[string][]string{"ref_protected": {"true"}}, true},
		{oidc.GitLabCI, "", map[string][]string{"project_path": {"acme/**"}}, false},
		{oidc.GitLabCI, "https://gitlab.example.com", nil, false},
		// Another organization can have a pipeline of the same name.
		{oidc.Buildkite, "", map[string][]string{"pipeline_slug": {"app"}}, true},
		{oidc.Buildkite, "", map[string][]string{"organization_slug": {"acme"}}, false},
		{oidc.SPIFFE, "https://oidc.example.org", nil, true},
		{oidc.SPIFFE, "https://oidc.example.org", map[string][]string{"sub": {"spiffe://example.org/**"}}, false},

		// A requirement that all tokens meet is not sufficient.
		{oidc.GitHubActions, "", map[string][]string{"repository": {"**"}}, true},
		{oidc.GitHubActions, "", map[string][]string{"repository": {"*/*"}}, true},
		{oidc.GitHubActions, "", map[string][]string{"repository": {"*/app"}}, true},
		{oidc.GitHubActions, "", map[string][]string{"repository": {"acme/app", "**"}}, true},
		{oidc.GitHubActions, "", map[string][]string{"repository": {"acme/*"}}, false},
		{oidc.GitHubActions, "", map[string][]string{"repository_owner": {"*"}}, true},
		// The next two requirements cause only warnings.
		{oidc.GitHubActions, "", map[string][]string{"repository_owner": {"*-acme"}}, false},
		{oidc.GitHubActions, "", map[string][]string{"repository_owner": {"acme*"}}, false},
		{oidc.GitHubActions, "", map[string][]string{"repository_id": {"*"}}, true},
		{oidc.GitHubActions, "", map[string][]string{"sub": {"**"}}, true},
		{oidc.GitHubActions, "", map[string][]string{"sub": {"repo:**"}}, true},
		{oidc.GitHubActions, "", map[string][]string{"sub": {"re**"}}, true},
		{oidc.GitHubActions, "", map[string][]string{"sub": {"repo:*/*:ref:refs/heads/main"}}, true},
		{oidc.GitHubActions, "", map[string][]string{"sub": {"repo:*@65/*"}}, false},
		{oidc.GitHubActions, "", map[string][]string{"sub": {"repo:*@*/*"}}, true},
		{oidc.GitHubActions, "", map[string][]string{"sub": {"repo:acme/**"}}, false},
		{oidc.GitHubActions, "", map[string][]string{"sub": {"repo:acme@65/app@74:**"}}, false},
		{oidc.GitHubActions, "", map[string][]string{"repository": {"**"}, "repository_owner": {"*"}}, true},
		{oidc.GitHubActions, "", map[string][]string{"sub": {"repo:*/*:ref:refs/heads/main"}, "repository_owner_id": {"65"}}, false},
		{"", "https://token.actions.githubusercontent.com", nil, true}, // without the preset
		{"", "https://token.actions.githubusercontent.com", map[string][]string{"repository": {"**"}}, true},
		{"", "https://token.actions.githubusercontent.com", map[string][]string{"repository": {"acme/app"}}, false},
		{oidc.GitHubActions, "https://github.example.com/_services/token", map[string][]string{"repository": {"**"}}, false}, // own issuer
		{oidc.GitLabCI, "", map[string][]string{"project_path": {"**/app"}}, true},
		{oidc.GitLabCI, "", map[string][]string{"sub": {"project_path:**:ref:main"}}, true},
		{oidc.GitLabCI, "", map[string][]string{"namespace_path": {"acme", "acme/**"}}, false},
		{oidc.Buildkite, "", map[string][]string{"sub": {"organization:*:pipeline:app:**"}}, true},
		{oidc.Buildkite, "", map[string][]string{"sub": {"organization:acme:**"}}, false},
		{oidc.SPIFFE, "https://oidc.example.org", map[string][]string{"sub": {"spiffe://**"}}, true},
		{oidc.SPIFFE, "https://oidc.example.org", map[string][]string{"sub": {"spiffe://*/ci"}}, true},
		{oidc.SPIFFE, "https://oidc.example.org", map[string][]string{"sub": {"spiffe://*.example.org/**"}}, false},
	} {
		o := oidc.Options{Name: "ci", Preset: tt.preset, Issuer: tt.issuer, Audience: []string{"us"}, Require: tt.require}
		if text := problemOf(o, "require"); (text != "") != tt.problem {
			t.Errorf("%s %s %v: %q", tt.preset, tt.issuer, tt.require, text)
		}
	}
}

func TestProbableMistakesAreWarnings(t *testing.T) {
	for _, tt := range []struct {
		preset  oidc.Preset
		require map[string][]string
		groups  []string
		want    string
	}{
		{oidc.GitHubActions, map[string][]string{"repository_owner": {"acme"}}, nil, ""},
		{oidc.GitHubActions, map[string][]string{"repository": {"acme/*", "acme/**"}}, nil, ""},
		{oidc.GitHubActions, map[string][]string{"sub": {"repo:acme/**", "repo:acme@65/app*"}}, nil, ""},
		{oidc.GitHubActions, map[string][]string{"sub": {"repo:*@65/**"}}, nil, ""},
		{oidc.GitHubActions, map[string][]string{"repository_owner": {"*-acme"}}, nil, `others may have a name like "*-acme"`},
		{oidc.GitHubActions, map[string][]string{"repository_owner": {"acme*"}}, nil, `repository_owner: "acme*": others may have a name like "acme*"`},
		{oidc.GitHubActions, map[string][]string{"repository_owner": {"acme-*"}}, nil, `others may have a name like "acme-*"`},
		{oidc.GitHubActions, map[string][]string{"repository": {"acme*/app"}}, nil, `repository: "acme*/app": others may have a name like "acme*"`},
		{oidc.GitHubActions, map[string][]string{"sub": {"repo:acme*/app*:**"}}, nil, `others may have a name like "acme*"`},
		{oidc.GitHubActions, map[string][]string{"repository_id": {"7*"}}, nil, `others may have a name like "7*"`},
		{oidc.GitLabCI, map[string][]string{"namespace_path": {"acme**"}}, nil, `others may have a name like "acme**"`},
		{oidc.Buildkite, map[string][]string{"sub": {"organization:acme*:pipeline:**"}}, nil, `others may have a name like "acme*"`},
		{oidc.SPIFFE, map[string][]string{"sub": {"spiffe://example.org*/**"}}, nil, `others may have a name like "example.org*"`},
		// The issuer is not shared, so there is no warning.
		{oidc.Kubernetes, map[string][]string{"sub": {"system:serviceaccount:ci*:**"}}, nil, ""},

		{oidc.Kubernetes, nil, []string{"{groups}"}, `groups: "{groups}" can yield the group "tidewaiter-admins", which has rights over Tidewaiter: add a prefix, as in "ci:{groups}"`},
		{oidc.Kubernetes, nil, []string{"x", "tidewaiter-{groups}"}, `can yield the group "tidewaiter-admins"`},
		{oidc.Kubernetes, nil, []string{"{role}-auditors"}, `can yield the group "tidewaiter-auditors"`},
		// The last template names the group literally, so there is no warning.
		{oidc.Kubernetes, nil, []string{"ci:{groups}", "{sub}/x", "tidewaiter-admins"}, ""},
	} {
		o := oidc.Options{
			Name: "ci", Preset: tt.preset, Audience: []string{"us"}, Require: tt.require, Groups: tt.groups,
			Reserved: []string{"tidewaiter-admins", "tidewaiter-auditors"},
		}
		if tt.preset == oidc.SPIFFE || tt.preset == oidc.Kubernetes {
			o.Issuer = "https://issuer.example.org"
		}
		var got []string
		for _, w := range newProvider(t, o).Warnings() {
			got = append(got, w.Field+": "+w.Text)
		}
		if text := strings.Join(got, "\n"); tt.want == "" && text != "" || !strings.Contains(text, tt.want) || len(got) > 1 {
			t.Errorf("%v %v: %s, want %s", tt.require, tt.groups, text, tt.want)
		}
	}
}

func TestAllProblemsAreReturned(t *testing.T) {
	_, err := oidc.New(oidc.Options{
		Preset: "jenkins", Issuer: "http://issuer.example.com", Audience: []string{"us", ""},
		JWKSURL: "ftp://x", CA: "missing.pem", TokenFile: "missing", Algorithms: []string{"ES256", "none"}, MaxAge: 1,
		Kind: policy.Robot, Principal: "{a}{b}", Groups: []string{"{", "a}", "{a b", "", "{}"}, Claims: []string{"", "a=b", "/x/a", "{", "x="},
		Require: map[string][]string{"": {"x"}, "a": {}, "b": {""}, "c": {"a***"}},
	})
	const wanted = `preset: there is no preset "jenkins"
name: missing
audience: "" is not a valid audience
algorithms: "none" is not one of RS256, RS384, RS512, ES256, ES384, ES512, PS256, PS384, PS512, EdDSA
max_age: 1ns is too short: the minimum is a minute, because clocks may differ by that much
kind: must be workload or user
principal: put a separator between {a} and {b}: otherwise ab and c would yield the same as a and bc
groups: { without }
groups: } without {
groups: { without }
groups: "" is not a valid group name: it is empty
groups: the claim has no name
claims: the claim has no name
claims: "a" is already used for another claim
claims: "{" is not a valid claim name
claims: the claim has no name
require: the claim has no name
require: a: no value
require: b: "" is not a valid pattern
require: c: "a***" is not a valid pattern
jwks_url: not a URL such as https://issuer.example.com
ca: stat missing.pem: no such file or directory
token_file: stat missing: no such file or directory`
	if err == nil {
		t.Fatal("no problem was returned")
	}
	if diff := cmp.Diff(wanted, strings.ReplaceAll(err.Error(), "oidc: ", "")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnIssuerIsAPlainHTTPSURL(t *testing.T) {
	for issuer, ok := range map[string]bool{
		"https://issuer.example.com": true, "https://issuer.example.com/": true, "https://issuer.example.com/a/b": true,
		"http://127.0.0.1:8080": true, "http://[::1]": true, "http://localhost:1": true,
		"": false, "issuer.example.com": false, "https://": false, "https:x": false, "http://issuer": false, "http://localhost.example.com": false,
		"https://a:b@issuer.example.com": false, "https://issuer.example.com?x": false, "https://issuer.example.com?": false,
		"https://issuer.example.com#": false, "https://issuer.example.com#x": false, "http://127.0.0.1.nip.io": false, "file:///etc/keys": false,
	} {
		text := problemOf(oidc.Options{Name: "ci", Issuer: issuer, Audience: []string{"us"}}, "issuer")
		if (text == "") != ok || strings.Contains(text, "a:b@") {
			t.Errorf("%q: %q, want accepted: %t", issuer, text, ok)
		}
	}
}

func TestKeysInAFileExcludeAddresses(t *testing.T) {
	o := oidc.Options{Name: "ci", Issuer: "https://issuer.example.com", Audience: []string{"us"}, JWKSFile: "x", JWKSURL: "https://issuer.example.com/keys", CA: "y", TokenFile: "z"}
	for _, field := range []string{"jwks_url", "ca", "token_file"} {
		if text := problemOf(o, field); !strings.Contains(text, "not used together") {
			t.Errorf("%s: %q", field, text)
		}
	}
}
