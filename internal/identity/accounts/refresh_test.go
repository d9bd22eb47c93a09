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

// Where one has as many tokens as one can have, those that were not used for the longest time make room. They are void at once, though they
// were good a moment ago, and in other processes when they look. A sign-in that removes nothing lets nobody be cold.
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
		var made []identity.Credentials
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

// What a token that makes room was exchanged for is void with it.
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
		for what, c := range map[string]identity.Credentials{"the session": inSession(s), "its token": shown("", made.Reveal())} {
			if got := h.enters(c); got != "rejected" {
				t.Errorf("%s, after another session took its place: %s", what, got)
			}
		}
	})
}

// What a refresh token rests on may be taken away after it was found to be good, and before the token is kept: no token
// is made of it then, or it would outlive what it stands for.
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

// A sign-in with a bcrypt hash replaces it. A password that is changed meanwhile stays changed: whoever changes one because
// somebody else knows it must not be undone by that other's sign-in.
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
		_, _ = h.Authenticate(t.Context(), shown("ann", secretOf("ann"))) // which was right when it was looked at
		if !once {
			t.Fatal("nothing was rehashed")
		}
		_, err = other.Authenticate(t.Context(), shown("ann", secretOf("ann")))
		is(t, "the old password", err, identity.ErrRejected)
		_, err = other.Authenticate(t.Context(), shown("ann", changed))
		is(t, "the new one", err, nil)
	})
}
