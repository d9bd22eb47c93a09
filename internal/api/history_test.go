package api_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// Callers who may read the policy can list and compare former policies, and query them. Owners of
// a namespace cannot, because the namespace may have had other owners.
func TestFormerPolicies(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.addMember("carol", admin.Auditors)
	h.addMember("ann")
	h.addMember("olga")
	issue := func(name string) option { _, secret := h.createToken(name, "t"); return bearer(secret) }
	carol, ann, olga := issue("carol"), issue("ann"), issue("olga")
	begin := h.clock.Now()
	first := h.rulebook.Policy().ID()
	h.clock.Pass(time.Hour)
	if _, err := h.rulebook.AddNamespace(t.Context(), operator, rulebook.NewNamespace{Name: "secret", Owners: []string{"user:olga"}}); err != nil {
		t.Fatal(err)
	}
	freeze := rulebook.Content{Name: "freeze", Effect: ruleset.Deny, Repositories: []string{"team/prod"}, Actions: []string{"push"}}
	if _, err := h.rulebook.AddRule(t.Context(), operator, freeze); err != nil {
		t.Fatal(err)
	}
	last := h.rulebook.Policy().ID()
	// Run stores each policy that takes effect, and stores the current policy again when it ends.
	ended, end := context.WithCancel(t.Context())
	end()
	_ = h.rulebook.Run(ended)
	at := func(d time.Duration) string { return begin.Add(d).UTC().Format(time.RFC3339) }

	list := h.read(h.requireStatus(200, carol, "GET", "/policy/history", nil))["items"].([]any)
	if len(list) != 3 {
		t.Fatalf("%d policies: %v", len(list), list)
	}
	want := fields{"version": first, "since": at(0), "until": list[1].(map[string]any)["since"], "changed": "first"}
	if diff := cmp.Diff(want, list[2]); diff != "" {
		t.Errorf("the first policy (-want +got):\n%s", diff)
	}
	page := h.requireStatus(200, carol, "GET", "/policy/history?limit=1", nil)
	if next := page.Header.Get("Link"); !strings.Contains(page.Body, last) || !strings.Contains(next, `rel="next"`) {
		t.Errorf("the first page: %s, %s", page.Body, next)
	}

	for _, from := range []string{first, at(time.Minute)} {
		got := h.requireStatus(200, carol, "GET", "/policy/diff?from="+from, nil).Body
		for _, part := range []string{
			`"from":{"version":"` + first, `"to":{"version":"` + last, `"change":"added","rule":"freeze","after":{"name":"freeze","effect":"deny"`, `"namespace":"secret"`,
		} {
			if !strings.Contains(got, part) {
				t.Errorf("from %s: no %s in %s", from, part, got)
			}
		}
	}
	if got := h.requireStatus(200, carol, "GET", "/policy/diff?limit=1&from="+first+"&to="+last, nil).Body; !strings.Contains(got, `"more":2`) {
		t.Errorf("a limit of 1: %s", got)
	}
	if got := h.requireStatus(200, carol, "GET", "/policy/diff?from="+last+"&to="+at(time.Minute), nil).Body; !strings.Contains(got, `"change":"removed","rule":"freeze","before"`) {
		t.Errorf("backwards: %s", got)
	}
	for path, status := range map[string]int{
		"/policy/diff": 422, "/policy/diff?from=yesterday": 422, "/policy/diff?from=0123456789abcdef": 404,
		"/policy/diff?from=" + at(-time.Hour): 404, "/policy/history?after=x": 422, "/policy/diff?from=2999-01-01T00:00:00Z": 422,
	} {
		h.requireStatus(status, carol, "GET", path, nil)
	}
	h.requireStatus(403, ann, "GET", "/policy/history", nil)
	h.requireStatus(403, olga, "GET", "/policy/diff?from="+first, nil)

	// A query about a time uses the policy of that time.
	query := func(name string, when string) fields {
		return fields{"actions": []string{"push"}, "repository": name, "at": when}
	}
	check := func(who option, path string, body fields, parts ...string) {
		t.Helper()
		got := h.requireStatus(200, who, "POST", path, body).Body
		for _, part := range parts {
			if missing, found := strings.CutPrefix(part, "!"); strings.Contains(got, strings.TrimPrefix(part, "!")) == found {
				t.Errorf("%s %v: %s, want %s", path, body, got, missing)
			}
		}
	}
	period := `"policy":{"version":"` + first + `","since":"` + at(0)
	check(ann, "/explain", query("team/prod", at(time.Minute)), `"allowed":true`, period, `!"lifetime"`)
	check(ann, "/explain", query("team/prod", at(2*time.Hour)), `"allowed":false`, `!"policy"`)
	check(ann, "/explain", query("team/app", at(2*time.Hour)), `"allowed":true`, `"lifetime"`)
	check(ann, "/explain", query("team/prod", at(-time.Hour)), `"allowed":false`, `"note":"no policy is recorded for `, `the current policy was used"`)
	check(carol, "/who-can", query("team/prod", at(time.Minute)), `"who":["user:ann"]`, period, `!freeze`)
	check(ann, "/what-can", fields{"at": at(time.Minute)}, `"names":["team/**"]`, period, `!"except"`)
	check(ann, "/what-can", fields{}, `"except"`, `!"policy"`)
	for path, body := range map[string]fields{"/who-can": query("team/prod", "2999-01-01T00:00:00Z"), "/what-can": {"at": "2999-01-01T00:00:00Z"}} {
		if got := h.requireStatus(422, carol, "POST", path, body).Body; !strings.Contains(got, "in the future: the policy of that time is not known yet") {
			t.Errorf("%s: %s", path, got)
		}
	}
	h.requireStatus(404, carol, "POST", "/who-can", query("team/prod", at(-time.Hour)))
	h.requireStatus(404, carol, "POST", "/what-can", fields{"as": "user:ann", "at": at(-time.Hour)})
	check(olga, "/who-can", fields{"actions": []string{"push"}, "repository": "secret/app"}, "user:olga")
	h.requireStatus(403, olga, "POST", "/who-can", query("secret/app", at(2*time.Hour)))
}
