package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/server"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Known attacks on the APIs of other products. The table in contract_test.go covers two more
// attacks: requests with another owner's ids, and requests to routes that ignore the restrictions
// of a token.

// Harbor GHSA-prh4-vhfh-24mj, zot CVE-2025-48374, Gitea CVE-2026-58511: secrets in logs, the audit
// log and the API.
func TestSecretsDoNotLeak(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.addMember("root", admin.Administrators)
		_, secret := h.createToken("root", "laptop")
		root := bearer(secret)
		const canary = "canary-that-sings"
		var answers []reply
		ask := func(who option, method, path string, body any, more ...option) {
			answers = append(answers, h.request(who, method, path, body, more...))
		}
		for _, body := range []string{
			`{"name":"x","password":"` + canary + `","extra":1}`,            // an unknown key
			`{"password":"` + canary + `"}`,                                 // a missing key
			`{"name":["` + canary + `"],"password":"` + canary + `"}`,       // a wrong type
			`{"name":"x","password":"` + canary,                             // not JSON
			`{"name":"x","password":"` + canary + `"}{}`,                    // two values
			`{"name":"x","password":"` + canary + `","password":"` + canary, // a repeated key
			`{"name":"x","name":"y","password":"` + canary + `"}`,
			`["` + canary + `"]`, `"` + canary + `"`, `{"name":"x","hash":"` + canary + `"}`,
			`{"name":"x","expires":"` + canary + `"}`, `{"name":"x","overlap":"` + canary + `"}`,
			`{"name":"x","password":"` + canary + `","groups":"` + canary + `"}`,
			`{"name":"x","restrictions":[{"names":["` + canary + `"],"actions":["` + canary + `"]}]}`,
			`{"secret":"` + canary + `","name":"x","password":"` + canary + `"}`,
			`{"password":"` + canary + strings.Repeat("x", 5000) + `","name":"x"}`,
			`{"password":"` + canary + `","current":"` + canary + `"}`,
			`{"expires":"` + canary + `"}`, `{"expires":{"x":"` + canary + `"}}`,
			`{"name":"x","password":"` + canary + `"}`, `{"name":"x","password":"` + canary + `","user":"nobody-of-that-name"}`,
		} {
			for _, r := range routes {
				if r.body != nil {
					ask(root, r.method, h.withIDs(r.path), body)
				}
			}
			ask(root, "POST", "/users", body, header("Content-Type", "text/plain"))
			ask(root, "POST", "/users", body, header("Content-Type", "application/x-www-form-urlencoded"))
		}
		ask(bearer(canary), "GET", "/whoami", nil)
		ask(bearer("twp_a"+canary), "GET", "/whoami", nil)
		ask(cookie(canary), "GET", "/whoami", nil)
		ask(func(r *http.Request) { r.SetBasicAuth("root", canary) }, "GET", "/whoami", nil)
		ask(header("Authorization", canary), "GET", "/whoami", nil)
		ask(header("Authorization", "Basic "+canary), "GET", "/whoami", nil)
		ask(header("Idempotency-Key", strings.Repeat(canary, 20)), "POST", "/groups", fields{"name": "dev"}, root)
		for _, a := range answers {
			text := a.Body + fmt.Sprint(a.Header)
			if strings.Contains(text, canary) {
				t.Errorf("a response repeats a value of the request: %d %s", a.Status, text)
			}
			if a.Status >= 500 {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		}
		for e, err := range h.journal.Read(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			text, _ := e.MarshalJSON()
			if strings.Contains(string(text), canary) || strings.Contains(string(text), secret) {
				t.Errorf("the journal has a secret: %s", text)
			}
		}
		if log := h.log.String(); strings.Contains(log, canary) || strings.Contains(log, secret) {
			t.Errorf("the log has a secret: %s", log)
		}
	})
}

// Harbor CVE-2019-16097 and similar: an extra JSON field created an administrator.
func TestUnknownFieldsAreRefused(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.addMember("hank", "helpdesk")
	_, secret := h.createToken("hank", "t")
	for _, field := range []string{"id", "kind", "version", "disabled", "admin", "role", "rights", "Groups", "source", "owner", "parent", "created"} {
		for _, r := range routes {
			body, ok := r.body.(fields)
			if !ok {
				continue
			}
			more := fields{field: "tidewaiter-admins"}
			for name, v := range body {
				more[name] = v
			}
			if known := map[string]string{"create-token": "source", "revoke-tokens": "source", "set-namespace-member": "role", "add-rule": "role", "set-rule": "role"}; known[r.id] == field {
				continue
			}
			if got := h.request(bearer(secret), r.method, h.withIDs(r.path), more); got.Status != 422 && got.Status != 400 {
				t.Errorf("%s %s with %q: %d %s", r.method, r.path, field, got.Status, got.Body)
			}
		}
	}
	for _, path := range []string{"/users?sort=hash", "/users?limit=0", "/users?limit=1001", "/users?limit=x", "/tokens?owner=ann", "/journal?kind=all", "/whoami?admin=true"} {
		if got := h.request(bearer(secret), "GET", path, nil); got.Status != 422 {
			t.Errorf("GET %s: %d %s", path, got.Status, got.Body)
		}
	}
	if got := h.request(bearer(secret), "GET", "/users?limit=1&limit=2", nil); got.Status != 422 {
		t.Errorf("a repeated parameter: %d %s", got.Status, got.Body)
	}
}

// Repeated keys are refused, even if only the decoder treats them as equal. Otherwise a proxy
// that checks requests could read one of the values, and the API the other.
func TestRepeatedKeysAreRefused(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.addMember("hank", "helpdesk")
	_, secret := h.createToken("hank", "t")
	for i, repeated := range []string{`"name":"zoe"`, `"NAME":"zoe"`, `"paſſword":"` + secretOf("eve") + `"`, `"PAſSWORD":"` + secretOf("eve") + `"`} {
		body := fmt.Sprintf(`{"name":"ann%d","password":%q,%s}`, i, secretOf("ann"), repeated)
		if got := h.request(bearer(secret), "POST", "/users", body); got.Status != 400 && got.Status != 422 {
			t.Errorf("%s: %d %s", body, got.Status, got.Body)
		}
	}
	h.requireStatus(201, bearer(secret), "POST", "/users", `{"name":"ann","password":"`+secretOf("ann")+`"}`)
}

// An earlier version of the API treated null as an absent key. An absent key means all
// registries, anyone, an allow rule, or a token without restrictions. It also treated an empty
// list of restrictions as absent.
func TestNullIsNotAnAbsentKey(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.addMember("root", admin.Administrators)
	_, secret := h.createToken("root", "t")
	const rule = `"repositories":["a"],"actions":["pull"]`
	for _, tt := range []struct{ path, body string }{
		{"/rules", `{"name":"r","subjects":["user:ann"],"registries":null,` + rule + `}`},
		{"/rules", `{"name":"r","subjects":["user:ann"],"when":null,` + rule + `}`},
		{"/rules", `{"name":"r","subjects":["user:ann"],"effect":null,` + rule + `}`},
		{"/rules", `{"name":"r","subjects":null,"effect":"deny",` + rule + `}`},
		{"/rules", `null`},
		{"/tokens", `{"name":"x","restrictions":null}`},
		{"/tokens", `{"name":"x","restrictions":[]}`},
		{"/tokens", `{"name":"x","restrictions":[{"names":["a"],"actions":["pull"],"type":null}]}`},
	} {
		if got := h.request(bearer(secret), "POST", tt.path, tt.body); got.Status != 400 && got.Status != 422 {
			t.Errorf("%s: %d %s", tt.body, got.Status, got.Body)
		}
	}
	h.requireStatus(201, bearer(secret), "POST", "/tokens", `{"name":"x"}`)
	h.requireStatus(200, bearer(secret), "POST", "/explain", `{"as":"user:ann","claims":{"a":null,"b":[null,{"c":null}]},"scopes":["repository:a:pull"]}`)
}

// Harbor CVE-2019-19030, Gitea CVE-2025-69413: user enumeration. Neither a route nor a failed
// sign-in may reveal whether an account exists to callers who may not read accounts.
func TestUsersCannotBeEnumerated(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.addUser("ann")
	h.addUser("disabled")
	_, disabled := h.createToken("disabled", "t")
	h.requireStatus(401, nobody, "GET", "/whoami", nil)
	if _, err := h.accounts.Disable(t.Context(), operator, "disabled", 0); err != nil {
		t.Fatal(err)
	}
	h.addMember("bob")
	same := func(what string, a, b reply, names ...string) {
		t.Helper()
		clean := func(r reply) string {
			f := h.read(r)
			delete(f, "instance")
			text := fmt.Sprint(r.Status, f)
			for _, name := range names {
				text = strings.ReplaceAll(text, name, "NAME")
			}
			return text
		}
		if diff := cmp.Diff(clean(a), clean(b)); diff != "" {
			t.Errorf("%s reveals it: %s", what, diff)
		}
	}
	for _, r := range routes {
		if !strings.Contains(r.path, "/bob") {
			continue
		}
		other := strings.Replace(r.path, "/bob", "/none", 1)
		same(r.method+" "+r.path, h.request(with("ann"), r.method, r.path, r.body), h.request(with("ann"), r.method, other, r.body), "bob", "none")
	}
	in := func(name, password string) reply {
		return h.request(nobody, "POST", "/session", fields{"name": name, "password": password})
	}
	wrong := in("ann", "wrong password")
	if wrong.Status != 401 {
		t.Errorf("a wrong password: %d", wrong.Status)
	}
	for _, name := range []string{"none", "bob", "robot+none", "Ann", ""} {
		same("signing in as "+name, wrong, in(name, "wrong password"))
	}
	same("signing in as a disabled user", wrong, in("disabled", secretOf("disabled")))
	invalid := h.request(bearer(noSecret), "GET", "/whoami", nil)
	same("text that is not a token", invalid, h.request(bearer("twp_bogus"), "GET", "/whoami", nil))
	same("the token of a disabled user", invalid, h.request(bearer(disabled), "GET", "/whoami", nil))
}

// The journal records who guesses passwords or tokens. A flood of guesses is only counted.
func TestSignInsAreInTheJournal(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.addUser("ann")
	for i := range 5 {
		h.requireStatus(401, nobody, "POST", "/session", fields{"name": "ann", "password": fmt.Sprint("guess ", i)})
		h.requireStatus(401, bearer("twp_bogus"), "GET", "/whoami", nil)
	}
	h.requireStatus(400, func(r *http.Request) { r.Header.Set("Authorization", "Digest x") }, "GET", "/whoami", nil)
	h.requireStatus(401, nobody, "GET", "/whoami", nil)
	h.requireStatus(201, nobody, "POST", "/session", fields{"name": "ann", "password": secretOf("ann")})
	h.requireStatus(200, with("ann"), "GET", "/whoami", nil)
	if err := h.journal.Close(t.Context()); err != nil { // Close writes the counted refusals
		t.Fatal(err)
	}
	var got []string
	for e, err := range h.journal.Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind() == journal.KindService {
			got = append(got, e.Summary())
		}
	}
	const refused = "service refused a sign-in to the API"
	want := []string{
		refused + " by ann from 127.0.0.1: invalid credentials: accounts: the password is wrong",
		refused + " from 127.0.0.1: invalid credentials; 9 times more from 12:00:00 to 12:00:00 UTC",
		"service started an API session of user:ann from 127.0.0.1",
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// The API and the token endpoint share their rate limits.
func TestGuessesAreRateLimited(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.addMember("ann")
	for i := range 10 {
		h.requireStatus(401, nobody, "POST", "/session", fields{"name": "ann", "password": fmt.Sprint("guess ", i)})
	}
	r := h.requireStatus(429, nobody, "POST", "/session", fields{"name": "ann", "password": "another guess"})
	if r.Header.Get("Retry-After") == "" {
		t.Error("Retry-After is missing")
	}
	h.requireStatus(429, func(r *http.Request) { r.SetBasicAuth("ann", "yet another") }, "GET", "/whoami", nil)
	if got := h.get("/token?service=r.example.com"); got.Status >= 500 {
		t.Errorf("the token endpoint: %d", got.Status)
	}
}

// Harbor CVE-2025-30086, CVE-2024-22261: filters and sorting by any column, SQL injection.
func TestParametersAreNotSQL(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.addMember("root", admin.Administrators)
		_, secret := h.createToken("root", "t")
		for _, text := range []string{
			"' OR 1=1 --", `" OR ""="`, "x'; DROP TABLE accounts; --", "%' UNION SELECT hash FROM accounts --", "\\", "%00", "$1", "*", "%", "_",
			strings.Repeat("x", 150), "é", "\u2028", "🂡",
			"\x00", "a\x00b", "\xff", "\xed\xa0\x80", // PostgreSQL refuses these
		} {
			for _, path := range []string{
				"/users?after=", "/robots?after=", "/groups?after=", "/groups/dev/members?after=", "/tokens?after=", "/tokens?user=", "/tokens?robot=",
				"/journal?registry=", "/journal?principal=", "/journal?action=", "/users/", "/groups/", "/tokens/", "/journal/", "/robots/",
				"/namespaces?after=", "/namespaces/", "/rules?after=", "/rules/", "/tokens?source=ldap:corp&user=",
			} {
				escaped := url.QueryEscape(text)
				if strings.HasSuffix(path, "/") {
					escaped = url.PathEscape(text)
				}
				if got := h.request(bearer(secret), "GET", path+escaped, nil); got.Status >= 500 || strings.Contains(got.Body, "$argon2id$") {
					t.Errorf("%s%s: %d %s", path, text, got.Status, got.Body)
				}
			}
		}
		for _, body := range []string{`{"user":"a\u0000b","source":"ldap:corp"}`, `{"user":"\u0000"}`, `{"robot":"\u0000"}`} {
			if got := h.request(bearer(secret), "POST", "/tokens/revoke", body); got.Status >= 500 || got.Status < 400 {
				t.Errorf("%s: %d %s", body, got.Status, got.Body)
			}
		}
		h.requireStatus(200, bearer(secret), "GET", "/users", nil)
	})
}

// Gitea CVE-2026-56654: a token created a stronger token. A token that a session creates ends
// with the session, unless the request for the token contains the password.
func TestCredentialsCannotCreateStrongerOnes(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.addUser("ann")
	narrow, secret := h.createToken("ann", "narrow", policy.Limit{Names: []string{"team/**"}, Actions: scope.Pull})
	r := h.read(h.requireStatus(201, bearer(secret), "POST", "/tokens", fields{"name": "child"}))
	if r["parent"] != narrow.ID || fmt.Sprint(r["restrictions"]) != "[map[actions:[pull] names:[team/**] type:repository]]" {
		t.Errorf("created by a restricted token: %v", r)
	}
	h.requireStatus(403, bearer(secret), "POST", "/tokens", fields{"name": "wide", "restrictions": []fields{{"names": []string{"**"}, "actions": []string{"pull"}}}})
	h.requireStatus(403, bearer(secret), "PUT", "/users/ann/password", fields{"current": secretOf("ann"), "password": "a completely new password"})

	session := h.startSession("ann")
	r = h.read(h.requireStatus(201, cookie(session), "POST", "/tokens", fields{"name": "short"}))
	if r["expires"] != "2026-11-24T00:00:00Z" {
		t.Errorf("created in a session: %v", r)
	}
	h.requireStatus(403, cookie(session), "POST", "/tokens", fields{"name": "long", "expires": "2027-11-24T00:00:00Z"})
	h.requireStatus(422, cookie(session), "POST", "/tokens", fields{"name": "long", "expires": "2027-11-24T00:00:00Z", "password": "wrong password"})
	r = h.read(h.requireStatus(201, cookie(session), "POST", "/tokens", fields{"name": "long", "expires": "2027-11-24T00:00:00Z", "password": secretOf("ann")}))
	if r["parent"] != nil || r["expires"] != "2027-11-24T00:00:00Z" {
		t.Errorf("created with the password: %v", r)
	}
	h.requireStatus(204, cookie(session), "DELETE", "/session", nil)
	h.requireStatus(401, cookie(session), "GET", "/whoami", nil)
}

// startSession starts a session and returns the value of its cookie.
func (h *harness) startSession(name string) string {
	h.Helper()
	r := h.requireStatus(201, nobody, "POST", "/session", fields{"name": name, "password": secretOf(name)})
	set, err := http.ParseSetCookie(r.Header.Get("Set-Cookie"))
	if err != nil {
		h.Fatal(err)
	}
	if set.Name != server.SessionCookie || !set.Secure || !set.HttpOnly || set.SameSite != http.SameSiteLaxMode || set.Path != "/" || set.Domain != "" {
		h.Errorf("the cookie: %+v", set)
	}
	if strings.Contains(r.Body, set.Value) {
		h.Error("scripts can read the session in the response")
	}
	return set.Value
}

// Cross-site request forgery: a page from another origin cannot use the cookie of the user who
// visits the page.
func TestCrossOriginRequestsAreRefused(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.addUser("ann")
	h.addMember("bob")
	session := h.startSession("ann")
	for _, foreign := range [][]option{
		{header("Sec-Fetch-Site", "cross-site")}, {header("Sec-Fetch-Site", "same-site")}, {header("Origin", "https://evil.example.com")}, {header("Origin", "null")},
	} {
		for _, r := range routes {
			if r.method == "GET" {
				continue
			}
			if got := h.request(cookie(session), r.method, h.withIDs(r.path), r.body, foreign...); got.Status != 403 || got.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s %s: %d", r.method, r.path, got.Status)
			}
		}
	}
	h.requireStatus(200, cookie(session), "POST", "/tokens/revoke", fields{"mine": true, "use": "refresh"}, header("Sec-Fetch-Site", "same-origin"))
	h.requireStatus(200, cookie(session), "POST", "/tokens/revoke", fields{"mine": true, "use": "refresh"}, header("Origin", h.url))
	r := h.requireStatus(405, nobody, "OPTIONS", "/users", nil, header("Origin", "https://evil.example.com"))
	if r.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("another origin is allowed")
	}
}

// If the Authorization header is wrong, the request is refused although its cookie is valid.
func TestAWrongCredentialIsNotReplacedByAnother(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.addUser("ann")
	session := h.startSession("ann")
	_, token := h.createToken("ann", "t")
	h.requireStatus(200, cookie(session), "GET", "/session", nil)
	h.requireStatus(401, cookie(session), "GET", "/whoami", nil, bearer(noSecret))
	h.requireStatus(401, cookie(session), "GET", "/whoami", nil, header("Authorization", "Bearer "))
	h.requireStatus(401, cookie(session), "GET", "/whoami", nil, header("Authorization", "Basic Og=="))
	h.requireStatus(400, cookie(session), "GET", "/whoami", nil, header("Authorization", "Digest x"))
	h.requireStatus(400, cookie(session), "GET", "/whoami", nil, cookie(session))
	h.requireStatus(400, nobody, "GET", "/whoami", nil, func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer " + token, "Bearer " + token} })
	h.requireStatus(401, bearer(session), "GET", "/whoami", nil) // a session is not a bearer token
	h.requireStatus(401, cookie(token), "GET", "/whoami", nil)
	h.requireStatus(401, bearer(secretOf("ann")), "GET", "/whoami", nil)
	h.requireStatus(200, bearer(token), "GET", "/whoami", nil)
	h.clock.Pass(2 * time.Hour)
	if r := h.requireStatus(401, cookie(session), "GET", "/whoami", nil); !strings.Contains(r.Header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("the browser keeps the cookie of an expired session: %s", r.Header.Get("Set-Cookie"))
	}
}
