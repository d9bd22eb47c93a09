// Package chain authenticates clients by several identity sources.
//
// A Chain asks its sources in order, local ones first, and returns the principal of the first
// source that knows the name. After a wrong password, the chain does not ask the next source. An
// outage is never a refusal. All verifications of credentials are rate limited.
//
// In comments of this package, errors without a package name are errors of package identity.
package chain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/anyone"
	"github.com/tidewaiter/tidewaiter/internal/identity/sourcename"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Dummy is a source that hashes passwords. For an unknown name, its method Dummy takes the same
// time as Authenticate takes for a wrong password, and then returns nil. The errors of Dummy are
// the outages that Authenticate would return for a wrong password. So a busy source gives the same
// answer for known and unknown names.
type Dummy interface {
	Dummy(ctx context.Context, c identity.Presented) error
}

// DummyLookup is a source that queries a database, a directory or a service. Its method
// DummyLookup sends the same queries as Authenticate for a wrong password, but computes no hash
// and does not send the password. The chain calls DummyLookup when an earlier source has refused
// the password, so that the response time does not reveal which source knows a name. An error is
// an outage of this source. The outage does not affect the result.
type DummyLookup interface {
	DummyLookup(ctx context.Context, c identity.Presented) error
}

// Budgeted is a source that checks only a limited number of wrong passwords for a name within a
// period. SpendUnknown counts an attempt with an unknown name in the same way as an attempt with a
// known name, so that the limit does not reveal which names exist. Its error is a
// *ratelimit.Error.
type Budgeted interface {
	SpendUnknown(ctx context.Context, c identity.Presented) error
}

// Explainer is a source that can explain why it does not accept a credential that cannot be
// guessed. If the credential is meant for this source, Explain returns an ErrRejected. Otherwise
// Explain returns an ErrUnknown, which can have a Reason. For example, an ID token of the source's
// issuer is meant for the source, even if the token has another audience. The chain calls Explain
// only if no source knows the credential, because Explain needs as much time as a verification.
type Explainer interface {
	Explain(ctx context.Context, c identity.Presented) error
}

// Lister is a source that can list the members of a group.
type Lister interface {
	identity.Finder
	Members(group string) []*policy.Principal // sorted by name
}

// Generations is a Finder that gives each password of a user a generation, from the password's
// hash or from the time of its change. Tokens that were issued for a password become invalid when
// the generation changes. FindGeneration is like Find, and also returns the generation, or "" if
// the generation is unknown. A generation is not shown to clients, and does not help to guess the
// password.
type Generations interface {
	FindGeneration(ctx context.Context, name, id string) (who *policy.Principal, generation string, err error)
}

// Options are the settings of a Chain.
type Options struct {
	Sources []identity.Source // asked in this order, local ones first

	// Dummy is called if no source is a Dummy. It may be nil.
	Dummy func(ctx context.Context, c identity.Presented) error

	Limiter *ratelimit.Limiter // nil: no limits. Several chains can share it
}

// Chain authenticates clients by its sources. It is immutable, and may be used from any
// goroutine.
type Chain struct {
	sources   []identity.Source // local ones first
	gate      gate
	passwords map[string]string // current name -> former name, for sources that accept passwords
	dummies   []func(ctx context.Context, c identity.Presented) error
	seed      maphash.Seed
	anonymous *policy.Principal
}

// New returns a Chain of o.Sources.
func New(o Options) *Chain {
	c := &Chain{sources: slices.Clone(o.Sources), seed: maphash.MakeSeed(), passwords: make(map[string]string), anonymous: &policy.Principal{Kind: policy.Anonymous}}
	c.gate = gate{o.Limiter, maphash.String(c.seed, "refused for good")}
	slices.SortStableFunc(c.sources, func(a, b identity.Source) int {
		switch {
		case a.Remote == b.Remote:
			return 0
		case b.Remote:
			return -1
		default:
			return 1
		}
	})
	for i := range c.sources {
		s := &c.sources[i]
		if _, anybody := s.Authenticator.(anyone.Source); acceptsKind(s, identity.Password) && !anybody {
			c.passwords[s.Name] = sourcename.Former(s.Name)
		}
		if d, ok := s.Authenticator.(Dummy); ok {
			c.dummies = append(c.dummies, d.Dummy)
		}
	}
	if len(c.dummies) == 0 && o.Dummy != nil {
		c.dummies = append(c.dummies, o.Dummy)
	}
	return c
}

// Authenticate asks the sources in order until one knows the name. It returns
//   - the anonymous principal, always the same one, if there are no credentials;
//   - a *MisplacedError, which is an ErrRejected, if a token is in place of a password or a name.
//     No source is asked;
//   - an *IncompleteError, which is an ErrRejected, if the credential is valid but the groups or
//     claims of its holder are not completely known;
//   - an *ExplainedError, which is an ErrRejected, if the credential is genuine but refused;
//   - ErrRejected if the credential is wrong or the name is unknown. The client cannot distinguish
//     these two cases, not even by the response time;
//   - an error that wraps ErrRateLimited, a *ratelimit.Error, after too many failed attempts. For
//     a password, the error means that no source was asked, and it does not reveal whether the
//     name exists. For a credential that cannot be guessed, it means that the credential was
//     verified and is invalid, or that too many credentials of the same address wait for
//     verification;
//   - an error that wraps ErrUnavailable if a source failed before any source knew the name. The
//     next source is not asked, because it can be weaker.
func (c *Chain) Authenticate(ctx context.Context, presented identity.Presented) (identity.Verified, error) {
	if presented.Kind == identity.None && presented.Name == "" && presented.Secret.Reveal() == "" {
		return identity.Verified{Principal: c.anonymous}, nil
	}
	if err := checkPlace(&presented); err != nil {
		return identity.Verified{}, c.gate.dismiss(presented, err)
	}
	if why := reasonToRefuse(&presented); why != "" {
		return identity.Verified{}, c.gate.dismiss(presented, identity.Rejected("not looked at: "+why))
	}
	v, err := c.gate.pass(ctx, presented, c.ask)
	if err == nil {
		c.learn(&presented, v.Principal)
	}
	return v, err
}

// learn records the address from which a user signs in. For a user with a password, a sign-in
// with any credential is recorded, both for the typed name and for the name in the source's
// spelling.
func (c *Chain) learn(presented *identity.Presented, p *policy.Principal) {
	l := c.gate.limiter
	source, guessable := c.passwords[p.Source] // the former name: stored hashes contain it
	if l == nil || p.Kind != policy.User || !guessable {
		return
	}
	if presented.Kind == identity.Password && presented.Name != p.Name {
		l.Learn(presented.Name, source, p.ID, presented.Remote)
	}
	l.Learn(p.Name, source, p.ID, presented.Remote)
}

// isIncomplete reports whether err means that a credential is valid, but its owner is refused
// because groups or claims are not known.
func isIncomplete(err error) bool {
	_, ok := errors.AsType[*identity.IncompleteError](err)
	return ok
}

// Limiter returns the rate limiter, or nil.
func (c *Chain) Limiter() *ratelimit.Limiter { return c.gate.limiter }

// ask authenticates well-formed credentials.
func (c *Chain) ask(ctx context.Context, presented identity.Presented) (identity.Verified, error) {
	for i := range c.sources {
		s := &c.sources[i]
		if !acceptsKind(s, presented.Kind) {
			continue
		}
		v, err := s.Authenticate(ctx, presented)
		switch {
		case err == nil && v.Principal == nil:
			return identity.Verified{}, unavailable(s.Name, errors.New("it accepted a credential without returning a principal"))
		case err == nil:
			return v, nil
		case errors.Is(err, identity.ErrUnknown):
			continue
		case isIncomplete(err):
			return identity.Verified{}, fmt.Errorf("asking %s: %w", s.Name, err)
		case errors.Is(err, identity.ErrRateLimited):
			// The limit of a directory is reached. Look the name up in the later sources
			// nevertheless, as for an unknown name.
			if outage := c.lookUp(ctx, presented, c.sources[i+1:]); outage != nil {
				return identity.Verified{}, outage
			}
			return identity.Verified{}, err
		case !errors.Is(err, identity.ErrRejected):
			return identity.Verified{}, unavailable(s.Name, err)
		case !isGuessable(presented.Kind):
			return identity.Verified{}, err
		}
		_, hashes := s.Authenticator.(Dummy)
		reason := identity.Reason(err)
		if reason == "" {
			reason = "the password is wrong"
		}
		return identity.Verified{}, c.reject(ctx, presented, c.sources[i+1:], hashes, s.Name+": "+reason)
	}
	if presented.Kind == identity.Password {
		for i := range c.sources {
			if b, ok := c.sources[i].Authenticator.(Budgeted); ok {
				if err := b.SpendUnknown(ctx, presented); err != nil {
					return identity.Verified{}, err
				}
			}
		}
	}
	why, err := c.explain(ctx, presented)
	if err != nil {
		return identity.Verified{}, err
	}
	return identity.Verified{}, c.reject(ctx, presented, nil, false, why)
}

// explain asks the sources why no source knows an ID token. The error comes from the source for
// which the token is meant. For credentials that can be guessed, there is no explanation.
func (c *Chain) explain(ctx context.Context, presented identity.Presented) (why string, err error) {
	why = "no source knows it"
	if presented.Kind != identity.IDToken {
		return why, nil
	}
	for i := range c.sources {
		e, ok := c.sources[i].Authenticator.(Explainer)
		if !ok || !acceptsKind(&c.sources[i], presented.Kind) {
			continue
		}
		err := e.Explain(ctx, presented)
		if errors.Is(err, identity.ErrRejected) {
			return "", err
		}
		why = cmp.Or(identity.Reason(err), why)
	}
	return why, nil
}

// reject refuses a password. Every refusal of a password calls reject: for an unknown name, a
// wrong password, and a disabled or expired account. All refusals must do the same work. So reject
// does the work that is still missing: a hash, and the lookups of the skipped sources. It returns
// Rejected(reason).
func (c *Chain) reject(ctx context.Context, presented identity.Presented, skipped []identity.Source, hashed bool, reason string) error {
	if presented.Kind != identity.Password {
		return identity.Rejected(reason)
	}
	if err := c.lookUp(ctx, presented, skipped); err != nil {
		return err
	}
	if hashed || len(c.dummies) == 0 {
		return identity.Rejected(reason)
	}
	// Always use the same dummy for a name, because a known name always costs a hash of the same
	// source.
	dummy := c.dummies[maphash.String(c.seed, presented.Name)%uint64(len(c.dummies))]
	if err := dummy(ctx, presented); err != nil && !errors.Is(err, identity.ErrRejected) {
		return unavailable("password check", err)
	}
	return identity.Rejected(reason)
}

// lookUp calls DummyLookup of the skipped sources. It fails only if the client has disconnected.
func (c *Chain) lookUp(ctx context.Context, presented identity.Presented, skipped []identity.Source) error {
	for i := range skipped {
		if d, ok := skipped[i].Authenticator.(DummyLookup); ok && acceptsKind(&skipped[i], identity.Password) {
			if err := d.DummyLookup(ctx, presented); err != nil && ctx.Err() != nil {
				return unavailable(skipped[i].Name, err)
			}
		}
	}
	return nil
}

// Find asks the sources in order for a principal by name. If id is not empty, the principal must
// also have this id. The error is ErrUnknown if there is no such principal, or if the principal
// cannot sign in. If the principal cannot sign in and the source gives a reason, the error also
// wraps a *DisabledError. Ids are unique only in a source: use FindIn for a stored id.
func (c *Chain) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	p, _, err := c.find(ctx, func(*identity.Source) bool { return true }, name, id)
	return p, err
}

// FindIn is Find in one source. Use it for credentials that were issued to a principal of that
// source, because a principal with the same name in another source must not inherit the
// credentials.
func (c *Chain) FindIn(ctx context.Context, source, name, id string) (*policy.Principal, error) {
	p, _, err := c.FindGeneration(ctx, source, name, id)
	return p, err
}

// FindGeneration is like FindIn, and also returns the generation of the principal's password
// (see Generations).
func (c *Chain) FindGeneration(ctx context.Context, source, name, id string) (*policy.Principal, string, error) {
	return c.find(ctx, func(s *identity.Source) bool { return sourcename.Same(s.Name, source) }, name, id)
}

func (c *Chain) find(ctx context.Context, matches func(*identity.Source) bool, name, id string) (p *policy.Principal, generation string, err error) {
	if name == "" || !wellFormedName(name) {
		return nil, "", identity.ErrUnknown
	}
	for i := range c.sources {
		s := &c.sources[i]
		finder, ok := s.Authenticator.(identity.Finder)
		if !ok || !matches(s) {
			continue
		}
		if g, ok := finder.(Generations); ok {
			p, generation, err = g.FindGeneration(ctx, name, id)
		} else {
			p, err = finder.Find(ctx, name, id)
		}
		_, isDisabled := errors.AsType[*identity.DisabledError](err)
		switch {
		case err == nil:
			return p, generation, nil
		case isIncomplete(err):
			return nil, "", fmt.Errorf("asking %s: %w", s.Name, err)
		case isDisabled:
			return nil, "", fmt.Errorf("%w: %w", identity.ErrUnknown, err)
		case errors.Is(err, identity.ErrRejected):
			return nil, "", identity.ErrUnknown
		case !errors.Is(err, identity.ErrUnknown):
			return nil, "", unavailable(s.Name, err)
		}
	}
	return nil, "", identity.ErrUnknown
}

// Source returns the source with the given name, or nil.
func (c *Chain) Source(name string) identity.Authenticator {
	for i := range c.sources {
		if c.sources[i].Name == name {
			return c.sources[i].Authenticator
		}
	}
	return nil
}

// Listers returns the sources that can list the members of a group. It also returns the names of
// the sources that cannot list their users although the users can be members. Neither list has the
// source whose name equals the parameter except.
func (c *Chain) Listers(except string) (listers []Lister, others []string) {
	for i := range c.sources {
		s := &c.sources[i]
		_, anybody := s.Authenticator.(anyone.Source) // its users have no groups
		if l, ok := s.Authenticator.(Lister); ok {
			listers = append(listers, l)
		} else if s.Name != except && !anybody {
			others = append(others, s.Name)
		}
	}
	return listers, others
}

// acceptsKind reports whether the source s accepts credentials of kind k.
func acceptsKind(s *identity.Source, k identity.Kind) bool {
	if len(s.Kinds) == 0 {
		return k == identity.Password
	}
	return slices.Contains(s.Kinds, k)
}

func unavailable(source string, err error) error {
	return fmt.Errorf("asking %s: %w: %w", source, identity.ErrUnavailable, err)
}
