package credentials_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// Clients get the same answer for every refusal. The journal gets the true reason.
func TestTrueReasonOfARefusalIsForTheJournal(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		for _, name := range []string{"ann", "off", "over", "gone"} {
			h.AddTestUser(name)
		}
		revoked, revokedSecret := h.AddTestToken("ann", "revoked")
		_, ofAnother := h.AddTestToken("ann", "laptop")
		_, ofGone := h.AddTestToken("gone", "laptop")
		refresh := h.RefreshToken("ann", passwordOf("ann"))
		if err := errors.Join(
			h.Revoke(t.Context(), operator, revoked.ID),
			h.Delete(t.Context(), operator, "gone", 0),
		); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Disable(t.Context(), operator, "off", 0); err != nil {
			t.Fatal(err)
		}
		if _, err := h.SetExpiry(t.Context(), operator, "over", h.Clock.Now().Add(time.Hour), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := h.AddUser(t.Context(), operator, accounts.NewUser{Name: "bare"}); err != nil {
			t.Fatal(err)
		}
		h.Clock.Pass(2 * time.Hour)

		elsewhere := refreshing(refresh)
		elsewhere.Registry = "other.example.com"
		for about, tt := range map[string]struct {
			shown  identity.Presented
			reason string
		}{
			"a wrong password":                    {presented("ann", "wrong"), "accounts: the password is wrong"},
			"an unknown name":                     {presented("nobody", "wrong"), "no source knows it"},
			"a disabled user":                     {presented("off", passwordOf("off")), "accounts: it is disabled"},
			"a user who has ended":                {presented("over", passwordOf("over")), "accounts: it expired 2026-11-23T13:00:00Z"},
			"a user without a password":           {presented("bare", "wrong"), "accounts: it has no password"},
			"a wrong directory password":          {presented("dora", "wrong"), "ldap:corp: the password is wrong"},
			"a revoked token":                     {presented("ann", revokedSecret), "there is no such token: it was revoked, or never issued"},
			"another's token":                     {presented("off", ofAnother), "the token belongs to somebody else"},
			"a token without an owner":            {presented("gone", ofGone), "there is no such token: it was revoked, or never issued"},
			"a refresh token of another registry": {elsewhere, "the refresh token is for another registry"},
		} {
			_, err := h.Chain.Authenticate(t.Context(), tt.shown)
			if !errors.Is(err, identity.ErrRejected) || err.Error() != identity.ErrRejected.Error() {
				t.Errorf("%s: the client gets %v", about, err)
			}
			if diff := cmp.Diff(tt.reason, identity.Reason(err)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", about, diff)
			}
		}
	})
}
