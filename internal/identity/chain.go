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

// ErrUnavailable means that a source whose answer is needed gave none: it is down, or too busy.
// The error that wraps it names the source, and wraps what the source said.
var ErrUnavailable = errors.New("identity source unavailable")

// Dummy is a source that hashes passwords, and can spend as much time on a name that nobody knows
// as on a wrong password. It returns nil when the time is spent; other errors are those that
// Authenticate would have returned for a wrong password, so that a busy source looks the same for
// both.
type Dummy interface {
	Dummy(ctx context.Context, c Credentials) error
}

// DummyLookup is a source that asks somebody: a database, a directory, a service. DummyLookup
// spends what Authenticate spends on a wrong password beside the hash, and shows nobody the
// password: where an earlier source has refused it, so that nobody learns by the clock which
// source knows a name. An error is an outage of this source, which was not needed.
type DummyLookup interface {
	DummyLookup(ctx context.Context, c Credentials) error
}

// Budgeted is a source that checks only so many wrong passwords of a name, and then none for a
// while. Where nobody knows a name, SpendUnknown counts one as if the source had it, so that the
// limit does not tell who exists. Its error is a *RateLimitedError.
type Budgeted interface {
	SpendUnknown(ctx context.Context, c Credentials) error
}

// Source is an Authenticator in a chain. It may be a Finder, a Dummy and a DummyLookup, too.
type Source struct {
	Name string // as principals and errors bear it: "htpasswd", "ldap:corp"
	Authenticator
	Remote bool   // asked only when no local source knows the name
	Kinds  []Kind // the kinds of credentials that it is offered; empty: Password alone
}

// Options are the settings of a Chain.
type Options struct {
	Sources []Source                                       // asked in this order, but local ones first
	Dummy   func(ctx context.Context, c Credentials) error // where no source is a Dummy; may be nil

	Limiter *ratelimit.Limiter // nil: there are no limits. Chains may share one, so that it outlives them
}

// Chain asks its sources who somebody is. It is never changed, and may be used from any goroutine.
type Chain struct {
	sources   []Source // local ones first
	gate      gate
	passwords []string // names of the sources that take passwords
	dummies   []func(ctx context.Context, c Credentials) error
	seed      maphash.Seed
	anonymous *policy.Principal
}

// NewChain returns a Chain over o.Sources.
func NewChain(o Options) *Chain {
	c := &Chain{sources: slices.Clone(o.Sources), seed: maphash.MakeSeed(), anonymous: &policy.Principal{Kind: policy.Anonymous}}
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
			c.passwords = append(c.passwords, s.Name)
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
//   - the anonymous principal, always the same one, if nothing was shown;
//   - a *MisplacedError, which is an ErrRejected, if a token stands where a password or a name belongs: no source
//     was asked;
//   - an *IncompleteError, which is an ErrRejected, if the credential is right and the groups of its holder are not
//     known completely;
//   - an *ExplainedError, which is an ErrRejected, if the credential is genuine and is refused all the same;
//   - ErrRejected if the credential is wrong, or if nobody knows the name: to the caller, and by the
//     clock, the two are the same;
//   - an error that wraps ErrRateLimited, a *RateLimitedError, if too many attempts failed before. For a
//     password, no source was asked, and whether anybody has that name makes no difference. What cannot
//     be guessed was verified, and is bad, or too many of its source wait for that (not Checked);
//   - an error that wraps ErrUnavailable if a source failed before any had known the name. It is
//     not passed on to the next, which may be weaker.
func (c *Chain) Authenticate(ctx context.Context, shown Credentials) (Verified, error) {
	if shown.Kind == None && shown.Name == "" && shown.Secret.Reveal() == "" {
		return Verified{Principal: c.anonymous}, nil
	}
	if err := shown.misplaced(); err != nil {
		return Verified{}, c.gate.dismiss(shown, err)
	}
	if why := shown.unacceptable(); why != "" {
		return Verified{}, c.gate.dismiss(shown, Rejected("not looked at: "+why))
	}
	v, err := c.gate.pass(ctx, shown, c.ask)
	if err == nil {
		c.learn(&shown, v.Principal)
	}
	return v, err
}

// learn notes where somebody signs in. Whatever stands for a password teaches that; it counts for
// the name that was typed, and for the one that the source has.
func (c *Chain) learn(shown *Credentials, p *policy.Principal) {
	l := c.gate.limiter
	if l == nil || p.Kind != policy.User || !slices.Contains(c.passwords, p.Source) {
		return // nobody guesses its password: it has none
	}
	if shown.Kind == Password && shown.Name != p.Name {
		l.Learn(shown.Name, p.Source, p.ID, shown.Remote)
	}
	l.Learn(p.Name, p.Source, p.ID, shown.Remote)
}

// incomplete reports whether somebody proved to be who he is, and is refused for what is not known
// of him.
func incomplete(err error) bool {
	_, ok := errors.AsType[*IncompleteError](err)
	return ok
}

// Limiter returns what limits sign-ins; nil if nothing does.
func (c *Chain) Limiter() *ratelimit.Limiter { return c.gate.limiter }

// ask is Authenticate for what is worth asking about.
func (c *Chain) ask(ctx context.Context, shown Credentials) (Verified, error) {
	for i := range c.sources {
		s := &c.sources[i]
		if !s.takes(shown.Kind) {
			continue
		}
		v, err := s.Authenticate(ctx, shown)
		switch {
		case err == nil && v.Principal == nil:
			return Verified{}, unavailable(s.Name, errors.New("it accepted a credential and named nobody"))
		case err == nil:
			return v, nil
		case errors.Is(err, ErrUnknown):
			continue
		case incomplete(err):
			return Verified{}, fmt.Errorf("asking %s: %w", s.Name, err)
		case errors.Is(err, ErrRateLimited):
			// By the source: a directory's budget is spent. Those behind it are asked about names
			// that nobody has.
			if outage := c.lookUp(ctx, shown, c.sources[i+1:]); outage != nil {
				return Verified{}, outage
			}
			return Verified{}, err
		case !errors.Is(err, ErrRejected):
			return Verified{}, unavailable(s.Name, err)
		case !guessable(shown.Kind):
			return Verified{}, err
		}
		_, hashes := s.Authenticator.(Dummy)
		reason := Reason(err)
		if reason == "" {
			reason = "the password is wrong"
		}
		return Verified{}, c.reject(ctx, shown, c.sources[i+1:], hashes, s.Name+": "+reason)
	}
	if shown.Kind == Password {
		for i := range c.sources {
			if b, ok := c.sources[i].Authenticator.(Budgeted); ok {
				if err := b.SpendUnknown(ctx, shown); err != nil {
					return Verified{}, err
				}
			}
		}
	}
	why, err := c.explain(ctx, shown)
	if err != nil {
		return Verified{}, err
	}
	return Verified{}, c.reject(ctx, shown, nil, false, why)
}

// explain asks the sources why none of them knows an ID token. The error is that of the one that the
// token was for. What is guessed is never explained.
func (c *Chain) explain(ctx context.Context, shown Credentials) (why string, err error) {
	why = "no source knows it"
	if shown.Kind != IDToken {
		return why, nil
	}
	for i := range c.sources {
		e, ok := c.sources[i].Authenticator.(Explainer)
		if !ok || !c.sources[i].takes(shown.Kind) {
			continue
		}
		err := e.Explain(ctx, shown)
		if errors.Is(err, ErrRejected) {
			return "", err
		}
		why = cmp.Or(Reason(err), why)
	}
	return why, nil
}

// reject is the one way out for all that is refused: unknown, wrong, disabled and expired. It
// spends what any other refusal of this password would have cost and this one has not, and returns
// Rejected(reason): a hash, and the lookups of the sources that were not asked, as one before them
// knew the name.
func (c *Chain) reject(ctx context.Context, shown Credentials, unasked []Source, hashed bool, reason string) error {
	if shown.Kind != Password {
		return Rejected(reason)
	}
	if err := c.lookUp(ctx, shown, unasked); err != nil {
		return err
	}
	if hashed || len(c.dummies) == 0 {
		return Rejected(reason)
	}
	// One name always costs the same, as if it were known to one of the sources.
	dummy := c.dummies[maphash.String(c.seed, shown.Name)%uint64(len(c.dummies))]
	if err := dummy(ctx, shown); err != nil && !errors.Is(err, ErrRejected) {
		return unavailable("password check", err)
	}
	return Rejected(reason)
}

// lookUp spends the lookups of sources that were not asked. It fails only where the client has
// gone.
func (c *Chain) lookUp(ctx context.Context, shown Credentials, unasked []Source) error {
	for i := range unasked {
		if d, ok := unasked[i].Authenticator.(DummyLookup); ok && unasked[i].takes(Password) {
			if err := d.DummyLookup(ctx, shown); err != nil && ctx.Err() != nil {
				return unavailable(unasked[i].Name, err)
			}
		}
	}
	return nil
}

// Find asks the sources, in order, for a principal by name, and by id unless it is empty. It is
// ErrUnknown if there is nobody of that name, or nobody who can sign in; then it wraps a
// *DisabledError, too, where the source says why. Ids are unique within a source: who has stored
// one asks FindIn.
func (c *Chain) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	p, _, err := c.find(ctx, func(*Source) bool { return true }, name, id)
	return p, err
}

// FindIn is Find in the source of that name alone: for what was handed out to one of its
// principals, so that a namesake elsewhere never inherits it.
func (c *Chain) FindIn(ctx context.Context, source, name, id string) (*policy.Principal, error) {
	p, _, err := c.FindGeneration(ctx, source, name, id)
	return p, err
}

// FindGeneration is FindIn, and says of which generation the principal's password is, see
// Generations.
func (c *Chain) FindGeneration(ctx context.Context, source, name, id string) (*policy.Principal, string, error) {
	return c.find(ctx, func(s *Source) bool { return s.Name == source }, name, id)
}

func (c *Chain) find(ctx context.Context, asked func(*Source) bool, name, id string) (p *policy.Principal, generation string, err error) {
	if name == "" || !acceptableName(name) {
		return nil, "", ErrUnknown
	}
	for i := range c.sources {
		s := &c.sources[i]
		finder, ok := s.Authenticator.(Finder)
		if !ok || !asked(s) {
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

// Source returns the source of that name, or nil.
func (c *Chain) Source(name string) Authenticator {
	for i := range c.sources {
		if c.sources[i].Name == name {
			return c.sources[i].Authenticator
		}
	}
	return nil
}

// Listers returns the sources that can list who is in a group, and the names of the others whose people may be in one. The
// source of the name except is left out.
func (c *Chain) Listers(except string) (listers []Lister, others []string) {
	for i := range c.sources {
		s := &c.sources[i]
		_, anybody := s.Authenticator.(Anyone) // who is in no group
		if l, ok := s.Authenticator.(Lister); ok {
			listers = append(listers, l)
		} else if s.Name != except && !anybody {
			others = append(others, s.Name)
		}
	}
	return listers, others
}

// takes says whether s is to be offered credentials of kind k.
func (s *Source) takes(k Kind) bool {
	if len(s.Kinds) == 0 {
		return k == Password
	}
	return slices.Contains(s.Kinds, k)
}

func unavailable(source string, err error) error {
	return fmt.Errorf("asking %s: %w: %w", source, ErrUnavailable, err)
}
