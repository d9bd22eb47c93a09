// Package oidc answers: which job, pod or person does this ID token speak of?
//
// A CI system or a cluster gives its jobs short-lived tokens that it has signed (OpenID Connect ID
// tokens, Kubernetes service account tokens, SPIFFE JWT-SVIDs). A job shows one in place of a
// password, and needs no secret that somebody had to make, store and rotate.
//
// A token is believed if a key of its issuer signed it, for us alone, not too long ago, and if its
// claims are those that are required. The issuer's keys come from the issuer's own address or from
// a file, never from the token: headers like jwk, jku and x5u are not read. The algorithms are a
// list of asymmetric ones; a key is only used with those that it is made for.
//
// One Provider is one issuer. Of many in a chain, the token's iss and aud claims, not yet
// verified, choose the one that verifies; all others do not know it (identity.ErrUnknown). The
// name that is typed beside a token means nothing: docker login wants one, and CI systems fill it
// with whatever they have.
package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Options are the settings of a Provider. Name and Audience are needed, and Issuer where the
// preset has none. What is empty is as the preset says, else as it is noted here.
type Options struct {
	Name     string   // principals bear it behind "oidc:"
	Preset   Preset   // what the issuer is known to be like; "": nothing
	Issuer   string   // exactly as the tokens' iss claim
	Audience []string // a token must be for one of them, and for nobody else

	JWKSURL   string // where the issuer's keys are; "": where its discovery document says
	JWKSFile  string // a file with the keys, in place of any address; read again when it changes
	CA        string // PEM file with the certificates that the issuer's is under; "": those of the system
	TokenFile string // file with a bearer token that the issuer's address wants; read at each fetch

	Algorithms []string      // of signatures; empty: all that Algorithms returns
	MaxAge     time.Duration // since a token was issued; 0: 24 h

	Reserved []string // groups with rights over Tidewaiter: no claim should be able to come to one

	Kind      policy.Kind         // of the principals: policy.Workload (default) or policy.User
	Principal string              // template of their name; "": "{sub}"
	Groups    []string            // templates of their groups; a list in a claim is one group an element
	Claims    []string            // claims that principals keep, for rules: NAME, /path/to/NAME, or OTHER=NAME
	Require   map[string][]string // claim -> patterns, of which one must match its value; * stays between slashes

	Log *slog.Logger     // nil: nothing is logged
	Now func() time.Time // nil: time.Now
}

// leeway is how far clocks may differ.
const leeway = time.Minute

// Provider is an issuer of ID tokens. Its methods may be called from any goroutine.
type Provider struct {
	source string // "oidc:github"
	settings
	keys    *keySet
	dropped []droppedKey // of the jwks_file, as it was at first
	memory  *memory
	logs    logLimit
}

// New checks the settings and reads the files that they name; the error is Problems, with all that
// is wrong. It connects to nothing and starts nothing: keys are fetched by Run, or when they are
// needed.
func New(o Options) (*Provider, error) {
	s, problems := o.check()
	if len(problems) > 0 {
		return nil, problems
	}
	p := &Provider{source: "oidc:" + s.o.Name, settings: *s, memory: newMemory(s.o.Now), logs: logLimit{now: s.o.Now}}
	p.o.Log = s.o.Log.With("source", p.source)
	p.keys = newKeySet(s.origin, p.o.Log, s.o.Now)
	if s.o.JWKSFile != "" {
		set, err := s.origin.fetch(context.Background())
		if err != nil {
			return nil, Problems{{"jwks_file", -1, err.Error()}}
		}
		p.keys.put(set)
		p.dropped = set.dropped
	}
	return p, nil
}

// Inherit takes over the keys of the Provider that p replaces, if they are from the same place:
// the issuer may be down just when a config is loaded anew. It is called before p is used.
func (p *Provider) Inherit(from *Provider) {
	if from.o.Issuer == p.o.Issuer && from.o.JWKSURL == p.o.JWKSURL && from.o.JWKSFile == p.o.JWKSFile &&
		from.o.CA == p.o.CA && from.o.TokenFile == p.o.TokenFile {
		p.keys.inherit(from.keys)
	}
}

// Run keeps the keys fresh until ctx ends.
func (p *Provider) Run(ctx context.Context) {
	defer p.origin.close()
	p.keys.run(ctx)
}

// Authenticate verifies an ID token. It is ErrUnknown for anything else and for a token that
// another issuer made or that is for another audience, ErrRejected for one that does not hold, and
// an outage if the key that the token names is not known and the issuer cannot be asked for it.
// Why a token is refused is in the log and the journal. Its holder is told if the signature is
// good (ExplainedError), and otherwise no more than any stranger.
func (p *Provider) Authenticate(ctx context.Context, c identity.Credentials) (identity.Verified, error) {
	return p.cached(ctx, c, p.verify)
}

// Explain says why a token is of another issuer, which is ErrUnknown, or why one of this issuer is for another audience (identity.Explainer). It costs a
// signature, so that it is done only when no other entry for the issuer has that audience.
func (p *Provider) Explain(ctx context.Context, c identity.Credentials) error {
	_, err := p.cached(ctx, c, p.verifyAudience)
	if errors.Is(err, identity.ErrUnknown) {
		if t, err := read(trim(c.Secret.Reveal())); err == nil && t.claims["iss"] != p.o.Issuer {
			issuer, _ := t.claims["iss"].(string)
			return identity.Unknown(fmt.Sprintf("no source is for its issuer, %q", shorten(issuer)))
		}
	}
	return err
}

// cached is verify, unless the token was verified a short while ago, or was refused then
// although its signature is good.
func (p *Provider) cached(ctx context.Context, c identity.Credentials, verify func(context.Context, *unverified) (identity.Verified, error)) (identity.Verified, error) {
	if c.Kind != identity.IDToken {
		return identity.Verified{}, identity.ErrUnknown
	}
	if err := ctx.Err(); err != nil {
		return identity.Verified{}, err
	}
	raw := trim(c.Secret.Reveal())
	remembered := p.memory.key(raw)
	if v, err, ok := p.memory.recall(remembered); ok {
		return v, err
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
			p.memory.keep(remembered, verified)
		}
		return verified, err
	}
	p.logRefusal(refused)
	_, later := errors.AsType[notYet](err)
	explained := refused.explained()
	switch {
	case explained != nil:
		if !later {
			p.memory.refuse(remembered, explained)
		}
		return identity.Verified{}, explained
	case later:
		return identity.Verified{}, identity.Rejected(refused.reason)
	}
	return identity.Verified{}, identity.NeverValid(refused.reason)
}

// verify does the work. A token that is for another audience costs no signature. One that has
// expired does, so that its holder can be told.
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
	// From here on the claims are the issuer's.
	if err := p.conditions(t.claims); err != nil {
		return identity.Verified{}, err
	}
	who, err := p.principal(t.claims)
	if err != nil {
		return identity.Verified{}, err
	}
	return identity.Verified{Principal: who, Credential: identity.CredentialIDToken, Until: until}, nil
}

// verifyAudience is verify for a token that may be for another audience, and refuses only those.
func (p *Provider) verifyAudience(ctx context.Context, t *unverified) (identity.Verified, error) {
	if err := p.audience(t); !errors.Is(err, identity.ErrUnknown) {
		return identity.Verified{}, identity.ErrUnknown
	}
	return identity.Verified{}, p.checkSignature(ctx, t, t.no("it is for another audience: "+shorten(strings.Join(t.audiences(), ", "))))
}

// checkSignature checks the signature of a token that is to be refused for another reason, or for none. A
// refusal whose signature is good is marked, so that the holder is told. Where the signature is
// wrong, or cannot be checked, the token is refused for what was known without.
func (p *Provider) checkSignature(ctx context.Context, t *unverified, refused error) error {
	err := p.signature(ctx, t)
	switch r, ok := errors.AsType[*refusal](refused); {
	case !ok:
		return err
	case err == nil:
		r.signed = true
	}
	return refused
}

// refusal is why a token does not hold, for the log. It never repeats the token.
type refusal struct {
	reason  string
	subject string // as the token has it, perhaps not verified; "" if it is not known

	signed     bool   // its signature is good: its holder may know the reason
	person     string // the id of its holder, if it is they who are refused; "" otherwise
	incomplete error  // of a token with a good signature: what is not known of its holder
}

func (r *refusal) Error() string { return r.reason }

// told is what the holder is told; nil is nothing.
func (r *refusal) explained() error {
	switch {
	case r.incomplete != nil:
		return r.incomplete
	case r.signed:
		return &identity.ExplainedError{What: "the ID token", Reason: r.reason, Person: r.person}
	}
	return nil
}

// notYet is a refusal of a token that may hold later: when it begins, or when the issuer's keys
// are fetched again.
type notYet struct{ *refusal }

func (n notYet) Unwrap() error { return n.refusal }

// logRefusal logs a refusal, unless there are too many: anybody can send tokens.
func (p *Provider) logRefusal(r *refusal) {
	if missed, ok := p.logs.allow(); ok {
		p.o.Log.Info("ID token refused", "reason", r.reason, "subject", r.subject, "not_logged", missed)
	}
}
