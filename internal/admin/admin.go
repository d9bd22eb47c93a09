// Package admin has the types and functions that all managed objects share. They represent the
// actor who changes an object, check the rights of this actor, and record the change.
//
// Rules, roles, namespaces, users, robots, groups and tokens are managed objects. Each object has
// an id that is never reused. Most objects have a version, which increases with each change.
// Packages such as rulebook and accounts manage the objects. Every method of such a package takes
// an Actor, and follows the same pattern:
//
//	func (a *Accounts) AddGroup(ctx context.Context, by admin.Actor, name string) (err error) {
//		defer admin.Wrap(&err, "adding group %.80q", name)
//		if err := a.rights.Require(by, admin.RightAccounts, scope.Write); err != nil {
//			return err
//		}
//		return a.writer.Change(ctx, topic, by, func(tx *sql.Tx) (*journal.Change, error) {
//			… // writes, and returns what the journal records
//		})
//	}
//
// The methods return the errors of this package: ErrExists, ErrNotFound, ErrChanged,
// ErrForbidden and InvalidError. Lists are read with List, one Page at a time.
//
// # Rights
//
// A right is a scope whose type is "tidewaiter": a name, and actions on this name. The policy in
// force grants rights.
//
//	tidewaiter:accounts         users, robots, groups and tokens
//	tidewaiter:administrators   accounts and tokens of administrators, in addition to accounts
//	tidewaiter:journal          the journal
//	tidewaiter:policy           roles and rules of the database
//	tidewaiter:namespaces       all namespaces
//	tidewaiter:namespace/team   one namespace; each namespace gives this right to its owners
//
// Members of the group Administrators, from any identity source, have all rights without a
// rule. Members of Auditors may read everything. The rights of both groups come from built-in
// rules, so a deny rule overrides them. An operator, who has access to the command line and the
// database, may do everything.
package admin

import (
	"net/netip"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
)

// Actor is the caller of an operation, with the caller's credential.
type Actor struct {
	Principal  *policy.Principal // nil: nobody, without any rights
	Remote     netip.Addr
	Credential string // identity.Verified.Credential
	// Until is identity.Verified.Until. Credentials that the actor creates for itself expire no
	// later than Until. Zero: no limit.
	Until time.Time
	// Key makes creations idempotent (Writer.WithIdempotency). The caller chooses a text of at
	// most maxKey bytes. "": no key.
	Key string
	// Seen is the id of the object that the actor has seen under a name. If another object has the
	// name now, a change fails with ErrChanged. "": any object. A comparison of versions is not
	// enough, because an object that is deleted and created again has version 1 again.
	Seen string

	operator string
	forces   bool
}

// Operator returns an actor with access to the command line and the database, who may do
// everything. The name is for the journal.
func Operator(name string) Actor { return Actor{operator: name} }

// IsOperator reports whether the actor was returned by Operator.
func (by Actor) IsOperator() bool { return by.operator != "" }

// WithForce returns an operator who may also make changes that are usually errors and are
// therefore refused without force. If the actor is not an operator, WithForce returns the actor
// unchanged.
func (by Actor) WithForce() Actor {
	by.forces = by.IsOperator()
	return by
}

// Forces reports whether the actor was returned by WithForce.
func (by Actor) Forces() bool { return by.forces }

// Restricted reports whether the actor's credential is restricted.
func (by Actor) Restricted() bool { return by.Principal != nil && len(by.Principal.Limits) > 0 }

// CheckSeen returns ErrChanged if the actor has seen another id or another version of the object.
// A seen version of 0 matches any version.
func (by Actor) CheckSeen(id string, version, seenVersion int64) error {
	if by.Seen != "" && by.Seen != id || seenVersion != 0 && seenVersion != version {
		return ErrChanged
	}
	return nil
}

// String returns the actor as in the journal: "user:ann", "operator:root", "nobody".
func (by Actor) String() string {
	switch {
	case by.IsOperator():
		return "operator:" + by.operator
	case by.Principal == nil:
		return "nobody"
	}
	return by.Principal.String()
}

// signInText describes for the journal how the actor signed in: the credential, the address, and
// the identity source. It omits the source of local accounts.
func (by Actor) signInText() string {
	var parts []string
	if by.Principal != nil && by.Principal.Source != AccountsSource {
		parts = append(parts, by.Principal.Source)
	}
	if by.Credential != "" {
		parts = append(parts, by.Credential)
	}
	if by.Remote.IsValid() {
		parts = append(parts, by.Remote.String())
	}
	return strings.Join(parts, " ")
}
