// Package ldap answers: is this somebody of the directory?
//
// A name is looked up in the directory by a service account, and the password is then tried by
// binding as the entry that was found; or the entry is named by a template (User.DN) and is bound as at
// once. A password is never compared here and never kept: what is remembered for a short while is an
// HMAC under a secret of this process.
//
// A directory finds alice when it is asked for ALICE, for "alice " and for letters that only look alike.
// So a principal bears the directory's spelling of its name and the directory's id, never what was
// typed, and an entry whose name is ambiguous is refused.
//
// A server that does not answer is an outage, never a refusal: the next server is asked, and when none
// answers, the error says what was wrong with each. Referrals are not followed: they would carry
// passwords to servers that nobody chose.
package ldap

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Options are the settings of a Directory. Name, Servers, and User with DN or Bases are needed.
type Options struct {
	Name    string   // principals bear it behind "ldap:"
	Servers []string // URLs, ldaps://host:port or ldap://host:port; the first that answers is asked

	CA       string // PEM file with the certificates that servers' are under; "": those of the system
	StartTLS bool   // for ldap:// servers
	Plain    bool   // passwords may travel unencrypted to servers that are not on this machine

	BindDN           string // the service account that looks people up; "": nobody, anonymously
	BindPasswordFile string // read at each connection, so that it can be changed; line ends at its end do not count

	User   User
	Groups Groups

	Timeout time.Duration // for all that one request needs; 0: 5 s
	Pool    int           // connections, to all servers together; 0: 8
	Cache   time.Duration // how long a password that held is not tried again; 0: not at all

	// Budget bounds the passwords that the directory is asked to check for one entry. nil: nothing does.
	Budget *ratelimit.Budget

	// Taken says whether a name belongs to a source that is asked before this one. It is asked when somebody
	// was found by another name than his own: the chain has only asked those sources for what was
	// typed. nil: no name does.
	Taken func(ctx context.Context, name string) (bool, error)

	Log *slog.Logger     // nil: nothing is logged
	Now func() time.Time // nil: time.Now

	// Sleep delays a refusal for which no password was checked. nil: by a timer
	Sleep func(ctx context.Context, d time.Duration) error
}

// User says where people are.
type User struct {
	DN     string   // template of their DN, with {name}; instead of Bases and Filter
	Bind   string   // template of what they bind as before they are searched, with {name}: CORP\{name}, {name}@corp.example.com
	Domain string   // that may stand before a name and a backslash, and in which they bind: CORP; "": none
	Bases  []string // where they are searched; one that is empty is the whole directory
	Filter string   // which of them, with {name}; "": "(uid={name})"
	Scope  Scope    // how deep; "": the whole tree

	NameAttribute string            // whose value is their name; "": "uid"
	Lowercase     bool              // the name is taken in lower case, as paths of repositories want it
	IDAttribute   string            // whose value is never given to another; "": entryUUID, objectGUID, else the DN
	Attributes    map[string]string // attributes that become claims, and what these are called
}

// Groups says which groups people are in. The zero value: none.
type Groups struct {
	MemberOf bool     // those that the entry names by memberOf; Bases, if there are any, are where they must be
	Bases    []string // or where they are searched; one that is empty is the whole directory
	// which of them, with {dn}, {name} or {attribute:NAME} of the member; "": "(member={dn})"
	Filter string

	NameAttribute string // whose value is a group's name; "": "cn"; "dn": the whole DN
	Nested        Nested // groups in groups; "": they do not count
}

// Scope is how deep a search goes.
type Scope string

// The scopes.
const (
	Subtree Scope = "subtree" // the base and all below it
	One     Scope = "one"     // what is directly below the base
)

// Nested is how groups in groups are found.
type Nested string

// The ways to find groups in groups.
const (
	None  Nested = "none"
	Chain Nested = "chain" // the directory follows them: Active Directory's rule LDAP_MATCHING_RULE_IN_CHAIN
	Walk  Nested = "walk"  // by one search for each level
)

// Directory is a directory, on one server or on several that say the same. Its methods may be called
// from any goroutine.
type Directory struct {
	source     string // "ldap:corp"
	o          Options
	servers    []*server
	pool       *pool
	calls      callGroup
	dummyCalls callGroup // of names that this directory is not asked for
	// pretences are of names that nobody has, where there is a budget
	unknownCalls callGroup
	cache        *resultCache
	binds        identity.Durations // how much longer than a search the last binds took; where nothing is searched before, how long
	log          *slog.Logger
	now          func() time.Time
	byDN         atomic.Int32 // of the attributes of that name, the one that found entries
}

// New checks the settings, and reads the files that they name; the error is Problems, with all
// that is wrong. It connects to nothing and starts nothing: idle connections are closed by Run.
func New(o Options) (*Directory, error) {
	settings, problems := o.check()
	if len(problems) > 0 {
		return nil, problems
	}
	o = settings.Options
	d := &Directory{
		source: "ldap:" + o.Name, o: o,
		pool:  newPool(o.Pool, o.Timeout, o.Now),
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

// Run closes connections that nobody has used for a while, until ctx ends, and then all.
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

// Close closes the connections that are idle. Requests may go on, but none is kept from then on.
func (d *Directory) Close() { d.pool.close() }

// Authenticate finds the name in the directory and tries the password. It is ErrUnknown if there is no such
// name, ErrRejected if the directory refuses the password, for whatever reason it has, or if more than
// one entry has the name; ErrRateLimited where the budget of the entry is spent; else an outage.
//
// Without a service account, a template (User.DN, User.Bind) cannot tell a name that does not exist from a
// wrong password: both are ErrRejected.
func (d *Directory) Authenticate(ctx context.Context, c identity.Credentials) (identity.Verified, error) {
	secret, name := c.Secret.Reveal(), d.withoutDomain(c.Name)
	switch {
	case c.Kind != identity.Password || !identity.ValidName(name):
		return identity.Verified{}, identity.ErrUnknown
	case secret == "" || strings.IndexByte(secret, 0) >= 0:
		// A bind with an empty password succeeds, as nobody (RFC 4513, section 5.1.2), and there are
		// servers to which a password ends at its first NUL.
		return identity.Verified{}, identity.ErrRejected
	}
	if err := ctx.Err(); err != nil {
		return identity.Verified{}, err
	}
	if err := c.CheckPassword(); err != nil {
		return identity.Verified{}, err
	}
	ctx = onBehalf(ctx, c)
	k := d.cache.key(c.Name, secret)
	verified, refusal, remembered := d.cache.lookup(k)
	if remembered && refusal == nil {
		return verified, nil
	}
	return d.calls.do(ctx, k, d.o.Timeout, func(ctx context.Context) (identity.Verified, error) {
		if remembered { // no directory counts it twice, and nobody learns that it was tried before
			if err := d.dummy(ctx, name); err != nil {
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
		d.cache.store(k, verified, err)
		return verified, err
	})
}

// DummyLookup spends what Authenticate spends on a wrong password, and shows the directory the name alone: for a password
// that an earlier source refused. Its error is an outage.
func (d *Directory) DummyLookup(ctx context.Context, c identity.Credentials) error {
	secret, name := c.Secret.Reveal(), d.withoutDomain(c.Name)
	if !identity.ValidName(name) || secret == "" || strings.IndexByte(secret, 0) >= 0 {
		return nil // Authenticate asks nobody, either
	}
	_, err := d.dummyCalls.do(onBehalf(ctx, c), d.cache.key(c.Name, secret), d.o.Timeout, func(ctx context.Context) (identity.Verified, error) {
		return identity.Verified{}, d.dummy(ctx, name)
	})
	return err
}

// Find looks somebody up without a password, by the service account, as he is in the directory now: groups
// too. Who is disabled or expired there, as far as an entry shows it, is ErrRejected, and so is a name that is ambiguous.
func (d *Directory) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	who, _, err := d.FindGeneration(ctx, name, id)
	return who, err
}

// FindGeneration is Find, and says when the password was changed, as far as the directory shows it.
func (d *Directory) FindGeneration(ctx context.Context, name, id string) (who *policy.Principal, of string, err error) {
	name = d.withoutDomain(name)
	if !identity.ValidName(name) || d.o.User.Bind != "" { // nobody is there to look him up as
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
