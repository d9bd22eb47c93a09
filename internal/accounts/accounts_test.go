package accounts_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// With docker_auth, LDAP treats ALICE and "alice " as alice, but the ACL does not. In
// Tidewaiter, both names are unknown.
func TestNamesHaveOneSpelling(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *harness) {
		h.AddTestUser("ann")
		for _, name := range []string{"Ann", "ANN", "ann ", " ann", "аnn", "ann\u200b", "an\u0301n", "ａnn", "", "a/b", "*", "**", "${user}", "robot+ci", "a+b", "-a", "a-", "a..b", "a.-b", "a___b", "a\nb", "a:b", "a@b", "üser"} {
			_, err := h.AddUser(t.Context(), operator, accounts.NewUser{Name: name, Password: identity.NewSecret("correct horse battery")})
			isInvalid(t, "adding "+name, err, "name")
			if got := h.SignIn(presented(name, passwordOf("ann"))); got == "user:ann" {
				t.Errorf("%q signs in as ann", name)
			}
			_, err = h.AddGroup(t.Context(), operator, name)
			isInvalid(t, "adding the group "+name, err, "name")
			if name != "robot+ci" {
				_, _, err = h.AddRobot(t.Context(), operator, accounts.NewRobot{Name: name})
				isInvalid(t, "adding the robot "+name, err, "name")
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
func TestCommonPasswordsAreRefused(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *harness) {
		for _, secret := range []string{
			"short", "1234567", "12345678", "password", "Password1", "PASSWORD123", "Harbor12345", "admin123", "letmein123", "qwertyuiop",
			"annabelle", "annabelle1", "1annabelle!", "twp_0123456789", "correct\x00horse",
			"eyJhbGciOiJFUzI1NiJ9.e30.c2ln",
		} {
			_, err := h.AddUser(t.Context(), operator, accounts.NewUser{Name: "annabelle", Password: identity.NewSecret(secret)})
			isInvalid(t, secret, err, "password")
		}
		if got := h.Changes(); got != nil {
			t.Errorf("the journal has %v", got)
		}
		// Quay CVE-2024-9683: bcrypt reads only the first 72 bytes of a password. Argon2id
		// reads all bytes.
		long := ""
		for len(long) < 73 {
			long += "long enough "
		}
		if _, err := h.AddUser(t.Context(), operator, accounts.NewUser{Name: "bob", Password: identity.NewSecret(long)}); err != nil {
			t.Fatal(err)
		}
		if got := h.SignIn(presented("bob", long[:72])); got != "rejected" {
			t.Errorf("the first 72 bytes of a password: %s", got)
		}
	})
}

// Quay CVE-2024-9683: bcrypt reads only the first 72 bytes of a password. A longer password is
// rejected and never truncated, even if its first 72 bytes match the hash.
func TestBcryptHashRefusesLongerPasswords(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *harness) {
		long := strings.Repeat("x", 72)
		hash, err := bcrypt.GenerateFromPassword([]byte(long), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.AddUser(t.Context(), operator, accounts.NewUser{Name: "ann", Hash: identity.NewSecret(string(hash))}); err != nil {
			t.Fatal(err)
		}
		for _, more := range []string{"y", "x", "\n", strings.Repeat("x", 72)} {
			if got := h.SignIn(presented("ann", long+more)); got != "rejected" {
				t.Errorf("72 bytes and %d more: %s", len(more), got)
			}
		}
		if got := h.SignIn(presented("ann", long)); got != "user:ann" {
			t.Errorf("72 bytes: %s", got)
		}
	})
}

func TestBcryptHashIsReplaced(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *harness) {
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
		if got := h.SignIn(presented("ann", "wrong horse")); got != "rejected" || kind() != "bcrypt" {
			t.Errorf("a wrong password: %s, and the hash is %s", got, kind())
		}
		for range 2 {
			if got := h.SignIn(presented("ann", "correct horse")); got != "user:ann" || kind() != "argon2id" {
				t.Errorf("the password: %s, and the hash is %s", got, kind())
			}
		}
		want := []string{"operator:root user.add ann", "user:ann user.rehash ann"}
		if diff := cmp.Diff(want, h.Changes()); diff != "" {
			t.Errorf("the journal (-want +got):\n%s", diff)
		}
		_, err = h.AddUser(t.Context(), operator, accounts.NewUser{Name: "bob", Hash: identity.NewSecret("canary in plain text")})
		isInvalid(t, "a password for a hash", err, "hash")
	})
}

func TestChangesAreVersioned(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		ann := h.AddTestUser("ann")
		_, err := h.AddUser(ctx, operator, accounts.NewUser{Name: "ann"})
		is(t, "a second ann", err, admin.ErrExists)
		disabled, err := h.Disable(ctx, operator, "ann", ann.Version)
		if err != nil || disabled.Version != ann.Version+1 || !disabled.Disabled {
			t.Errorf("disabling: %+v, %v", disabled, err)
		}
		_, err = h.Enable(ctx, operator, "ann", ann.Version)
		is(t, "an old version", err, admin.ErrChanged)
		is(t, "deleting an old version", h.Delete(ctx, operator, "ann", ann.Version), admin.ErrChanged)
		_, err = h.Enable(ctx, operator, "ann", 0)
		is(t, "any version", err, nil)
		g, err := h.AddGroup(ctx, operator, "dev")
		is(t, "a group", err, nil)
		joined, err := h.Join(ctx, operator, "dev", "ann", g.Version)
		if err != nil || joined.Size != 1 || joined.Version != g.Version+1 {
			t.Errorf("joining: %+v, %v", joined, err)
		}
		_, err = h.Leave(ctx, operator, "dev", "ann", g.Version)
		is(t, "an old version of a group", err, admin.ErrChanged)
		is(t, "deleting an old version of a group", h.DeleteGroup(ctx, operator, "dev", g.Version), admin.ErrChanged)
		again, err := h.Join(ctx, operator, "dev", "ann", 0)
		joined.Unchanged = true
		if diff := cmp.Diff(joined, again); err != nil || diff != "" {
			t.Errorf("joining twice: %v %s", err, diff)
		}
		for _, err := range []error{
			h.Delete(ctx, operator, "nobody", 0), h.DeleteGroup(ctx, operator, "nothing", 0), h.Revoke(ctx, operator, "none"),
		} {
			is(t, "an object that does not exist", err, admin.ErrNotFound)
		}
	})
}

func TestListsHavePages(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		var want, logins []string
		for _, name := range []string{"b", "a", "a.b", "a-b", "c1", "c"} {
			if _, err := h.AddUser(ctx, operator, accounts.NewUser{Name: name}); err != nil {
				t.Fatal(err)
			}
			h.AddTestRobot(name)
			want, logins = append(want, name), append(logins, name, "robot+"+name)
			for _, login := range []string{name, "robot+" + name} {
				if _, err := h.AddGroup(ctx, operator, "g"+name); err != nil && !errors.Is(err, admin.ErrExists) {
					t.Fatal(err)
				}
				if _, err := h.Join(ctx, operator, "gb", login, 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		slices.Sort(want)
		for _, kind := range []policy.Kind{policy.User, policy.Robot} {
			got := readAll(t, func(page admin.Page) (names []string, next string, err error) {
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
		got := readAll(t, func(page admin.Page) ([]string, string, error) { return h.Members(ctx, operator, "gb", page) })
		slices.Sort(logins)
		slices.Sort(got)
		if diff := cmp.Diff(logins, got); diff != "" {
			t.Errorf("members (-want +got):\n%s", diff)
		}
		tokens := readAll(t, func(page admin.Page) (ids []string, next string, err error) {
			list, next, err := h.Tokens(ctx, operator, credentials.Owner{}, page)
			for _, token := range list {
				ids = append(ids, token.ID)
			}
			return ids, next, err
		})
		groups := readAll(t, func(page admin.Page) (names []string, next string, err error) {
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

// readAll reads a whole list, two items at a time.
func readAll(t *testing.T, list func(admin.Page) ([]string, string, error)) (all []string) {
	t.Helper()
	for page := (admin.Page{Limit: 2}); ; {
		some, next, err := list(page)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, some...)
		if next == "" {
			return all
		}
		if len(some) != 2 || page.After == next {
			t.Fatalf("a page has %d items, and the next page begins at %q", len(some), next)
		}
		page.After = next
	}
}

func TestRobotsHaveTwoSecrets(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		_, first := h.AddTestRobot("ci")
		_, second, err := h.Rotate(ctx, h.ActorOf(presented("robot+ci", first)), "robot+ci", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		both := func(want ...string) {
			t.Helper()
			for i, secret := range []string{first, second.Reveal()} {
				if got := h.SignIn(presented("robot+ci", secret)); got != want[i] {
					t.Errorf("secret %d: %s, want %s", i+1, got, want[i])
				}
			}
		}
		both("robot:ci", "robot:ci")
		_, _, err = h.Rotate(ctx, h.ActorOf(presented("robot+ci", first)), "robot+ci", time.Hour)
		is(t, "the robot presents its previous secret", err, admin.ErrForbidden)
		h.Clock.Pass(time.Hour)
		both("rejected", "robot:ci")
		_, third, err := h.Rotate(ctx, operator, "robot+ci", 0)
		is(t, "without an overlap", err, nil)
		both("rejected", "rejected")
		_, _, err = h.Rotate(ctx, h.ActorOf(presented("", third.Reveal())), "robot+other", 0)
		is(t, "another robot", err, admin.ErrForbidden)
		h.AddTestUser("ann")
		_, _, err = h.Rotate(ctx, operator, "ann", 0)
		isInvalid(t, "a user's", err, "login")
		_, _, err = h.Rotate(ctx, operator, "robot+ci", -1)
		isInvalid(t, "a negative overlap", err, "overlap")
		list, _, err := h.Tokens(ctx, operator, credentials.Owner{Kind: policy.Robot, Name: "ci"}, admin.Page{})
		if err != nil || len(list) != 1 || list[0].Purpose != credentials.Robot {
			t.Errorf("%+v, %v", list, err)
		}
		if _, err := h.SetExpiry(ctx, operator, "robot+ci", h.Clock.Now().Add(time.Hour), 0); err != nil {
			t.Fatal(err)
		}
		h.Clock.Pass(time.Hour)
		if got := h.SignIn(presented("robot+ci", third.Reveal())); got != "rejected" {
			t.Errorf("an expired robot: %s", got)
		}
	})
}

func TestSetUp(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		h.AddTestUser("bob")
		secret, expires, err := h.SetupSecret(ctx)
		if err != nil || !expires.After(h.Clock.Now()) {
			t.Fatal(expires, err)
		}
		setUp := func(secret identity.Secret, name string) error {
			_, err := h.SetUp(ctx, secret, accounts.NewUser{Name: name, Password: identity.NewSecret(passwordOf(name))}, presented("", ""))
			return err
		}
		for what, wrong := range map[string]identity.Secret{
			"none": {}, "a guess": newSecret('s'), "another kind": newSecret('a'), "a password": identity.NewSecret("password"),
		} {
			is(t, what, setUp(wrong, "ann"), admin.ErrForbidden)
		}
		is(t, "a taken name", setUp(secret, "bob"), admin.ErrExists)
		_, err = h.SetUp(ctx, secret, accounts.NewUser{Name: "ann"}, presented("", ""))
		isInvalid(t, "without a password", err, "password")
		is(t, "the secret", setUp(secret, "ann"), nil)
		is(t, "a second time", setUp(secret, "eve"), admin.ErrForbidden)
		_, _, err = h.SetupSecret(ctx)
		is(t, "there is an administrator already", err, admin.ErrExists)
		if yes, err := h.Administered(ctx); !yes || err != nil {
			t.Error(yes, err)
		}
		if !h.Options.Rights.May(h.ActorOf(presented("ann", passwordOf("ann"))), "anything/at/all", scope.Read|scope.Write) {
			t.Error("the administrator has no rights")
		}
	})
	eachDatabase(t, func(t *testing.T, h *harness) {
		secret, expires, err := h.SetupSecret(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		h.Clock.Pass(expires.Sub(h.Clock.Now()))
		_, err = h.SetUp(t.Context(), secret, accounts.NewUser{Name: "ann", Password: identity.NewSecret(passwordOf("ann"))}, presented("", ""))
		is(t, "an expired secret", err, admin.ErrForbidden)
	})
}

// Harbor 2026: a new object could have the name and the version of a deleted object. So a change
// of one account must not be applied to a later account with the same name.
func TestChangesApplyToTheAccountThatWasSeen(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		ann, dev := h.AddTestUser("ann"), func() string { g, _ := h.AddGroup(ctx, operator, "dev"); return g.ID }()
		is(t, "deleting both", errors.Join(h.Delete(ctx, operator, "ann", 0), h.DeleteGroup(ctx, operator, "dev", 0)), nil)
		namesake := h.AddTestUser("ann")
		if _, err := h.AddGroup(ctx, operator, "dev"); err != nil || namesake.Version != ann.Version {
			t.Fatalf("the new account and group with the old names: %+v, %v", namesake, err)
		}
		of := func(id string) admin.Actor {
			by := operator
			by.Seen = id
			return by
		}
		for _, version := range []int64{ann.Version, 0} {
			for what, err := range map[string]error{
				"disabling":        second(h.Disable(ctx, of(ann.ID), "ann", version)),
				"enabling":         second(h.Enable(ctx, of(ann.ID), "ann", version)),
				"an end":           second(h.SetExpiry(ctx, of(ann.ID), "ann", h.Clock.Now().Add(time.Hour), version)),
				"a password":       second(h.SetPassword(ctx, of(ann.ID), "ann", identity.NewSecret("a whole new password"), version)),
				"deleting":         h.Delete(ctx, of(ann.ID), "ann", version),
				"joining":          second(h.Join(ctx, of(dev), "dev", "ann", version)),
				"leaving":          second(h.Leave(ctx, of(dev), "dev", "ann", version)),
				"deleting a group": h.DeleteGroup(ctx, of(dev), "dev", version),
			} {
				is(t, what, err, admin.ErrChanged)
			}
		}
		is(t, "deleting the new account", h.Delete(ctx, of(namesake.ID), "ann", namesake.Version), nil)
	})
}
