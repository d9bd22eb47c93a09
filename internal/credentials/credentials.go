// Package credentials manages the credentials that Tidewaiter issues. For a secret, the package
// finds out whether Tidewaiter issued the secret, who owns it, and which rights it has.
//
// There are four kinds: access tokens of users, secrets of robots, refresh tokens and browser
// sessions. The owner of a credential can be from any identity source. For example, users of a
// directory can have access tokens. Package accounts manages the local users and robots. When
// package accounts changes an account, it calls this package to revoke credentials. Package
// accounts also implements the interface Local, so that package credentials can find local owners.
//
// # Secrets
//
// Secrets are random and stored as SHA-256. A secret is returned once, by the call that issued it,
// and never appears in an error, a log line or a journal entry. Every secret begins with
// secret.Prefix and ends with a checksum, so a mistyped secret is detected without a query.
//
// # Ancestors
//
// If a credential is used to create a new credential, it is the parent of the new credential. A
// child has at most the rights of its parent, and does not expire later than its parent. A child
// becomes invalid as soon as any of its ancestors is revoked, expired or idle. A token that is
// created with an ID token can expire later than the ID token. Such a token is valid for a
// configured time after the sign-in (LastSignIn).
//
// # Rights
//
// Users need no right to create, list and revoke their own access tokens. A user who presents a
// restricted credential (policy.Principal.Limits) can create only tokens that are at least as
// restricted, and can revoke only this credential. Other actors need tidewaiter:accounts, and
// tidewaiter:administrators for the tokens of administrators. Tokens that a non-administrator
// creates for somebody else are valid at registries only, so these tokens never give their creator
// rights over Tidewaiter.
//
// # Caches
//
// While Run runs, a credential that was verified recently is verified again without a query. A
// change that makes a credential invalid clears the caches of all processes that share the
// database: in this process at once, in the others within a second.
package credentials

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/cache"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/sourcename"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Options configures Credentials. Writer, Rights, Hashing and Local are required.
type Options struct {
	Writer  *admin.Writer
	Rights  *admin.Rights
	Hashing *password.Hashing
	Local   Local

	// Find looks up an owner in another source. It also returns the generation of the owner's
	// password, or "" if the source has no generations (chain.Chain.FindGeneration). The error is
	// identity.ErrUnknown if there is no such owner. If Find is nil, there is no other source.
	Find func(ctx context.Context, source, name, id string) (_ *policy.Principal, generation string, _ error)
	// SignInLasts is for sources that cannot look up users. It returns the time for which access
	// tokens of such users are valid after the newest sign-in (LastSignIn). 0: users of the source
	// cannot have access tokens. If SignInLasts is nil, the time is 0 for every source.
	SignInLasts func(source string) time.Duration
	// SignInSettings returns a text that identifies the settings with which a source accepts
	// sign-ins. If these settings have changed, a stored sign-in does not count. If SignInSettings
	// is nil, the settings never change.
	SignInSettings func(source string) string

	SessionIdle time.Duration // a session expires after this time without a request; 0: 1 h
	SessionLife time.Duration // the maximum lifetime of a session; 0: 12 h
	RefreshIdle time.Duration // a refresh token expires after this time without use; 0: 90 days
	// MaxLifetime is the maximum lifetime of an access token or a robot secret. It also limits
	// tokens that were created with a later expiry. 0: unlimited.
	MaxLifetime time.Duration
	// OwnerFor is the time for which the result of Find is cached for access tokens. 0: 10 s;
	// negative: not cached.
	OwnerFor time.Duration
	Log      *slog.Logger  // nil: nothing is logged
	Every    time.Duration // time between two polls of Run for changes by other processes; 0: 1 s
}

// Local finds owners among the users and robots of the database.
type Local interface {
	// Owner returns a user or robot by id, or by kind and name if the id is "". The error is
	// admin.ErrNotFound if there is no such owner.
	Owner(ctx context.Context, q store.Querier, o Owner, now time.Time) (LocalOwner, error)
	// Lock is like Owner for an id, and locks the owner's row until the transaction ends, so
	// that the result is still current at commit.
	Lock(ctx context.Context, tx *sql.Tx, id string, now time.Time) (LocalOwner, error)
}

// LocalOwner is a user or robot of the database.
type LocalOwner struct {
	Principal *policy.Principal
	Login     string    // "ann", "robot+ci"
	Expires   time.Time // zero: never
	Ended     string    // why the owner cannot sign in: "it is disabled"; "": it can sign in
	Hash      string    // hash of the password; "": none
}

// Purpose is the purpose of a Token: access, robot, refresh or session.
type Purpose string

// The purposes of tokens.
const (
	Access  Purpose = "access"  // a personal access token, used instead of a password
	Robot   Purpose = "robot"   // a robot's secret
	Refresh Purpose = "refresh" // stored by docker and other clients instead of a password
	Session Purpose = "session" // stored by a browser instead of a password
)

// Owner is the user or robot that a token authenticates.
type Owner struct {
	Kind   policy.Kind
	Source string // "": admin.AccountsSource
	Name   string
	ID     string
}

// Token is an issued credential without its secret.
type Token struct {
	ID       string
	Purpose  Purpose
	Owner    Owner
	Name     string         // name of an access token: "laptop"
	Limits   []policy.Limit // its restrictions; empty: all rights of its owner
	Registry string         // the only registry for which a refresh token is valid
	Client   string         // the client that requested a refresh token or a session
	Parent   string         // id of the token that created this token; "": none
	stored   time.Time      // the expiry without Options.MaxLifetime
	basis    string         // fingerprint of a password generation (basis.go)
	Created  time.Time
	// Expires takes Options.MaxLifetime into account. If the token never expires, it is zero.
	Expires time.Time
	Used    time.Time  // newest use, with a delay of a few seconds; zero: never
	From    netip.Addr // address of the newest use
}

// NewToken describes an access token to create.
type NewToken struct {
	Owner   Owner  // zero: the actor. Kind and ID are looked up by source and name
	Name    string // unique among the tokens of its owner
	Limits  []policy.Limit
	Expires time.Time // zero: never
	// If an owner creates a token and Limits or Expires are not set, the token inherits them from
	// the credential that the owner presents.
}

// Credentials manages issued credentials. Its methods may be called from any goroutine.
type Credentials struct {
	o        Options
	writer   *admin.Writer
	rights   *admin.Rights
	verified *verifiedCache
	owners   *cache.Cache[Owner, foundOwner]

	maxTokens int // maximum number of tokens that one owner has for one purpose

	mu       sync.Mutex
	lastUsed map[string]use    // newest uses that are not written yet, by token id
	signIns  map[person]signIn // sign-ins of the last minute
}

// Open returns Credentials. It starts no goroutine and reads nothing. As long as Run is not
// running, each authentication queries the database.
func Open(o Options) (*Credentials, error) {
	if o.Writer == nil || o.Rights == nil || o.Hashing == nil || o.Local == nil {
		return nil, errors.New("opening credentials: Writer, Rights, Hashing and Local are required")
	}
	if o.Find == nil {
		o.Find = func(context.Context, string, string, string) (*policy.Principal, string, error) {
			return nil, "", identity.ErrUnknown
		}
	}
	if o.SignInSettings == nil {
		o.SignInSettings = func(string) string { return "" }
	}
	if o.SignInLasts == nil {
		o.SignInLasts = func(string) time.Duration { return 0 }
	}
	o.RefreshIdle = cmp.Or(o.RefreshIdle, 90*24*time.Hour)
	o.SessionIdle = cmp.Or(o.SessionIdle, time.Hour)
	o.SessionLife = cmp.Or(o.SessionLife, 12*time.Hour)
	o.OwnerFor = cmp.Or(o.OwnerFor, 10*time.Second)
	o.Every = cmp.Or(o.Every, time.Second)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	return &Credentials{
		o: o, writer: o.Writer, rights: o.Rights, verified: newVerifiedCache(o.Writer.Now), owners: cache.New[Owner, foundOwner](maxCached, o.Writer.Now), maxTokens: maxTokens,
		lastUsed: make(map[string]use), signIns: make(map[person]signIn),
	}, nil
}

// maxCached is the maximum number of cached credentials. Each takes about 500 bytes.
const maxCached = 20_000

// OwnerOf identifies a principal as the owner of tokens.
func OwnerOf(p *policy.Principal) Owner {
	return Owner{Kind: p.Kind, Source: p.Source, Name: p.Name, ID: p.ID}
}

// Is reports whether the actor is the owner o.
func (o Owner) Is(by admin.Actor) bool {
	p := by.Principal
	return p != nil && o.ID != "" && p.Kind == o.Kind && sourcename.Same(p.Source, o.Source) && p.ID == o.ID
}

// String returns the owner as it appears in the journal: "user:ann", "user:ann of ldap:corp".
func (o Owner) String() string {
	text := o.Kind.String() + ":" + o.Name
	if o.Source != admin.AccountsSource {
		text += " of " + o.Source
	}
	return text
}
