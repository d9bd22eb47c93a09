package credentials_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/accounts/accountstest"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/identitytest"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func TestAuthenticatorContract(t *testing.T) {
	for _, warm := range []bool{false, true} {
		onEachDatabase(t, func(t *testing.T, h *harness) {
			if warm {
				h.Maintain(t.Context())
			}
			h.AddTestUser("ann", "dev")
			identitytest.Run(t, identitytest.Subject{
				Source: h.Accounts, Kind: identity.Password, Name: "ann", Secret: passwordOf("ann"), Unknown: "nobody",
				Break: func() { h.DB.Close() },
			})
		})
		onEachDatabase(t, func(t *testing.T, h *harness) {
			if warm {
				h.Maintain(t.Context())
			}
			h.AddTestUser("ann", "dev")
			_, secret := h.AddTestToken("ann", "laptop")
			identitytest.Run(t, identitytest.Subject{Source: h.Accounts, Kind: identity.AccessToken, Name: "ann", Secret: secret})
		})
		onEachDatabase(t, func(t *testing.T, h *harness) {
			_, secret := h.AddTestRobot("ci")
			identitytest.Run(t, identitytest.Subject{
				Source: robots{h.Accounts}, Kind: identity.AccessToken, Name: "robot+ci", Secret: secret,
			})
		})
	}
}

// robots is a source without the method Find, which would look up a robot by its login.
type robots struct{ identity.Authenticator }

func TestCredentialsAreAccepted(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		ann := h.AddTestUser("ann", "dev")
		_, laptop := h.AddTestToken("ann", "laptop")
		_, ci := h.AddTestRobot("ci")
		h.AddTestUser("ci")
		pulls := policy.Limit{Names: []string{"team/**"}, Actions: scope.Pull}
		_, narrow := h.AddTestToken("ann", "narrow", pulls)
		doras, dora, err := h.AddToken(t.Context(), operator, credentials.NewToken{Owner: credentials.Owner{Source: "ldap:corp", Name: "dora"}, Name: "laptop"})
		if err != nil {
			t.Fatal(err)
		}
		if want := (credentials.Owner{Kind: policy.User, Source: "ldap:corp", Name: "dora", ID: "id of dora"}); doras.Owner != want {
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
				{presented("ann", passwordOf("ann")), "user:ann", nil, []string{"dev"}, "password"},
				{presented("ann", laptop), "user:ann", nil, []string{"dev"}, "token:laptop"},
				{presented("", laptop), "user:ann", nil, []string{"dev"}, "token:laptop"},
				{presented("ann", narrow), "user:ann", []policy.Limit{pulls}, []string{"dev"}, "token:narrow"},
				{presented("", narrow), "user:ann", []policy.Limit{pulls}, []string{"dev"}, "token:narrow"},
				{presented("ann", " "+laptop+"\n"), "user:ann", nil, []string{"dev"}, "token:laptop"},
				{presented("dora", dora.Reveal()), "user:dora", nil, []string{"dev"}, "token:laptop"},
				{presented("dora", "directory password"), "user:dora", nil, []string{"dev"}, "password"},
				{presented("robot+ci", ci), "robot:ci", nil, nil, ""},
				{presented("", ci), "robot:ci", nil, nil, ""},
				{what: presented("ci", ci), gets: "rejected"},      // a user
				{what: presented("bob", laptop), gets: "rejected"}, // another name
				{what: presented("Ann", laptop), gets: "rejected"}, // another spelling
				{what: presented("DORA", dora.Reveal()), gets: "rejected"},
				{what: presented("ann", dora.Reveal()), gets: "rejected"},
				{what: presented("robot+ci", passwordOf("ci")), gets: "rejected"},
				{what: presented("robot+nobody", "directory password"), gets: "rejected"},
				{what: refreshing(laptop), gets: "rejected"},
				{what: presented("ann", newSecret('a').Reveal()), gets: "rejected"},
				{what: presented("ann", newSecret('s').Reveal()), gets: "rejected"},
			} {
				if got := h.SignIn(tt.what); got != tt.gets {
					t.Errorf("%s with a %d: %s, want %s", tt.what.Name, tt.what.Kind, got, tt.gets)
				}
				if tt.gets == "rejected" {
					continue
				}
				v, err := h.Chain.Authenticate(t.Context(), tt.what)
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
			h.Maintain(t.Context())
		}
		// go-ldap CVE-2017-14623 and similar: no local credential may be sent to the directory.
		for _, c := range h.Directory.Asked() {
			if c.Name != "dora" || c.Secret.Reveal() != "directory password" {
				t.Errorf("the directory was asked about %q", c.Name)
			}
		}
		want := &policy.Principal{Kind: policy.User, Name: "ann", Source: "accounts", ID: ann.ID, Groups: []string{"dev"}}
		got, err := h.Chain.Find(t.Context(), "ann", "")
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("finding ann: %v (-want +got):\n%s", err, diff)
		}
	})
}

// Harbor: a token outlived its deleted and re-created project. In Tidewaiter, a namespace's robots
// are deleted with the namespace, and an account's memberships with the account.
func TestRobotsAreDeletedWithTheirNamespace(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		ctx, olga := t.Context(), accountstest.NamespaceOwner("olga")
		book := h.WithNamespaces()
		_, secret, err := h.AddRobot(ctx, olga, accounts.NewRobot{Name: "team.ci"})
		if err != nil {
			t.Fatal(err)
		}
		other := h.Open()
		maintain := other.Maintain(ctx)
		h.Maintain(ctx)
		ci := presented("robot+team.ci", secret.Reveal())
		for _, a := range []*accountstest.Process{h.Process, other} {
			if _, err := a.Authenticate(ctx, ci); err != nil || a.Cached() != 1 {
				t.Errorf("the robot: %v, and %d are cached", err, a.Cached())
			}
		}
		if err := book.DeleteNamespace(ctx, operator, "team", 0); err != nil {
			t.Fatal(err)
		}
		if _, err := book.AddNamespace(ctx, operator, rulebook.NewNamespace{Name: "team", Owners: []string{"user:olivia"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Authenticate(ctx, ci); !errors.Is(err, identity.ErrRejected) {
			t.Errorf("the robot of the deleted namespace: %v", err)
		}
		maintain()
		if _, err := other.Authenticate(ctx, ci); !errors.Is(err, identity.ErrRejected) {
			t.Errorf("in the other process after its poll: %v", err)
		}
		if _, _, err := h.AddRobot(ctx, olga, accounts.NewRobot{Name: "team.ci"}); !errors.Is(err, admin.ErrForbidden) {
			t.Errorf("the owner of the deleted namespace: %v", err)
		}
		if _, _, err := h.AddRobot(ctx, accountstest.NamespaceOwner("olivia"), accounts.NewRobot{Name: "team.ci"}); err != nil {
			t.Error(err)
		}

		h.AddTestUser("ann")
		if _, err := book.SetMember(ctx, operator, "team", "user:ann", rulebook.Writer, 0); err != nil {
			t.Fatal(err)
		}
		if err := h.Delete(ctx, operator, "ann", 0); err != nil {
			t.Fatal(err)
		}
		h.AddTestUser("ann")
		members, _, err := book.Members(ctx, operator, "team", admin.Page{})
		if err != nil || len(members) != 1 || members[0].Subject != "user:olivia" {
			t.Errorf("a new user with the name of a deleted user is a member: %v, %v", members, err)
		}
	})
}
