package keyring

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/token"
)

// Between two tries after a failed renewal.
const (
	firstWait   = time.Minute
	longestWait = 15 * time.Minute
)

// tend does what is due at a time.
func (k *Keyring) tend(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tell(now, false)
	if k.due(now) && !k.rests.Holds(now) {
		k.tryLocked(now)
	}
}

// refit renews leaves that do not fit a time, unless somebody else has just done it or it has just failed, and returns those that
// are to sign.
func (k *Keyring) refit(now time.Time) *leaves {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.leaves.Load().fit(now) && !k.rests.Holds(now) {
		k.tryLocked(now)
	}
	return k.leaves.Load()
}

// tryLocked renews the leaves. If it fails, it is not tried again for a while.
func (k *Keyring) tryLocked(now time.Time) {
	if err := k.renew(now); err != nil {
		k.wait = min(max(2*k.wait, firstWait), longestWait)
		k.rests = clock.For(now, k.wait)
		k.log.Error("renewing the leaf failed; the one before it goes on signing until its end",
			slog.Time("until", k.end()), slog.Duration("retry", k.wait), slog.Any("error", err))
		return
	}
	k.wait, k.rests = 0, clock.Span{}
}

// due reports whether to make new leaves: at half their life, or when the clock was put back so far that
// registries would soon find that they have not begun.
func (k *Keyring) due(now time.Time) bool {
	l := k.leaves.Load()
	switch {
	case len(k.algorithms) == 0:
		return false
	case now.Before(l.made.Add(-backdate / 2)):
		return true
	case now.Before(l.made.Add(k.lifetime / 2)):
		return false
	}
	return !l.last
}

// renew makes a leaf for each algorithm, and puts all of them in place or none.
func (k *Keyring) renew(now time.Time) error {
	made := &leaves{signers: make(map[token.Algorithm]*token.Signer, len(k.algorithms)), made: now}
	for _, alg := range k.algorithms {
		s, err := k.root.Leaf(alg, now.Add(-backdate), now.Add(k.lifetime))
		if err != nil {
			return fmt.Errorf("for %s: %w", alg, err)
		}
		made.signers[alg] = s
		// Each is of the same time.
		made.from, made.until = s.Certificate().NotBefore, s.Until().Add(-k.longest)
		made.last = !s.Certificate().NotAfter.Before(k.root.Certificate().NotAfter)
	}
	k.leaves.Store(made)
	k.log.Info("made a new leaf", slog.Any("algorithms", k.algorithms), slog.Time("until", k.end()))
	return nil
}

// end returns when the leaves in use end.
func (k *Keyring) end() time.Time {
	for _, s := range k.leaves.Load().signers {
		return s.Certificate().NotAfter
	}
	return time.Time{}
}

// tell logs what is wrong with the root: all of it at first, then once a day that it ends.
func (k *Keyring) tell(now time.Time, first bool) {
	if !first && k.told.Holds(now) {
		return
	}
	k.told = clock.For(now, 24*time.Hour)
	for _, p := range k.root.Problems(k.form(), now) {
		// Which registry knows which kid was the owner's choice, and dates count for x5c alone.
		ends := p.Kind == "expired" || p.Kind == "expires-soon" || p.Kind == "not-yet-valid"
		if p.Kind == "key-id" || !first && !ends {
			continue
		}
		k.log.Warn(p.Text, slog.String("problem", p.Kind), slog.String("hint", p.Hint), slog.Any("refused_by", p.Refuse))
	}
}

// form returns the form whose problems count: x5c if any token carries a certificate.
func (k *Keyring) form() token.KeyID {
	if len(k.algorithms) > 0 || k.direct[token.X5C] != nil {
		return token.X5C
	}
	return token.Thumbprint
}
