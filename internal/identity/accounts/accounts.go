// Package accounts manages local users and robots and the credentials that Tidewaiter issues. It
// answers: is this a local user or robot, or a credential that was issued here?
//
// It stores users, robots and groups. It issues four kinds of credentials: personal access tokens
// (for users of any source, a directory's as well as local ones), robot secrets, refresh tokens,
// and browser sessions. It is an identity source with the name "accounts".
//
// # Names
//
// The name of a user, a robot, a group or a token is one path component of a repository name, in
// ASCII: lower-case letters and digits, with single separators (".", "_", "__", or one or more
// "-") between them, at most 64 bytes. So ${user} works for every user, and each name has one
// spelling. "Ann", "ann " and "аnn" with a Cyrillic letter are rejected when an account is added,
// and are unknown at sign-in.
//
// A robot called ci signs in as robot+ci. This login needs no quotes in a shell or in YAML, and
// no user can have it. Rules call the robot robot:ci, and registry events call it robot+ci.
// Methods that take a login take either form: "ann" is a user, "robot+ci" a robot. Logins that
// begin with "robot+" are never looked up in another source.
//
// # Ids
//
// Each user and robot has an id that is never reused. Deleting an account deletes everything that
// belongs to it. A later account with the same name inherits nothing.
//
// # Secrets
//
// Passwords are stored as argon2id hashes. Imported bcrypt hashes are replaced at the next
// sign-in. Issued secrets are random and stored as SHA-256. A secret is returned once, by the
// call that created it, and never appears in an error, a log line or a journal entry. Every
// secret begins with identity.AccessTokenPrefix and ends with a checksum, so a mistyped secret
// costs no query.
//
// # Rights
//
// Each call that reads or changes something takes the Actor on whose behalf it runs. The Actor
// needs a right over Tidewaiter: a scope of the type tidewaiter, granted by the policy in force.
//
//	tidewaiter:accounts:read          read users, robots, groups and tokens
//	tidewaiter:accounts:write         change them, except administrators
//	tidewaiter:administrators:write   change administrators too
//
// The right accounts:write is as powerful as being any account that it may change.
//
// Members of the group "tidewaiter-admins", from any source, have all rights of the type
// tidewaiter without a rule. Members of "tidewaiter-auditors" may read everything. A rule of the
// policy can deny both. Users need no right to manage what is their own: to change their password
// (by giving the current one), and to create, list and revoke their own tokens. Robots need no
// right to rotate their own secret.
//
// Nobody can promote themselves. Nothing that a non-administrator sets or creates for somebody
// else makes anybody an administrator later. Tokens that they create for others are valid at
// registries only. An account whose password or secret they set cannot become an administrator
// before an administrator has set another one (ErrLent).
//
// A restricted credential (policy.Principal.Limits) may change only the tokens of its owner. A
// token that is created with a credential is at most as wide as the credential and expires no
// later. It is invalid as soon as its parent token is invalid: revoked, expired or idle. A token
// that is created with an ID token may outlive it: it is valid for as long as the sign-in counts
// (LastSignIn).
//
// # Changes
//
// Every change is journaled in its own transaction. Objects have a version: a call that is given
// a version other than the current one fails with ErrChanged; 0 matches any version. A change
// that forbids something takes effect at once in this process. Other processes that share the
// database notice it within a second, while they Run.
package accounts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

const (
	// Source is the source of the principals that this package returns.
	Source = "accounts"
	// RobotPrefix is the prefix of a robot's login.
	RobotPrefix = identity.RobotPrefix
)

// Names of package admin for packages that do not import it yet.
type (
	Actor        = admin.Actor
	Page         = admin.Page
	InvalidError = admin.InvalidError
)

var (
	ErrExists    = admin.ErrExists
	ErrNotFound  = admin.ErrNotFound
	ErrChanged   = admin.ErrChanged
	ErrForbidden = admin.ErrForbidden
)

const (
	Administrators = admin.Administrators
	Auditors       = admin.Auditors
)

// Options configures Accounts. DB and Hashing are required. Changes also require a Journal.
type Options struct {
	DB      *store.DB
	Journal *journal.Journal
	Hashing *password.Hashing

	// Find looks up the owner of a token in another source (identity.Chain.FindIn). It returns
	// identity.ErrUnknown if there is no such owner. nil: there is no other source.
	Find func(ctx context.Context, source, name, id string) (*policy.Principal, error)
	// FindGeneration is Find, and also returns the generation of the owner's password
	// (identity.Chain.FindGeneration). nil: generations are unknown.
	FindGeneration func(ctx context.Context, source, name, id string) (*policy.Principal, string, error)
	// SignInLasts returns how long the last sign-in through a source counts, if the source cannot
	// look users up. Their access tokens are valid until then (LastSignIn). 0: sign-ins do not
	// count. nil: 0 for every source.
	SignInLasts func(source string) time.Duration
	// SignInSettings returns a text that identifies the settings by which a source judges sign-ins.
	// A stored sign-in does not count when they have changed. nil: they never change.
	SignInSettings func(source string) string
	// Elsewhere looks up the login of a new account in the other sources. nil: there is no other
	// source.
	Elsewhere func(ctx context.Context, login string) Elsewhere
	// Judge decides by the policy in force. nil: it grants nothing, so only administrators and
	// operators have rights.
	Judge func(*policy.Request) policy.Decision
	// Limiter returns the limiter for sign-ins, ChangePassword and SetUp. Where it is nil or
	// returns nil, attempts are not limited.
	Limiter func() *ratelimit.Limiter

	SessionIdle time.Duration // a session expires after this time without a request; 0: 1 h
	SessionLife time.Duration // the maximum lifetime of a session; 0: 12 h
	RefreshIdle time.Duration // a refresh token expires after this time without use; 0: 90 days
	// MaxLifetime is the maximum lifetime of an access token or a robot secret, whatever expiry
	// it was created with. 0: unlimited.
	MaxLifetime time.Duration
	// OwnerFor is how long the result of Find is cached for access tokens. 0: 10 s; negative: not
	// cached.
	OwnerFor time.Duration
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: nothing is logged
	Every    time.Duration    // how often Run polls for changes by other processes; 0: 1 s
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
	// Lent is true if a non-administrator set the password or secret of somebody else's account.
	// Such an account cannot become an administrator (ErrLent).
	Lent   bool
	Groups []string // sorted

	Unchecked []string // set only by the call that adds the account: Elsewhere.Unchecked
	Unchanged bool     // the call that returned this account found nothing to change
}

// Login returns what the account signs in as: "ann", "robot+ci".
func (a *Account) Login() string {
	if a.Kind == policy.Robot {
		return RobotPrefix + a.Name
	}
	return a.Name
}

// NewUser describes a user to add. A user without a password and a hash can sign in with tokens
// only.
type NewUser struct {
	Name     string
	Password identity.Secret
	Hash     identity.Secret // bcrypt or argon2id, instead of a password
	Groups   []string        // must exist, except Administrators and Auditors
	// Moved means that the user is moved from another source that may still have the name. It
	// skips Elsewhere.
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

	Unchanged bool // the call that returned this group found nothing to change
}

// Use is the purpose of a Token.
type Use string

// The purposes of tokens.
const (
	Access  Use = "access"  // a personal access token, used instead of a password
	Robot   Use = "robot"   // a robot's secret
	Refresh Use = "refresh" // stored by docker and other clients instead of a password
	Session Use = "session" // stored by a browser instead of a password
)

// Owner is the user or robot that a token authenticates.
type Owner struct {
	Kind   policy.Kind
	Source string // "": Source
	Name   string
	ID     string
}

// Token is an issued credential without its secret.
type Token struct {
	ID       string
	Use      Use
	Owner    Owner
	Name     string         // of an access token: "laptop"
	Limits   []policy.Limit // empty: all rights of its owner
	Registry string         // of a refresh token: the only registry that it is valid at
	Client   string         // of a refresh token or a session: the client that requested it
	Parent   string         // id of the token that it was created with; "": none
	stored   time.Time      // when it would expire without Options.MaxLifetime
	basis    string         // fingerprint of the owner's password generation in another source
	Created  time.Time
	// Expires is zero if the token never expires. It includes Options.MaxLifetime.
	Expires time.Time
	Used    time.Time  // last use; zero: never; up to a few seconds late
	From    netip.Addr // address of the last use
}

// NewToken describes an access token to create.
type NewToken struct {
	Owner   Owner  // zero: the actor. Kind and ID are looked up by source and name
	Name    string // unique among the tokens of its owner
	Limits  []policy.Limit
	Expires time.Time // zero: never
	// A token that its owner creates with a restricted or expiring credential inherits Limits and
	// Expires if they are not set.
}

// Accounts manages local users and robots and issued credentials. Its methods may be called from
// any goroutine.
type Accounts struct {
	o      Options
	writer admin.Writer
	rights *admin.Rights
	macs   *macs
	warm   *cache
	owners *owners
	most   int // the maximum number of tokens of one use per owner

	mu      sync.Mutex
	touched map[string]touch  // last uses that are not written yet, by token id
	signIns map[person]signIn // sign-ins of the last minute
}

// Open returns Accounts that use o.DB. It starts no goroutine and reads nothing. Until Run runs,
// each authentication queries the database.
func Open(o Options) (*Accounts, error) {
	if o.DB == nil || o.Hashing == nil {
		return nil, errors.New("opening accounts: DB and Hashing are required")
	}
	if o.Find == nil {
		o.Find = func(context.Context, string, string, string) (*policy.Principal, error) {
			return nil, identity.ErrUnknown
		}
	}
	if o.FindGeneration == nil {
		find := o.Find
		o.FindGeneration = func(ctx context.Context, source, name, id string) (*policy.Principal, string, error) {
			p, err := find(ctx, source, name, id)
			return p, "", err
		}
	}
	if o.SignInSettings == nil {
		o.SignInSettings = func(string) string { return "" }
	}
	if o.SignInLasts == nil {
		o.SignInLasts = func(string) time.Duration { return 0 }
	}
	if o.Limiter == nil {
		o.Limiter = func() *ratelimit.Limiter { return nil }
	}
	o.RefreshIdle = cmp.Or(o.RefreshIdle, 90*24*time.Hour)
	o.SessionIdle = cmp.Or(o.SessionIdle, time.Hour)
	o.SessionLife = cmp.Or(o.SessionLife, 12*time.Hour)
	o.OwnerFor = cmp.Or(o.OwnerFor, 10*time.Second)
	o.Every = cmp.Or(o.Every, time.Second)
	o.Now = clock.Wall(o.Now)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	rights, err := admin.NewRights(o.Judge, o.Now)
	if err != nil {
		return nil, fmt.Errorf("opening accounts: %w", err)
	}
	return &Accounts{
		o: o, rights: rights, writer: admin.Writer{DB: o.DB, Journal: o.Journal, Now: o.Now, Write: o.DB.Write},
		macs: newMACs(), warm: newCache(maxWarm), owners: newOwners(o.OwnerFor, maxWarm), most: maxTokens,
		touched: make(map[string]touch), signIns: make(map[person]signIn),
	}, nil
}

// maxWarm is the maximum number of cached credentials. One takes about 500 bytes.
const maxWarm = 20_000
