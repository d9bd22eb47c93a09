package accounts

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// record is a row of accounts with its groups.
type record struct {
	Account
	hash      string
	namespace string // id of the namespace that a robot belongs to; "": none
}

func (r *record) principal() *policy.Principal {
	who := policy.Principal{Kind: r.Kind, Name: r.Name, Source: Source, ID: r.ID, Groups: r.Groups}
	return who.Indexed()
}

func (r *record) owner() Owner {
	return Owner{Kind: r.Kind, Source: Source, Name: r.Name, ID: r.ID}
}

// live reports whether the account may sign in.
func (r *record) live(now time.Time) bool { return !r.Disabled && !past(r.Expires, now) }

// past reports whether an expiry is over. The zero time is never.
func past(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

const accountColumns = "id, kind, name, version, created, changed, expires, disabled, hash, namespace, lent"

func scanAccount(row store.Row) (r record, err error) {
	var kind string
	var created, changed, expires, disabled, lent int64
	if err := row.Scan(&r.ID, &kind, &r.Name, &r.Version, &created, &changed, &expires, &disabled, &r.hash, &r.namespace, &lent); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			err = admin.ErrNotFound
		}
		return record{}, err
	}
	if err := r.Kind.UnmarshalText([]byte(kind)); err != nil {
		return record{}, fmt.Errorf("reading account %s: %w", r.ID, err)
	}
	r.Created, r.Changed, r.Expires = admin.Time(created), admin.Time(changed), admin.Time(expires)
	r.Disabled, r.Hash, r.Lent = disabled != 0, kindOfHash(r.hash), lent != 0
	return r, nil
}

// find reads an account by its login. It returns ErrNotFound if there is no such account.
func find(ctx context.Context, q store.Querier, login string) (record, error) {
	kind, name, ok := parseLogin(login)
	if !ok {
		return record{}, admin.ErrNotFound
	}
	return withGroups(ctx, q)(scanAccount(q.QueryRowContext(ctx,
		"SELECT "+accountColumns+" FROM accounts WHERE kind = $1 AND name = $2", kind.String(), name)))
}

// findID reads an account by its id.
func findID(ctx context.Context, q store.Querier, id string) (record, error) {
	return withGroups(ctx, q)(scanAccount(q.QueryRowContext(ctx, "SELECT "+accountColumns+" FROM accounts WHERE id = $1", id)))
}

// hold locks an account until the transaction ends, so that what is read next is still true at
// commit. This matters on PostgreSQL, where transactions run concurrently. Every transaction that
// revokes or creates tokens of an account locks it first.
func hold(ctx context.Context, tx *sql.Tx, id string) error {
	_, err := tx.ExecContext(ctx, "UPDATE accounts SET version = version WHERE id = $1", id)
	return err
}

// findHeld is find, and locks the account.
func findHeld(ctx context.Context, tx *sql.Tx, login string) (record, error) {
	r, err := find(ctx, tx, login)
	if err != nil {
		return record{}, err
	}
	if err := hold(ctx, tx, r.ID); err != nil {
		return record{}, err
	}
	return findID(ctx, tx, r.ID)
}

func withGroups(ctx context.Context, q store.Querier) func(record, error) (record, error) {
	return func(r record, err error) (record, error) {
		if err != nil {
			return record{}, err
		}
		r.Groups, err = store.Texts(ctx, q, `
			SELECT g.name FROM account_members m JOIN account_groups g ON g.id = m.group_id
			WHERE m.account_id = $1 ORDER BY g.name`, r.ID)
		return r, err
	}
}

// insertAccount inserts an account. It returns ErrExists if the name is taken.
func insertAccount(ctx context.Context, tx *sql.Tx, r *record) error {
	return admin.OrExists(tx.ExecContext(ctx, `
		INSERT INTO accounts (`+accountColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT DO NOTHING`,
		r.ID, r.Kind.String(), r.Name, r.Version, admin.Millis(r.Created), admin.Millis(r.Changed), admin.Millis(r.Expires), bit(r.Disabled), r.hash, r.namespace, bit(r.Lent)))
}

// updateAccount writes the fields that can change and increments the version. It returns
// ErrChanged if somebody else has changed the account.
func updateAccount(ctx context.Context, tx *sql.Tx, r *record) error {
	n, err := store.Affected(tx.ExecContext(ctx, `
		UPDATE accounts SET version = $1, changed = $2, expires = $3, disabled = $4, hash = $5, lent = $6
		WHERE id = $7 AND version = $8`,
		r.Version+1, admin.Millis(r.Changed), admin.Millis(r.Expires), bit(r.Disabled), r.hash, bit(r.Lent), r.ID, r.Version))
	if err == nil && n == 0 {
		err = admin.ErrChanged
	}
	r.Version++
	return err
}

func findGroup(ctx context.Context, q store.Querier, name string) (g Group, err error) {
	g, err = scanGroup(q.QueryRowContext(ctx, groupQuery+" WHERE g.name = $1", name))
	if errors.Is(err, sql.ErrNoRows) {
		err = admin.ErrNotFound
	}
	return g, err
}

const groupQuery = `
	SELECT g.id, g.name, g.version, g.created, (SELECT count(*) FROM account_members m WHERE m.group_id = g.id)
	FROM account_groups g`

func scanGroup(row store.Row) (g Group, err error) {
	var created int64
	err = row.Scan(&g.ID, &g.Name, &g.Version, &created, &g.Size)
	g.Created = admin.Time(created)
	return g, err
}

func insertGroup(ctx context.Context, tx *sql.Tx, g *Group) error {
	return admin.OrExists(tx.ExecContext(ctx,
		"INSERT INTO account_groups (id, name, version, created) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
		g.ID, g.Name, g.Version, admin.Millis(g.Created)))
}

func raiseGroup(ctx context.Context, tx *sql.Tx, g *Group) error {
	n, err := store.Affected(tx.ExecContext(ctx, "UPDATE account_groups SET version = $1 WHERE id = $2 AND version = $3", g.Version+1, g.ID, g.Version))
	if err == nil && n == 0 {
		err = admin.ErrChanged
	}
	g.Version++
	return err
}

func insertMember(ctx context.Context, tx *sql.Tx, group, account string) (added bool, err error) {
	n, err := store.Affected(tx.ExecContext(ctx,
		"INSERT INTO account_members (group_id, account_id) VALUES ($1, $2) ON CONFLICT DO NOTHING", group, account))
	return n > 0, err
}

const tokenColumns = `t.id, t.purpose, t.owner_kind, t.owner_source, t.owner_id, t.owner_name, t.name, t.limits,
	t.registry, t.client, t.parent, t.created, t.expires, t.used, t.used_from, t.basis`

func (a *Accounts) scanToken(row store.Row) (t Token, err error) {
	var purpose, kind, limits, from string
	var created, expires, used int64
	err = row.Scan(&t.ID, &purpose, &kind, &t.Owner.Source, &t.Owner.ID, &t.Owner.Name, &t.Name, &limits,
		&t.Registry, &t.Client, &t.Parent, &created, &expires, &used, &from, &t.basis)
	if errors.Is(err, sql.ErrNoRows) {
		return Token{}, admin.ErrNotFound
	}
	if err != nil {
		return Token{}, err
	}
	t.Use, t.Created, t.stored, t.Used = Use(purpose), admin.Time(created), admin.Time(expires), admin.Time(used)
	t.Expires = a.ends(&t)
	err = t.Owner.Kind.UnmarshalText([]byte(kind))
	if limits != "" {
		// Fail if the limits cannot be read: the token must not become wider.
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
func (a *Accounts) findToken(ctx context.Context, q store.Querier, id string) (Token, error) {
	return a.scanToken(q.QueryRowContext(ctx, "SELECT "+tokenColumns+" FROM account_tokens t WHERE t.id = $1", id))
}

// findSecret reads a token by its digest. A token whose parent was deleted is ErrNotFound.
func (a *Accounts) findSecret(ctx context.Context, q store.Querier, d digest) (Token, error) {
	return a.scanToken(q.QueryRowContext(ctx, `
		SELECT `+tokenColumns+` FROM account_tokens t WHERE t.hash = $1
		AND (t.parent = '' OR EXISTS (SELECT 1 FROM account_tokens p WHERE p.id = t.parent))`, d[:]))
}

// above reads all ancestors of a token.
func (a *Accounts) above(ctx context.Context, q store.Querier, t *Token) ([]Token, error) {
	if t.Parent == "" {
		return nil, nil
	}
	return store.Collect(ctx, q, a.scanToken, `
		WITH RECURSIVE above (id, parent) AS (
			SELECT id, parent FROM account_tokens WHERE id = $1
			UNION SELECT p.id, p.parent FROM account_tokens p JOIN above a ON p.id = a.parent)
		SELECT `+tokenColumns+` FROM account_tokens t JOIN above a ON t.id = a.id`, t.Parent)
}

func insertToken(ctx context.Context, tx *sql.Tx, t *Token, d digest) error {
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
		t.ID, d[:], string(t.Use), t.Owner.Kind.String(), t.Owner.Source, t.Owner.ID, t.Owner.Name, t.Name, limits,
		t.Registry, t.Client, t.Parent, admin.Millis(t.Created), admin.Millis(t.Expires), t.basis))
}

// family selects a token and all its descendants.
const family = `
	WITH RECURSIVE family (id) AS (
		SELECT id FROM account_tokens WHERE id = $1
		UNION SELECT t.id FROM account_tokens t JOIN family f ON t.parent = f.id)`

func deleteToken(ctx context.Context, tx *sql.Tx, id string) (int, error) {
	return store.Affected(tx.ExecContext(ctx, family+" DELETE FROM account_tokens WHERE id IN (SELECT id FROM family)", id))
}

// endToken makes a token and its descendants expire at end at the latest.
func endToken(ctx context.Context, tx *sql.Tx, id string, end time.Time) error {
	_, err := tx.ExecContext(ctx, family+`
		UPDATE account_tokens SET expires = $2 WHERE id IN (SELECT id FROM family) AND (expires = 0 OR expires > $2)`, id, admin.Millis(end))
	return err
}

// deleteTokens deletes the tokens of an owner with a use, or all if use is "", with their
// descendants. The descendants are not counted.
func deleteTokens(ctx context.Context, tx *sql.Tx, o Owner, use Use) (int, error) {
	n, err := store.Affected(tx.ExecContext(ctx,
		"DELETE FROM account_tokens WHERE owner_source IN ($1, $4) AND owner_id = $2 AND ($3 = '' OR purpose = $3)",
		o.Source, o.ID, string(use), identity.FormerSource(o.Source)))
	if err == nil && n > 0 && use != "" {
		err = deleteOrphans(ctx, tx, o)
	}
	return n, err
}

// deleteOrphans deletes the tokens of an owner whose parent was deleted, with their descendants.
// A descendant always has the same owner.
func deleteOrphans(ctx context.Context, tx *sql.Tx, o Owner) error {
	_, err := tx.ExecContext(ctx, `
		WITH RECURSIVE family (id) AS (
			SELECT t.id FROM account_tokens t WHERE t.owner_source IN ($1, $3) AND t.owner_id = $2 AND t.parent <> ''
				AND NOT EXISTS (SELECT 1 FROM account_tokens p WHERE p.id = t.parent)
			UNION SELECT t.id FROM account_tokens t JOIN family f ON t.parent = f.id)
		DELETE FROM account_tokens WHERE id IN (SELECT id FROM family)`, o.Source, o.ID, identity.FormerSource(o.Source))
	return err
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
