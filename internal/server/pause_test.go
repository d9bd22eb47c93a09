package server

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
)

func TestRateLimitedAnswersAreDelayedWithABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, throttled := newTarpit(0), error(&ratelimit.Error{After: time.Minute})
		begin := time.Now()
		var atOnce, late atomic.Int64
		var all sync.WaitGroup
		for range maxPaused + 44 {
			all.Go(func() {
				p.delay(t.Context(), throttled)
				switch time.Since(begin) {
				case 0:
					atOnce.Add(1)
				case defaultPause:
					late.Add(1)
				}
			})
		}
		all.Wait()
		if atOnce.Load() != 44 || late.Load() != maxPaused {
			t.Errorf("%d were answered at once, %d after the pause", atOnce.Load(), late.Load())
		}
		begin = time.Now()
		if p.delay(t.Context(), throttled); time.Since(begin) != defaultPause {
			t.Error("the slots are not free again")
		}
	})
}

func TestOtherAnswersAreNotDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		p := newTarpit(0)
		for _, err := range []error{identity.ErrRejected, identity.ErrUnavailable, errors.New("other")} {
			p.delay(t.Context(), err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		p.delay(gone, &ratelimit.Error{})
		newTarpit(-1).delay(t.Context(), &ratelimit.Error{})
		if took := time.Since(begin); took != 0 {
			t.Errorf("held up for %v", took)
		}
	})
}
