package rulebook

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/scope"
)

// AddRole adds a role to a namespace, or a shared role if namespace is "". The error is
// ErrExists if the database already has a role of this name. For a shared role, the name must
// not be in a file either.
func (b *Rulebook) AddRole(ctx context.Context, by admin.Actor, namespace string, role Role) (_ Role, err error) {
	defer admin.Wrap(&err, "adding role %.80q", role.Name)
	r := Role{Version: 1, Name: role.Name, Actions: role.Actions, Lifetime: role.Lifetime}
	err = b.changeRole(ctx, by, namespace, &r, func(tx *sql.Tx, in *Namespace) (*journal.Change, error) {
		if err := checkRole(&r, namespace != ""); err != nil {
			return nil, err
		}
		if _, taken := b.currentFiles().Source.Roles[r.Name]; taken && namespace == "" {
			return nil, fmt.Errorf("%w, in the files", admin.ErrExists)
		}
		if namespace != "" {
			var n int
			if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM rulebook_roles WHERE namespace_id = $1", in.ID).Scan(&n); err != nil {
				return nil, err
			}
			if n >= maxRoles {
				return nil, admin.Invalid("name", "the namespace has %d roles, which is the limit", n)
			}
		}
		r.ID, r.Created = b.writer.NewID(), b.writer.Time()
		r.Changed = r.Created
		return &journal.Change{Action: "role.add", To: r.journalForm()}, insertRole(ctx, tx, in.ID, &r)
	})
	return r, err
}

// SetRole changes the actions and lifetime of a role. The rules and members that use the role get
// the new actions, and must still be valid. If the role does not change, nothing is written.
func (b *Rulebook) SetRole(ctx context.Context, by admin.Actor, namespace string, role Role, version int64) (r Role, err error) {
	defer admin.Wrap(&err, "changing role %.80q", role.Name)
	err = b.changeRole(ctx, by, namespace, &role, func(tx *sql.Tx, in *Namespace) (*journal.Change, error) {
		if err := checkRole(&role, namespace != ""); err != nil {
			return nil, err
		}
		if r, err = b.roleToChange(ctx, tx, by, in, role.Name, version); err != nil {
			return nil, err
		}
		if r.Actions == role.Actions && r.Lifetime == role.Lifetime {
			r.Unchanged = true
			return nil, nil
		}
		from := r.journalForm()
		r.Actions, r.Lifetime, r.Changed = role.Actions, role.Lifetime, b.writer.Time()
		r.Version++
		if err := updateRole(ctx, tx, &r); err != nil {
			return nil, err
		}
		if namespace == "" {
			err = b.checkUses(ctx, tx, &r)
		}
		return &journal.Change{Action: "role.set", From: from, To: r.journalForm()}, err
	})
	return r, err
}

// DeleteRole deletes a role that is not in use.
func (b *Rulebook) DeleteRole(ctx context.Context, by admin.Actor, namespace, name string, version int64) (err error) {
	defer admin.Wrap(&err, "deleting role %.80q", name)
	return b.changeRole(ctx, by, namespace, &Role{Name: name}, func(tx *sql.Tx, in *Namespace) (*journal.Change, error) {
		r, err := b.roleToChange(ctx, tx, by, in, name, version)
		if err != nil {
			return nil, err
		}
		users, err := roleUsers(ctx, tx, in, name)
		if err != nil {
			return nil, err
		}
		if len(users) > 0 {
			return nil, admin.Invalid("name", "the role is still used by %s", strings.Join(users, ", "))
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM rulebook_roles WHERE id = $1", r.ID)
		return &journal.Change{Action: "role.delete", From: r.journalForm()}, err
	})
}

// Role returns a role of a namespace, or a shared role if namespace is "".
func (b *Rulebook) Role(ctx context.Context, by admin.Actor, namespace, name string) (_ Role, err error) {
	defer admin.Wrap(&err, "looking up role %.80q", name)
	in, err := b.rolesOf(ctx, by, namespace)
	if err != nil {
		return Role{}, err
	}
	r, err := findRole(ctx, b.o.DB.Read(), in, name)
	return r, roleIn(err, namespace)
}

// roleIn adds the namespace to err if err is about a missing role. The namespace "" stands for
// the shared roles.
func roleIn(err error, namespace string) error {
	if missing, ok := errors.AsType[*admin.NotFoundError](err); ok && namespace != "" {
		missing.In = "the namespace " + namespace
	}
	return err
}

// Roles returns the roles of a namespace, or the shared roles if namespace is "", sorted by
// name, and where the next page begins.
func (b *Rulebook) Roles(ctx context.Context, by admin.Actor, namespace string, page admin.Page) (list []Role, next string, err error) {
	defer admin.Wrap(&err, "listing roles")
	in, err := b.rolesOf(ctx, by, namespace)
	if err != nil {
		return nil, "", err
	}
	return admin.List(ctx, b.o.DB.Read(), page, scanRole, func(r *Role) string { return r.Name },
		roleQuery+" WHERE name > $1 AND namespace_id = $3 ORDER BY name LIMIT $2", in)
}

// rolesOf returns the id of the namespace whose roles are read, or "" for the shared roles.
func (b *Rulebook) rolesOf(ctx context.Context, by admin.Actor, namespace string) (string, error) {
	if namespace == "" {
		return "", b.requireRight(by, admin.RightPolicy, scope.Read)
	}
	n, err := b.Namespace(ctx, by, namespace)
	return n.ID, err
}

// changeRole changes a shared role or a role of a namespace. A change of a namespace's role
// increases the namespace's version.
func (b *Rulebook) changeRole(ctx context.Context, by admin.Actor, namespace string, r *Role, f func(*sql.Tx, *Namespace) (*journal.Change, error)) error {
	if namespace != "" {
		by.Seen = "" // Seen is the id of a role; f checks it
		_, err := b.changeNamespace(ctx, by, namespace, 0, func(tx *sql.Tx, in *Namespace) (*journal.Change, error) {
			note, err := f(tx, in)
			if note != nil {
				note.Action, note.Target = "namespace."+note.Action, in.Name
			}
			return note, err
		})
		return err
	}
	return b.commitChange(ctx, by, func(tx *sql.Tx) (*journal.Change, error) {
		if err := cmp.Or(b.requireRight(by, admin.RightPolicy, scope.Write), b.mayGrantActions(by, r.Actions)); err != nil {
			return nil, err
		}
		note, err := f(tx, new(Namespace))
		if note != nil {
			note.Target = r.Name
		}
		return note, err
	})
}

// mayGrantActions returns an error if the actions include rights over Tidewaiter and the actor
// is not an administrator.
func (b *Rulebook) mayGrantActions(by admin.Actor, actions scope.Actions) error {
	if actions&(scope.Read|scope.Write) != 0 && !b.May(by, admin.RightAdministrators, scope.Write) {
		return fmt.Errorf("a role with rights over Tidewaiter itself %w", admin.Requires(admin.RightAdministrators, scope.Write))
	}
	return nil
}

func (b *Rulebook) roleToChange(ctx context.Context, tx *sql.Tx, by admin.Actor, in *Namespace, name string, version int64) (Role, error) {
	r, err := findRole(ctx, tx, in.ID, name)
	return r, cmp.Or(roleIn(err, in.Name), by.CheckSeen(r.ID, r.Version, version), b.mayGrantActions(by, r.Actions))
}

// checkUses checks that all uses of a changed role are still valid. The rules that name the role
// must compile. If members of namespaces have the role, it must have actions on repositories.
func (b *Rulebook) checkUses(ctx context.Context, tx *sql.Tx, r *Role) error {
	known, err := currentRoles(ctx, tx, b.currentFiles())
	if err != nil {
		return err
	}
	rules, err := store.Collect(ctx, tx, scanRule, ruleQuery+" WHERE role = $1 ORDER BY name", r.Name)
	if err != nil {
		return err
	}
	for i := range rules {
		compiled, err := policyRule(&rules[i].Content, b.o.When)
		if err == nil {
			err = ruleset.Compiled(compiled, known, compiled.Registries)
		}
		if problems, ok := errors.AsType[ruleset.Problems](err); ok {
			return admin.Invalid("actions", "the rule %q, which uses the role, would be invalid: %s", rules[i].Name, problems[0].Text)
		}
		if err != nil {
			return err
		}
	}
	if r.Actions&scope.Repository == 0 {
		members, err := membersWith(ctx, tx, r.Name)
		if err == nil && len(members) > 0 {
			err = admin.Invalid("actions", "the role would have no actions on repositories for %s", strings.Join(members, ", "))
		}
		return err
	}
	return nil
}

// roleUsers returns up to ten rules and members that use a role of a namespace, for an error text.
func roleUsers(ctx context.Context, tx *sql.Tx, namespace *Namespace, role string) (users []string, err error) {
	if namespace.ID != "" {
		// Without this check, members would silently get a shared role of the same name.
		return store.Texts(ctx, tx, "SELECT subject FROM namespace_members WHERE namespace_id = $1 AND role = $2 ORDER BY subject LIMIT 5", namespace.ID, role)
	}
	rules, err := store.Texts(ctx, tx, "SELECT name FROM rulebook_rules WHERE role = $1 ORDER BY name LIMIT 5", role)
	if err != nil {
		return nil, err
	}
	for _, name := range rules {
		users = append(users, fmt.Sprintf("the rule %q", name))
	}
	members, err := membersWith(ctx, tx, role)
	return append(users, members...), err
}

// membersWith returns up to five members of namespaces that have a shared role, for an error
// text.
func membersWith(ctx context.Context, tx *sql.Tx, role string) ([]string, error) {
	if builtInRole(role) != 0 {
		return nil, nil // members whose role has this name have the built-in role
	}
	return store.Collect(ctx, tx, func(row store.Row) (string, error) {
		var subject, namespace string
		err := row.Scan(&subject, &namespace)
		return subject + " in the namespace " + namespace, err
	}, `
		SELECT m.subject, n.name FROM namespace_members m JOIN namespaces n ON n.id = m.namespace_id
		WHERE m.role = $1 AND NOT EXISTS (SELECT 1 FROM rulebook_roles r WHERE r.namespace_id = m.namespace_id AND r.name = m.role)
		ORDER BY n.name, m.subject LIMIT 5`, role)
}

// journalForm returns the role as the journal records it.
func (r *Role) journalForm() map[string]any {
	words := map[string]any{"id": r.ID, "role": r.Name, "actions": r.Actions.String()}
	if r.Lifetime > 0 {
		words["lifetime"] = r.Lifetime.String()
	}
	return words
}
