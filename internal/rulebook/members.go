package rulebook

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/dn"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Members returns the members of a namespace, sorted by subject, and where the next page begins.
func (b *Rulebook) Members(ctx context.Context, by admin.Actor, namespace string, page admin.Page) (list []Member, next string, err error) {
	defer admin.Wrap(&err, "listing the members of %.130q", namespace)
	n, err := b.Namespace(ctx, by, namespace)
	if err != nil {
		return nil, "", err
	}
	return admin.List(ctx, b.o.DB.Read(), page, scanMember, func(m *Member) string { return m.Subject },
		memberQuery+" WHERE subject > $1 AND namespace_id = $3 ORDER BY subject LIMIT $2", n.ID)
}

// SetMember gives a subject a role in a namespace. The new role replaces the subject's previous
// role. SetMember also succeeds if the subject has the role already.
func (b *Rulebook) SetMember(ctx context.Context, by admin.Actor, namespace, subject, role string, version int64) (_ Namespace, err error) {
	defer admin.Wrap(&err, "making %.80q a member of %.130q", subject, namespace)
	subject = canonicalSubject(subject)
	return b.changeNamespace(ctx, by, namespace, version, func(tx *sql.Tx, n *Namespace) (*journal.Change, error) {
		if err := cmp.Or(b.mayBeMember(by, subject, n.Name), requireAssignable(ctx, tx, n, role)); err != nil {
			return nil, err
		}
		note := &journal.Change{Action: "namespace.member.set", Target: n.Name, To: map[string]any{"member": subject, "role": role}}
		was, err := admin.OrNotFound(scanMember(tx.QueryRowContext(ctx, memberQuery+" WHERE namespace_id = $1 AND subject = $2", n.ID, subject)))
		switch {
		case errors.Is(err, admin.ErrNotFound) && n.Size >= maxMembers:
			return nil, admin.Invalid("subject", "the namespace has %d members, which is the limit; add a group instead of single users", n.Size)
		case errors.Is(err, admin.ErrNotFound):
			n.Size++
			_, err = tx.ExecContext(ctx, "INSERT INTO namespace_members (namespace_id, subject, role, created) VALUES ($1, $2, $3, $4)", n.ID, subject, role, store.Millis(b.writer.Time()))
			return note, err
		case err != nil || was.Role == role:
			return nil, err
		}
		note.From = map[string]any{"role": was.Role}
		_, err = tx.ExecContext(ctx, "UPDATE namespace_members SET role = $1 WHERE namespace_id = $2 AND subject = $3", role, n.ID, subject)
		return note, err
	})
}

// RemoveMember removes a member. RemoveMember also succeeds if the subject is not a member.
func (b *Rulebook) RemoveMember(ctx context.Context, by admin.Actor, namespace, subject string, version int64) (_ Namespace, err error) {
	defer admin.Wrap(&err, "removing %.80q from %.130q", subject, namespace)
	return b.changeNamespace(ctx, by, namespace, version, func(tx *sql.Tx, n *Namespace) (*journal.Change, error) {
		was, err := admin.OrNotFound(scanMember(tx.QueryRowContext(ctx, memberQuery+" WHERE namespace_id = $1 AND subject IN ($2, $3)", n.ID, subject, canonicalSubject(subject))))
		if errors.Is(err, admin.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		n.Size--
		_, err = tx.ExecContext(ctx, "DELETE FROM namespace_members WHERE namespace_id = $1 AND subject = $2", n.ID, was.Subject)
		return &journal.Change{Action: "namespace.member.remove", Target: n.Name, From: map[string]any{"member": was.Subject, "role": was.Role}}, err
	})
}

// canonicalSubject returns a subject with a distinguished name in canonical spelling. So a
// member has only one role in a namespace, and can be removed by any spelling.
func canonicalSubject(subject string) string {
	kind, name, _ := strings.Cut(subject, ":")
	if c := dn.Canonical(name); c != name {
		return kind + ":" + c
	}
	return subject
}

// mayBeMember returns an error for subjects that the actor cannot make members. Robots of
// another namespace are deleted with that namespace, and a later robot can have the same name.
// So only actors who may write all namespaces can add robots of another namespace.
func (b *Rulebook) mayBeMember(by admin.Actor, subject, namespace string) error {
	if err := checkSubject(subject); err != nil {
		return err
	}
	robot, ok := strings.CutPrefix(subject, "robot:")
	if !ok {
		return nil
	}
	if in, _, ok := RobotIn(robot); ok && in != namespace && !b.May(by, admin.RightNamespaces, scope.Write) {
		return admin.Invalid("subject", "%s is a robot of the namespace %s", subject, in)
	}
	return nil
}

// requireAssignable returns an error if a member cannot have the role.
func requireAssignable(ctx context.Context, tx *sql.Tx, n *Namespace, role string) error {
	if builtInRole(role) != 0 {
		return nil
	}
	for _, in := range []string{n.ID, ""} {
		r, err := findRole(ctx, tx, in, role)
		if errors.Is(err, admin.ErrNotFound) {
			continue
		}
		if err == nil && r.Actions&scope.Repository == 0 {
			err = admin.Invalid("role", "the role %s has no actions on repositories", role)
		}
		return err
	}
	own, err := store.Texts(ctx, tx, "SELECT name FROM rulebook_roles WHERE namespace_id = $1 OR namespace_id = '' ORDER BY name LIMIT 10", n.ID)
	if err != nil {
		return err
	}
	return admin.Invalid("role", "there is no role %.80q: there are %s", role,
		strings.Join(slices.Compact(append([]string{Owner, Maintainer, Writer, Reader}, own...)), ", "))
}
