package app_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap/ldaptest"
)

// The service does not add an account if another source has a user of the same name. The error
// names this source. After a reload, the new sources are asked. If a source does not answer, the
// account is added, and the result names this source.
func TestNoAccountTakesANameOfAnotherSource(t *testing.T) {
	o := ldaptest.New(t)
	f := newFolder(t)
	sources := func(directory string) string {
		return `
  - accounts: {}
  - htpasswd: { file: users }
  - ldap: { name: corp, servers: ["` + directory + `"], bind_dn: "` + ldaptest.Reader + `", bind_password_file: ` + o.File(ldaptest.ReaderFile) +
			`, user: { base: "` + ldaptest.People + `" }, groups: { base: "` + ldaptest.Groups + `" } }
`
	}
	a, err := app.New(t.Context(), f.loadSources(sources("ldap://"+o.Address)), app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, a)
	by := admin.Operator("root")
	for name, source := range map[string]string{"ann": "htpasswd", "alice": "ldap:corp", "nobody": ""} {
		_, err := a.Accounts().AddUser(t.Context(), by, accounts.NewUser{Name: name})
		taken, _ := errors.AsType[*accounts.TakenError](err)
		if source == "" && err != nil || source != "" && (taken == nil || taken.Source != source) {
			t.Errorf("%s, which %q has: %v", name, source, err)
		}
	}
	if _, err := a.Accounts().AddUser(t.Context(), by, accounts.NewUser{Name: "hugo", Hash: identity.NewSecret("$2b$10$jGiQvDbAZkUwCOhXIPQ.Yuf0A.4fYsUqd3fyFfWLPPUD5vTyHAQhW")}); err != nil {
		t.Error(err)
	}
	if err := a.Reload(t.Context(), f.loadSources(sources("ldap://127.0.0.1:1"))); err != nil {
		t.Fatal(err)
	}
	added, err := a.Accounts().AddUser(t.Context(), by, accounts.NewUser{Name: "gert"})
	if err != nil || len(added.Unchecked) != 1 || !strings.HasPrefix(added.Unchecked[0], "ldap:corp: ") {
		t.Errorf("the directory does not answer: %v, %v", added.Unchecked, err)
	}
}

// loadSources reads a config with the given sources.
func (f *folder) loadSources(identity string) *config.Config {
	f.Helper()
	f.write("tidewaiter.yaml", `
database: sqlite:state.db
signing: { root: { folder: . } }
registries: [{ service: r.example.com }]
listen: [{ address: "127.0.0.1:0" }]
identity:
`+identity)
	cfg, err := config.Load(filepath.Join(f.dir, "tidewaiter.yaml"), config.Options{})
	if err != nil {
		f.Fatal(err)
	}
	return cfg
}
