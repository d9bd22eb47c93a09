package accounts

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// AddGroup adds a group without members.
func (a *Accounts) AddGroup(ctx context.Context, by admin.Actor, name string) (_ Group, err error) {
	defer admin.Wrap(&err, "adding group %.80q", name)
	g := Group{Name: name, Version: 1}
	if err := cmp.Or(a.rights.Require(by, admin.RightAccounts, scope.Write), admin.CheckName(name)); err != nil {
		return Group{}, err
	}
	err = a.change(ctx, by, false, func(tx *sql.Tx) (*journal.Change, error) {
		return a.writer.WithIdempotency(ctx, tx, by, "group.add", name, func() (string, *journal.Change, error) {
			g.ID, g.Created = a.writer.NewID(), a.writer.Time()
			return g.ID, &journal.Change{Action: "group.add", Target: name, To: map[string]any{"id": g.ID}}, insertGroup(ctx, tx, &g)
		}, func(id string) (_ *journal.Change, err error) {
			if g, err = findGroup(ctx, tx, name); err == nil && g.ID != id {
				err = admin.ErrNotFound
			}
			return nil, err
		})
	})
	return g, err
}

// Group returns a group.
func (a *Accounts) Group(ctx context.Context, by admin.Actor, name string) (_ Group, err error) {
	defer admin.Wrap(&err, "looking up group %.80q", name)
	if err := a.rights.Require(by, admin.RightAccounts, scope.Read); err != nil {
		return Group{}, err
	}
	return findGroup(ctx, a.writer.DB.Read(), name)
}

// Groups returns a page of groups, sorted by name. The second result is Page.After for the
// next page, or "" if there is no next page.
func (a *Accounts) Groups(ctx context.Context, by admin.Actor, page admin.Page) (list []Group, next string, err error) {
	defer admin.Wrap(&err, "listing groups")
	if err := a.rights.Require(by, admin.RightAccounts, scope.Read); err != nil {
		return nil, "", err
	}
	return admin.List(ctx, a.writer.DB.Read(), page, scanGroup, func(g *Group) string { return g.Name },
		groupQuery+" WHERE g.name > $1 ORDER BY g.name LIMIT $2")
}

// Members returns a page of the logins of a group's members, sorted by name. The second result
// is Page.After for the next page, or "" if there is no next page.
func (a *Accounts) Members(ctx context.Context, by admin.Actor, group string, page admin.Page) (logins []string, next string, err error) {
	defer admin.Wrap(&err, "listing the members of %.80q", group)
	if err := a.rights.Require(by, admin.RightAccounts, scope.Read); err != nil {
		return nil, "", err
	}
	g, err := findGroup(ctx, a.writer.DB.Read(), group)
	if err != nil {
		return nil, "", err
	}
	kind, name, _ := parseLogin(page.After)
	page.After = name
	login := func(row store.Row) (string, error) {
		var r record
		var kind string
		err := row.Scan(&kind, &r.Name)
		err = errors.Join(err, r.Kind.UnmarshalText([]byte(kind)))
		return r.Login(), err
	}
	return admin.List(ctx, a.writer.DB.Read(), page, login, func(login *string) string { return *login }, `
		SELECT a.kind, a.name FROM account_members m JOIN accounts a ON a.id = m.account_id
		WHERE m.group_id = $3 AND (a.name > $1 OR a.name = $1 AND a.kind > $4) ORDER BY a.name, a.kind LIMIT $2`, g.ID, kind.String())
}

// Join adds an account to a group. Join also succeeds if the account is a member already.
func (a *Accounts) Join(ctx context.Context, by admin.Actor, group, login string, version int64) (_ Group, err error) {
	defer admin.Wrap(&err, "adding %.80q to group %.80q", login, group)
	return a.setMembership(ctx, by, group, login, version, true)
}

// Leave removes an account from a group. Leave also succeeds if the account is not a member.
func (a *Accounts) Leave(ctx context.Context, by admin.Actor, group, login string, version int64) (_ Group, err error) {
	defer admin.Wrap(&err, "removing %.80q from group %.80q", login, group)
	return a.setMembership(ctx, by, group, login, version, false)
}

func (a *Accounts) setMembership(ctx context.Context, by admin.Actor, group, login string, version int64, in bool) (g Group, err error) {
	if err := a.rights.Require(by, admin.RightAccounts, scope.Write); err != nil {
		return Group{}, err
	}
	err = a.change(ctx, by, true, func(tx *sql.Tx) (_ *journal.Change, err error) {
		if in {
			g, err = a.findOrAddGroup(ctx, tx, group)
		} else {
			g, err = findGroup(ctx, tx, group)
		}
		if err != nil {
			return nil, err
		}
		if err := by.CheckSeen(g.ID, g.Version, version); err != nil {
			return nil, err
		}
		r, err := find(ctx, tx, login)
		if err != nil {
			return nil, err
		}
		// Check the account with its rights as a member of the group, because only
		// administrators may add or remove other administrators.
		as := r.principal()
		as.Groups = distinct(append(as.Groups, group))
		after := as
		if !in {
			after = principalWithout(&r, group)
		}
		if err := cmp.Or(a.rights.MayChange(by, as), a.mayRelease(by, r, group), a.wouldPromote(by, &r, after)); err != nil {
			return nil, err
		}
		change := &journal.Change{Action: "group.join", Target: group, To: map[string]any{"member": r.Login(), "id": r.ID}}
		var changed bool
		if in {
			changed, err = insertMember(ctx, tx, g.ID, r.ID)
			g.Size++
		} else {
			change.Action = "group.leave"
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
		return change, raiseGroup(ctx, tx, &g)
	})
	return g, err
}

// mayRelease checks that the actor may change the account r, with the rights that r will have
// without the group. Leaving a group can make an account an administrator. For example, a rule
// grants an account the rights of an administrator, but a deny rule for the group overrides that
// rule as long as the account is a member.
func (a *Accounts) mayRelease(by admin.Actor, r record, group string) error {
	return a.rights.MayChange(by, principalWithout(&r, group))
}

// principalWithout returns r's principal as it would be if r were not in the group.
func principalWithout(r *record, group string) *policy.Principal {
	plain := *r
	plain.Groups = slices.DeleteFunc(slices.Clone(r.Groups), func(g string) bool { return g == group })
	return plain.principal()
}

// isPrivileged reports whether the built-in rules give a group rights over Tidewaiter.
func isPrivileged(group string) bool {
	return group == admin.Administrators || group == admin.Auditors
}

// mayReleaseAll calls mayRelease for the members of a group. If the actor is an administrator,
// it checks only the members whose password or secret a delegate has set.
func (a *Accounts) mayReleaseAll(ctx context.Context, tx *sql.Tx, by admin.Actor, g *Group) error {
	query := "SELECT account_id FROM account_members WHERE group_id = $1"
	if a.rights.May(by, admin.RightAdministrators, scope.Write) {
		query = "SELECT m.account_id FROM account_members m JOIN accounts a ON a.id = m.account_id WHERE m.group_id = $1 AND a.lent = 1"
	}
	members, err := store.Texts(ctx, tx, query, g.ID)
	for _, id := range members {
		if err != nil {
			break
		}
		var r record
		if r, err = findID(ctx, tx, id); err == nil {
			err = cmp.Or(a.mayRelease(by, r, g.Name), a.wouldPromote(by, &r, principalWithout(&r, g.Name)))
		}
	}
	return err
}

// findOrAddGroup finds a group. The groups Administrators and Auditors are created when the
// first account joins them.
func (a *Accounts) findOrAddGroup(ctx context.Context, tx *sql.Tx, name string) (Group, error) {
	g, err := findGroup(ctx, tx, name)
	if errors.Is(err, admin.ErrNotFound) && isPrivileged(name) {
		g = Group{ID: a.writer.NewID(), Name: name, Version: 1, Created: a.writer.Time()}
		if err = insertGroup(ctx, tx, &g); errors.Is(err, admin.ErrExists) {
			g, err = findGroup(ctx, tx, name)
		}
	}
	return g, err
}

// DeleteGroup deletes a group, but not the accounts of its members.
func (a *Accounts) DeleteGroup(ctx context.Context, by admin.Actor, name string, version int64) (err error) {
	defer admin.Wrap(&err, "deleting group %.80q", name)
	if err := a.rights.Require(by, admin.RightAccounts, scope.Write); err != nil {
		return err
	}
	return a.change(ctx, by, true, func(tx *sql.Tx) (*journal.Change, error) {
		as := &policy.Principal{Kind: policy.User, Source: Source, Groups: []string{name}}
		if err := a.rights.MayChange(by, as); err != nil {
			return nil, err
		}
		g, err := findGroup(ctx, tx, name)
		if err := cmp.Or(err, by.CheckSeen(g.ID, g.Version, version)); err != nil {
			return nil, err
		}
		if err := a.mayReleaseAll(ctx, tx, by, &g); err != nil {
			return nil, err
		}
		err = admin.OrChanged(tx.ExecContext(ctx, "DELETE FROM account_groups WHERE id = $1 AND version = $2", g.ID, g.Version))
		if err == nil {
			_, err = tx.ExecContext(ctx, "DELETE FROM account_members WHERE group_id = $1", g.ID)
		}
		return &journal.Change{Action: "group.delete", Target: name, From: map[string]any{"id": g.ID, "members": g.Size}}, err
	})
}
