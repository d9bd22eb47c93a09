package credentials

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/sourcename"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// maxClient is the maximum length of a stored client name in bytes.
const maxClient = 100

// IssueRefresh issues a refresh token for a verified credential. The token is valid for
// presented.Registry, has the restrictions of the credential, and becomes invalid when the
// credential becomes invalid. Only passwords, access tokens and robot secrets can be exchanged,
// and only if the source can look up the owner. For other credentials, IssueRefresh returns the
// zero Secret.
//
// The client name is stored, but any client may use the token. Docker, podman, crane, oras and
// others share one credentials file, but each has a different client_id. A check of the client
// would not protect the token, because a client can send any name.
func (c *Credentials) IssueRefresh(ctx context.Context, presented identity.Presented, who identity.Verified) (_ identity.Secret, err error) {
	defer admin.Wrap(&err, "issuing a refresh token")
	p := who.Principal
	if p == nil || p.Kind != policy.User && p.Kind != policy.Robot || presented.Registry == "" {
		return identity.Secret{}, nil
	}
	t := Token{Purpose: Refresh, Registry: presented.Registry, Client: cleanClientName(presented.Client), Expires: who.Until}
	secret, err := c.exchange(ctx, &t, presented, who)
	if errors.Is(err, errNoExchange) {
		return identity.Secret{}, nil
	}
	return secret, err
}

// errNoExchange means that the credential cannot be exchanged for a token, or can no longer be
// exchanged.
var errNoExchange = errors.New("this credential cannot be exchanged for a token")

// exchange issues a token in exchange for a verified credential. The token has the restrictions
// of the credential and becomes invalid when the credential becomes invalid.
func (c *Credentials) exchange(ctx context.Context, t *Token, presented identity.Presented, who identity.Verified) (identity.Secret, error) {
	p := who.Principal
	if presented.Kind != identity.Password && presented.Kind != identity.AccessToken || slices.ContainsFunc(p.Limits, changesWhenStored) {
		return identity.Secret{}, errNoExchange
	}
	var compared string   // the local hash that the password matched
	var generation string // of a password in another source
	if p.Source != admin.AccountsSource {
		// Do not use the cache, because a cached owner can have the generation of an older
		// password.
		owner, err := c.findOwnerUncached(ctx, OwnerOf(p))
		if errors.Is(err, identity.ErrUnknown) {
			return identity.Secret{}, errNoExchange
		} else if err != nil {
			return identity.Secret{}, err
		}
		generation = cmp.Or(who.Generation, owner.generation)
	} else if presented.Kind == identity.Password {
		owner, err := c.o.Local.Owner(ctx, c.writer.DB.Read(), OwnerOf(p), c.writer.Now())
		if err != nil {
			return identity.Secret{}, err
		}
		// This comparison is usually fast, because the password has just been compared, and
		// Hashing remembers the result.
		if err := c.o.Hashing.Compare(ctx, owner.Hash, presented.Secret.Reveal()); err != nil {
			return identity.Secret{}, err
		}
		compared = owner.Hash
	}
	t.Owner, t.Limits = OwnerOf(p), p.Limits
	secret, d := newSecret(t.Purpose)
	if presented.Kind == identity.Password && generation != "" {
		t.basis = fingerprint(secret, generation)
	}
	by := admin.Actor{Principal: p, Remote: presented.Remote, Credential: who.Credential, Until: who.Until}
	err := c.Issue(ctx, by, func(tx *sql.Tx, revokes bool) (*journal.Change, error) {
		t.ID, t.Created = c.writer.NewID(), c.writer.Time()
		if err := c.checkExchanged(ctx, tx, t, presented, compared); err != nil {
			return nil, err
		}
		change := &journal.Change{Action: string(t.Purpose) + ".add", Target: t.Owner.String(), To: journalForm(t)}
		evicted, err := c.evictTokens(ctx, tx, revokes, t.Owner, t.Purpose)
		if err != nil {
			return nil, err
		}
		if evicted > 0 {
			change.From = map[string]any{"revoked": evicted}
		}
		return change, insertToken(ctx, tx, t, d)
	})
	switch {
	// The credential was revoked in the meantime, or the token belongs to another source.
	case errors.Is(err, admin.ErrNotFound), errors.Is(err, admin.ErrChanged):
		return identity.Secret{}, errNoExchange
	case err != nil:
		return identity.Secret{}, err
	}
	return secret, nil
}

// checkExchanged checks the exchanged credential again in the transaction. After a concurrent
// password change, there must be no token that was issued for the old password.
func (c *Credentials) checkExchanged(ctx context.Context, tx *sql.Tx, t *Token, presented identity.Presented, compared string) error {
	if presented.Kind == identity.AccessToken {
		_, d, _ := secret.Parse(presented.Secret.Reveal())
		exchanged, err := c.findSecret(ctx, tx, d)
		if err != nil {
			return err
		}
		if end, err := c.parentExpiry(ctx, tx, &exchanged); err != nil || admin.Expired(end, c.writer.Now()) {
			return cmp.Or(err, admin.ErrNotFound)
		}
		if !sourcename.Same(exchanged.Owner.Source, t.Owner.Source) || exchanged.Owner.ID != t.Owner.ID {
			return admin.ErrNotFound
		}
		t.Parent, t.Expires = exchanged.ID, earlierExpiry(t.Expires, exchanged.Expires)
	}
	if t.Owner.Source != admin.AccountsSource {
		return nil
	}
	owner, err := c.o.Local.Lock(ctx, tx, t.Owner.ID, c.writer.Now())
	if err == nil && (owner.Ended != "" || compared != "" && owner.Hash != compared) {
		err = admin.ErrChanged
	}
	return err
}

// If the owner has the maximum number of tokens, evictTokens deletes the least recently used
// tokens, and returns the number of deleted tokens. For example, an owner has many tokens if a
// machine signs in for each build, because each sign-in creates a token. When tokens are deleted,
// all processes clear their caches. So evictTokens deletes a tenth of the tokens at once.
// Otherwise frequent sign-ins of one owner would clear the caches all the time.
func (c *Credentials) evictTokens(ctx context.Context, tx *sql.Tx, revokes bool, o Owner, purpose Purpose) (int, error) {
	n, err := count(ctx, tx, o, purpose)
	if err != nil || n < c.maxTokens {
		return 0, err
	}
	if !revokes {
		return 0, errRevokes
	}
	evicted, err := store.Affected(tx.ExecContext(ctx, `
		DELETE FROM account_tokens WHERE id IN (
			SELECT id FROM account_tokens WHERE owner_source IN ($1, $5) AND owner_id = $2 AND purpose = $3
			ORDER BY CASE WHEN used > created THEN used ELSE created END, id LIMIT $4)`,
		o.Source, o.ID, string(purpose), n-c.maxTokens+max(1, c.maxTokens/10), sourcename.Former(o.Source)))
	if err != nil {
		return 0, err
	}
	return evicted, deleteOrphans(ctx, tx, o)
}

// changesWhenStored reports whether a limit would be different after it is stored and read.
func changesWhenStored(l policy.Limit) bool { return l.Check() != nil }

// cleanClientName makes a client name safe to print, and shortens it.
func cleanClientName(client string) string { return text.Shorten(text.Escape(client), maxClient) }
