package credentials

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/netip"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity/sourcename"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

const tokenColumns = `t.id, t.purpose, t.owner_kind, t.owner_source, t.owner_id, t.owner_name, t.name, t.limits,
	t.registry, t.client, t.parent, t.created, t.expires, t.used, t.used_from, t.basis`

func (c *Credentials) scanToken(row store.Row) (t Token, err error) {
	var purpose, kind, limits, from string
	var created, expires, used int64
	err = row.Scan(&t.ID, &purpose, &kind, &t.Owner.Source, &t.Owner.ID, &t.Owner.Name, &t.Name, &limits,
		&t.Registry, &t.Client, &t.Parent, &created, &expires, &used, &from, &t.basis)
	if _, err = admin.OrNotFound(t, err); err != nil {
		return Token{}, err
	}
	t.Purpose, t.Created, t.stored, t.Used = Purpose(purpose), store.Time(created), store.Time(expires), store.Time(used)
	t.Expires = c.expiry(&t)
	err = t.Owner.Kind.UnmarshalText([]byte(kind))
	if limits != "" {
		// If the limits cannot be read, return an error. Without its limits, the token would have
		// more rights.
		err = errors.Join(err, json.Unmarshal([]byte(limits), &t.Limits))
		if err == nil && len(t.Limits) == 0 {
			err = errors.New("its limits are empty")
		}
	}
	if from != "" {
		t.From, _ = netip.ParseAddr(from)
	}
	admin.Wrap(&err, "reading token %s", t.ID)
	return t, err
}

// findToken reads a token by its id.
func (c *Credentials) findToken(ctx context.Context, q store.Querier, id string) (Token, error) {
	t, err := c.scanToken(q.QueryRowContext(ctx, "SELECT "+tokenColumns+" FROM account_tokens t WHERE t.id = $1", id))
	return t, admin.Named(err, "token", id)
}

// findSecret reads a token by its digest. If the token's parent was deleted, the error is
// ErrNotFound.
func (c *Credentials) findSecret(ctx context.Context, q store.Querier, d secret.Digest) (Token, error) {
	return c.scanToken(q.QueryRowContext(ctx, `
		SELECT `+tokenColumns+` FROM account_tokens t WHERE t.hash = $1
		AND (t.parent = '' OR EXISTS (SELECT 1 FROM account_tokens p WHERE p.id = t.parent))`, d[:]))
}

// ancestors reads all ancestors of a token.
func (c *Credentials) ancestors(ctx context.Context, q store.Querier, t *Token) ([]Token, error) {
	if t.Parent == "" {
		return nil, nil
	}
	return store.Collect(ctx, q, c.scanToken, `
		WITH RECURSIVE above (id, parent) AS (
			SELECT id, parent FROM account_tokens WHERE id = $1
			UNION SELECT p.id, p.parent FROM account_tokens p JOIN above a ON p.id = a.parent)
		SELECT `+tokenColumns+` FROM account_tokens t JOIN above a ON t.id = a.id`, t.Parent)
}

// insertToken inserts a token. It returns ErrExists if the owner has an access token of that name.
// The unique index is not sufficient, because a source can have a former name, and the index
// treats the former name as another source.
func insertToken(ctx context.Context, tx *sql.Tx, t *Token, d secret.Digest) error {
	if former := sourcename.Former(t.Owner.Source); t.Purpose == Access && former != t.Owner.Source {
		ids, err := store.Texts(ctx, tx, "SELECT id FROM account_tokens WHERE owner_source = $1 AND owner_id = $2 AND name = $3 AND purpose = $4",
			former, t.Owner.ID, t.Name, string(Access))
		if err == nil && len(ids) > 0 {
			err = admin.ErrExists
		}
		if err != nil {
			return err
		}
	}
	limits := ""
	if len(t.Limits) > 0 {
		text, err := json.Marshal(t.Limits)
		if err != nil {
			return err
		}
		limits = string(text)
	}
	return admin.OrExists(tx.ExecContext(ctx, `
		INSERT INTO account_tokens (id, hash, purpose, owner_kind, owner_source, owner_id, owner_name, name, limits,
			registry, client, parent, created, expires, used, used_from, basis)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, '', $15) ON CONFLICT DO NOTHING`,
		t.ID, d[:], string(t.Purpose), t.Owner.Kind.String(), t.Owner.Source, t.Owner.ID, t.Owner.Name, t.Name, limits,
		t.Registry, t.Client, t.Parent, store.Millis(t.Created), store.Millis(t.Expires), t.basis))
}

// family selects a token and all its descendants.
const family = `
	WITH RECURSIVE family (id) AS (
		SELECT id FROM account_tokens WHERE id = $1
		UNION SELECT t.id FROM account_tokens t JOIN family f ON t.parent = f.id)`

func deleteToken(ctx context.Context, tx *sql.Tx, id string) (int, error) {
	return store.Affected(tx.ExecContext(ctx, family+" DELETE FROM account_tokens WHERE id IN (SELECT id FROM family)", id))
}

// endToken sets the expiry of a token and its descendants to the given time, if they would expire
// later.
func endToken(ctx context.Context, tx *sql.Tx, id string, end time.Time) error {
	_, err := tx.ExecContext(ctx, family+`
		UPDATE account_tokens SET expires = $2 WHERE id IN (SELECT id FROM family) AND (expires = 0 OR expires > $2)`, id, store.Millis(end))
	return err
}

// DeleteTokens deletes an owner's tokens that have the given purpose. If the purpose is "", it
// deletes all tokens of the owner. It also deletes the descendants of these tokens. The result is
// the number of deleted tokens without descendants.
func DeleteTokens(ctx context.Context, tx *sql.Tx, o Owner, purpose Purpose) (int, error) {
	n, err := store.Affected(tx.ExecContext(ctx,
		"DELETE FROM account_tokens WHERE owner_source IN ($1, $4) AND owner_id = $2 AND ($3 = '' OR purpose = $3)",
		o.Source, o.ID, string(purpose), sourcename.Former(o.Source)))
	if err == nil && n > 0 && purpose != "" {
		err = deleteOrphans(ctx, tx, o)
	}
	return n, err
}

// deleteOrphans deletes an owner's tokens whose parent was deleted, and their descendants. A
// descendant always has the same owner.
func deleteOrphans(ctx context.Context, tx *sql.Tx, o Owner) error {
	_, err := tx.ExecContext(ctx, `
		WITH RECURSIVE family (id) AS (
			SELECT t.id FROM account_tokens t WHERE t.owner_source IN ($1, $3) AND t.owner_id = $2 AND t.parent <> ''
				AND NOT EXISTS (SELECT 1 FROM account_tokens p WHERE p.id = t.parent)
			UNION SELECT t.id FROM account_tokens t JOIN family f ON t.parent = f.id)
		DELETE FROM account_tokens WHERE id IN (SELECT id FROM family)`, o.Source, o.ID, sourcename.Former(o.Source))
	return err
}
