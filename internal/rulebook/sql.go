package rulebook

import (
	"context"
	"database/sql"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// counters count changes in the database.
type counters struct {
	changes int64 // all changes of the rulebook
	rights  int64 // only the changes that can alter rights over Tidewaiter
}

func count(ctx context.Context, q store.Querier) (c counters, err error) {
	return c, q.QueryRowContext(ctx, `
		SELECT coalesce(max(CASE topic WHEN $1 THEN counter END), 0), coalesce(max(CASE topic WHEN $2 THEN counter END), 0)
		FROM changes WHERE topic IN ($1, $2)`, topic, rightsTopic).Scan(&c.changes, &c.rights)
}

// readContents reads the whole content of the database.
func readContents(ctx context.Context, db *store.DB) (*contents, error) {
	c := new(contents)
	err := db.Snapshot(ctx, func(tx *sql.Tx) (err error) {
		if c.counters, err = count(ctx, tx); err != nil {
			return err
		}
		if c.sharedRoles, err = store.Collect(ctx, tx, scanRole, roleQuery+" WHERE namespace_id = '' ORDER BY name"); err != nil {
			return err
		}
		if c.storedRules, err = store.Collect(ctx, tx, scanRule, ruleQuery+" ORDER BY name"); err != nil {
			return err
		}
		return c.readNamespaces(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (c *contents) readNamespaces(ctx context.Context, tx *sql.Tx) (err error) {
	byID := make(map[string]*namespace)
	c.namespaces, err = store.Collect(ctx, tx, func(row store.Row) (*namespace, error) {
		n := new(namespace)
		err := row.Scan(&n.id, &n.name, &n.visibility)
		byID[n.id] = n
		return n, err
	}, "SELECT id, name, visibility FROM namespaces ORDER BY name")
	if err != nil {
		return err
	}
	_, err = store.Collect(ctx, tx, func(row store.Row) (none struct{}, err error) {
		var id string
		r, err := scanRole(prefixedRow{row, &id})
		if n := byID[id]; n != nil {
			n.roles = append(n.roles, r)
		}
		return none, err
	}, "SELECT namespace_id, "+roleColumns+" FROM rulebook_roles WHERE namespace_id <> '' ORDER BY name")
	if err != nil {
		return err
	}
	_, err = store.Collect(ctx, tx, func(row store.Row) (none struct{}, err error) {
		var id string
		var m Member
		err = row.Scan(&id, &m.Subject, &m.Role)
		if n := byID[id]; n != nil {
			n.members = append(n.members, m)
		}
		return none, err
	}, "SELECT namespace_id, subject, role FROM namespace_members ORDER BY subject")
	return err
}

// prefixedRow is a row with an additional first column. Its Scan reads this column into the field
// with the name first, and the other columns into the given places.
type prefixedRow struct {
	store.Row
	first *string
}

func (p prefixedRow) Scan(places ...any) error {
	return p.Row.Scan(append([]any{p.first}, places...)...)
}

const (
	roleColumns = "id, name, version, created, changed, actions, lifetime"
	roleQuery   = "SELECT " + roleColumns + " FROM rulebook_roles"
)

func scanRole(row store.Row) (r Role, err error) {
	var created, changed, lifetime int64
	var actions string
	if err := row.Scan(&r.ID, &r.Name, &r.Version, &created, &changed, &actions, &lifetime); err != nil {
		return Role{}, err
	}
	r.Created, r.Changed, r.Lifetime = store.Time(created), store.Time(changed), time.Duration(lifetime)*time.Millisecond
	return r, r.Actions.UnmarshalText([]byte(actions))
}

func findRole(ctx context.Context, q store.Querier, namespaceID, name string) (Role, error) {
	r, err := admin.OrNotFound(scanRole(q.QueryRowContext(ctx, roleQuery+" WHERE namespace_id = $1 AND name = $2", namespaceID, name)))
	return r, admin.Named(err, "role", name)
}

func insertRole(ctx context.Context, tx *sql.Tx, namespaceID string, r *Role) error {
	return admin.OrExists(tx.ExecContext(ctx, `
		INSERT INTO rulebook_roles (namespace_id, `+roleColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
		namespaceID, r.ID, r.Name, r.Version, store.Millis(r.Created), store.Millis(r.Changed), r.Actions.String(), r.Lifetime.Milliseconds()))
}

func updateRole(ctx context.Context, tx *sql.Tx, r *Role) error {
	return admin.OrChanged(tx.ExecContext(ctx, "UPDATE rulebook_roles SET version = $1, changed = $2, actions = $3, lifetime = $4 WHERE id = $5 AND version = $6",
		r.Version, store.Millis(r.Changed), r.Actions.String(), r.Lifetime.Milliseconds(), r.ID, r.Version-1))
}

const ruleQuery = "SELECT id, name, version, created, changed, content FROM rulebook_rules"

func scanRule(row store.Row) (r Rule, err error) {
	var created, changed int64
	var name, content string
	if err := row.Scan(&r.ID, &name, &r.Version, &created, &changed, &content); err != nil {
		return Rule{}, err
	}
	r.Created, r.Changed = store.Time(created), store.Time(changed)
	err = unmarshal(&r.Content, content)
	r.Name = name
	return r, err
}

func findRule(ctx context.Context, q store.Querier, name string) (Rule, error) {
	r, err := admin.OrNotFound(scanRule(q.QueryRowContext(ctx, ruleQuery+" WHERE name = $1", name)))
	return r, admin.Named(err, "rule", name)
}

func insertRule(ctx context.Context, tx *sql.Tx, r *Rule) error {
	content, err := marshal(&r.Content)
	if err != nil {
		return err
	}
	return admin.OrExists(tx.ExecContext(ctx, `
		INSERT INTO rulebook_rules (id, name, version, created, changed, role, content) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT DO NOTHING`, r.ID, r.Name, r.Version, store.Millis(r.Created), store.Millis(r.Changed), r.Role, content))
}

func updateRule(ctx context.Context, tx *sql.Tx, r *Rule) error {
	content, err := marshal(&r.Content)
	if err != nil {
		return err
	}
	return admin.OrChanged(tx.ExecContext(ctx, "UPDATE rulebook_rules SET name = $1, version = $2, changed = $3, role = $4, content = $5 WHERE id = $6 AND version = $7",
		r.Name, r.Version, store.Millis(r.Changed), r.Role, content, r.ID, r.Version-1))
}

const namespaceQuery = `
	SELECT n.id, n.name, n.version, n.created, n.changed, n.visibility,
		(SELECT count(*) FROM namespace_members m WHERE m.namespace_id = n.id)
	FROM namespaces n`

func scanNamespace(row store.Row) (n Namespace, err error) {
	var created, changed int64
	err = row.Scan(&n.ID, &n.Name, &n.Version, &created, &changed, &n.Visibility, &n.Size)
	n.Created, n.Changed = store.Time(created), store.Time(changed)
	return n, err
}

func findNamespace(ctx context.Context, q store.Querier, name string) (Namespace, error) {
	n, err := admin.OrNotFound(scanNamespace(q.QueryRowContext(ctx, namespaceQuery+" WHERE n.name = $1", name)))
	return n, admin.Named(err, "namespace", name)
}

func insertNamespace(ctx context.Context, tx *sql.Tx, n *Namespace) error {
	return admin.OrExists(tx.ExecContext(ctx, `
		INSERT INTO namespaces (id, name, version, created, changed, visibility) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		n.ID, n.Name, n.Version, store.Millis(n.Created), store.Millis(n.Changed), string(n.Visibility)))
}

func updateNamespace(ctx context.Context, tx *sql.Tx, n *Namespace) error {
	return admin.OrChanged(tx.ExecContext(ctx, "UPDATE namespaces SET version = $1, changed = $2, visibility = $3 WHERE id = $4 AND version = $5",
		n.Version, store.Millis(n.Changed), string(n.Visibility), n.ID, n.Version-1))
}

const memberQuery = "SELECT subject, role, created FROM namespace_members"

func scanMember(row store.Row) (m Member, err error) {
	var created int64
	err = row.Scan(&m.Subject, &m.Role, &created)
	m.Created = store.Time(created)
	return m, err
}

// LockNamespace returns the id of a namespace and locks the namespace, so that nobody deletes
// it before the transaction ends. Call it before adding something that belongs to the
// namespace.
func LockNamespace(ctx context.Context, tx *sql.Tx, namespace string) (id string, err error) {
	if _, err := tx.ExecContext(ctx, "UPDATE namespaces SET version = version WHERE name = $1", namespace); err != nil {
		return "", err
	}
	id, err = admin.OrNotFound(store.Text(tx.QueryRowContext(ctx, "SELECT id FROM namespaces WHERE name = $1", namespace)))
	return id, admin.Named(err, "namespace", namespace)
}

// RemoveMember removes a deleted subject from all namespaces, in the transaction that deletes the
// subject. Otherwise a later subject of the same name would get the roles of the deleted subject.
// If the subject was a member, RemoveMember increments the counter of the rulebook's topic. So a
// transaction that also increments the counter of another topic must lock that topic first.
func RemoveMember(ctx context.Context, db *store.DB, tx *sql.Tx, subject string) error {
	n, err := store.Affected(tx.ExecContext(ctx, "DELETE FROM namespace_members WHERE subject = $1", subject))
	for _, topic := range []string{topic, rightsTopic} {
		if err == nil && n > 0 {
			err = db.Bump(ctx, tx, topic)
		}
	}
	return err
}
