package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// Times of fetches. Issuers rotate their keys, so an unknown kid causes a fetch. Anyone can invent
// a kid, so there is a minimum time between two fetches. The minimum time grows after failures.
// During this time, no request waits for an issuer that is down.
const (
	refreshInterval = time.Hour
	minInterval     = time.Minute      // after a success; limits the cost of invented kids
	retryInterval   = 10 * time.Second // after a failure; doubles with each further failure
	maxInterval     = time.Minute
	fileInterval    = 10 * time.Second // between two reads of a key file
	maxStale        = 24 * time.Hour   // maximum age of keys if fetches fail
	maxWaiting      = 256              // requests that wait for a fetch; more get errBusy
)

var (
	errNoKeys = errors.New("the issuer's keys are not known")
	errBusy   = errors.New("too many requests wait for the issuer's keys")
)

// keySet has the keys of an issuer from the newest successful fetch.
type keySet struct {
	origin origin
	log    *slog.Logger
	now    func() time.Time

	mu       sync.Mutex
	keys     []key
	fetched  time.Time     // time of the newest success
	tried    time.Time     // start of the newest fetch; zero: never
	failures int           // consecutive
	last     error         // the error of the newest fetch
	dropped  []string      // kinds of keys that the newest fetch dropped
	fetching chan struct{} // closed when the running fetch ends; nil: none is running
	waiting  int
}

func newKeySet(from origin, log *slog.Logger, now func() time.Time) *keySet {
	return &keySet{origin: from, log: log, now: now}
}

// put sets the keys as if they were just fetched.
func (s *keySet) put(set jwks) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = s.now()
	s.finishLocked(set, nil)
}

// inherit copies the state of another key set that has the same origin.
func (s *keySet) inherit(from *keySet) {
	from.mu.Lock()
	keys, fetched, tried, failures, last, dropped := from.keys, from.fetched, from.tried, from.failures, from.last, from.dropped
	from.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys, s.fetched, s.tried, s.failures, s.last, s.dropped = keys, fetched, tried, failures, last, dropped
	}
}

// find returns the keys that could have signed a token with the given kid and algorithm. If no
// current key of the issuer fits, or too many keys fit, the error is a refusal. If the keys could
// not be fetched, the error is not a refusal.
func (s *keySet) find(ctx context.Context, id, algorithm string) ([]key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for asked := false; ; asked = true {
		current := len(s.keys) > 0 && clock.For(s.fetched, maxStale).Holds(s.now())
		if current {
			if found := match(s.keys, id, algorithm); len(found) > 0 {
				if err := limitCandidates(found, id, algorithm); err != nil {
					return nil, err
				}
				return found, nil
			}
		}
		fetching := s.fetching
		if fetching == nil && !asked {
			fetching = s.beginLocked()
		}
		if fetching == nil || asked {
			if current && s.failures == 0 {
				return nil, &refusal{reason: fmt.Sprintf("its issuer has no key %q for %s", shorten(id), algorithm)}
			}
			if s.last != nil {
				return nil, fmt.Errorf("%w: %w", errNoKeys, s.last)
			}
			return nil, errNoKeys
		}
		if s.waiting == maxWaiting {
			return nil, errBusy
		}
		s.waiting++
		s.mu.Unlock()
		var gone error
		select {
		case <-fetching:
		case <-ctx.Done():
			gone = ctx.Err()
		}
		s.mu.Lock()
		s.waiting--
		if gone != nil {
			return nil, gone
		}
	}
}

// beginLocked starts a fetch if a fetch is due, and returns the channel that is closed when the
// fetch ends. The fetch has its own time limit. It continues even if the request that caused it
// ends.
func (s *keySet) beginLocked() chan struct{} {
	if !s.tried.IsZero() && clock.For(s.tried, s.intervalLocked()).Holds(s.now()) {
		return nil
	}
	s.tried = s.now()
	fetching := make(chan struct{})
	s.fetching = fetching
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
		defer cancel()
		set, err := s.origin.fetch(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.finishLocked(set, err)
		s.fetching = nil
		close(fetching)
	}()
	return fetching
}

func (s *keySet) finishLocked(set jwks, err error) {
	s.last = err
	if err != nil {
		if s.failures++; s.failures == 1 {
			s.log.Warn("cannot fetch the keys of an issuer", "error", err, "known", len(s.keys), "since", s.fetched)
		}
		return
	}
	if s.failures > 0 {
		s.log.Info("fetched the keys of an issuer again", "failures", s.failures)
	}
	s.keys, s.fetched, s.failures = set.keys, s.now(), 0
	s.logDroppedLocked(set.dropped)
}

// logDroppedLocked logs the reasons for dropped keys, one line for each new kind.
func (s *keySet) logDroppedLocked(dropped []droppedKey) {
	before := s.dropped
	s.dropped = nil
	for _, d := range dropped {
		if slices.Contains(s.dropped, d.kind) {
			continue
		}
		s.dropped = append(s.dropped, d.kind)
		if !slices.Contains(before, d.kind) {
			s.log.Info("ignored a key of an issuer", "reason", d.String())
		}
	}
}

// intervalLocked returns the minimum time from one fetch to the next.
func (s *keySet) intervalLocked() time.Duration {
	if _, local := s.origin.(file); local {
		return fileInterval
	}
	if s.failures == 0 {
		return minInterval
	}
	gap := retryInterval
	for range s.failures {
		if gap *= 2; gap >= maxInterval {
			return maxInterval
		}
	}
	return gap
}

// run refreshes the keys until ctx ends. A key that the issuer revoked is not used for longer
// than refreshInterval, and a new key is usually known before the first token that needs it.
func (s *keySet) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		s.mu.Lock()
		fetching := s.fetching
		if fetching == nil && s.dueLocked() <= 0 {
			fetching = s.beginLocked()
		}
		s.mu.Unlock()
		if fetching != nil {
			select {
			case <-ctx.Done():
				return
			case <-fetching:
			}
		}
		s.mu.Lock()
		// Use a short timer, because timers do not run while the machine sleeps.
		timer.Reset(min(max(s.dueLocked(), time.Second), time.Minute))
		s.mu.Unlock()
	}
}

// dueLocked returns the time until the next regular fetch.
func (s *keySet) dueLocked() time.Duration {
	gap, from := s.intervalLocked(), s.tried
	switch {
	case s.tried.IsZero():
		return 0
	case s.failures == 0:
		gap, from = refreshInterval, s.fetched
		if _, local := s.origin.(file); local {
			gap = fileInterval
		}
	}
	if now := s.now(); clock.For(from, gap).Holds(now) {
		return from.Add(gap).Sub(now)
	}
	return 0
}
