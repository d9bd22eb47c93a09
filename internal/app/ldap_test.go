package app_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/doctor"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap/ldaptest"
	"github.com/tidewaiter/tidewaiter/internal/offline"
)

// loadWithDirectory reads a config with an htpasswd file and then a directory.
func (f *folder) loadWithDirectory(directory string) *config.Config {
	f.Helper()
	f.write("tidewaiter.yaml", `
database: sqlite:state.db
signing: { root: { folder: . } }
registries: [{ service: r.example.com }]
listen: [{ address: "127.0.0.1:0" }]
identity:
  - ldap: { name: corp, `+directory+` }
  - htpasswd: { file: users }
policy:
  rules:
    - { name: developers, subjects: ["group:dev"], repositories: ["a"], actions: [pull] }
    - { name: own, subjects: ["user:ann"], repositories: ["b"], actions: [pull] }
`)
	cfg, err := config.Load(filepath.Join(f.dir, "tidewaiter.yaml"), config.Options{})
	if err != nil {
		f.Fatal(err)
	}
	return cfg
}

// requestPull sends a request for the action pull on the repositories a and b, and returns the
// response.
func requestPull(h http.Handler, name, password string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "/token?service=r.example.com&scope=repository:a:pull&scope=repository:b:pull", nil)
	r.SetBasicAuth(name, password)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestUsersOfADirectorySignIn(t *testing.T) {
	o := ldaptest.New(t)
	f := newFolder(t)
	cfg := f.loadWithDirectory(`servers: ["ldaps://` + o.Secure + `"], ca: ` + o.File(ldaptest.CAFile) + `, bind_dn: "` + ldaptest.Reader + `", bind_password_file: ` + o.File(ldaptest.ReaderFile) +
		`, user: { base: "` + ldaptest.People + `" }, groups: { base: "` + ldaptest.Groups + `" }`)
	a, err := app.New(t.Context(), cfg, app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, a)
	for _, tt := range []struct {
		name, password string
		status         int
		scope          string
	}{
		{"alice", "wonderland", 200, "repository:a:pull"},
		{"Alice", "wonderland", 200, "repository:a:pull"},
		{"alice", "looking-glass", 401, ""},
		{"nobody", "wonderland", 401, ""},
		{"ann", "ann-password", 200, "repository:b:pull"},
	} {
		w := requestPull(a.Handler(), tt.name, tt.password)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.scope) {
			t.Errorf("%s: %d %s, want %d %s", tt.name, w.Code, readableBody(w), tt.status, tt.scope)
		}
	}
	who, err := offline.Find(t.Context(), cfg, "ALICE")
	if err != nil || who.Name != "alice" || who.Source != "ldap:corp" {
		t.Errorf("found: %+v, %v", who, err)
	}
	if _, err := offline.Find(t.Context(), cfg, "nobody"); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("found nobody: %v", err)
	}
}

// A name belongs to the first source that knows it. A directory can find the same user by other
// attributes, too. A directory user with the name of a local user must be refused, with every
// spelling that the directory accepts.
func TestADirectoryUserCannotTakeALocalNameByAnAlias(t *testing.T) {
	o := ldaptest.New(t)
	f := newFolder(t)
	users, err := os.ReadFile(filepath.Join(f.dir, "users"))
	if err != nil {
		t.Fatal(err)
	}
	f.write("users", string(users)+strings.Replace(string(users), "ann:", "alice:", 1))
	a, err := app.New(t.Context(), f.loadWithDirectory(`servers: ["ldap://`+o.Address+`"], bind_dn: "`+ldaptest.Reader+`", bind_password_file: `+o.File(ldaptest.ReaderFile)+
		`, user: { base: "`+ldaptest.People+`", filter: "(|(uid={name})(mail={name}))" }, groups: { base: "`+ldaptest.Groups+`" }`), app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, a)
	for _, tt := range []struct {
		name, password string
		status         int
	}{
		{"alice", "ann-password", 200}, // the local one
		{"alice", "wonderland", 401},
		{"ALICE", "wonderland", 401},
		{"alice@example.com", "wonderland", 401},
		{"BOB", "can he fix it", 200},
	} {
		if w := requestPull(a.Handler(), tt.name, tt.password); w.Code != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, w.Code, readableBody(w), tt.status)
		}
	}
}

// Gitea CVE-2026-58422, -55987: another sign-in method enabled a disabled account again. The name
// of a disabled account must stay in use: a directory user of that name is refused, with any
// spelling.
func TestTheNameOfADisabledAccountStaysTaken(t *testing.T) {
	o := ldaptest.New(t)
	f := newFolder(t)
	f.write("tidewaiter.yaml", `
public_url: http://localhost
database: sqlite:state.db
signing: { root: { folder: . } }
registries: [{ service: r.example.com }]
listen: [{ address: "127.0.0.1:0" }]
identity:
  - ldap: { name: corp, servers: ["ldap://`+o.Address+`"], bind_dn: "`+ldaptest.Reader+`", bind_password_file: `+o.File(ldaptest.ReaderFile)+
		`, user: { base: "`+ldaptest.People+`" }, groups: { base: "`+ldaptest.Groups+`" } }
  - accounts: {}
`)
	cfg, err := config.Load(filepath.Join(f.dir, "tidewaiter.yaml"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), cfg, app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, a)
	if w := requestPull(a.Handler(), "ALICE", "wonderland"); w.Code != 200 {
		t.Fatalf("alice of the directory: %d %s", w.Code, readableBody(w))
	}
	by := admin.Operator("test")
	if _, err := a.Accounts().AddUser(t.Context(), by, accounts.NewUser{Name: "bob", Moved: true, Password: identity.NewSecret("a password of bob's own")}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Accounts().Disable(t.Context(), by, "bob", 0); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bob", "BOB"} {
		if w := requestPull(a.Handler(), name, "can he fix it"); w.Code != 401 {
			t.Errorf("%s, whose account is disabled, with the password of the directory: %d", name, w.Code)
		}
	}
	if who, err := offline.Find(t.Context(), cfg, "bob"); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("Find: %v, %v", who, err)
	}
}

// An outage of a directory affects only its own users.
func TestAnOutageOfADirectoryAffectsOnlyItsUsers(t *testing.T) {
	f := newFolder(t)
	a, err := app.New(t.Context(), f.loadWithDirectory(`servers: ["ldap://127.0.0.1:1"], user: { base: "o=x" }`), app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, a)
	if w := requestPull(a.Handler(), "alice", "wonderland"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("alice: %d %v", w.Code, w.Header())
	}
	if w := requestPull(a.Handler(), "ann", "ann-password"); w.Code != http.StatusOK {
		t.Errorf("ann, who is in the file: %d %s", w.Code, readableBody(w))
	}
}

func TestErrorsInADirectoryHaveAPosition(t *testing.T) {
	f := newFolder(t)
	f.write("empty", "\n")
	cfg := f.loadWithDirectory(`
      servers: [ldaps://a, "ldap://b", "http://c"],
      bind_dn: "cn=reader,o=x", bind_password_file: empty,
      user: { base: "people", filter: "(uid={name}" },
      groups: { base: "o=x", filter: "(member=dn)", nested: walk } `)
	wrong := check(t, cfg)
	var got []string
	for _, p := range wrong {
		p.File = filepath.Base(p.File)
		got = append(got, strings.ReplaceAll(p.String(), f.dir+string(filepath.Separator), ""))
	}
	want := []string{
		`tidewaiter.yaml:8:28: servers: passwords would travel unencrypted: use ldaps:// or start_tls (or plain: true to allow it)`,
		`tidewaiter.yaml:8:40: servers: the scheme is "http"; use ldaps or ldap`,
		`tidewaiter.yaml:9:53: bind_password_file: empty is empty`,
		`tidewaiter.yaml:10:21: base: not a DN: a part has no =: write a comma inside a value as \,`,
		`tidewaiter.yaml:10:39: filter: not a filter: unexpected end of filter`,
		`tidewaiter.yaml:11:38: filter: {dn}, {name} or {attribute:NAME} is missing: the result would be the same for all users`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := app.New(t.Context(), cfg, app.Options{}); err == nil || !strings.Contains(err.Error(), "tidewaiter.yaml:8:28: servers: ") {
		t.Errorf("starting: %v", err)
	}
}

// If Tidewaiter sends as many wrong passwords as the directory's lock threshold, anyone can lock
// an account. So check compares the two numbers. If a directory does not reveal its threshold,
// check reports this.
func TestCheckReadsTheLockThresholdOfADirectory(t *testing.T) {
	o := ldaptest.New(t)
	fake := ldaptest.NewFake(t)
	const filter = "(|(objectClass=pwdPolicy)(objectClass=domainDNS)(objectClass=msDS-PasswordSettings)(objectClass=krbPwdPolicy)(objectClass=passwordPolicy))"
	fake.SetEntries(" base (objectClass=*)", ldaptest.Entry("", "namingContexts: dc=corp"))
	real := `servers: ["ldap://` + o.Address + `"], user: { base: "` + ldaptest.People + `" }`
	reader := real + `, bind_dn: "` + ldaptest.Reader + `", bind_password_file: ` + o.File(ldaptest.ReaderFile)
	domain := `servers: ["ldap://` + fake.Address + `"], user: { base: dc=corp }`
	const policy = ` (cn=policy,dc=example,dc=com)`
	for _, tt := range []struct {
		directory string
		domain    []string // attributes of the domain object
		want      string   // "": there is no warning
	}{
		{reader + ", attempts: { max: 100 }", nil, `attempts: the directory "corp" locks an account after 100 wrong passwords` + policy + ", and max is 100: set it to 99 or less"},
		{reader + ", attempts: { max: 0 }", nil, `attempts: the directory "corp" locks an account after 100 wrong passwords` + policy + ", and max is 0, which means unlimited: set it to 99 or less"},
		{reader, nil, `attempts: the directory "corp" locks an account after 100 wrong passwords` + policy + " without a time limit, and window is 30m0s: wrong passwords add up until the right one; let the directory forget them after a while"},
		{real, nil, `attempts: the lock threshold of the directory "corp" is unknown: no readable policy states it; max is 4, and must be below it`},
		{`servers: ["ldap://127.0.0.1:1"], user: { base: "o=x" }`, nil, `attempts: the lock threshold of the directory "corp" is unknown: no server of the directory answers: ldap://127.0.0.1:1: connecting: dial tcp 127.0.0.1:1: connect: connection refused; max is 4, and must be below it`},
		{domain, []string{"lockoutThreshold: 5", "lockOutObservationWindow: -18000000000"}, ""},
		{domain, []string{"lockoutThreshold: 0"}, ""},
		{domain, []string{"lockoutThreshold: 4", "lockOutObservationWindow: -18000000000"}, `attempts: the directory "corp" locks an account after 4 wrong passwords (dc=corp), and max is 4: set it to 3 or less`},
		{domain, []string{"lockoutThreshold: 2"}, `attempts: the directory "corp" locks an account after 2 wrong passwords (dc=corp), and max is 4: max must be at least 2, so set the threshold to 3 or more`},
		{domain, []string{"lockoutThreshold: 5", "lockOutObservationWindow: -36000000000"}, `attempts: the directory "corp" locks an account after 5 wrong passwords (dc=corp) within 1h0m0s, and window is 30m0s: set it to 1h0m0s or more`},
		{domain, []string{}, `attempts: the lock threshold of the directory "corp" is unknown: no readable policy states it; max is 4, and must be below it`},
	} {
		if tt.domain != nil {
			fake.SetEntries("dc=corp sub "+filter, ldaptest.Entry("dc=corp", append(tt.domain, "objectClass: domainDNS")...))
		}
		var got []string
		for _, p := range runDoctor(t, newFolder(t).loadWithDirectory(tt.directory), doctor.Options{}).Warnings {
			if !strings.HasPrefix(p.Text, "attempts:") {
				continue
			}
			if p.Line == 0 {
				t.Errorf("%s has no position", p.Text)
			}
			got = append(got, p.Text)
		}
		if text := strings.Join(got, "|"); text != tt.want {
			t.Errorf("%s %q:\n%s\nwant\n%s", tt.directory, tt.domain, text, tt.want)
		}
	}
}

// Every config in docs/ldap.md is valid.
func TestTheConfigsOfTheLDAPPageAreValid(t *testing.T) {
	page, err := os.ReadFile("../../docs/ldap.md")
	if err != nil {
		t.Fatal(err)
	}
	f := newFolder(t)
	f.write("ldap", "secret\n")
	authority := string(must(os.ReadFile(filepath.Join(f.dir, "cert.pem")))(t))
	f.write("corp-ca.pem", authority)
	f.write("ipa-ca.crt", authority)
	blocks := strings.Split(string(page), "```yaml\n")[1:]
	for _, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		text = strings.ReplaceAll(text, "/run/secrets/ldap", "ldap")
		f.write("tidewaiter.yaml", "database: sqlite:state.db\nsigning: { root: { folder: . } }\nregistries: [{ service: r.example.com }]\n"+text)
		cfg, err := config.Load(filepath.Join(f.dir, "tidewaiter.yaml"), config.Options{})
		if err != nil {
			t.Errorf("%v\n%s", err, text)
			continue
		}
		if wrong := check(t, cfg); len(wrong) > 0 {
			t.Errorf("%v\n%s", wrong, text)
		}
	}
	if len(blocks) != 8 {
		t.Errorf("the page has %d configs", len(blocks))
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
