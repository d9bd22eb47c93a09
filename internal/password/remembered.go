package password

import (
	"time"

	"github.com/tidewaiter/tidewaiter/internal/cache"
	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// The kinds of keys.
const (
	realHash byte = iota
	dummyHash
)

// rememberedPairs holds the keys of pairs that matched. A pair is forgotten a fixed time after its
// last use. Most uses write nothing, because a use is recorded only if half of this time has
// passed since the last recorded use.
type rememberedPairs struct {
	lasts time.Duration // negative: nothing is remembered
	now   func() time.Time
	pairs *cache.Cache[cache.Key, clock.Span] // the span in which the next use is not recorded
}

func newRemembered(lasts time.Duration, limit int, now func() time.Time) *rememberedPairs {
	return &rememberedPairs{lasts: lasts, now: now, pairs: cache.New[cache.Key, clock.Span](limit, now)}
}

// contains reports whether the key k is remembered. If k is remembered, contains also records this
// use.
func (r *rememberedPairs) contains(k cache.Key) bool {
	noted, ok := r.pairs.Get(k)
	if ok && noted.Over(r.now()) {
		r.add(k)
	}
	return ok
}

func (r *rememberedPairs) add(k cache.Key) {
	r.pairs.Put(k, clock.For(r.now(), r.lasts/2), r.lasts)
}
