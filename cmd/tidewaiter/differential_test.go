package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap/ldaptest"
)

// testService is a running Tidewaiter with all identity sources that need no other program.
type testService struct {
	dir       string
	app       *app.App
	api       http.Handler
	hash      string // the hash of the password "pw"
	signer    jose.Signer
	issuer    string
	keys      string // the file with the issuer's keys
	shop      string
	answers   map[string]string // the webhook's answer for each name
	directory *ldaptest.Fake    // the directory of both LDAP sources
	fixed     []*caller
	n         atomic.Int64
}

func newTestService(t *testing.T) *testService {
	t.Helper()
	o := &testService{dir: filepath.Join(t.TempDir(), "one"), answers: map[string]string{}, directory: ldaptest.NewFake(t)}
	o.runCommand(t, "", "init", "--dir", o.dir)
	hash, err := bcrypt.GenerateFromPassword([]byte("pw"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	o.hash = string(hash)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	o.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "k"))
	if err != nil {
		t.Fatal(err)
	}
	keys, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	// The keys are in a file. If the service fetched the keys over HTTP, a late answer on a busy
	// machine would count as an outage.
	o.issuer, o.keys = "https://issuer.example.com", filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(o.keys, keys, 0o600); err != nil {
		t.Fatal(err)
	}
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Name string
			Find *struct{ Name string }
		}
		_ = json.NewDecoder(r.Body).Decode(&q)
		if q.Find != nil {
			q.Name = q.Find.Name
		}
		answer, ok := o.answers[q.Name]
		if !ok {
			answer = `{"answer": "unknown"}`
		}
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(shop.Close)
	o.shop = shop.URL

	cfg := o.config(t, nil)
	file := filepath.Join(o.dir, "tidewaiter.yaml")
	o.runCommand(t, "", "group", "add", "dev", "--config", file)
	o.runCommand(t, "", "group", "add", "ops", "--config", file)
	o.runCommand(t, "pw-of-ann", "user", "add", "ann", "--group", "dev", "--password-stdin", "--config", file)
	secret := o.runCommand(t, "", "robot", "add", "bot", "--group", "ops", "--config", file)
	o.runCommand(t, "", "namespace", "add", "team", "--owner", "user:somebody", "--visibility", "internal", "--config", file)
	o.runCommand(t, "", "namespace", "member", "add", "team", "group:dev", "writer", "--config", file)
	if o.app, err = app.New(t.Context(), cfg, app.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.app.Close(context.Background()) })
	o.api = o.app.Handler()
	o.fixed = []*caller{
		{as: "anonymous", known: true},
		{as: "user:ann", groups: []string{"dev"}, login: "ann", key: "pw-of-ann", known: true},
		{as: "robot:bot", groups: []string{"ops"}, login: "robot+bot", key: strings.TrimSpace(secret), known: true},
		{as: "user:hana", groups: []string{"dév", "dev ops"}, login: "hana", key: "pw", known: true,
			claims: map[string]any{"list": []any{"a", "3"}, "team": []any{"a/b"}}},
	}
	return o
}

// runCommand runs a command of Tidewaiter that must succeed, and returns its output.
func (o *testService) runCommand(t testing.TB, in string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if exit := run(t.Context(), args, strings.NewReader(in), &out, &errs); exit != 0 {
		t.Fatalf("%q: exit %d: %s%s", args, exit, out.String(), errs.String())
	}
	return out.String()
}

// namespaceRules returns the rules of the namespace team.
func namespaceRules() []modelRule {
	return []modelRule{
		{name: "team is internal", subjects: []string{"signed-in"}, patterns: []string{"team/**"}, actions: []string{"pull"}},
		{name: "writers of team", subjects: []string{"group:dev"}, patterns: []string{"team/**"}, actions: []string{"pull", "push"}},
		{name: "owner of team", subjects: []string{"user:somebody"}, patterns: []string{"team/**"}, actions: actions},
	}
}

// fileForm returns the rule in the form that files and the API use.
func (r *modelRule) fileForm() map[string]any {
	form := map[string]any{"name": r.name, "subjects": r.subjects, "repositories": r.patterns, "actions": r.actions}
	if r.deny {
		form["effect"] = "deny"
	}
	if len(r.registries) > 0 {
		form["registries"] = r.registries
	}
	if r.when != nil {
		form["when"] = r.when.text
	}
	return form
}

func (o *testService) config(t testing.TB, rules []modelRule) *config.Config {
	t.Helper()
	forms := []any{map[string]any{"name": "administrators", "subjects": []string{"user:root"}, "repositories": []string{"nothing"}, "actions": []string{"pull"}}}
	for i := range rules {
		if !rules[i].stored {
			forms = append(forms, rules[i].fileForm())
		}
	}
	text, _ := json.Marshal(forms)
	attributes := "{ level: level, flag: flag, team: team, list: list }"
	entry := func(name string) string { return fmt.Sprintf("%q", name+":"+o.hash) }
	file := filepath.Join(o.dir, "tidewaiter.yaml")
	err := os.WriteFile(file, []byte(`database: sqlite:state.db
audit: strict
listen: [{ address: "127.0.0.1:0" }]
trusted_proxies: [192.0.2.1/32]
signing: { root: { folder: keys } }
registries:
  - { service: one, notifications: { secret: a-secret-that-is-long } }
  - { service: two, notifications: { secret: another-secret-that-is-long } }
identity:
  - accounts: {}
  - htpasswd: { entries: [`+entry("root")+`, `+entry("hana")+`], groups: { tidewaiter-admins: [root], "dév": [hana], dev ops: [hana] }, claims: { hana: { list: [a, "3"], team: [a/b] } } }
  - webhook: { name: shop, url: `+o.shop+`, find: true, timeout: 1m }
  - ldap:
      name: corp
      servers: ["ldap://`+o.directory.Address+`"]
      user: { base: DC=corp, filter: "(sAMAccountName={name})", name_attribute: sAMAccountName, attributes: `+attributes+` }
      groups: { member_of: true, name_attribute: dn }
  - ldap:
      name: staff
      servers: ["ldap://`+o.directory.Address+`"]
      user: { base: DC=staff, filter: "(|(sAMAccountName={name})(distinguishedName={name}))", name_attribute: distinguishedName, attributes: `+attributes+` }
      groups: { base: ["OU=a,DC=staff", "OU=b,DC=staff"], filter: "(m={attribute:employeeID})", name_attribute: dn }
  - oidc: { name: jobs, issuer: `+o.issuer+`, jwks_file: `+o.keys+`, audience: [jobs], principal: "ci:{who}", groups: ["{groups}"], claims: [level, flag, team, list] }
  - oidc: { name: people, kind: user, issuer: `+o.issuer+`, jwks_file: `+o.keys+`, audience: [people], principal: "{who}", groups: ["{groups}"], claims: [level, flag, team, list] }
policy: { rules: `+string(text)+` }
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, config.Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return cfg
}

// callers returns the callers that exist during the whole test. It adds a new caller for each
// source whose callers are drawn at random.
func (o *testService) callers(t *rapid.T) []*caller {
	all := slices.Clone(o.fixed)
	for _, source := range []string{"shop", "jobs", "people"} {
		name := fmt.Sprintf("%s-%d", source, o.n.Add(1)) // a new name, so no cache has it
		c := &caller{as: "user:" + name, groups: drawGroups(t), claims: drawClaims(t), login: name, key: "pw"}
		claims := []string{}
		for _, k := range slices.Sorted(maps.Keys(c.claims)) {
			claims = append(claims, fmt.Sprintf("%q: %s", k, jsonOf(c.claims[k])))
		}
		groups, _ := json.Marshal(c.groups)
		switch source {
		case "shop":
			o.answers[name] = fmt.Sprintf(`{"answer": "accepted", "name": %q, "groups": %s, "claims": {%s}}`, name, groups, strings.Join(claims, ", "))
			c.known = true
		default:
			now := time.Now()
			payload := fmt.Sprintf(`{"iss": %q, "aud": %q, "sub": %q, "who": %q, "groups": %s, "iat": %d, "exp": %d%s}`,
				o.issuer, source, name, name, groups, now.Add(-time.Minute).Unix(), now.Add(time.Hour).Unix(), strings.Join(append([]string{""}, claims...), ", "))
			signed, err := o.signer.Sign([]byte(payload))
			if err != nil {
				t.Fatal(err)
			}
			if c.key, err = signed.CompactSerialize(); err != nil {
				t.Fatal(err)
			}
			if source == "jobs" {
				c.as = "workload:ci:" + name
			}
		}
		all = append(all, c)
	}
	return append(all, o.corpUser(t), o.staffUser(t))
}

// corpUser returns a new user of a directory in which the user's entry lists the user's groups.
func (o *testService) corpUser(t *rapid.T) *caller {
	name := fmt.Sprint("corp-", o.n.Add(1))
	c := &caller{as: "user:" + name, login: name, key: "right", known: true}
	claims, lines := drawAttributes(t)
	c.claims, lines = claims, append(lines, "sAMAccountName: "+name)
	for _, g := range rapid.SliceOfNDistinct(rapid.SampledFrom(directoryGroups), 0, 3, directoryName.canonicalForm).Draw(t, "groups") {
		c.groups, c.spelled = append(c.groups, g.canonicalForm()), append(c.spelled, g.spell(t))
		lines = append(lines, "memberOf: "+g.spell(t))
	}
	o.addEntry(directoryName{{"cn", name}, {"dc", "corp"}}.spell(t), "DC=corp sub (sAMAccountName="+name+")", lines)
	return c
}

// staffUser returns a new user of a directory in which the user's name is the DN of the entry. The
// groups are found by the user's employeeID, in searches below two bases.
func (o *testService) staffUser(t *rapid.T) *caller {
	login := fmt.Sprint("staff-", o.n.Add(1))
	own := directoryName{{"cn", login}, {"ou", "people"}, {"dc", "staff"}}
	name := "CN=" + login + ",OU=People,DC=staff"
	spelledNames[name] = own.canonicalForm()
	c := &caller{as: "user:" + name, entry: own, login: login, key: "right", known: true}
	claims, lines := drawAttributes(t)
	c.claims, lines = claims, append(lines, "sAMAccountName: "+login, "distinguishedName: "+name, "employeeID: no. "+login)
	found := map[string][]*ldap.Entry{}
	for _, g := range rapid.SliceOfNDistinct(rapid.SampledFrom(directoryGroups), 0, 3, directoryName.canonicalForm).Draw(t, "groups") {
		c.groups, c.spelled = append(c.groups, g.canonicalForm()), append(c.spelled, g.spell(t))
		base := drawOne(t, "base", "OU=a,DC=staff", "OU=b,DC=staff")
		found[base] = append(found[base], ldaptest.Entry(g.spell(t)))
	}
	for base, entries := range found {
		o.directory.SetEntries(base+" sub (m=no. "+login+")", entries...)
	}
	for _, asked := range []string{login, name} {
		o.addEntry(name, "DC=staff sub (|(sAMAccountName="+asked+")(distinguishedName="+asked+"))", lines)
	}
	return c
}

func (o *testService) addEntry(dn, search string, lines []string) {
	o.directory.SetBind(dn, 0)
	o.directory.SetEntries(search, ldaptest.Entry(dn, lines...))
}

// connection is the origin of a request: the peer's address and the header X-Forwarded-For. The
// field ip is the client's address that Tidewaiter derives from these two.
type connection struct{ peer, forwarded, ip string }

var connections = []connection{
	{"10.1.2.3:5", "", "10.1.2.3"}, {"[2001:db8::5]:5", "", "2001:db8::5"}, {"198.51.100.7:5", "10.1.2.3", "198.51.100.7"}, {"192.0.2.1:5", "", "192.0.2.1"},
	{"192.0.2.1:5", "10.1.2.3", "10.1.2.3"}, {"192.0.2.1:5", "10.1.2.3:443", "10.1.2.3"}, {"192.0.2.1:5", "[2001:db8::1]:443", "2001:db8::1"},
	{"192.0.2.1:5", "::ffff:10.1.2.3", "10.1.2.3"}, {"192.0.2.1:5", "10.9.9.9, 2001:db8::1", "2001:db8::1"}, {"192.0.2.1:5", "unknown", ""}, {"192.0.2.1:5", "10.1.2.300", ""},
}

// requestToken requests a token, and returns its grants and its id.
func (o *testService) requestToken(t *rapid.T, q *tokenRequest, conn connection) (granted map[string][]string, id string) {
	query := url.Values{"service": {q.registry}}
	for _, name := range q.names {
		query.Add("scope", "repository:"+name+":"+strings.Join(actions, ","))
	}
	r := httptest.NewRequest(http.MethodGet, "/token?"+query.Encode(), nil)
	r.RemoteAddr = conn.peer
	r.Header.Set("User-Agent", q.client)
	if conn.forwarded != "" {
		r.Header.Set("X-Forwarded-For", conn.forwarded)
	}
	if q.as != "anonymous" {
		r.SetBasicAuth(q.login, q.key)
	}
	w := httptest.NewRecorder()
	o.api.ServeHTTP(w, r)
	var answer struct{ Token string }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%s gets no token: %d %s", q.as, w.Code, w.Body)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(answer.Token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		ID     string `json:"jti"`
		Access []struct {
			Name    string
			Actions []string
		}
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	granted = map[string][]string{}
	for _, name := range q.names {
		granted[name] = []string{}
	}
	for _, a := range claims.Access {
		granted[a.Name] = inOrder(a.Actions)
	}
	return granted, claims.ID
}

func inOrder(list []string) []string {
	return slices.DeleteFunc(slices.Clone(actions), func(a string) bool { return !slices.Contains(list, a) })
}

// call calls the API as an administrator.
func (o *testService) call(t *rapid.T, method, path string, body, into any) {
	text, _ := json.Marshal(body)
	if raw, ok := body.(string); ok {
		text = []byte(raw)
	}
	r := httptest.NewRequest(method, "/api/v1"+path, bytes.NewReader(text))
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth("root", "pw")
	w := httptest.NewRecorder()
	o.api.ServeHTTP(w, r)
	if w.Code/100 != 2 {
		t.Fatalf("%s %s %s: %d %s", method, path, text, w.Code, w.Body)
	}
	if into != nil {
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Fatal(err)
		}
	}
}

// setRules replaces the rules of the policy.
func (o *testService) setRules(t *rapid.T, tb testing.TB, rules []modelRule, before []modelRule) {
	for i := range before {
		if before[i].stored {
			o.call(t, http.MethodDelete, "/rules/"+url.PathEscape(before[i].name), nil, nil)
		}
	}
	if err := o.app.Reload(tb.Context(), o.config(tb, rules)); err != nil {
		t.Fatal(err)
	}
	for i := range rules {
		if rules[i].stored {
			o.call(t, http.MethodPost, "/rules", rules[i].fileForm(), nil)
		}
	}
}

// principalJSON returns the fields that name the principal in a request to the API. If a source
// knows the principal, the request leaves out the principal's groups and claims.
func (q *tokenRequest) principalJSON() string {
	text := fmt.Sprintf(`"as": %q`, q.as)
	if q.known {
		return text
	}
	claims := []string{}
	for _, k := range slices.Sorted(maps.Keys(q.claims)) {
		claims = append(claims, fmt.Sprintf("%q: %s", k, jsonOf(q.claims[k])))
	}
	groups, _ := json.Marshal(q.groups)
	return text + fmt.Sprintf(`, "groups": %s, "claims": {%s}`, groups, strings.Join(claims, ", "))
}

// explanationJSON has the fields of an explanation that the test compares.
type explanationJSON struct {
	Scopes []struct {
		Name    string
		Granted []string
	}
}

func (e *explanationJSON) granted() map[string][]string {
	granted := map[string][]string{}
	for _, s := range e.Scopes {
		granted[s.Name] = inOrder(s.Granted)
	}
	return granted
}

// explain returns the actions that the API's path /explain reports as granted.
func (o *testService) explain(t *rapid.T, q *tokenRequest) map[string][]string {
	scopes := []string{}
	for _, name := range q.names {
		scopes = append(scopes, "repository:"+name+":"+strings.Join(actions, ","))
	}
	list, _ := json.Marshal(scopes)
	ip := ""
	if q.ip.IsValid() {
		ip = fmt.Sprintf(`"ip": %q, `, q.ip)
	}
	var e explanationJSON
	o.call(t, http.MethodPost, "/explain", fmt.Sprintf(`{%s, %s"client": %q, "registry": %q, "scopes": %s}`, q.principalJSON(), ip, q.client, q.registry, list), &e)
	return e.granted()
}

// explainByFlags returns the actions that the command explain reports as granted.
func (o *testService) explainByFlags(t *rapid.T, tb testing.TB, q *tokenRequest, name string) []string {
	args := []string{"explain", "--config", filepath.Join(o.dir, "tidewaiter.yaml"), "--output", "json", "--as", q.as, "--client", q.client, "--registry", q.registry}
	if q.ip.IsValid() {
		args = append(args, "--ip", q.ip.String())
	}
	if !q.known {
		for _, g := range q.groups {
			args = append(args, "--group", g)
		}
		for _, k := range slices.Sorted(maps.Keys(q.claims)) {
			if text, ok := q.claims[k].(string); ok {
				args = append(args, "--claim", k+"="+text)
				continue
			}
			args = append(args, "--claim", k+":="+jsonOf(q.claims[k]))
		}
	}
	var out, errs bytes.Buffer
	exit := run(tb.Context(), append(args, strings.Join(actions, ","), name), strings.NewReader(""), &out, &errs)
	var e explanationJSON
	if err := json.Unmarshal(out.Bytes(), &e); err != nil || exit > 1 {
		t.Fatalf("%q: exit %d: %s%s", args, exit, out.String(), errs.String())
	}
	return e.granted()[name]
}

// whoCan derives the granted actions from the answer of who-can. The model evaluates the
// conditions in the answer.
func (o *testService) whoCan(t *rapid.T, rules map[string]*modelRule, q *tokenRequest, name string) []string {
	var list []struct {
		Action          string
		Allowed, Except []struct {
			Who     []string
			Claims  []struct{ Claim, Value string }
			Pattern string
			Rule    string
			Effect  string
		}
	}
	o.call(t, http.MethodPost, "/who-can", map[string]any{"registry": q.registry, "repository": name, "actions": actions}, &list)
	var can []string
	for _, one := range list {
		allowed, except := false, false
		for _, kind := range []struct {
			deny bool
			all  []struct {
				Who     []string
				Claims  []struct{ Claim, Value string }
				Pattern string
				Rule    string
				Effect  string
			}
		}{{false, one.Allowed}, {true, one.Except}} {
			for _, g := range kind.all {
				is := true
				for _, who := range g.Who {
					is = is && intersect(q.subjects(), []string{who})
				}
				for _, held := range g.Claims {
					is = is && slices.Contains(pathTexts(q.claims[held.Claim]), held.Value)
				}
				if g.Pattern != "" {
					is = is && matchesPattern(strings.Split(g.Pattern, "/"), strings.Split(name, "/"), q.caller)
				}
				if r := rules[g.Rule]; r != nil {
					is = is && r.takesEffect(q)
				}
				allowed, except = allowed || is && !kind.deny, except || is && kind.deny
			}
		}
		if allowed && !except {
			can = append(can, one.Action)
		}
	}
	return inOrder(can)
}

// whatCan derives the granted actions from the answer of what-can. The model evaluates the
// conditions in the answer.
func (o *testService) whatCan(t *rapid.T, rules map[string]*modelRule, q *tokenRequest, name string) []string {
	type right struct {
		Type           string
		Names, Actions []string
		Rule           string
	}
	var rights struct{ Allowed, Except []right }
	o.call(t, http.MethodPost, "/what-can", fmt.Sprintf(`{%s, "registry": %q}`, q.principalJSON(), q.registry), &rights)
	covers := func(list []right, action string) bool {
		return slices.ContainsFunc(list, func(r right) bool {
			applies := rules[r.Rule] == nil || rules[r.Rule].takesEffect(q)
			return applies && r.Type == "repository" && slices.Contains(r.Actions, action) && slices.ContainsFunc(r.Names, func(p string) bool {
				return matchesPattern(strings.Split(p, "/"), strings.Split(name, "/"), q.caller)
			})
		})
	}
	can := []string{}
	for _, action := range actions {
		if covers(rights.Allowed, action) && !covers(rights.Except, action) {
			can = append(can, action)
		}
	}
	return can
}

// expectations returns policy tests that expect all granted actions to be granted and all other
// actions to be refused.
func expectations(q *tokenRequest, granted map[string][]string) (tests []string) {
	for _, name := range q.names {
		refused := slices.DeleteFunc(slices.Clone(actions), func(a string) bool { return slices.Contains(granted[name], a) })
		test := fmt.Sprintf(`"as": %q, "registry": %q, "client": %q, "repositories": [%q]`, q.as, q.registry, q.client, name)
		if q.ip.IsValid() {
			test += fmt.Sprintf(`, "ip": %q`, q.ip)
		}
		if len(q.groups) > 0 {
			groups, _ := json.Marshal(q.anySpelling())
			test += `, "groups": ` + string(groups)
		}
		claims := []string{}
		for _, k := range slices.Sorted(maps.Keys(q.claims)) {
			if q.claims[k] != nil { // tests have no null claims
				claims = append(claims, fmt.Sprintf("%q: %s", k, jsonOf(q.claims[k])))
			}
		}
		if len(claims) > 0 {
			test += `, "claims": {` + strings.Join(claims, ", ") + "}"
		}
		for key, list := range map[string][]string{"may": granted[name], "may_not": refused} {
			if text, _ := json.Marshal(list); len(list) > 0 {
				test += fmt.Sprintf(`, %q: %s`, key, text)
			}
		}
		tests = append(tests, "{"+test+"}")
	}
	return tests
}

var repositoryNames = []string{"prod/app", "e/2", "e/3", "e/2.5", "e/true", "e/a", "e/9007199254740993", "team/a", "a/b", "a/b/c", "a/true", "3/x", "true/a", "ann/x"}

// For every principal, credential and address, the token grants exactly the actions of the model.
// The answers of explain (by id and by request), who-can, what-can and policy tests agree with the
// token. After a deny is added, a refused action is still refused.
func TestPropertyAllAnswersAgree(t *testing.T) {
	o := newTestService(t)
	var before []modelRule
	rapid.Check(t, func(rt *rapid.T) {
		callers := o.callers(rt)
		var rules []modelRule
		for n := range rapid.IntRange(2, 8).Draw(rt, "rules") {
			rules = append(rules, drawRule(rt, n, callers))
		}
		deny := drawRule(rt, len(rules), callers)
		deny.deny = true
		o.setRules(rt, t, rules, before)
		before = rules
		known := map[string]*modelRule{}
		for i := range rules {
			known[rules[i].name] = &rules[i]
		}
		model := append(namespaceRules(), rules...)
		type issuedToken struct {
			tokenRequest
			conn    connection
			granted map[string][]string
		}
		var all []issuedToken
		var tests []string
		for _, c := range callers {
			conn := rapid.SampledFrom(connections).Draw(rt, "conn")
			q := tokenRequest{caller: c, registry: drawOne(rt, "registry", "one", "two"), client: drawOne(rt, "client", "docker/27", "curl/8")}
			q.names = rapid.SliceOfNDistinct(rapid.SampledFrom(repositoryNames), 2, 4, rapid.ID).Draw(rt, "names")
			if conn.ip != "" {
				q.ip = netip.MustParseAddr(conn.ip)
			}
			granted, id := o.requestToken(rt, &q, conn)
			agree := func(what string, got map[string][]string) {
				if diff := cmp.Diff(granted, got); diff != "" {
					rt.Errorf("%s from %v, %s, of %s with %s: the token and %s differ (-token +%s):\n%s\nrules: %s",
						q.as, q.ip, q.client, q.registry, q.principalJSON(), what, what, diff, rulesText(rules))
				}
			}
			agree("the model", grantedActions(model, &q))
			var e explanationJSON
			o.call(rt, http.MethodGet, "/journal/"+id+"/explanation", nil, &e)
			agree("explain by id", e.granted())
			agree("explain", o.explain(rt, &q))
			name := q.names[0]
			for what, got := range map[string][]string{
				"who-can": o.whoCan(rt, known, &q, name), "what-can": o.whatCan(rt, known, &q, name),
			} {
				if !slices.Equal(got, granted[name]) {
					rt.Errorf("%s from %v of %s with %s: the token grants %q of %s, and %s says %q\nrules: %s", q.as, q.ip, q.registry, q.principalJSON(), granted[name], name, what, got, rulesText(rules))
				}
			}
			all = append(all, issuedToken{q, conn, granted})
			tests = append(tests, expectations(&q, granted)...)
		}
		one := &all[rapid.IntRange(0, len(all)-1).Draw(rt, "by flags")]
		if name := one.names[0]; !slices.Equal(o.explainByFlags(rt, t, &one.tokenRequest, name), one.granted[name]) {
			rt.Errorf("%s with %s: the token grants %q of %s, and explain with flags has another result\nrules: %s", one.as, one.principalJSON(), one.granted[name], name, rulesText(rules))
		}
		file := filepath.Join(o.dir, "tests.yaml")
		if err := os.WriteFile(file, []byte("tests: [\n  "+strings.Join(tests, ",\n  ")+"\n]\n"), 0o600); err != nil {
			rt.Fatal(err)
		}
		var out bytes.Buffer
		if exit := run(t.Context(), []string{"policy", "test", "--config", filepath.Join(o.dir, "tidewaiter.yaml"), file}, strings.NewReader(""), &out, &out); exit != 0 {
			rt.Errorf("policy test: exit %d: %s\nrules: %s", exit, out.String(), rulesText(rules))
		}

		o.setRules(rt, t, append(slices.Clone(rules), deny), before)
		before = append(slices.Clone(rules), deny)
		for i := range all {
			q := &all[i]
			granted, _ := o.requestToken(rt, &q.tokenRequest, q.conn)
			for _, name := range q.names {
				for _, action := range granted[name] {
					if !slices.Contains(q.granted[name], action) {
						rt.Errorf("%s: with the deny %s, %s of %s is granted, and it was not before\nrules: %s", q.as, rulesText([]modelRule{deny}), action, name, rulesText(rules))
					}
				}
			}
		}
	})
}

func rulesText(rules []modelRule) string {
	var b strings.Builder
	for i := range rules {
		text, _ := json.Marshal(rules[i].fileForm())
		fmt.Fprintf(&b, "\n  %s (stored: %t)", text, rules[i].stored)
	}
	return b.String()
}
