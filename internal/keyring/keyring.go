// Package keyring answers: which key signs now?
//
// A Keyring holds the root, makes a short-lived leaf under it, and renews the leaf long before it ends.
// Signers never wait for a renewal: they read one pointer. For a certificate that is no CA, and for
// registries that know keys by kid, the root's own key signs, and there is nothing to renew.
package keyring

import (
	"context"
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

// Use is how some registry wants its tokens signed.
type Use struct {
	KeyID     token.KeyID     // "": token.X5C
	Algorithm token.Algorithm // of a leaf; "": Options.Algorithm. The root's own key signs with what fits it
}

// Options is what a Keyring needs. Root and Now are required.
type Options struct {
	Root         *token.Root
	Direct       bool            // sign with the root's own key even where it could have leaves
	Uses         []Use           // all that Signer will be asked for; empty: one Use of defaults
	Algorithm    token.Algorithm // of leaves; default ES256
	LeafLifetime time.Duration   // default 24h; at most a year, at least Shortest(MaxToken)
	MaxToken     time.Duration   // the longest lifetime of a token; default 1h
	Now          func() time.Time
	Log          *slog.Logger
}

const (
	defaultLeaf  = 24 * time.Hour
	longestLeaf  = 366 * 24 * time.Hour
	defaultToken = time.Hour

	// backdate is how far a leaf begins in the past. Registries judge it by their own clocks, without
	// any leeway.
	backdate = time.Hour
)

// Shortest returns the shortest lifetime of leaves that sign tokens of a lifetime. A leaf is renewed at
// half its life; the other half is for the tokens that it signed last, and for renewals that fail at first.
func Shortest(maxToken time.Duration) time.Duration {
	return 2 * (maxToken + token.Leeway + longestWait)
}

// Keyring is the keys in use. It may be used from any goroutine.
type Keyring struct {
	root     *token.Root
	standard token.Algorithm // of leaves for whoever names none
	lifetime time.Duration
	now      func() time.Time
	log      *slog.Logger

	algorithms []token.Algorithm // of leaves
	direct     map[token.KeyID]*token.Signer
	jwks       []byte
	longest    time.Duration // of a token
	leaves     atomic.Pointer[leaves]

	mu    sync.Mutex    // held while leaves are renewed
	rests clock.Span    // after a failure: not tried again
	wait  time.Duration // how long that was
	told  clock.Span    // the root's end was logged lately
}

// leaves are signers that were made in one go.
type leaves struct {
	signers     map[token.Algorithm]*token.Signer
	made        time.Time
	from, until time.Time // when they begin, and the latest moment at which they sign the longest token
	last        bool      // they end with the root: none could be made that ends later
}

// fit reports whether the leaves sign the longest token at a time. It is not so when a machine slept through the renewal, or
// its clock was put back.
func (l *leaves) fit(now time.Time) bool {
	return !now.Before(l.from) && (l.last || !now.After(l.until))
}

// New makes the first leaves. It fails where a token of MaxToken could not be signed now, so that a
// service does not start with keys whose every token would be refused.
func New(o Options) (*Keyring, error) {
	if o.Root == nil || o.Now == nil {
		return nil, errors.New("making the keyring: a root and a clock are needed")
	}
	k := &Keyring{root: o.Root, lifetime: o.LeafLifetime, now: clock.Wall(o.Now), log: o.Log, direct: map[token.KeyID]*token.Signer{}}
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
		return nil, fmt.Errorf("making the keyring: %w", err)
	}
	if k.jwks, err = k.root.JWKS(forms...); err != nil {
		return nil, fmt.Errorf("making the keyring: %w", err)
	}
	now := k.now()
	if len(k.algorithms) > 0 {
		if least := Shortest(o.MaxToken); k.lifetime < least || k.lifetime > longestLeaf {
			return nil, fmt.Errorf("making the keyring: a leaf's lifetime of %v is out of bounds: with tokens of %v it must be %v to %v",
				k.lifetime, o.MaxToken, least, longestLeaf)
		}
		if err := k.renew(now); err != nil {
			return nil, fmt.Errorf("making the keyring: %w", err)
		}
	}
	for s := range k.all {
		if until := s.Until(); !until.IsZero() && now.Add(o.MaxToken).After(until) {
			return nil, fmt.Errorf("making the keyring: the root's certificate ends %s, too soon for a token of %v: make a new root, and give it to the registries",
				k.root.Certificate().NotAfter.UTC().Format(time.RFC3339), o.MaxToken)
		}
	}
	k.tell(now, true)
	return k, nil
}

// plan sorts the uses into leaves and signers with the root's own key, and returns their forms.
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

// Signer returns the signer for a registry at a time: its form of key id and, for leaves, its algorithm, each as
// in Use. It costs one pointer and is not to be kept: the next one may be another. It is an error to ask
// for what was not among Options.Uses.
//
// Leaves that do not fit the time are renewed at once: a machine that slept does not wait for the next look of Run.
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
		if !l.fit(now) {
			l = k.refit(now)
		}
		if s := l.signers[alg]; s != nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("there is no key for the form %q with the algorithm %q", string(form), string(alg))
}

// all yields every signer.
func (k *Keyring) all(yield func(*token.Signer) bool) {
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

// JWKS returns the root's public key under each kid that is in use. It is shared: do not change it.
func (k *Keyring) JWKS() []byte { return k.jwks }

// Bundle returns the root's certificate in PEM, for a registry's rootcertbundle.
func (k *Keyring) Bundle() []byte { return k.root.Bundle() }

// Run renews leaves until ctx ends. It must run once at most.
func (k *Keyring) Run(ctx context.Context) {
	// Often: a timer set for hours ahead stands still while a machine sleeps.
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		k.tend(k.now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
