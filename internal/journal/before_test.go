package journal_test

import (
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// Reading from the position that Before returns yields all entries since a time, without
// reading the whole journal.
func TestBeforeATime(t *testing.T) { storetest.Each(t, testBeforeATime) }

func testBeforeATime(t *testing.T, d storetest.Database) {
	j, _ := open(t, d.Ready(t), journal.Options{})
	begin := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	if at, err := j.Before(t.Context(), begin); err != nil || at != 0 {
		t.Errorf("in an empty journal: %d, %v", at, err)
	}
	for hour := range 10 {
		at := begin.Add(time.Duration(hour) * time.Hour)
		for range 3 {
			if err := j.Append(t.Context(), journal.Entry{ID: journal.NewID(at), Time: at, Change: &journal.Change{Actor: "user:ann", Action: "user.add", Target: "bob"}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		after time.Duration
		want  journal.Position
	}{
		{-time.Hour, 0}, {0, 0}, {30 * time.Minute, 3}, {time.Hour, 3}, {time.Hour + 30*time.Second, 3}, {time.Hour + 2*time.Minute, 6}, {9 * time.Hour, 27}, {10 * time.Hour, 30},
	} {
		if got, err := j.Before(t.Context(), begin.Add(tt.after)); err != nil || got != tt.want {
			t.Errorf("%s after the first: %d, %v; want %d", tt.after, got, err, tt.want)
		}
	}
}
