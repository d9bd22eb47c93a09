package api_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

var update = flag.Bool("update", false, "write docs/openapi.json and the golden files")

// callers are the kinds of callers, in the order of the table's columns.
var callers = []string{"nobody", "ann", "ann's token", "ann's restricted token", "robot", "helpdesk", "owner of team", "auditor", "root's restricted token", "root"}

// addCallers adds the callers of the table and returns the credential of each. Only ann has a
// password, because hashing is slow.
func addCallers(h *harness) map[string]option {
	h.addUser("ann")
	for name, groups := range map[string][]string{
		"bob": nil, "hank": {"helpdesk"}, "olga": nil, "root": {admin.Administrators}, "second": {admin.Administrators}, "carol": {admin.Auditors},
	} {
		h.addMember(name, groups...)
	}
	limit := policy.Limit{Names: []string{"team/**"}, Actions: scope.Pull}
	issue := func(name string, limits ...policy.Limit) option {
		_, secret := h.createToken(name, fmt.Sprintf("t%d", len(limits)), limits...)
		return bearer(secret)
	}
	if _, err := h.accounts.AddGroup(h.Context(), operator, "dev"); err != nil {
		h.Fatal(err)
	}
	for name, owner := range map[string]string{"team": "user:olga", "secret": "user:second"} {
		if _, err := h.rulebook.AddNamespace(h.Context(), operator, rulebook.NewNamespace{Name: name, Owners: []string{owner}}); err != nil {
			h.Fatal(err)
		}
	}
	if _, err := h.rulebook.AddRule(h.Context(), operator, rulebook.Content{Name: "freeze", Effect: ruleset.Deny, Repositories: []string{"prod/**"}, Actions: []string{"push"}}); err != nil {
		h.Fatal(err)
	}
	for _, namespace := range []string{"", "team"} {
		if _, err := h.rulebook.AddRole(h.Context(), operator, namespace, rulebook.Role{Name: "cleaner", Actions: scope.Delete}); err != nil {
			h.Fatal(err)
		}
	}
	_, robot, err := h.accounts.AddRobot(h.Context(), operator, accounts.NewRobot{Name: "ci"})
	if err != nil {
		h.Fatal(err)
	}
	return map[string]option{
		"nobody": nobody, "ann": with("ann"), "ann's token": issue("ann"), "ann's restricted token": issue("ann", limit),
		"robot": bearer(robot.Reveal()), "helpdesk": issue("hank"), "owner of team": issue("olga"), "auditor": issue("carol"),
		"root's restricted token": issue("root", limit), "root": issue("root"),
	}
}

// routes lists all routes by the id of their operation, each with valid requests.
var routes = []struct {
	id, method, path string
	body             any
}{
	{"set-up", "POST", "/setup", fields{"secret": noSecret, "name": "first", "password": secretOf("first")}},
	{"sign-in", "POST", "/session", fields{"name": "ann", "password": secretOf("ann")}},
	{"get-session", "GET", "/session", nil},
	{"sign-out", "DELETE", "/session", nil},
	{"whoami", "GET", "/whoami", nil},
	{"list-users", "GET", "/users", nil},
	{"add-user", "POST", "/users", fields{"name": "zoe", "password": secretOf("zoe")}},
	{"get-user", "GET", "/users/ann", nil},
	{"get-user", "GET", "/users/bob", nil},
	{"get-user", "GET", "/users/none", nil},
	{"set-password", "PUT", "/users/ann/password", fields{"password": "a completely new password", "current": secretOf("ann")}},
	{"set-password", "PUT", "/users/bob/password", fields{"password": "a completely new password"}},
	{"set-password", "PUT", "/users/second/password", fields{"password": "a completely new password"}},
	{"disable-user", "POST", "/users/bob/disable", nil},
	{"disable-user", "POST", "/users/second/disable", nil},
	{"enable-user", "POST", "/users/bob/enable", nil},
	{"allow-user", "POST", "/users/bob/allow", fields{"from": "203.0.113.0/24"}},
	{"allow-user", "POST", "/users/none/allow", fields{"from": "203.0.113.7"}},
	{"allow-user", "POST", "/users/bob/allow", fields{"from": "here"}},
	{"expire-user", "PUT", "/users/bob/expiry", fields{"expires": nil}},
	{"delete-user", "DELETE", "/users/bob", nil},
	{"delete-user", "DELETE", "/users/second", nil},
	{"list-robots", "GET", "/robots", nil},
	{"add-robot", "POST", "/robots", fields{"name": "new"}},
	{"get-robot", "GET", "/robots/ci", nil},
	{"rotate-robot", "POST", "/robots/ci/rotate", fields{"overlap": 3600}},
	{"disable-robot", "POST", "/robots/ci/disable", nil},
	{"enable-robot", "POST", "/robots/ci/enable", nil},
	{"expire-robot", "PUT", "/robots/ci/expiry", fields{"expires": nil}},
	{"delete-robot", "DELETE", "/robots/ci", nil},
	{"list-groups", "GET", "/groups", nil},
	{"add-group", "POST", "/groups", fields{"name": "ops"}},
	{"get-group", "GET", "/groups/dev", nil},
	{"list-members", "GET", "/groups/dev/members", nil},
	{"add-member", "PUT", "/groups/dev/members/bob", nil},
	{"add-member", "PUT", "/groups/tidewaiter-admins/members/bob", nil},
	{"remove-member", "DELETE", "/groups/dev/members/bob", nil},
	{"delete-group", "DELETE", "/groups/dev", nil},
	{"delete-group", "DELETE", "/groups/tidewaiter-admins", nil},
	{"list-tokens", "GET", "/tokens", nil},
	{"list-tokens", "GET", "/tokens?mine=true", nil},
	{"list-tokens", "GET", "/tokens?user=ann", nil},
	{"list-tokens", "GET", "/tokens?user=bob", nil},
	{"get-token", "GET", "/tokens/{ann's}", nil},
	{"get-token", "GET", "/tokens/{bob's}", nil},
	{"create-token", "POST", "/tokens", fields{"name": "new"}},
	{"create-token", "POST", "/tokens", fields{"name": "new", "restrictions": []fields{{"names": []string{"**"}, "actions": []string{"push"}}}}},
	{"create-token", "POST", "/tokens", fields{"name": "new", "user": "bob"}},
	{"create-token", "POST", "/tokens", fields{"name": "new", "user": "second"}},
	{"revoke-token", "DELETE", "/tokens/{ann's}", nil},
	{"revoke-token", "DELETE", "/tokens/{bob's}", nil},
	{"identify-token", "POST", "/tokens/identify", fields{"secret": "x"}},
	{"revoke-tokens", "POST", "/tokens/revoke", fields{"mine": true, "use": "refresh"}},
	{"revoke-tokens", "POST", "/tokens/revoke", fields{"user": "bob"}},
	{"list-namespaces", "GET", "/namespaces", nil},
	{"add-namespace", "POST", "/namespaces", fields{"name": "other", "owners": []string{"user:bob"}}},
	{"get-namespace", "GET", "/namespaces/team", nil},
	{"get-namespace", "GET", "/namespaces/secret", nil},
	{"get-namespace", "GET", "/namespaces/none", nil},
	{"set-visibility", "PUT", "/namespaces/team/visibility", fields{"visibility": "public"}},
	{"set-visibility", "PUT", "/namespaces/secret/visibility", fields{"visibility": "public"}},
	{"list-namespace-members", "GET", "/namespaces/team/members", nil},
	{"list-namespace-members", "GET", "/namespaces/secret/members", nil},
	{"set-namespace-member", "PUT", "/namespaces/team/members/user:bob", fields{"role": "writer"}},
	{"set-namespace-member", "PUT", "/namespaces/secret/members/user:bob", fields{"role": "writer"}},
	{"remove-namespace-member", "DELETE", "/namespaces/team/members/user:bob", nil},
	{"remove-namespace-member", "DELETE", "/namespaces/secret/members/user:bob", nil},
	{"list-namespace-roles", "GET", "/namespaces/team/roles", nil},
	{"list-namespace-roles", "GET", "/namespaces/secret/roles", nil},
	{"add-namespace-role", "POST", "/namespaces/team/roles", fields{"name": "new", "actions": []string{"pull"}}},
	{"add-namespace-role", "POST", "/namespaces/secret/roles", fields{"name": "new", "actions": []string{"pull"}}},
	{"get-namespace-role", "GET", "/namespaces/team/roles/cleaner", nil},
	{"set-namespace-role", "PUT", "/namespaces/team/roles/cleaner", fields{"actions": []string{"pull", "delete"}}},
	{"set-namespace-role", "PUT", "/namespaces/team/roles/cleaner", fields{"actions": []string{"write"}}},
	{"delete-namespace-role", "DELETE", "/namespaces/team/roles/cleaner", nil},
	{"delete-namespace", "DELETE", "/namespaces/team", nil},
	{"get-policy", "GET", "/policy", nil},
	{"list-policies", "GET", "/policy/history", nil},
	{"compare-policies", "GET", "/policy/diff?from=0123456789abcdef", nil},
	{"list-rules", "GET", "/rules", nil},
	{"add-rule", "POST", "/rules", fields{"name": "new", "subjects": []string{"anyone"}, "repositories": []string{"public/**"}, "actions": []string{"pull"}}},
	{"add-rule", "POST", "/rules", fields{"name": "new", "subjects": []string{"user:ann"}, "tidewaiter": []string{"**"}, "actions": []string{"write"}}},
	{"get-rule", "GET", "/rules/freeze", nil},
	{"set-rule", "PUT", "/rules/freeze", fields{"name": "freeze", "effect": "deny", "repositories": []string{"prod/**"}, "actions": []string{"delete"}}},
	{"delete-rule", "DELETE", "/rules/freeze", nil},
	{"list-roles", "GET", "/roles", nil},
	{"add-role", "POST", "/roles", fields{"name": "new", "actions": []string{"pull"}}},
	{"add-role", "POST", "/roles", fields{"name": "new", "actions": []string{"read", "write"}}},
	{"get-role", "GET", "/roles/cleaner", nil},
	{"set-role", "PUT", "/roles/cleaner", fields{"actions": []string{"pull", "delete"}}},
	{"set-role", "PUT", "/roles/cleaner", fields{"actions": []string{"write"}}},
	{"delete-role", "DELETE", "/roles/cleaner", nil},
	{"explain", "POST", "/explain", fields{"actions": []string{"push"}, "repository": "team/app"}},
	{"explain", "POST", "/explain", fields{"as": "user:ann", "actions": []string{"push"}, "repository": "team/app"}},
	{"explain", "POST", "/explain", fields{"groups": []string{"dev"}, "as": "user:ann", "scopes": []string{"repository:team/app:push"}}},
	{"explain", "POST", "/explain", fields{"as": "anonymous", "scopes": []string{"repository:team/app:pull"}}},
	{"who-can", "POST", "/who-can", fields{"actions": []string{"push"}, "repository": "team/app"}},
	{"who-can", "POST", "/who-can", fields{"actions": []string{"push"}, "repository": "team/app", "at": "2026-11-23T12:00:00Z"}},
	{"what-can", "POST", "/what-can", fields{}},
	{"what-can", "POST", "/what-can", fields{"as": "user:ann"}},
	{"list-entries", "GET", "/journal?limit=10", nil},
	{"follow-entries", "GET", "/journal/feed", nil},
	{"get-entry", "GET", "/journal/{entry}", nil},
	{"list-related-entries", "GET", "/journal/{entry}/related", nil},
	{"explain-entry", "GET", "/journal/none/explanation", nil},
	{"prove-entry", "GET", "/journal/none/proof", nil},
	{"prove-consistency", "POST", "/journal/consistency", fields{"checkpoint": "x"}},
	{"list-repositories", "GET", "/catalog/repositories", nil},
	{"list-tags", "GET", "/catalog/tags?repository=team/app", nil},
	{"list-tags", "GET", "/catalog/tags?repository=secret/app", nil},
	{"get-manifest", "GET", "/catalog/manifests/v1?repository=team/app", nil},
	{"list-tag-history", "GET", "/catalog/history?repository=team/app&tag=v1", nil},
	{"list-webhooks", "GET", "/webhooks", nil},
	{"list-webhook-deliveries", "GET", "/webhooks/ci/deliveries", nil},
	{"list-webhook-deliveries", "GET", "/webhooks/none/deliveries", nil},
	{"test-webhook", "POST", "/webhooks/ci/test", nil},
	{"enable-webhook", "POST", "/webhooks/ci/enable", nil},
	{"disable-webhook", "POST", "/webhooks/ci/disable", nil},
	{"resend-to-webhook", "POST", "/webhooks/ci/resend", fields{"since": "2026-11-23T11:00:00Z"}},
	{"list-registries", "GET", "/registries", nil},
	{"list-keys", "GET", "/keys", nil},
}

// Each kind of caller sends a request to each route. A table in testdata has the expected
// statuses. After a change, review the differences in the table.
func TestWhoMayDoWhat(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-62s %s\n", "", strings.Join(callers, ", "))
	first := storetest.SQLite().Ready(t)
	h := newHarness(t, first)
	credentials := addCallers(h)
	h.push("team/app", "secret/app")
	h.close() // so that the SQLite file is complete
	original, err := os.ReadFile(strings.TrimPrefix(first, "sqlite:"))
	if err != nil {
		t.Fatal(err)
	}
	h = nil
	for _, r := range routes {
		name := r.method + " " + r.path
		if r.body != nil {
			text, err := json.Marshal(r.body)
			if err != nil {
				t.Fatal(err)
			}
			name += " " + redactSecrets(string(text))
		}
		fmt.Fprintf(&b, "%-62s", name)
		for _, caller := range callers {
			if h == nil {
				copied := storetest.SQLite().Ready(t)
				if err := os.WriteFile(strings.TrimPrefix(copied, "sqlite:"), original, 0o600); err != nil {
					t.Fatal(err)
				}
				h = newHarness(t, copied)
			}
			if r.id == "follow-entries" {
				h.stop() // ends the response at once
			}
			if strings.HasPrefix(r.path, "/catalog/") {
				h.catchUp()
			}
			got := h.request(credentials[caller], r.method, h.withIDs(r.path), r.body)
			if questions := []string{"explain", "who-can", "what-can"}; got.Status < 300 && r.method != http.MethodGet && !slices.Contains(questions, r.id) {
				h.close() // the next request needs the original database
				h = nil
			}
			if got.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: the response may be cached", r.method, r.path)
			}
			if got.Status == http.StatusForbidden && strings.Contains(got.Body, `not allowed"`) {
				t.Errorf("%s, by %s: the response does not name the missing right: %s", name, caller, got.Body)
			}
			fmt.Fprintf(&b, " %d", got.Status)
		}
		b.WriteString("\n")
	}
	const file = "testdata/contract.txt"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("what callers may do has changed (-%s +now):\n%s", file, diff)
	}
}

// redactSecrets replaces the secrets in a body.
func redactSecrets(text string) string {
	var f fields
	if json.Unmarshal([]byte(text), &f) != nil {
		return text
	}
	for _, name := range []string{"password", "current", "secret"} {
		if _, ok := f[name]; ok {
			f[name] = "…"
		}
	}
	short, _ := json.Marshal(f)
	return string(short)
}

// withIDs replaces placeholders such as {ann's} in a path by ids.
func (h *harness) withIDs(path string) string {
	h.Helper()
	if name, _, ok := strings.Cut(path[strings.LastIndex(path, "/")+1:], "'s}"); ok {
		t, _ := h.createToken(strings.TrimPrefix(name, "{"), fmt.Sprint("token", h.nextNumber()))
		return path[:strings.LastIndex(path, "/")+1] + t.ID
	}
	if before, ok := strings.CutSuffix(path, "{entry}"); ok {
		for e, err := range h.journal.Read(h.Context(), 0) {
			if err != nil {
				h.Fatal(err)
			}
			return before + e.ID.String()
		}
	}
	return path
}

// Every route is in the table. The description of each route has a summary, each parameter, the
// authentication and the errors.
func TestEveryRouteIsDescribed(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID          string
			Summary, Description string
			Tags                 []string
			Security             []map[string][]string
			Parameters           []struct{ Name, In, Description string }
			Responses            map[string]struct{ Content map[string]any }
		}
	}
	if err := json.Unmarshal(h.description(), &doc); err != nil {
		t.Fatal(err)
	}
	var ids, tried, public []string
	for path, methods := range doc.Paths {
		for method, op := range methods {
			ids = append(ids, op.OperationID)
			if op.Summary == "" || len(op.Tags) != 1 || op.Security == nil {
				t.Errorf("%s %s: %+v", method, path, op)
			}
			if len(op.Security) == 0 {
				public = append(public, op.OperationID)
			}
			for part := range strings.SplitSeq(path, "/") {
				if name, ok := strings.CutPrefix(part, "{"); ok && !slices.ContainsFunc(op.Parameters, func(p struct{ Name, In, Description string }) bool {
					return p.In == "path" && p.Name+"}" == name
				}) {
					t.Errorf("%s %s: %s is not a parameter", method, path, part)
				}
			}
			for _, p := range op.Parameters {
				if p.Description == "" {
					t.Errorf("%s %s: %s is not described", method, path, p.Name)
				}
			}
			if op.Responses["default"].Content["application/problem+json"] == nil {
				t.Errorf("%s %s: errors are not described", method, path)
			}
		}
	}
	for _, r := range routes {
		tried = append(tried, r.id)
	}
	slices.Sort(ids)
	slices.Sort(tried)
	slices.Sort(public)
	if diff := cmp.Diff(ids, slices.Compact(tried)); diff != "" {
		t.Errorf("routes (-in the description +in the table):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"set-up", "sign-in"}, public); diff != "" {
		t.Errorf("routes without authentication: %s", diff)
	}
}

// noSecret has the form of a secret, but no such secret exists.
var noSecret = "twp_s" + strings.Repeat("x", 38)

func TestTheDescriptionIsGeneratedFromTheCode(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	const file = "../../docs/openapi.json"
	if *update {
		if err := os.WriteFile(file, h.description(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(written), string(h.description())); diff != "" {
		t.Errorf("docs/openapi.json differs from the code: run make generate (-file +code):\n%s", diff)
	}
	got := h.get("/openapi.json")
	if got.Status != 200 || got.Body != string(written) || got.Header.Get("Content-Type") != "application/openapi+json" {
		t.Errorf("/openapi.json: %d %s", got.Status, got.Header.Get("Content-Type"))
	}
	for _, path := range []string{"/docs", "/api/v1/docs", "/api/v1/openapi.json", "/api/v1/openapi.yaml", "/api/v1/schemas/Account.json", "/api/", "/api/v2"} {
		if got := h.get(path); got.Status != 404 {
			t.Errorf("%s: %d", path, got.Status)
		}
	}
}
