package policy_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// A rule for a distinguished name matches all spellings of the name. Otherwise a deny rule would
// not match if the rule and the directory spell the name differently.
func TestSpellingsOfDistinguishedNames(t *testing.T) {
	ops := []string{
		`cn=ops\, eu,ou=groups,dc=example,dc=com`, `CN=Ops\2C EU,OU=Groups,DC=example,DC=com`, `cn="Ops, EU", ou=groups, dc=example, dc=com`,
		`2.5.4.3=#0C074F70732C204555,organizationalUnitName=GROUPS,domainComponent=example,dc=com`,
	}
	others := []string{
		`cn=ops,ou=groups,dc=example,dc=com`, `cn=ops\, eu,ou=groups,dc=example`, `ou=groups,cn=ops\, eu,dc=example,dc=com`, `cn=ops+cn=eu,ou=groups,dc=example,dc=com`,
		`cn=ops, eu,ou=groups,dc=example,dc=com`, `ops`,
	}
	rapid.Check(t, func(t *rapid.T) {
		written, had := rapid.SampledFrom(ops).Draw(t, "written"), rapid.SampledFrom(append(ops, others...)).Draw(t, "had")
		kind := rapid.SampledFrom([]string{"group", "user", "workload", "robot"}).Draw(t, "kind")
		same := false
		for _, o := range ops {
			same = same || o == had
		}
		rules, err := policy.Compile(policy.Source{Rules: []policy.Rule{
			{Name: "all", Subjects: []string{"signed-in"}, Names: []string{"**"}, Actions: scope.Pull},
			{Name: "not these", Deny: true, Subjects: []string{kind + ":" + written}, Names: []string{"prod/**"}, Actions: scope.Pull},
			{Name: "these", Subjects: []string{kind + ":" + written}, Names: []string{"ops/**"}, Actions: scope.Push},
		}})
		if err != nil {
			t.Fatal(err)
		}
		who := &policy.Principal{Kind: policy.User, Name: "ann", Groups: []string{"x", had}}
		switch kind {
		case "user":
			who = &policy.Principal{Kind: policy.User, Name: had}
		case "workload":
			who = &policy.Principal{Kind: policy.Workload, Name: had}
		case "robot":
			who = &policy.Principal{Kind: policy.Robot, Name: had}
		}
		if rapid.Bool().Draw(t, "indexed") {
			who = who.Indexed()
		}
		d := rules.Decide(&policy.Request{Principal: who, Scopes: []scope.Scope{
			{Type: "repository", Name: "prod/app", Actions: scope.Pull}, {Type: "repository", Name: "ops/app", Actions: scope.Push},
		}})
		if denied := d.Results[0].Granted == 0; denied != same {
			t.Errorf("a principal with %s and a deny rule for %s: denied %v", had, written, denied)
		}
		if allowed := d.Results[1].Granted != 0; allowed != same {
			t.Errorf("a principal with %s and an allow rule for %s: allowed %v", had, written, allowed)
		}
	})
}
