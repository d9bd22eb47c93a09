package credentials

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/sourcename"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Limits of the tokens of one owner.
const (
	maxTokens = 1000 // tokens for each purpose; tests use fewer
	maxLimits = 50   // limits of one token
	maxNames  = 200  // names in all limits of one token
)

// AddToken creates an access token and returns its secret.
func (c *Credentials) AddToken(ctx context.Context, by admin.Actor, n NewToken) (_ Token, _ identity.Secret, err error) {
	defer admin.Wrap(&err, "creating token %.80q", n.Name)
	own := n.Owner == Owner{} || n.Owner.Is(by)
	if !own {
		if err := c.rights.Require(by, admin.RightAccounts, scope.Write); err != nil {
			return Token{}, identity.Secret{}, err
		}
		owner, err := c.principal(ctx, c.writer.DB.Read(), n.Owner)
		if err != nil {
			return Token{}, identity.Secret{}, fmt.Errorf("owner: %w", err)
		}
		if err := c.rights.MayChange(by, owner); err != nil {
			return Token{}, identity.Secret{}, err
		}
		n.Owner = OwnerOf(owner)
		own = n.Owner.Is(by)
	} else if by.Principal != nil {
		n.Owner = OwnerOf(by.Principal)
	}
	switch n.Owner.Kind {
	case policy.User:
	case policy.Robot:
		return Token{}, identity.Secret{}, admin.Invalid("owner", "a robot has secrets, not access tokens")
	default:
		return Token{}, identity.Secret{}, fmt.Errorf("%w: access tokens are for users", admin.ErrForbidden)
	}
	if own && by.Credential == identity.CredentialIDToken && !c.signInCounts(by) {
		// The source could not look up the owner when the token is presented.
		return Token{}, identity.Secret{}, fmt.Errorf("%w: users of %s cannot have access tokens (access_tokens_after_sign_in)", admin.ErrForbidden, n.Owner.Source)
	}
	if own {
		if err := c.inherit(by, &n); err != nil {
			return Token{}, identity.Secret{}, err
		}
	} else if !c.rights.May(by, admin.RightAdministrators, scope.Write) {
		var err error
		if n.Limits, err = registryLimits(n.Limits); err != nil {
			return Token{}, identity.Secret{}, err
		}
	}
	end := store.Rounded(n.Expires)
	if err := cmp.Or(checkToken(n), c.writer.CheckExpiry(n.Expires), c.checkLifetime(end)); err != nil {
		return Token{}, identity.Secret{}, err
	}
	secret, d := newSecret(Access)
	t := Token{Purpose: Access, Owner: n.Owner, Name: n.Name, Limits: n.Limits, Expires: end}
	err = c.Issue(ctx, by, func(tx *sql.Tx, revokes bool) (*journal.Change, error) {
		t.ID, t.Created, t.Expires = c.writer.NewID(), c.writer.Time(), end
		if own {
			if t.Parent, err = c.presentedID(ctx, tx, by); err != nil {
				return nil, err
			}
		}
		if own && c.signInCounts(by) {
			if err := c.storeSignIn(ctx, tx, by.Principal); err != nil {
				return nil, err
			}
		}
		if isLocal(t.Owner) { // somebody else can have deleted the owner meanwhile
			owner, err := c.o.Local.Lock(ctx, tx, t.Owner.ID, c.writer.Now())
			if err == nil && owner.Ended != "" && own {
				err = admin.ErrNotFound
			}
			if err != nil {
				return nil, admin.Named(err, t.Owner.Kind.String(), t.Owner.Name)
			}
		}
		requested := t
		return c.writer.WithIdempotency(ctx, tx, by, "token.add", t.Owner.String()+" "+n.Name, func() (string, *journal.Change, error) {
			if err := c.checkTokenLimit(ctx, tx, t.Owner, Access); err != nil {
				return "", nil, err
			}
			added := t
			added.stored = end
			added.Expires = c.expiry(&added)
			return t.ID, &journal.Change{Action: "token.add", Target: t.Owner.String(), To: journalForm(&added)}, insertToken(ctx, tx, &t, d)
		}, func(id string) (_ *journal.Change, err error) {
			if t, err = c.findToken(ctx, tx, id); err != nil {
				return nil, err
			}
			// Do not return a token that the actor's current credential could not create.
			if t.Parent != requested.Parent || !t.stored.Equal(end) || !slices.EqualFunc(t.Limits, requested.Limits, sameLimit) {
				return nil, admin.ErrOtherCreation
			}
			return c.reissue(ctx, tx, revokes, &t, d)
		})
	})
	if t.stored.IsZero() {
		t.stored = end
	}
	t.Expires = c.expiry(&t)
	return t, secret, err
}

// inherit applies the limits and the expiry of the actor's credential to a token that the actor
// creates for itself. It rejects a token that has more rights than the credential, or expires
// later than the credential. There is one exception: a token that is created with an ID token can
// expire later than the ID token (signInCounts).
func (c *Credentials) inherit(by admin.Actor, n *NewToken) error {
	if len(n.Limits) == 0 {
		n.Limits = by.Principal.Limits
	} else if !isWithin(by.Principal, n.Limits) {
		return fmt.Errorf("%w: the token would have more rights than the credential that creates it", admin.ErrForbidden)
	}
	if by.Until.IsZero() || c.signInCounts(by) {
		return nil
	}
	if n.Expires.IsZero() {
		n.Expires = by.Until
	} else if n.Expires.After(by.Until) {
		return fmt.Errorf("%w: the token would expire later than the credential that creates it", admin.ErrForbidden)
	}
	return nil
}

func sameLimit(a, b policy.Limit) bool {
	return typeOf(a.Type) == typeOf(b.Type) && a.Actions == b.Actions && slices.Equal(a.Names, b.Names)
}

func checkToken(n NewToken) error {
	if err := admin.CheckName(n.Name); err != nil {
		return err
	}
	names := 0
	for i, l := range n.Limits {
		if names += len(l.Names); i >= maxLimits || names > maxNames {
			return admin.Invalid("restrictions", "there are more than %d restrictions, or %d names in them", maxLimits, maxNames)
		}
		if err := l.Check(); err != nil {
			return admin.Invalid("restrictions", "%s", err.Error())
		}
	}
	return nil
}

// presentedID returns the id of the token that the actor presented. If the actor did not present a
// token, it returns "".
func (c *Credentials) presentedID(ctx context.Context, tx store.Querier, by admin.Actor) (string, error) {
	if name, ok := strings.CutPrefix(by.Credential, kinds[Access].prefix); ok {
		ids, err := store.Texts(ctx, tx, "SELECT id FROM account_tokens WHERE owner_source IN ($1, $5) AND owner_id = $2 AND name = $3 AND purpose = $4",
			by.Principal.Source, by.Principal.ID, name, string(Access), sourcename.Former(by.Principal.Source))
		if err == nil && len(ids) != 1 {
			err = admin.ErrForbidden // the presented token has been revoked
		}
		if err != nil {
			return "", err
		}
		return ids[0], nil
	}
	for _, purpose := range []Purpose{Refresh, Robot, Session} {
		if id, ok := strings.CutPrefix(by.Credential, kinds[purpose].prefix); ok {
			t, err := c.findToken(ctx, tx, id)
			if err == nil && !t.Owner.Is(by) || errors.Is(err, admin.ErrNotFound) {
				err = admin.ErrForbidden
			}
			return id, err
		}
	}
	return "", nil
}

// checkTokenLimit returns an error if the owner o already has the maximum number of tokens for the
// given purpose.
func (c *Credentials) checkTokenLimit(ctx context.Context, tx *sql.Tx, o Owner, purpose Purpose) error {
	n, err := count(ctx, tx, o, purpose)
	if err == nil && n >= c.maxTokens {
		err = admin.Invalid("owner", "there are %d tokens already: revoke some", n)
	}
	return err
}

func count(ctx context.Context, tx *sql.Tx, o Owner, purpose Purpose) (n int, err error) {
	err = tx.QueryRowContext(ctx, "SELECT count(*) FROM account_tokens WHERE owner_source IN ($1, $4) AND owner_id = $2 AND purpose = $3",
		o.Source, o.ID, string(purpose), sourcename.Former(o.Source)).Scan(&n)
	return n, err
}

// journalForm returns a token as the journal records it.
func journalForm(t *Token) map[string]any {
	m := map[string]any{"id": t.ID, "owner_id": t.Owner.ID}
	for name, text := range map[string]string{"name": t.Name, "registry": t.Registry, "client": t.Client, "parent": t.Parent} {
		if text != "" {
			m[name] = text
		}
	}
	if !t.Expires.IsZero() {
		m["expires"] = admin.ExpiryText(t.Expires)
	}
	var limits []string
	for _, l := range t.Limits {
		limits = append(limits, l.String())
	}
	if limits != nil {
		m["limits"] = limits
	}
	return m
}

// Token returns a token by its id. Actors who may not read accounts get ErrNotFound for the token
// of somebody else.
func (c *Credentials) Token(ctx context.Context, by admin.Actor, id string) (_ Token, err error) {
	defer admin.Wrap(&err, "looking up token %.80q", id)
	t, err := c.findToken(ctx, c.writer.DB.Read(), id)
	if err == nil && c.rights.Require(by, admin.RightAccounts, scope.Read) != nil && (by.Restricted() || !t.Owner.Is(by)) {
		return Token{}, &admin.NotFoundError{Kind: "token", Name: id}
	}
	return t, err
}

// Tokens returns a page of the tokens of an owner, or of all owners for the zero owner. The
// tokens are sorted by their time of creation, with a precision of one millisecond. The second
// result is Page.After for the next page, or "" if there is no next page.
func (c *Credentials) Tokens(ctx context.Context, by admin.Actor, owner Owner, page admin.Page) (list []Token, next string, err error) {
	defer admin.Wrap(&err, "listing tokens")
	if err := c.rights.Require(by, admin.RightAccounts, scope.Read); err != nil && (by.Restricted() || !owner.Is(by)) {
		return nil, "", err
	}
	query, args := "SELECT "+tokenColumns+" FROM account_tokens t WHERE t.id > $1 ORDER BY t.id LIMIT $2", []any(nil)
	if owner != (Owner{}) {
		if owner, err = c.completeOwner(ctx, owner); err != nil {
			return nil, "", fmt.Errorf("owner: %w", err)
		}
		query = "SELECT " + tokenColumns + ` FROM account_tokens t
			WHERE t.id > $1 AND t.owner_source IN ($3, $6) AND (t.owner_id = $4 OR $4 = '' AND t.owner_name = $5) ORDER BY t.id LIMIT $2`
		args = []any{owner.Source, owner.ID, owner.Name, sourcename.Former(owner.Source)}
	}
	return admin.List(ctx, c.writer.DB.Read(), page, c.scanToken, func(t *Token) string { return t.ID }, query, args...)
}

// completeOwner looks up the id of a local owner. Other sources are not queried, because a source
// could be down, or could have deleted the owner.
func (c *Credentials) completeOwner(ctx context.Context, o Owner) (Owner, error) {
	if o.ID != "" || o.Source != "" && o.Source != admin.AccountsSource {
		if o.Source == "" {
			o.Source = admin.AccountsSource
		}
		return o, nil
	}
	p, err := c.principal(ctx, c.writer.DB.Read(), o)
	if err != nil {
		return Owner{}, err
	}
	return OwnerOf(p), nil
}

// Revoke revokes a token and all its descendants. Users may revoke their own tokens, and a
// restricted credential may revoke itself. Actors who may not change accounts get ErrNotFound for
// the token of somebody else. The last secret of a robot can be revoked too.
//
// Actors who may change accounts may also revoke tokens of administrators. This is the only change
// to administrators that such actors may make. So these actors can stop a leaked token when no
// administrator is available. The revocation gives no rights to the actor, and the journal records
// the actor's name. No administrator is locked out: administrators can still sign in with their
// passwords, create other tokens, and take the right to change accounts away from anyone who
// abuses it.
func (c *Credentials) Revoke(ctx context.Context, by admin.Actor, id string) (err error) {
	defer admin.Wrap(&err, "revoking token %.80q", id)
	return c.Change(ctx, by, true, func(tx *sql.Tx) (*journal.Change, error) {
		t, err := c.findToken(ctx, tx, id)
		if err != nil {
			return nil, err
		}
		if err := c.mayRevoke(ctx, tx, by, t); err != nil {
			return nil, err
		}
		n, err := deleteToken(ctx, tx, id)
		if err != nil {
			return nil, err
		}
		from := journalForm(&t)
		from["revoked"] = n
		return &journal.Change{Action: string(t.Purpose) + ".revoke", Target: t.Owner.String(), From: from}, nil
	})
}

func (c *Credentials) mayRevoke(ctx context.Context, tx *sql.Tx, by admin.Actor, t Token) error {
	if c.rights.Require(by, admin.RightAccounts, scope.Write) == nil {
		return nil
	}
	if !t.Owner.Is(by) {
		return &admin.NotFoundError{Kind: "token", Name: t.ID}
	}
	if by.Restricted() {
		if presented, err := c.presentedID(ctx, tx, by); err != nil || presented != t.ID {
			return admin.ErrRestricted
		}
	}
	return nil
}

// RevokeAll revokes an owner's tokens that have the given purpose. If the purpose is "", it
// revokes all tokens of the owner. It returns the number of revoked tokens, without their
// descendants.
func (c *Credentials) RevokeAll(ctx context.Context, by admin.Actor, owner Owner, purpose Purpose) (n int, err error) {
	defer admin.Wrap(&err, "revoking tokens")
	if err := c.rights.Require(by, admin.RightAccounts, scope.Write); err != nil && (by.Restricted() || !owner.Is(by)) {
		return 0, err
	}
	if owner, err = c.completeOwner(ctx, owner); err != nil {
		return 0, err
	}
	err = c.Change(ctx, by, true, func(tx *sql.Tx) (_ *journal.Change, err error) {
		owners := []Owner{owner}
		if owner.ID == "" { // the owner is in another source and is given by name
			owners, err = store.Collect(ctx, tx, scanOwner, `SELECT DISTINCT owner_kind, owner_source, owner_id, owner_name FROM account_tokens
				WHERE owner_source IN ($1, $3) AND owner_name = $2`, owner.Source, owner.Name, sourcename.Former(owner.Source))
		}
		n = 0
		for _, o := range owners {
			one, e := DeleteTokens(ctx, tx, o, purpose)
			n, err = n+one, errors.Join(err, e)
		}
		if err != nil || n == 0 {
			return nil, err
		}
		return &journal.Change{Action: "token.revoke-all", Target: owner.String(), From: map[string]any{"use": string(purpose), "revoked": n}}, nil
	})
	return n, err
}

func scanOwner(row store.Row) (o Owner, err error) {
	var kind string
	if err := row.Scan(&kind, &o.Source, &o.ID, &o.Name); err != nil {
		return Owner{}, err
	}
	return o, o.Kind.UnmarshalText([]byte(kind))
}
