package accounts

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// The name of a robot such as team.ci begins with the name of a namespace. The robot belongs to
// this namespace if the namespace existed before the robot. The owners of the namespace manage the
// robot, and the robot is deleted together with the namespace. To change any other robot, an actor
// needs accounts:write.

// Robots returns a page of the robots of a namespace, sorted by name. The second result is
// Page.After for the next page, or "" if there is no next page.
func (a *Accounts) Robots(ctx context.Context, by admin.Actor, namespace string, page admin.Page) (list []Account, next string, err error) {
	defer admin.Wrap(&err, "listing the robots of %.130q", namespace)
	if a.rights.Require(by, admin.RightAccounts, scope.Read) != nil && !a.rights.May(by, admin.RightNamespace+namespace, scope.Read) {
		return nil, "", &admin.NotFoundError{Kind: "namespace", Name: namespace}
	}
	prefix := strings.ReplaceAll(namespace, "/", ".") + "."
	return a.list(ctx, page, "namespace <> '' AND kind = 'robot' AND substr(name, 1, $3) = $4", len(prefix), prefix)
}

// mayManageLogin checks that the actor may change accounts, or that the login belongs to a robot
// in a namespace that the actor owns. mayManageLogin sends no query. Afterwards, mayManage checks
// whether the robot belongs to that namespace.
func (a *Accounts) mayManageLogin(by admin.Actor, login string) error {
	err := a.rights.Require(by, admin.RightAccounts, scope.Write)
	if err != nil && a.ownsRobot(by, login) {
		return nil
	}
	return err
}

// mayManage checks that the actor may change this account. The actor needs the rights that
// Rights.MayChange checks, or must own the robot's namespace. Owners may not change a robot that
// is in a group or that has rights over Tidewaiter by a rule. Otherwise owners could get the
// rights of the robot by setting its secret.
func (a *Accounts) mayManage(ctx context.Context, tx *sql.Tx, by admin.Actor, r *record) error {
	err := a.rights.MayChange(by, r.principal())
	if err == nil || r.namespace == "" || len(r.Groups) > 0 || !a.ownsRobot(by, r.Login()) || a.hasRights(by, r.principal()) {
		return err
	}
	namespace, _, _ := rulebook.RobotIn(r.Name)
	id, lockErr := rulebook.LockNamespace(ctx, tx, namespace)
	if errors.Is(lockErr, admin.ErrNotFound) || lockErr == nil && id != r.namespace {
		return err
	}
	return lockErr
}

// hasRights reports whether a principal has any right over Tidewaiter. If a right depends on the
// condition of a rule, the result is true. Rights over a namespace do not count.
func (a *Accounts) hasRights(by admin.Actor, who *policy.Principal) bool {
	as := admin.Actor{Principal: who, Remote: by.Remote}
	return slices.ContainsFunc(ruleset.Rights, func(right string) bool {
		return a.rights.Might(as, right, scope.Read) || a.rights.Might(as, right, scope.Write)
	})
}

// ownsRobot reports whether the login belongs to a robot whose name begins with the name of a
// namespace that the actor owns.
func (a *Accounts) ownsRobot(by admin.Actor, login string) bool {
	kind, name, ok := parseLogin(login)
	namespace, _, namespaced := rulebook.RobotIn(name)
	return ok && namespaced && kind == policy.Robot && !by.Restricted() && a.rights.May(by, admin.RightNamespace+namespace, scope.Write)
}

// findNamespace finds the namespace of a new robot by the beginning of the robot's name. It also
// checks that the actor may add the robot. If there is no such namespace, the actor needs
// accounts:write.
func (a *Accounts) findNamespace(ctx context.Context, tx *sql.Tx, by admin.Actor, r *record) (err error) {
	namespace, _, ok := rulebook.RobotIn(r.Name)
	if ok {
		r.namespace, err = rulebook.LockNamespace(ctx, tx, namespace)
	}
	if err != nil && !errors.Is(err, admin.ErrNotFound) {
		return err
	}
	return a.mayManage(ctx, tx, by, r)
}

// DeleteOwned deletes the robots of a namespace with their tokens, in the transaction that
// deletes the namespace. The topic of that transaction must be admin.AccountsTopic. Call
// Credentials.Forget after the transaction.
func DeleteOwned(ctx context.Context, tx *sql.Tx, namespace string) (err error) {
	defer admin.Wrap(&err, "deleting the robots of a namespace")
	if namespace == "" {
		return errors.New("the namespace is empty")
	}
	robots, err := store.Texts(ctx, tx, "SELECT id FROM accounts WHERE namespace = $1", namespace)
	if err != nil {
		return err
	}
	for _, id := range robots {
		if _, err := credentials.DeleteTokens(ctx, tx, credentials.Owner{Source: Source, ID: id}, ""); err != nil {
			return err
		}
	}
	for _, query := range []string{
		"DELETE FROM account_members WHERE account_id IN (SELECT id FROM accounts WHERE namespace = $1)",
		"DELETE FROM accounts WHERE namespace = $1",
	} {
		if _, err := tx.ExecContext(ctx, query, namespace); err != nil {
			return err
		}
	}
	return nil
}
