// Package oidc answers: which job, pod or person does this ID token speak of?
//
// A CI system or a cluster gives its jobs short-lived tokens that it has signed (OpenID Connect ID
// tokens, Kubernetes service account tokens, SPIFFE JWT-SVIDs). A job shows one in place of a password, and
// needs no secret that somebody had to make, store and rotate.
//
// A token is believed if a key of its issuer signed it, for us alone, not too long ago, and if its
// claims are those that are required. The issuer's keys come from the issuer's own address or from a file,
// never from the token: headers like jwk, jku and x5u are not read. The algorithms are a list of
// asymmetric ones; a key is only used with those that it is made for.
//
// One Provider is one issuer. Of many in a chain, the token's iss and aud claims, not yet verified, choose
// the one that verifies; all others do not know it (identity.ErrUnknown). The name that is typed
// beside a token means nothing: docker login wants one, and CI systems fill it with whatever they have.
package oidc

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Options are the settings of a Provider. Name and Audience are needed, and Issuer where the preset has
// none. What is empty is as the preset says, else as it is noted here.
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
	keys   *keySet
	memory *memory
	notes  notes
}

// New checks the settings and reads the files that they name; the error is Problems, with all that is
// wrong. It connects to nothing and starts nothing: keys are fetched by Run, or when they are needed.
func New(o Options) (*Provider, error) {
	s, problems := o.check()
	if len(problems) > 0 {
		return nil, problems
	}
	p := &Provider{source: "oidc:" + s.o.Name, settings: *s, memory: newMemory(s.o.Now), notes: notes{now: s.o.Now}}
	p.o.Log = s.o.Log.With("source", p.source)
	p.keys = newKeySet(s.origin, p.o.Log, s.o.Now)
	if s.o.JWKSFile != "" {
		keys, err := s.origin.fetch(context.Background())
		if err != nil {
			return nil, Problems{{"jwks_file", -1, err.Error()}}
		}
		p.keys.put(keys)
	}
	return p, nil
}

// Inherit takes over the keys of the Provider that p replaces, if they are from the same place: the
// issuer may be down just when a config is loaded anew. It is called before p is used.
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

// Authenticate verifies an ID token. It is ErrUnknown for anything else and for a token that another
// issuer made or that is for another audience, ErrRejected for one that does not hold, and an outage if
// the key that the token names is not known and the issuer cannot be asked for it. Why a token is
// refused is in the log and the journal, and only there.
func (p *Provider) Authenticate(ctx context.Context, c identity.Credentials) (identity.Verified, error) {
	if c.Kind != identity.IDToken {
		return identity.Verified{}, identity.ErrUnknown
	}
	if err := ctx.Err(); err != nil {
		return identity.Verified{}, err
	}
	raw := trim(c.Secret.Reveal())
	if len(raw) > identity.MaxToken {
		return identity.Verified{}, identity.NeverValid("the ID token is longer than any")
	}
	remembered := p.memory.key(raw)
	if v, ok := p.memory.recall(remembered); ok {
		return v, nil
	}
	verified, err := p.verify(ctx, raw)
	if refused, ok := errors.AsType[*refusal](err); ok {
		p.explain(refused)
		if refused.incomplete != nil { // the signature is good: its holder may know
			return identity.Verified{}, refused.incomplete
		}
		if _, later := errors.AsType[notYet](err); later {
			return identity.Verified{}, identity.Rejected(refused.reason)
		}
		return identity.Verified{}, identity.NeverValid(refused.reason)
	}
	if err == nil {
		p.memory.keep(remembered, verified)
	}
	return verified, err
}

// verify does the work. What costs least comes first: a token that is not for us, or too old, costs no
// key and no signature.
func (p *Provider) verify(ctx context.Context, raw string) (identity.Verified, error) {
	t, err := read(raw)
	if err != nil {
		return identity.Verified{}, err
	}
	if issuer, _ := t.claims["iss"].(string); issuer != p.o.Issuer {
		return identity.Verified{}, identity.ErrUnknown
	}
	if err := p.audience(t); err != nil {
		return identity.Verified{}, err
	}
	until, err := p.lifetime(t)
	if err != nil {
		return identity.Verified{}, err
	}
	if err := p.signature(ctx, t); err != nil {
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
	return identity.Verified{Principal: who, Credential: "ID token", Until: until}, nil
}

// refusal is why a token does not hold, for the log. It never repeats the token.
type refusal struct {
	reason  string
	subject string // as the token has it, perhaps not verified; "" if it is not known

	incomplete error // why not all is known of the holder of a token with a good signature; nil: that is not the reason
}

func (r *refusal) Error() string { return r.reason }

// notYet is a refusal of a token that may hold later: when it begins, or when the issuer's keys are
// fetched again.
type notYet struct{ *refusal }

func (n notYet) Unwrap() error { return n.refusal }

// explain logs a refusal, unless there are too many: anybody can send tokens.
func (p *Provider) explain(r *refusal) {
	if missed, ok := p.notes.take(); ok {
		p.o.Log.Info("ID token refused", "reason", r.reason, "subject", r.subject, "not_logged", missed)
	}
}
