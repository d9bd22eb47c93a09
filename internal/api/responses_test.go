package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/internal/text/texttest"
)

func TestErrorsAreProblemDetails(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.addMember("root", admin.Administrators)
	_, secret := h.createToken("root", "t")
	root := bearer(secret)
	for _, tt := range []struct {
		who          option
		method, path string
		body         any
		status       int
		detail       string
		errors       []any
	}{
		{nobody, "GET", "/users", nil, 401, "authenticate with a token, a name and a password, or a session", nil},
		{root, "GET", "/nothing", nil, 404, "unknown path: /openapi.json lists all paths", nil},
		{root, "PATCH", "/users", nil, 405, "this path does not have this method", nil},
		{root, "GET", "/users/none", nil, 404, `there is no user none`, nil},
		{root, "GET", "/robots/none", nil, 404, `there is no robot none`, nil},
		{root, "GET", "/groups/none", nil, 404, `there is no group none`, nil},
		{root, "GET", "/namespaces/none", nil, 404, `there is no namespace none`, nil},
		{root, "GET", "/namespaces/none/members", nil, 404, `there is no namespace none`, nil},
		{root, "GET", "/rules/none", nil, 404, `there is no rule none`, nil},
		{root, "GET", "/roles/none", nil, 404, `there is no role none`, nil},
		{root, "GET", "/tokens/none", nil, 404, `there is no token none`, nil},
		{root, "PUT", "/groups/none/members/root", nil, 404, `there is no group none`, nil},
		{root, "DELETE", "/users/root", nil, 409, `deleting "root": no administrator would be left`, nil},
		{root, "POST", "/users", fields{"name": "Ann"}, 422, "invalid request",
			[]any{fields{"location": "body.name", "detail": `"Ann" has a capital letter: names are written in lower case ("ann")`}}},
		{root, "POST", "/users", fields{"name": "ann", "password": "12345678"}, 422, "invalid request",
			[]any{fields{"location": "body.password", "detail": "it is one of the most common passwords, which attackers try first"}}},
		{root, "POST", "/users", fields{"name": "ann", "groups": []string{"none"}}, 422, "invalid request",
			[]any{fields{"location": "body.groups", "detail": `adding user "ann": there is no group none`}}},
		{root, "POST", "/users", fields{"name": "ann", "admin": true}, 422, "invalid request",
			[]any{fields{"location": "body.admin", "detail": `unknown key "admin"`}}},
		{root, "POST", "/users", fields{}, 422, "invalid request",
			[]any{fields{"location": "body", "detail": "the key name is missing"}}},
		{root, "POST", "/users", `{`, 400, "the body is missing or is not valid JSON", nil},
		{root, "POST", "/users", nil, 400, "the body is missing or is not valid JSON", nil},
		{root, "POST", "/users", `{"name":"ann","name":"bob"}`, 400, `invalid body: an object has a name twice, before byte 20`, nil},
		{root, "POST", "/users", `{"name":"ann","NAME":"bob"}`, 400, "invalid body: a key appears twice (upper and lower case count as equal), or contains NUL", nil},
		{root, "POST", "/users", `{"name":null}`, 400, "invalid body: it has null: give a value, or leave out the key", nil},
		{root, "POST", "/tokens", fields{"name": "t", "expires": "1970-01-01T00:00:00Z"}, 422, "invalid request",
			[]any{fields{"location": "body.expires", "detail": "it is in the past"}}},
		{root, "POST", "/tokens", fields{"name": "t", "expires": "0001-01-01T00:00:00Z"}, 400, "invalid body: expires is in the past", nil},
		{root, "POST", "/robots", fields{"name": "ci", "Expires": "0001-01-01T01:00:00+01:00"}, 400, "invalid body: expires is in the past", nil},
		{root, "PUT", "/users/root/expiry", fields{"expires": "0001-01-01T00:00:00.000Z"}, 400, "invalid body: expires is in the past", nil},
		{root, "GET", "/users?limit=many", nil, 422, "invalid request",
			[]any{fields{"location": "query.limit", "detail": "not a whole number"}}},
		{root, "GET", "/users?limit=0", nil, 422, "invalid request",
			[]any{fields{"location": "query.limit", "detail": "must be at least 1"}}},
		{root, "GET", "/users?limit=1001", nil, 422, "invalid request",
			[]any{fields{"location": "query.limit", "detail": "must be at most 1000"}}},
		{root, "GET", "/users?lmit=5", nil, 422, "invalid request",
			[]any{fields{"location": "query.lmit", "detail": `unknown parameter "lmit" (did you mean "limit"?)`}}},
		{root, "GET", "/users?zzz=5", nil, 422, "invalid request",
			[]any{fields{"location": "query.zzz", "detail": `unknown parameter "zzz"`}}},
		{root, "GET", "/journal?last=5", nil, 422, "invalid request",
			[]any{fields{"location": "query.last", "detail": `unknown parameter "last" (it is now "limit")`}}},
		{root, "GET", "/journal?digest=", nil, 422, "invalid request",
			[]any{fields{"location": "query.digest", "detail": "it is empty: give a value or leave it out"}}},
		{root, "GET", "/users?after", nil, 422, "invalid request",
			[]any{fields{"location": "query.after", "detail": "it is empty: give a value or leave it out"}}},
		{root, "GET", "/journal?since=yesterday", nil, 422, "invalid request",
			[]any{fields{"location": "query.since", "detail": "not a time: give a time in the format of RFC 3339, such as 2026-11-28T00:00:00Z"}}},
		{root, "GET", "/journal?until=2026-11-01", nil, 422, "invalid request",
			[]any{fields{"location": "query.until", "detail": "not a time: give a time in the format of RFC 3339, such as 2026-11-28T00:00:00Z"}}},
		{root, "GET", "/journal?kind=pushes", nil, 422, "invalid request",
			[]any{fields{"location": "query.kind", "detail": "must be one of decision, event, change, service, text"}}},
		{root, "POST", "/tokens", fields{"name": "t", "expires": "tomorrow"}, 422, "invalid request",
			[]any{fields{"location": "body.expires", "detail": "not a time: give a time in the format of RFC 3339, such as 2026-11-28T00:00:00Z"}}},
		{root, "POST", "/tokens", fields{"name": 5, "limits": []string{}}, 422, "invalid request",
			[]any{fields{"location": "body.name", "detail": "must be a text"}, fields{"location": "body.limits", "detail": `unknown key "limits" (it is now "restrictions")`}}},
		{root, "POST", "/users", fields{"name": "ann", "groups": "dev"}, 422, "invalid request",
			[]any{fields{"location": "body.groups", "detail": "must be a list"}}},
		{root, "POST", "/users", fields{"name": strings.Repeat("a", 65)}, 422, "invalid request",
			[]any{fields{"location": "body.name", "detail": "must have at most 64 characters"}}},
		{bearer("twp_bogus"), "GET", "/users", nil, 401, "the token is invalid", nil},
		{bearer(texttest.Altered(secret)), "GET", "/users", nil, 401, "the token is invalid", nil},
		{root, "GET", "/users?limit=%zz", nil, 400, "the query contains an invalid escape or a semicolon", nil},
	} {
		r := h.request(tt.who, tt.method, tt.path, tt.body)
		got := h.read(r)
		id := r.Header.Get("X-Request-Id")
		want := fields{
			"type": "about:blank", "title": http.StatusText(tt.status), "status": float64(tt.status), "detail": tt.detail, "instance": "urn:uuid:" + id,
		}
		if tt.errors != nil {
			want["errors"] = tt.errors
		}
		if diff := cmp.Diff(want, got); diff != "" || r.Status != tt.status || r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d %s: %s", tt.method, tt.path, r.Status, r.Header.Get("Content-Type"), diff)
		}
		if (r.Header.Get("Www-Authenticate") != "") != (tt.status == 401) {
			t.Errorf("%s %s: Www-Authenticate: %s", tt.method, tt.path, r.Header.Get("Www-Authenticate"))
		}
	}
	if got := h.request(root, "PATCH", "/users", nil).Header["Allow"]; cmp.Diff([]string{"GET", "POST"}, got) != "" {
		t.Errorf("Allow: %v", got)
	}
	if got := h.request(root, "POST", "/users", `{"name":"`+strings.Repeat("x", 1<<20)+`"}`).Status; got != 413 {
		t.Errorf("more than a megabyte: %d", got)
	}
	if got := h.request(root, "POST", "/users", strings.Repeat("[", 100_000)).Status; got != 400 {
		t.Errorf("deep JSON: %d", got)
	}
	if got := h.request(root, "POST", "/users", `{"name":"x"}`, header("Content-Type", "text/html")).Status; got != 415 {
		t.Errorf("not JSON: %d", got)
	}
}

func TestAnOutageIsNotARefusal(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.addMember("root", admin.Administrators)
	_, secret := h.createToken("root", "t")
	h.db.Close()
	for _, r := range routes {
		// The form of the setup secret is checked before the database is read.
		if strings.Contains(r.path, "{") || r.id == "set-up" {
			continue
		}
		got := h.request(bearer(secret), r.method, r.path, r.body)
		if got.Status != 503 || got.Header.Get("Retry-After") == "" {
			t.Errorf("%s %s: %d %s", r.method, r.path, got.Status, got.Body)
		}
	}
}

func TestListsArePages(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.addMember("root", admin.Administrators)
		_, secret := h.createToken("root", "t")
		for _, name := range []string{"ann", "bob", "carl", "dora"} {
			h.addMember(name)
		}
		var names []string
		path := "/users?limit=2"
		for pages := 0; path != ""; pages++ {
			if pages > 5 {
				t.Fatal("the last page has a next page")
			}
			r := h.requireStatus(200, bearer(secret), "GET", path, nil)
			page := h.read(r)
			for _, item := range page["items"].([]any) {
				names = append(names, item.(fields)["name"].(string))
			}
			link := r.Header.Get("Link")
			if (page["next"] == nil) != (link == "") {
				t.Errorf("next %v, and Link %s", page["next"], link)
			}
			path = ""
			if target, ok := strings.CutPrefix(link, "</api/v1"); ok {
				path, _, _ = strings.Cut(target, ">")
			}
		}
		if diff := cmp.Diff([]string{"ann", "bob", "carl", "dora", "root"}, names); diff != "" {
			t.Error(diff)
		}
		// An empty list is [] and not null.
		if r := h.requireStatus(200, bearer(secret), "GET", "/robots", nil); r.Body != `{"items":[]}`+"\n" {
			t.Errorf("no robots: %s", r.Body)
		}
	})
}

func TestChangesCanBeConditional(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.addMember("root", admin.Administrators)
		_, secret := h.createToken("root", "t")
		root := bearer(secret)
		etag := h.requireStatus(201, root, "POST", "/users", fields{"name": "ann"}).Header.Get("ETag")
		next := h.requireStatus(200, root, "PUT", "/users/ann/expiry", fields{"expires": "2036-01-01T00:00:00Z"}, header("If-Match", etag)).Header.Get("ETag")
		if same := h.requireStatus(200, root, "PUT", "/users/ann/expiry", fields{"expires": "2036-01-01T00:00:00Z"}).Header.Get("ETag"); same != next {
			t.Errorf("setting the same expiry again: %s after %s", same, next)
		}
		for _, path := range []string{"/users/ann/disable", "/users/ann/enable"} {
			h.requireStatus(412, root, "POST", path, nil, header("If-Match", etag))
		}
		h.requireStatus(412, root, "DELETE", "/users/ann", nil, header("If-Match", etag))
		h.requireStatus(412, root, "PUT", "/users/ann/password", fields{"password": secretOf("ann")}, header("If-Match", etag))
		h.requireStatus(412, root, "PUT", "/users/root/password", fields{"current": "not checked", "password": secretOf("root")}, header("If-Match", etag))
		h.requireStatus(412, root, "POST", "/users/ann/disable", nil, header("If-Match", "nonsense"))
		h.requireStatus(404, root, "POST", "/users/none/disable", nil, header("If-Match", "*"))
		h.requireStatus(200, root, "POST", "/users/ann/disable", nil, header("If-Match", `"other", `+next))
		h.requireStatus(200, root, "POST", "/users/ann/enable", nil, header("If-Match", "*"))
		// Another object with the same name and version does not match.
		h.requireStatus(204, root, "DELETE", "/users/ann", nil)
		h.requireStatus(201, root, "POST", "/users", fields{"name": "ann"})
		h.requireStatus(412, root, "DELETE", "/users/ann", nil, header("If-Match", etag))

		group := h.requireStatus(201, root, "POST", "/groups", fields{"name": "dev"}).Header.Get("ETag")
		h.requireStatus(200, root, "PUT", "/groups/dev/members/ann", nil, header("If-Match", group))
		h.requireStatus(412, root, "DELETE", "/groups/dev/members/ann", nil, header("If-Match", group))
		h.requireStatus(412, root, "DELETE", "/groups/dev", nil, header("If-Match", group))
		h.requireStatus(204, root, "DELETE", "/groups/dev", nil)
	})
}

// A client that loses a response can send the same request again.
func TestCreationsCanBeRepeated(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.addMember("root", admin.Administrators)
		_, secret := h.createToken("root", "t")
		root, key := bearer(secret), header("Idempotency-Key", "6f1f7a52")
		first := h.requireStatus(201, root, "POST", "/robots", fields{"name": "ci"}, key)
		second := h.requireStatus(201, root, "POST", "/robots", fields{"name": "ci"}, key)
		a, b := h.read(first), h.read(second)
		h.requireStatus(401, bearer(a["secret"].(string)), "GET", "/whoami", nil)
		h.requireStatus(200, bearer(b["secret"].(string)), "GET", "/whoami", nil)
		delete(a, "secret")
		delete(b, "secret")
		if diff := cmp.Diff(a, b); diff != "" || first.Header.Get("ETag") != second.Header.Get("ETag") {
			t.Errorf("created once: %s", diff)
		}
		h.requireStatus(409, root, "POST", "/robots", fields{"name": "ci"}, key)
		r := h.requireStatus(422, root, "POST", "/robots", fields{"name": "other"}, key)
		if !strings.Contains(r.Body, `"location":"header.Idempotency-Key"`) {
			t.Errorf("the key for another object: %s", r.Body)
		}
		for _, one := range []struct {
			path string
			body fields
		}{{"/users", fields{"name": "ann"}}, {"/groups", fields{"name": "dev"}}, {"/tokens", fields{"name": "laptop"}}} {
			key := header("Idempotency-Key", "key of "+one.path)
			a, b := h.requireStatus(201, root, "POST", one.path, one.body, key), h.requireStatus(201, root, "POST", one.path, one.body, key)
			if a.Header.Get("Location") != b.Header.Get("Location") {
				t.Errorf("%s: %s and %s", one.path, a.Body, b.Body)
			}
		}
	})
}

func TestTheJournalCanBeRead(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.addMember("root", admin.Administrators)
		_, secret := h.createToken("root", "t")
		root := bearer(secret)
		for _, name := range []string{"ann", "bob"} {
			h.requireStatus(201, root, "POST", "/users", fields{"name": name})
		}
		read := func(path string) (found []string, next any) {
			t.Helper()
			page := h.read(h.requireStatus(200, root, "GET", path, nil))
			for _, item := range page["items"].([]any) {
				c := item.(fields)["change"].(fields)
				found = append(found, c["actor"].(string)+" "+c["action"].(string)+" "+c["target"].(string))
			}
			return found, page["next"]
		}
		for path, want := range map[string][]string{
			"/journal?principal=user:root":                      {"user:root user.add bob", "user:root user.add ann"},
			"/journal?action=token.add":                         {"operator:root token.add user:root"},
			"/journal?limit=1":                                  {"user:root user.add bob"},
			"/journal?kind=change&limit=1":                      {"user:root user.add bob"},
			"/journal?principal=root&action=user.add":           {"user:root user.add bob", "user:root user.add ann", "operator:root user.add root"},
			"/journal?principal=root&limit=2":                   {"user:root user.add bob", "user:root user.add ann"},
			"/journal?principal=operator:root&action=token.add": {"operator:root token.add user:root"},
			"/journal?principal=ann":                            nil,
			"/journal?kind=event":                               nil,
			"/journal?registry=r.example.com":                   nil,
			"/journal?principal=user:ann&limit=10":              nil,

			"/journal?principal=user:root&since=2000-01-01T00:00:00Z&until=2999-01-01T00:00:00Z": {"user:root user.add bob", "user:root user.add ann"},
			"/journal?principal=user:root&since=2000-01-01T00:00:00Z&limit=1":                    {"user:root user.add bob"},
			"/journal?principal=user:root&since=2998-01-01T00:00:00Z":                            nil,
			"/journal?principal=user:root&until=2000-01-01T00:00:00%2B02:00":                     nil,
		} {
			if got, _ := read(path); cmp.Diff(want, got) != "" {
				t.Errorf("%s: %s", path, cmp.Diff(want, got))
			}
		}
		got, next := read("/journal?principal=user:root&limit=1")
		more, last := read("/journal?principal=user:root&limit=1&before=" + next.(string))
		if diff := cmp.Diff([]string{"user:root user.add bob", "user:root user.add ann"}, append(got, more...)); diff != "" || last != nil {
			t.Errorf("%v: %s", last, diff)
		}
		item := h.read(h.requireStatus(200, root, "GET", "/journal?limit=1", nil))["items"].([]any)[0].(fields)
		at := item["time"].(string)
		if got, _ := read("/journal?action=user.add&since=" + at); !slices.Contains(got, "user:root user.add bob") {
			t.Errorf("the entry of %s is missing with since: %v", at, got)
		}
		if got, _ := read("/journal?action=user.add&until=" + at); slices.Contains(got, "user:root user.add bob") {
			t.Errorf("the entry of %s is included with until: %v", at, got)
		}
		if one := h.read(h.requireStatus(200, root, "GET", "/journal/"+item["id"].(string), nil)); cmp.Diff(item, one) != "" {
			t.Error(cmp.Diff(item, one))
		}
		// The journal records the credential and the address of the actor.
		if to := item["change"].(fields)["to"].(fields); to["via"] != "token:t 127.0.0.1" {
			t.Errorf("via: %v", to["via"])
		}
		h.requireStatus(404, root, "GET", "/journal/none", nil)
		h.requireStatus(422, root, "GET", "/journal?before=1&after=1", nil)
		if got, _ := read("/journal?action=user.add&after=1"); !slices.Equal(got, []string{"operator:root user.add root", "user:root user.add ann", "user:root user.add bob"}) {
			t.Errorf("the entries after position 1: %v", got)
		}
		// A client that follows the journal from its beginning gets every entry exactly once.
		var followed []string
		for after := "0"; ; {
			page := h.read(h.requireStatus(200, root, "GET", "/journal?limit=2&after="+after, nil))
			items := page["items"].([]any)
			for _, item := range items {
				followed = append(followed, fmt.Sprint(item.(fields)["position"]))
			}
			if page["next"] == nil {
				break
			}
			after = page["next"].(string)
		}
		for i, position := range followed {
			if position != fmt.Sprint(i+1) {
				t.Errorf("followed from the beginning: %v", followed)
				break
			}
		}
		h.requireStatus(422, root, "GET", "/journal?before=0", nil)
		for principal, want := range map[string]string{
			"group:dev": "groups are not in the journal", "usr:ann": "give user:NAME", "user:": "the name is missing",
		} {
			if got := h.requireStatus(422, root, "GET", "/journal?principal="+principal, nil).Body; !strings.Contains(got, want) {
				t.Errorf("%s: %s", principal, got)
			}
		}
		h.requireStatus(422, root, "GET", "/journal?since=yesterday", nil)
	})
}

// Filters apply before the limit, even if there are many other entries. In an earlier version,
// journal?kind=change&limit=12 returned 2 entries.
func TestFiltersApplyBeforeTheLimit(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.addMember("root", admin.Administrators)
	_, secret := h.createToken("root", "t")
	root := bearer(secret)
	add := func(from, n int) {
		t.Helper()
		for i := range n {
			if _, err := h.accounts.AddGroup(h.Context(), operator, fmt.Sprint("group", from+i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	noise := func(n int) {
		t.Helper()
		entries := make([]journal.Entry, n)
		for i := range entries {
			entries[i] = journal.Entry{Registry: "r.example.com", Text: []byte("-")}
		}
		if err := h.journal.Append(h.Context(), entries...); err != nil {
			t.Fatal(err)
		}
	}
	read := func(query string) (targets []string, page fields) {
		t.Helper()
		page = h.read(h.requireStatus(200, root, "GET", "/journal?action=group.add&"+query, nil))
		for _, item := range page["items"].([]any) {
			targets = append(targets, strings.TrimPrefix(item.(fields)["change"].(fields)["target"].(string), "group"))
		}
		return targets, page
	}
	// numbers returns the numbers between its arguments, counting down.
	numbers := func(from, to int) (list []string) {
		for i := from; i >= to; i-- {
			list = append(list, fmt.Sprint(i))
		}
		return list
	}
	add(1, 5)
	noise(300)
	add(6, 15)
	noise(300)
	for query, want := range map[string][]string{
		"limit=20":                               numbers(20, 1),
		"limit=100":                              append(numbers(20, 1), "tidewaiter-admins"),
		"limit=100&principal=root":               append(numbers(20, 1), "tidewaiter-admins"),
		"kind=text&limit=3":                      nil,
		"limit=1&until=2000-01-01T00:00:00Z":     nil,
		"limit=1&kind=change&registry=elsewhere": nil,
	} {
		got, page := read(query)
		if cmp.Diff(want, got) != "" || (page["next"] != nil) != (query == "limit=20") {
			t.Errorf("%s: next %v\n%s", query, page["next"], cmp.Diff(want, got))
		}
	}
	got, page := read("limit=5")
	for page["next"] != nil {
		var more []string
		more, page = read("limit=5&before=" + page["next"].(string))
		got = append(got, more...)
	}
	if diff := cmp.Diff(append(numbers(20, 1), "tidewaiter-admins"), got); diff != "" {
		t.Errorf("page by page: %s", diff)
	}
	if link := h.requireStatus(200, root, "GET", "/journal?action=group.add&limit=5", nil).Header.Get("Link"); !strings.Contains(link, "before=") || strings.Contains(link, "after=") {
		t.Errorf("the next page is %s", link)
	}

	// A request searches for a limited time, and returns the position at which the search stopped.
	noise(40_000)
	h.api.Now = func() time.Time { h.clock.Pass(time.Millisecond); return h.clock.Now() }
	got, page = read("limit=3")
	if len(got) != 0 || page["next"] == nil || page["searched"] == nil {
		t.Errorf("%v, next %v, searched %v", got, page["next"], page["searched"])
	}
	for requests := 0; len(got) == 0 && requests < 4; requests++ {
		got, page = read("limit=3&before=" + page["next"].(string))
	}
	if diff := cmp.Diff(numbers(20, 18), got); diff != "" {
		t.Error(diff)
	}
}

func TestTheFirstAdministratorIsCreatedOnce(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		secret, _, err := h.accounts.SetupSecret(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		body := fields{"secret": secret.Reveal(), "name": "root", "password": secretOf("root")}
		h.requireStatus(403, nobody, "POST", "/setup", fields{"secret": noSecret, "name": "root", "password": secretOf("root")})
		h.requireStatus(422, nobody, "POST", "/setup", fields{"secret": secret.Reveal(), "name": "root", "password": "password"})
		h.requireStatus(201, nobody, "POST", "/setup", body)
		h.requireStatus(403, nobody, "POST", "/setup", body)
		who := h.read(h.requireStatus(200, with("root"), "GET", "/whoami", nil))
		want := []any{}
		for _, name := range []string{"accounts", "administrators", "journal", "policy", "namespaces"} {
			want = append(want, fields{"name": name, "actions": []any{"read", "write"}})
		}
		if diff := cmp.Diff(want, who["rights"]); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAllErrorsOfARuleAreReportedAtOnce(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.addMember("root", admin.Administrators)
		_, secret := h.createToken("root", "t")
		root := bearer(secret)
		r := h.read(h.requireStatus(422, root, "POST", "/rules", fields{"name": "r", "subjects": []string{"usr:ann", "user:bob"}, "repositories": []string{"team//app"}, "actions": []string{"pull"}}))
		var at []string
		for _, m := range r["errors"].([]any) {
			at = append(at, m.(fields)["location"].(string))
		}
		if diff := cmp.Diff([]string{"body.subjects[0]", "body.repositories[0]"}, at); diff != "" {
			t.Errorf("%s in %v", diff, r)
		}
		namespace := h.requireStatus(201, root, "POST", "/namespaces", fields{"name": "shop/web"})
		if got := namespace.Header.Get("Location"); got != "/api/v1/namespaces/shop%2Fweb" {
			t.Errorf("Location: %s", got)
		}
		h.requireStatus(200, root, "PUT", "/namespaces/shop%2Fweb/members/group:dev", fields{"role": "reader"}, header("If-Match", namespace.Header.Get("ETag")))
		h.requireStatus(412, root, "DELETE", "/namespaces/shop%2Fweb", nil, header("If-Match", namespace.Header.Get("ETag")))
		h.requireStatus(204, root, "DELETE", "/namespaces/shop%2Fweb", nil)
		before := h.read(h.requireStatus(200, root, "GET", "/policy", nil))["version"]
		h.requireStatus(201, root, "POST", "/rules", fields{"name": "two words", "subjects": []string{"anyone"}, "repositories": []string{"public/**"}, "actions": []string{"pull"}, "lifetime": "5m"})
		rule := h.read(h.requireStatus(200, root, "GET", "/rules/two%20words", nil))
		if after := h.read(h.requireStatus(200, root, "GET", "/policy", nil))["version"]; rule["lifetime"] != "5m0s" || after == before {
			t.Errorf("a rule: %v, and the policy is %v", rule, after)
		}
	})
}

// Shared roles and roles of a namespace behave in the same way.
func TestRolesAreManaged(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.addMember("root", admin.Administrators)
		_, secret := h.createToken("root", "t")
		root := bearer(secret)
		h.requireStatus(201, root, "POST", "/namespaces", fields{"name": "shop/web"})
		for _, at := range []string{"/roles", "/namespaces/shop%2Fweb/roles"} {
			created := h.requireStatus(201, root, "POST", at, fields{"name": "cleaner", "actions": []string{"delete", "pull"}, "lifetime": "5m"})
			role, etag := created.Header.Get("Location"), created.Header.Get("ETag")
			if role != "/api/v1"+at+"/cleaner" {
				t.Fatalf("Location: %s", role)
			}
			role = strings.TrimPrefix(role, "/api/v1")
			read := h.requireStatus(200, root, "GET", role, nil)
			if diff := cmp.Diff(h.read(created), h.read(read)); diff != "" || read.Header.Get("ETag") != etag {
				t.Errorf("after creating it: %s", diff)
			}
			if got := h.read(read); got["lifetime"] != "5m0s" || cmp.Diff([]any{"pull", "delete"}, got["actions"]) != "" {
				t.Errorf("%s: %v", role, got)
			}
			h.requireStatus(409, root, "POST", at, fields{"name": "cleaner", "actions": []string{"pull"}})
			h.requireStatus(422, root, "POST", at, fields{"name": "Cleaner", "actions": []string{"pull"}})
			h.requireStatus(422, root, "POST", at, fields{"name": "other", "actions": []string{}})
			h.requireStatus(422, root, "POST", at, fields{"name": "other", "actions": []string{"pull"}, "lifetime": "soon"})
			set := h.requireStatus(200, root, "PUT", role, fields{"actions": []string{"pull"}}, header("If-Match", etag))
			h.requireStatus(412, root, "PUT", role, fields{"actions": []string{"push"}}, header("If-Match", etag))
			h.requireStatus(412, root, "DELETE", role, nil, header("If-Match", etag))
			if found := h.read(h.requireStatus(200, root, "GET", at, nil))["items"]; cmp.Diff([]any{h.read(set)}, found) != "" {
				t.Errorf("the list of %s: %v", at, found)
			}
			h.requireStatus(200, root, "PUT", "/namespaces/shop%2Fweb/members/group:dev", fields{"role": "cleaner"})
			if r := h.requireStatus(422, root, "DELETE", role, nil); !strings.Contains(r.Body, "group:dev") {
				t.Errorf("deleting a role that a member has: %s", r.Body)
			}
			h.requireStatus(200, root, "DELETE", "/namespaces/shop%2Fweb/members/group:dev", nil)
			h.requireStatus(204, root, "DELETE", role, nil, header("If-Match", set.Header.Get("ETag")))
			h.requireStatus(404, root, "DELETE", role, nil)
		}
	})
}

// If an account manager knows the password of an account, the account cannot become an
// administrator while it has this password.
func TestDelegatedAccountsCannotBecomeAdministrators(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.addMember("root", admin.Administrators)
		h.addMember("hank", "helpdesk")
		_, secret := h.createToken("root", "t")
		root := bearer(secret)
		_, secret = h.createToken("hank", "t")
		hank := bearer(secret)
		if added := h.read(h.requireStatus(201, hank, "POST", "/users", fields{"name": "ann", "password": secretOf("ann")})); added["set_by_delegate"] != true {
			t.Errorf("an account that the helpdesk added: %v", added)
		}
		const join = "/groups/tidewaiter-admins/members/ann"
		if r := h.requireStatus(409, root, "PUT", join, nil); !strings.Contains(r.Body, "an administrator must set another one first") {
			t.Errorf("a delegated account: %s", r.Body)
		}
		set := h.read(h.requireStatus(200, root, "PUT", "/users/ann/password", fields{"password": secretOf("ann") + "!"}))
		if _, delegated := set["set_by_delegate"]; delegated {
			t.Errorf("an account whose password an administrator set: %v", set)
		}
		h.requireStatus(200, root, "PUT", join, nil)
		h.addMember("bob")
		h.requireStatus(403, hank, "POST", "/tokens", fields{"name": "over", "user": "bob", "restrictions": []fields{{"type": "tidewaiter", "names": []string{"**"}, "actions": []string{"read"}}}})
	})
}
