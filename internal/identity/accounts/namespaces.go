package accounts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// A robot whose name begins with that of a namespace, as team.ci does, belongs to it if the namespace was there first: its owners
// look after it, and it goes with the namespace. Names of other robots are for who may change accounts.

// Robots returns the robots of a namespace in the order of their names, and where the next page begins.
func (a *Accounts) Robots(ctx context.Context, by Actor, namespace string, page Page) (list []Account, next string, err error) {
	if a.mayRead(by) != nil && !a.May(by, rulebook.RightNamespace+namespace, scope.Read) {
		return nil, "", fmt.Errorf("listing the robots of %.130q: %w", namespace, ErrNotFound)
	}
	prefix := strings.ReplaceAll(namespace, "/", ".") + "."
	records, err := store.Collect(ctx, a.o.DB.Read(), scanAccount, "SELECT "+accountColumns+` FROM accounts
		WHERE namespace <> '' AND kind = 'robot' AND substr(name, 1, $1) = $2 AND name > $3 ORDER BY name LIMIT $4`, len(prefix), prefix, page.After, page.Size()+1)
	if err != nil {
		return nil, "", fmt.Errorf("listing the robots of %.130q: %w", namespace, err)
	}
	records, next = cut(records, page.Size(), func(r *record) string { return r.Name })
	for _, r := range records {
		if r, err = withGroups(ctx, a.o.DB.Read())(r, nil); err != nil {
			return nil, "", fmt.Errorf("listing the robots of %.130q: %w", namespace, err)
		}
		list = append(list, r.Account)
	}
	return list, next, nil
}

// mayKeepSome is an error unless the actor may change accounts, or owns the namespace that a robot of that login would belong to. It is asked before
// anything is looked up; mayKeep says whether it does belong to it.
func (a *Accounts) mayKeepSome(by Actor, login string) error {
	err := a.mayWrite(by)
	if err != nil && a.owns(by, login) {
		return nil
	}
	return err
}

// mayKeep is an error unless the actor may change this account: as mayChange says, or as an owner of the robot's namespace. One that is in
// a group, or that may do something with Tidewaiter by a rule, has rights from elsewhere, and is not for owners: with its secret they
// would have them, too.
func (a *Accounts) mayKeep(ctx context.Context, tx *sql.Tx, by Actor, r *record) error {
	err := a.mayChange(by, r.principal())
	if err == nil || r.namespace == "" || len(r.Groups) > 0 || !a.owns(by, r.Login()) || a.trusted(by, r.principal()) {
		return err
	}
	namespace, _, _ := rulebook.RobotIn(r.Name)
	id, held := rulebook.Hold(ctx, tx, namespace)
	switch {
	case errors.Is(held, ErrNotFound), held == nil && id != r.namespace:
		return err
	case held != nil:
		return held
	}
	return nil
}

// trusted says whether somebody has, or at another time has, a right over Tidewaiter other than one over a namespace.
func (a *Accounts) trusted(by Actor, who *policy.Principal) bool {
	as := Actor{Principal: who, Remote: by.Remote}
	return slices.ContainsFunc([]string{rightAccounts, rightAdministrators, rightJournal, rulebook.RightPolicy, rulebook.RightNamespaces}, func(right string) bool {
		return a.rights.Might(as, right, scope.Read) || a.rights.Might(as, right, scope.Write)
	})
}

// owns says whether the actor owns the namespace that a robot of that login would belong to.
func (a *Accounts) owns(by Actor, login string) bool {
	kind, name, ok := parseLogin(login)
	namespace, _, namespaced := rulebook.RobotIn(name)
	return ok && namespaced && kind == policy.Robot && !by.Narrowed() && a.May(by, rulebook.RightNamespace+namespace, scope.Write)
}

// Forget lets go of all that is warm: accounts were changed in a transaction of somebody else's. Other processes notice by themselves.
func (a *Accounts) Forget() { a.warm.forget() }

// settle finds the namespace that a new robot belongs to. Without one, only who may change accounts can add it.
func (a *Accounts) settle(ctx context.Context, tx *sql.Tx, by Actor, r *record) (err error) {
	namespace, _, ok := rulebook.RobotIn(r.Name)
	if ok {
		r.namespace, err = rulebook.Hold(ctx, tx, namespace)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return a.mayKeep(ctx, tx, by, r)
}

// Release removes the robots of a namespace with all that is theirs, in the transaction that deletes it, which is one of the topic accounts. After it
// comes Forget.
func Release(ctx context.Context, tx *sql.Tx, namespace string) error {
	if namespace == "" {
		return errors.New("releasing robots: of which namespace?")
	}
	for _, query := range []string{
		"DELETE FROM account_tokens WHERE owner_source = 'accounts' AND owner_id IN (SELECT id FROM accounts WHERE namespace = $1)",
		"DELETE FROM account_members WHERE account_id IN (SELECT id FROM accounts WHERE namespace = $1)",
		"DELETE FROM accounts WHERE namespace = $1",
	} {
		if _, err := tx.ExecContext(ctx, query, namespace); err != nil {
			return fmt.Errorf("releasing robots: %w", err)
		}
	}
	return nil
}
