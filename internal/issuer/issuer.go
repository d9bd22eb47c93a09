// Package issuer answers a token request: it is the one place where a request becomes an answer.
//
//	1  is the registry known?              no: ErrUnknownRegistry
//	2  who is asking?                      the chain of sources
//	3  what may they do?                   the policy, which is pure; and a Decider, if there is one
//	4  the papers for it                   signed, or a fresh token for the same answer
//	5  what happened                       into the journal, without delaying the answer
//
// A request sees one snapshot of registries, chain, policy and keys (Live): it never mixes two
// generations of them. No step calls a registry.
package issuer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/keyring"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

var (
	// ErrUnknownRegistry means that no registry of that service name trusts us.
	ErrUnknownRegistry = errors.New("unknown service")
	// ErrSignIn means that nothing was shown and anonymous requests are not served.
	ErrSignIn = errors.New("a name and a password are needed")
	// ErrDenied means that not enough was granted for what the client is about to do, and that it shows
	// its user a refusal's text; the error that wraps it is a *DeniedError.
	ErrDenied = errors.New("denied")
	// ErrUndecided means that the Decider gave no answer: nothing is granted, and nothing refused.
	ErrUndecided = errors.New("what is asked for cannot be decided")
	// ErrNotKept means that an answer was withheld because its decision could not be kept (audit: strict).
	ErrNotKept = errors.New("the decision could not be written to the journal")
)

// Decider is asked what of a request is to be granted, after the policy has decided it as d. It returns
// results for the same scopes in the same order; what it grants beyond what was asked is not granted.
// An error is an outage.
type Decider interface {
	Decide(ctx context.Context, r *policy.Request, d policy.Decision) (policy.Decision, error)
}

// Registry is a registry that trusts us, and what its tokens are like.
type Registry struct {
	Service   string // the token's audience
	KeyID     token.KeyID
	Algorithm token.Algorithm
	Lifetime  time.Duration // of tokens; at least a minute: clients count on that

	PushLifetime time.Duration // of tokens that can push; 0: Lifetime
	Explained    bool          // whether a client that shows a refusal's text gets one, in place of a token that is not enough

	// CatalogByPull is for zot, which asks for its catalog as repository::pull, a pull of no repository. The
	// right to registry:catalog:* answers it.
	CatalogByPull bool
	// ShowsIssuedAt adds issued_at to answers, for clients that take one without it for expired.
	ShowsIssuedAt bool
}

// Live is all that an answer depends on. It is never changed, only replaced.
type Live struct {
	Registries  map[string]*Registry // by service name
	Chain       *identity.Chain
	Policy      *policy.Policy
	Decider     Decider // asked after the policy; nil: the policy decides alone
	Keys        *keyring.Keyring
	Name        string // the tokens' iss
	Anonymous   bool   // whether those who show nothing are judged by the policy, or asked to sign in
	Reuse       bool   // whether identical fresh answers share a signature
	Strict      bool   // whether an answer, a refusal too, waits until its decision is on disk
	ShowRules   bool   // whether a refusal names the rule
	Hint        string // how a refusal ends: what to do, in the administrator's words
	MaxLifetime Limits // how long tokens live at most

	// Refresh makes a refresh token for who was verified by what was shown. The zero Secret: there is none for
	// such a credential. nil: there are none at all.
	Refresh func(ctx context.Context, shown identity.Credentials, who identity.Verified) (identity.Secret, error)
}

// Options is what an Issuer needs. Journal and Now are required.
type Options struct {
	Journal *journal.Journal
	Now     func() time.Time
	Log     *slog.Logger
}

// Issuer issues. It may be used from any goroutine.
type Issuer struct {
	journal *journal.Journal
	now     func() time.Time
	log     *slog.Logger
	live    atomic.Pointer[generation]
}

// generation is a Live with the tokens that may be reused under it: a change of policy, keys or
// registries begins with an empty cache, so that nothing of the old outlives the swap.
type generation struct {
	Live
	tokens *reused
}

// New returns an Issuer that answers with live.
func New(live Live, o Options) *Issuer {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	i := &Issuer{journal: o.Journal, now: clock.Wall(o.Now), log: o.Log}
	i.Swap(func(Live) Live { return live })
	return i
}

// Swap replaces what answers are made from. Requests under way finish with what they began with.
func (i *Issuer) Swap(f func(Live) Live) {
	for {
		old := i.live.Load()
		next := &generation{tokens: newReused()}
		if old != nil {
			next.Live = old.Live
		}
		next.Live = f(next.Live)
		if old != nil && sameTokens(&old.Live, &next.Live) {
			next.tokens = old.tokens
		}
		if i.live.CompareAndSwap(old, next) {
			return
		}
	}
}

// sameTokens reports whether one generation would sign for the same grants as the other. The policy has no part in
// it: what is granted is decided for each request, and the tokens of a policy that was swapped go on being
// reused by those to whom the next one grants the same.
func sameTokens(a, b *Live) bool {
	return a.Keys == b.Keys && a.Name == b.Name && maps.Equal(a.Registries, b.Registries)
}

// Live returns what answers are made from at this moment.
func (i *Issuer) Live() Live { return i.live.Load().Live }

// Request is a token request, decoded.
type Request struct {
	Service     string
	Scopes      []scope.Scope
	Ignored     []scope.Ignored
	Credentials identity.Credentials // Registry is set by Issue
	ShowsText   bool                 // the client shows its user the text of a refusal
	Offline     bool                 // the client asks for a refresh token, or has presented one as such
}

// Answer is what a client gets.
type Answer struct {
	ID        journal.ID // of the decision
	Token     []byte     // shared with other answers: never change it
	ExpiresIn int        // whole seconds that the token lives: as many as Foresee says, but in the last minutes of a root
	Decision  policy.Decision
	Reused    bool
	Registry  *Registry       // never nil
	IssuedAt  time.Time       // when the token was issued, which is before now if it is reused
	Refresh   identity.Secret // zero: none was asked for, or there is none
}

// Issue answers a request. The errors: ErrUnknownRegistry, ErrSignIn, identity.ErrRejected,
// identity.ErrRateLimited, identity.ErrUnavailable, ErrUndecided, ErrNotKept, the context's, and anything else is a fault of ours.
func (i *Issuer) Issue(ctx context.Context, r *Request) (Answer, error) {
	live := i.live.Load()
	now := i.now()

	registry := live.registry(r.Service)
	if registry == nil {
		return Answer{}, fmt.Errorf("%w %q", ErrUnknownRegistry, text.Shorten(secret.Redact(r.Service), mostShown))
	}
	r.Credentials.Registry = registry.Service
	r.withhold()
	if registry.CatalogByPull {
		r.catalogByPull()
	}

	if r.Credentials.Kind == identity.None && !live.Anonymous {
		if live.Chain.Limiter().Repeated("sign in at "+registry.Service, r.Credentials.CountedAt()) && !live.Strict {
			return Answer{}, ErrSignIn
		}
		return Answer{}, i.refuse(ctx, live, r, now, ErrSignIn)
	}
	who, err := live.Chain.Authenticate(ctx, r.Credentials)
	if err != nil {
		// One entry for each delay, and for each secret and minute, as above: a flood must not fill the disk. Where
		// the audit is strict, none that was looked at goes without one.
		if identity.AlreadyRecorded(err) && !(live.Strict && errors.Is(err, identity.ErrRejected)) {
			return Answer{}, err
		}
		return Answer{}, i.refuse(ctx, live, r, now, err)
	}

	request := policy.Request{
		Principal: who.Principal,
		Registry:  registry.Service,
		Scopes:    r.Scopes,
		IP:        r.Credentials.Remote,
		Client:    r.Credentials.Client,
		Now:       now,
	}
	decision := live.Policy.Decide(&request)
	if live.Decider != nil {
		if decision, err = decide(ctx, live.Decider, request, decision); err != nil {
			return Answer{}, i.refuse(ctx, live, r, now, err)
		}
	}

	answer := Answer{ID: journal.NewID(now), Decision: decision, Registry: registry}
	var paper paper
	var denied *DeniedError
	if registry.Explained && r.ShowsText && futile(who.Principal, decision.Results) {
		denied = &DeniedError{ID: answer.ID, Principal: who.Principal, Result: decision.Results[0], ShowRules: live.ShowRules, Hint: live.Hint}
	} else {
		if paper, err = live.paper(registry, who, &answer, now); err != nil {
			return Answer{}, fmt.Errorf("signing a token for %s: %w", registry.Service, err)
		}
		answer.Token, answer.IssuedAt = paper.token, paper.issued
		answer.ExpiresIn = paper.expiresIn(now)
	}

	entry := journal.Entry{
		ID:       answer.ID,
		Time:     now,
		Registry: registry.Service,
		Decision: &journal.Decision{
			Principal:  who.Principal,
			Credential: who.Credential,
			Remote:     r.Credentials.Remote,
			Client:     r.Credentials.Client,
			Results:    decision.Results,
			Ignored:    r.Ignored,
			Policy:     live.Policy.ID(),
			Token:      paper.id,
			Expires:    paper.expires,
		},
	}
	if denied != nil {
		entry.Decision.Refused = "not enough is granted"
	}
	if err := i.keep(ctx, live, entry); err != nil {
		return Answer{}, err
	}
	if denied != nil {
		return Answer{}, denied
	}
	if r.Offline {
		answer.Refresh = i.refresh(ctx, live, r, who)
	}
	return answer, nil
}

// keep writes the entry of an answer, whether a token or a refusal, to the journal. With audit: strict it returns when
// the entry is on disk; the error is ErrNotKept, and the answer must then be withheld.
func (i *Issuer) keep(ctx context.Context, live *generation, entry journal.Entry) error {
	if !live.Strict {
		_ = i.journal.Record(entry) // a loss is counted and logged by the journal
		return nil
	}
	if err := i.journal.Append(ctx, entry); err != nil {
		return fmt.Errorf("%w: %w", ErrNotKept, err)
	}
	return nil
}

// refresh returns a refresh token for a client that asks for one: the one that it shows, or a new one. It is never
// given unasked, since some clients then use nothing else. Without it the client keeps the password: so that it can't be
// made is no reason to refuse the token.
func (i *Issuer) refresh(ctx context.Context, live *generation, r *Request, who identity.Verified) identity.Secret {
	if r.Credentials.Kind == identity.RefreshToken {
		return r.Credentials.Secret // docker keeps the one that it has, in several places at once
	}
	if live.Refresh == nil || who.Principal.Kind == policy.Anonymous {
		return identity.Secret{}
	}
	secret, err := live.Refresh(ctx, r.Credentials, who)
	if err != nil {
		i.log.Warn("no refresh token", "principal", who.Principal.String(), "registry", r.Service, "error", err)
		return identity.Secret{}
	}
	return secret
}

// decide asks the decider about what the policy said. A grant is asked & allowed, whoever decides. The
// request is a copy, so that it is on the heap only where there is a decider.
func decide(ctx context.Context, by Decider, r policy.Request, d policy.Decision) (policy.Decision, error) {
	decided, err := by.Decide(ctx, &r, d)
	if err != nil {
		return policy.Decision{}, fmt.Errorf("%w: %w", ErrUndecided, err)
	}
	if len(decided.Results) != len(r.Scopes) {
		return policy.Decision{}, fmt.Errorf("%w: %d scopes were asked about, %d answered", ErrUndecided, len(r.Scopes), len(decided.Results))
	}
	for n := range decided.Results {
		result := &decided.Results[n]
		if result.Asked != r.Scopes[n] {
			return policy.Decision{}, fmt.Errorf("%w: another scope was answered than was asked about", ErrUndecided)
		}
		result.Granted &= result.Asked.Actions
	}
	return decided, nil
}

// registry finds a registry by its service name, nil if there is none. The token has the configured spelling.
func (live *generation) registry(service string) *Registry {
	if r, ok := live.Registries[service]; ok {
		return r
	}
	name, _ := scope.MatchService(service, maps.Keys(live.Registries))
	return live.Registries[name]
}

// catalogOfZot is how zot asks for its catalog: a name that no repository has.
const catalogOfZot = "repository::pull"

// catalogByPull takes zot's request for its catalog for what it is.
func (r *Request) catalogByPull() {
	asks := func(i scope.Ignored) bool { return i.Text == catalogOfZot }
	if !slices.ContainsFunc(r.Ignored, asks) {
		return
	}
	r.Ignored = slices.DeleteFunc(slices.Clone(r.Ignored), asks)
	catalog := scope.Scope{Type: scope.TypeRegistry, Name: "catalog", Actions: scope.All}
	if !slices.ContainsFunc(r.Scopes, isCatalog) {
		r.Scopes = append(slices.Clone(r.Scopes), catalog)
	}
}

// withhold takes scopes over Tidewaiter itself out of a request: they are judged by the same policy
// elsewhere, and a registry's token never carries them.
func (r *Request) withhold() {
	kept, ours := withoutRights(r.Scopes)
	for _, s := range ours {
		r.Ignored = append(r.Ignored, scope.Ignored{Text: s.String(), Reason: "rights over Tidewaiter are not for registries"})
	}
	r.Scopes = kept
}

// withoutRights returns the scopes that a registry's token can carry, and those over Tidewaiter itself.
func withoutRights(scopes []scope.Scope) (kept, ours []scope.Scope) {
	over := func(s scope.Scope) bool { return s.Type == scope.TypeTidewaiter }
	if !slices.ContainsFunc(scopes, over) {
		return scopes, nil
	}
	for _, s := range scopes {
		if over(s) {
			ours = append(ours, s)
		} else {
			kept = append(kept, s)
		}
	}
	return kept, ours
}
