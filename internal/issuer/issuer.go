// Package issuer decides token requests and issues the tokens.
//
//	1  find the registry            ErrUnknownRegistry if it is not configured
//	2  authenticate                 the chain of identity sources
//	3  authorize                    the policy, then the Authorizer if there is one
//	4  sign a token                 or reuse a fresh one with the same content
//	5  record the decision          in the journal, which does not delay the answer
//
// A request uses one snapshot (Live) of registries, chain, policy and keys, so settings of two
// generations are never mixed. No step calls a registry.
package issuer

import (
	"cmp"
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
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/keyring"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

var (
	// ErrUnknownRegistry means that no registry has this service name.
	ErrUnknownRegistry = errors.New("unknown service")
	// ErrSignIn means that no credentials were presented, and anonymous requests are refused.
	ErrSignIn = errors.New("a name and a password are needed")
	// ErrDenied means that the granted actions are not enough for the client's next step. The
	// client shows its user the text of the refusal. The error that wraps ErrDenied is a
	// *DeniedError.
	ErrDenied = errors.New("denied")
	// ErrUndecided means that the Authorizer failed, so the request is neither granted nor
	// denied.
	ErrUndecided = errors.New("the authorizer did not decide")
	// ErrNotRecorded means that the config has audit: strict and that the decision could not be
	// recorded, so no answer was sent.
	ErrNotRecorded = errors.New("the decision could not be written to the journal")
)

// Authorizer changes the decision d of the policy. It returns results for the same scopes in the
// same order. A grant beyond the request has no effect. An error is an outage.
type Authorizer interface {
	Decide(ctx context.Context, r *policy.Request, d policy.Decision) (policy.Decision, error)
}

// Registry describes a registry that trusts the keys of this server. It also has the settings of
// the registry's tokens.
type Registry struct {
	Service   string // the token's audience
	KeyID     token.KeyID
	Algorithm token.Algorithm
	Lifetime  time.Duration // of tokens; at least a minute, because clients assume this minimum

	// PushLifetime is the lifetime of tokens that can push; 0: Lifetime.
	PushLifetime time.Duration
	// Explained decides the answer if the granted actions are too few and the client shows its
	// user the text of a refusal. If Explained is true, such a request is refused with an
	// explanation. Otherwise the client gets a token.
	Explained bool

	// CatalogByPull is for zot. A request of zot for the catalog has the scope repository::pull,
	// a pull from a repository with an empty name. Such a request is decided like a request for
	// registry:catalog:*.
	CatalogByPull bool
	// ShowsIssuedAt adds issued_at to answers. Some clients treat an answer without issued_at
	// as expired.
	ShowsIssuedAt bool
}

// Live has the settings on which an answer depends. A Live is replaced, never changed.
type Live struct {
	Registries  map[string]*Registry // by service name
	Chain       *chain.Chain
	Policy      *policy.Policy
	Shadow      *policy.Policy // not enforced: Options.Shadow compares it with Policy; nil: none
	Authorizer  Authorizer     // called after the policy; nil: the policy alone decides
	Keys        *keyring.Keyring
	Name        string // iss of the tokens
	Anonymous   bool   // whether the policy decides requests without credentials; false: ErrSignIn
	Reuse       bool   // whether answers with the same content share a token
	Strict      bool   // whether every answer, even a refusal, waits until its decision is on disk
	ShowRules   bool   // whether a refusal names the rule
	Hint        string // advice at the end of a refusal, written by the administrator
	MaxLifetime Limits // upper bounds of the lifetime

	// Refresh returns a refresh token for a verified principal and the presented credentials. It
	// returns the zero Secret if no refresh token is issued for such credentials. If Refresh is
	// nil, no client gets a refresh token.
	Refresh func(ctx context.Context, presented identity.Presented, who identity.Verified) (identity.Secret, error)
}

// Options configures an Issuer. Journal and Now are required.
type Options struct {
	Journal *journal.Journal
	Now     func() time.Time
	Log     *slog.Logger
	// Shadow compares the results of the policy with the shadow policy. It is called after the
	// decision is recorded under the id, and must not change its arguments.
	Shadow func(shadow *policy.Policy, id journal.ID, r *policy.Request, results []policy.Result)
}

// Issuer issues tokens. It may be used from any goroutine.
type Issuer struct {
	journal *journal.Journal
	now     func() time.Time
	log     *slog.Logger
	shadow  func(shadow *policy.Policy, id journal.ID, r *policy.Request, results []policy.Result)
	live    atomic.Pointer[generation]
}

// generation is a Live, together with the cache of the tokens that were issued with this Live.
// When keys or registries change, the new generation begins with an empty cache, so no token of
// the old settings is reused.
type generation struct {
	Live
	tokens *tokenCache
}

// New returns an Issuer with the given settings. Swap replaces them.
func New(live Live, o Options) *Issuer {
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	i := &Issuer{journal: o.Journal, now: clock.Wall(o.Now), log: o.Log, shadow: o.Shadow}
	i.Swap(func(Live) Live { return live })
	return i
}

// Swap replaces the settings. Requests in progress finish with the old settings.
func (i *Issuer) Swap(f func(Live) Live) {
	for {
		old := i.live.Load()
		next := &generation{tokens: newTokenCache()}
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

// sameTokens reports whether both generations sign the same token for the same grants. A change
// of the policy does not matter, because grants are decided for each request. A token is reused
// only if the new policy grants the same actions.
func sameTokens(a, b *Live) bool {
	return a.Keys == b.Keys && a.Name == b.Name && maps.Equal(a.Registries, b.Registries)
}

// Live returns the current settings.
func (i *Issuer) Live() Live { return i.live.Load().Live }

// Request is a decoded token request.
type Request struct {
	Service     string
	Scopes      []scope.Scope
	Ignored     []scope.Ignored
	Credentials identity.Presented // Issue sets Registry
	ShowsText   bool               // the client shows its user the text of a refusal
	Offline     bool               // the client requests a refresh token, or has presented one
}

// Answer is the answer to a token request.
type Answer struct {
	ID    journal.ID // of the decision
	Token []byte     // shared with other answers: never change it
	// ExpiresIn is the remaining lifetime in whole seconds. For a new token, it equals the result
	// of PredictLifetime.
	ExpiresIn int
	Decision  policy.Decision
	Reused    bool
	Registry  *Registry       // never nil
	IssuedAt  time.Time       // before now if the token is reused
	Refresh   identity.Secret // zero: not requested, or not available
}

// Issue answers a request. The errors are ErrUnknownRegistry, ErrSignIn, ErrDenied,
// identity.ErrRejected, identity.ErrRateLimited, identity.ErrUnavailable, ErrUndecided,
// ErrNotRecorded, and errors of the context. Any other error is an internal error.
func (i *Issuer) Issue(ctx context.Context, r *Request) (Answer, error) {
	live := i.live.Load()
	// Times in the journal are in microseconds. Truncate the time, so that the recorded time is
	// exactly the time that conditions read.
	now := i.now().Truncate(time.Microsecond)

	registry := live.findRegistry(r.Service)
	if registry == nil {
		return Answer{}, fmt.Errorf("%w %q", ErrUnknownRegistry, secret.Shorten(r.Service, maxShown))
	}
	r.Credentials.Registry = registry.Service
	r.dropReservedScopes()
	if registry.CatalogByPull {
		r.catalogByPull()
	}

	if r.Credentials.Kind == identity.None && !live.Anonymous {
		known := live.Chain.Limiter().Repeated("sign in at "+registry.Service, r.Credentials.CountedAt())
		return Answer{}, i.refuse(ctx, live, r, now, ErrSignIn, known && !live.Strict)
	}
	who, err := live.Chain.Authenticate(ctx, r.Credentials)
	if err != nil {
		return Answer{}, i.refuse(ctx, live, r, now, err, live.isRecorded(err))
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
	ruled := decision.Results
	if live.Authorizer != nil {
		if decision, err = decide(ctx, live.Authorizer, request, decision); err != nil {
			return Answer{}, i.refuse(ctx, live, r, now, err, false)
		}
	}

	answer := Answer{ID: journal.NewID(now), Decision: decision, Registry: registry}
	var issued issuedToken
	var denied *DeniedError
	if registry.Explained && r.ShowsText && isInsufficient(who.Principal, decision.Results) {
		denied = &DeniedError{ID: answer.ID, Principal: who.Principal, Result: decision.Results[0], ShowRules: live.ShowRules, Hint: live.Hint}
	} else {
		if issued, err = live.issue(registry, who, &answer, now); err != nil {
			return Answer{}, fmt.Errorf("signing a token for %s: %w", registry.Service, err)
		}
		answer.Token, answer.IssuedAt = issued.token, issued.issued
		answer.ExpiresIn = issued.expiresIn(now)
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
			Token:      issued.id,
			Expires:    issued.expires,
		},
	}
	if denied != nil {
		entry.Decision.Refused = "not enough is granted"
	}
	if answer.ID, err = i.record(ctx, live, entry, false); err != nil {
		return Answer{}, err
	}
	if live.Shadow != nil {
		i.judgeShadow(live.Shadow, answer.ID, request, ruled)
	}
	if denied != nil {
		denied.ID = answer.ID
		return Answer{}, denied
	}
	if r.Offline {
		answer.Refresh = i.refreshToken(ctx, live, r, who)
	}
	return answer, nil
}

// record writes the entry for a token or a refusal to the journal, and returns the id of the
// entry. For a refusal, this can be the id of an earlier, equal entry. If isRecorded is true, the
// journal already has an equal entry, and the refusal is only counted. If the config has audit:
// strict, record waits until a new entry is on disk. If record returns ErrNotRecorded, the token
// or refusal must not be sent.
func (i *Issuer) record(ctx context.Context, live *generation, entry journal.Entry, isRecorded bool) (journal.ID, error) {
	switch {
	case live.Strict && !isRecorded:
		if err := i.journal.Append(ctx, entry); err != nil {
			return journal.ID{}, fmt.Errorf("%w: %w", ErrNotRecorded, err)
		}
	case isRecorded || entry.Service != nil || entry.Outcome() == journal.Refused:
		id, _ := i.journal.RecordRefusal(entry, isRecorded) // the journal counts and logs losses
		return id, nil
	default:
		_ = i.journal.Record(entry)
	}
	return entry.ID, nil
}

// refreshToken returns a refresh token for a client that requests a refresh token: the presented
// refresh token, or a new one. Other clients get no refresh token, because some of these clients
// would then use only the refresh token. If no refresh token can be created, the client still
// gets its registry token and keeps using the password.
func (i *Issuer) refreshToken(ctx context.Context, live *generation, r *Request, who identity.Verified) identity.Secret {
	if r.Credentials.Kind == identity.RefreshToken {
		return r.Credentials.Secret // not replaced, because docker stores it in several places
	}
	if live.Refresh == nil || who.Principal.Kind == policy.Anonymous {
		return identity.Secret{}
	}
	secret, err := live.Refresh(ctx, r.Credentials, who)
	if err != nil {
		i.log.Warn("issuing a refresh token failed", "principal", who.Principal.String(), "registry", r.Service, "error", err)
		return identity.Secret{}
	}
	return secret
}

// judgeShadow compares the results of the policy with the shadow policy. The request r is passed by
// value, so that it is allocated on the heap only if there is a shadow policy.
func (i *Issuer) judgeShadow(shadow *policy.Policy, id journal.ID, r policy.Request, ruled []policy.Result) {
	i.shadow(shadow, id, &r, ruled)
}

// decide calls the authorizer, and limits its grants to the request. The request r is passed by
// value, so that it is allocated on the heap only if there is an authorizer.
func decide(ctx context.Context, by Authorizer, r policy.Request, d policy.Decision) (policy.Decision, error) {
	decided, err := by.Decide(ctx, &r, d)
	if err != nil {
		return policy.Decision{}, fmt.Errorf("%w: %w", ErrUndecided, err)
	}
	if len(decided.Results) != len(r.Scopes) {
		return policy.Decision{}, fmt.Errorf("%w: the request has %d scopes, the answer has %d", ErrUndecided, len(r.Scopes), len(decided.Results))
	}
	for n := range decided.Results {
		result := &decided.Results[n]
		if result.Asked != r.Scopes[n] {
			return policy.Decision{}, fmt.Errorf("%w: the answer is about another scope", ErrUndecided)
		}
		result.Granted &= result.Asked.Actions
	}
	return decided, nil
}

// findRegistry returns the registry with a service name, or nil. The name can be in another case
// than in the config. The token always has the configured spelling of the name.
func (live *generation) findRegistry(service string) *Registry {
	if r, ok := live.Registries[service]; ok {
		return r
	}
	name, _ := scope.MatchService(service, maps.Keys(live.Registries))
	return live.Registries[name]
}

// catalogOfZot is the scope by which zot requests its catalog. No repository has an empty name.
const catalogOfZot = "repository::pull"

// catalogByPull turns zot's request for its catalog into registry:catalog:*.
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

// dropReservedScopes removes scopes of the type tidewaiter, which are rights to Tidewaiter
// itself. The API checks such rights by the same policy. The token of a registry never has such
// scopes.
func (r *Request) dropReservedScopes() {
	kept, reserved := splitReserved(r.Scopes)
	for _, s := range reserved {
		r.Ignored = append(r.Ignored, scope.Ignored{Text: s.String(), Reason: "a registry token cannot have rights over Tidewaiter"})
	}
	r.Scopes = kept
}

// splitReserved returns the scopes that the token of a registry can have, and the scopes of the
// type tidewaiter.
func splitReserved(scopes []scope.Scope) (kept, reserved []scope.Scope) {
	over := func(s scope.Scope) bool { return s.Type == scope.TypeTidewaiter }
	if !slices.ContainsFunc(scopes, over) {
		return scopes, nil
	}
	for _, s := range scopes {
		if over(s) {
			reserved = append(reserved, s)
		} else {
			kept = append(kept, s)
		}
	}
	return kept, reserved
}
