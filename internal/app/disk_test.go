package app

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestTheOperatorIsWarnedBeforeTheDiskIsFull(t *testing.T) {
	for _, tt := range []struct {
		free, size uint64
		known      bool
		want       string
	}{
		{50e9, 100e9, true, ""},
		{6e9, 100e9, true, ""}, // more than diskEnough
		{4e9, 100e9, true, "only 4000 MB of 100000 MB are free"},
		{1e9, 8e9, true, ""},
		{700e6, 8e9, true, "only 700 MB of 8000 MB are free"},
		{199e6, 400e6, true, "only 199 MB of 400 MB are free"}, // less than diskFree
		{0, 8e9, true, "only 0 MB"},
		{0, 0, false, ""}, // a database on another machine
	} {
		d := newDisk(func() (free, size uint64, ok bool) { return tt.free, tt.size, tt.known })
		if note := d.note(); !strings.Contains(note, tt.want) || (tt.want == "") != (note == "") {
			t.Errorf("%d of %d: %q, want %q", tt.free, tt.size, note, tt.want)
		}
	}
}

func TestANearlyFullDiskIsLoggedOnceAnHour(t *testing.T) {
	var log strings.Builder
	d := newDisk(func() (free, size uint64, ok bool) { return 1e6, 1e9, true })
	now := time.Unix(1_800_000_000, 0)
	for range 7200 {
		d.check(now, slog.New(slog.NewTextHandler(&log, nil)))
		now = now.Add(time.Second)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 2 {
		t.Errorf("%d lines in two hours, want 2:\n%s", n, log.String())
	}
}
