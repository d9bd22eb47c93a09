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
)

func TestWhoIsThrottledWaitsForTheAnswerInABoundedCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, throttled := newPauses(0), error(&identity.RateLimitedError{After: time.Minute})
		begin := time.Now()
		var atOnce, late atomic.Int64
		var all sync.WaitGroup
		for range maxPaused + 44 {
			all.Go(func() {
				p.before(t.Context(), throttled)
				switch time.Since(begin) {
				case 0:
					atOnce.Add(1)
				case DefaultPause:
					late.Add(1)
				}
			})
		}
		all.Wait()
		if atOnce.Load() != 44 || late.Load() != maxPaused {
			t.Errorf("%d were answered at once, %d after the pause", atOnce.Load(), late.Load())
		}
		begin = time.Now()
		if p.before(t.Context(), throttled); time.Since(begin) != DefaultPause {
			t.Error("the places were not given back")
		}
	})
}

func TestNobodyElseIsHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		p := newPauses(0)
		for _, err := range []error{identity.ErrRejected, identity.ErrUnavailable, errors.New("other")} {
			p.before(t.Context(), err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		p.before(gone, &identity.RateLimitedError{})
		newPauses(-1).before(t.Context(), &identity.RateLimitedError{})
		if took := time.Since(begin); took != 0 {
			t.Errorf("held up for %v", took)
		}
	})
}
