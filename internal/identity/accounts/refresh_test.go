package accounts_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
)

// An owner with the maximum number of tokens loses the least recently used ones. They are invalid
// at once although they were cached, and in other processes at the next poll. A sign-in that
// deletes nothing clears no cache.
func TestWhatMakesRoomIsForgotten(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		other, err := accounts.Open(h.options)
		if err != nil {
			t.Fatal(err)
		}
		const most = 5
		h.SetMost(most)
		h.Tend(t.Context())
		tend := other.Tend(t.Context())
		h.user("ann")
		var made []identity.Presented
		for range most {
			h.clock.add(time.Second)
			c := refreshing(h.refresh("ann", secretOf("ann")))
			for what, a := range map[string]*accounts.Accounts{"here": h.Accounts, "elsewhere": other} {
				_, err := a.Authenticate(t.Context(), c)
				is(t, what, err, nil)
			}
			made = append(made, c)
		}
		tend()
		if h.Warm() != most+1 || other.Warm() != most {
			t.Fatalf("%d and %d are warm, want the password and %d tokens, and the tokens", h.Warm(), other.Warm(), most)
		}
		newest := refreshing(h.refresh("ann", secretOf("ann")))
		if got := h.enters(made[0]); got != "rejected" {
			t.Errorf("the one that made room: %s", got)
		}
		for _, c := range append(made[1:], newest) {
			if got := h.enters(c); got != "user:ann" {
				t.Errorf("another: %s", got)
			}
		}
		tend()
		_, err = other.Authenticate(t.Context(), made[0])
		is(t, "the one that made room, elsewhere", err, identity.ErrRejected)
	})
}

// Tokens created with a deleted token are deleted too.
func TestWhatMakesRoomTakesItsOwnWithIt(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.SetMost(1)
		h.Tend(t.Context())
		h.user("ann")
		_, s := h.session("ann", secretOf("ann"))
		_, made, err := h.AddToken(t.Context(), h.as(inSession(s)), accounts.NewToken{Name: "laptop"})
		is(t, "a token by a session", err, nil)
		if got := h.enters(shown("", made.Reveal())); got != "user:ann" {
			t.Fatalf("the token: %s", got)
		}
		h.session("ann", secretOf("ann"))
		for what, c := range map[string]identity.Presented{"the session": inSession(s), "its token": shown("", made.Reveal())} {
			if got := h.enters(c); got != "rejected" {
				t.Errorf("%s, after another session took its place: %s", what, got)
			}
		}
	})
}

// The exchanged credential may be revoked after the check and before the new token is stored.
// Then no token is issued: it would outlive the credential.
func TestNoRefreshTokenIsMadeOfWhatIsTakenAwayMeanwhile(t *testing.T) {
	for what, meanwhile := range map[string]func(t *testing.T, other *accounts.Accounts, token accounts.Token) error{
		"the password is changed": func(t *testing.T, other *accounts.Accounts, _ accounts.Token) error {
			_, err := other.SetPassword(t.Context(), operator, "ann", identity.NewSecret("another horse of ann"), 0)
			return err
		},
		"the password is set to the same": func(t *testing.T, other *accounts.Accounts, _ accounts.Token) error {
			_, err := other.SetPassword(t.Context(), operator, "ann", identity.NewSecret(secretOf("ann")), 0)
			return err
		},
		"the user is disabled": func(t *testing.T, other *accounts.Accounts, _ accounts.Token) error {
			_, err := other.Disable(t.Context(), operator, "ann", 0)
			return err
		},
		"the user is deleted": func(t *testing.T, other *accounts.Accounts, _ accounts.Token) error {
			return other.Delete(t.Context(), operator, "ann", 0)
		},
		"the token is revoked": func(t *testing.T, other *accounts.Accounts, token accounts.Token) error {
			return other.Revoke(t.Context(), operator, token.ID)
		},
	} {
		t.Run(what, func(t *testing.T) {
			each(t, func(t *testing.T, h *house) {
				other, err := accounts.Open(h.options)
				if err != nil {
					t.Fatal(err)
				}
				h.user("ann")
				token, laptop := h.token("ann", "laptop")
				secret := secretOf("ann")
				if what == "the token is revoked" {
					secret = laptop
				}
				v, err := h.chain.Authenticate(t.Context(), shown("ann", secret))
				if err != nil {
					t.Fatal(err)
				}
				once := false
				h.SetWrite(func(real accounts.Write) accounts.Write {
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
				got, err := h.IssueRefresh(t.Context(), shown("ann", secret), v)
				if got.Reveal() != "" {
					t.Errorf("a refresh token was made (%v)", err)
				}
				if !once {
					t.Error("nothing was written")
				}
			})
		})
	}
}

// A sign-in with a bcrypt hash replaces the hash. A concurrent password change wins: a user who
// changes a password because somebody else knows it must not lose the change to that person's
// sign-in.
func TestARehashDoesNotUndoAChangedPassword(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		other, err := accounts.Open(h.options)
		if err != nil {
			t.Fatal(err)
		}
		hash, err := bcrypt.GenerateFromPassword([]byte(secretOf("ann")), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.AddUser(t.Context(), operator, accounts.NewUser{Name: "ann", Hash: identity.NewSecret(string(hash))}); err != nil {
			t.Fatal(err)
		}
		const changed = "another horse of ann"
		once := false
		h.SetWrite(func(real accounts.Write) accounts.Write {
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
		_, _ = h.Authenticate(t.Context(), shown("ann", secretOf("ann"))) // right when it was read
		if !once {
			t.Fatal("nothing was rehashed")
		}
		_, err = other.Authenticate(t.Context(), shown("ann", secretOf("ann")))
		is(t, "the old password", err, identity.ErrRejected)
		_, err = other.Authenticate(t.Context(), shown("ann", changed))
		is(t, "the new one", err, nil)
	})
}
