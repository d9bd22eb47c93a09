package credentials_test

import (
	"database/sql"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
)

// Earlier versions called sources of the kinds webhook and exec external:NAME. Tokens and sign-ins
// that are stored under the former name stay valid and belong to the same user.
func TestFormerNameOfASourceIsAccepted(t *testing.T) {
	for _, source := range []string{"webhook:shop", "exec:shop"} {
		onEachDatabase(t, func(t *testing.T, h *harness) {
			h.Directory.Name = source
			h.Chain = chain.New(chain.Options{Sources: []identity.Source{
				{Name: accounts.Source, Authenticator: h.Accounts, Kinds: accounts.Kinds()},
				{Name: source, Authenticator: h.Directory, Remote: true},
			}})
			dora := credentials.Owner{Source: source, Name: "dora"}
			refresh := h.RefreshToken("dora", "directory password")
			old, access, err := h.AddToken(t.Context(), operator, credentials.NewToken{Owner: dora, Name: "laptop"})
			is(t, "a token", err, nil)
			err = h.DB.Write(t.Context(), "", func(tx *sql.Tx) error {
				_, err := tx.ExecContext(t.Context(), "UPDATE account_tokens SET owner_source = 'external:shop' WHERE owner_source = $1", source)
				return err
			})
			is(t, "storing the former name", err, nil)
			h.Forget()

			byToken := h.RefreshToken("dora", access.Reveal())
			for what, c := range map[string]identity.Presented{
				"refresh token": refreshing(refresh), "access token": presented("dora", access.Reveal()),
				"refresh token for the access token": refreshing(byToken),
			} {
				if got := h.SignIn(c); got != "user:dora" {
					t.Errorf("%s: the %s: %s", source, what, got)
				}
			}
			self := h.ActorOf(presented("dora", "directory password"))
			owner := credentials.OwnerOf(self.Principal)
			if list, _, err := h.Tokens(t.Context(), self, owner, admin.Page{}); err != nil || len(list) != 3 {
				t.Errorf("%s: the user's own tokens: %d, %v", source, len(list), err)
			}
			if list, _, err := h.Tokens(t.Context(), operator, credentials.Owner{Source: "external:shop", Name: "dora"}, admin.Page{}); err != nil || len(list) != 2 {
				t.Errorf("%s: the tokens of the former name: %d, %v", source, len(list), err)
			}
			is(t, "revoking one's own token", h.Revoke(t.Context(), self, old.ID), nil)
			if n, err := h.RevokeAll(t.Context(), operator, dora, ""); err != nil || n != 1 {
				t.Errorf("%s: %d revoked, %v", source, n, err)
			}
			if got := h.SignIn(refreshing(refresh)); got != "rejected" {
				t.Errorf("%s: the revoked refresh token: %s", source, got)
			}
		})
	}
}

// The names of a user's access tokens are unique, even if one of the tokens is stored under the
// former name of the source. The names must be unique, because the journal identifies an actor's
// credential by the name of its token.
func TestTokenNamesAreUniqueOverTheFormerName(t *testing.T) {
	for _, source := range []string{"webhook:shop", "exec:shop"} {
		onEachDatabase(t, func(t *testing.T, h *harness) {
			h.Directory.Name = source
			h.Chain = chain.New(chain.Options{Sources: []identity.Source{
				{Name: accounts.Source, Authenticator: h.Accounts, Kinds: accounts.Kinds()},
				{Name: source, Authenticator: h.Directory, Remote: true},
			}})
			self := h.ActorOf(presented("dora", "directory password"))
			first, secret, err := h.AddToken(t.Context(), self, credentials.NewToken{Name: "laptop"})
			is(t, "a token", err, nil)
			err = h.DB.Write(t.Context(), "", func(tx *sql.Tx) error {
				_, err := tx.ExecContext(t.Context(), "UPDATE account_tokens SET owner_source = 'external:shop'")
				return err
			})
			is(t, "storing the former name", err, nil)
			h.Forget()

			_, _, err = h.AddToken(t.Context(), self, credentials.NewToken{Name: "laptop"})
			is(t, "another token of the same name", err, admin.ErrExists)
			by := h.ActorOf(presented("dora", secret.Reveal()))
			child, _, err := h.AddToken(t.Context(), by, credentials.NewToken{Name: "child"})
			if is(t, "a token created with the first token", err, nil); child.Parent != first.ID {
				t.Errorf("%s: its parent is %q, want %q", source, child.Parent, first.ID)
			}
			h.RefreshToken("dora", "directory password") // only names of access tokens are unique
			h.RefreshToken("dora", "directory password")
			is(t, "the token revokes itself", h.Revoke(t.Context(), by, first.ID), nil)
			_, _, err = h.AddToken(t.Context(), self, credentials.NewToken{Name: "laptop"})
			is(t, "a new token with the name of the revoked token", err, nil)
		})
	}
}
