// Package oidc verifies ID tokens and turns their claims into a principal.
//
// A CI system or a cluster issues short-lived signed tokens to its jobs: OpenID Connect ID
// tokens, Kubernetes service account tokens or SPIFFE JWT-SVIDs. A job presents such a token
// instead of a password, so it needs no stored secret.
//
// A token is accepted under four conditions: a key of its issuer signed the token, its only
// audience is this service, the token is valid now and not too old, and its claims meet the
// requirements. Keys come from the issuer's own address or from a file, never from the token: the
// headers jwk, jku and x5u are ignored. Only asymmetric algorithms are allowed, and a key is used
// only with algorithms that fit it.
//
// A Provider is one issuer. If a chain has several Providers, the unverified claims iss and aud
// select the Provider that verifies the token. The other Providers return identity.ErrUnknown. The
// user name that a client sends with a token is ignored, because docker login requires a name and
// CI systems send arbitrary names.
package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/cache"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/setting"
	"github.com/tidewaiter/tidewaiter/internal/loglimit"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Options are the settings of a Provider. Name and Audience are required. Issuer is required if
// the preset has none. An empty field has the value of the preset. If the preset has no value,
// the field has the default given here.
type Options struct {
	Name     string   // the source of principals is "oidc:" + Name
	Preset   Preset   // defaults for a known platform; "": none
	Issuer   string   // must equal the iss claim of the tokens
	Audience []string // a token must be for one of these and for no other audience

	JWKSURL   string // URL of the issuer's keys; "": from its discovery document
	JWKSFile  string // file with the keys, instead of a URL; read again when it changes
	CA        string // PEM file of certificate authorities; "": the authorities of the system
	TokenFile string // file with a bearer token for requests to the issuer; read each time

	Algorithms []string      // accepted signature algorithms; empty: see the function Algorithms
	MaxAge     time.Duration // maximum age of a token; 0: 24 h

	Reserved []string // groups with rights over Tidewaiter, for Warnings

	Kind      policy.Kind // kind of the principals: policy.Workload (default) or policy.User
	Principal string      // template of the principal's name; "": "{sub}"
	// Groups are templates of group names. A claim that is a list yields a group for each
	// element.
	Groups []string
	// Claims are the claims that the principal gets for use in rules: NAME, /path/to/NAME or
	// OTHER=NAME.
	Claims []string
	// Require maps a claim to patterns. At least one pattern must match the value of the claim.
	// In a pattern, * does not match a slash.
	Require map[string][]string

	Log *slog.Logger     // nil: nothing is logged
	Now func() time.Time // nil: time.Now
}

// leeway is the tolerated difference between clocks.
const leeway = time.Minute

// Provider verifies the ID tokens of one issuer. Its methods may be called from any goroutine.
type Provider struct {
	source string // "oidc:github"
	settings
	keys    *keySet
	dropped []droppedKey // unusable keys in jwks_file when New read it
	logs    loglimit.Limit

	tokens  *cache.Keys
	valid   *cache.Cache[cache.Key, identity.Verified]
	refused *cache.Cache[cache.Key, error] // of tokens with a valid signature
}

// cachedFor is the time for which the result for a token is cached. For example, a job pulls fifty
// images with one token within minutes, and the signature of the token is verified only the first
// time. After the issuer has revoked a key, cached tokens of this key are still accepted for
// cachedFor.
const (
	maxCached = 10_000
	cachedFor = 2 * time.Minute

	// maxRefused is the maximum number of cached refusals. Refusals have a separate cache. Anyone
	// can get many tokens for other audiences from a shared issuer, and the refusals of these
	// tokens must not evict accepted tokens.
	maxRefused = 1_000
)

// New checks the settings and reads the files that the settings name. The error is
// setting.Problems with all problems. New does not connect and starts no goroutine. Run fetches
// the keys. Without Run, Authenticate fetches the keys when it needs them.
func New(o Options) (*Provider, error) {
	s, problems := o.check()
	if len(problems) > 0 {
		return nil, problems
	}
	p := &Provider{
		source: "oidc:" + s.o.Name, settings: *s,
		logs:    loglimit.Limit{Period: 10 * time.Second, Max: 20},
		tokens:  cache.NewKeys(),
		valid:   cache.New[cache.Key, identity.Verified](maxCached, s.o.Now),
		refused: cache.New[cache.Key, error](maxRefused, s.o.Now),
	}
	p.o.Log = s.o.Log.With("source", p.source)
	p.keys = newKeySet(s.origin, p.o.Log, s.o.Now)
	if s.o.JWKSFile != "" {
		set, err := s.origin.fetch(context.Background())
		if err != nil {
			return nil, setting.Problems{{Field: "jwks_file", Item: -1, Text: err.Error()}}
		}
		p.keys.put(set)
		p.dropped = set.dropped
	}
	return p, nil
}

// Inherit copies the keys of the previous Provider, if both Providers get their keys from the same
// place. The reason is that the issuer can be down when a config is reloaded. Call Inherit before
// p is used.
func (p *Provider) Inherit(from *Provider) {
	if from.o.Issuer == p.o.Issuer && from.o.JWKSURL == p.o.JWKSURL && from.o.JWKSFile == p.o.JWKSFile &&
		from.o.CA == p.o.CA && from.o.TokenFile == p.o.TokenFile {
		p.keys.inherit(from.keys)
	}
}

// Run refreshes the keys until ctx ends.
func (p *Provider) Run(ctx context.Context) {
	defer p.origin.close()
	p.keys.run(ctx)
}

// Authenticate verifies an ID token. ErrUnknown means that the credential is not an ID token,
// or is a token from another issuer or for another audience. ErrRejected means that the token
// is not valid. Any other error is an outage: the token's key is not known and the issuer does
// not answer.
//
// The reason of a refusal is in the log and the journal. The client gets the reason only if the
// signature is valid (ExplainedError).
func (p *Provider) Authenticate(ctx context.Context, c identity.Presented) (identity.Verified, error) {
	return p.verifyCached(ctx, c, p.verify)
}

// Explain returns the reason why a token is not accepted (chain.Explainer). For a token of another
// issuer, the error is an ErrUnknown that names the issuer. For a token of this issuer, the error
// names the audience. Explain verifies a signature, so the chain calls it only after all Providers
// returned ErrUnknown.
func (p *Provider) Explain(ctx context.Context, c identity.Presented) error {
	_, err := p.verifyCached(ctx, c, p.verifyAudience)
	if errors.Is(err, identity.ErrUnknown) {
		if t, err := read(trim(c.Secret.Reveal())); err == nil && t.claims["iss"] != p.o.Issuer {
			issuer, _ := t.claims["iss"].(string)
			return identity.WithReason(identity.ErrUnknown, fmt.Sprintf("no source is for its issuer, %q", shorten(issuer)))
		}
	}
	return err
}

// verifyCached returns the cached result for a token, or calls the function verify. Refusals are
// cached only if the signature is valid.
func (p *Provider) verifyCached(ctx context.Context, c identity.Presented, verify func(context.Context, *unverified) (identity.Verified, error)) (identity.Verified, error) {
	if c.Kind != identity.IDToken {
		return identity.Verified{}, identity.ErrUnknown
	}
	if err := ctx.Err(); err != nil {
		return identity.Verified{}, err
	}
	raw := trim(c.Secret.Reveal())
	key := p.tokens.Of(0, raw)
	if v, ok := p.valid.Get(key); ok {
		return v, nil
	}
	if err, ok := p.refused.Get(key); ok {
		return identity.Verified{}, err
	}
	t, err := read(raw)
	var verified identity.Verified
	if err == nil {
		if issuer, _ := t.claims["iss"].(string); issuer != p.o.Issuer {
			return identity.Verified{}, identity.ErrUnknown
		}
		verified, err = verify(ctx, t)
	}
	refused, ok := errors.AsType[*refusal](err)
	if !ok {
		if err == nil {
			p.valid.Put(key, verified, min(cachedFor, verified.Until.Sub(p.o.Now())))
		}
		return verified, err
	}
	p.logRefusal(refused)
	_, later := errors.AsType[notYet](err)
	explained := refused.clientError()
	switch {
	case explained != nil:
		if !later {
			p.refused.Put(key, explained, cachedFor) // the reason does not change with time
		}
		return identity.Verified{}, explained
	case later:
		return identity.Verified{}, identity.Rejected(refused.reason)
	}
	return identity.Verified{}, identity.WithReason(identity.ErrNeverValid, refused.reason)
}

// verify verifies a token of this issuer. For a token with another audience, verify does not check
// the signature. For an expired token, it checks the signature, because the client may get the
// reason only if the signature is valid.
func (p *Provider) verify(ctx context.Context, t *unverified) (identity.Verified, error) {
	err := p.audience(t)
	if errors.Is(err, identity.ErrUnknown) {
		return identity.Verified{}, err
	}
	until, late := p.lifetime(t)
	if err == nil {
		err = late
	}
	if err := p.checkSignature(ctx, t, err); err != nil {
		return identity.Verified{}, err
	}
	// From here on, the claims are authentic.
	if err := p.conditions(t.claims); err != nil {
		return identity.Verified{}, err
	}
	who, err := p.principal(t.claims)
	if err != nil {
		return identity.Verified{}, err
	}
	return identity.Verified{Principal: who, Credential: identity.CredentialIDToken, Until: until}, nil
}

// verifyAudience refuses a token of this issuer that is for another audience. For any other
// token, it returns ErrUnknown.
func (p *Provider) verifyAudience(ctx context.Context, t *unverified) (identity.Verified, error) {
	if err := p.audience(t); !errors.Is(err, identity.ErrUnknown) {
		return identity.Verified{}, identity.ErrUnknown
	}
	return identity.Verified{}, p.checkSignature(ctx, t, t.refuse("it is for another audience: "+shorten(strings.Join(t.audiences(), ", "))))
}

// checkSignature verifies the signature of a token. If the token has a known problem and the
// signature is valid, checkSignature marks the error knownProblem, so that the client gets the
// reason. If the signature is wrong or cannot be checked, checkSignature returns knownProblem
// without the mark.
func (p *Provider) checkSignature(ctx context.Context, t *unverified, knownProblem error) error {
	err := p.signature(ctx, t)
	switch r, ok := errors.AsType[*refusal](knownProblem); {
	case !ok:
		return err
	case err == nil:
		r.signed = true
	}
	return knownProblem
}

// refusal is the reason why a token is not valid. It never contains the token.
type refusal struct {
	reason  string
	subject string // the sub claim, verified only if signed is true; "" if unknown

	signed     bool   // the signature is valid, so the client may get the reason
	person     string // id of the owner, if every token of the owner is refused
	incomplete error  // for a valid signature: groups or claims that are not known
}

func (r *refusal) Error() string { return r.reason }

// clientError returns the error for the client, or nil if the client must not get the reason.
func (r *refusal) clientError() error {
	switch {
	case r.incomplete != nil:
		return r.incomplete
	case r.signed:
		return &identity.ExplainedError{What: "the ID token", Reason: r.reason, Person: r.person}
	}
	return nil
}

// notYet is a refusal of a token that can become valid later. The reason is that its lifetime
// begins later, or that a later fetch of the issuer's keys can return its key.
type notYet struct{ *refusal }

func (n notYet) Unwrap() error { return n.refusal }

// logRefusal logs a refusal. The rate of log lines is limited, because anyone can send tokens.
func (p *Provider) logRefusal(r *refusal) {
	if missed, ok := p.logs.Allow(p.o.Now()); ok {
		p.o.Log.Info("ID token refused", "reason", r.reason, "subject", r.subject, loglimit.Missed, missed)
	}
}
