package loglimit_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/loglimit"
)

// Each row has a limit, the seconds at which lines occur, and the lines that are logged as
// SECOND:MISSED.
func TestLimit(t *testing.T) {
	for _, tt := range []struct {
		what  string
		limit *loglimit.Limit
		lines []int
		want  string
	}{
		{"one a minute", &loglimit.Limit{Period: time.Minute}, []int{0, 1, 59, 60, 61, 200, 201}, "0:0 60:2 200:1"},
		{"three a minute", &loglimit.Limit{Period: time.Minute, Max: 3}, []int{0, 1, 2, 3, 4, 59, 60, 61, 62, 63},
			"0:0 1:0 2:0 60:3 61:0 62:0"},
		{"the clock is set back", &loglimit.Limit{Period: time.Minute}, []int{1000, 1001, 0, 1}, "1000:0 0:1"},
	} {
		var got []string
		for _, second := range tt.lines {
			if missed, ok := tt.limit.Allow(time.Unix(1_800_000_000+int64(second), 0)); ok {
				got = append(got, fmt.Sprintf("%d:%d", second, missed))
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %s, want %s", tt.what, got, tt.want)
		}
	}
}

func TestResetAllowsTheNextLine(t *testing.T) {
	l, now := loglimit.Limit{Period: time.Minute}, time.Unix(1_800_000_000, 0)
	for range 5 {
		l.Allow(now)
	}
	if missed := l.Reset(); missed != 4 {
		t.Errorf("%d lines were not logged, want 4", missed)
	}
	if missed, ok := l.Allow(now); !ok || missed != 0 {
		t.Errorf("the next line: allowed %t, %d missed", ok, missed)
	}
}
