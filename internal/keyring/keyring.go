// Package keyring has the signing keys and selects the key that signs now.
//
// A Keyring has the root, issues a short-lived leaf certificate under it, and renews the leaf long
// before it expires. Requests for a signer do not wait for a renewal, because they only read one
// pointer. If the root certificate is not a CA, or a registry finds keys by kid, the root's own
// key signs, and nothing is renewed.
package keyring

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/token"
)

// Use describes how the tokens for a registry must be signed.
type Use struct {
	KeyID     token.KeyID     // "": token.X5C
	Algorithm token.Algorithm // algorithm of a leaf, not of the root's key; "": Options.Algorithm
}

// Options configures a Keyring. Root and Now are required.
type Options struct {
	Root         *token.Root
	Direct       bool            // sign with the root's own key even if it can issue leaves
	Uses         []Use           // all uses of Signer; empty: one Use with the defaults
	Algorithm    token.Algorithm // of leaves; default ES256
	LeafLifetime time.Duration   // default 24h; at most a year, at least Shortest(MaxToken)
	MaxToken     time.Duration   // the longest lifetime of a token; default 1h
	Now          func() time.Time
	Log          *slog.Logger

	// Renewed is called with new leaves, except those that New issues. It must return quickly,
	// because requests can wait for it. nil: it is not called.
	Renewed func(leaves []*x509.Certificate)
}

const (
	defaultLeaf  = 24 * time.Hour
	longestLeaf  = 366 * 24 * time.Hour
	defaultToken = time.Hour

	// A leaf is valid from the time backdate before its creation. Registries compare the start of
	// the validity with their own clocks, without leeway.
	backdate = time.Hour
)

// Shortest returns the shortest lifetime that a leaf can have if it signs tokens of the
// lifetime maxToken. A leaf is renewed at half its lifetime. The second half must be long
// enough for the last tokens that the leaf signed, and for renewals that fail at first.
func Shortest(maxToken time.Duration) time.Duration {
	return 2 * (maxToken + token.Leeway + longestWait)
}

// Keyring holds the keys in use. It may be used from any goroutine.
type Keyring struct {
	root     *token.Root
	standard token.Algorithm // algorithm of the leaves for a Use that has no algorithm
	lifetime time.Duration
	now      func() time.Time
	log      *slog.Logger
	renewed  func([]*x509.Certificate)

	algorithms []token.Algorithm // of leaves
	direct     map[token.KeyID]*token.Signer
	jwks       []byte
	longest    time.Duration // of a token
	leaves     atomic.Pointer[leaves]

	mu       sync.Mutex    // held while leaves are renewed
	cooldown clock.Span    // cooldown after a failed renewal
	wait     time.Duration // the length of the last cooldown
	logged   clock.Span    // the 24 hours after problems of the root were logged
}

// leaves are the signers that one renewal created.
type leaves struct {
	signers map[token.Algorithm]*token.Signer
	made    time.Time
	// The field from is the time at which the leaves become valid. The field until is the last
	// time at which the leaves can sign a token of the longest lifetime.
	from, until time.Time
	last        bool // the leaves expire with the root, so no leaves can expire later
}

// canSign reports whether the leaves can sign a token of the longest lifetime now. They cannot if
// the machine slept through the renewal, or if its clock was set back.
func (l *leaves) canSign(now time.Time) bool {
	return !now.Before(l.from) && (l.last || !now.After(l.until))
}

// New issues the first leaves. It fails if a token of MaxToken cannot be signed now. So a service
// does not start if registries would reject the tokens of its keys.
func New(o Options) (*Keyring, error) {
	if o.Root == nil || o.Now == nil {
		return nil, errors.New("creating the keyring: Root and Now are required")
	}
	k := &Keyring{root: o.Root, lifetime: o.LeafLifetime, now: clock.Wall(o.Now), log: o.Log, renewed: o.Renewed, direct: map[token.KeyID]*token.Signer{}}
	if k.log == nil {
		k.log = slog.New(slog.DiscardHandler)
	}
	if k.lifetime == 0 {
		k.lifetime = defaultLeaf
	}
	if o.MaxToken == 0 {
		o.MaxToken = defaultToken
	}
	k.longest = o.MaxToken
	forms, err := k.plan(o)
	if err != nil {
		return nil, fmt.Errorf("creating the keyring: %w", err)
	}
	if k.jwks, err = k.root.JWKS(forms...); err != nil {
		return nil, fmt.Errorf("creating the keyring: %w", err)
	}
	now := k.now()
	if len(k.algorithms) > 0 {
		if least := Shortest(o.MaxToken); k.lifetime < least || k.lifetime > longestLeaf {
			return nil, fmt.Errorf("creating the keyring: invalid lifetime of leaves %v: for tokens of %v it must be between %v and %v",
				k.lifetime, o.MaxToken, least, longestLeaf)
		}
		if err := k.renew(now); err != nil {
			return nil, fmt.Errorf("creating the keyring: %w", err)
		}
	}
	for s := range k.eachSigner {
		if until := s.Until(); !until.IsZero() && now.Add(o.MaxToken).After(until) {
			return nil, fmt.Errorf("creating the keyring: the root certificate expires %s, too soon for a token of %v: create a new root and install it in the registries",
				k.root.Certificate().NotAfter.UTC().Format(time.RFC3339), o.MaxToken)
		}
	}
	k.logProblems(now, true)
	return k, nil
}

// plan decides for each use whether a leaf or the root's own key signs. It returns the forms of
// key id that the uses need.
func (k *Keyring) plan(o Options) ([]token.KeyID, error) {
	if k.standard = o.Algorithm; k.standard == "" {
		k.standard = token.ES256
	}
	if len(o.Uses) == 0 {
		o.Uses = []Use{{}}
	}
	leaves := k.root.IssuesLeaves() && !o.Direct
	var forms []token.KeyID
	for _, u := range o.Uses {
		if u.KeyID == "" {
			u.KeyID = token.X5C
		}
		if u.Algorithm == "" {
			u.Algorithm = k.standard
		}
		forms = append(forms, u.KeyID)
		switch {
		case u.KeyID == token.X5C && leaves:
			if !slices.Contains(k.algorithms, u.Algorithm) {
				k.algorithms = append(k.algorithms, u.Algorithm)
			}
		case k.direct[u.KeyID] == nil:
			signer, err := k.root.Direct(u.KeyID)
			if err != nil {
				return nil, err
			}
			k.direct[u.KeyID] = signer
		}
	}
	return forms, nil
}

// Signer returns the signer for a registry. The signer depends on the form of key id and, if a
// leaf signs, also on the algorithm (see Use). Do not store the result, because the next call can
// return another signer. A call is cheap. Only combinations in Options.Uses are available.
//
// If the leaves do not fit the current time, Signer renews them immediately. So after the machine
// slept, the first request does not wait for Run.
func (k *Keyring) Signer(form token.KeyID, alg token.Algorithm, now time.Time) (*token.Signer, error) {
	if form == "" {
		form = token.X5C
	}
	if alg == "" {
		alg = k.standard
	}
	if s := k.direct[form]; s != nil {
		return s, nil
	}
	if l := k.leaves.Load(); l != nil && form == token.X5C {
		if !l.canSign(now) {
			l = k.refit(now)
		}
		if s := l.signers[alg]; s != nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("no key with the form %q and the algorithm %q", string(form), string(alg))
}

// eachSigner yields every signer.
func (k *Keyring) eachSigner(yield func(*token.Signer) bool) {
	for _, s := range k.direct {
		if !yield(s) {
			return
		}
	}
	if l := k.leaves.Load(); l != nil {
		for _, s := range l.signers {
			if !yield(s) {
				return
			}
		}
	}
}

// Root returns the root.
func (k *Keyring) Root() *token.Root { return k.root }

// Leaves returns the certificates of the leaves in use, in the order of their algorithms.
func (k *Keyring) Leaves() (certificates []*x509.Certificate) {
	for _, alg := range k.algorithms {
		certificates = append(certificates, k.leaves.Load().signers[alg].Certificate())
	}
	return certificates
}

// JWKS returns the root's public key under each kid in use. The result is shared, so do not change
// it.
func (k *Keyring) JWKS() []byte { return k.jwks }

// Bundle returns the root's certificate in PEM, for a registry's rootcertbundle.
func (k *Keyring) Bundle() []byte { return k.root.Bundle() }

// Run renews leaves until ctx ends. It must run at most once.
func (k *Keyring) Run(ctx context.Context) {
	// Check often, because a timer for several hours stops while the machine sleeps.
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		k.maintain(k.now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
