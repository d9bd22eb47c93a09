package accounts_test

import (
	"net/netip"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
)

// A known place weakens the rate limit of an account, so allowing a place requires the same rights
// as other changes to the account. An actor who may not change administrators may not allow a
// place for an administrator, either.
func TestOnlyAdministratorsAllowAPlaceForAnAdministrator(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *harness) {
		for name, groups := range map[string][]string{"root": {admin.Administrators}, "ann": nil} {
			if _, err := h.AddUser(t.Context(), operator, accounts.NewUser{Name: name, Password: identity.NewSecret("a long sentence"), Groups: groups}); err != nil {
				t.Fatal(err)
			}
		}
		helpdesk := admin.Actor{Principal: &policy.Principal{Kind: policy.User, Source: "ldap:corp", ID: "7", Name: "eve", Groups: []string{"helpdesk"}}}
		place := netip.MustParsePrefix("192.0.2.0/24")
		_, err := h.AllowPlace(t.Context(), helpdesk, "root", place)
		is(t, "for an administrator", err, admin.ErrForbidden)
		if _, err := h.AllowPlace(t.Context(), helpdesk, "ann", place); err != nil {
			t.Errorf("for another user: %v", err)
		}
	})
}
