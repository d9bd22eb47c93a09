package credentials_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// A token that was issued for a password of another source becomes invalid when the password is
// changed in that source. This also applies to local passwords. Access tokens and their
// descendants stay valid.
func TestPasswordChangeInAnotherSourceEndsRefreshTokens(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.Maintain(t.Context()) // so that credentials are cached
		h.Directory.Generations = map[string]string{"dora": "first"}
		refresh := h.RefreshToken("dora", "directory password")
		_, session := h.startSession("dora", "directory password")
		_, access, err := h.AddToken(t.Context(), operator, credentials.NewToken{Owner: credentials.Owner{Source: "ldap:corp", Name: "dora"}, Name: "laptop"})
		is(t, "a token", err, nil)
		byToken := h.RefreshToken("dora", access.Reveal())
		want := func(when string, want map[string]bool) {
			t.Helper()
			for what, c := range map[string]identity.Presented{
				"the refresh token": refreshing(refresh), "the refresh token by Basic": presented("<token>", refresh), "the session": inSession(session),
				"the access token": presented("dora", access.Reveal()), "the refresh token exchanged for the access token": refreshing(byToken),
			} {
				allowed := want["all"] || strings.Contains(what, "access token") || strings.Contains(what, "exchanged")
				if got := h.SignIn(c); got == "user:dora" != allowed {
					t.Errorf("%s: %s: %s", when, what, got)
				}
			}
		}
		for range 2 {
			want("before", map[string]bool{"all": true})
		}
		h.Directory.Generations["dora"] = "second"
		for range 2 {
			want("after the change", nil)
		}
		h.Directory.Generations["dora"] = "first" // as after a file is restored
		want("after the change was undone", map[string]bool{"all": true})
		delete(h.Directory.Generations, "dora") // the directory no longer has generations
		want("while the source has no generations", map[string]bool{"all": true})
	})
}

// If the password is changed between its check and the exchange, no token is issued.
func TestPasswordChangeInAnotherSourceDuringExchange(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.Directory.Generations = map[string]string{"dora": "first"}
		c := presented("dora", "directory password")
		v, err := h.Chain.Authenticate(t.Context(), c)
		is(t, "signing in", err, nil)
		h.Directory.Generations["dora"] = "second"
		secret, err := h.IssueRefresh(t.Context(), c, v)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.SignIn(refreshing(secret.Reveal())); got != "rejected" {
			t.Errorf("the token for the old password: %s", got)
		}
	})
}

// A token that was created before its source had generations has no fingerprint. The token
// becomes invalid when the source gets generations. The fingerprint does not contain the
// generation.
func TestTokenWithoutAFingerprint(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		unbound := h.RefreshToken("dora", "directory password")
		if got := h.SignIn(refreshing(unbound)); got != "user:dora" {
			t.Errorf("before the source has generations: %s", got)
		}
		h.Directory.Generations = map[string]string{"dora": "canary of a generation"}
		if got := h.SignIn(refreshing(unbound)); got != "rejected" {
			t.Errorf("when the source has generations: %s", got)
		}
		first, second := h.RefreshToken("dora", "directory password"), h.RefreshToken("dora", "directory password")
		if h.SignIn(refreshing(first)) != "user:dora" || h.SignIn(refreshing(second)) != "user:dora" {
			t.Error("two tokens of the same generation have the same fingerprint")
		}
		seen := make(map[string]bool)
		for _, row := range h.allContents() {
			if strings.Contains(row, "canary") {
				t.Errorf("a generation is stored: %s", row)
			}
			seen[row] = true
		}
		h.Directory.Fail(errors.New("the wire is cut"))
		h.Clock.Pass(time.Minute)
		if got := h.SignIn(refreshing(first)); got == "user:dora" || got == "rejected" {
			t.Errorf("an outage: %s", got)
		}
	})
}
