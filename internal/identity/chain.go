package identity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Dummy is a source that hashes passwords. Its method Dummy takes the same time for an unknown
// name as Authenticate takes for a wrong password. It returns nil afterwards. Its errors are
// the outages that Authenticate would return for a wrong password, so that a busy source looks
// the same for known and unknown names.
type Dummy interface {
	Dummy(ctx context.Context, c Presented) error
}

// DummyLookup is a source that queries a database, a directory or a service. Its method
// DummyLookup makes the same queries as Authenticate makes for a wrong password, but computes
// no hash and does not send the password. The chain calls DummyLookup when an earlier source
// has refused the password, so that the response time does not reveal which source knows a
// name. An error is an outage of this source. The outage does not affect the result.
type DummyLookup interface {
	DummyLookup(ctx context.Context, c Presented) error
}

// Budgeted is a source that checks only a limited number of wrong passwords for a name within a
// period. SpendUnknown counts an attempt with an unknown name like an attempt with a known one, so
// that the limit does not reveal which names exist. Its error is a *RateLimitedError.
type Budgeted interface {
	SpendUnknown(ctx context.Context, c Presented) error
}

// Source is an Authenticator in a chain. The Authenticator can also implement Finder, Dummy and
// DummyLookup.
type Source struct {
	Name string // as in principals and errors: "htpasswd", "ldap:corp"
	Authenticator
	Remote bool   // asked only when no local source knows the name
	Kinds  []Kind // the accepted kinds of credentials; empty: only Password
}

// Options are the settings of a Chain.
type Options struct {
	Sources []Source                                     // asked in this order, local ones first
	Dummy   func(ctx context.Context, c Presented) error // if no source is a Dummy; may be nil

	Limiter *ratelimit.Limiter // nil: no limits. May be shared, so that it outlives a chain
}

// Chain authenticates clients by its sources. It is immutable, and may be used from any
// goroutine.
type Chain struct {
	sources   []Source // local ones first
	gate      gate
	passwords map[string]string // former names of the sources that accept passwords, by their names
	dummies   []func(ctx context.Context, c Presented) error
	seed      maphash.Seed
	anonymous *policy.Principal
}

// NewChain returns a Chain of o.Sources.
func NewChain(o Options) *Chain {
	c := &Chain{sources: slices.Clone(o.Sources), seed: maphash.MakeSeed(), passwords: make(map[string]string), anonymous: &policy.Principal{Kind: policy.Anonymous}}
	c.gate = gate{o.Limiter, maphash.String(c.seed, "refused for good")}
	slices.SortStableFunc(c.sources, func(a, b Source) int {
		switch {
		case a.Remote == b.Remote:
			return 0
		case b.Remote:
			return -1
		default:
			return 1
		}
	})
	for _, s := range c.sources {
		if _, anybody := s.Authenticator.(Anyone); s.takes(Password) && !anybody {
			c.passwords[s.Name] = FormerSource(s.Name)
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
//   - an error that wraps ErrRateLimited, a *RateLimitedError, after too many failed attempts. For
//     a password, the error means that no source was asked, and it does not reveal whether the
//     name exists. For a credential that cannot be guessed, it means that the credential was
//     verified and is invalid, or that too many credentials of the same address wait for
//     verification;
//   - an error that wraps ErrUnavailable if a source failed before any source knew the name. The
//     next source is not asked, because it can be weaker.
func (c *Chain) Authenticate(ctx context.Context, presented Presented) (Verified, error) {
	if presented.Kind == None && presented.Name == "" && presented.Secret.Reveal() == "" {
		return Verified{Principal: c.anonymous}, nil
	}
	if err := presented.misplaced(); err != nil {
		return Verified{}, c.gate.dismiss(presented, err)
	}
	if why := presented.unacceptable(); why != "" {
		return Verified{}, c.gate.dismiss(presented, Rejected("not looked at: "+why))
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
func (c *Chain) learn(presented *Presented, p *policy.Principal) {
	l := c.gate.limiter
	source, guessable := c.passwords[p.Source] // the former name: stored hashes contain it
	if l == nil || p.Kind != policy.User || !guessable {
		return
	}
	if presented.Kind == Password && presented.Name != p.Name {
		l.Learn(presented.Name, source, p.ID, presented.Remote)
	}
	l.Learn(p.Name, source, p.ID, presented.Remote)
}

// incomplete reports whether a credential is valid, but its holder is refused because groups or
// claims are not known.
func incomplete(err error) bool {
	_, ok := errors.AsType[*IncompleteError](err)
	return ok
}

// Limiter returns the rate limiter, or nil.
func (c *Chain) Limiter() *ratelimit.Limiter { return c.gate.limiter }

// ask authenticates well-formed credentials.
func (c *Chain) ask(ctx context.Context, presented Presented) (Verified, error) {
	for i := range c.sources {
		s := &c.sources[i]
		if !s.takes(presented.Kind) {
			continue
		}
		v, err := s.Authenticate(ctx, presented)
		switch {
		case err == nil && v.Principal == nil:
			return Verified{}, unavailable(s.Name, errors.New("it accepted a credential without returning a principal"))
		case err == nil:
			return v, nil
		case errors.Is(err, ErrUnknown):
			continue
		case incomplete(err):
			return Verified{}, fmt.Errorf("asking %s: %w", s.Name, err)
		case errors.Is(err, ErrRateLimited):
			// The budget of a directory is spent. The lookups of the later sources are made
			// nevertheless, as for an unknown name.
			if outage := c.lookUp(ctx, presented, c.sources[i+1:]); outage != nil {
				return Verified{}, outage
			}
			return Verified{}, err
		case !errors.Is(err, ErrRejected):
			return Verified{}, unavailable(s.Name, err)
		case !guessable(presented.Kind):
			return Verified{}, err
		}
		_, hashes := s.Authenticator.(Dummy)
		reason := Reason(err)
		if reason == "" {
			reason = "the password is wrong"
		}
		return Verified{}, c.reject(ctx, presented, c.sources[i+1:], hashes, s.Name+": "+reason)
	}
	if presented.Kind == Password {
		for i := range c.sources {
			if b, ok := c.sources[i].Authenticator.(Budgeted); ok {
				if err := b.SpendUnknown(ctx, presented); err != nil {
					return Verified{}, err
				}
			}
		}
	}
	why, err := c.explain(ctx, presented)
	if err != nil {
		return Verified{}, err
	}
	return Verified{}, c.reject(ctx, presented, nil, false, why)
}

// explain asks the sources why none of them knows an ID token. The error comes from the source
// for which the token is meant. Credentials that can be guessed are never explained.
func (c *Chain) explain(ctx context.Context, presented Presented) (why string, err error) {
	why = "no source knows it"
	if presented.Kind != IDToken {
		return why, nil
	}
	for i := range c.sources {
		e, ok := c.sources[i].Authenticator.(Explainer)
		if !ok || !c.sources[i].takes(presented.Kind) {
			continue
		}
		err := e.Explain(ctx, presented)
		if errors.Is(err, ErrRejected) {
			return "", err
		}
		why = cmp.Or(Reason(err), why)
	}
	return why, nil
}

// reject refuses a password. Every refusal of a password calls reject, whether the name is
// unknown, the password is wrong, or the account is disabled or expired. reject does the work
// that other refusals do and this refusal has not done yet: a hash, and the lookups of the
// skipped sources. It returns Rejected(reason).
func (c *Chain) reject(ctx context.Context, presented Presented, skipped []Source, hashed bool, reason string) error {
	if presented.Kind != Password {
		return Rejected(reason)
	}
	if err := c.lookUp(ctx, presented, skipped); err != nil {
		return err
	}
	if hashed || len(c.dummies) == 0 {
		return Rejected(reason)
	}
	// Always use the same dummy for a name, because a known name would always cost the hash of
	// one source.
	dummy := c.dummies[maphash.String(c.seed, presented.Name)%uint64(len(c.dummies))]
	if err := dummy(ctx, presented); err != nil && !errors.Is(err, ErrRejected) {
		return unavailable("password check", err)
	}
	return Rejected(reason)
}

// lookUp makes the lookups of sources that were skipped. It fails only if the client has
// disconnected.
func (c *Chain) lookUp(ctx context.Context, presented Presented, skipped []Source) error {
	for i := range skipped {
		if d, ok := skipped[i].Authenticator.(DummyLookup); ok && skipped[i].takes(Password) {
			if err := d.DummyLookup(ctx, presented); err != nil && ctx.Err() != nil {
				return unavailable(skipped[i].Name, err)
			}
		}
	}
	return nil
}

// Find asks the sources in order for a principal by name. If id is not empty, the principal
// must also have this id. The error is ErrUnknown if there is no such principal, or if the
// principal cannot sign in. In the second case, the error also wraps a *DisabledError if the
// source gives a reason. Ids are unique within a source: use FindIn for a stored id.
func (c *Chain) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	p, _, err := c.find(ctx, func(*Source) bool { return true }, name, id)
	return p, err
}

// FindIn is Find in one source. Use it for credentials that were issued to a principal of that
// source: a principal with the same name in another source must not inherit them.
func (c *Chain) FindIn(ctx context.Context, source, name, id string) (*policy.Principal, error) {
	p, _, err := c.FindGeneration(ctx, source, name, id)
	return p, err
}

// FindGeneration is like FindIn, and also returns the generation of the principal's password,
// see Generations.
func (c *Chain) FindGeneration(ctx context.Context, source, name, id string) (*policy.Principal, string, error) {
	return c.find(ctx, func(s *Source) bool { return SameSource(s.Name, source) }, name, id)
}

func (c *Chain) find(ctx context.Context, matches func(*Source) bool, name, id string) (p *policy.Principal, generation string, err error) {
	if name == "" || !wellFormedName(name) {
		return nil, "", ErrUnknown
	}
	for i := range c.sources {
		s := &c.sources[i]
		finder, ok := s.Authenticator.(Finder)
		if !ok || !matches(s) {
			continue
		}
		if g, ok := finder.(Generations); ok {
			p, generation, err = g.FindGeneration(ctx, name, id)
		} else {
			p, err = finder.Find(ctx, name, id)
		}
		_, isDisabled := errors.AsType[*DisabledError](err)
		switch {
		case err == nil:
			return p, generation, nil
		case incomplete(err):
			return nil, "", fmt.Errorf("asking %s: %w", s.Name, err)
		case isDisabled:
			return nil, "", fmt.Errorf("%w: %w", ErrUnknown, err)
		case errors.Is(err, ErrRejected):
			return nil, "", ErrUnknown
		case !errors.Is(err, ErrUnknown):
			return nil, "", unavailable(s.Name, err)
		}
	}
	return nil, "", ErrUnknown
}

// Source returns the source with the given name, or nil.
func (c *Chain) Source(name string) Authenticator {
	for i := range c.sources {
		if c.sources[i].Name == name {
			return c.sources[i].Authenticator
		}
	}
	return nil
}

// Listers returns the sources that can list the members of a group. It also returns the names
// of the sources that cannot list them although their users can be members. These names do not
// include the parameter except.
func (c *Chain) Listers(except string) (listers []Lister, others []string) {
	for i := range c.sources {
		s := &c.sources[i]
		_, anybody := s.Authenticator.(Anyone) // its users have no groups
		if l, ok := s.Authenticator.(Lister); ok {
			listers = append(listers, l)
		} else if s.Name != except && !anybody {
			others = append(others, s.Name)
		}
	}
	return listers, others
}

// takes reports whether s accepts credentials of kind k.
func (s *Source) takes(k Kind) bool {
	if len(s.Kinds) == 0 {
		return k == Password
	}
	return slices.Contains(s.Kinds, k)
}

func unavailable(source string, err error) error {
	return fmt.Errorf("asking %s: %w: %w", source, ErrUnavailable, err)
}
