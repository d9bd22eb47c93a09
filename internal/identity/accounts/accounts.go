// Package accounts answers: is this one of our own users or robots, or a credential that we handed out?
//
// It keeps users, robots and groups, and hands out four kinds of credentials: personal access tokens,
// for users of any source (a directory's as well as our own), robots' secrets, refresh tokens, and the sessions of those who
// sign in with a browser. It is a
// source of identity under the name "accounts".
//
// # Names
//
// The name of a user, a robot, a group or a token is one path part of a repository's name, in ASCII: lower-case
// letters and digits, with single separators (".", "_", "__", or some "-") between them, at most 64 bytes. So ${user} works for every
// user, and there is one spelling of each name: "Ann", "ann " and "аnn" with a Cyrillic letter are refused when
// somebody would add them, and are nobody at sign-in.
//
// A robot called ci signs in as robot+ci, which needs no quotes in a shell or in YAML, and which no user can be
// called. Rules call it robot:ci, and events of registries robot+ci. Methods that take a login take either: "ann" is a user, "robot+ci" a robot. No other
// source is asked about a login that begins with "robot+".
//
// # Ids
//
// Each user and robot has an id that is never given to another. Whatever belonged to one that was
// deleted is gone; a namesake that is added later has nothing of it.
//
// # Secrets
//
// Passwords are kept as argon2id; bcrypt hashes that were brought along are replaced at the next sign-in. What
// we hand out is random and kept as SHA-256. A secret is returned once, by the call that made it, and is in no error,
// no log line and no entry of the journal. All begin with identity.AccessTokenPrefix, and end with a checksum: a
// typing mistake costs no query.
//
// # Rights
//
// Each call that changes or shows something takes the Actor that does it, who needs a right over Tidewaiter: a scope of the
// type tidewaiter, judged by the policy in force.
//
//	tidewaiter:accounts:read          see users, robots, groups and tokens
//	tidewaiter:accounts:write         change them, which is as good as being any of them …
//	tidewaiter:administrators:write   … and those that are administrators
//
// The members of the group "tidewaiter-admins", of whichever source, have all rights of the type tidewaiter without a
// rule, and those of "tidewaiter-auditors" may read everything; a rule of the policy can deny it to them. Users need no right for what is
// their own: to change their password (by showing it), to make tokens for themselves, to see and revoke those. Robots
// need none to change their secret.
//
// Nobody promotes himself. What somebody sets or makes for another without being an administrator makes nobody one later: such tokens are good at registries
// alone, and such an account does not become an administrator before one has set another password or secret (ErrLent). A credential that is narrowed (policy.Principal.Limits) changes nothing but tokens of its owner, and
// those that it makes are at most as wide; one that ends makes none that ends later; and what was made with a token is void when that
// token is: revoked, ended, or idle. What is made with an ID token may end later than that: it lasts as
// long as the sign-in counts (LastSignIn).
//
// # Changes
//
// Every change is journaled in its own transaction. Objects have a version: a call that is given another one than the
// present fails with ErrChanged; 0 means any. What a change forbids is forbidden at once in this process, and
// after a second in others that share the database, while they Run.
package accounts

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

const (
	// Source is what principals bear as their source.
	Source = "accounts"
	// RobotPrefix begins the login of a robot.
	RobotPrefix = identity.RobotPrefix
)

// What accounts have in common with all else that is kept in the database.
type (
	Actor        = rulebook.Actor
	Page         = rulebook.Page
	InvalidError = rulebook.InvalidError // fields: "name", "password", "hash", "limits", "expires", "owner", "current", "overlap", "login"
)

// ErrExists is also what SetUp and SetupSecret fail with when there is an administrator.
var (
	ErrExists    = rulebook.ErrExists
	ErrNotFound  = rulebook.ErrNotFound
	ErrChanged   = rulebook.ErrChanged
	ErrForbidden = rulebook.ErrForbidden
)

// The groups that have rights over Tidewaiter without a rule.
const (
	Administrators = rulebook.Administrators
	Auditors       = rulebook.Auditors
)

// Options are the settings of Accounts. DB and Hashing are needed, and a Journal to change anything.
type Options struct {
	DB      *store.DB
	Journal *journal.Journal
	Hashing *password.Hashing

	// Find looks up the owner of a token in another source (identity.Chain.FindIn): identity.ErrUnknown if there is none. nil: there is no other source.
	Find func(ctx context.Context, source, name, id string) (*policy.Principal, error)
	// FindGeneration is Find, and says of which generation the owner's password is (identity.Chain.FindGeneration). nil: nobody can tell.
	FindGeneration func(ctx context.Context, source, name, id string) (*policy.Principal, string, error)
	// SignInLasts is for how long somebody's last sign-in through a source that cannot be asked counts, for the
	// access tokens that they have (LastSignIn); 0: not at all. nil: no source has such people.
	SignInLasts func(source string) time.Duration
	// Elsewhere asks the other sources about a login that an account is to have. nil: there is no other source.
	Elsewhere func(ctx context.Context, login string) Elsewhere
	// Judge is the policy in force. nil: it grants nothing, so that only administrators and operators have rights.
	Judge func(*policy.Request) policy.Decision
	// Limiter limits sign-ins: ChangePassword and SetUp count with it. nil, or what returns nil: there are no limits.
	Limiter func() *ratelimit.Limiter

	SessionIdle time.Duration    // a session that was not used for as long is over; 0: 1 h
	SessionLife time.Duration    // a session is over after as long; 0: 12 h
	RefreshIdle time.Duration    // a refresh token that was not used for as long is void; 0: 90 days
	MaxLifetime time.Duration    // an access token or a robot's secret is over after as long, whatever it was made for; 0: when it ends itself
	OwnerFor    time.Duration    // what Find said is good for as long, for access tokens; 0: 10 s; negative: not at all
	Now         func() time.Time // nil: time.Now
	Log         *slog.Logger     // nil: nothing is logged
	Every       time.Duration    // how often Run looks for changes by others; 0: 1 s
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
	Hash     string   // kind of the password's hash: "argon2id", "bcrypt"; "": there is no password
	Lent     bool     // somebody else has set the password or secret, who was no administrator: it becomes none with that (ErrLent)
	Groups   []string // sorted

	Unchecked []string // of an account that was just added: Elsewhere.Unchecked
	Unchanged bool     // the call that returns it found it as it was wanted, and changed nothing
}

// Login returns what the account signs in as: "ann", "robot+ci".
func (a *Account) Login() string {
	if a.Kind == policy.Robot {
		return RobotPrefix + a.Name
	}
	return a.Name
}

// NewUser is a user to add. With neither password nor hash, one that can sign in with tokens only.
type NewUser struct {
	Name     string
	Password identity.Secret
	Hash     identity.Secret // bcrypt or argon2id, in place of a password
	Groups   []string        // which must exist, but for Administrators and Auditors
	Moved    bool            // from another source, which may still have the name: Elsewhere is not asked
}

// NewRobot is a robot to add.
type NewRobot struct {
	Name    string
	Expires time.Time // zero: never
	Groups  []string  // which must exist
}

// Group is some users and robots.
type Group struct {
	ID      string
	Name    string
	Version int64
	Created time.Time
	Size    int // members

	Unchanged bool // the call that returns it found it as it was wanted, and changed nothing
}

// Use is what a Token is for.
type Use string

// The uses of tokens.
const (
	Access  Use = "access"  // a personal access token, in place of a password
	Robot   Use = "robot"   // a robot's secret
	Refresh Use = "refresh" // what docker and others keep in place of a password
	Session Use = "session" // what a browser keeps in place of a password
)

// Owner is whom a token stands for.
type Owner struct {
	Kind   policy.Kind
	Source string // "": accounts
	Name   string
	ID     string
}

// Token is a credential that was handed out, without its secret.
type Token struct {
	ID       string
	Use      Use
	Owner    Owner
	Name     string         // of an access token: "laptop"
	Limits   []policy.Limit // empty: as wide as its owner's rights
	Registry string         // of a refresh token: the one that it is good for
	Client   string         // of a refresh token and a session: which asked for it
	Parent   string         // id of the token that it was made with; "": none
	stored   time.Time      // when it would end if there were no Options.MaxLifetime
	basis    string         // fingerprint of the generation of the password of another source that it was made with
	Created  time.Time
	Expires  time.Time  // zero: never; of an access token and a robot's secret no later than Options.MaxLifetime says
	Used     time.Time  // zero: never; up to a few seconds behind
	From     netip.Addr // where it was last used from
}

// NewToken is an access token to make.
type NewToken struct {
	Owner   Owner  // zero: the actor. Kind and ID are found by source and name
	Name    string // unique among its owner's
	Limits  []policy.Limit
	Expires time.Time // zero: never
	// Somebody who makes a token for himself with a credential that has limits, or an end, gives it those by leaving
	// them out.
}

// Accounts is our own users and robots, and the credentials that we handed out. Its methods may be called
// from any goroutine.
type Accounts struct {
	o      Options
	write  func(ctx context.Context, topic string, f func(*sql.Tx) error) error // DB.Write; tests put faults here
	rights *rulebook.Rights
	macs   *macs
	warm   *cache
	owners *owners
	most   int // tokens of one use that one owner can have

	mu      sync.Mutex
	touched map[string]touch  // by token id: what is not yet written
	signIns map[person]signIn // of the last minute
}

// Open returns Accounts over a database. It starts nothing and reads nothing. Until Run runs, each authentication
// asks the database.
func Open(o Options) (*Accounts, error) {
	if o.DB == nil || o.Hashing == nil {
		return nil, errors.New("opening accounts: they need a database and a Hashing")
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
	rights, err := rulebook.NewRights(o.Judge, o.Now)
	if err != nil {
		return nil, fmt.Errorf("opening accounts: %w", err)
	}
	return &Accounts{
		o: o, write: o.DB.Write, rights: rights,
		macs: newMACs(), warm: newCache(maxWarm), owners: newOwners(o.OwnerFor, maxWarm), most: maxTokens,
		touched: make(map[string]touch), signIns: make(map[person]signIn),
	}, nil
}

// maxWarm is how many credentials are warm at most. One takes some 500 bytes.
const maxWarm = 20_000
