package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Callers who may read the policy get the same answers as on the command line. All other
// callers may query only about themselves, and learn no more than from a refusal.
func TestThePolicyCanBeQueried(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	for name, group := range map[string]string{"ann": "dev", "carol": admin.Auditors} {
		h.addMember(name, group)
	}
	if _, err := h.rulebook.AddNamespace(h.Context(), operator, rulebook.NewNamespace{Name: "secret", Owners: []string{"user:olga"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.rulebook.AddRule(h.Context(), operator, rulebook.Content{Name: "freeze", Effect: ruleset.Deny, Repositories: []string{"team/prod"}, Actions: []string{"push"}}); err != nil {
		t.Fatal(err)
	}
	issue := func(name string, limits ...policy.Limit) option {
		_, secret := h.createToken(name, string(rune('a'+h.nextNumber())), limits...)
		return bearer(secret)
	}
	ann, carol, restricted := issue("ann"), issue("carol"), issue("ann", policy.Limit{Names: []string{"team/**"}, Actions: scope.Pull})
	explain := func(who option, body fields) string {
		t.Helper()
		return h.requireStatus(200, who, "POST", "/explain", body).Body
	}
	has := func(text string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("no %s in %s", w, text)
			}
		}
	}
	hides := func(text string, names ...string) {
		t.Helper()
		for _, name := range names {
			if strings.Contains(text, name) {
				t.Errorf("%s in %s", name, text)
			}
		}
	}
	push := func(name string) fields { return fields{"actions": []string{"push"}, "repository": name} }

	of := push("team/app")
	of["as"] = "user:ann"
	has(explain(carol, of), `"allowed":true`, `"rule":"team"`, `"known":true`, `"groups":["dev"]`)
	has(explain(ann, push("team/app")), `"allowed":true`, `"reason":"allowed"`, `"ip":"127.0.0.1"`)
	has(explain(ann, of), `"allowed":true`)
	has(explain(restricted, push("team/app")), `"allowed":false`, `"reason":"narrowed"`)
	// The restrictions of the credential also apply if the query names the caller in the field
	// `as`.
	has(explain(restricted, of), `"allowed":false`)

	denied := explain(ann, push("team/prod"))
	has(denied, `"allowed":false`, `"reason":"denied"`)
	hides(denied, "freeze")
	hides(explain(ann, push("secret/app")), "namespace", "olga", `"near_misses"`)
	asAnn := push("secret/app")
	asAnn["as"] = "user:ann"
	has(explain(carol, asAnn), `"near_misses"`, `"namespace":"secret"`, "user:olga")
	mine := h.requireStatus(200, ann, "POST", "/what-can", fields{}).Body
	has(mine, `"names":["team/**"]`)
	hides(mine, "freeze", `"rule"`)
	has(h.requireStatus(200, carol, "POST", "/what-can", fields{"as": "user:ann"}).Body, `"rule":"team"`, `"rule":"freeze"`)
	has(h.requireStatus(200, carol, "POST", "/who-can", push("team/app")).Body, `"who":["user:ann"]`, `"rule":"team"`)

	// Listing the accounts in a group requires the right to read accounts.
	members := fields{"actions": []string{"push"}, "repository": "groups/app", "members": true}
	for _, c := range []rulebook.Content{
		{Name: "groups", Subjects: []string{"group:dev", "user:nobody"}, Repositories: []string{"groups/**"}, Actions: []string{"push"}},
		{Name: "policy readers", Subjects: []string{"group:policy-readers"}, Tidewaiter: []string{"policy"}, Actions: []string{"read"}},
	} {
		if _, err := h.rulebook.AddRule(h.Context(), operator, c); err != nil {
			t.Fatal(err)
		}
	}
	h.addMember("dan", "dev")
	h.addMember("reader", "policy-readers")
	has(h.requireStatus(200, carol, "POST", "/who-can", members).Body, `"who":["group:dev"],"rule":"groups","members":["user:ann","user:dan"]`, `"missing":true`)
	members["max_members"] = 1
	has(h.requireStatus(200, carol, "POST", "/who-can", members).Body, `"members":["user:ann"],"more":true`)
	h.requireStatus(403, issue("reader"), "POST", "/who-can", members)
	members["members"] = false
	hides(h.requireStatus(200, issue("reader"), "POST", "/who-can", members).Body, "user:ann", "missing")

	// Built-in rules are listed like other rules.
	write := fields{"scopes": []string{"tidewaiter:journal:write"}}
	has(h.requireStatus(200, carol, "POST", "/who-can", write).Body, `"who":["group:tidewaiter-admins"]`, `"rule":"tidewaiter-admins"`, `"built_in":true`)
	hides(h.requireStatus(200, carol, "POST", "/who-can", write).Body, "auditors")
	has(h.requireStatus(200, carol, "POST", "/what-can", fields{}).Body, `"type":"tidewaiter","names":["**"],"actions":["read"],"rule":"tidewaiter-auditors","built_in":true`)
	has(explain(carol, fields{"scopes": []string{"tidewaiter:journal:read,write"}}), `"granted":["read"]`, `"rule":"tidewaiter-auditors","built_in":true`, "it is for group:tidewaiter-admins")

	// The answer has the lifetime of a token and the setting that decides this lifetime. If a rule
	// decides the lifetime, the answer hides the name of this rule, like the names of all other
	// rules.
	brief := rulebook.Content{Name: "brief", Subjects: []string{"user:ann"}, Repositories: []string{"brief/**"}, Actions: []string{"push"}, Lifetime: "2m"}
	if _, err := h.rulebook.AddRule(h.Context(), operator, brief); err != nil {
		t.Fatal(err)
	}
	has(explain(carol, fields{"as": "user:ann", "actions": []string{"push"}, "repository": "brief/app"}), `"lifetime":{"seconds":120,"by":"rule","rule":"brief"}`)
	has(explain(ann, push("brief/app")), `"lifetime":{"seconds":120,"by":"rule"}`)
	hides(explain(ann, push("secret/app")), `"lifetime"`)

	h.issuer.Swap(func(l issuer.Live) issuer.Live { l.ShowRules = true; return l })
	has(explain(ann, push("team/prod")), `"rule":"freeze"`)
	hides(explain(ann, push("secret/app")), "olga")

	// An unknown principal has only the given groups.
	has(explain(carol, fields{"as": "robot:none", "groups": []string{"helpdesk"}, "scopes": []string{"tidewaiter:accounts:read"}}),
		`"known":false`, `"allowed":true`, "no identity source knows this name")
	has(explain(carol, fields{"as": "anonymous", "ip": "192.0.2.7", "at": "2026-11-28T23:00:00Z", "client": "docker/27", "scopes": []string{"repository:a/b:pull"}}),
		`"ip":"192.0.2.7"`, `"at":"2026-11-28T23:00:00Z"`, `"client":"docker/27"`, "token.anonymous")

	for _, tt := range []struct {
		path, at string
		body     fields
	}{
		{"/explain", "body.repository", fields{}},
		{"/explain", "body.actions", fields{"repository": "a/b"}},
		{"/explain", "body.repository", fields{"actions": []string{"pull"}}},
		{"/explain", "body.scopes", fields{"actions": []string{"pull"}, "repository": "a/b", "scopes": []string{"repository:a/b:pull"}}},
		{"/explain", "body.repository", fields{"actions": []string{"pull"}, "repository": "A//b"}},
		{"/explain", "body.ip", fields{"actions": []string{"pull"}, "repository": "a/b", "ip": "here"}},
		{"/explain", "body.as", fields{"actions": []string{"pull"}, "repository": "a/b", "as": "alice"}},
		{"/explain", "body.as", fields{"actions": []string{"pull"}, "repository": "a/b", "as": "group:dev"}},
		{"/explain", "body.as", fields{"actions": []string{"pull"}, "repository": "a/b", "as": "anonymous:x"}},
		{"/explain", "body.as", fields{"actions": []string{"pull"}, "repository": "a/b", "as": "anonymous", "groups": []string{"dev"}}},
		{"/explain", "body.as", fields{"actions": []string{"pull"}, "repository": "a/b", "groups": []string{"dev"}}},
		{"/explain", "body.registry", fields{"actions": []string{"pull"}, "repository": "a/b", "registry": "none"}},
		{"/who-can", "body.scopes", fields{"scopes": []string{"repository:a/b:pull,eat"}}},
		{"/what-can", "body.registry", fields{"registry": "none"}},
	} {
		got := []string{}
		errors, _ := h.read(h.requireStatus(422, carol, "POST", tt.path, tt.body))["errors"].([]any)
		for _, m := range errors {
			got = append(got, m.(fields)["location"].(string))
		}
		if diff := cmp.Diff([]string{tt.at}, got); diff != "" {
			t.Errorf("%s %v: %s", tt.path, tt.body, diff)
		}
	}
	h.requireStatus(403, ann, "POST", "/who-can", push("team/app"))
	h.requireStatus(403, ann, "POST", "/explain", fields{"as": "user:ann", "groups": []string{"ops"}, "actions": []string{"pull"}, "repository": "a/b"})
}

// Explaining a decision requires the right to read the journal. The parts of an explanation
// that reveal more about the policy also require the right to read the policy.
func TestDecisionsCanBeExplained(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	// With Strict, the decision is in the journal before the response is sent.
	h.issuer.Swap(func(l issuer.Live) issuer.Live { l.Strict = true; return l })
	h.addUser("ann")
	h.addMember("carol", admin.Auditors)
	h.addMember("jane", "readers")
	if _, err := h.rulebook.AddRule(h.Context(), operator, rulebook.Content{Name: "readers", Subjects: []string{"group:readers"}, Tidewaiter: []string{"journal"}, Actions: []string{"read"}}); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(h.Context(), http.MethodGet, h.url+"/token?service=r.example.com&scope=repository:team/app:push&scope=repository:prod/app:push", nil)
	if err != nil {
		t.Fatal(err)
	}
	with("ann")(r)
	if got := h.send(r); got.Status != 200 {
		t.Fatalf("no token: %d %s", got.Status, got.Body)
	}
	if _, err := h.rulebook.AddRule(h.Context(), operator, rulebook.Content{Name: "freeze", Effect: ruleset.Deny, Repositories: []string{"team/**"}, Actions: []string{"push"}}); err != nil {
		t.Fatal(err)
	}
	issue := func(name string) option { _, secret := h.createToken(name, "t"); return bearer(secret) }
	carol := issue("carol")
	items := h.read(h.requireStatus(200, carol, "GET", "/journal?kind=decision", nil))["items"].([]any)
	if len(items) != 1 {
		t.Fatalf("decisions: %v", items)
	}
	path := "/journal/" + items[0].(fields)["id"].(string) + "/explanation"
	whole := h.requireStatus(200, carol, "GET", path, nil).Body
	part := h.requireStatus(200, issue("jane"), "GET", path, nil).Body
	for _, want := range []string{`"allowed":false`, `"name":"ann"`, `"rule":"team"`} {
		if !strings.Contains(whole, want) || !strings.Contains(part, want) {
			t.Errorf("%s is missing in one of the answers\n%s\n%s", want, whole, part)
		}
	}
	for _, more := range []string{`"today"`, `"freeze"`} {
		if !strings.Contains(whole, more) || strings.Contains(part, more) {
			t.Errorf("%s must be only in the first answer\n%s\n%s", more, whole, part)
		}
	}
	h.requireStatus(404, carol, "GET", "/journal/none/explanation", nil)

	// A refusal shows only the first characters of an id. A request with these characters finds
	// the entry. If several ids begin with the given characters, the error lists longer
	// beginnings of these ids.
	id := items[0].(fields)["id"].(string)
	for _, who := range []option{carol, with("ann")} {
		if got := h.requireStatus(200, who, "GET", "/journal/"+id[:30]+"/explanation", nil).Body; !strings.Contains(got, id) {
			t.Errorf("by the first characters of its id: %s", got)
		}
	}
	if got := h.requireStatus(422, carol, "GET", "/journal/"+id[:8], nil).Body; !strings.Contains(got, "several ids begin with "+id[:8]+": "+id[:8]) {
		t.Errorf("by the first characters of several ids: %s", got)
	}

	// Everybody may query decisions about themselves. They learn no more about rules than a
	// refusal reveals. The decisions of others look like entries that do not exist.
	own := h.requireStatus(200, with("ann"), "GET", path, nil).Body
	for _, hidden := range []string{`"rule"`, `"today"`, `"near_misses"`} {
		if strings.Contains(own, hidden) {
			t.Errorf("%s is in %s", hidden, own)
		}
	}
	if !strings.Contains(own, `"reason":"allowed"`) || !strings.Contains(own, `"reason":"no-rule"`) {
		t.Error(own)
	}
	h.issuer.Swap(func(l issuer.Live) issuer.Live { l.ShowRules = true; return l })
	if named := h.requireStatus(200, with("ann"), "GET", path, nil).Body; !strings.Contains(named, `"rule":"team"`) {
		t.Error(named)
	}
	h.addUser("bob")
	_, restricted := h.createToken("ann", "restricted", policy.Limit{Names: []string{"team/**"}, Actions: scope.Pull})
	h.requireStatus(403, with("bob"), "GET", path, nil)
	h.requireStatus(403, with("bob"), "GET", "/journal/none/explanation", nil)
	h.requireStatus(403, bearer(restricted), "GET", path, nil)
	change := h.read(h.requireStatus(200, carol, "GET", "/journal?kind=change&limit=1", nil))["items"].([]any)[0].(fields)["id"].(string)
	h.requireStatus(409, carol, "GET", "/journal/"+change+"/explanation", nil)
}
