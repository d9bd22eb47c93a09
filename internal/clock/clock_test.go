package clock_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 7, time.UTC)

// Go must compare times of clocktest in the same way as times of time.Now: by their monotonic
// readings if both times have one.
func TestBothReadings(t *testing.T) {
	c := clocktest.New(noon)
	before := c.Now()
	if !before.Equal(noon) || !strings.Contains(before.String(), " m=") {
		t.Fatalf("Now returned %v, want %v with a monotonic reading", before, noon)
	}
	c.Pass(time.Minute)
	c.Set(time.Hour)
	after := c.Now()
	if passed := after.Sub(before); passed != time.Minute {
		t.Errorf("%v passed by the monotonic reading, want a minute", passed)
	}
	if passed := after.Round(0).Sub(before.Round(0)); passed != time.Hour+time.Minute {
		t.Errorf("%v passed by the wall time, want 1h1m", passed)
	}
}

func TestWallHasNoMonotonicReading(t *testing.T) {
	c := clocktest.New(noon)
	for what, now := range map[string]func() time.Time{"a clock": clock.Wall(c.Now), "none": clock.Wall(nil), "Now": clock.Now} {
		if text := now().String(); strings.Contains(text, " m=") {
			t.Errorf("%s: %s", what, text)
		}
	}
}

func TestSpanHoldsFromItsBeginningToItsEnd(t *testing.T) {
	s := clock.For(noon, time.Minute)
	for _, tt := range []struct {
		at    time.Duration
		holds bool
	}{{-time.Nanosecond, false}, {0, true}, {time.Minute - 1, true}, {time.Minute, false}, {-time.Hour, false}} {
		if got := s.Holds(noon.Add(tt.at)); got != tt.holds || s.Over(noon.Add(tt.at)) == tt.holds {
			t.Errorf("after %v: %v", tt.at, got)
		}
	}
	if (clock.Span{}).Holds(noon) || clock.For(noon, -time.Hour).Holds(noon) || !clock.For(noon, 1<<63-1).Holds(noon.AddDate(100, 0, 0)) {
		t.Error("the zero span or a span of negative length holds, or a span of maximum length ends")
	}
}
