package rulebook

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/scope"
)

// AddNamespace adds a namespace. The error is ErrExists if the name is in use. It is an
// InvalidError if the namespace would be inside another namespace or contain another namespace.
func (b *Rulebook) AddNamespace(ctx context.Context, by admin.Actor, n NewNamespace) (_ Namespace, err error) {
	defer admin.Wrap(&err, "adding namespace %.130q", n.Name)
	made := Namespace{Version: 1, Name: n.Name, Visibility: cmp.Or(n.Visibility, Private), Size: len(n.Owners)}
	err = b.commitChange(ctx, by, func(tx *sql.Tx) (*journal.Change, error) {
		if err := cmp.Or(b.requireRight(by, admin.RightNamespaces, scope.Write), checkNamespace(n.Name), made.Visibility.check()); err != nil {
			return nil, err
		}
		if err := checkOverlap(ctx, tx, n.Name); err != nil {
			return nil, err
		}
		made.ID, made.Created = b.writer.NewID(), b.writer.Time()
		made.Changed = made.Created
		if err := insertNamespace(ctx, tx, &made); err != nil {
			return nil, err
		}
		for _, subject := range n.Owners {
			err := checkSubject(subject)
			if err == nil {
				err = admin.OrExists(tx.ExecContext(ctx, "INSERT INTO namespace_members (namespace_id, subject, role, created) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
					made.ID, canonicalSubject(subject), Owner, store.Millis(made.Created)))
			}
			if invalid, ok := errors.AsType[*admin.InvalidError](err); ok {
				return nil, admin.Invalid("owners", "%s", invalid.Text)
			}
			if errors.Is(err, admin.ErrExists) {
				return nil, admin.Invalid("owners", "%s is listed twice", subject)
			}
			if err != nil {
				return nil, err
			}
		}
		return &journal.Change{Action: "namespace.add", Target: n.Name, To: map[string]any{"id": made.ID, "visibility": string(made.Visibility), "owners": n.Owners}}, nil
	})
	return made, err
}

// checkOverlap returns an error if a namespace would be inside another namespace or contain
// another namespace.
func checkOverlap(ctx context.Context, tx *sql.Tx, name string) error {
	names, err := store.Texts(ctx, tx, "SELECT name FROM namespaces WHERE name = $1 OR substr(name, 1, $2) = $3 ORDER BY name LIMIT 1", name, len(name)+1, name+"/")
	for outer := name; err == nil && len(names) == 0; {
		cut := strings.LastIndexByte(outer, '/')
		if cut < 0 {
			return nil
		}
		outer = outer[:cut]
		names, err = store.Texts(ctx, tx, "SELECT name FROM namespaces WHERE name = $1", outer)
	}
	switch {
	case err != nil:
		return err
	case names[0] == name:
		return admin.ErrExists
	}
	return admin.Invalid("name", "the namespace %s exists, and a namespace cannot be inside another namespace", names[0])
}

// Namespace returns the namespace with the given name. The error is ErrNotFound if there is no
// such namespace, or if the actor may not read it.
func (b *Rulebook) Namespace(ctx context.Context, by admin.Actor, name string) (_ Namespace, err error) {
	defer admin.Wrap(&err, "looking up namespace %.130q", name)
	if err := b.maySee(by, name); err != nil {
		return Namespace{}, err
	}
	return findNamespace(ctx, b.o.DB.Read(), name)
}

// NamespaceOf returns the namespace of a repository in the policy in force, or "". Namespaces do
// not overlap, so there is at most one.
func (b *Rulebook) NamespaceOf(repository string) string {
	b.mu.Lock()
	known := b.known
	b.mu.Unlock()
	if known == nil {
		return ""
	}
	for end := len(repository); ; {
		if end = strings.LastIndexByte(repository[:end], '/'); end < 0 {
			return ""
		}
		name := repository[:end]
		if _, there := slices.BinarySearchFunc(known.namespaces, name, func(n *namespace, name string) int { return strings.Compare(n.name, name) }); there {
			return name
		}
	}
}

// maySee returns an error if the actor may read neither all namespaces nor this namespace.
func (b *Rulebook) maySee(by admin.Actor, name string) error {
	if b.May(by, admin.RightNamespaces, scope.Read) {
		return nil
	}
	return b.requireRight(by, admin.RightNamespace+name, scope.Read)
}

// namespacesAtOnce is the number of namespaces that a query reads for an actor who may not see
// all of them.
const namespacesAtOnce = 1000

// Namespaces returns the namespaces that the actor may see, sorted by name, and where the next
// page begins.
func (b *Rulebook) Namespaces(ctx context.Context, by admin.Actor, page admin.Page) (list []Namespace, next string, err error) {
	all := b.May(by, admin.RightNamespaces, scope.Read)
	size := page.Size() + 1
	if !all {
		// Read large pages. With small pages, an actor who may see none of ten thousand
		// namespaces would cause thousands of queries for one page.
		size = max(size, namespacesAtOnce)
	}
	for after := page.After; ; {
		more, err := store.Collect(ctx, b.o.DB.Read(), scanNamespace, namespaceQuery+" WHERE n.name > $1 ORDER BY n.name LIMIT $2", after, size)
		if err != nil {
			return nil, "", fmt.Errorf("listing namespaces: %w", err)
		}
		for _, n := range more {
			after = n.Name
			if all || b.May(by, admin.RightNamespace+n.Name, scope.Read) {
				list = append(list, n)
			}
		}
		if len(list) > page.Size() {
			list = list[:page.Size()]
			return list, list[len(list)-1].Name, nil
		}
		if len(more) < size {
			return list, "", nil
		}
	}
}

// SetVisibility sets who may pull from a namespace without being a member.
func (b *Rulebook) SetVisibility(ctx context.Context, by admin.Actor, name string, v Visibility, version int64) (_ Namespace, err error) {
	defer admin.Wrap(&err, "changing namespace %.130q", name)
	return b.changeNamespace(ctx, by, name, version, func(_ *sql.Tx, n *Namespace) (*journal.Change, error) {
		if err := v.check(); err != nil {
			return nil, err
		}
		if n.Visibility == v {
			return nil, nil
		}
		note := &journal.Change{Action: "namespace.set", Target: name, From: map[string]any{"visibility": string(n.Visibility)}, To: map[string]any{"visibility": string(v)}}
		n.Visibility = v
		return note, nil
	})
}

// changeNamespace changes a namespace or its roles or members, if the actor may write it. f
// returns the change to journal, or nil if f changed nothing.
func (b *Rulebook) changeNamespace(ctx context.Context, by admin.Actor, name string, version int64, f func(*sql.Tx, *Namespace) (*journal.Change, error)) (n Namespace, err error) {
	err = b.commitChange(ctx, by, func(tx *sql.Tx) (*journal.Change, error) {
		if err := b.requireRight(by, admin.RightNamespace+name, scope.Write); err != nil {
			return nil, err
		}
		n, err = findNamespace(ctx, tx, name)
		if err := cmp.Or(err, by.CheckSeen(n.ID, n.Version, version)); err != nil {
			return nil, err
		}
		note, err := f(tx, &n)
		if n.Unchanged = err == nil && note == nil; err != nil || note == nil {
			return nil, err
		}
		n.Version++
		n.Changed = b.writer.Time()
		return note, updateNamespace(ctx, tx, &n)
	})
	return n, err
}

// DeleteNamespace deletes a namespace with its members, roles and robots. It does not change the
// registry's content.
func (b *Rulebook) DeleteNamespace(ctx context.Context, by admin.Actor, name string, version int64) (err error) {
	defer admin.Wrap(&err, "deleting namespace %.130q", name)
	if b.o.OnNamespaceDeleted != nil {
		defer b.o.OnNamespaceDeleted() // also after an error, because a failed commit can be stored
	}
	return b.commitChange(ctx, by, func(tx *sql.Tx) (*journal.Change, error) {
		if err := b.requireRight(by, admin.RightNamespaces, scope.Write); err != nil {
			return nil, err
		}
		n, err := findNamespace(ctx, tx, name)
		if err := cmp.Or(err, by.CheckSeen(n.ID, n.Version, version)); err != nil {
			return nil, err
		}
		for _, query := range []string{
			"DELETE FROM namespaces WHERE id = $1",
			"DELETE FROM namespace_members WHERE namespace_id = $1",
			"DELETE FROM rulebook_roles WHERE namespace_id = $1",
		} {
			if _, err := tx.ExecContext(ctx, query, n.ID); err != nil {
				return nil, err
			}
		}
		if err := b.removeRobotMembers(ctx, tx, name); err != nil {
			return nil, err
		}
		if b.o.DeleteOwned != nil {
			if err := b.o.DeleteOwned(ctx, tx, n.ID); err != nil {
				return nil, err
			}
		}
		return &journal.Change{Action: "namespace.delete", Target: name, From: map[string]any{"id": n.ID, "visibility": string(n.Visibility), "members": n.Size}}, nil
	}, "accounts") // the namespace's robots are deleted too
}

// removeRobotMembers removes the robots of a deleted namespace from other namespaces. Otherwise
// robots of a new namespace with the same name would inherit these memberships.
func (b *Rulebook) removeRobotMembers(ctx context.Context, tx *sql.Tx, namespace string) error {
	prefix := "robot:" + strings.ReplaceAll(namespace, "/", ".") + "."
	subjects, err := store.Texts(ctx, tx, "SELECT DISTINCT subject FROM namespace_members WHERE substr(subject, 1, $1) = $2", len(prefix), prefix)
	for _, subject := range subjects {
		if in, _, ok := RobotIn(strings.TrimPrefix(subject, "robot:")); err == nil && ok && in == namespace {
			err = RemoveMember(ctx, b.o.DB, tx, subject)
		}
	}
	return err
}
