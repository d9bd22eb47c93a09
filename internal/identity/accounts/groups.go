package accounts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// AddGroup adds a group without members.
func (a *Accounts) AddGroup(ctx context.Context, by Actor, name string) (Group, error) {
	g := Group{Name: name, Version: 1}
	err := a.mayWrite(by)
	if err == nil {
		err = checkName(name)
	}
	if err == nil {
		err = a.change(ctx, added, by, func(tx *sql.Tx) (*journal.Change, error) {
			return a.once(ctx, tx, by, "group.add", name, func() (string, *journal.Change, error) {
				g.ID, g.Created = a.newID(), a.now()
				return g.ID, &journal.Change{Action: "group.add", Target: name, To: map[string]any{"id": g.ID}}, insertGroup(ctx, tx, &g)
			}, func(id string) (_ *journal.Change, err error) {
				if g, err = findGroup(ctx, tx, name); err == nil && g.ID != id {
					err = ErrNotFound
				}
				return nil, err
			})
		})
	}
	if err != nil {
		return Group{}, fmt.Errorf("adding group %.80q: %w", name, err)
	}
	return g, nil
}

// Group returns a group.
func (a *Accounts) Group(ctx context.Context, by Actor, name string) (Group, error) {
	if err := a.mayRead(by); err != nil {
		return Group{}, err
	}
	g, err := findGroup(ctx, a.o.DB.Read(), name)
	if err != nil {
		return Group{}, fmt.Errorf("looking up group %.80q: %w", name, err)
	}
	return g, nil
}

// Groups returns groups in the order of their names, and the start of the next page.
func (a *Accounts) Groups(ctx context.Context, by Actor, page Page) (list []Group, next string, err error) {
	if err := a.mayRead(by); err != nil {
		return nil, "", err
	}
	list, err = store.Collect(ctx, a.o.DB.Read(), scanGroup, groupQuery+" WHERE g.name > $1 ORDER BY g.name LIMIT $2", page.After, page.Size()+1)
	if err != nil {
		return nil, "", fmt.Errorf("listing groups: %w", err)
	}
	list, next = cut(list, page.Size(), func(g *Group) string { return g.Name })
	return list, next, nil
}

// Members returns the logins of a group's members in the order of their names, and the start of
// the next page.
func (a *Accounts) Members(ctx context.Context, by Actor, group string, page Page) (logins []string, next string, err error) {
	if err := a.mayRead(by); err != nil {
		return nil, "", err
	}
	g, err := findGroup(ctx, a.o.DB.Read(), group)
	if err != nil {
		return nil, "", fmt.Errorf("listing the members of %.80q: %w", group, err)
	}
	kind, name, _ := parseLogin(page.After)
	login := func(row store.Row) (string, error) {
		var r record
		var kind string
		err := row.Scan(&kind, &r.Name)
		err = errors.Join(err, r.Kind.UnmarshalText([]byte(kind)))
		return r.Login(), err
	}
	logins, err = store.Collect(ctx, a.o.DB.Read(), login, `
		SELECT a.kind, a.name FROM account_members m JOIN accounts a ON a.id = m.account_id
		WHERE m.group_id = $1 AND (a.name > $2 OR a.name = $2 AND a.kind > $3) ORDER BY a.name, a.kind LIMIT $4`,
		g.ID, name, kind.String(), page.Size()+1)
	if err != nil {
		return nil, "", fmt.Errorf("listing the members of %.80q: %w", group, err)
	}
	logins, next = cut(logins, page.Size(), func(login *string) string { return *login })
	return logins, next, nil
}

// Join adds an account to a group. It succeeds if the account is a member already.
func (a *Accounts) Join(ctx context.Context, by Actor, group, login string, version int64) (Group, error) {
	g, err := a.regroup(ctx, by, group, login, version, true)
	if err != nil {
		return Group{}, fmt.Errorf("adding %.80q to group %.80q: %w", login, group, err)
	}
	return g, nil
}

// Leave removes an account from a group. It succeeds if the account is not a member.
func (a *Accounts) Leave(ctx context.Context, by Actor, group, login string, version int64) (Group, error) {
	g, err := a.regroup(ctx, by, group, login, version, false)
	if err != nil {
		return Group{}, fmt.Errorf("removing %.80q from group %.80q: %w", login, group, err)
	}
	return g, nil
}

func (a *Accounts) regroup(ctx context.Context, by Actor, group, login string, version int64, in bool) (g Group, err error) {
	if err := a.mayWrite(by); err != nil {
		return Group{}, err
	}
	err = a.change(ctx, altered, by, func(tx *sql.Tx) (_ *journal.Change, err error) {
		if g, err = a.groupOrPrivileged(ctx, tx, group, in); err != nil {
			return nil, fmt.Errorf("group: %w", err)
		}
		if err := by.CheckSeen(g.ID, g.Version, version); err != nil {
			return nil, err
		}
		r, err := find(ctx, tx, login)
		if err != nil {
			return nil, fmt.Errorf("account: %w", err)
		}
		// Check the account as a member: only administrators may add or remove other
		// administrators.
		as := r.principal()
		as.Groups = distinct(append(as.Groups, group))
		if err := a.mayChange(by, as); err != nil {
			return nil, err
		}
		if err := a.mayRelease(by, r, group); err != nil {
			return nil, err
		}
		after := as
		if !in {
			after = without(&r, group)
		}
		if err := a.promotes(by, &r, after); err != nil {
			return nil, err
		}
		note := &journal.Change{Action: "group.join", Target: group, To: map[string]any{"member": r.Login(), "id": r.ID}}
		var changed bool
		if in {
			changed, err = insertMember(ctx, tx, g.ID, r.ID)
			g.Size++
		} else {
			note.Action = "group.leave"
			var n int
			n, err = store.Affected(tx.ExecContext(ctx, "DELETE FROM account_members WHERE group_id = $1 AND account_id = $2", g.ID, r.ID))
			changed = n > 0
			g.Size--
		}
		if err != nil {
			return nil, err
		}
		if !changed {
			g, err = findGroup(ctx, tx, group)
			g.Unchanged = true
			return nil, err
		}
		return note, raiseGroup(ctx, tx, &g)
	})
	return g, err
}

// mayRelease checks that the actor may change the account as it is without the group. A deny rule
// for the group may be what keeps the account from being an administrator.
func (a *Accounts) mayRelease(by Actor, r record, group string) error {
	return a.mayChange(by, without(&r, group))
}

// without returns the principal of an account without a group.
func without(r *record, group string) *policy.Principal {
	plain := *r
	plain.Groups = slices.DeleteFunc(slices.Clone(r.Groups), func(g string) bool { return g == group })
	return plain.principal()
}

// mayReleaseAll calls mayRelease for all members. For administrators it checks only members whose
// password or secret a non-administrator set.
func (a *Accounts) mayReleaseAll(ctx context.Context, tx *sql.Tx, by Actor, g *Group) error {
	query := "SELECT account_id FROM account_members WHERE group_id = $1"
	if a.May(by, rightAdministrators, scope.Write) {
		query = "SELECT m.account_id FROM account_members m JOIN accounts a ON a.id = m.account_id WHERE m.group_id = $1 AND a.lent = 1"
	}
	members, err := store.Texts(ctx, tx, query, g.ID)
	for _, id := range members {
		if err != nil {
			break
		}
		var r record
		if r, err = findID(ctx, tx, id); err == nil {
			if err = a.mayRelease(by, r, g.Name); err == nil {
				err = a.promotes(by, &r, without(&r, g.Name))
			}
		}
	}
	return err
}

// groupOrPrivileged finds a group. Administrators and Auditors are created when the first account
// joins.
func (a *Accounts) groupOrPrivileged(ctx context.Context, tx *sql.Tx, name string, in bool) (Group, error) {
	g, err := findGroup(ctx, tx, name)
	if errors.Is(err, ErrNotFound) && in && privileged(name) {
		g = Group{ID: a.newID(), Name: name, Version: 1, Created: a.now()}
		err = insertGroup(ctx, tx, &g)
	}
	return g, err
}

// DeleteGroup deletes a group. Its members stay.
func (a *Accounts) DeleteGroup(ctx context.Context, by Actor, name string, version int64) error {
	err := a.mayWrite(by)
	if err == nil {
		err = a.change(ctx, altered, by, func(tx *sql.Tx) (*journal.Change, error) {
			if privileged(name) && !a.May(by, rightAdministrators, scope.Write) {
				return nil, rulebook.Requires(rightAdministrators, scope.Write)
			}
			as := &policy.Principal{Kind: policy.User, Source: Source, Groups: []string{name}}
			if err := a.mayChange(by, as); err != nil {
				return nil, err
			}
			g, err := findGroup(ctx, tx, name)
			if err != nil {
				return nil, err
			}
			if err := by.CheckSeen(g.ID, g.Version, version); err != nil {
				return nil, err
			}
			if err := a.mayReleaseAll(ctx, tx, by, &g); err != nil {
				return nil, err
			}
			n, err := store.Affected(tx.ExecContext(ctx, "DELETE FROM account_groups WHERE id = $1 AND version = $2", g.ID, g.Version))
			if err == nil && n == 0 {
				err = ErrChanged
			}
			if err == nil {
				_, err = tx.ExecContext(ctx, "DELETE FROM account_members WHERE group_id = $1", g.ID)
			}
			return &journal.Change{Action: "group.delete", Target: name, From: map[string]any{"id": g.ID, "members": g.Size}}, err
		})
	}
	if err != nil {
		return fmt.Errorf("deleting group %.80q: %w", name, err)
	}
	return nil
}
