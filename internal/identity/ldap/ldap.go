// Package ldap authenticates users with an LDAP directory and reads their groups.
//
// A service account searches for the entry of a name. Then a bind as this entry checks the
// password. With a template (User.DN or User.Bind) there is no search before the bind. This
// package never compares passwords and never stores them. The keys of its cache are hashes with a
// secret of this process, so nobody can derive a password from a key.
//
// A directory finds alice for the names ALICE and "alice ", and for names with similar letters.
// So a principal always has the directory's spelling of the name, not the typed name, and it has
// the id of the entry. If the search finds more than one entry for a name, the sign-in is
// refused.
//
// If a server does not answer, the sign-in is not refused, and the next server is asked. If no
// server answers, the result is an outage, and its error has the reason for each server.
// Referrals are not followed, because they would send passwords to servers that are not
// configured.
package ldap

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/cache"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Options are the settings of a Directory. Name, Servers, and User.DN or User.Bases are
// required.
type Options struct {
	Name    string   // the source of principals is "ldap:" + Name
	Servers []string // ldaps://host:port or ldap://host:port; tried in this order

	CA       string // PEM file of certificate authorities; "": the authorities of the system
	StartTLS bool   // for ldap:// servers
	Plain    bool   // allow passwords without encryption to servers on other machines

	BindDN string // the service account that searches; "": searches are anonymous
	// BindPasswordFile is read for each connection, so the file can be changed while the
	// service runs. Line ends at the end of the file are ignored.
	BindPasswordFile string

	User   User
	Groups Groups

	Timeout time.Duration // for one request, with all its searches and binds; 0: 5 s
	Pool    int           // connections to all servers together; 0: 8
	Cache   time.Duration // time for which an accepted password is not checked again; 0: no cache

	// Budget limits how many passwords for one entry are sent to the directory; nil: no limit.
	Budget *ratelimit.Budget

	// Taken reports whether a name belongs to a source that is asked before this directory. The
	// chain has asked the earlier sources only about the typed name. So Taken is called if the
	// directory's spelling of the name differs from the typed name. If Taken is nil, names never
	// belong to other sources.
	Taken func(ctx context.Context, name string) (bool, error)

	Log *slog.Logger     // nil: nothing is logged
	Now func() time.Time // nil: time.Now

	// Sleep delays a refusal for which no password was checked; nil: clock.Sleep.
	Sleep func(ctx context.Context, d time.Duration) error
}

// User describes how the entries of users are found.
type User struct {
	DN string // template of the DN, with {name}; replaces Bases and Filter
	// Bind is a template of the bind name for directories without a service account, with
	// {name}: CORP\{name} or {name}@corp.example.com.
	Bind   string
	Domain string   // domain that may precede a name, as in CORP\name; "": none
	Bases  []string // where users are searched; an empty base is the whole directory
	Filter string   // filter for users, with {name}; "": "(uid={name})"
	Scope  Scope    // depth of the search; "": Subtree

	NameAttribute string // attribute with the user's name; "": "uid"
	Lowercase     bool   // convert names to lower case, as repository paths require
	// IDAttribute is the attribute with an id that is never reused. "": the id is entryUUID,
	// objectGUID, or the DN.
	IDAttribute string
	Attributes  map[string]string // LDAP attribute → name of the claim
}

// Groups describes how groups are found. With the zero value, users have no groups.
type Groups struct {
	MemberOf bool     // read memberOf of the entry; groups outside of Bases are ignored
	Bases    []string // where groups are searched; an empty base is the whole directory
	// Filter finds groups, with {dn}, {name} or {attribute:NAME} of the member; "":
	// "(member={dn})".
	Filter string

	NameAttribute string // attribute with a group's name; "": "cn"; "dn": the whole DN
	Nested        Nested // how groups in groups are found; "": None
}

// Scope is the depth of a search.
type Scope string

// The values of Scope. "" means Subtree.
const (
	Subtree Scope = "subtree" // the base and everything below it
	One     Scope = "one"     // the entries directly below the base
)

// Nested is the method that finds groups in groups.
type Nested string

// The values of Nested. "" means None.
const (
	None Nested = "none"
	// Chain uses Active Directory's rule LDAP_MATCHING_RULE_IN_CHAIN.
	Chain Nested = "chain"
	Walk  Nested = "walk" // one search for each level
)

// Directory is an LDAP directory on one or more servers with the same content. Its methods may
// be called from any goroutine.
type Directory struct {
	source  string // "ldap:corp"
	o       Options
	servers []*server
	pool    *pool
	calls   cache.Calls[cache.Key, identity.Verified]
	cache   *resultCache
	// The durations of recent binds, without the duration of a search before the bind.
	binds clock.Durations
	log   *slog.Logger
	now   func() time.Time
	byDN  atomic.Int32 // index of the attribute in byDN that most recently found entries
}

// New checks the settings and reads the files that the settings name. The error is
// setting.Problems with all problems. New does not connect and starts no goroutine. Call Run to
// close idle connections.
func New(o Options) (*Directory, error) {
	settings, problems := o.check()
	if len(problems) > 0 {
		return nil, problems
	}
	o = settings.Options
	d := &Directory{
		source: "ldap:" + o.Name, o: o,
		pool:  newPool(o.Pool, o.Timeout, o.Now),
		calls: cache.Calls[cache.Key, identity.Verified]{Timeout: o.Timeout},
		cache: newResultCache(o.Cache, o.Now),
		log:   o.Log.With("source", "ldap:"+o.Name),
		now:   o.Now,
	}
	for _, at := range settings.servers {
		at.log, at.now = d.log, d.now
		d.servers = append(d.servers, at)
	}
	return d, nil
}

// Run closes connections that were idle for too long. When ctx ends, it closes all idle
// connections.
func (d *Directory) Run(ctx context.Context) {
	defer d.Close()
	tick := time.NewTicker(idleTime / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			d.pool.sweep()
		}
	}
}

// Close closes the idle connections. Requests still work after Close, but their connections are
// not kept open.
func (d *Directory) Close() { d.pool.close() }

// Authenticate searches for the name and checks the password by a bind. ErrUnknown means that
// there is no such name. ErrRejected means that the directory refused the password for any
// reason, or that several entries have the name. ErrRateLimited means that the budget of the
// entry is used up. Any other error is an outage.
//
// Without a service account (User.DN, User.Bind), an unknown name is the same as a wrong
// password: both are ErrRejected.
func (d *Directory) Authenticate(ctx context.Context, c identity.Presented) (identity.Verified, error) {
	secret, name := c.Secret.Reveal(), d.withoutDomain(c.Name)
	switch {
	case c.Kind != identity.Password || !username.Valid(name):
		return identity.Verified{}, identity.ErrUnknown
	case secret == "" || strings.IndexByte(secret, 0) >= 0:
		// A bind with an empty password succeeds as an anonymous bind (RFC 4513, section 5.1.2).
		// Some servers ignore the part of a password after a NUL.
		return identity.Verified{}, identity.ErrRejected
	}
	if err := ctx.Err(); err != nil {
		return identity.Verified{}, err
	}
	if err := c.CheckPassword(); err != nil {
		return identity.Verified{}, err
	}
	ctx = onBehalf(ctx, c)
	k := d.cache.key(signIn, c)
	if verified, ok := d.cache.held.Get(k); ok {
		return verified, nil
	}
	refusal, refused := d.cache.refused.Get(k)
	return d.calls.Do(ctx, k, func(ctx context.Context) (identity.Verified, error) {
		// A repeated wrong password is not sent, so the directory does not count it. Instead,
		// dummyRefusal takes as long as a real refusal, so the time does not reveal that the
		// result is cached.
		if refused {
			if err := d.dummyRefusal(ctx, name); err != nil {
				return identity.Verified{}, err
			}
			return identity.Verified{}, refusal
		}
		who, generation, err := d.authenticate(ctx, name, secret, c.KnownPlace)
		if err == nil && who.Name != c.Name {
			err = d.checkNotTaken(ctx, who.Name)
		}
		var verified identity.Verified
		if err == nil {
			verified = identity.Verified{Principal: who, Credential: "password", Generation: generation}
		}
		d.cache.remember(k, verified, err)
		return verified, err
	})
}

// DummyLookup does the same work as Authenticate with a wrong password, but sends the directory
// only the name. The chain calls it for passwords that an earlier source refused. Its error is
// an outage.
func (d *Directory) DummyLookup(ctx context.Context, c identity.Presented) error {
	secret, name := c.Secret.Reveal(), d.withoutDomain(c.Name)
	if !username.Valid(name) || secret == "" || strings.IndexByte(secret, 0) >= 0 {
		return nil // as Authenticate does
	}
	_, err := d.calls.Do(onBehalf(ctx, c), d.cache.key(dummyLookup, c), func(ctx context.Context) (identity.Verified, error) {
		return identity.Verified{}, d.dummyRefusal(ctx, name)
	})
	return err
}

// Find looks up a user without a password and reads the user's current groups. The error is
// ErrRejected if the user is disabled or expired according to the entry, or if the name is
// ambiguous.
func (d *Directory) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	who, _, err := d.FindGeneration(ctx, name, id)
	return who, err
}

// FindGeneration is like Find, and also returns the generation of the password (see the
// function generation).
func (d *Directory) FindGeneration(ctx context.Context, name, id string) (who *policy.Principal, of string, err error) {
	name = d.withoutDomain(name)
	// With User.Bind, there is no account that can search.
	if !username.Valid(name) || d.o.User.Bind != "" {
		return nil, "", identity.ErrUnknown
	}
	ctx, cancel := context.WithTimeout(withoutPassword(ctx), d.o.Timeout)
	defer cancel()
	err = d.ask(ctx, reader, func(c *conn) error {
		u, err := d.find(c, name)
		if err != nil {
			return err
		}
		if id != "" && u.id != id {
			return identity.ErrUnknown
		}
		of = generation(u.entry)
		who, err = d.principal(c, u)
		return err
	})
	return who, of, err
}
