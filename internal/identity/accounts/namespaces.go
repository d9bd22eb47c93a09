package accounts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// A robot whose name begins with the name of a namespace, such as team.ci, belongs to the
// namespace if the namespace existed first. The owners of the namespace manage the robot, and it
// is deleted with the namespace. Other robots need accounts:write.

// Robots returns the robots of a namespace in the order of their names, and the start of the next
// page.
func (a *Accounts) Robots(ctx context.Context, by admin.Actor, namespace string, page admin.Page) (list []Account, next string, err error) {
	defer admin.Wrap(&err, "listing the robots of %.130q", namespace)
	if a.mayRead(by) != nil && !a.May(by, admin.RightNamespace+namespace, scope.Read) {
		return nil, "", admin.ErrNotFound
	}
	prefix := strings.ReplaceAll(namespace, "/", ".") + "."
	return a.list(ctx, page, "namespace <> '' AND kind = 'robot' AND substr(name, 1, $3) = $4", len(prefix), prefix)
}

// mayKeepSome checks that the actor may change accounts, or owns the namespace in the robot's
// login. It needs no query. mayKeep then checks whether the robot belongs to that namespace.
func (a *Accounts) mayKeepSome(by admin.Actor, login string) error {
	err := a.mayWrite(by)
	if err != nil && a.owns(by, login) {
		return nil
	}
	return err
}

// mayKeep checks that the actor may change this account, by mayChange or as an owner of the
// robot's namespace. Owners may not change a robot that is in a group or that has rights over
// Tidewaiter by a rule: with its secret they would get those rights.
func (a *Accounts) mayKeep(ctx context.Context, tx *sql.Tx, by admin.Actor, r *record) error {
	err := a.mayChange(by, r.principal())
	if err == nil || r.namespace == "" || len(r.Groups) > 0 || !a.owns(by, r.Login()) || a.trusted(by, r.principal()) {
		return err
	}
	namespace, _, _ := rulebook.RobotIn(r.Name)
	id, held := rulebook.LockNamespace(ctx, tx, namespace)
	switch {
	case errors.Is(held, admin.ErrNotFound), held == nil && id != r.namespace:
		return err
	case held != nil:
		return held
	}
	return nil
}

// trusted reports whether who has, at any time of the week, a right over Tidewaiter other than
// over a namespace.
func (a *Accounts) trusted(by admin.Actor, who *policy.Principal) bool {
	as := admin.Actor{Principal: who, Remote: by.Remote}
	return slices.ContainsFunc([]string{admin.RightAccounts, admin.RightAdministrators, admin.RightJournal, admin.RightPolicy, admin.RightNamespaces}, func(right string) bool {
		return a.rights.Might(as, right, scope.Read) || a.rights.Might(as, right, scope.Write)
	})
}

// owns reports whether the actor owns the namespace in a robot's login.
func (a *Accounts) owns(by admin.Actor, login string) bool {
	kind, name, ok := parseLogin(login)
	namespace, _, namespaced := rulebook.RobotIn(name)
	return ok && namespaced && kind == policy.Robot && !by.Restricted() && a.May(by, admin.RightNamespace+namespace, scope.Write)
}

// Forget clears the cache of verified credentials, after a caller changed accounts in its own
// transaction. Other processes notice such a change by themselves.
func (a *Accounts) Forget() { a.warm.forget() }

// settle finds the namespace that a new robot belongs to. Without one, adding it requires
// accounts:write.
func (a *Accounts) settle(ctx context.Context, tx *sql.Tx, by admin.Actor, r *record) (err error) {
	namespace, _, ok := rulebook.RobotIn(r.Name)
	if ok {
		r.namespace, err = rulebook.LockNamespace(ctx, tx, namespace)
	}
	if err != nil && !errors.Is(err, admin.ErrNotFound) {
		return err
	}
	return a.mayKeep(ctx, tx, by, r)
}

// Release deletes the robots of a namespace with their tokens, in the transaction that deletes
// the namespace. The topic of that transaction must be accounts. Call Forget after it.
func Release(ctx context.Context, tx *sql.Tx, namespace string) error {
	if namespace == "" {
		return errors.New("deleting the robots of a namespace: the namespace is empty")
	}
	for _, query := range []string{
		"DELETE FROM account_tokens WHERE owner_source = 'accounts' AND owner_id IN (SELECT id FROM accounts WHERE namespace = $1)",
		"DELETE FROM account_members WHERE account_id IN (SELECT id FROM accounts WHERE namespace = $1)",
		"DELETE FROM accounts WHERE namespace = $1",
	} {
		if _, err := tx.ExecContext(ctx, query, namespace); err != nil {
			return fmt.Errorf("deleting the robots of a namespace: %w", err)
		}
	}
	return nil
}
