package clock_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

func TestSleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, tt := range []struct {
			length time.Duration
			slept  time.Duration
			err    error
		}{
			{-1, 0, nil}, {0, 0, nil}, {20 * time.Second, 20 * time.Second, nil},
			{time.Hour, 40 * time.Second, context.DeadlineExceeded}, {0, 0, context.DeadlineExceeded},
		} {
			began := time.Now()
			err := clock.Sleep(ctx, tt.length)
			if slept := time.Since(began); slept != tt.slept || !errors.Is(err, tt.err) {
				t.Errorf("Sleep(%s): %s, %v; want %s, %v", tt.length, slept, err, tt.slept, tt.err)
			}
		}
	})
}

// Only the last durations are drawn, so Draw soon returns the new durations of a service that
// became slower or faster.
func TestDrawReturnsOneOfTheLastDurations(t *testing.T) {
	var d clock.Durations
	first := func(int) int { return 0 }
	if got := d.Draw(first); got != 0 {
		t.Errorf("of nothing: %s", got)
	}
	seen := make(map[time.Duration]bool)
	for i := range time.Duration(100) {
		d.Note(i)
	}
	for i := range 100 {
		seen[d.Draw(func(n int) int { return i % n })] = true
	}
	for got := range seen {
		if got < 100-32 || got > 99 {
			t.Errorf("Draw returned %d, which is not one of the last 32 durations", got)
		}
	}
	if len(seen) != 32 {
		t.Errorf("Draw returned %d different durations, want 32", len(seen))
	}
}
