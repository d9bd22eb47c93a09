package credentials_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/accounts/accountstest"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// An owner with the maximum number of tokens loses the least recently used tokens. The deleted
// tokens are invalid at once, although they were cached. In other processes, they are invalid
// after the next poll. A sign-in that deletes nothing clears no cache.
func TestEvictedTokensAreInvalidAtOnce(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		other := h.Open()
		const most = 5
		h.SetMaxTokens(most)
		h.Maintain(t.Context())
		maintain := other.Maintain(t.Context())
		h.AddTestUser("ann")
		var made []identity.Presented
		for range most {
			h.Clock.Pass(time.Second)
			c := refreshing(h.RefreshToken("ann", passwordOf("ann")))
			for what, a := range map[string]*accountstest.Process{"here": h.Process, "elsewhere": other} {
				_, err := a.Authenticate(t.Context(), c)
				is(t, what, err, nil)
			}
			made = append(made, c)
		}
		maintain()
		if h.Cached() != most+1 || other.Cached() != most {
			t.Fatalf("%d and %d are cached, want the password and %d tokens, and the tokens", h.Cached(), other.Cached(), most)
		}
		newest := refreshing(h.RefreshToken("ann", passwordOf("ann")))
		if got := h.SignIn(made[0]); got != "rejected" {
			t.Errorf("the evicted token: %s", got)
		}
		for _, c := range append(made[1:], newest) {
			if got := h.SignIn(c); got != "user:ann" {
				t.Errorf("another: %s", got)
			}
		}
		maintain()
		_, err := other.Authenticate(t.Context(), made[0])
		is(t, "the evicted token in another process", err, identity.ErrRejected)
	})
}

// If a token is deleted, the tokens that it created are deleted, too.
func TestChildrenOfEvictedTokensAreDeleted(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.SetMaxTokens(1)
		h.Maintain(t.Context())
		h.AddTestUser("ann")
		_, s := h.startSession("ann", passwordOf("ann"))
		_, made, err := h.AddToken(t.Context(), h.ActorOf(inSession(s)), credentials.NewToken{Name: "laptop"})
		is(t, "creating a token with a session", err, nil)
		if got := h.SignIn(presented("", made.Reveal())); got != "user:ann" {
			t.Fatalf("the token: %s", got)
		}
		h.startSession("ann", passwordOf("ann"))
		for what, c := range map[string]identity.Presented{"the session": inSession(s), "its token": presented("", made.Reveal())} {
			if got := h.SignIn(c); got != "rejected" {
				t.Errorf("%s, after another session took its place: %s", what, got)
			}
		}
	})
}

// The exchanged credential can be revoked after it was checked and before the new token is
// stored. Then no token is issued, because the token would outlive the credential.
func TestNoRefreshTokenForARevokedCredential(t *testing.T) {
	for what, meanwhile := range map[string]func(t *testing.T, other *accountstest.Process, token credentials.Token) error{
		"the password is changed": func(t *testing.T, other *accountstest.Process, _ credentials.Token) error {
			_, err := other.SetPassword(t.Context(), operator, "ann", identity.NewSecret("another horse of ann"), 0)
			return err
		},
		"the same password is set again": func(t *testing.T, other *accountstest.Process, _ credentials.Token) error {
			_, err := other.SetPassword(t.Context(), operator, "ann", identity.NewSecret(passwordOf("ann")), 0)
			return err
		},
		"the user is disabled": func(t *testing.T, other *accountstest.Process, _ credentials.Token) error {
			_, err := other.Disable(t.Context(), operator, "ann", 0)
			return err
		},
		"the user is deleted": func(t *testing.T, other *accountstest.Process, _ credentials.Token) error {
			return other.Delete(t.Context(), operator, "ann", 0)
		},
		"the token is revoked": func(t *testing.T, other *accountstest.Process, token credentials.Token) error {
			return other.Revoke(t.Context(), operator, token.ID)
		},
	} {
		t.Run(what, func(t *testing.T) {
			onEachDatabase(t, func(t *testing.T, h *harness) {
				other := h.Open()
				h.AddTestUser("ann")
				token, laptop := h.AddTestToken("ann", "laptop")
				secret := passwordOf("ann")
				if what == "the token is revoked" {
					secret = laptop
				}
				v, err := h.Chain.Authenticate(t.Context(), presented("ann", secret))
				if err != nil {
					t.Fatal(err)
				}
				once := false
				h.SetWrite(func(real accountstest.Write) accountstest.Write {
					return func(ctx context.Context, topic string, f func(*sql.Tx) error) error {
						if !once {
							once = true
							if err := meanwhile(t, other, token); err != nil {
								t.Error(err)
							}
						}
						return real(ctx, topic, f)
					}
				})
				got, err := h.IssueRefresh(t.Context(), presented("ann", secret), v)
				if got.Reveal() != "" {
					t.Errorf("a refresh token was issued (%v)", err)
				}
				if !once {
					t.Error("the exchange wrote nothing")
				}
			})
		})
	}
}

// A sign-in with a bcrypt hash replaces the hash. A concurrent password change wins. Suppose that
// a user changes a password because somebody else knows it. A sign-in of that person must not undo
// the change.
func TestRehashDoesNotUndoAPasswordChange(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		other := h.Open()
		hash, err := bcrypt.GenerateFromPassword([]byte(passwordOf("ann")), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.AddUser(t.Context(), operator, accounts.NewUser{Name: "ann", Hash: identity.NewSecret(string(hash))}); err != nil {
			t.Fatal(err)
		}
		const changed = "another horse of ann"
		once := false
		h.SetWrite(func(real accountstest.Write) accountstest.Write {
			return func(ctx context.Context, topic string, f func(*sql.Tx) error) error {
				if !once {
					once = true
					if _, err := other.SetPassword(ctx, operator, "ann", identity.NewSecret(changed), 0); err != nil {
						t.Error(err)
					}
				}
				return real(ctx, topic, f)
			}
		})
		// The password is changed after a sign-in has read the old hash.
		_, _ = h.Authenticate(t.Context(), presented("ann", passwordOf("ann")))
		if !once {
			t.Fatal("no hash was replaced")
		}
		_, err = other.Authenticate(t.Context(), presented("ann", passwordOf("ann")))
		is(t, "the old password", err, identity.ErrRejected)
		_, err = other.Authenticate(t.Context(), presented("ann", changed))
		is(t, "the new password", err, nil)
	})
}
