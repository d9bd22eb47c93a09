package accounts

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Kinds returns the kinds of credentials that Authenticate accepts.
func Kinds() []identity.Kind {
	return []identity.Kind{identity.Password, identity.AccessToken, identity.RefreshToken, identity.Session}
}

// Authenticate accepts passwords, access tokens, robot secrets, refresh tokens and sessions. A
// token can be presented with its owner's login or without a name. It is rejected, not unknown,
// if a token is invalid or a robot does not exist. So no other source is asked about them.
//
// A credential that was verified a short while ago costs neither a query nor a hash. Failures are
// never cached.
func (a *Accounts) Authenticate(ctx context.Context, c identity.Presented) (identity.Verified, error) {
	switch c.Kind {
	case identity.Password:
		if strings.HasPrefix(c.Name, RobotPrefix) {
			return identity.Verified{}, identity.Rejected("this is not the form of a robot secret")
		}
		if !validName(c.Name) {
			return identity.Verified{}, identity.ErrUnknown
		}
	case identity.AccessToken, identity.RefreshToken, identity.Session:
	default:
		return identity.Verified{}, identity.ErrUnknown
	}
	k := a.macs.key(c.Kind, c.Name, c.Secret.Reveal())
	if w := a.warm.get(k); w != nil {
		v, err := a.answer(ctx, w, c)
		if !errors.Is(err, errStale) {
			return v, err
		}
		a.warm.drop(k, w)
	}
	epoch := a.warm.now()
	w, err := a.load(ctx, c)
	if err != nil {
		return identity.Verified{}, err
	}
	v, err := a.answer(ctx, w, c)
	if errors.Is(err, errStale) {
		return identity.Verified{}, identity.Rejected("the token or the account has expired, or the token was unused for too long")
	}
	if err == nil {
		a.warm.put(k, w, epoch)
	}
	return v, err
}

// errStale means that the database has to be queried again.
var errStale = errors.New("stale")

// answer returns the identity of a cached credential if it is still valid.
func (a *Accounts) answer(ctx context.Context, w *warm, c identity.Presented) (identity.Verified, error) {
	now := a.o.Now()
	if past(w.ends, now) {
		return identity.Verified{}, errStale // a refusal takes as long as for a wrong one
	}
	if past(w.rests, now) {
		return identity.Verified{}, errStale // its parent may have been used since
	}
	if w.use == Refresh && w.registry != c.Registry {
		return identity.Verified{}, identity.Rejected("the refresh token is for another registry")
	}
	if idle := a.idle(w.use); idle > 0 && now.UnixMilli()-max(w.used.Load(), w.created) > idle.Milliseconds() {
		return identity.Verified{}, errStale // another process may have used it
	}
	v := w.verified
	if v.Principal == nil {
		find := a.elsewhere
		if w.use == Refresh { // the source may have confirmed the owner months ago
			find = a.afresh
		}
		s, err := find(ctx, w.owner)
		p := s.principal
		switch {
		case errors.Is(err, identity.ErrUnknown):
			if disabled, ok := errors.AsType[*identity.DisabledError](err); ok && disabled.Told {
				return identity.Verified{}, &identity.ExplainedError{What: "the " + string(w.use) + " token", Reason: disabled.Why}
			}
			return identity.Verified{}, identity.Rejected(cmp.Or(identity.Reason(err), "the owner of the token does not exist"))
		case err != nil:
			return identity.Verified{}, fmt.Errorf("looking up the owner of a token: %w", err)
		case c.Name != "" && c.Name != p.Name:
			return identity.Verified{}, identity.Rejected("the token belongs to somebody else")
		case !w.basis.of(s.generation):
			return identity.Verified{}, identity.Rejected("the password was changed since the token was made")
		}
		v.Principal = narrowed(p, w.limits)
	}
	a.touch(w, c.Remote, now)
	return v, nil
}

// narrowed returns a principal restricted by the limits of a token. The intersection of two lists
// of limits is not a list of limits in general. If p has limits already that do not contain the
// new ones, nothing is left.
func narrowed(p *policy.Principal, limits []policy.Limit) *policy.Principal {
	if len(limits) == 0 {
		return p
	}
	own := *p
	if len(p.Limits) > 0 && !within(p, limits) {
		limits = []policy.Limit{{}}
	}
	own.Limits = limits
	return &own
}

// load reads a credential from the database.
func (a *Accounts) load(ctx context.Context, c identity.Presented) (*warm, error) {
	if c.Kind == identity.Password {
		return a.loadPassword(ctx, c)
	}
	return a.loadToken(ctx, c)
}

func (a *Accounts) loadPassword(ctx context.Context, c identity.Presented) (*warm, error) {
	r, err := find(ctx, a.o.DB.Read(), c.Name)
	if errors.Is(err, admin.ErrNotFound) {
		return nil, identity.ErrUnknown
	}
	if err != nil {
		return nil, fmt.Errorf("looking up a user: %w", err)
	}
	secret := c.Secret.Reveal()
	if !r.live(a.o.Now()) || r.hash == "" {
		// The password is not compared: a correct one would be cached, and the next refusal would
		// be faster.
		err := refused(a.o.Hashing.DummyFor(ctx, requester(c), r.hash, secret))
		if errors.Is(err, identity.ErrRejected) {
			err = identity.Rejected(r.ended(a.o.Now()))
		}
		return nil, err
	}
	if err := a.o.Hashing.CompareFor(ctx, requester(c), r.hash, secret); err != nil {
		return nil, refused(err)
	}
	if r.Hash == "bcrypt" {
		a.rehash(ctx, &r, c)
	}
	return &warm{
		verified: identity.Verified{Principal: r.principal(), Credential: credentialPassword, Until: r.Expires},
		ends:     r.Expires,
	}, nil
}

// ended returns the reason why an account cannot sign in with a password.
func (r *record) ended(now time.Time) string {
	switch {
	case r.Disabled:
		return "it is disabled"
	case past(r.Expires, now):
		return "it expired " + when(r.Expires)
	}
	return "it has no password"
}

// requester identifies the client that a hash is computed for. Addresses take turns.
func requester(c identity.Presented) password.Requester {
	return password.Requester{Name: c.Name, Address: c.CountedAt(), KnownPlace: c.KnownPlace}
}

// refused converts a failed comparison to the error of an identity source. Unexpected errors stay
// outages.
func refused(err error) error {
	switch {
	case err == nil, errors.Is(err, password.ErrMismatch), errors.Is(err, password.ErrTooLong):
		return identity.ErrRejected
	}
	return fmt.Errorf("checking a password: %w", err)
}

func (a *Accounts) loadToken(ctx context.Context, c identity.Presented) (*warm, error) {
	letter, d, ok := parseSecret(c.Secret.Reveal())
	if !ok || shownAs(letter) != c.Kind {
		return nil, identity.NeverValid("the token is mistyped, or of another kind")
	}
	t, err := a.findSecret(ctx, a.o.DB.Read(), d)
	if errors.Is(err, admin.ErrNotFound) {
		// Tokens are random, so no later change makes this one valid.
		return nil, identity.NeverValid("there is no such token: it was revoked, or never issued")
	}
	if err != nil {
		return nil, fmt.Errorf("looking up a token: %w", err)
	}
	w := &warm{
		verified: identity.Verified{Credential: credential(&t), Until: t.Expires},
		ends:     t.Expires, token: t.ID, registry: t.Registry, use: t.Use,
		created: admin.Millis(t.Created), owner: t.Owner, limits: t.Limits,
	}
	if (t.Use == Refresh || t.Use == Session) && t.Parent == "" && t.Owner.Source != Source {
		w.basis = newBasis(c.Secret, t.basis)
	}
	w.used.Store(max(admin.Millis(t.Used), a.lastTouch(t.ID)))
	if letter != letterOf(t.Use) {
		return nil, identity.Rejected("the token is of another kind")
	}
	if w.rests, err = a.rests(ctx, a.o.DB.Read(), &t); err != nil {
		return nil, fmt.Errorf("looking up the parents of a token: %w", err)
	}
	if t.Owner.Source != Source {
		return w, nil
	}
	r, err := findID(ctx, a.o.DB.Read(), t.Owner.ID)
	switch {
	case errors.Is(err, admin.ErrNotFound):
		return nil, identity.Rejected("the owner of the token does not exist")
	case err != nil:
		return nil, fmt.Errorf("looking up the owner of a token: %w", err)
	case !r.live(a.o.Now()):
		return nil, identity.Rejected(r.ended(a.o.Now()))
	case c.Name != "" && c.Name != r.Login():
		return nil, identity.Rejected("the token belongs to somebody else")
	}
	w.ends = sooner(t.Expires, r.Expires)
	w.verified.Principal, w.verified.Until = narrowed(r.principal(), t.Limits), w.ends
	return w, nil
}

// rests returns the earliest time at which any ancestor of the token expires or has been idle for
// too long; zero: never. Using an ancestor postpones that time. Using the token does not.
func (a *Accounts) rests(ctx context.Context, q store.Querier, t *Token) (end time.Time, err error) {
	made, err := a.above(ctx, q, t)
	for _, m := range made {
		end = sooner(end, m.Expires)
		if idle := a.idle(m.Use); idle > 0 {
			end = sooner(end, admin.Time(max(admin.Millis(m.Used), admin.Millis(m.Created), a.lastTouch(m.ID))).Add(idle+time.Millisecond))
		}
	}
	return end, err
}

// sooner returns the earlier of two expiry times. The zero time is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// credential returns the name of a token in the journal.
func credential(t *Token) string {
	switch t.Use {
	case Robot:
		return credentialRobot + t.ID
	case Refresh:
		return credentialRefresh + t.ID
	case Session:
		return credentialSession + t.ID
	}
	return credentialAccess + t.Name
}

// rehash replaces a bcrypt hash while the password is known. It may fail: the next sign-in tries
// again.
func (a *Accounts) rehash(ctx context.Context, r *record, c identity.Presented) {
	hash, err := a.o.Hashing.Hash(ctx, c.Secret.Reveal())
	if err == nil {
		by := admin.Actor{Principal: r.principal(), Remote: c.Remote, Credential: credentialPassword}
		err = a.change(ctx, added, by, func(tx *sql.Tx) (*journal.Change, error) {
			n, err := store.Affected(tx.ExecContext(ctx, "UPDATE accounts SET hash = $1 WHERE id = $2 AND hash = $3", hash, r.ID, r.hash))
			if err != nil || n == 0 { // n == 0: the hash was changed meanwhile
				return nil, err
			}
			return &journal.Change{Action: "user.rehash", Target: r.Login(), From: map[string]any{"password": r.Hash}, To: map[string]any{"password": kindOfHash(hash)}}, nil
		})
	}
	if err != nil {
		a.o.Log.Warn("a bcrypt hash was not replaced", "user", r.Name, "error", err)
	}
}

// Dummy takes as long as checking a wrong password.
func (a *Accounts) Dummy(ctx context.Context, c identity.Presented) error {
	err := refused(a.o.Hashing.DummyFor(ctx, requester(c), "", c.Secret.Reveal()))
	if errors.Is(err, identity.ErrRejected) {
		return nil
	}
	return err
}

// DummyLookup sends the same query as Authenticate does for a name.
func (a *Accounts) DummyLookup(ctx context.Context, c identity.Presented) error {
	if c.Kind != identity.Password || strings.HasPrefix(c.Name, RobotPrefix) || !validName(c.Name) {
		return nil
	}
	if _, err := find(ctx, a.o.DB.Read(), c.Name); err != nil && !errors.Is(err, admin.ErrNotFound) {
		return fmt.Errorf("looking up a user: %w", err)
	}
	return nil
}

// Find returns the principal with a login, or with a name and an id. For a disabled or expired
// account it returns an identity.DisabledError.
func (a *Accounts) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	var r record
	var err error
	if id != "" {
		r, err = findID(ctx, a.o.DB.Read(), id)
		if err == nil && name != r.Name && name != r.Login() {
			err = admin.ErrNotFound
		}
	} else {
		r, err = find(ctx, a.o.DB.Read(), name)
	}
	switch {
	case errors.Is(err, admin.ErrNotFound):
		return nil, identity.ErrUnknown
	case err == nil && !r.live(a.o.Now()):
		return nil, &identity.DisabledError{Why: r.ended(a.o.Now())}
	case err != nil:
		return nil, fmt.Errorf("looking up an account: %w", err)
	}
	return r.principal(), nil
}
