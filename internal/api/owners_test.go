package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Owners of a namespace ask who can do something with its repositories, and with no others: not
// with those of a namespace whose name begins alike, nor with what lies around theirs.
func TestOwnersAskAboutTheirNamespace(t *testing.T) {
	h := newHouse(t, "sqlite::memory:")
	for _, name := range []string{"olga", "otto", "wanda", "helen"} {
		h.member(name)
	}
	for _, n := range []rulebook.NewNamespace{
		{Name: "team", Owners: []string{"user:olga"}}, {Name: "team2", Owners: []string{"user:otto"}}, {Name: "shop/web", Owners: []string{"user:olga"}},
	} {
		if _, err := h.rulebook.AddNamespace(t.Context(), operator, n); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.rulebook.SetMember(t.Context(), operator, "team", "user:wanda", "writer", 0); err != nil {
		t.Fatal(err)
	}
	for _, c := range []rulebook.Content{
		{Name: "merger with globex", Subjects: []string{"group:lawyers"}, Repositories: []string{"**"}, Actions: []string{"push"}},
		{Name: "te* is frozen", Effect: rulebook.Deny, Subjects: []string{"robot:old"}, Repositories: []string{"te*/**"}, Actions: []string{"push"}},
		{Name: "helpers", Subjects: []string{"user:helen"}, Tidewaiter: []string{"namespace/team"}, Actions: []string{"read"}},
	} {
		if _, err := h.rulebook.AddRule(t.Context(), operator, c); err != nil {
			t.Fatal(err)
		}
	}
	show := func(name string, limits ...policy.Limit) as {
		_, secret := h.token(name, string(rune('a'+h.next())), limits...)
		return bearer(secret)
	}
	olga, otto, wanda, helen := show("olga"), show("otto"), show("wanda"), show("helen")
	ask := func(scopes ...string) fields { return fields{"scopes": scopes} }

	var answers []api.Holders
	if err := json.Unmarshal([]byte(h.must(200, olga, "POST", "/who-can", ask("repository:team/app:push")).Body), &answers); err != nil {
		t.Fatal(err)
	}
	want := []api.Holders{{
		Registry: "r.example.com", Type: "repository", Name: "team/app", Action: "push",
		Through: []api.Grantee{
			{Who: []string{"user:ann"}},      // by a rule of a file
			{Who: []string{"group:lawyers"}}, // by one of the database
			{Who: []string{"user:olga"}, RuleName: api.RuleName{Rule: "namespace team: owner", Namespace: "team"}},
			{Who: []string{"user:wanda"}, RuleName: api.RuleName{Rule: "namespace team: writer", Namespace: "team"}},
		},
		Except: []api.Grantee{{Who: []string{"robot:old"}}},
	}}
	if diff := cmp.Diff(want, answers); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, who := range []as{olga, helen} {
		h.must(200, who, "POST", "/who-can", ask("repository:team/app:pull,push,delete", "repository:team/web/front:*"))
	}
	h.must(200, olga, "POST", "/who-can", ask("repository:shop/web/app:pull"))
	h.must(200, otto, "POST", "/who-can", ask("repository:team2/app:pull"))

	refused := h.must(403, olga, "POST", "/who-can", ask("repository:none/app:pull")).Body
	for _, tt := range []struct {
		who    as
		scopes []string
	}{
		{olga, []string{"repository:team2/app:pull"}},
		{otto, []string{"repository:team/app:pull"}},
		{helen, []string{"repository:team2/app:pull"}},
		{olga, []string{"repository:team:pull"}},
		{olga, []string{"repository:tea/app:pull"}},
		{olga, []string{"repository:team-x/app:pull"}},
		{olga, []string{"repository:shop/app:pull"}},
		{olga, []string{"repository:shop/web2/app:pull"}},
		{olga, []string{"repository:host:5000/team/app:pull"}},
		{olga, []string{"repository:team/app:pull", "repository:team2/app:pull"}},
		{olga, []string{"repository:team/app:pull", "repository:shop/web/app:pull"}}, // two of hers: each by itself
		{olga, []string{"registry:catalog:*"}},
		{olga, []string{"tidewaiter:namespace/team:write"}},
		{olga, []string{"repository:team/app:pull", "tidewaiter:policy:read"}},
		{wanda, []string{"repository:team/app:pull"}}, // a member who owns nothing
		{show("olga", policy.Limit{Names: []string{"team/**"}, Actions: scope.Pull}), []string{"repository:team/app:pull"}},
	} {
		got := h.must(403, tt.who, "POST", "/who-can", ask(tt.scopes...)).Body
		if clean(h, got) != clean(h, refused) {
			t.Errorf("%v: it is told apart from what is not there: %s", tt.scopes, got)
		}
	}
	for _, wild := range []string{"repository:team/*:pull", "repository:**:pull", "repository:team/../team2/app:pull", "repository:team//app:pull"} {
		h.must(422, olga, "POST", "/who-can", ask(wild))
	}
	// Who is in a group is not theirs to know, nor what else members may do.
	h.must(403, olga, "POST", "/who-can", fields{"scopes": []string{"repository:team/app:pull"}, "members": true})
	h.must(403, olga, "POST", "/what-can", fields{"as": "user:wanda"})

	// With the namespace, the right is gone; a deny takes it away before.
	if err := h.rulebook.DeleteNamespace(t.Context(), operator, "team", 0); err != nil {
		t.Fatal(err)
	}
	h.must(403, olga, "POST", "/who-can", ask("repository:team/app:pull"))
	h.must(403, helen, "POST", "/who-can", ask("repository:team/app:pull"))
	deny := rulebook.Content{Name: "not olga", Effect: rulebook.Deny, Subjects: []string{"user:olga"}, Tidewaiter: []string{"namespace/**"}, Actions: []string{"read"}}
	if _, err := h.rulebook.AddRule(t.Context(), operator, deny); err != nil {
		t.Fatal(err)
	}
	h.must(403, olga, "POST", "/who-can", ask("repository:shop/web/app:pull"))
	h.member("carol", accounts.Auditors)
	if whole := h.must(200, show("carol"), "POST", "/who-can", ask("repository:shop/web/app:push")).Body; !strings.Contains(whole, "merger with globex") {
		t.Errorf("an auditor is told less: %s", whole)
	}
}

// clean is a problem without what is of this request alone.
func clean(h *house, body string) string {
	problem := h.read(reply{Body: body})
	delete(problem, "instance")
	text, err := json.Marshal(problem)
	if err != nil {
		h.Fatal(err)
	}
	return string(text)
}

// Names of rules, files, conditions and patterns speak of what lies outside a namespace. None of
// it reaches its owners, wherever in an answer the rule stands; that there is a condition does.
func TestOwnersReadNoRuleButTheirs(t *testing.T) {
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
	certain := rule("group:barred", true, "*/app")
	certain.Name, certain.When = "canary certain", nil
	own := policy.Rule{
		Name: "namespace team: writer", Subjects: []string{"user:wanda"}, Names: []string{"team/**"}, Actions: scope.Push,
		Origin: policy.Origin{Namespace: "team"},
	}
	long := "team" + strings.Repeat("/a", 20)
	p, err := policy.Compile(policy.Source{Rules: []policy.Rule{
		own, rule("group:all", false, "**", "canary/**"), rule("signed-in", false, "${claims.x}/${claims.y}/${claims.z}"),
		rule("group:barred", false, "**"), rule("group:gone", true, "t*/**"), certain,
	}})
	if err != nil {
		t.Fatal(err)
	}
	pattern := false
	for _, name := range []string{"team/app", long} {
		for _, answer := range ask.WhoCan(p, "r.example.com", scope.Scope{Type: scope.TypeRepository, Name: name, Actions: scope.Push}) {
			narrowed := api.ForOwners(answer, "team")
			form := api.NewHolders(&narrowed, nil, nil)
			text, err := json.Marshal(form)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "canary") || strings.Contains(string(text), "${") {
				t.Errorf("%s: %s", name, text)
			}
			if !strings.Contains(string(text), own.Name) || !strings.Contains(string(text), `"when":"(not shown)"`) {
				t.Errorf("%s: too little is shown: %s", name, text)
			}
			for _, g := range form.Through {
				pattern = pattern || g.Pattern != ""
			}
			whole := api.NewHolders(&answer, nil, nil)
			if len(whole.Through) != len(form.Through) || len(whole.Except) != len(form.Except) || len(whole.Barred) != len(form.Barred) {
				t.Errorf("%s: somebody is left out: %s", name, text)
			}
			if again, _ := json.Marshal(whole); !strings.Contains(string(again), "canary") {
				t.Error("the answer itself was changed")
			}
			if name == "team/app" && len(form.Barred) == 0 {
				t.Errorf("nobody is barred: %s", text)
			}
		}
	}
	if !pattern {
		t.Error("no answer had a pattern to hide")
	}
}
