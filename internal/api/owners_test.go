package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Owners of a namespace may query who-can about repositories of the namespace. They may not query
// repositories outside their namespace, even if another namespace's name begins with the same
// letters.
func TestOwnersMayQueryTheirNamespace(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	for _, name := range []string{"olga", "otto", "wanda", "helen"} {
		h.addMember(name)
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
		{Name: "te* is frozen", Effect: ruleset.Deny, Subjects: []string{"robot:old"}, Repositories: []string{"te*/**"}, Actions: []string{"push"}},
		{Name: "helpers", Subjects: []string{"user:helen"}, Tidewaiter: []string{"namespace/team"}, Actions: []string{"read"}},
	} {
		if _, err := h.rulebook.AddRule(t.Context(), operator, c); err != nil {
			t.Fatal(err)
		}
	}
	issue := func(name string, limits ...policy.Limit) option {
		_, secret := h.createToken(name, string(rune('a'+h.nextNumber())), limits...)
		return bearer(secret)
	}
	olga, otto, wanda, helen := issue("olga"), issue("otto"), issue("wanda"), issue("helen")
	query := func(scopes ...string) fields { return fields{"scopes": scopes} }

	var answers []explain.Holders
	if err := json.Unmarshal([]byte(h.requireStatus(200, olga, "POST", "/who-can", query("repository:team/app:push")).Body), &answers); err != nil {
		t.Fatal(err)
	}
	want := []explain.Holders{{
		Registry: "r.example.com", Type: "repository", Name: "team/app", Action: "push",
		Allowed: []explain.Grantee{
			{Who: []string{"user:ann"}},      // allowed by a rule in a file
			{Who: []string{"group:lawyers"}}, // allowed by a rule in the database
			{Who: []string{"user:olga"}, RuleName: explain.RuleName{Rule: "namespace team: owner", Namespace: "team"}},
			{Who: []string{"user:wanda"}, RuleName: explain.RuleName{Rule: "namespace team: writer", Namespace: "team"}},
		},
		Except: []explain.Grantee{{Who: []string{"robot:old"}}},
	}}
	if diff := cmp.Diff(want, answers); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, who := range []option{olga, helen} {
		h.requireStatus(200, who, "POST", "/who-can", query("repository:team/app:pull,push,delete", "repository:team/web/front:*"))
	}
	h.requireStatus(200, olga, "POST", "/who-can", query("repository:shop/web/app:pull"))
	h.requireStatus(200, otto, "POST", "/who-can", query("repository:team2/app:pull"))

	refused := h.requireStatus(403, olga, "POST", "/who-can", query("repository:none/app:pull")).Body
	for _, tt := range []struct {
		who    option
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
		// Olga owns both namespaces, but a query must be about one namespace.
		{olga, []string{"repository:team/app:pull", "repository:shop/web/app:pull"}},
		{olga, []string{"registry:catalog:*"}},
		{olga, []string{"tidewaiter:namespace/team:write"}},
		{olga, []string{"repository:team/app:pull", "tidewaiter:policy:read"}},
		{wanda, []string{"repository:team/app:pull"}}, // a member, but not an owner
		{issue("olga", policy.Limit{Names: []string{"team/**"}, Actions: scope.Pull}), []string{"repository:team/app:pull"}},
	} {
		got := h.requireStatus(403, tt.who, "POST", "/who-can", query(tt.scopes...)).Body
		if withoutRequestID(h, got) != withoutRequestID(h, refused) {
			t.Errorf("%v: the response differs from the one for a namespace that does not exist: %s", tt.scopes, got)
		}
	}
	for _, pattern := range []string{"repository:team/*:pull", "repository:**:pull", "repository:team/../team2/app:pull", "repository:team//app:pull"} {
		h.requireStatus(422, olga, "POST", "/who-can", query(pattern))
	}
	// Owners may not list the members of groups. They may not list the rights that members of
	// their namespace have elsewhere.
	h.requireStatus(403, olga, "POST", "/who-can", fields{"scopes": []string{"repository:team/app:pull"}, "members": true})
	h.requireStatus(403, olga, "POST", "/what-can", fields{"as": "user:wanda"})

	// The owner's right ends when the namespace is deleted, or when a deny rule denies the right.
	if err := h.rulebook.DeleteNamespace(t.Context(), operator, "team", 0); err != nil {
		t.Fatal(err)
	}
	h.requireStatus(403, olga, "POST", "/who-can", query("repository:team/app:pull"))
	h.requireStatus(403, helen, "POST", "/who-can", query("repository:team/app:pull"))
	deny := rulebook.Content{Name: "not olga", Effect: ruleset.Deny, Subjects: []string{"user:olga"}, Tidewaiter: []string{"namespace/**"}, Actions: []string{"read"}}
	if _, err := h.rulebook.AddRule(t.Context(), operator, deny); err != nil {
		t.Fatal(err)
	}
	h.requireStatus(403, olga, "POST", "/who-can", query("repository:shop/web/app:pull"))
	h.addMember("carol", admin.Auditors)
	if whole := h.requireStatus(200, issue("carol"), "POST", "/who-can", query("repository:shop/web/app:push")).Body; !strings.Contains(whole, "merger with globex") {
		t.Errorf("an auditor gets less: %s", whole)
	}
}

// withoutRequestID returns a problem without the id of the request.
func withoutRequestID(h *harness, body string) string {
	problem := h.read(reply{Body: body})
	delete(problem, "instance")
	text, err := json.Marshal(problem)
	if err != nil {
		h.Fatal(err)
	}
	return string(text)
}
