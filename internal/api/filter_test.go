package api_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/journal"
)

func TestAFilterNamesARepositoryWithoutTheRegistry(t *testing.T) {
	for repository, want := range map[string]string{
		"localhost:5000/team/app": "repositories are named without the registry: team/app", "localhost/team/**": "repositories are named without the registry: team/**",
		"ghcr.io/acme/app": "", "team/app": "", "**": "", // a mirror has such repositories
	} {
		f := api.Filter{Repository: repository}
		if _, field, reason := f.Query(); reason != want || want != "" && field != "repository" {
			t.Errorf("%s: %s: %s", repository, field, reason)
		}
	}
}

// Summaries of entries have shortened digests, which people copy.
func TestAFilterNamesTheBeginningOfADigest(t *testing.T) {
	for digest, want := range map[string]string{
		"sha256:0123456": "sha256:0123456", "0123456": "sha256:0123456", "SHA256:0123456789AB": "sha256:0123456789ab",
		"sha256:0123456789ab…": "sha256:0123456789ab", "sha256:012345…": "", "sha256:…": "", "latest": "",
	} {
		f := api.Filter{Digest: digest}
		if q, _, reason := f.Query(); q.Digest != want || (reason == "") != (want != "") {
			t.Errorf("%s: %q, %s", digest, q.Digest, reason)
		}
	}
}

// Events of registries have only a login. A principal of one kind must not get the events of a
// principal of another kind with the same name.
func TestPrincipalsHaveTheirOwnLogins(t *testing.T) {
	for principal, want := range map[string]*journal.Who{
		"user:ann":                 {Subjects: []string{"user:ann"}, Logins: []string{"ann"}},
		"robot:ci":                 {Subjects: []string{"robot:ci"}, Logins: []string{"robot+ci"}},
		"workload:ann":             {Subjects: []string{"workload:ann"}},
		"workload:github:acme/app": {Subjects: []string{"workload:github:acme/app"}, Logins: []string{"github:acme/app"}},
		"operator:root":            {Subjects: []string{"operator:root"}},
		"anonymous":                {Subjects: []string{"anonymous"}, Logins: []string{""}},
		"robot+ci": {
			Subjects: []string{"robot+ci", "user:robot+ci", "robot:robot+ci", "workload:robot+ci", "operator:robot+ci", "robot:ci"},
			Logins:   []string{"robot+ci", "robot+robot+ci"},
		},
	} {
		f := api.Filter{Principal: principal}
		q, field, reason := f.Query()
		if reason != "" {
			t.Errorf("%s: %s: %s", principal, field, reason)
		}
		if diff := cmp.Diff(want, q.Who); diff != "" {
			t.Errorf("%s (-want +got)\n%s", principal, diff)
		}
	}
}
