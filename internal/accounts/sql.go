package accounts

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
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

func (r *record) owner() credentials.Owner {
	return credentials.Owner{Kind: r.Kind, Source: Source, Name: r.Name, ID: r.ID}
}

// The column lent has the value of Account.SetByDelegate.
const accountColumns = "id, kind, name, version, created, changed, expires, disabled, hash, namespace, lent"

func scanAccount(row store.Row) (r record, err error) {
	var kind string
	var created, changed, expires, disabled, lent int64
	if err := row.Scan(&r.ID, &kind, &r.Name, &r.Version, &created, &changed, &expires, &disabled, &r.hash, &r.namespace, &lent); err != nil {
		_, err = admin.OrNotFound(r, err)
		return record{}, err
	}
	if err := r.Kind.UnmarshalText([]byte(kind)); err != nil {
		return record{}, fmt.Errorf("reading account %s: %w", r.ID, err)
	}
	r.Created, r.Changed, r.Expires = store.Time(created), store.Time(changed), store.Time(expires)
	r.Disabled, r.Hash, r.SetByDelegate = disabled != 0, kindOfHash(r.hash), lent != 0
	return r, nil
}

// find reads an account by its login. It returns ErrNotFound if there is no such account.
func find(ctx context.Context, q store.Querier, login string) (record, error) {
	kind, name, ok := parseLogin(login)
	if !ok {
		return record{}, &admin.NotFoundError{Kind: kind.String(), Name: name}
	}
	r, err := withGroups(ctx, q)(scanAccount(q.QueryRowContext(ctx,
		"SELECT "+accountColumns+" FROM accounts WHERE kind = $1 AND name = $2", kind.String(), name)))
	return r, admin.Named(err, kind.String(), name)
}

// findID reads an account by its id.
func findID(ctx context.Context, q store.Querier, id string) (record, error) {
	return withGroups(ctx, q)(scanAccount(q.QueryRowContext(ctx, "SELECT "+accountColumns+" FROM accounts WHERE id = $1", id)))
}

// lock locks an account until the transaction ends. If the transaction calls lock first and then
// reads data about the account, this data is still current at commit. This matters on PostgreSQL,
// where transactions run concurrently. Every transaction that revokes or creates tokens of an
// account locks the account first.
func lock(ctx context.Context, tx *sql.Tx, id string) error {
	_, err := tx.ExecContext(ctx, "UPDATE accounts SET version = version WHERE id = $1", id)
	return err
}

// findLocked locks an account and reads it, as find does.
func findLocked(ctx context.Context, tx *sql.Tx, login string) (record, error) {
	r, err := find(ctx, tx, login)
	if err != nil {
		return record{}, err
	}
	if err := lock(ctx, tx, r.ID); err != nil {
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
		r.ID, r.Kind.String(), r.Name, r.Version, store.Millis(r.Created), store.Millis(r.Changed), store.Millis(r.Expires), bit(r.Disabled), r.hash, r.namespace, bit(r.SetByDelegate)))
}

// updateAccount writes the fields that can change and increments the version. It returns
// ErrChanged if somebody else has changed the account.
func updateAccount(ctx context.Context, tx *sql.Tx, r *record) error {
	err := admin.OrChanged(tx.ExecContext(ctx, `
		UPDATE accounts SET version = $1, changed = $2, expires = $3, disabled = $4, hash = $5, lent = $6
		WHERE id = $7 AND version = $8`,
		r.Version+1, store.Millis(r.Changed), store.Millis(r.Expires), bit(r.Disabled), r.hash, bit(r.SetByDelegate), r.ID, r.Version))
	r.Version++
	return err
}

func findGroup(ctx context.Context, q store.Querier, name string) (Group, error) {
	g, err := admin.OrNotFound(scanGroup(q.QueryRowContext(ctx, groupQuery+" WHERE g.name = $1", name)))
	return g, admin.Named(err, "group", name)
}

const groupQuery = `
	SELECT g.id, g.name, g.version, g.created, (SELECT count(*) FROM account_members m WHERE m.group_id = g.id)
	FROM account_groups g`

func scanGroup(row store.Row) (g Group, err error) {
	var created int64
	err = row.Scan(&g.ID, &g.Name, &g.Version, &created, &g.Size)
	g.Created = store.Time(created)
	return g, err
}

func insertGroup(ctx context.Context, tx *sql.Tx, g *Group) error {
	return admin.OrExists(tx.ExecContext(ctx,
		"INSERT INTO account_groups (id, name, version, created) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
		g.ID, g.Name, g.Version, store.Millis(g.Created)))
}

func raiseGroup(ctx context.Context, tx *sql.Tx, g *Group) error {
	err := admin.OrChanged(tx.ExecContext(ctx, "UPDATE account_groups SET version = $1 WHERE id = $2 AND version = $3", g.Version+1, g.ID, g.Version))
	g.Version++
	return err
}

func insertMember(ctx context.Context, tx *sql.Tx, group, account string) (added bool, err error) {
	n, err := store.Affected(tx.ExecContext(ctx,
		"INSERT INTO account_members (group_id, account_id) VALUES ($1, $2) ON CONFLICT DO NOTHING", group, account))
	return n > 0, err
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
