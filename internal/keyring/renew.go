package keyring

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/token"
)

// The wait between two attempts after a failed renewal.
const (
	firstWait   = time.Minute
	longestWait = 15 * time.Minute
)

// maintain renews the leaves if a renewal is due, and logs problems of the root.
func (k *Keyring) maintain(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.logProblems(now, false)
	if k.isRenewalDue(now) && !k.cooldown.Holds(now) {
		k.tryLocked(now)
	}
}

// refit renews the leaves if they do not fit the time, and returns the leaves to use. It renews
// nothing if another goroutine has just done so, or if a renewal failed recently.
func (k *Keyring) refit(now time.Time) *leaves {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.leaves.Load().canSign(now) && !k.cooldown.Holds(now) {
		k.tryLocked(now)
	}
	return k.leaves.Load()
}

// tryLocked renews the leaves. If the renewal fails, it starts a cooldown.
func (k *Keyring) tryLocked(now time.Time) {
	if err := k.renew(now); err != nil {
		k.wait = min(max(2*k.wait, firstWait), longestWait)
		k.cooldown = clock.For(now, k.wait)
		k.log.Error("renewing the leaf certificate failed; the current certificate stays in use until it expires",
			slog.Time("until", k.expiry()), slog.Duration("retry", k.wait), slog.Any("error", err))
		return
	}
	k.wait, k.cooldown = 0, clock.Span{}
	if k.renewed != nil {
		k.renewed(k.Leaves())
	}
}

// isRenewalDue reports whether the leaves must be renewed. This is the case at half their
// lifetime. It is also the case if the clock was set back so far that registries would soon reject
// the leaves as not yet valid.
func (k *Keyring) isRenewalDue(now time.Time) bool {
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

// renew issues a leaf for each algorithm. It replaces all leaves, or none if one cannot be issued.
func (k *Keyring) renew(now time.Time) error {
	made := &leaves{signers: make(map[token.Algorithm]*token.Signer, len(k.algorithms)), made: now}
	for _, alg := range k.algorithms {
		s, err := k.root.Leaf(alg, now.Add(-backdate), now.Add(k.lifetime))
		if err != nil {
			return fmt.Errorf("issuing a leaf for %s: %w", alg, err)
		}
		made.signers[alg] = s
		// All leaves have the same times.
		made.from, made.until = s.Certificate().NotBefore, s.Until().Add(-k.longest)
		made.last = !s.Certificate().NotAfter.Before(k.root.Certificate().NotAfter)
	}
	k.leaves.Store(made)
	k.log.Info("issued a new leaf certificate", slog.Any("algorithms", k.algorithms), slog.Time("until", k.expiry()))
	return nil
}

// expiry returns when the leaves in use expire.
func (k *Keyring) expiry() time.Time {
	for _, s := range k.leaves.Load().signers {
		return s.Certificate().NotAfter
	}
	return time.Time{}
}

// logProblems logs problems of the root. The first call logs all problems. Later calls log only
// problems with the root's dates, once a day.
func (k *Keyring) logProblems(now time.Time, first bool) {
	if !first && k.logged.Holds(now) {
		return
	}
	k.logged = clock.For(now, 24*time.Hour)
	for _, p := range k.root.Problems(k.form(), now) {
		// Problems of key ids result from a decision of the administrator, so they are not logged.
		// Problems of dates matter only for x5c.
		ends := p.Kind == "expired" || p.Kind == "expires-soon" || p.Kind == "not-yet-valid"
		if p.Kind == "key-id" || !first && !ends {
			continue
		}
		k.log.Warn(p.Text, slog.String("problem", p.Kind), slog.String("hint", p.Hint), slog.Any("refused_by", p.Refuse))
	}
}

// form returns the form of key ids for which the root is checked. It is X5C if any token contains
// a certificate, and otherwise Thumbprint.
func (k *Keyring) form() token.KeyID {
	if len(k.algorithms) > 0 || k.direct[token.X5C] != nil {
		return token.X5C
	}
	return token.Thumbprint
}
