package oidc_test

import (
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
	"github.com/tidewaiter/tidewaiter/policy"
)

func TestMightBe(t *testing.T) {
	p, err := oidc.New(oidc.Options{
		Name: "ci", Preset: oidc.GitHubActions, Audience: []string{"us"},
		Require: map[string][]string{"repository_owner": {"acme"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"github:acme/app": true, "acme/app": false, "github:": false, "": false} {
		if got := p.MightBe(policy.Workload, name); got != want {
			t.Errorf("workload %q: %t", name, got)
		}
	}
	if p.MightBe(policy.User, "github:acme/app") {
		t.Error("a job is not a user")
	}
	for group, want := range map[string]bool{
		"github:acme": true, "github:acme/app:ref:refs/heads/main": true, "acme": false, "gitlab:acme": false,
	} {
		if got := p.MightBeIn(group); got != want {
			t.Errorf("group %q: %t", group, got)
		}
	}
	if got := p.Begins(); got != "github:" {
		t.Errorf("names begin with %q", got)
	}
}
