package accounts_test

import (
	"database/sql"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
)

// Sources of the kinds webhook and exec were called external:NAME. What is stored under that name
// stays valid and still belongs to the same user.
func TestAUserKeepsWhatIsStoredUnderTheFormerNameOfTheSource(t *testing.T) {
	for _, source := range []string{"webhook:shop", "exec:shop"} {
		each(t, func(t *testing.T, h *house) {
			h.directory.Name = source
			h.chain = identity.NewChain(identity.Options{Sources: []identity.Source{
				{Name: accounts.Source, Authenticator: h.Accounts, Kinds: accounts.Kinds()},
				{Name: source, Authenticator: h.directory, Remote: true},
			}})
			dora := accounts.Owner{Source: source, Name: "dora"}
			refresh := h.refresh("dora", "directory password")
			old, access, err := h.AddToken(t.Context(), operator, accounts.NewToken{Owner: dora, Name: "laptop"})
			is(t, "a token", err, nil)
			err = h.db.Write(t.Context(), "", func(tx *sql.Tx) error {
				_, err := tx.ExecContext(t.Context(), "UPDATE account_tokens SET owner_source = 'external:shop' WHERE owner_source = $1", source)
				return err
			})
			is(t, "storing the former name", err, nil)
			h.Forget()

			byToken := h.refresh("dora", access.Reveal())
			for what, c := range map[string]identity.Presented{
				"refresh token": refreshing(refresh), "access token": shown("dora", access.Reveal()),
				"refresh token for the access token": refreshing(byToken),
			} {
				if got := h.enters(c); got != "user:dora" {
					t.Errorf("%s: the %s: %s", source, what, got)
				}
			}
			self := h.as(shown("dora", "directory password"))
			owner := accounts.OwnerOf(self.Principal)
			if list, _, err := h.Tokens(t.Context(), self, owner, accounts.Page{}); err != nil || len(list) != 3 {
				t.Errorf("%s: the user's own tokens: %d, %v", source, len(list), err)
			}
			if list, _, err := h.Tokens(t.Context(), operator, accounts.Owner{Source: "external:shop", Name: "dora"}, accounts.Page{}); err != nil || len(list) != 2 {
				t.Errorf("%s: the tokens of the former name: %d, %v", source, len(list), err)
			}
			is(t, "revoking one's own token", h.Revoke(t.Context(), self, old.ID), nil)
			if n, err := h.RevokeAll(t.Context(), operator, dora, ""); err != nil || n != 1 {
				t.Errorf("%s: %d revoked, %v", source, n, err)
			}
			if got := h.enters(refreshing(refresh)); got != "rejected" {
				t.Errorf("%s: the revoked refresh token: %s", source, got)
			}
		})
	}
}
