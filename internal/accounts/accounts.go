// Package accounts manages local users, groups and robots. For a credential, it finds the local
// user or robot that the credential belongs to, and the groups of this account.
//
// The package is an identity source with the name "accounts". It verifies the passwords of
// local users. It also verifies all credentials that Tidewaiter issues, by calling package
// credentials. The owners of those credentials can be from any source.
//
// # Names
//
// The name of a user, a robot or a group is one path component of a repository name, in ASCII. It
// has lower-case letters and digits, with single separators (".", "_", "__", or one or more "-")
// between them, and at most 64 bytes. So the placeholder ${user} of a rule can stand for every
// user, and each name has one spelling. "Ann", "ann " and "аnn" with a Cyrillic letter cannot be
// the name of a new account, and are unknown at sign-in.
//
// A robot called ci signs in as robot+ci. This login needs no quotes in a shell or in YAML, and no
// user can have it. Rules call the robot robot:ci, and registry events call it robot+ci. Methods
// with a parameter login accept both forms: "ann" is a user, and "robot+ci" is a robot. Logins
// that begin with "robot+" are never looked up in another source.
//
// # Ids
//
// Each user and robot has an id that is never reused. Deleting an account deletes everything that
// belongs to it. A later account with the same name inherits nothing.
//
// # Passwords
//
// Passwords are stored as argon2id hashes. Imported bcrypt hashes are replaced at the next
// sign-in.
//
// # Rights
//
// Each call that reads or changes something requires a right:
//
//	tidewaiter:accounts:read          read users, robots and groups
//	tidewaiter:accounts:write         change them, except administrators
//	tidewaiter:administrators:write   change administrators too
//
// The holder of the right accounts:write can set the passwords of accounts. So this right is as
// powerful as the accounts that the holder may change. Users who give their current password need
// no right to change the password. Robots need no right to rotate their own secret. The owners of
// a namespace manage its robots.
//
// Nobody can promote themselves. If a non-administrator has set the password or secret of another
// account, that account cannot become an administrator. An administrator must first set another
// password or secret (ErrSetByDelegate).
//
// # Changes
//
// Every change is journaled in its own transaction. Each object has a version. If the caller
// passes a version that is not the current version, the call fails with admin.ErrChanged. The
// version 0 matches any version. A change that revokes access takes effect at once in this
// process. Other processes that share the database and run Credentials.Run notice such a change
// within a second.
package accounts

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/policy"
)

const (
	// Source is the source of the principals that this package returns.
	Source = admin.AccountsSource
	// RobotPrefix is the prefix of a robot's login.
	RobotPrefix = username.RobotPrefix
)

// Options configures Accounts and the Credentials that Accounts uses.
type Options struct {
	// Open sets the field Local of these options. If their field Rights is nil, only
	// administrators and operators have rights.
	credentials.Options

	// Elsewhere looks up the login of a new account in the other sources. If it is nil, there is
	// no other source.
	Elsewhere func(ctx context.Context, login string) Elsewhere
	// Limiter returns the limiter for ChangePassword and SetUp. If Limiter is nil or returns
	// nil, attempts are not limited.
	Limiter func() *ratelimit.Limiter
}

// Account is a user or a robot.
type Account struct {
	ID       string
	Kind     policy.Kind // User or Robot
	Name     string      // "ann", "ci"
	Version  int64
	Created  time.Time
	Changed  time.Time
	Expires  time.Time // zero: never
	Disabled bool
	Hash     string // algorithm of the password hash: "argon2id", "bcrypt"; "": no password
	// SetByDelegate is true if somebody who is neither an administrator nor the owner of this
	// account has set the account's password or secret. Such an account cannot become an
	// administrator (ErrSetByDelegate).
	SetByDelegate bool
	Groups        []string // sorted

	Unchecked []string // Elsewhere.Unchecked; set only by the call that adds the account
	Unchanged bool     // the call that returned this account changed nothing
}

// Login returns the name with which the account signs in: "ann", "robot+ci".
func (a *Account) Login() string {
	if a.Kind == policy.Robot {
		return RobotPrefix + a.Name
	}
	return a.Name
}

// NewUser describes a user to add. A user without a password and without a hash can sign in only
// with tokens.
type NewUser struct {
	Name     string
	Password identity.Secret
	Hash     identity.Secret // bcrypt or argon2id, instead of a password
	Groups   []string        // must exist, except Administrators and Auditors
	// Moved means that the user is moved from another source, which can still know the name. So
	// AddUser does not call Elsewhere.
	Moved bool
}

// NewRobot describes a robot to add.
type NewRobot struct {
	Name    string
	Expires time.Time // zero: never
	Groups  []string  // must exist, except Administrators and Auditors
}

// Group is a group of users and robots.
type Group struct {
	ID      string
	Name    string
	Version int64
	Created time.Time
	Size    int // number of members

	Unchanged bool // the call that returned this group changed nothing
}

// Accounts manages local users, groups and robots. Its methods may be called from any goroutine.
type Accounts struct {
	Credentials *credentials.Credentials

	o      Options
	writer *admin.Writer
	rights *admin.Rights
}

// Open returns Accounts with their Credentials. It starts no goroutine and reads nothing.
func Open(o Options) (*Accounts, error) {
	if o.Limiter == nil {
		o.Limiter = func() *ratelimit.Limiter { return nil }
	}
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Writer != nil && o.Rights == nil {
		rights, err := admin.NewRights(nil, o.Writer.Now)
		if err != nil {
			return nil, err
		}
		o.Rights = rights
	}
	o.Local = localOwners{}
	c, err := credentials.Open(o.Options)
	if err != nil {
		return nil, err
	}
	return &Accounts{c, o, o.Writer, o.Rights}, nil
}
