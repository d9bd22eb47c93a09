package accounts_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
)

// Clients get the same answer for every refusal. The journal gets the true reason.
func TestTheTrueReasonOfARefusalIsForTheJournal(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for _, name := range []string{"ann", "off", "over", "gone"} {
			h.user(name)
		}
		revoked, revokedSecret := h.token("ann", "revoked")
		_, ofAnother := h.token("ann", "laptop")
		_, ofGone := h.token("gone", "laptop")
		refresh := h.refresh("ann", secretOf("ann"))
		if err := errors.Join(
			h.Revoke(t.Context(), operator, revoked.ID),
			h.Delete(t.Context(), operator, "gone", 0),
		); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Disable(t.Context(), operator, "off", 0); err != nil {
			t.Fatal(err)
		}
		if _, err := h.SetExpiry(t.Context(), operator, "over", h.clock.Now().Add(time.Hour), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := h.AddUser(t.Context(), operator, accounts.NewUser{Name: "bare"}); err != nil {
			t.Fatal(err)
		}
		h.clock.add(2 * time.Hour)

		elsewhere := refreshing(refresh)
		elsewhere.Registry = "other.example.com"
		for about, tt := range map[string]struct {
			shown  identity.Presented
			reason string
		}{
			"a wrong password":           {shown("ann", "wrong"), "accounts: the password is wrong"},
			"an unknown name":            {shown("nobody", "wrong"), "no source knows it"},
			"a disabled user":            {shown("off", secretOf("off")), "accounts: it is disabled"},
			"a user who has ended":       {shown("over", secretOf("over")), "accounts: it expired 2026-11-23T13:00:00Z"},
			"a user without a password":  {shown("bare", "wrong"), "accounts: it has no password"},
			"a wrong directory password": {shown("dora", "wrong"), "ldap:corp: the password is wrong"},
			"a revoked token":            {shown("ann", revokedSecret), "there is no such token: it was revoked, or never issued"},
			"another's token":            {shown("off", ofAnother), "the token belongs to somebody else"},
			"a token without an owner":   {shown("gone", ofGone), "there is no such token: it was revoked, or never issued"},
			"a token of another place":   {elsewhere, "the refresh token is for another registry"},
		} {
			_, err := h.chain.Authenticate(t.Context(), tt.shown)
			if !errors.Is(err, identity.ErrRejected) || err.Error() != identity.ErrRejected.Error() {
				t.Errorf("%s: the client gets %v", about, err)
			}
			if diff := cmp.Diff(tt.reason, identity.Reason(err)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", about, diff)
			}
		}
	})
}
