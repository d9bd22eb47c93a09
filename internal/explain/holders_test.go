package explain_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Names of rules and files, conditions and patterns can contain information about other
// namespaces. So an answer for owners must not contain these texts. Owners see only that there is
// a condition.
func TestOwnersSeeOnlyTheRulesOfTheirNamespace(t *testing.T) {
	condition, err := when.NewCompiler().Compile(`claims.canary == "canary"`)
	if err != nil {
		t.Fatal(err)
	}
	rule := func(subject string, deny bool, names ...string) policy.Rule {
		return policy.Rule{
			Name: "canary " + subject, Deny: deny, Subjects: []string{subject}, Names: names, Actions: scope.Push, When: condition,
			Origin: policy.Origin{File: "canary.yaml", Line: 7},
		}
	}
	unconditional := rule("group:denied", true, "*/app")
	unconditional.Name, unconditional.When = "canary unconditional", nil
	own := policy.Rule{
		Name: "namespace team: writer", Subjects: []string{"user:wanda"}, Names: []string{"team/**"}, Actions: scope.Push,
		Origin: policy.Origin{Namespace: "team"},
	}
	long := "team" + strings.Repeat("/a", 20)
	p, err := policy.Compile(policy.Source{Rules: []policy.Rule{
		own, rule("group:all", false, "**", "canary/**"), rule("signed-in", false, "${claims.x}/${claims.y}/${claims.z}"),
		rule("group:denied", false, "**"), rule("group:gone", true, "t*/**"), unconditional,
	}})
	if err != nil {
		t.Fatal(err)
	}
	pattern := false
	for _, name := range []string{"team/app", long} {
		for _, a := range ask.WhoCan(p, "r.example.com", scope.Scope{Type: scope.TypeRepository, Name: name, Actions: scope.Push}) {
			answer := explain.Answer{Answer: a}
			limited := answer.ForOwners("team")
			holders := limited.Holders()
			text, err := json.Marshal(holders)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "canary") || strings.Contains(string(text), "${") {
				t.Errorf("%s: %s", name, text)
			}
			if !strings.Contains(string(text), own.Name) || !strings.Contains(string(text), `"when":"(not shown)"`) {
				t.Errorf("%s: a visible part is missing: %s", name, text)
			}
			for _, g := range holders.Allowed {
				pattern = pattern || g.Pattern != ""
			}
			whole := answer.Holders()
			if len(whole.Allowed) != len(holders.Allowed) || len(whole.Except) != len(holders.Except) || len(whole.Denied) != len(holders.Denied) {
				t.Errorf("%s: a grantee is missing: %s", name, text)
			}
			if again, _ := json.Marshal(whole); !strings.Contains(string(again), "canary") {
				t.Error("ForOwners changed the original answer")
			}
			if name == "team/app" && len(holders.Denied) == 0 {
				t.Errorf("the answer has no denied subject: %s", text)
			}
		}
	}
	if !pattern {
		t.Error("no answer had a pattern to hide")
	}
}
