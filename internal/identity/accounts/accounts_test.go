package accounts_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/crypto/bcrypt"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/identity/identitytest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func TestAccountsKeepToTheContract(t *testing.T) {
	for _, warm := range []bool{false, true} {
		each(t, func(t *testing.T, h *house) {
			if warm {
				h.Tend(t.Context())
			}
			h.user("ann", "dev")
			identitytest.Run(t, identitytest.Subject{
				Source: h.Accounts, Kind: identity.Password, Name: "ann", Secret: secretOf("ann"), Unknown: "nobody",
				Break: func() { h.db.Close() },
			})
		})
		each(t, func(t *testing.T, h *house) {
			if warm {
				h.Tend(t.Context())
			}
			h.user("ann", "dev")
			_, secret := h.token("ann", "laptop")
			identitytest.Run(t, identitytest.Subject{Source: h.Accounts, Kind: identity.AccessToken, Name: "ann", Secret: secret})
		})
		each(t, func(t *testing.T, h *house) {
			_, secret := h.robot("ci")
			identitytest.Run(t, identitytest.Subject{
				Source: robots{h.Accounts}, Kind: identity.AccessToken, Name: "robot+ci", Secret: secret,
			})
		})
	}
}

// robots hides Find, which looks up a robot by its login.
type robots struct{ identity.Authenticator }

func TestWhoEntersWithWhat(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ann := h.user("ann", "dev")
		_, laptop := h.token("ann", "laptop")
		_, ci := h.robot("ci")
		h.user("ci")
		pulls := policy.Limit{Names: []string{"team/**"}, Actions: scope.Pull}
		_, narrow := h.token("ann", "narrow", pulls)
		doras, dora, err := h.AddToken(t.Context(), operator, accounts.NewToken{Owner: accounts.Owner{Source: "ldap:corp", Name: "dora"}, Name: "laptop"})
		if err != nil {
			t.Fatal(err)
		}
		if want := (accounts.Owner{Kind: policy.User, Source: "ldap:corp", Name: "dora", ID: "id of dora"}); doras.Owner != want {
			t.Errorf("the owner is %+v, want %+v", doras.Owner, want)
		}
		for range 2 { // uncached, then cached
			for _, tt := range []struct {
				what        identity.Presented
				gets        string
				limits      []policy.Limit
				groups      []string
				credentials string
			}{
				{shown("ann", secretOf("ann")), "user:ann", nil, []string{"dev"}, "password"},
				{shown("ann", laptop), "user:ann", nil, []string{"dev"}, "token:laptop"},
				{shown("", laptop), "user:ann", nil, []string{"dev"}, "token:laptop"},
				{shown("ann", narrow), "user:ann", []policy.Limit{pulls}, []string{"dev"}, "token:narrow"},
				{shown("", narrow), "user:ann", []policy.Limit{pulls}, []string{"dev"}, "token:narrow"},
				{shown("ann", " "+laptop+"\n"), "user:ann", nil, []string{"dev"}, "token:laptop"},
				{shown("dora", dora.Reveal()), "user:dora", nil, []string{"dev"}, "token:laptop"},
				{shown("dora", "directory password"), "user:dora", nil, []string{"dev"}, "password"},
				{shown("robot+ci", ci), "robot:ci", nil, nil, ""},
				{shown("", ci), "robot:ci", nil, nil, ""},
				{what: shown("ci", ci), gets: "rejected"},      // a user
				{what: shown("bob", laptop), gets: "rejected"}, // another name
				{what: shown("Ann", laptop), gets: "rejected"}, // another spelling
				{what: shown("DORA", dora.Reveal()), gets: "rejected"},
				{what: shown("ann", dora.Reveal()), gets: "rejected"},
				{what: shown("robot+ci", secretOf("ci")), gets: "rejected"},
				{what: shown("robot+nobody", "directory password"), gets: "rejected"},
				{what: refreshing(laptop), gets: "rejected"},
				{what: shown("ann", accounts.Secret('a').Reveal()), gets: "rejected"},
				{what: shown("ann", accounts.Secret('s').Reveal()), gets: "rejected"},
			} {
				if got := h.enters(tt.what); got != tt.gets {
					t.Errorf("%s with a %d: %s, want %s", tt.what.Name, tt.what.Kind, got, tt.gets)
				}
				if tt.gets == "rejected" {
					continue
				}
				v, err := h.chain.Authenticate(t.Context(), tt.what)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.limits, v.Principal.Limits); diff != "" {
					t.Errorf("%s: limits (-want +got):\n%s", tt.what.Name, diff)
				}
				if diff := cmp.Diff(tt.groups, v.Principal.Groups, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s: groups (-want +got):\n%s", tt.what.Name, diff)
				}
				if tt.credentials != "" && v.Credential != tt.credentials {
					t.Errorf("%s: the credential is called %q, want %q", tt.what.Name, v.Credential, tt.credentials)
				}
			}
			h.Tend(t.Context())
		}
		// go-ldap CVE-2017-14623 and similar: a local credential must not be sent to the
		// directory.
		for _, c := range h.directory.Asked() {
			if c.Name != "dora" || c.Secret.Reveal() != "directory password" {
				t.Errorf("the directory was asked about %q", c.Name)
			}
		}
		want := &policy.Principal{Kind: policy.User, Name: "ann", Source: "accounts", ID: ann.ID, Groups: []string{"dev"}}
		got, err := h.chain.Find(t.Context(), "ann", "")
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("finding ann: %v (-want +got):\n%s", err, diff)
		}
	})
}

// docker_auth: LDAP takes ALICE and "alice " for alice, the ACL does not. Here they are unknown.
func TestNamesHaveOneSpelling(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.user("ann")
		for _, name := range []string{"Ann", "ANN", "ann ", " ann", "аnn", "ann\u200b", "an\u0301n", "ａnn", "", "a/b", "*", "**", "${user}", "robot+ci", "a+b", "-a", "a-", "a..b", "a.-b", "a___b", "a\nb", "a:b", "a@b", "üser"} {
			_, err := h.AddUser(t.Context(), operator, accounts.NewUser{Name: name, Password: identity.NewSecret("correct horse battery")})
			invalid(t, "adding "+name, err, "name")
			if got := h.enters(shown(name, secretOf("ann"))); got == "user:ann" {
				t.Errorf("%q is ann", name)
			}
			_, err = h.AddGroup(t.Context(), operator, name)
			invalid(t, "adding the group "+name, err, "name")
			if name != "robot+ci" {
				_, _, err = h.AddRobot(t.Context(), operator, accounts.NewRobot{Name: name})
				invalid(t, "adding the robot "+name, err, "name")
			}
		}
		for _, name := range []string{"a", "0", "a.b", "a_b", "a__b", "a---b", "ann2"} {
			if _, err := h.AddUser(t.Context(), operator, accounts.NewUser{Name: name}); err != nil {
				t.Error(err)
			}
		}
	})
}

// Harbor CVE-2026-4404: default admin password. Common and empty passwords are rejected.
func TestKnownPasswordsAreRefused(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for _, secret := range []string{
			"short", "1234567", "12345678", "password", "Password1", "PASSWORD123", "Harbor12345", "admin123", "letmein123", "qwertyuiop",
			"annabelle", "annabelle1", "1annabelle!", "twp_0123456789", "correct\x00horse",
			"eyJhbGciOiJFUzI1NiJ9.e30.c2ln",
		} {
			_, err := h.AddUser(t.Context(), operator, accounts.NewUser{Name: "annabelle", Password: identity.NewSecret(secret)})
			invalid(t, secret, err, "password")
		}
		if got := h.changes(); got != nil {
			t.Errorf("the journal has %v", got)
		}
		// Quay CVE-2024-9683: bcrypt reads 72 bytes only. Argon2id reads all.
		long := ""
		for len(long) < 73 {
			long += "long enough "
		}
		if _, err := h.AddUser(t.Context(), operator, accounts.NewUser{Name: "bob", Password: identity.NewSecret(long)}); err != nil {
			t.Fatal(err)
		}
		if got := h.enters(shown("bob", long[:72])); got != "rejected" {
			t.Errorf("the first 72 bytes of a password: %s", got)
		}
	})
}

// Quay CVE-2024-9683: bcrypt reads 72 bytes only. A longer password is rejected and never
// truncated, even if the hash is that of its first 72 bytes.
func TestABcryptHashTakesNoLongerPassword(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		long := strings.Repeat("x", 72)
		hash, err := bcrypt.GenerateFromPassword([]byte(long), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.AddUser(t.Context(), operator, accounts.NewUser{Name: "ann", Hash: identity.NewSecret(string(hash))}); err != nil {
			t.Fatal(err)
		}
		for _, more := range []string{"y", "x", "\n", strings.Repeat("x", 72)} {
			if got := h.enters(shown("ann", long+more)); got != "rejected" {
				t.Errorf("72 bytes and %d more: %s", len(more), got)
			}
		}
		if got := h.enters(shown("ann", long)); got != "user:ann" {
			t.Errorf("72 bytes: %s", got)
		}
	})
}

func TestBcryptIsReadAndReplaced(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		hash, err := bcrypt.GenerateFromPassword([]byte("correct horse"), 4)
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.AddUser(t.Context(), operator, accounts.NewUser{Name: "ann", Hash: identity.NewSecret(string(hash))})
		if err != nil {
			t.Fatal(err)
		}
		kind := func() string {
			t.Helper()
			a, err := h.Account(t.Context(), operator, "ann")
			if err != nil {
				t.Fatal(err)
			}
			return a.Hash
		}
		if got := h.enters(shown("ann", "wrong horse")); got != "rejected" || kind() != "bcrypt" {
			t.Errorf("a wrong password: %s, and the hash is %s", got, kind())
		}
		for range 2 {
			if got := h.enters(shown("ann", "correct horse")); got != "user:ann" || kind() != "argon2id" {
				t.Errorf("the password: %s, and the hash is %s", got, kind())
			}
		}
		want := []string{"operator:root user.add ann", "user:ann user.rehash ann"}
		if diff := cmp.Diff(want, h.changes()); diff != "" {
			t.Errorf("the journal (-want +got):\n%s", diff)
		}
		_, err = h.AddUser(t.Context(), operator, accounts.NewUser{Name: "bob", Hash: identity.NewSecret("canary in plain text")})
		invalid(t, "a password for a hash", err, "hash")
	})
}

func TestChangesAreVersioned(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		ann := h.user("ann")
		_, err := h.AddUser(ctx, operator, accounts.NewUser{Name: "ann"})
		is(t, "a second ann", err, accounts.ErrExists)
		disabled, err := h.Disable(ctx, operator, "ann", ann.Version)
		if err != nil || disabled.Version != ann.Version+1 || !disabled.Disabled {
			t.Errorf("disabling: %+v, %v", disabled, err)
		}
		_, err = h.Enable(ctx, operator, "ann", ann.Version)
		is(t, "an old version", err, accounts.ErrChanged)
		is(t, "deleting an old version", h.Delete(ctx, operator, "ann", ann.Version), accounts.ErrChanged)
		_, err = h.Enable(ctx, operator, "ann", 0)
		is(t, "any version", err, nil)
		g, err := h.AddGroup(ctx, operator, "dev")
		is(t, "a group", err, nil)
		joined, err := h.Join(ctx, operator, "dev", "ann", g.Version)
		if err != nil || joined.Size != 1 || joined.Version != g.Version+1 {
			t.Errorf("joining: %+v, %v", joined, err)
		}
		_, err = h.Leave(ctx, operator, "dev", "ann", g.Version)
		is(t, "an old version of a group", err, accounts.ErrChanged)
		is(t, "deleting an old version of a group", h.DeleteGroup(ctx, operator, "dev", g.Version), accounts.ErrChanged)
		again, err := h.Join(ctx, operator, "dev", "ann", 0)
		joined.Unchanged = true
		if diff := cmp.Diff(joined, again); err != nil || diff != "" {
			t.Errorf("joining twice: %v %s", err, diff)
		}
		for _, err := range []error{
			h.Delete(ctx, operator, "nobody", 0), h.DeleteGroup(ctx, operator, "nothing", 0), h.Revoke(ctx, operator, "none"),
		} {
			is(t, "what is not there", err, accounts.ErrNotFound)
		}
	})
}

func TestListsGoPageByPage(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		var want, logins []string
		for _, name := range []string{"b", "a", "a.b", "a-b", "c1", "c"} {
			if _, err := h.AddUser(ctx, operator, accounts.NewUser{Name: name}); err != nil {
				t.Fatal(err)
			}
			h.robot(name)
			want, logins = append(want, name), append(logins, name, "robot+"+name)
			for _, login := range []string{name, "robot+" + name} {
				if _, err := h.AddGroup(ctx, operator, "g"+name); err != nil && !errors.Is(err, accounts.ErrExists) {
					t.Fatal(err)
				}
				if _, err := h.Join(ctx, operator, "gb", login, 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		sorted(want)
		for _, kind := range []policy.Kind{policy.User, policy.Robot} {
			got := pages(t, func(page accounts.Page) (names []string, next string, err error) {
				list, next, err := h.List(ctx, operator, kind, page)
				for _, a := range list {
					names = append(names, a.Name)
				}
				return names, next, err
			})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", kind, diff)
			}
		}
		got := pages(t, func(page accounts.Page) ([]string, string, error) { return h.Members(ctx, operator, "gb", page) })
		if diff := cmp.Diff(sorted(logins), sorted(got)); diff != "" {
			t.Errorf("members (-want +got):\n%s", diff)
		}
		tokens := pages(t, func(page accounts.Page) (ids []string, next string, err error) {
			list, next, err := h.Tokens(ctx, operator, accounts.Owner{}, page)
			for _, token := range list {
				ids = append(ids, token.ID)
			}
			return ids, next, err
		})
		groups := pages(t, func(page accounts.Page) (names []string, next string, err error) {
			list, next, err := h.Groups(ctx, operator, page)
			for _, g := range list {
				names = append(names, g.Name)
			}
			return names, next, err
		})
		if len(tokens) != 6 || len(groups) != 6 {
			t.Errorf("%d tokens, %d groups, want 6", len(tokens), len(groups))
		}
	})
}

// pages reads a list in pages of two.
func pages(t *testing.T, list func(accounts.Page) ([]string, string, error)) (all []string) {
	t.Helper()
	for page := (accounts.Page{Limit: 2}); ; {
		some, next, err := list(page)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, some...)
		if next == "" {
			return all
		}
		if len(some) != 2 || page.After == next {
			t.Fatalf("a page of %d, and the next begins at %q", len(some), next)
		}
		page.After = next
	}
}

func TestRobotsHaveTwoSecrets(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		_, first := h.robot("ci")
		_, second, err := h.Rotate(ctx, h.as(shown("robot+ci", first)), "robot+ci", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		both := func(want ...string) {
			t.Helper()
			for i, secret := range []string{first, second.Reveal()} {
				if got := h.enters(shown("robot+ci", secret)); got != want[i] {
					t.Errorf("secret %d: %s, want %s", i+1, got, want[i])
				}
			}
		}
		both("robot:ci", "robot:ci")
		_, _, err = h.Rotate(ctx, h.as(shown("robot+ci", first)), "robot+ci", time.Hour)
		is(t, "by the secret that is being replaced", err, accounts.ErrForbidden)
		h.clock.add(time.Hour)
		both("rejected", "robot:ci")
		_, third, err := h.Rotate(ctx, operator, "robot+ci", 0)
		is(t, "at once", err, nil)
		both("rejected", "rejected")
		_, _, err = h.Rotate(ctx, h.as(shown("", third.Reveal())), "robot+other", 0)
		is(t, "another's", err, accounts.ErrForbidden)
		h.user("ann")
		_, _, err = h.Rotate(ctx, operator, "ann", 0)
		invalid(t, "a user's", err, "login")
		_, _, err = h.Rotate(ctx, operator, "robot+ci", -1)
		invalid(t, "a negative overlap", err, "overlap")
		list, _, err := h.Tokens(ctx, operator, accounts.Owner{Kind: policy.Robot, Name: "ci"}, accounts.Page{})
		if err != nil || len(list) != 1 || list[0].Use != accounts.Robot {
			t.Errorf("%+v, %v", list, err)
		}
		if _, err := h.SetExpiry(ctx, operator, "robot+ci", h.clock.Now().Add(time.Hour), 0); err != nil {
			t.Fatal(err)
		}
		h.clock.add(time.Hour)
		if got := h.enters(shown("robot+ci", third.Reveal())); got != "rejected" {
			t.Errorf("an expired robot: %s", got)
		}
	})
}

func TestFirstStart(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.user("bob")
		secret, expires, err := h.SetupSecret(ctx)
		if err != nil || !expires.After(h.clock.Now()) {
			t.Fatal(expires, err)
		}
		admin := func(secret identity.Secret, name string) error {
			_, err := h.SetUp(ctx, secret, accounts.NewUser{Name: name, Password: identity.NewSecret(secretOf(name))}, shown("", ""))
			return err
		}
		for what, wrong := range map[string]identity.Secret{
			"none": {}, "a guess": accounts.Secret('s'), "another kind": accounts.Secret('a'), "a password": identity.NewSecret("password"),
		} {
			is(t, what, admin(wrong, "ann"), accounts.ErrForbidden)
		}
		is(t, "a taken name", admin(secret, "bob"), accounts.ErrExists)
		_, err = h.SetUp(ctx, secret, accounts.NewUser{Name: "ann"}, shown("", ""))
		invalid(t, "without a password", err, "password")
		is(t, "the secret", admin(secret, "ann"), nil)
		is(t, "a second time", admin(secret, "eve"), accounts.ErrForbidden)
		_, _, err = h.SetupSecret(ctx)
		is(t, "when there is one", err, accounts.ErrExists)
		if yes, err := h.Administered(ctx); !yes || err != nil {
			t.Error(yes, err)
		}
		if !h.May(h.as(shown("ann", secretOf("ann"))), "anything/at/all", scope.Read|scope.Write) {
			t.Error("the administrator has no rights")
		}
	})
	each(t, func(t *testing.T, h *house) {
		secret, expires, err := h.SetupSecret(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		h.clock.add(expires.Sub(h.clock.Now()))
		_, err = h.SetUp(t.Context(), secret, accounts.NewUser{Name: "ann", Password: identity.NewSecret(secretOf("ann"))}, shown("", ""))
		is(t, "an expired secret", err, accounts.ErrForbidden)
	})
}

// Harbor 2026: names are reused, and so are versions. A change meant for one account is not
// applied to a later account with the same name.
func TestAChangeIsMadeOfWhoWasSeen(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		ann, dev := h.user("ann"), func() string { g, _ := h.AddGroup(ctx, operator, "dev"); return g.ID }()
		is(t, "deleting both", errors.Join(h.Delete(ctx, operator, "ann", 0), h.DeleteGroup(ctx, operator, "dev", 0)), nil)
		namesake := h.user("ann")
		if _, err := h.AddGroup(ctx, operator, "dev"); err != nil || namesake.Version != ann.Version {
			t.Fatalf("accounts with one name: %+v, %v", namesake, err)
		}
		of := func(id string) accounts.Actor {
			by := operator
			by.Seen = id
			return by
		}
		for _, version := range []int64{ann.Version, 0} {
			for what, err := range map[string]error{
				"disabling":        second(h.Disable(ctx, of(ann.ID), "ann", version)),
				"enabling":         second(h.Enable(ctx, of(ann.ID), "ann", version)),
				"an end":           second(h.SetExpiry(ctx, of(ann.ID), "ann", h.clock.Now().Add(time.Hour), version)),
				"a password":       second(h.SetPassword(ctx, of(ann.ID), "ann", identity.NewSecret("a whole new password"), version)),
				"deleting":         h.Delete(ctx, of(ann.ID), "ann", version),
				"joining":          second(h.Join(ctx, of(dev), "dev", "ann", version)),
				"leaving":          second(h.Leave(ctx, of(dev), "dev", "ann", version)),
				"deleting a group": h.DeleteGroup(ctx, of(dev), "dev", version),
			} {
				is(t, what, err, accounts.ErrChanged)
			}
		}
		is(t, "of who is there", h.Delete(ctx, of(namesake.ID), "ann", namesake.Version), nil)
	})
}
