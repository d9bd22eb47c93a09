package config

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Each subject has its own position in its file. A deny rule without subjects has the subject
// anyone, with the position of the rule.
func TestWhereSubjectsAreWritten(t *testing.T) {
	disk := files{
		"tidewaiter.yaml": "registries: [ { service: r } ]\npolicy:\n  files: [p.yaml]\n  rules:\n    - { name: a, subjects: [anyone], repositories: [a], actions: [pull] }\n" +
			"    - name: b\n      repositories: [b]\n      actions: [push]\n      effect: deny\n",
		"p.yaml": "rules:\n  - name: c\n    subjects:\n      - user:ann\n      - group:dev\n    repositories: [c]\n    actions: [pull]\n",
	}
	c, err := loadText(t, disk.withKeys())
	if err != nil {
		t.Fatal(err)
	}
	subjects := func(c *Config) (found []string) {
		c.Subjects(func(r *policy.Rule, subject string, at policyfile.Place) bool {
			found = append(found, fmt.Sprintf("%s:%d:%d: %s", r.Origin.File, at.Line, at.Column, subject))
			return true
		})
		return found
	}
	if diff := cmp.Diff([]string{
		"tidewaiter.yaml:5:29: anyone", "tidewaiter.yaml:6:7: anyone", "p.yaml:4:9: user:ann", "p.yaml:5:9: group:dev",
	}, subjects(c)); diff != "" {
		t.Error(diff)
	}
	made := &Config{Compiled: policyfile.Compiled{Rules: policy.Source{Rules: []policy.Rule{{Subjects: []string{"user:ann"}, Origin: policy.Origin{File: "f", Line: 3}}}}}}
	if diff := cmp.Diff([]string{"f:3:0: user:ann"}, subjects(made)); diff != "" {
		t.Error(diff)
	}
}
