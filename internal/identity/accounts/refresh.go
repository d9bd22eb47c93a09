package accounts

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// maxClient is the maximum length of a stored client name in bytes.
const maxClient = 100

// IssueRefresh issues a refresh token for a verified credential. The token is valid at
// shown.Registry, has the restrictions of the credential, and is invalid as soon as the
// credential is. IssueRefresh returns the zero Secret if the credential cannot be exchanged: only
// passwords, access tokens and robot secrets can, and only if their source can look up the owner.
//
// The client name is stored, but any client may use the token. Docker, podman, crane, oras and
// others share one credentials file, each with a client_id of its own. Checking the client would
// not protect the token either, because a client can claim any name.
func (a *Accounts) IssueRefresh(ctx context.Context, shown identity.Presented, who identity.Verified) (_ identity.Secret, err error) {
	defer admin.Wrap(&err, "issuing a refresh token")
	p := who.Principal
	if p == nil || p.Kind != policy.User && p.Kind != policy.Robot || shown.Registry == "" {
		return identity.Secret{}, nil
	}
	t := Token{Use: Refresh, Registry: shown.Registry, Client: clean(shown.Client), Expires: who.Until}
	secret, err := a.exchange(ctx, &t, shown, who)
	if errors.Is(err, errNoExchange) {
		return identity.Secret{}, nil
	}
	return secret, err
}

// errNoExchange means that the credential cannot be exchanged for a token, or not any more.
var errNoExchange = errors.New("this credential cannot be exchanged for a token")

// exchange issues a token in exchange for a verified password or access token. It has the
// restrictions of that credential and is invalid as soon as the credential is.
func (a *Accounts) exchange(ctx context.Context, t *Token, shown identity.Presented, who identity.Verified) (identity.Secret, error) {
	p := who.Principal
	if shown.Kind != identity.Password && shown.Kind != identity.AccessToken || slices.ContainsFunc(p.Limits, unkeepable) {
		return identity.Secret{}, errNoExchange
	}
	var compared string   // the local hash that the password matched
	var generation string // of a password in another source
	if p.Source != Source {
		// Bypass the cache: the token must not be bound to a password that has been changed since.
		s, err := a.afresh(ctx, OwnerOf(p))
		if errors.Is(err, identity.ErrUnknown) {
			return identity.Secret{}, errNoExchange
		} else if err != nil {
			return identity.Secret{}, err
		}
		if generation = who.Generation; generation == "" {
			generation = s.generation
		}
	} else if shown.Kind == identity.Password {
		r, err := findID(ctx, a.o.DB.Read(), p.ID)
		if err != nil {
			return identity.Secret{}, err
		}
		// The result is remembered: the password has just been compared.
		if err := a.o.Hashing.Compare(ctx, r.hash, shown.Secret.Reveal()); err != nil {
			return identity.Secret{}, err
		}
		compared = r.hash
	}
	t.Owner, t.Limits = OwnerOf(p), p.Limits
	secret, d := newSecret(letterOf(t.Use))
	if shown.Kind == identity.Password && generation != "" {
		t.basis = fingerprint(secret, generation)
	}
	by := admin.Actor{Principal: p, Remote: shown.Remote, Credential: who.Credential, Until: who.Until}
	err := a.handOut(ctx, by, func(tx *sql.Tx, kind string) (*journal.Change, error) {
		t.ID, t.Created = a.writer.NewID(), a.writer.Time()
		if err := a.stillGood(ctx, tx, t, shown, compared); err != nil {
			return nil, err
		}
		note := &journal.Change{Action: string(t.Use) + ".add", Target: t.Owner.String(), To: noted(t)}
		gone, err := a.makeRoom(ctx, tx, kind, t.Owner, t.Use)
		if err != nil {
			return nil, err
		}
		if gone > 0 {
			note.From = map[string]any{"revoked": gone}
		}
		return note, insertToken(ctx, tx, t, d)
	})
	switch {
	// The credential was revoked meanwhile, or the token belongs to another source.
	case errors.Is(err, admin.ErrNotFound), errors.Is(err, admin.ErrChanged):
		return identity.Secret{}, errNoExchange
	case err != nil:
		return identity.Secret{}, err
	}
	return secret, nil
}

// stillGood checks the exchanged credential again in the transaction. A concurrent password
// change must not leave behind a token that was issued for the old password.
func (a *Accounts) stillGood(ctx context.Context, tx *sql.Tx, t *Token, shown identity.Presented, compared string) error {
	if shown.Kind == identity.AccessToken {
		_, d, _ := parseSecret(shown.Secret.Reveal())
		made, err := a.findSecret(ctx, tx, d)
		if err != nil {
			return err
		}
		if end, err := a.rests(ctx, tx, &made); err != nil || past(end, a.o.Now()) {
			return cmp.Or(err, admin.ErrNotFound)
		}
		if !identity.SameSource(made.Owner.Source, t.Owner.Source) || made.Owner.ID != t.Owner.ID {
			return admin.ErrNotFound
		}
		t.Parent, t.Expires = made.ID, sooner(t.Expires, made.Expires)
	}
	if t.Owner.Source != Source {
		return nil
	}
	if err := hold(ctx, tx, t.Owner.ID); err != nil {
		return err
	}
	r, err := findID(ctx, tx, t.Owner.ID)
	if err == nil && (!r.live(a.o.Now()) || compared != "" && r.hash != compared) {
		err = admin.ErrChanged
	}
	return err
}

// makeRoom deletes the least recently used tokens if the owner has the maximum number, and
// returns how many. A machine that signs in for each build leaves a token each time. Deleting
// clears the caches of all processes. So it deletes a tenth at once: frequent sign-ins of one
// owner must not keep the caches empty for everybody.
func (a *Accounts) makeRoom(ctx context.Context, tx *sql.Tx, kind string, o Owner, use Use) (int, error) {
	n, err := count(ctx, tx, o, use)
	if err != nil || n < a.most {
		return 0, err
	}
	if kind != altered {
		return 0, errVoids
	}
	gone, err := store.Affected(tx.ExecContext(ctx, `
		DELETE FROM account_tokens WHERE id IN (
			SELECT id FROM account_tokens WHERE owner_source IN ($1, $5) AND owner_id = $2 AND purpose = $3
			ORDER BY CASE WHEN used > created THEN used ELSE created END, id LIMIT $4)`,
		o.Source, o.ID, string(use), n-a.most+max(1, a.most/10), identity.FormerSource(o.Source)))
	if err != nil {
		return 0, err
	}
	return gone, deleteOrphans(ctx, tx, o)
}

// unkeepable reports whether a limit would change when it is stored and read.
func unkeepable(l policy.Limit) bool { return l.Check() != nil }

// clean makes a client name safe to print and shortens it.
func clean(client string) string { return text.Shorten(text.Escape(client), maxClient) }
