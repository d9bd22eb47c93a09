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

// When keys are fetched. A key id that is not known is asked for, since issuers change their keys;
// but anybody can make up key ids, so that there is a least time between two fetches, whatever is
// asked for. After failures it grows: an issuer that is down is asked less and less, and nobody
// waits for it.
const (
	refreshInterval = time.Hour
	minInterval     = time.Minute      // after a fetch that went well: tokens with key ids that nobody has cost no more
	retryInterval   = 10 * time.Second // after a failure; twice as long after each further one
	maxInterval     = time.Minute
	fileInterval    = 10 * time.Second // how often a file with keys is looked at
	maxStale        = 24 * time.Hour   // while the issuer cannot be asked
	maxWaiting      = 256              // requests for one fetch; more are told that it is busy
)

var (
	errNoKeys = errors.New("the issuer's keys are not known")
	errBusy   = errors.New("too many wait for the issuer's keys")
)

// keySet is the keys of an issuer, as they were fetched last.
type keySet struct {
	origin origin
	log    *slog.Logger
	now    func() time.Time

	mu       sync.Mutex
	keys     []key
	fetched  time.Time     // when they were fetched
	tried    time.Time     // when a fetch began last; zero: never
	failures int           // since then, in a row
	last     error         // of the last fetch
	dropped  []string      // kinds of keys that the last fetch dropped
	fetching chan struct{} // closed when the fetch under way is over; nil: none is
	waiting  int
}

func newKeySet(from origin, log *slog.Logger, now func() time.Time) *keySet {
	return &keySet{origin: from, log: log, now: now}
}

// put sets keys that were fetched just now.
func (s *keySet) put(set jwks) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = s.now()
	s.finishLocked(set, nil)
}

// inherit takes over what another set of the same origin knows.
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

// find returns the keys that a token with this key id and algorithm may be signed with. It is a
// refusal if the issuer, asked a short while ago, has none, or if it has too many to try; another
// error if it could not be asked.
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

// beginLocked begins a fetch, if it is time for one, and returns the flight. The fetch is
// nobody's: who asked first may go away, and it ends by its own time limit.
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
			s.log.Warn("an issuer's keys cannot be fetched", "error", err, "known", len(s.keys), "since", s.fetched)
		}
		return
	}
	if s.failures > 0 {
		s.log.Info("an issuer's keys can be fetched again", "failures", s.failures)
	}
	s.keys, s.fetched, s.failures = set.keys, s.now(), 0
	s.logDroppedLocked(set.dropped)
}

// logDroppedLocked logs why keys were dropped: one line for each kind, when it is new.
func (s *keySet) logDroppedLocked(dropped []droppedKey) {
	before := s.dropped
	s.dropped = nil
	for _, d := range dropped {
		if slices.Contains(s.dropped, d.kind) {
			continue
		}
		s.dropped = append(s.dropped, d.kind)
		if !slices.Contains(before, d.kind) {
			s.log.Info("a key of an issuer is not used", "reason", d.String())
		}
	}
}

// intervalLocked is the time from one fetch to the next.
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

// run keeps the keys fresh until ctx ends: a key that its issuer took back is not used for longer
// than refreshInterval, and a new one is known before the first token comes.
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
		// Often: a timer that is set for an hour ahead stands still while a machine sleeps.
		timer.Reset(min(max(s.dueLocked(), time.Second), time.Minute))
		s.mu.Unlock()
	}
}

// dueLocked is the time until the keys are to be fetched without anybody asking.
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
