package advice_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/advice"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func TestFindings(t *testing.T) {
	file := policy.Origin{File: "rules.yaml", Line: 7}
	database := policy.Origin{Database: true}
	team := policy.Origin{Namespace: "team"}
	dev := func(r policy.Rule) policy.Rule {
		if r.Subjects == nil {
			r.Subjects = []string{"group:dev"}
		}
		if r.Names == nil {
			r.Names = []string{"team/**"}
		}
		if r.Actions == 0 {
			r.Actions = scope.Pull
		}
		return r
	}
	devs := dev(policy.Rule{Name: "devs", Origin: file})
	for _, tt := range []struct {
		name  string
		rules []policy.Rule
		want  []string // kind, reason and change
	}{
		{"a rule that was used", []policy.Rule{devs}, nil},
		{"a rule for others", []policy.Rule{devs, dev(policy.Rule{Name: "ops", Subjects: []string{"group:ops"}, Origin: file})},
			[]string{"unused-rule ops: no recorded request matches it: remove the rule from rules.yaml:7"}},
		{"a deny rule", []policy.Rule{devs, dev(policy.Rule{Name: "prod", Names: []string{"prod/**"}, Deny: true, Origin: database})},
			[]string{"unused-rule prod: no recorded request matches it: keep it if it is a safeguard, otherwise tidewaiter rule delete prod"}},
		{"a deny rule whose condition fails for a recorded request", []policy.Rule{dev(policy.Rule{Name: "never", Deny: true, When: condition{false, errors.New("no such claim")}})}, nil},
		{"a deny rule with few of its actions", []policy.Rule{dev(policy.Rule{Name: "all", Actions: scope.Repository, Deny: true})}, nil},
		{"an action that nobody requests", []policy.Rule{dev(policy.Rule{Name: "writers", Actions: scope.Pull | scope.Delete, Origin: file})},
			[]string{"unused-actions writers: it allows to delete, but nobody whom it matches requested this action: remove the actions [delete] from rules.yaml:7"}},
		{"a subject without requests", []policy.Rule{dev(policy.Rule{Name: "two", Subjects: []string{"group:dev", "user:eve"}, Origin: database})},
			[]string{`unused-subjects two: no recorded request of user:eve matches it: remove the subjects [user:eve] from the rule "two" (tidewaiter rule set)`}},
		{"a member without requests", []policy.Rule{dev(policy.Rule{Name: "namespace team: writer", Subjects: []string{"user:eve", "group:dev"}, Origin: team})},
			[]string{"unused-subjects namespace team: writer: no recorded request of user:eve matches it: tidewaiter namespace member remove team user:eve"}},
		{"a visibility that nobody needs", []policy.Rule{dev(policy.Rule{Name: "namespace shop: public", Subjects: []string{"anyone"}, Names: []string{"shop/**"}, Origin: policy.Origin{Namespace: "shop"}})},
			[]string{"unused-rule namespace shop: public: no recorded request matches it: tidewaiter namespace set shop private"}},
		{"of two equal rules, the later one", []policy.Rule{devs, dev(policy.Rule{Name: "again", Origin: file})},
			[]string{`covered-rule again: it has no effect beside "devs" (rules.yaml:7): remove the rule from rules.yaml:7`}},
		{"a rule that a deny rule covers", []policy.Rule{devs, dev(policy.Rule{Name: "no", Names: []string{"**"}, Subjects: []string{"anyone"}, Deny: true, Origin: file})},
			[]string{`denied-rule devs: it has no effect, because "no" (rules.yaml:7) denies everything that it allows: remove the rule from rules.yaml:7`}},
		{"a pattern without repositories", []policy.Rule{dev(policy.Rule{Name: "names", Names: []string{"team/*", "former/**"}, Origin: file})},
			[]string{"unmatched-names names: the catalog has no repository that matches former/**: remove the repositories [former/**] from rules.yaml:7"}},
		{"a right over Tidewaiter, which is not recorded", []policy.Rule{dev(policy.Rule{Name: "admin", Type: scope.TypeTidewaiter, Names: []string{"policy"}, Actions: scope.Read})}, nil},
		{"a built-in rule", []policy.Rule{dev(policy.Rule{Name: "built in", Subjects: []string{"group:none"}, Origin: policy.Origin{BuiltIn: true}})}, nil},
	} {
		p, err := policy.Compile(policy.Source{Rules: tt.rules})
		if err != nil {
			t.Fatal(err)
		}
		u, err := advice.New(p)
		if err != nil {
			t.Fatal(err)
		}
		r := &policy.Request{Principal: principals[0], Scopes: []scope.Scope{{Type: "repository", Name: "team/app", Actions: scope.Pull}}}
		u.AddDecision(&journal.Entry{Decision: &journal.Decision{Principal: r.Principal, Results: p.Decide(r).Results}})
		u.AddDecision(&journal.Entry{Decision: &journal.Decision{Refused: "invalid credentials"}})
		u.AddDecision(&journal.Entry{Text: []byte("no decision")})
		u.AddRepository("r", "team/app")
		u.AddRepository("r", "shop/app")
		u.AddRepository("r", "prod/app")
		var got []string
		for _, f := range u.Findings() {
			got = append(got, string(f.Kind)+" "+f.Rule.Name+": "+f.Reason()+": "+f.Change())
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
