package ratelimit

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// places is a cache of the places where names have signed in. The store can have more places.
type places struct {
	near      marks // known places
	strangers marks // places that a recent query did not find in the store
	noted     marks // places that were written today; each is written once a day

	mu      sync.Mutex
	pending map[uint64]Learned // places to write
}

const (
	nearFor     = 24 * time.Hour
	strangerFor = time.Minute
	noteEvery   = 24 * time.Hour
	maxPending  = 10_000
)

// contains reports whether the place is in the cache.
func (p *places) contains(key uint64, now time.Time) bool {
	return key != 0 && p.near.contains(key, now.UnixNano(), nearFor)
}

// lookUp reports whether a place is known, with a query to the store if needed.
func (l *Limiter) lookUp(ctx context.Context, key uint64, p Place, now time.Time) bool {
	at := now.UnixNano()
	switch {
	case key == 0:
		return false
	case l.places.contains(key, now):
		return true
	case l.o.Store == nil, l.places.strangers.contains(key, at, strangerFor):
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	known, err := l.o.Store.KnownPlace(ctx, p, now)
	switch {
	case l.outages.note(err):
		return false
	case known:
		l.places.near.set(key, at, 0)
		return true
	}
	l.places.strangers.set(key, at, 0)
	return false
}

// Learn records that a principal has signed in under a name from an address. The credential was a
// password, or was issued for a password. The call is cheap for a known place.
func (l *Limiter) Learn(name, source, id string, from netip.Addr) {
	if l == nil {
		return
	}
	folded := Fold(name)
	prefix := PlaceOf(from)
	key := l.placeKey(l.nameKey(folded), prefix)
	if key == 0 {
		return
	}
	at := l.o.Now().UnixNano()
	if !l.places.noted.set(key, at, noteEvery) {
		return
	}
	l.places.near.set(key, at, 0)
	l.places.strangers.forget(key)
	if l.o.Store == nil {
		return
	}
	l.places.mu.Lock()
	defer l.places.mu.Unlock()
	if l.places.pending == nil {
		l.places.pending = make(map[uint64]Learned)
	}
	if len(l.places.pending) < maxPending {
		l.places.pending[key] = Learned{Place{folded, prefix}, source, id}
	} else {
		l.places.noted.forget(key) // so that the next sign-in records the place again
	}
}

// Flush writes the places that were learned since the last call. If that fails, they are kept
// for the next call.
func (l *Limiter) Flush(ctx context.Context) {
	l.places.mu.Lock()
	pending := l.places.pending
	l.places.pending = nil
	l.places.mu.Unlock()
	if len(pending) == 0 {
		return
	}
	list := make([]Learned, 0, len(pending))
	for _, learned := range pending {
		list = append(list, learned)
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := l.o.Store.AddPlaces(ctx, list, l.o.Now())
	l.outages.note(err)
	if err == nil {
		return
	}
	l.places.mu.Lock()
	defer l.places.mu.Unlock()
	if l.places.pending == nil {
		l.places.pending = pending
		return
	}
	for key, learned := range pending {
		if len(l.places.pending) < maxPending {
			l.places.pending[key] = learned
		}
	}
}
