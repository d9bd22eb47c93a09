package main

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestLifetimes(t *testing.T) {
	for _, tt := range []struct {
		text  string
		means time.Duration // 0: never expires
		ok    bool
	}{
		{"90d", 90 * day, true},
		{"2w", 14 * day, true},
		{"12h", 12 * time.Hour, true},
		{"1h30m", 90 * time.Minute, true},
		{"never", 0, true},
		{"36500d", 36500 * day, true},
		{"36501d", 0, false},      // more than a hundred years
		{"65535w", 0, false},      // overflows time.Duration
		{"9999999999d", 0, false}, // overflows uint16
		{"59s", 0, false},         // under a minute
		{"0", 0, false},           // ambiguous: could mean at once or never
		{"0d", 0, false},
		{"-1d", 0, false},
		{"-1h", 0, false},
		{"90", 0, false}, // no unit
		{"1.5d", 0, false},
		{"d", 0, false},
		{"", 0, false},
		{" 90d", 0, false},
		{"90D", 0, false},
		{"+1d", 0, false},
		{"1d12h", 0, false},
	} {
		var l lifetime
		err := l.Set(tt.text)
		if ok := err == nil; ok != tt.ok || time.Duration(l) != tt.means {
			t.Errorf("%q: %v, %v; want %v, %v", tt.text, time.Duration(l), err, tt.means, tt.ok)
		}
	}
}

func TestALifetimeParsesItsOwnText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := lifetime(time.Duration(rapid.Int64Range(1, 100*365*24*60).Draw(t, "minutes")) * time.Minute)
		var again lifetime
		if err := again.Set(l.String()); err != nil || again != l {
			t.Fatalf("%s is parsed as %s: %v", &l, &again, err)
		}
	})
}

func TestALifetimeCountsFromNow(t *testing.T) {
	now := time.Date(2026, 2, 28, 12, 0, 0, 0, time.UTC)
	if end := lifetime(0).endTime(now); !end.IsZero() {
		t.Errorf("a lifetime without end ends at %s", end)
	}
	if end := lifetime(day).endTime(now); !end.Equal(now.Add(24 * time.Hour)) {
		t.Errorf("a day ends at %s", end)
	}
}
