package accounts

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// maxClient bounds what is kept of a client's name, in bytes.
const maxClient = 100

// IssueRefresh makes a refresh token for who was verified by what was shown: for shown.Registry, as narrow as the
// credential, and void when that is. The zero Secret means that there is none for such a credential: only a password or a
// token that lasts can be exchanged, of somebody who can be found again.
//
// Docker, podman, crane, oras and others share one file of credentials, each under a client_id of its own: so the client is noted,
// and any may use the token. It would be no protection: each client says of itself what it is.
func (a *Accounts) IssueRefresh(ctx context.Context, shown identity.Credentials, who identity.Verified) (identity.Secret, error) {
	secret, err := a.issueRefresh(ctx, shown, who)
	if err != nil {
		return identity.Secret{}, fmt.Errorf("making a refresh token: %w", err)
	}
	return secret, nil
}

func (a *Accounts) issueRefresh(ctx context.Context, shown identity.Credentials, who identity.Verified) (identity.Secret, error) {
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

// errNoExchange means that nothing can be had for what was shown, or not any more.
var errNoExchange = errors.New("there is nothing to be had for this credential")

// exchange makes a token that stands for a password or a token that was found to be right, as narrow as that, and void when that is.
func (a *Accounts) exchange(ctx context.Context, t *Token, shown identity.Credentials, who identity.Verified) (identity.Secret, error) {
	p := who.Principal
	if shown.Kind != identity.Password && shown.Kind != identity.AccessToken || slices.ContainsFunc(p.Limits, unkeepable) {
		return identity.Secret{}, errNoExchange
	}
	var compared string   // the hash that the password was found to be of
	var generation string // of another source's password
	if p.Source != Source {
		// Not as it was a short while ago: a token must not be bound to a password that was changed since.
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
		if err := a.o.Hashing.Compare(ctx, r.hash, shown.Secret.Reveal()); err != nil { // remembered: it has just been done
			return identity.Secret{}, err
		}
		compared = r.hash
	}
	t.Owner, t.Limits = OwnerOf(p), p.Limits
	secret, d := newSecret(letterOf(t.Use))
	if shown.Kind == identity.Password && generation != "" {
		t.basis = fingerprint(secret, generation)
	}
	by := Actor{Principal: p, Remote: shown.Remote, Credential: who.Credential, Until: who.Until}
	err := a.handOut(ctx, by, func(tx *sql.Tx, kind string) (*journal.Change, error) {
		t.ID, t.Created = a.newID(), a.now()
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
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrChanged): // taken away while we looked, or a token of another source's
		return identity.Secret{}, errNoExchange
	case err != nil:
		return identity.Secret{}, err
	}
	return secret, nil
}

// stillGood looks again, in the transaction, at what the token will rest on: a password that is changed meanwhile must not
// leave a token behind that was made with the old one.
func (a *Accounts) stillGood(ctx context.Context, tx *sql.Tx, t *Token, shown identity.Credentials, compared string) error {
	if shown.Kind == identity.AccessToken {
		_, d, _ := parseSecret(shown.Secret.Reveal())
		made, err := a.findSecret(ctx, tx, d)
		if err != nil {
			return err
		}
		if end, err := a.rests(ctx, tx, &made); err != nil || past(end, a.o.Now()) {
			return cmp.Or(err, ErrNotFound)
		}
		if made.Owner.Source != t.Owner.Source || made.Owner.ID != t.Owner.ID {
			return ErrNotFound
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
		err = ErrChanged
	}
	return err
}

// makeRoom removes tokens that were not used for the longest time, where there are as many as one can have: a machine that signs in for
// each build leaves one each time. It returns how many. All processes forget what is warm then, so it removes a tenth of them: whoever
// signs in without end must not let everybody be cold each time.
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
			SELECT id FROM account_tokens WHERE owner_source = $1 AND owner_id = $2 AND purpose = $3
			ORDER BY CASE WHEN used > created THEN used ELSE created END, id LIMIT $4)`,
		o.Source, o.ID, string(use), n-a.most+max(1, a.most/10)))
	if err != nil {
		return 0, err
	}
	return gone, deleteOrphans(ctx, tx, o)
}

// unkeepable says whether a limit would not be the same after it was written down and read.
func unkeepable(l policy.Limit) bool { return l.Check() != nil }

// clean bounds what a client says of itself.
func clean(client string) string { return text.Shorten(text.Escape(client), maxClient) }
