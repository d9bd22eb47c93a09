// Package credentials manages the credentials that Tidewaiter issues. It answers: was this secret
// issued here, who is its owner, and what is it valid for?
//
// There are four kinds: access tokens of users, secrets of robots, refresh tokens and browser
// sessions. The owner of a credential can be from any identity source: users of a directory
// have access tokens like local users. Package accounts manages the local users and robots.
// When accounts changes an account, it calls this package to revoke credentials. It also
// implements Local, through which this package finds local owners.
//
// # Secrets
//
// Secrets are random and stored as SHA-256. A secret is returned once, by the call that issued
// it, and never appears in an error, a log line or a journal entry. Every secret begins with
// secret.Prefix and ends with a checksum, so a mistyped secret costs no query.
//
// # Ancestors
//
// If one credential is used to create another, the new one is the child of the first. A child has
// at most the rights of its parent and expires no later. A child becomes invalid as soon as any
// of its ancestors is revoked, expired or idle. A token that is created with an ID token can
// outlive the ID token. Such a token is valid for as long as the sign-in counts (LastSignIn).
//
// # Rights
//
// Users need no right to create, list and revoke their own access tokens. A restricted
// credential (policy.Principal.Limits) permits creating tokens that are at least as restricted,
// and revoking only itself. Other actors need tidewaiter:accounts, and
// tidewaiter:administrators for the tokens of administrators. Tokens that a non-administrator
// creates for somebody else are valid at registries only, so they never give their creator
// rights over Tidewaiter.
//
// # Caches
//
// While Run runs, a credential that was verified a short while ago is verified again without a
// query. A change that makes a credential invalid clears the caches of all processes that share
// the database: in this process at once, in the others within a second.
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
	// password, or "" if the source has no generations (chain.Chain.FindGeneration). The error
	// is identity.ErrUnknown if there is no such owner. nil: there is no other source.
	Find func(ctx context.Context, source, name, id string) (_ *policy.Principal, generation string, _ error)
	// SignInLasts returns how long the last sign-in through a source proves that the user still
	// exists. It is for sources that cannot look up users. Access tokens of such users are
	// valid for this time after the sign-in (LastSignIn). 0: a sign-in proves nothing
	// afterwards. nil: 0 for every source.
	SignInLasts func(source string) time.Duration
	// SignInSettings returns a text that identifies those settings of a source that decide
	// which sign-ins it accepts. A stored sign-in does not count when the settings have
	// changed. nil: the settings never change.
	SignInSettings func(source string) string

	SessionIdle time.Duration // a session expires after this time without a request; 0: 1 h
	SessionLife time.Duration // the maximum lifetime of a session; 0: 12 h
	RefreshIdle time.Duration // a refresh token expires after this time without use; 0: 90 days
	// MaxLifetime is the maximum lifetime of an access token or a robot secret. It also applies
	// to tokens that were created with a later expiry. 0: unlimited.
	MaxLifetime time.Duration
	// OwnerFor is how long the result of Find is cached for access tokens. 0: 10 s; negative: not
	// cached.
	OwnerFor time.Duration
	Log      *slog.Logger  // nil: nothing is logged
	Every    time.Duration // how often Run polls for changes by other processes; 0: 1 s
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
	Ended     string    // why it cannot sign in: "it is disabled"; "": it can
	Hash      string    // of the password; "": none
}

// Purpose is what a Token is for: access, robot, refresh or session.
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
	Name     string         // of an access token: "laptop"
	Limits   []policy.Limit // its restrictions; empty: all rights of its owner
	Registry string         // of a refresh token: the only registry that it is valid at
	Client   string         // of a refresh token or a session: the client that requested it
	Parent   string         // id of the token that it was created with; "": none
	stored   time.Time      // when it would expire without Options.MaxLifetime
	basis    string         // fingerprint of a password generation (basis.go)
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
	// If Limits or Expires are not set, a token that its owner creates inherits them from the
	// credential that the owner presents.
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
	lastUsed map[string]use    // last uses that are not written yet, by token id
	signIns  map[person]signIn // sign-ins of the last minute
}

// Open returns Credentials. It starts no goroutine and reads nothing. Until Run runs, each
// authentication queries the database.
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
